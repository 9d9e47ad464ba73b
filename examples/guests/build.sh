#!/usr/bin/env bash
# Rebuilds the guests next to this script from their sources.
#
#   examples/guests/build.sh [WORK_DIRECTORY]
#
# The components come out as modules, in the directory that MODULES names; `cargo xtask guests`
# turns them into components. Without MODULES they are built and left in the work directory.
#
# The compilers come from Debian's archive and are unpacked below the work directory, never
# installed: Debian's rustc-web conflicts with other Rust compilers, and a private copy needs no
# root. Crates come from where cargo gets them, pinned by each guest's Cargo.lock.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
work=$(realpath -m -- "${1:-${XDG_CACHE_HOME:-$HOME/.cache}/propeller/guests}")
cargo_home=$(realpath -m -- "${CARGO_HOME:-$HOME/.cargo}")
cargo=${CARGO:-cargo}
modules=${MODULES:+$(realpath -m -- "$MODULES")}
target=wasm32-wasip1

say() { printf '==> %s\n' "$*" >&2; }
die() {
    printf 'build.sh: %s\n' "$*" >&2
    exit 1
}

# What the unpacked compilers expect of the machine: a linker for build scripts, and the shared
# libraries that libLLVM links to.
require_host() {
    command -v apt-get >/dev/null || die "needs apt-get: run it on Debian 12 or in its container"
    command -v "$cargo" >/dev/null || die "needs cargo: install Rust first"

    local package missing=()
    for package in gcc libc6-dev libedit2 libffi8 libstdc++6 libxml2 libz3-4 libzstd1 zlib1g; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    ((EUID == 0)) || die "missing Debian packages; run: sudo apt-get install ${missing[*]}"
    say "installing ${missing[*]}"
    apt-get install -qq -y --no-install-recommends "${missing[@]}" >&2
}

candidate() { apt-cache policy "$1" | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'; }

# Sets the variables that name the toolchain. rustc-web decides: std must be compiled from exactly
# its sources, and sharing its LLVM makes one libLLVM serve rustc, clang and the linker.
locate_toolchain() {
    rust_version=$(candidate rustc-web)
    [[ -n $rust_version ]] || die "apt knows no rustc-web; run apt-get update as root on Debian 12"
    rust_minor=$(cut -d. -f1,2 <<<"$rust_version")
    llvm=$(apt-cache depends "libstd-rust-web-$rust_minor=$rust_version" |
        sed -n 's/.*Depends: libllvm//p')
    [[ -n $llvm ]] || die "libstd-rust-web-$rust_minor depends on no libllvm; its packaging changed"

    toolchain=$work/toolchain-$rust_version
    root=$toolchain/root
    llvm_bin=$root/usr/lib/llvm-$llvm/bin
    rustlib=$root/usr/lib/rustlib
}

# apt-get checks what it downloads against the archive's signed index.
unpack_toolchain() {
    say "unpacking rustc $rust_version and LLVM $llvm into $toolchain"
    rm -rf -- "$toolchain"
    mkdir -p -- "$toolchain/debs" "$root"
    # apt drops root for a download and cannot enter a directory of root's home as its own user.
    (cd -- "$toolchain/debs" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download \
        "rustc-web=$rust_version" "libstd-rust-web-$rust_minor=$rust_version" \
        "libstd-rust-web-dev=$rust_version" "rust-web-src=$rust_version" \
        "libllvm$llvm" "lld-$llvm" "clang-$llvm" "libclang-cpp$llvm" "libclang-common-$llvm-dev" \
        "libclang-rt-$llvm-dev-wasm32" wasi-libc wabt) >&2

    local deb
    for deb in "$toolchain"/debs/*.deb; do
        [[ ${deb##*/} == rust-web-src_* ]] || dpkg-deb -x "$deb" "$root"
    done
    # Of the sources of the whole compiler, std is all that is compiled.
    mkdir -p -- "$rustlib/src/rust"
    dpkg-deb --fsys-tarfile "$toolchain"/debs/rust-web-src_*.deb |
        tar -x -C "$rustlib/src/rust" --strip-components=4 --wildcards \
            './usr/src/rustc-*/library/*' './usr/src/rustc-*/Cargo.lock' \
            './usr/src/rustc-*/src/version'
    rm -rf -- "$toolchain/debs"
}

# Runs a program of the toolchain, which finds libLLVM nowhere else.
private() { LD_LIBRARY_PATH=$root/usr/lib/$(gcc -print-multiarch) "$@"; }

