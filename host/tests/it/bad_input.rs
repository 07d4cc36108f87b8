//! Bad components, manifests and names: a clear error each, and the host serves the others.

use crate::harness::{Host, Reply, digest, manifest, wat};

/// Deploys something that must be refused, beside an app that must go on and nothing left behind.
async fn refused(wasm: &[u8], text: &str, status: u16, cause: &str) -> Reply {
    refused_by(&Host::start(), wasm, text, status, cause).await
}

async fn refused_by(host: &Host, wasm: &[u8], text: &str, status: u16, cause: &str) -> Reply {
    let good = wat(r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 8) "\10\00\00\00\01\00\00\00\0a")
        (func (export "_start")
            (drop (call $w (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))))"#);
    host.deploy(&good, &manifest("good", "/good", "")).await;
    let reply = host.try_deploy(wasm, text).await;
    assert_eq!(
        (reply.status.as_u16(), reply.cause().as_str()),
        (status, cause),
        "{}",
        reply.text()
    );
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!(host.get("/good").await.status, 200);
    let apps = host.admin("GET", "/v1/apps", "").await.json();
    assert_eq!(apps["apps"].as_array().unwrap().len(), 1, "{apps}");
    let blobs = std::fs::read_dir(host.data.join("blobs")).unwrap().count();
    assert_eq!(blobs, 1, "a refused component was left behind");
    reply
}

fn bad() -> String {
    manifest("bad", "/bad", "")
}

#[tokio::test]
async fn what_is_not_wasm() {
    let reply = refused(b"#!/bin/sh\necho hi\n", &bad(), 422, "bad_component").await;
    assert!(reply.text().contains("not a WebAssembly binary"), "{}", reply.text());
}

#[tokio::test]
async fn compiled_code_from_outside() {
    let elf = std::fs::read(env!("CARGO_BIN_EXE_steerage")).unwrap();
    let reply = refused(&elf[..100_000], &bad(), 422, "bad_component").await;
    assert!(reply.text().contains("compiled code is not accepted"), "{}", reply.text());
}

#[tokio::test]
async fn a_truncated_component() {
    let whole = std::fs::read(steerage_guests::HELLO).unwrap();
    let reply = refused(&whole[..whole.len() / 2], &bad(), 422, "bad_component").await;
    assert!(reply.text().contains("invalid WebAssembly"), "{}", reply.text());
}

#[tokio::test]
async fn a_component_of_another_world() {
    let library = wat(r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (export "do-things" (func $f)))"#);
    let reply = refused(&library, &bad(), 422, "bad_component").await;
    assert!(reply.text().contains("do-things"), "what it exports: {}", reply.text());
    assert!(reply.text().contains("wasi:http/incoming-handler@0.2"), "{}", reply.text());
}

#[tokio::test]
async fn imports_we_do_not_have() {
    let needy = wat(r#"(module (import "env" "launch" (func)) (func (export "_start")))"#);
    let reply = refused(&needy, &bad(), 422, "bad_component").await;
    assert!(reply.text().contains("env.launch"), "{}", reply.text());
    let component = wat(r#"(component (import "acme:rockets/launch@1.0.0" (instance)))"#);
    let reply = refused(&component, &bad(), 422, "bad_component").await;
    assert!(reply.text().contains("acme:rockets/launch@1.0.0"), "{}", reply.text());
}

#[tokio::test]
async fn a_200_mb_module() {
    let host = Host::start();
    let huge = vec![0; 200 << 20];
    let reply = refused_by(&host, &huge, &bad(), 413, "too_large").await;
    assert!(reply.text().contains("100MiB"), "{}", reply.text());
}

#[tokio::test]
async fn a_component_that_compiles_for_ever() {
    let host = Host::with(&["--compile-timeout", "1s"]);
    // One function with very many locals and branches: register allocation takes minutes.
    let mut body = String::new();
    for n in 0..60_000 {
        body.push_str(&format!(
            "(local.set {} (i32.add (local.get {}) (select (local.get {}) (local.get {}) (local.get {}))))\n\
             (br_if 0 (i32.eqz (local.get {})))\n",
            n % 2000, (n * 7) % 2000, (n * 13) % 2000, (n * 29) % 2000, (n * 31) % 2000, (n * 3) % 2000,
        ));
    }
    let locals = "i32 ".repeat(2000);
    let bomb = wat(&format!("(module (func (export \"_start\") (local {locals}) (block {body})))"));
    let reply = refused_by(&host, &bomb, &bad(), 422, "compile_timed_out").await;
    assert!(reply.text().contains("1s"), "{}", reply.text());
}

#[tokio::test]
async fn a_manifest_with_mistakes_names_them_all() {
    let wasm = wat(r#"(module (func (export "_start")))"#);
    let text = "name = \"bad\"\nversion = \"1\"\nsource = \"a.wasm\"\ntimeout = \"5s\"\n\
                [limits]\nmemory = \"lots\"\nfule = 3\n[[route]]\npath = \"no-slash\"\n\
                [[route]]\npath = \"/a\"\n[[route]]\npath = \"/a\"\n";
    let reply = refused(&wasm, text, 400, "bad_manifest").await;
    let problem = reply.json();
    let mistakes = problem["mistakes"].as_array().unwrap();
    let at = |line: u64| mistakes.iter().any(|mistake| mistake["line"] == line);
    for line in [4, 6, 7, 9, 12] {
        assert!(at(line), "nothing said about line {line}: {problem:#}");
    }
    assert!(reply.text().contains("fuel"), "no `did you mean`: {}", reply.text());
}

#[tokio::test]
async fn names_that_climb_out_of_folders() {
    let wasm = wat(r#"(module (func (export "_start")))"#);
    let host = Host::start();
    let upload = host.admin("PUT", &format!("/v1/blobs/{}", digest(&wasm)), wasm.clone()).await;
    assert!(upload.status.is_success());
    for path in ["/v1/apps/..%2f..%2fetc/deployments", "/v1/apps/Bad_Name/deployments"] {
        let body = serde_json::json!({ "manifest": bad(), "component": digest(&wasm) }).to_string();
        let reply = host.admin("POST", path, body).await;
        assert!(reply.status.is_client_error(), "{path}: {}", reply.status);
    }
    for digest in ["sha256:../../etc/passwd", "..%2f..%2fetc%2fpasswd"] {
        let reply = host.admin("PUT", &format!("/v1/blobs/{digest}"), "x").await;
        assert!(reply.status.is_client_error(), "{digest}: {}", reply.status);
    }
    let text = "name = \"../bad\"\nversion = \"1\"\nsource = \"a\"\n[[route]]\npath = \"/../a\"\n";
    let reply = host
        .admin("POST", "/v1/validate", serde_json::json!({ "manifest": text }).to_string())
        .await;
    let said = reply.text();
    assert!(said.contains("../bad") && said.contains("/../a"), "{said}");
}

#[tokio::test]
async fn an_upload_that_is_not_what_it_says() {
    let host = Host::start();
    let reply = host.admin("PUT", &format!("/v1/blobs/{}", digest(b"other")), "this").await;
    assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (400, "digest_mismatch"));
    assert_eq!(std::fs::read_dir(host.data.join("blobs")).unwrap().count(), 0);
}
