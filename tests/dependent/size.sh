#!/usr/bin/env bash
# What another's release build gets of this crate: its machine code, the CPU time to build it from
# nothing, and what a call of sum_gradient on f32 adds to a stripped program.
#
#     tests/dependent/size.sh            fails where the code has grown by more than 10 % over text.txt
#     tests/dependent/size.sh --accept   writes text.txt
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}/size
built=$target/dependent-release
committed=tests/dependent/text.txt

rm -rf "$target"
build() { cargo build --quiet --jobs 1 --profile dependent-release -p dependent --target-dir "$target" "$@"; }
# One after the other: the time of the first is that of the crate and what it depends on.
TIMEFORMAT='built from nothing in %U s of CPU (and %S s of the system'"'"'s)'
time build --bin sum_gradient
build --bin nothing

text=$(size -A -d "$built"/deps/libsoft_bce-*.rlib | awk '$1 ~ /^\.text/ { sum += $2 } END { printf "%d", sum }')
for program in nothing sum_gradient; do
    strip -o "$target/$program" "$built/$program"
done
added=$(($(stat -c %s "$target/sum_gradient") - $(stat -c %s "$target/nothing")))
echo "library: $text bytes of machine code; sum_gradient adds $added bytes to a stripped program"
# What is measured is there at all.
[ "$text" -gt 100000 ] && [ "$added" -gt 10000 ]

if [ "${1:-}" = --accept ]; then
    echo "$text" > "$committed"
elif [ $((text * 10)) -gt $(($(cat "$committed") * 11)) ]; then
    echo "more than 10 % above the $(cat "$committed") bytes of $committed"
    exit 1
fi