# Maps every path that a panic message could carry to one that is the same on all machines. The
# registry's directory is named after its host and a hash, hence the loop. Cargo separates the
# flags by 0x1f, so a path may contain spaces. The bitcode lets a guest's link-time optimisation
# reach into std; cargo leaves it out of crates that need none themselves.
rustflags() {
    local from flags=-Cembed-bitcode=yes
    flags+=$'\x1f'--remap-path-prefix=$rustlib/src/rust=/rust
    # As build_std's workspace sees it.
    flags+=$'\x1f'--remap-path-prefix=${rustlib#"$toolchain"/}/src/rust=/rust
    flags+=$'\x1f'--remap-path-prefix=$here=/guests
    for from in "$cargo_home"/registry/src/*/; do
        flags+=$'\x1f'--remap-path-prefix=${from%/}=/crates
    done
    printf '%s' "$flags"
}

# Our rustc under the machine's cargo. The empty wrapper keeps a configured sccache out.
run_cargo() {
    CARGO_ENCODED_RUSTFLAGS=$(rustflags) CARGO_TARGET_WASM32_WASIP1_LINKER=$llvm_bin/wasm-ld \
        RUSTC=$root/usr/bin/rustc RUSTC_WRAPPER='' RUSTC_WORKSPACE_WRAPPER='' private "$cargo" "$@"
}

# Debian packages no std for wasm32-wasip1. Cargo compiles it for an empty crate, offline, from the
# crates vendored with the sources; the resulting libraries then are the sysroot.
build_std() {
    say "compiling std for $target (a minute or two, once)"
    local libraries=$rustlib/$target/lib
    mkdir -p -- "$toolchain/src" "$libraries/self-contained"
    # The crate sits above the sources: cargo hashes a source's path relative to the workspace,
    # so the work directory's own path does not reach the symbol names.
    printf '#![no_std]\n' >"$toolchain/src/lib.rs"
    cat >"$toolchain/Cargo.toml" <<'MANIFEST'
[workspace]
[package]
name = "empty"
version = "0.0.0"
edition = "2024"
[profile.release]
panic = "abort"
MANIFEST
    # Debian's rustc is a stable one. Only this step needs its unstable features.
    (cd -- "$toolchain" && RUSTC_BOOTSTRAP=1 run_cargo build --quiet --offline --release \
        --target "$target" --target-dir "$toolchain/target" -Z build-std=std,panic_abort \
        --config 'source.crates-io.replace-with = "vendored"' \
        --config "source.vendored.directory = '$rustlib/src/rust/library/vendor'")
    cp -- "$toolchain/target/$target"/release/deps/*.rlib "$libraries/"
    rm -f -- "$libraries"/libempty-*.rlib
    cp -- "$root"/usr/lib/wasm32-wasi/{crt1-command.o,crt1-reactor.o,libc.a} \
        "$libraries/self-contained/"
    rm -rf -- "$toolchain"/{target,src,Cargo.toml,Cargo.lock}
}

# The stamp comes last: an interrupted run starts over instead of using half a toolchain.
prepare_toolchain() {
    [[ ! -e $toolchain/complete ]] || return 0
    unpack_toolchain
    build_std
    touch -- "$toolchain/complete"
}

build_add() {
    private "$root/usr/bin/wat2wasm" "$here/add/add.wat" -o "$work/out/add.wasm"
}

# clang calls the target's name deprecated, but Debian's wasi-libc lives in directories named so.
build_wordcount() {
    private "$llvm_bin/clang" --target=wasm32-wasi -Wno-deprecated --sysroot="$root/usr" \
        -std=c11 -O2 -Wall -Wextra -Werror -ffile-prefix-map="$here=/guests" \
        -fuse-ld="$llvm_bin/wasm-ld" -Wl,--strip-all \
        "$here/wordcount/wordcount.c" -o "$work/out/wordcount.wasm"
}

# Fetching comes first: rustflags() lists the registry directories that exist.
build_rust() {
    local manifest=$here/$1/Cargo.toml
    run_cargo fetch --quiet --locked --manifest-path "$manifest" --target "$target"
    run_cargo build --quiet --locked --offline --release --manifest-path "$manifest" \
        --target "$target" --target-dir "$work/target"
    cp -- "$work/target/$target/release/$1.wasm" "$work/out/$1.wasm"
}

# The files are published, and differ between machines if a path gets in.
refuse_paths() {
    local path
    for path in "$work" "$here" "$cargo_home" "$HOME/"; do
        if grep -aqF -- "$path" "$1"; then
            die "${1##*/} contains the path $path"
        fi
    done
}

main() {
    require_host
    mkdir -p -- "$work/out"
    # Two runs would unpack over each other.
    exec 9>"$work/lock"
    flock 9

    locate_toolchain
    prepare_toolchain
    build_add
    build_wordcount
    build_rust hello
    build_rust thumbnail
    build_rust dial
    build_rust web

    local guest
    for guest in add hello thumbnail wordcount; do
        refuse_paths "$work/out/$guest.wasm"
        install -m 644 -- "$work/out/$guest.wasm" "$here/$guest.wasm"
    done
    for guest in dial web; do
        refuse_paths "$work/out/$guest.wasm"
        [[ -z $modules ]] || install -m 644 -- "$work/out/$guest.wasm" "$modules/$guest.wasm"
    done
    cd -- "$here"
    for guest in add hello thumbnail wordcount; do
        printf '%9d bytes  sha256 %s\n' "$(stat -c %s "$guest.wasm")" "$(sha256sum "$guest.wasm")"
    done
}

main
