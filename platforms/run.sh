#!/bin/sh
# Runs the tests on another machine; every one that runs proves the hashes of tests/hashes.txt.
#
#     platforms/run.sh native | nehalem | sandybridge | haswell | aarch64      the test suite
#     platforms/run.sh wasm32 | wasm32-simd128 | aarch64-hashes                the hashes, under Node or QEMU
#     platforms/run.sh cortex-m4f | cortex-m7 | cortex-m3 | cortex-m0          firmware: hashes, training
#     platforms/run.sh riscv32                                                 builds, runs nothing
#     platforms/run.sh firmware-size      Cortex-M4F: flash, stack, instructions an element
#     platforms/run.sh c-firmware         Cortex-M4F: a C program linked with the C library
#     platforms/run.sh no-panic           no panic in an image of every public function: host, Cortex-M4F
#     platforms/run.sh deny | features
#
# Installs what it needs (setup.sh: Debian 12, root). Built files go below $CARGO_TARGET_DIR. Once
# everything is installed, several may run at a time.
set -eu
cd "$(dirname "$0")/.."
export SOFT_BCE_PLATFORMS="${SOFT_BCE_PLATFORMS:-$PWD/target/platforms}"
given=${CARGO_TARGET_DIR:-}
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
cache=$SOFT_BCE_PLATFORMS
results=$cache/results/${1:-}
mkdir -p "$results"

# Debian's compiler with the library of the target unpacked below $cache/$1.
cross() {
    sysroot=$cache/$1
    export RUSTC=/usr/bin/rustc CARGO=/usr/bin/cargo
    unset RUSTFLAGS RUSTDOCFLAGS
}

x86() {
    platforms/setup.sh emulators
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="qemu-x86_64 -cpu $1"
    # An emulated FMA, emulated: a seventh of the lengths, and no tests/loss_sum.rs.
    export SOFT_BCE_EVERY=7
    # Says which backends there are, so that a run on the wrong machine fails.
    # With all features, as elsewhere in CI: one build serves every CPU.
    cargo test --release -p soft-bce --all-features --test hashes -- --nocapture | tee "$results/hashes.log"
    if [ "$2" = avx2 ]; then grep -q '^avx2: ' "$results/hashes.log"; else ! grep -q '^avx' "$results/hashes.log"; fi
    cargo test --release -p soft-bce --all-features --lib --test backends --test contract --test properties
}

native() {
    cargo test --release -p soft-bce --all-features --test hashes -- --nocapture
    cargo test --release --all-features
}

for_aarch64() {
    platforms/setup.sh emulators aarch64
    cross aarch64
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="--sysroot=$sysroot"
    # QEMU 10.0 on a CPU with AVX-512 selects bits wrongly in some sequences of NEON instructions
    # (as if itself run on a Haswell, it does not); instructions one by one are computed right.
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -one-insn-per-tb -L /usr/aarch64-linux-gnu"
}

aarch64() {
    for_aarch64
    for tests in "--test hashes" "--lib --test backends --test contract --test loss_sum --test properties"; do
        # shellcheck disable=SC2086
        "$CARGO" test --release -p soft-bce --target aarch64-unknown-linux-gnu $tests -- --nocapture
    done
}

# Those of the fastest backend, NEON, by a program that takes a third of the time to build.
aarch64_hashes() {
    for_aarch64
    CARGO_TARGET_DIR=$CARGO_TARGET_DIR/on-aarch64 CARGO_PROFILE_FIRMWARE_LTO=off "$CARGO" run --quiet --profile firmware \
        -p soft-bce-firmware --target aarch64-unknown-linux-gnu --bin hashes > "$results/hashes.txt"
    hashes_equal "$results/hashes.txt" aarch64
}

# Builds a program of firmware/ for a target without a standard library.
firmware() {
    target=$1 name=$2 flags=${3:-}
    platforms/setup.sh compiler bare
    cross bare
    variable=CARGO_TARGET_$(echo "$target" | tr a-z- A-Z_)
    case $target in wasm32*) linker=wasm-ld ;; *) linker=ld.lld ;; esac
    # A directory for each target, with its flags: Cargo locks it.
    directory=$CARGO_TARGET_DIR/on-$target${flags#*=}
    env "${variable}_LINKER=/usr/lib/llvm-22/bin/$linker" "${variable}_RUSTFLAGS=--sysroot=$sysroot $flags" \
        CARGO_TARGET_DIR="$directory" \
        "$CARGO" build --quiet --profile firmware -p soft-bce-firmware --target "$target" --bin "$name"
    program=$directory/$target/firmware/$name
}

hashes_equal() {
    # Text after the hashes says so; nothing printed must not pass.
    : > "$results/difference"
    [ -s "$1" ] && diff "$1" tests/hashes.txt > "$results/difference" ||
        { head -n 20 "$results/difference"; echo "$2: hashes differ"; exit 1; }
    echo "$2: $(wc -l < "$1") hashes as committed"
}

