#!/bin/sh
# Makes the components of `benches guests`: a hello in JavaScript and one in Python, as their own
# toolchains make them. Needs node, npm, python3 with venv, and a build of this workspace, whose
# wasmtime-wasi-http brings the interfaces along.
set -eu
cd "$(dirname "$0")/.."
out=$PWD/target/bench-guests
mkdir -p "$out"
cd "$out"

# componentize-js takes 0.2.10 and no later one.
interfaces=$(ls -d "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/wasmtime-wasi-http-48.*/wit | head -n 1)
rm -rf wit
cp -r "$interfaces" wit
chmod -R u+w wit
find wit -name '*.wit' -exec sed -i 's/0\.2\.[0-9][0-9]*/0.2.10/g' {} +

cat > app.js <<'END'
addEventListener('fetch', event => event.respondWith(new Response('Hello from JavaScript\n')));
END
cat > make.mjs <<'END'
import { writeFileSync } from 'node:fs';
import { componentize } from '@bytecodealliance/componentize-js';

const { component } =
  await componentize({ sourcePath: 'app.js', witPath: 'wit', worldName: 'bindings' });
writeFileSync('js.wasm', component);
END
npm --silent install @bytecodealliance/componentize-js@0.23.0
node make.mjs

cat > app.py <<'END'
from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import Fields, OutgoingBody, OutgoingResponse, ResponseOutparam


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request, response_out):
        response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain")]))
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            stream.blocking_write_and_flush(b"Hello from Python\n")
        OutgoingBody.finish(body, None)
END
[ -x venv/bin/pip ] || python3 -m venv venv
venv/bin/pip -q install componentize-py==0.25.1
venv/bin/componentize-py -d wit -w bindings componentize app -o py.wasm
ls -l js.wasm py.wasm
