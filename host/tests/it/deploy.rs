//! Deployments: durable once acknowledged, replaced without a failed call, and gone when removed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use steerage_guests as guests;

use crate::harness::{Host, OWN_CODE, digest, manifest, says};

fn hello() -> Vec<u8> {
    std::fs::read(guests::HELLO).unwrap()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_acknowledged_deploy_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::on(folder.path(), &[]);
    host.deploy(&hello(), &manifest("hello", "/hello", "")).await;
    host.deploy(&says("one"), &manifest("says", "/says", "")).await;
    host.deploy(&says("two"), &manifest("says", "/says", "")).await;
    host.kill();
    let host = Host::on(folder.path(), &[]);
    assert_eq!(host.get("/hello").await.status, 200);
    assert_eq!(host.get("/says").await.text(), "two");
    let app = host.admin("GET", "/v1/apps/says", "").await.json();
    assert_eq!(app["deployments"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_compiled_once_is_not_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::on(folder.path(), &[OWN_CODE]);
    host.deploy(&hello(), &manifest("hello", "/hello", "")).await;
    host.kill();
    // Nobody compiles within a millisecond: this host can only map what is there.
    let host = Host::on(folder.path(), &[OWN_CODE, "--compile-timeout", "1ms"]);
    assert_eq!(host.get("/hello").await.status, 200);
    let reply = host.try_deploy(&says("new"), &manifest("says", "/says", "")).await;
    assert_eq!(reply.cause(), "compile_timed_out", "{}", reply.text());
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_deploy_leaves_nothing() {
    use tokio::io::AsyncWriteExt;
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::on(folder.path(), &[]);
    let wasm = hello();
    let mut upload = tokio::net::TcpStream::connect(&host.admin).await.unwrap();
    let head = format!(
        "PUT /v1/blobs/{} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n",
        digest(&wasm),
        host.admin,
        wasm.len()
    );
    upload.write_all(head.as_bytes()).await.unwrap();
    upload.write_all(&wasm[..wasm.len() / 2]).await.unwrap();
    let blobs = folder.path().join("blobs");
    host.until("half a blob", || async { (!files(&blobs).is_empty()).then_some(()) }).await;
    host.kill();
    // A whole upload that was never deployed goes as well.
    let mut host = Host::on(folder.path(), &[]);
    let uploaded = host.admin("PUT", &format!("/v1/blobs/{}", digest(&wasm)), wasm.clone()).await;
    assert!(uploaded.status.is_success());
    host.kill();
    let host = Host::on(folder.path(), &[]);
    host.until("no blob", || async { files(&blobs).is_empty().then_some(()) }).await;
    assert!(host.admin("GET", "/v1/apps", "").await.json()["apps"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn no_call_fails_while_deployments_replace_each_other() {
    let host = Arc::new(Host::start());
    host.deploy(&says("0"), &manifest("says", "/says", "")).await;
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (host, over) = (host.clone(), over.clone());
            tokio::spawn(async move {
                let mut n_calls = 0;
                while !over.load(Ordering::Relaxed) {
                    let reply = host.get("/says").await;
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    n_calls += 1;
                }
                n_calls
            })
        })
        .collect();
    for text in 1..=10 {
        host.deploy(&says(&text.to_string()), &manifest("says", "/says", "")).await;
        assert_eq!(host.get("/says").await.text(), text.to_string());
    }
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
}

#[tokio::test]
async fn a_call_that_runs_ends_on_the_deployment_it_began_on() {
    let host = Host::start();
    let slow = std::fs::read(guests::SLOW).unwrap();
    host.deploy(&slow, &manifest("app", "/...", "")).await;
    let request = http::Request::get(host.url("/?ms=1000")).body(Default::default()).unwrap();
    let call = tokio::spawn(host.stream(request));
    host.until("running call", || async {
        (host.metric("http_server_active_requests{app=\"app\"}").await >= 1.0).then_some(())
    })
    .await;
    host.deploy(&says("new"), &manifest("app", "/...", "")).await;
    assert_eq!(host.get("/").await.text(), "new");
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    let calls = host
        .until("both calls", || async {
            let calls = host.admin("GET", "/v1/apps/app/calls?limit=9", "").await.json();
            (calls["calls"].as_array().unwrap().len() == 2).then_some(calls)
        })
        .await;
    let generations: Vec<u64> = calls["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| call["generation"].as_u64().unwrap())
        .collect();
    assert_eq!(generations, [2, 1]);
}

#[tokio::test]
async fn a_rollback_goes_one_back_or_where_it_is_told() {
    let host = Host::start();
    for text in ["one", "two", "three"] {
        host.deploy(&says(text), &manifest("says", "/says", "")).await;
    }
    let back = |to: Option<u64>| {
        let body = json!({ "to": to }).to_string();
        host.admin("POST", "/v1/apps/says/rollback", body)
    };
    assert!(back(None).await.status.is_success());
    assert_eq!(host.get("/says").await.text(), "two");
    assert!(back(Some(1)).await.status.is_success());
    assert_eq!(host.get("/says").await.text(), "one");
    let reply = back(Some(9)).await;
    assert_eq!(reply.status, 404, "{}", reply.text());
    assert!(reply.text().contains("1, 2, 3"), "it should say what there is: {}", reply.text());
}

#[tokio::test]
async fn a_removed_app_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("code");
    let host = Host::on(folder.path(), &[OWN_CODE]);
    host.deploy(&says("kept"), &manifest("kept", "/kept", "")).await;
    host.deploy(&says("gone"), &manifest("gone", "/gone", "")).await;
    let blobs = folder.path().join("blobs");
    assert_eq!(files(&blobs).len(), 2);
    assert!(host.admin("DELETE", "/v1/apps/gone", "").await.status.is_success());
    assert_eq!(host.get("/gone").await.status, 404);
    assert_eq!(host.get("/kept").await.text(), "kept");
    assert_eq!(files(&blobs).len(), 1);
    let code: Vec<String> =
        files(&cache).iter().flat_map(|engine| files(&cache.join(engine))).collect();
    assert_eq!(code.len(), 2, "one component's code and shape: {code:?}");
    assert_eq!(host.admin("DELETE", "/v1/apps/gone", "").await.status, 404);
}

#[tokio::test]
async fn deployments_too_old_to_go_back_to_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::on(folder.path(), &[OWN_CODE]);
    for n in 1..=23 {
        host.deploy(&says(&format!("version {n}")), &manifest("says", "/says", "")).await;
    }
    assert_eq!(host.get("/says").await.text(), "version 23");
    let blobs = files(&folder.path().join("blobs"));
    assert_eq!(blobs.len(), 20);
    assert!(!blobs.iter().any(|name| digest(&says("version 3")).ends_with(name)));
    let code = folder.path().join("code");
    let code: Vec<String> =
        files(&code).iter().flat_map(|engine| files(&code.join(engine))).collect();
    assert_eq!(code.len(), 2 * 20, "code and shape of each: {code:?}");
}

#[tokio::test]
async fn a_component_damaged_on_the_disk_is_found_out_and_can_be_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::on(folder.path(), &[OWN_CODE]);
    let (whole, digest) = (says("whole"), digest(&says("whole")));
    let path = format!("/v1/blobs/{digest}");
    assert_eq!(host.admin("PUT", &path, whole.clone()).await.status, 201);
    let blobs = folder.path().join("blobs");
    let blob = blobs.join(&files(&blobs)[0]);
    std::fs::write(&blob, says("holed")).unwrap();
    let body = json!({ "manifest": manifest("says", "/says", ""), "component": digest });
    let deploy = || host.admin("POST", "/v1/apps/says/deployments", body.to_string());
    let reply = deploy().await;
    assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (404, "not_found"));
    assert!(reply.text().contains("upload it again"), "{}", reply.text());
    assert_eq!(host.admin("HEAD", &path, "").await.status, 404);
    assert_eq!(host.admin("PUT", &path, whole).await.status, 201);
    assert_eq!(deploy().await.status, 201);
    assert_eq!(host.get("/says").await.text(), "whole");
}

#[tokio::test]
async fn a_digest_in_the_manifest_is_enforced() {
    let host = Host::start();
    let (right, wrong) = (digest(&says("right")), digest(&says("wrong")));
    let demands = |digest: &str| manifest("says", "/says", &format!("sha256 = \"{digest}\""));
    let reply = host.try_deploy(&says("right"), &demands(&wrong)).await;
    assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (400, "digest_mismatch"));
    host.deploy(&says("right"), &demands(&right)).await;
}

#[tokio::test]
async fn a_second_host_on_the_same_data_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let _host = Host::on(folder.path(), &[]);
    let second = crate::harness::steerage()
        .args(["host", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("in use by another host"), "{said}");
}
