#!/usr/bin/env bash
# Builds fuzz targets and runs each from the committed corpus.
#
#     fuzz/run.sh [SECONDS] [TARGET]...    30 seconds each, all targets; as many at a time as there are cores
#     fuzz/run.sh minimise                 takes what runs have found into the committed corpus
#
# Finds go to fuzz/corpus/TARGET, failing inputs to fuzz/artifacts/TARGET. Needs the nightly
# toolchain, and fails without; installs the rest. SANITIZER=none builds faster, without
# AddressSanitizer; JOBS=1 runs one target at a time.
set -euo pipefail
cd "$(dirname "$0")"
sanitizer=${SANITIZER:-address}
all=(oracle backends sums contract capi linear)

cargo +nightly --version
missing=()
for package in g++ libgmp-dev libmpfr-dev; do
    dpkg -s "$package" > /dev/null 2>&1 || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi
command -v cargo-fuzz > /dev/null || cargo install --quiet --locked cargo-fuzz

# One unit, the default, compiles on one core.
fuzz() { cargo +nightly fuzz "$1" --sanitizer "$sanitizer" --codegen-units 4 "${@:2}"; }

if [ "${1:-}" = minimise ]; then
    for target in "${all[@]}"; do
        mkdir -p "corpus/$target" "seeds/$target"
        cp -n "seeds/$target"/* "corpus/$target/" 2> /dev/null || true
        # Large inputs cost more than they add.
        find "corpus/$target" -size +2k -delete
        fuzz cmin "$target" -- -rss_limit_mb=4096
        rm -f "seeds/$target"/*
        # The smallest, since the merge keeps hundreds of inputs.
        find "corpus/$target" -type f -printf '%s %p\n' | sort -n | awk '{ print $2 }' |
            awk -v all="$(find "corpus/$target" -type f | wc -l)" '
                NR % (all > 60 ? int(all / 60) + 1 : 1) == 0' |
            xargs -r cp -t "seeds/$target"
    done
    du -sh seeds/*
    exit
fi

seconds=30
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
    seconds=$1
    shift
fi

run_target() {
    local target=$1 log=corpus/$1.log count
    mkdir -p "corpus/$target"
    count=$(find "seeds/$target" -type f | wc -l)
    if [ "$count" -eq 0 ]; then
        echo "$target: no seeds"
        return 1
    fi
    if ! fuzz run "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -max_len=1024 -len_control=0 -timeout=120 -rss_limit_mb=4096 -print_final_stats=1 \
        > "$log" 2>&1; then
        grep -m 1 -A 4 panicked "$log" | cut -c 1-400
        tail -n 60 "$log"
        echo "$target: FAILED"
        return 1
    fi
    printf '%s: %d s from %d seeds, %s; %s\n' "$target" "$seconds" "$count" \
        "$(grep -o 'cov: .*' "$log" | tail -n 1)" "$(grep number_of_executed_units "$log")"
}

if [ $# -eq 0 ]; then
    fuzz build
    set -- "${all[@]}"
else
    for target; do fuzz build "$target"; done
fi
failed=0
running=0
jobs=${JOBS:-$(nproc)}
for target; do
    if [ "$running" -ge "$jobs" ]; then
        wait -n || failed=1
        running=$((running - 1))
    fi
    run_target "$target" &
    running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
done
exit "$failed"