cortex() {
    target=$1 machine=$2 board=${3:-}
    platforms/setup.sh emulators arm
    emulate() {
        # shellcheck disable=SC2086
        timeout 600 qemu-system-arm -M "$machine" $board -nographic -monitor none -serial none \
            -semihosting-config enable=on,target=native -kernel "$1"
    }
    firmware "$target" hashes
    emulate "$program" > "$results/hashes.txt"
    hashes_equal "$results/hashes.txt" "$machine"
    firmware "$target" train
    if [ "$target" = thumbv7em-none-eabihf ]; then
        count=$(arm-none-eabi-objdump -d "$program" | grep -c 'vfma\.f32')
        echo "$count vfma.f32 in the image"
        [ "$count" -gt 0 ]
    fi
    emulate "$program" > "$results/train.txt"
    cat "$results/train.txt"
    env -u RUSTC -u CARGO cargo run --quiet --profile firmware -p soft-bce-firmware --bin train \
        > "$results/train-host.txt"
    diff "$results/train.txt" "$results/train-host.txt"
    echo "$machine: trained to the same bits as the host"
    arm-none-eabi-size "$program"
}

# One image an operation; its size less that of the image of none is the operation's.
firmware_size() {
    platforms/setup.sh emulators arm
    none=
    for operation in none loss gradient sum_gradient linear_predict linear_sum_gradient; do
        export OPERATION=$operation
        firmware thumbv7em-none-eabihf measure
        flash=$(arm-none-eabi-size "$program" | awk 'NR == 2 { print $1 + $2 }')
        : "${none:=$flash}"
        printf '%s: flash %d, ' "$operation" $((flash - none))
        # A clock of instructions instead of time.
        timeout 60 qemu-system-arm -M mps2-an386 -icount shift=0 -nographic -monitor none -serial none \
            -semihosting-config enable=on,target=native -kernel "$program"
    done
}

# What an image names that can panic.
panics() {
    symbols=$(nm -C "$1")
    echo "$symbols" | grep -q ' main$' || { echo "$1: no symbols"; exit 1; }
    echo "$symbols" | grep -E 'panick|rust_begin_unwind|_fail'
}

no_panic() {
    bare="--quiet --profile abort -p bare"
    # shellcheck disable=SC2086
    cargo build $bare
    ! panics "$CARGO_TARGET_DIR/abort/bare" || { echo "host: something can panic"; exit 1; }
    platforms/setup.sh bare
    cross bare
    target=thumbv7em-none-eabihf
    export CARGO_TARGET_THUMBV7EM_NONE_EABIHF_LINKER=/usr/lib/llvm-22/bin/ld.lld
    export CARGO_TARGET_THUMBV7EM_NONE_EABIHF_RUSTFLAGS="--sysroot=$sysroot -Clink-arg=--entry=main -Clink-arg=--gc-sections"
    # shellcheck disable=SC2086
    "$CARGO" build $bare --target $target
    ! panics "$CARGO_TARGET_DIR/$target/abort/bare" || { echo "$target: something can panic"; exit 1; }
    # The test of the test.
    # shellcheck disable=SC2086
    "$CARGO" rustc $bare --target $target -- --cfg planted_panic
    panics "$CARGO_TARGET_DIR/$target/abort/bare" > /dev/null || { echo "a planted panic is not found"; exit 1; }
    echo "no panic on the host and on $target; a planted one is found"
}

wasm() {
    platforms/setup.sh node
    firmware wasm32-unknown-unknown hashes "$1"
    node platforms/wasm.mjs "$program.wasm" > "$results/hashes.txt"
    hashes_equal "$results/hashes.txt" "wasm32 $1"
}

case ${1:-} in
    native) native ;;
    nehalem) x86 Nehalem none ;;
    sandybridge) x86 SandyBridge none ;;
    haswell) x86 Haswell avx2 ;;
    aarch64) aarch64 ;;
    aarch64-hashes) aarch64_hashes ;;
    wasm32) wasm "" ;;
    wasm32-simd128) wasm "-Ctarget-feature=+simd128" ;;
    cortex-m4f) cortex thumbv7em-none-eabihf mps2-an386 ;;
    cortex-m7) cortex thumbv7em-none-eabihf mps2-an500 ;;
    cortex-m3) cortex thumbv7m-none-eabi mps2-an385 ;;
    # More flash than the board has: the hashes of all operations take 287 KiB.
    cortex-m0) cortex thumbv6m-none-eabi microbit '-global nrf51-soc.flash-size=1048576' ;;
    riscv32)
        platforms/setup.sh bare
        cross bare
        CARGO_TARGET_DIR="$CARGO_TARGET_DIR/on-riscv32" CARGO_TARGET_RISCV32IMAFC_UNKNOWN_NONE_ELF_RUSTFLAGS="--sysroot=$sysroot" \
            "$CARGO" build --release -p soft-bce --features linear --lib --target riscv32imafc-unknown-none-elf
        ;;
    firmware-size) firmware_size ;;
    c-firmware)
        platforms/setup.sh emulators arm bare
        cross bare
        # Cargo is not Debian's: the host's library is made by the same command, with its compiler.
        unset CARGO
        [ -n "$given" ] || unset CARGO_TARGET_DIR
        export CARGO_TARGET_THUMBV7EM_NONE_EABIHF_RUSTFLAGS="--sysroot=$sysroot"
        capi/test.sh firmware
        ;;
    no-panic) no_panic ;;
    deny)
        platforms/setup.sh deny
        for package in . fractional-logit capi firmware; do
            "$cache/bin/cargo-deny" --log-level error --all-features --manifest-path "$package/Cargo.toml" --config deny.toml \
                check licenses bans sources
        done
        ;;
    features)
        platforms/setup.sh hack
        PATH=$cache/bin:$PATH cargo hack check -p soft-bce --feature-powerset
        ;;
    *) sed -n 's/^# \{0,1\}//; 2,14p' "$0" >&2; exit 2 ;;
esac
