#!/bin/sh
# Makes sure that the page can be tested in a real browser: node, npm, Chromium, and two packages of npm, which it
# puts into target/tools/page. It changes nothing when all of that is there, and fails with a word where it cannot.
# The test is `page::each_screen_in_a_browser` of host/tests/it; without this it is skipped.
set -eu
cd "$(dirname "$0")/../../.."

tools="${CARGO_TARGET_DIR:-target}/tools/page"
here=host/tests/page

say() { printf 'page setup: %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

has_browser() { has chromium || has chromium-browser || has google-chrome; }

# install PACKAGE...
install() {
    has apt-get || return 1
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif has sudo && sudo -n true 2>/dev/null; then
        as_root="sudo -n"
    else
        return 1
    fi
    say "installing $*"
    $as_root apt-get update -q >&2 &&
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -q --no-install-recommends "$@" >&2
}

if ! has node || ! has npm; then
    install nodejs npm || true
fi
if ! has node || ! has npm; then
    say "node and npm are missing: on Debian, apt-get install nodejs npm"
    exit 1
fi
major=$(node --version | sed 's/^v//; s/\..*//')
if [ "$major" -lt 20 ]; then
    say "node is of version $major: playwright-core wants 20 or later"
    exit 1
fi
if ! has_browser && ! { install chromium && has_browser; }; then
    say "Chromium is missing: on Debian, apt-get install chromium"
    exit 1
fi

# What is there already is of these versions, or is brought again.
if ! cmp -s "$here/package-lock.json" "$tools/installed.json"; then
    say "bringing playwright-core and axe-core from npm"
    mkdir -p "$tools"
    cp "$here/package.json" "$here/package-lock.json" "$tools/"
    rm -f "$tools/installed.json"
    (cd "$tools" && npm ci --no-audit --no-fund --ignore-scripts >&2) || {
        say "npm cannot bring them"
        exit 1
    }
    # Last of all: it says that all before it went well.
    cp "$here/package-lock.json" "$tools/installed.json"
fi
