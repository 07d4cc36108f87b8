#!/bin/sh
# Makes sure that the page can be tested in a real browser: node, npm, Chromium, and two packages of npm, which it
# puts into target/tools/page. It changes nothing when all of that is there, and fails with a word where it cannot.
# The test is `page::each_screen_in_a_browser` of host/tests/it; without this it is skipped.
set -eu
cd "$(dirname "$0")/../../.."

tools="${CARGO_TARGET_DIR:-target}/tools/page"
here=host/tests/page

name="page setup"
. sdk/build/install.sh

browser() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

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
if ! browser >/dev/null && ! { install chromium && browser >/dev/null; }; then
    say "Chromium is missing: on Debian, apt-get install chromium"
    exit 1
fi
mkdir -p "$tools"
# The test takes the one that was found here.
browser > "$tools/browser"

# What is there already is of these versions, or is brought again.
if ! cmp -s "$here/package-lock.json" "$tools/installed.json"; then
    say "bringing playwright-core and axe-core from npm"
    cp "$here/package.json" "$here/package-lock.json" "$tools/"
    rm -f "$tools/installed.json"
    (cd "$tools" && npm ci --no-audit --no-fund --ignore-scripts >&2) || {
        say "npm cannot bring them"
        exit 1
    }
    # Last of all: it says that all before it went well.
    cp "$here/package-lock.json" "$tools/installed.json"
fi
