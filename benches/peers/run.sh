#!/bin/sh
# soft-bce beside SVML, SLEEF, the crate wide and loops over std, in one interleaved run:
#
#     benches/peers/run.sh [FILE]      writes FILE, or target/peers/peers.md
#
# Fetches Intel's SVML (the wheel intel-cmplr-lib-rt) and SLEEF (Debian's libsleef3) to target/peers, and builds
# the loops for the CPU at hand, since wide chooses its instructions when it is compiled. Needs x86-64 with AVX2,
# pip, and Debian's apt-get with libgmp-dev, libmpfr-dev and m4 installed.
#
# SOFT_BCE_MEASURE  the command that the measuring runs under (default: taskset -c 1)
set -eu
cd "$(dirname "$0")/../.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/peers
mkdir -p "$target"

if [ ! -e "$target/svml/libsvml.so" ]; then
    python3 -m pip download --quiet --no-deps --dest "$target" intel-cmplr-lib-rt
    rm -rf "$target/wheel"
    python3 -m zipfile -e "$target"/intel_cmplr_lib_rt-*.whl "$target/wheel"
    mkdir -p "$target/svml"
    cp "$target"/wheel/*/data/lib/libsvml.so "$target"/wheel/*/data/lib/libintlc.so.5 "$target/svml"
    rm -rf "$target/wheel"
fi
if [ ! -e "$target/sleef" ]; then
    (cd "$target" && apt-get download -qq libsleef3 && dpkg -x libsleef3_*.deb sleef)
fi
sleef=$(find "$target/sleef" -name libsleef.so.3)

RUSTFLAGS="-C target-cpu=native" cargo build --quiet --profile dependent-release -p soft-bce-peers --features vectors \
    --target-dir "$target"
export LD_LIBRARY_PATH="$target/svml"
# shellcheck disable=SC2086 # a command and its arguments
exec ${SOFT_BCE_MEASURE:-taskset -c 1} "$target/dependent-release/peers" \
    --svml "$target/svml/libsvml.so" --sleef "$sleef" --out "${1:-$target/peers.md}"
