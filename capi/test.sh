#!/bin/sh
# Tests the C interface: header current, C programs by gcc and clang under AddressSanitizer and
# UBSan, C++, the installed tree through pkg-config. Installs what it needs and finds missing.
#
#     capi/test.sh                        all of it
#     capi/test.sh header                 makes the header anew
set -eu
cd "$(dirname "$0")"

CBINDGEN=0.29.4
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
work=$CARGO_TARGET_DIR/c-tests
mkdir -p "$work"

say() { printf '\n== %s\n' "$*"; }

cbindgen="$CARGO_TARGET_DIR/tools/bin/cbindgen"
if ! "$cbindgen" --version 2>/dev/null | grep -qx "cbindgen $CBINDGEN"; then
    say "cbindgen $CBINDGEN"
    cargo install --quiet --locked cbindgen --version "$CBINDGEN" --root "$CARGO_TARGET_DIR/tools"
fi
# The functions come from a macro: cbindgen asks rustc to expand it, which stable refuses otherwise.
header() { RUSTC_BOOTSTRAP=1 "$cbindgen" --quiet --config cbindgen.toml --crate soft-bce-capi "$@"; }
if [ "${1:-}" = header ]; then
    header --output include/soft_bce.h
    exit
fi

for tool in gcc g++ clang clang++ pkg-config readelf; do
    command -v "$tool" > /dev/null || missing="${missing:-} $tool"
done
if [ -n "${missing:-}" ] || ! ls /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.asan-x86_64.a \
    > /dev/null 2>&1; then
    say "compilers"
    apt-get update -qq
    clang_version=$(apt-cache depends clang | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p')
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        gcc g++ clang "libclang-rt-$clang_version-dev" pkg-config binutils > /dev/null
fi

say "header is current"
header --output include/soft_bce.h --verify
echo yes

say "format and lints"
cargo fmt --check
cargo clippy --quiet --all-targets -- -D warnings
cargo clippy --quiet --lib --profile release --no-default-features --features panic-handler -- -D warnings

strict="-std=c99 -O1 -g -Wall -Wextra -Werror -pedantic"
strict_cpp="-std=c++11 -O1 -Wall -Wextra -Werror -pedantic"
sanitize="-fsanitize=address,undefined -fno-sanitize-recover=all"

# The Rust side is instrumented too, so that what it reads past an end is found, not only what C does.
say "under sanitizers"
triple=$(rustc -vV | sed -n 's/^host: //p')
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR=$work/asan \
    cargo build --quiet --release --lib --target "$triple" --config 'profile.release.lto="off"'
library=$work/asan/$triple/release/libsoft_bce.a
for compiler in gcc clang; do
    $compiler $strict $sanitize -Iinclude tests/test.c "$library" -o "$work/test-$compiler" \
        -lm -lpthread -ldl
    printf '%s: ' "$compiler"
    "$work/test-$compiler"
    # The test of the test: it has to find one element too many.
    if "$work/test-$compiler" fault > "$work/fault" 2>&1; then
        echo "the sanitizer did not find a planted fault"; exit 1
    fi
    grep -q 'heap-buffer-overflow' "$work/fault"
    grep -q 'soft_bce_sum_f32' "$work/fault"
done

say "installed"
root=$work/root
rm -rf "$root"
./install.sh --prefix "$root/usr" 2> "$work/install.log" || { cat "$work/install.log"; exit 1; }
export PKG_CONFIG_PATH="$root/usr/lib/pkgconfig" LD_LIBRARY_PATH="$root/usr/lib"
pkg-config --validate soft_bce
for compiler in gcc clang; do
    $compiler $strict tests/test.c $(pkg-config --cflags soft_bce) -o "$work/shared-$compiler" \
        $(pkg-config --libs soft_bce) -lm
    $compiler $strict tests/test.c $(pkg-config --cflags soft_bce) -o "$work/static-$compiler" \
        "$root/usr/lib/libsoft_bce.a" $(pkg-config --static --libs-only-l soft_bce |
            sed 's/-lsoft_bce//') -lm
    printf '%s, shared: ' "$compiler"; "$work/shared-$compiler"
    printf '%s, static: ' "$compiler"; "$work/static-$compiler"
done
for compiler in g++ clang++; do
    $compiler $strict_cpp tests/test.cpp $(pkg-config --cflags soft_bce) -o "$work/cpp-$compiler" \
        $(pkg-config --libs soft_bce)
    printf '%s: ' "$compiler"; "$work/cpp-$compiler"
done

# The header, the library and the tests name the same functions, and no other symbol is exported.
declared=$(grep -o 'soft_bce_[a-z0-9_]*(' include/soft_bce.h | tr -d '(' | sort -u)
exported=$(nm -D --defined-only "$root/usr/lib/libsoft_bce.so" | awk '{ print $3 }' | sort -u)
tested=$(nm -u "$work/shared-gcc" | awk '{ print $2 }' | grep '^soft_bce_' | sort -u)
echo "$declared" > "$work/declared"
echo "$exported" | diff "$work/declared" - || { echo "header and library differ"; exit 1; }
echo "$tested" | diff "$work/declared" - || { echo "not every function is tested"; exit 1; }
echo "$(wc -l < "$work/declared") functions declared, exported and tested"
readelf -d "$root/usr/lib/libsoft_bce.so" | sed -n 's/.*\(SONAME\|NEEDED\).*\[\(.*\)\]/\1 \2/p'
ls -l "$root/usr/lib/libsoft_bce.so".*.*.* "$root/usr/lib/libsoft_bce.a" | awk '{ print $5, $9 }' |
    sed "s|$root||"

say "passed"
