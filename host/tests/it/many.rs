//! Many apps: code comes at the first call, goes when nobody calls, and a start reads none of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use serde_json::Value;
use steerage::ledger::Ledger;
use steerage::ledger::deployment::Deployment;
use steerage::ledger::record::DeploymentRecord;
use steerage_core::id::{Digest, Generation};
use steerage_core::limits::LimitsPolicy;
use steerage_guests as guests;

use crate::harness::{Host, OWN_CODE, digest, manifest, reader, says};

/// A manifest under `/NAME`, which the host answers with the app's own text.
fn plain(name: &str) -> String {
    manifest(name, &format!("/{name}"), "")
}

/// Deploys an app for each name that says its name, on a host that has ended since.
async fn deployed(folder: &Path, names: &[&str], flags: &[&str]) {
    let mut host = Host::on(folder, flags);
    for name in names {
        host.deploy(&says(name), &plain(name)).await;
    }
    host.kill();
}

async fn n_mapped(host: &Host) -> u64 {
    let info = host.admin("GET", "/v1/host", "").await.json();
    info["apps_mapped"].as_u64().unwrap()
}

/// The code files this host has mapped to be run, once for each mapping.
fn code(host: &Host) -> Vec<PathBuf> {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", host.pid())).unwrap();
    let run = maps.lines().filter(|line| line.contains("r-xp") && line.ends_with(".cwasm"));
    run.map(|line| PathBuf::from(line.split_whitespace().last().unwrap())).collect()
}

fn is_code_of(file: &Path, wasm: &[u8]) -> bool {
    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
    digest(wasm).ends_with(&name)
}

/// Where a host that keeps its code to itself has that of a component.
fn code_file(folder: &Path, wasm: &[u8]) -> PathBuf {
    let code = std::fs::read_dir(folder.join("code")).unwrap().next().unwrap().unwrap().path();
    let found = std::fs::read_dir(code).unwrap().map(|entry| entry.unwrap().path());
    let is_code = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "cwasm");
    found.into_iter().find(|path| is_code(path) && is_code_of(path, wasm)).expect("its code")
}

async fn event(host: &Host, kind: &str) -> Value {
    host.until("an event", || async {
        let reply = host.admin("GET", "/v1/events?limit=50", "").await.json();
        let events = reply["events"].as_array().unwrap().clone();
        events.into_iter().find(|event| event["kind"] == kind)
    })
    .await
}

