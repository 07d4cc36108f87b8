#!/bin/sh
# Brings a real collector of OpenTelemetry for the test of spans: `rotel`, whose program lies in a package of PyPI.
# It goes into target/tools/rotel. It changes nothing when it is there, and fails with a word where it cannot be had.
# The tests are those of `otlp::rotel`; without this they are skipped.
set -eu
cd "$(dirname "$0")/../../../.."

tools="${CARGO_TARGET_DIR:-target}/tools/rotel"
here=host/tests/it/otlp

name="collector setup"
. sdk/build/install.sh

# What is there already is of this version, or is brought again.
if cmp -s "$here/requirements.txt" "$tools/installed.txt"; then
    exit 0
fi
if ! has python3 || ! python3 -m pip --version >/dev/null 2>&1; then
    install python3-pip || true
fi
if ! has python3 || ! python3 -m pip --version >/dev/null 2>&1; then
    say "python3 and pip are missing: on Debian, apt-get install python3-pip"
    exit 1
fi
say "bringing rotel from PyPI"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The program is the same for each version of Python, so it is one of them whichever is here.
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    --implementation cp --python-version 3.11 --abi cp311 --platform "manylinux_2_34_$(uname -m)" \
    --dest "$folder" --requirement "$here/requirements.txt" >&2 || {
    say "pip cannot bring it"
    exit 1
}
python3 -m zipfile -e "$folder"/rotel-*.whl "$folder/tree"
mkdir -p "$tools"
rm -f "$tools/installed.txt"
cp "$folder/tree/rotel/rotel-agent" "$tools/rotel-agent"
chmod 755 "$tools/rotel-agent"
# Last of all: it says that all before it went well.
cp "$here/requirements.txt" "$tools/installed.txt"
