#!/usr/bin/env bash
# What another's release build gets of this crate, without features and with all: its machine code, the
# CPU time to build it from nothing, and what a call of sum_gradient on f32 adds to a stripped program.
#
#     tests/dependent/size.sh            fails where the code has grown by more than 10 % over text.txt
#     tests/dependent/size.sh --accept   writes text.txt
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}/size
built=$target/dependent-release
committed=tests/dependent/text.txt

build() { cargo build --quiet --jobs 1 --profile dependent-release -p dependent --target-dir "$target" "$@"; }
TIMEFORMAT='  built from nothing in %U s of CPU (and %S s of the system'"'"'s)'
# measure NAME ARGUMENTS-OF-CARGO
measure() {
    local name=$1 text
    shift
    rm -rf "$target"
    echo "$name features"
    time build --bin sum_gradient "$@"
    text=$(size -A -d "$built"/deps/libsoft_bce-*.rlib | awk '$1 ~ /^\.text/ { sum += $2 } END { printf "%d", sum }')
    echo "  $text bytes of machine code in the library"
    # What is measured is there at all.
    [ "$text" -gt 100000 ]
    measured+="$name $text"$'\n'
}
measured=
measure all --features all
measure no

build --bin nothing
for program in nothing sum_gradient; do
    strip -o "$target/$program" "$built/$program"
done
added=$(($(stat -c %s "$target/sum_gradient") - $(stat -c %s "$target/nothing")))
echo "  sum_gradient adds $added bytes to a stripped program"
[ "$added" -gt 10000 ]

if [ "${1:-}" = --accept ]; then
    printf %s "$measured" > "$committed"
    exit
fi
while read -r name text; do
    before=$(awk -v name="$name" '$1 == name { print $2 }' "$committed")
    if [ $((text * 10)) -gt $((before * 11)) ]; then
        echo "$name features: more than 10 % above the $before bytes of $committed"
        exit 1
    fi
done <<< "${measured%$'\n'}"
