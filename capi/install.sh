#!/bin/sh
# Builds the C library and installs it: header, static and shared library, pkg-config file.
#
#     capi/install.sh [--prefix DIR] [--libdir DIR] [--destdir DIR]
#
# --prefix is where the files will be used (default /usr/local), --libdir where the libraries go
# (default PREFIX/lib), --destdir a root to stage them under, as packagers need. For Linux.
set -eu

prefix=/usr/local libdir= destdir=
while [ $# -gt 0 ]; do
    case $1 in
        --prefix) prefix=${2:?} ;;
        --libdir) libdir=${2:?} ;;
        --destdir) destdir=${2:?} ;;
        *) sed -n 's/^# \{0,1\}//; 2,7p' "$0" >&2; exit 2 ;;
    esac
    shift 2
done
libdir=${libdir:-$prefix/lib}

cd "$(dirname "$0")"
target=${CARGO_TARGET_DIR:-../target}
# The system libraries that the static library needs; told only when it is linked anew.
touch src/lib.rs
private=$(CARGO_TARGET_DIR=$target cargo rustc --profile capi --lib -- --print native-static-libs 2>&1 |
    tee /dev/stderr | sed -n 's/.*native-static-libs: //p' | tail -n 1)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
soname=$(readelf -d "$target/capi/libsoft_bce.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')

install -d "$destdir$prefix/include" "$destdir$libdir/pkgconfig"
install -m 644 include/soft_bce.h "$destdir$prefix/include/"
install -m 644 "$target/capi/libsoft_bce.a" "$destdir$libdir/"
# Debug information of std, most of the file.
strip --strip-debug "$destdir$libdir/libsoft_bce.a"
install -m 755 "$target/capi/libsoft_bce.so" "$destdir$libdir/libsoft_bce.so.$version"
ln -sf "libsoft_bce.so.$version" "$destdir$libdir/$soname"
ln -sf "$soname" "$destdir$libdir/libsoft_bce.so"
cat > "$destdir$libdir/pkgconfig/soft_bce.pc" <<END
prefix=$prefix
includedir=\${prefix}/include
libdir=$libdir

Name: soft_bce
Description: Binary cross-entropy with soft targets, from logits
Version: $version
Cflags: -I\${includedir}
Libs: -L\${libdir} -lsoft_bce
Libs.private: $private
END
# Compilers find the library by pkg-config; what starts a program has a search of its own.
cat >&2 <<END
Installed in $libdir. A program linked with the shared library starts where the loader finds it:
either $libdir is one of the loader's directories (/etc/ld.so.conf) and ldconfig has run since,
or LD_LIBRARY_PATH=$libdir is set, or it was linked with -Wl,-rpath,$libdir. The static
library needs nothing. If pkg-config does not find soft_bce: PKG_CONFIG_PATH=$libdir/pkgconfig
END
