#!/usr/bin/env bash
# Counts instructions per element and compares them with docs/speed/instructions.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v valgrind > /dev/null || {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends valgrind > /dev/null
}
cargo bench --bench instructions
