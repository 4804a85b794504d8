#!/bin/sh
# Installs, on Debian 12 (x86-64, as root), what run.sh needs for the given groups of tools:
#
#     platforms/setup.sh [emulators] [compiler] [aarch64] [bare] [arm] [node] [deny] [hack]      (none: all)
#
# Debian's rustc-web is the cross compiler: it has its library's source as a package, from which
# core is built for targets without a packaged standard library. Everything that is no Debian
# package goes below $SOFT_BCE_PLATFORMS (default target/platforms). What is there already is kept.
set -eu
cd "$(dirname "$0")/.."
cache=${SOFT_BCE_PLATFORMS:-$PWD/target/platforms}
mkdir -p "$cache"

CARGO_DENY=0.20.2
CARGO_HACK=0.6.45

quietly() {
    "$@" > "$cache/setup-$$.log" 2>&1 || { tail -n 30 "$cache/setup-$$.log" >&2; exit 1; }
    rm "$cache/setup-$$.log"
}

updated=
update() {
    [ -n "$updated" ] || quietly apt-get -o DPkg::Lock::Timeout=300 update
    updated=yes
}

# Installs the missing ones among Debian packages; options of apt-get come first.
packages() {
    options=
    while [ "${1#-}" != "$1" ]; do options="$options $1"; shift; done
    missing=
    for package; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null | grep -qx installed ||
            missing="$missing $package"
    done
    [ -z "$missing" ] && return
    echo "installing$missing"
    update
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    quietly apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $options $missing
}

# QEMU 10. Bookworm's own 7.2 would remove a newer qemu-utils.
emulators() {
    dpkg-query -W -f '${db:Status-Status}\n' qemu-user qemu-system-arm 2> /dev/null |
        grep -cx installed | grep -qx 2 && return
    if ! apt-cache policy | grep -q bookworm-backports; then
        cat > /etc/apt/sources.list.d/bookworm-backports.sources <<END
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
        updated=
    fi
    packages --target-release=bookworm-backports qemu-user qemu-system-arm
}

compiler() {
    packages rustc-web cargo-web rust-web-src lld-22
}

# To look into images, and to link C with them.
arm() {
    packages gcc-arm-none-eabi binutils-arm-none-eabi
}

node() {
    command -v node > /dev/null || packages nodejs
}

# The standard library of another architecture, unpacked instead of installed: it conflicts.
aarch64() {
    compiler
    packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    version=$(dpkg-query -W -f '${Version}' rustc-web)
    root=$cache/aarch64-$version
    [ -f "$root/ready" ] && return
    echo "unpacking the aarch64 standard library"
    dpkg --print-foreign-architectures | grep -qx arm64 || { dpkg --add-architecture arm64; updated=; }
    update
    rm -rf "$root"
    mkdir -p "$root/packages"
    (
        cd "$root/packages"
        quietly apt-get download "libstd-rust-web-dev:arm64=$version"
        dpkg -x ./*.deb "$root"
    )
    rm -r "$root/packages"
    ln -sfn "$root/usr" "$cache/aarch64"
    touch "$root/ready"
}

# core for bare machines and wasm, built once into a sysroot of its own; compilers with it then
# behave as a stable toolchain with the target installed.
bare() {
    compiler
    version=$(dpkg-query -W -f '${Version}' rustc-web)
    root=$cache/bare-$version
    for target in thumbv7em-none-eabihf thumbv7m-none-eabi thumbv6m-none-eabi \
        riscv32imafc-unknown-none-elf wasm32-unknown-unknown; do
        library=$root/lib/rustlib/$target/lib
        [ -d "$library" ] && continue
        echo "building core for $target"
        mkdir -p "$root/core/src"
        printf '[package]\nname = "nothing"\nedition = "2024"\n[workspace]\n' > "$root/core/Cargo.toml"
        echo '#![no_std]' > "$root/core/src/lib.rs"
        # Bitcode, without which programs cannot be optimised as a whole.
        quietly env RUSTFLAGS=-Cembed-bitcode=yes RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
            CARGO_TARGET_DIR="$root/target" CARGO_PROFILE_RELEASE_PANIC=abort \
            /usr/bin/cargo build --manifest-path "$root/core/Cargo.toml" --release \
            -Zbuild-std=core --target "$target"
        mkdir -p "$library.new"
        cp "$root/target/$target/release/deps/"libco*.rlib "$library.new"
        mv "$library.new" "$library"
    done
    rm -rf "$root/target"
    ln -sfn "$root" "$cache/bare"
}

tool() {
    "$cache/bin/$1" "${1#cargo-}" --version 2> /dev/null | grep -qx "$1 $2" && return
    echo "building $1 $2"
    # Quickly built: they run for a second.
    quietly env -u RUSTFLAGS CARGO_TARGET_DIR="$cache/tools-$1" CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
        CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        cargo install --locked --root "$cache" "$1" --version "$2" --no-default-features
    rm -rf "$cache/tools-$1"
}
deny() { tool cargo-deny $CARGO_DENY; }
hack() { tool cargo-hack $CARGO_HACK; }

[ $# -gt 0 ] || set -- emulators compiler aarch64 bare arm node deny hack
for group; do
    case $group in
        emulators | compiler | aarch64 | bare | arm | node | deny | hack) "$group" ;;
        *) sed -n 's/^# \{0,1\}//; 2,8p' "$0" >&2; exit 2 ;;
    esac
done
