#!/bin/sh
# Brings a real collector of OpenTelemetry for the test of spans: `rotel`. It goes into target/tools/rotel.
# The tests are those of `otlp::rotel`; without this they are skipped.
set -eu
cd "$(dirname "$0")/../../../.."

name="collector setup"
tool=rotel
. sdk/build/install.sh
. host/tests/it/wheel.sh

wheel host/tests/it/otlp rotel/rotel-agent manylinux_2_34
