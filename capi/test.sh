#!/bin/sh
# Tests the C interface. Installs what it needs and does not find.
#
#     capi/test.sh            header current; C programs by gcc and clang, both sides under
#                             AddressSanitizer; C++; the installed tree through pkg-config
#     capi/test.sh firmware   a C program on a bare Cortex-M4F in QEMU: the bits of the host. RUSTC is a
#                             compiler that has thumbv7em-none-eabihf, or the source of core;
#                             qemu-system-arm is on the path, or QEMU_ARM names it
#     capi/test.sh header     makes the header anew
set -eu
cd "$(dirname "$0")"

CBINDGEN=0.29.4
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$(dirname "$PWD")/target}"
work=$CARGO_TARGET_DIR/c-tests
mkdir -p "$work"

say() { printf '\n== %s\n' "$*"; }

# need PACKAGES COMMAND...: installs the packages unless all the commands are there.
need() {
    packages=$1
    shift
    for tool; do
        command -v "$tool" > /dev/null && continue
        say "installing $packages"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages > /dev/null
        return
    done
}

strict="-std=c99 -O1 -g -Wall -Wextra -Werror -pedantic"

if [ "${1:-}" = firmware ]; then
    target=thumbv7em-none-eabihf
    need "gcc" gcc
    need "gcc-arm-none-eabi" arm-none-eabi-gcc
    say "host"
    # As install.sh builds it, so that it is there already.
    (unset RUSTC; cargo rustc --quiet --profile capi --lib -- --print native-static-libs)
    gcc $strict -Iinclude tests/bits.c "$CARGO_TARGET_DIR/capi/libsoft_bce.a" -o "$work/bits" -lm -lpthread -ldl
    "$work/bits" > "$work/bits.host"
    say "$target"
    # A sysroot among the target's flags counts.
    if [ ! -d "$("${RUSTC:-rustc}" ${CARGO_TARGET_THUMBV7EM_NONE_EABIHF_RUSTFLAGS:-} \
        --print target-libdir --target $target)" ]; then
        build_std=-Zbuild-std=core
        export RUSTC_BOOTSTRAP=1
    fi
    cargo build --quiet --profile capi --lib --target $target ${build_std:-} \
        --no-default-features --features panic-handler
    arm-none-eabi-gcc $strict -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 \
        -ffreestanding -nostdlib -Iinclude tests/bits.c \
        "$CARGO_TARGET_DIR/$target/capi/libsoft_bce.a" -o "$work/bits.elf" \
        -Wl,--gc-sections,-z,noexecstack -T tests/cortex-m.ld
    if arm-none-eabi-nm "$work/bits.elf" | grep -i panic; then
        echo "something in the image can panic"; exit 1
    fi
    timeout 300 "${QEMU_ARM:-qemu-system-arm}" -machine mps2-an386 -nographic -monitor none -serial none \
        -chardev file,id=out,path="$work/bits.m4" \
        -semihosting-config enable=on,target=native,chardev=out -kernel "$work/bits.elf"
    diff "$work/bits.host" "$work/bits.m4"
    echo "$(grep -c '[0-9a-f]\{16\}' "$work/bits.m4") hashes equal those of the host; no panic in the image"
    exit
fi

cbindgen="$CARGO_TARGET_DIR/tools/bin/cbindgen"
if ! "$cbindgen" --version 2>/dev/null | grep -qx "cbindgen $CBINDGEN"; then
    say "installing cbindgen $CBINDGEN"
    cargo install --quiet --locked cbindgen --version "$CBINDGEN" --root "$CARGO_TARGET_DIR/tools"
fi
# The functions come from a macro: cbindgen asks rustc to expand it, which stable refuses otherwise.
header() { RUSTC_BOOTSTRAP=1 "$cbindgen" --quiet --config cbindgen.toml --crate soft-bce-capi "$@"; }
if [ "${1:-}" = header ]; then
    header --output include/soft_bce.h
    exit
fi

need "gcc g++ clang pkg-config binutils" gcc g++ clang clang++ pkg-config readelf
runtime=$(clang -print-file-name=libclang_rt.asan-x86_64.a)
[ -e "$runtime" ] || need "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev" no-such-command

say "header is current"
# Not --verify, which overwrites the file and does not say what differs.
header --output "$work/soft_bce.h"
diff include/soft_bce.h "$work/soft_bce.h" || { echo "make it anew: capi/test.sh header"; exit 1; }
echo yes

say "format and lints"
cargo fmt --check
cargo clippy --quiet --all-targets -- -D warnings
cargo clippy --quiet --lib --profile capi --no-default-features --features panic-handler -- -D warnings

strict_cpp="-std=c++11 -O1 -Wall -Wextra -Werror -pedantic"
sanitize="-fsanitize=address,undefined -fno-sanitize-recover=all"

# The Rust side is instrumented too, so that what it reads past an end is found, not only what C does.
say "under sanitizers"
triple=$(rustc -vV | sed -n 's/^host: //p')
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR=$work/asan \
    cargo build --quiet --profile capi --lib --target "$triple" --config 'profile.capi.lto="off"'
library=$work/asan/$triple/capi/libsoft_bce.a
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
    $compiler $strict $sanitize -Iinclude tests/bits.c "$library" -o "$work/bits-$compiler" -lm -lpthread -ldl
    "$work/bits-$compiler" > "$work/bits-$compiler.txt"
done
diff "$work/bits-gcc.txt" "$work/bits-clang.txt"

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
    $compiler $strict tests/bits.c $(pkg-config --cflags soft_bce) -o "$work/bits-$compiler" \
        $(pkg-config --libs soft_bce)
    "$work/bits-$compiler" | diff "$work/bits-$compiler.txt" -
    printf '%s, shared: ' "$compiler"; "$work/shared-$compiler"
    printf '%s, static: ' "$compiler"; "$work/static-$compiler"
done
# What install.sh says of the loader: nothing finds the library by itself, and an rpath does.
gcc $strict tests/test.c $(pkg-config --cflags --libs soft_bce) -Wl,-rpath,"$root/usr/lib" -o "$work/rpath" -lm
printf 'gcc, rpath: '; env -u LD_LIBRARY_PATH "$work/rpath"
if env -u LD_LIBRARY_PATH "$work/shared-gcc" 2> /dev/null; then
    echo "a library that is nowhere was found"; exit 1
fi
# The README's examples, as it says.
for example in example linear; do
    gcc $strict $example.c $(pkg-config --cflags --libs soft_bce) -Wl,-rpath,"$root/usr/lib" -o "$work/$example"
    printf '%s: ' $example; env -u LD_LIBRARY_PATH "$work/$example"
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
