#!/bin/sh
# Makes sure that this machine can build Steerage and its guests: cargo, a C compiler, protoc, and a way
# to compile to WebAssembly. It changes nothing when all of that is there, and then takes no time.
# It does not install a Rust toolchain or a C compiler: how is the machine's owner's choice.
# Tests of fleets need etcd; it is installed where apt can be used, and those tests are skipped else.
#
# Keep in step with src/toolchain.rs, which looks for the same things.
set -eu

targets="wasm32-wasip2 wasm32-wasip1"
packages="rustc-web cargo-web rust-web-src rust-web-llvm lld-22 wasi-libc libclang-rt-22-dev-wasm32"
rustup_seconds=60
oldest_rustc=95    # the minor version in Cargo.toml's rust-version

name=setup
. "$(dirname "$0")/install.sh"

# Rustc prints where a target's libraries would be, whether or not they are there.
targets_installed() {
    for target in $targets; do
        libdir=$(rustc --print target-libdir --target "$target" 2>/dev/null) || return 1
        [ -d "$libdir" ] || return 1
    done
}

# Debian's rustc with the standard library's source, a linker and a C library for WASI.
source_recipe_installed() {
    [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] || return 1
    version=$(/usr/bin/rustc --version | sed 's/^rustc 1\.\([0-9]*\).*/\1/')
    [ "$version" -ge "$oldest_rustc" ] 2>/dev/null || return 1
    sysroot=$(/usr/bin/rustc --print sysroot 2>/dev/null) || return 1
    [ -f "$sysroot/lib/rustlib/src/rust/library/std/Cargo.toml" ] || return 1
    [ -f /usr/lib/wasm32-wasi/crt1-command.o ] || return 1
    ls /usr/bin/wasm-ld-[0-9]* >/dev/null 2>&1
}

add_targets() {
    has rustup || return 1
    say "asking rustup for $targets"
    # Unquoted on purpose: two targets. Without `timeout` (macOS) rustup's own limits must do.
    if has timeout; then
        timeout "$rustup_seconds" rustup target add $targets
    else
        rustup target add $targets
    fi
}

# take PACKAGE PROGRAM [FOLDER]: puts one program of a Debian package into /usr/local/bin, and the files of a
# folder that it does not start without where the package has them. The package itself is not installed,
# since those of etcd and of Prometheus' programs would start a service of the machine.
take() {
    has apt-get && has dpkg-deb && [ -w /usr/local/bin ] || return 1
    say "taking $(basename "$2") from the package $1"
    folder=$(mktemp -d) &&
        apt-get update -q >&2 &&
        (cd "$folder" && apt-get download -q "$1" >&2 && dpkg-deb --extract ./*.deb tree) &&
        { [ -z "${3:-}" ] || { mkdir -p "/$3" && cp "$folder/tree/$3"/*.tmpl "/$3/"; }; } &&
        cp "$folder/tree/$2" /usr/local/bin/ && chmod 755 "/usr/local/bin/$(basename "$2")"
    taken=$?
    rm -rf "$folder"
    return $taken
}

has_etcd() {
    for program in /usr/bin/etcd /usr/sbin/etcd /usr/local/bin/etcd; do
        [ -x "$program" ] && return 0
    done
    return 1
}

missing=0
if ! has cargo || ! has rustc; then
    say "cargo is missing: install Rust from https://rustup.rs or your distribution"
    missing=1
fi
if ! has cc && ! has gcc && ! has clang; then
    say "a C compiler is missing: on Debian, apt-get install gcc libc6-dev; on macOS, xcode-select --install"
    missing=1
fi
[ "$missing" = 0 ] || exit 1

# Of etcd-client's build: it makes its client from etcd's own definitions.
has_protoc() {
    [ -n "${PROTOC:-}" ] || has protoc
}

if ! has_protoc && ! { install protobuf-compiler libprotobuf-dev && has_protoc; }; then
    say "protoc is missing, without which the client of etcd cannot be built. One of these does:"
    say "  apt-get install protobuf-compiler libprotobuf-dev    (as root)"
    say "  brew install protobuf"
    exit 1
fi

if ! has_etcd && ! { take etcd-server usr/bin/etcd && has_etcd; }; then
    say "etcd is missing, so tests of fleets are skipped: apt-get install etcd-server, as root"
fi

# A test has the metrics checked by Prometheus' own checker, and is skipped without.
has promtool || take prometheus usr/bin/promtool || true

# Tests send what is wrong to a real Alertmanager, and are skipped without.
has prometheus-alertmanager || take prometheus-alertmanager usr/bin/prometheus-alertmanager \
    usr/share/prometheus/alertmanager || true

# A test sets the clock of one host wrong with it, and is skipped without.
ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || install libfaketime || true

targets_installed && exit 0
source_recipe_installed && exit 0
add_targets && targets_installed && exit 0
install $packages && source_recipe_installed && exit 0

say "this machine cannot compile to WebAssembly, and that could not be repaired. Either of these does:"
say "  rustup target add $targets"
say "  apt-get install --no-install-recommends $packages    (as root, on Debian 12)"
exit 1
