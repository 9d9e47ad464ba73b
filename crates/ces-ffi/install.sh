#!/bin/sh
# Builds the C library of CES and installs it: libraries, header and pkg-config file.
#
#   install.sh [--prefix FOLDER] [--libraries FOLDER] [--pangea]
#
#   --prefix FOLDER     where to install to, from / on; /usr/local unless given
#   --libraries FOLDER  where built libraries are; built with cargo unless given
#   --pangea            also under the name of an older implementation: -lpangea_ces
#
# DESTDIR is put before the prefix, as packagers want it. Without it, and in /usr and /usr/local, what
# loads programs is told of the library with ldconfig, if that works. CARGO is the cargo to build with.
set -eu
# Letters are those of ASCII.
LC_ALL=C

refuse() {
    echo "install.sh: $1" >&2
    exit 2
}

# With CDPATH, cd would go elsewhere, and print where.
crate=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
prefix=/usr/local
libraries=
pangea=no
abi=0

while [ $# -gt 0 ]; do
    case $1 in
        --prefix | --libraries) [ $# -ge 2 ] && [ -n "$2" ] || refuse "$1 needs a folder after it" ;;
    esac
    case $1 in
        --prefix) prefix=$2; shift 2 ;;
        --libraries) libraries=$2; shift 2 ;;
        --pangea) pangea=yes; shift ;;
        *) refuse "unknown argument: $1 (see the head of the file)" ;;
    esac
done

case $prefix in
    /*) ;;
    *) refuse "the prefix is a folder from / on, because pkg-config names it: $prefix" ;;
esac
# So that a prefix is known by its name.
prefix=${prefix%/}
# What sed, pkg-config and the flags that it prints carry as it is.
case $prefix in
    *[!A-Za-z0-9/._+,-]*)
        refuse "the prefix has a character that pkg-config does not carry: $prefix" ;;
esac

if [ -z "$libraries" ]; then
    # cargo says where it put them, whatever the target folder is.
    built=$(CDPATH= cd -- "$crate" && "${CARGO:-cargo}" build --release --message-format=json-render-diagnostics |
        tr '"' '\n' | grep '/libpropeller_ces_ffi\.a$' | tail -n 1)
    if [ -z "$built" ]; then
        echo "install.sh: cargo built no library" >&2
        exit 1
    fi
    libraries=$(dirname -- "$built")
fi

lib=${DESTDIR:-}$prefix/lib
include=${DESTDIR:-}$prefix/include
mkdir -p "$lib/pkgconfig" "$include"

# Beside the old one and over it, so that no program ever maps half a library.
place() {
    cp -- "$1" "$2.new"
    chmod "$3" "$2.new"
    mv -f "$2.new" "$2"
}

if [ -f "$libraries/libpropeller_ces_ffi.dylib" ]; then
    name=libpropeller_ces.$abi.dylib
    link=libpropeller_ces.dylib
    pangea_link=libpangea_ces.dylib
    place "$libraries/libpropeller_ces_ffi.dylib" "$lib/$name" 755
else
    name=libpropeller_ces.so.$abi
    link=libpropeller_ces.so
    pangea_link=libpangea_ces.so
    place "$libraries/libpropeller_ces_ffi.so" "$lib/$name" 755
fi
ln -sf "$name" "$lib/$link"
place "$libraries/libpropeller_ces_ffi.a" "$lib/libpropeller_ces.a" 644
place "$crate/include/propeller_ces.h" "$include/propeller_ces.h" 644

if [ "$pangea" = yes ]; then
    ln -sf "$name" "$lib/$pangea_link"
    ln -sf libpropeller_ces.a "$lib/libpangea_ces.a"
fi

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$crate/../../Cargo.toml" | head -n 1)
sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" "$crate/propeller-ces.pc.in" \
    > "$lib/pkgconfig/propeller-ces.pc"
# Elsewhere it does not look; there, and for whoever may not tell it, LD_LIBRARY_PATH is.
case ${DESTDIR:-}$prefix in
    /usr | /usr/local) PATH=$PATH:/sbin:/usr/sbin ldconfig 2>/dev/null || true ;;
esac
echo "installed libpropeller_ces $version to ${DESTDIR:-}$prefix"