/// Lets the clock go on by which apps are used, so that the next call is a later one.
async fn tick() {
    let now = Instant::now();
    while now.elapsed() < Duration::from_millis(3) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn after_a_restart_code_comes_with_the_first_call() {
    let folder = tempfile::tempdir().unwrap();
    deployed(folder.path(), &["a", "b"], &[]).await;
    let host = Host::on(folder.path(), &[]);
    assert_eq!(n_mapped(&host).await, 0);
    assert_eq!(code(&host), Vec::<PathBuf>::new());
    // What is known without code is told, and nothing is counted for who was never called.
    let apps = host.admin("GET", "/v1/apps", "").await.json();
    assert_eq!(apps["apps"][1]["routes"][0], "/b");
    assert_eq!(apps["apps"][1]["version"], "1.0.0");
    assert_eq!(apps["apps"][1]["kind"], "cgi-module");
    let detail = host.admin("GET", "/v1/apps/b", "").await.json();
    assert_eq!((&detail["reuse"], &detail["calls"]), (&1.into(), &0.into()));
    assert_eq!(host.admin("GET", "/v1/apps/b/calls", "").await.status, 200);
    assert_eq!(host.admin("GET", "/v1/apps/b/logs", "").await.status, 200);
    assert_eq!(host.metric("apps_mapped").await, 0.0);
    assert_eq!(host.get("/a").await.text(), "a");
    assert_eq!(n_mapped(&host).await, 1);
    assert!(is_code_of(&code(&host)[0], &says("a")));
    let metrics = host.admin("GET", "/metrics", "").await.text();
    assert!(metrics.contains("app=\"a\"") && !metrics.contains("app=\"b\""), "{metrics}");
    assert!(metrics.contains("\napps_mapped 1\n") && metrics.contains("\napps 2\n"), "{metrics}");
}

#[tokio::test]
async fn calls_that_come_together_share_one_map() {
    let folder = tempfile::tempdir().unwrap();
    deployed(folder.path(), &["a"], &[]).await;
    let host = Host::on(folder.path(), &[]);
    for reply in join_all((0..100).map(|_| host.get("/a"))).await {
        assert_eq!(reply.text(), "a");
    }
    // So many calls may have its code for restored instances made, too, which is another file.
    let maps = code(&host).into_iter().filter(|file| is_code_of(file, &says("a")));
    assert_eq!((n_mapped(&host).await, maps.count()), (1, 1));
}

#[tokio::test]
async fn apps_of_one_component_share_its_code() {
    let host = Host::start();
    for name in ["one", "two", "three"] {
        host.deploy(&says("same"), &plain(name)).await;
    }
    assert_eq!(code(&host).len(), 1);
    assert_eq!(n_mapped(&host).await, 3);
    assert_eq!(host.admin("DELETE", "/v1/apps/one", "").await.status, 204);
    assert_eq!(host.get("/two").await.text(), "same");
    for name in ["two", "three"] {
        assert_eq!(host.admin("DELETE", &format!("/v1/apps/{name}"), "").await.status, 204);
    }
    host.until("unmapped code", || async { code(&host).is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn beyond_the_bound_the_longest_unused_goes() {
    let folder = tempfile::tempdir().unwrap();
    deployed(folder.path(), &["a", "b", "c"], &[]).await;
    let host = Host::on(folder.path(), &["--mapped-apps", "2"]);
    for name in ["a", "b", "a", "c"] {
        assert_eq!(host.get(&format!("/{name}")).await.text(), name);
        tick().await;
    }
    host.until("two mapped", || async { (code(&host).len() == 2).then_some(()) }).await;
    assert!(!code(&host).iter().any(|file| is_code_of(file, &says("b"))), "{:?}", code(&host));
    // It comes back, and what it counted is still there.
    assert_eq!(host.get("/b").await.text(), "b");
    assert_eq!(n_mapped(&host).await, 2);
    let calls = host.until("a second call", || async {
        let app = host.admin("GET", "/v1/apps/b", "").await.json();
        (app["calls"] == 2).then_some(())
    });
    calls.await;
}

#[tokio::test]
async fn when_calls_run_in_all_that_is_mapped_others_are_refused_and_nothing_is_cut() {
    let host = Host::with(&["--mapped-apps", "1"]);
    host.deploy(&says("other"), &plain("other")).await;
    host.deploy(&reader(), &plain("reader")).await;
    let (more, body) = tokio::sync::mpsc::channel(1);
    let body = stream::unfold(body, |mut body: tokio::sync::mpsc::Receiver<bytes::Bytes>| async {
        let chunk = body.recv().await?;
        Some((Ok::<_, std::io::Error>(http_body::Frame::data(chunk)), body))
    });
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new());
    let client = client.build_http();
    let request = Request::post(host.url("/reader")).body(StreamBody::new(Box::pin(body))).unwrap();
    let running = tokio::spawn(client.request(request));
    more.send("x".into()).await.unwrap();
    host.until("a running call", || async {
        let app = host.admin("GET", "/v1/apps/reader", "").await.json();
        (app["running"] == 1).then_some(())
    })
    .await;
    let reply = host.get("/other").await;
    assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (503, "not_ready"));
    assert_eq!(reply.header("retry-after"), "1");
    drop(more);
    let reply = running.await.unwrap().unwrap();
    assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), "ok");
    host.until("room", || async { (host.get("/other").await.text() == "other").then_some(()) })
        .await;
}

#[tokio::test]
async fn code_that_nobody_calls_is_unmapped_and_so_are_its_instances() {
    let host = Host::with(&["--mapped-idle", "50ms"]);
    let hello = std::fs::read(guests::HELLO).unwrap();
    host.deploy(&hello, &manifest("hello", "/hello", "[instance]\nreuse = 1000")).await;
    for n in 1..=2 {
        assert_eq!(host.get("/hello").await.status, 200);
        host.until("no code", || async { code(&host).is_empty().then_some(()) }).await;
        assert_eq!(n_mapped(&host).await, 0);
        let app = host.admin("GET", "/v1/apps/hello", "").await.json();
        assert_eq!(app["calls"], n);
    }
}

#[tokio::test]
async fn code_that_is_missing_or_damaged_is_compiled_again_at_the_first_call() {
    let folder = tempfile::tempdir().unwrap();
    deployed(folder.path(), &["a"], &[OWN_CODE]).await;
    let file = code_file(folder.path(), &says("a"));
    let whole = std::fs::read(&file).unwrap();
    let half = whole[..whole.len() / 2].to_vec();
    let garbage = vec![7; whole.len()];
    for damaged in [None, Some(half), Some(garbage), Some(Vec::new())] {
        match damaged {
            None => std::fs::remove_file(&file).unwrap(),
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
        }
        let mut host = Host::on(folder.path(), &[OWN_CODE]);
        for reply in join_all((0..10).map(|_| host.get("/a"))).await {
            assert_eq!(reply.text(), "a");
        }
        assert_eq!(std::fs::read(&file).unwrap().len(), whole.len());
        // In order: of a host that is killed while its last calls are written down their app is a suspect.
        host.ends_in_time();
    }
}

