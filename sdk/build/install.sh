#!/bin/sh
# What the set-up scripts share: setup.sh beside this file, and host/tests/page/setup.sh. They source it.
# A script that sources it has set `name` first: each line that `say` prints begins with it.

say() { printf '%s: %s\n' "$name" "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

# install PACKAGE...: by apt, as root or with a sudo that asks for no password; fails where neither can be had.
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
