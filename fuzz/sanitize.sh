#!/usr/bin/env bash
# The test suite under AddressSanitizer, and with debug assertions and overflow checks; and the list
# of files with unsafe code against SECURITY.md.
#
#     fuzz/sanitize.sh [address | checks | unsafe]...    all of them without an argument
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p target
triple=$(rustc -vV | sed -n 's/^host: //p')
[ $# -gt 0 ] || set -- unsafe checks address

for what; do
    echo "== $what"
    case $what in
    address)
        # Optimised as tests are: unoptimised lanes need more stack than a thread has. The other
        # tests reach the same unsafe code by the same calls.
        RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR=target/asan \
            cargo +nightly test --target "$triple" --test backends --test contract --test guard_pages
        ;;
    checks)
        # The development profile has both checks; the library is optimised in it all the same.
        cargo test --all-features --tests
        ;;
    unsafe)
        git ls-files '*.rs' | xargs grep -l -w unsafe | xargs grep -l -E 'unsafe( extern "C")? (\{|fn|impl|trait)|unsafe\(no_mangle' |
            sort > target/unsafe-files
        grep -o -E '^\| \[[^]]*\.rs\]' SECURITY.md | sed 's/^| \[\(.*\)\]/\1/' | sort -u | diff target/unsafe-files - ||
            { echo "SECURITY.md lists other files with unsafe code"; exit 1; }
        cat target/unsafe-files
        ;;
    *)
        echo "unknown: $what"
        exit 2
        ;;
    esac
done