#[tokio::test]
async fn code_that_cannot_be_had_is_the_hosts_failure_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    deployed(folder.path(), &["a", "b"], &[OWN_CODE]).await;
    std::fs::remove_file(code_file(folder.path(), &says("a"))).unwrap();
    let wasm = says("a");
    let blob = folder.path().join("blobs").join(digest(&wasm).trim_start_matches("sha256:"));
    std::fs::write(&blob, "damaged").unwrap();
    let host = Host::on(folder.path(), &[OWN_CODE]);
    let reply = host.get("/a").await;
    assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (500, "host_failed"));
    assert!(!reply.text().contains("sha256"), "{}", reply.text());
    let told = event(&host, "load_failed").await;
    assert_eq!((&told["app"], &told["severity"]), (&"a".into(), &"error".into()));
    assert!(told["message"].as_str().unwrap().contains("damaged"), "{told}");
    assert_eq!(host.get("/b").await.text(), "b");
    // Once the component is there again, so is the app.
    let upload = host.admin("PUT", &format!("/v1/blobs/{}", digest(&wasm)), wasm).await;
    assert!(upload.status.is_success());
    host.until("the app", || async { (host.get("/a").await.text() == "a").then_some(()) }).await;
}

/// An app as it was deployed once, whose component need not exist.
fn record(n: usize, kind: &str) -> DeploymentRecord {
    let name = format!("app-{n}");
    let mut digest = [7; 32];
    digest[..8].copy_from_slice(&n.to_le_bytes());
    DeploymentRecord {
        app: name.parse().unwrap(),
        generation: Generation::FIRST,
        digest: Digest::from_bytes(digest),
        manifest: plain(&name),
        kind: kind.to_owned(),
        size: 1,
        deployed_at: 1,
    }
}

/// Makes the records of these apps unreadable, each by itself, as a start would find out that read
/// them.
fn damage(folder: &Path, apps: impl Iterator<Item = usize>) {
    let deployments = redb::TableDefinition::<(&str, u64), &[u8]>::new("deployments");
    let database = redb::Database::open(folder.join("steerage.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut table = transaction.open_table(deployments).unwrap();
    for n in apps {
        table.insert((format!("app-{n}").as_str(), 1), b"damaged".as_slice()).unwrap();
    }
    drop(table);
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_start_reads_no_deployment_and_one_that_is_bad_keeps_nobody_back() {
    const N_APPS: usize = 2000;
    let folder = tempfile::tempdir().unwrap();
    deployed(folder.path(), &["a"], &[]).await;
    let ledger = Ledger::open(folder.path()).unwrap();
    let mut records: Vec<_> = (1..N_APPS).map(|n| record(n, "cgi-module")).collect();
    records.push(record(N_APPS, "of-the-future"));
    let read = |record| Deployment::read(record, &LimitsPolicy::default()).unwrap();
    let deployments: Vec<_> = records.into_iter().map(read).collect();
    ledger.commit_all(&deployments).unwrap();
    drop(ledger);
    damage(folder.path(), 2..=N_APPS);
    let host = Host::on(folder.path(), &[]);
    let info = host.admin("GET", "/v1/host", "").await.json();
    assert_eq!((&info["apps"], &info["apps_mapped"]), (&N_APPS.into(), &0.into()));
    let apps = host.admin("GET", "/v1/apps", "").await.json();
    assert_eq!(apps["apps"].as_array().unwrap().len(), N_APPS);
    let failed = host.admin("GET", "/v1/events?limit=50", "").await.json();
    let failed = failed["events"].as_array().unwrap().clone();
    let failed: Vec<_> = failed.iter().filter(|event| event["kind"] == "restore_failed").collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["app"], format!("app-{N_APPS}"));
    assert!(failed[0]["message"].as_str().unwrap().contains("of-the-future"), "{failed:?}");
    // Their first calls find out what is wrong with each.
    assert_eq!(host.get("/a").await.text(), "a");
    // The record of the second is damaged, and read from its copy: like the first, it lacks its component.
    for (app, found) in [("app-1", "cannot read"), ("app-2", "cannot read")] {
        assert_eq!(host.get(&format!("/{app}")).await.cause(), "host_failed");
        let events = host.admin("GET", &format!("/v1/events?app={app}"), "").await.json();
        let message = events["events"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(found), "{message}");
    }
}

#[tokio::test]
async fn what_no_deployment_needs_is_swept_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    deployed(folder.path(), &["kept", "gone"], &[OWN_CODE]).await;
    let (kept, gone) =
        (code_file(folder.path(), &says("kept")), code_file(folder.path(), &says("gone")));
    // As if the host had been killed between forgetting an app and removing its files.
    let ledger = Ledger::open(folder.path()).unwrap();
    ledger.remove(&"gone".parse().unwrap()).unwrap();
    drop(ledger);
    let host = Host::on(folder.path(), &[OWN_CODE]);
    host.until("no code", || async { (!gone.exists()).then_some(()) }).await;
    let blobs = std::fs::read_dir(folder.path().join("blobs")).unwrap().count();
    assert_eq!((blobs, kept.exists()), (1, true));
    assert_eq!(host.get("/kept").await.text(), "kept");
}
