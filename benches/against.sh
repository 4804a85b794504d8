#!/usr/bin/env bash
# The speed of two revisions of this crate, interleaved in one process:
#
#   benches/against.sh [--base REV] [--new REV] [--filter REGEX] [--seconds N] [--csv FILE]
#
# builds benches/against/measured.rs as a shared library on REV (c573f7e where none is given) and on
# the working tree (or on --new REV), with a dependent's default release profile, and times both in
# turn, A B B A, on the same memory (benches/against/compare.py). One revision as both: the noise.
#
# SOFT_BCE_MEASURE  the command that the measuring runs under (default: taskset -c 1)
# SOFT_BCE_BASES    where committed revisions are built and kept (default: target/against)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
target=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")/against
bases=$(realpath -m "${SOFT_BCE_BASES:-$target}")
mkdir -p "$target"

base=c573f7e
new=
rest=()
while [ $# -gt 0 ]; do
    case $1 in
        --base) base=$2 && shift 2 ;;
        --new) new=$2 && shift 2 ;;
        --csv) rest+=("$1" "$(realpath -m "$2")") && shift 2 ;;
        *) rest+=("$1") && shift ;;
    esac
done

# build TREE PACKAGE LIBRARY: the tree's library to LIBRARY by a package that others may use too.
build() (
    mkdir -p "$2"
    exec 8> "$2/lock"
    flock 8
    cp "$1/Cargo.lock" "$root/benches/against/measured.rs" "$2"
    cat > "$2/Cargo.toml" << END
[package]
name = "measured"
version = "0.0.0"
edition = "2024"

[lib]
path = "measured.rs"
crate-type = ["cdylib"]

[dependencies]
soft-bce = { path = "$1" }

[workspace]
END
    cargo build --quiet --release --manifest-path "$2/Cargo.toml" --target-dir "$2/target" &&
        cp "$2/target/release/libmeasured.so" "$3"
)

# committed REV LIBRARY
committed() {
    local commit tree
    commit=$(git -C "$root" rev-parse --short=12 "$1^{commit}")
    tree=$bases/trees/$commit
    if [ ! -e "$tree" ]; then
        mkdir -p "$tree.$$"
        git -C "$root" archive "$commit" | tar -x -C "$tree.$$"
        mv -T "$tree.$$" "$tree"
    fi
    build "$tree" "$bases/$commit" "$2"
}

committed "$base" "$target/base.so"
if [ -n "$new" ]; then
    committed "$new" "$target/new.so"
else
    new="working tree"
    build "$root" "$target/tree" "$target/new.so"
fi
# From where the libraries are, so that the command line is the same for everyone.
cd "$target"
# shellcheck disable=SC2086 # a command and its arguments
exec ${SOFT_BCE_MEASURE:-taskset -c 1} python3 "$root/benches/against/compare.py" \
    ./base.so ./new.so --names "$base" "$new" "${rest[@]}"
