//! What operators are told and by whom: whose view a verb shows, what a signal has read again, and what
//! a host says that can keep nothing.

use std::fs;

use serde_json::{Value, json};

use crate::etcd::Etcd;
use crate::fleet::Fleet;
use crate::harness::{Host, manifest, run, run_in, says, wat};

/// A program that writes to its stderr as a panic does, and answers.
fn panicky() -> Vec<u8> {
    wat(r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 32) "\nthread 'main' panicked\n \nnote: look\n\nok")
        (func (export "_start")
            (i32.store (i32.const 0) (i32.const 32))
            (i32.store (i32.const 4) (i32.const 37))
            (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
            (i32.store (i32.const 0) (i32.const 69))
            (i32.store (i32.const 4) (i32.const 3))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#)
}

/// The newest event of this kind, once it has happened so often.
async fn event(host: &Host, kind: &str, n_times: u64) -> Value {
    host.until(kind, || async {
        let events = host.admin("GET", "/v1/events?limit=1000", "").await.json();
        let of_kind = |event: &&Value| event["kind"] == kind;
        let events = events["events"].as_array()?;
        let count = |event: &Value| event["count"].as_u64().unwrap_or(1).max(1);
        let n_found: u64 = events.iter().filter(of_kind).map(count).sum();
        events.iter().rfind(of_kind).filter(|_| n_found >= n_times).cloned()
    })
    .await
}

#[tokio::test]
async fn blank_lines_are_no_lines_for_people() {
    let host = Host::start();
    host.serve("web", &panicky(), "").await;
    assert_eq!(host.get("/web/").await.text(), "ok");
    host.last_call("web").await;
    let shown = host.run(&["logs", "web"]).done().stdout;
    let texts: Vec<&str> = shown.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    assert_eq!(texts, ["thread 'main' panicked", "note: look"]);
    // Programs get what was written.
    let lines = host.run(&["logs", "web", "-o", "json"]).done().json_lines();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines.iter().all(|line| line.get("host").is_none()), "it is alone: {lines:?}");
}

#[tokio::test]
async fn each_host_tells_what_happened_through_it() {
    let Some(fleet) = Fleet::start(2).await else { return };
    let text = manifest("web", "/web/...", "[replicas]\nmin = 2\nmax = 2");
    fleet.first().deploy(&panicky(), &text).await;
    fleet.ready_on("web", 2).await;
    fleet.all_answer("/web/", "ok").await;
    // Nobody was told that the store was away, and a deployment is told where it was asked for.
    let kinds = |host: &Host| -> Vec<String> {
        let name = if std::ptr::eq(host, fleet.first()) { "h1" } else { "h2" };
        let events = host.run(&["events", "--host", name, "-o", "json"]).done().json_lines();
        events.iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
    };
    for host in &fleet.hosts {
        event(host, "placed", 1).await;
        assert!(!kinds(host).contains(&"store_back".to_owned()), "{:?}", kinds(host));
    }
    let n_deployed = |host| kinds(host).iter().filter(|kind| *kind == "deployed").count();
    assert_eq!((n_deployed(&fleet.hosts[0]), n_deployed(&fleet.hosts[1])), (1, 0));
}

#[tokio::test]
async fn a_host_whose_folder_is_gone_says_so_to_who_wants_a_change() {
    let outer = tempfile::tempdir().unwrap();
    let data = outer.path().join("data");
    let host = Host::on(&data, &[]);
    host.serve("web", &says("web"), "").await;
    fs::remove_dir_all(&data).unwrap();
    fs::write(outer.path().join("new.wasm"), says("new")).unwrap();
    let new = ["deploy", "new.wasm", "--name", "new", "--route", "/new"];
    for words in [&new[..], &["rollback", "web"], &["remove", "web", "-y"]] {
        let said = host.run_in(outer.path(), words);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.stderr.contains("the data folder of this host was deleted"), "{said:?}");
        assert!(said.stderr.contains("restore a backup"), "{said:?}");
    }
    assert_eq!(host.admin("GET", "/readyz", "").await.cause(), "data_lost");
    let told = event(&host, "data_lost", 1).await;
    assert!(told["advice"].as_str().unwrap().contains("restart the host"), "{told}");
    assert_eq!(host.get("/web/").await.text(), "web");
}

#[tokio::test]
async fn what_is_logged_changes_with_the_file_on_sighup() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("host.toml");
    let write = |log: &str| fs::write(&config, format!("log = \"{log}\"\nlog_format = \"json\"\n"));
    write("warn").unwrap();
    // No RUST_LOG, which would go before the file.
    let mut host = Host::logging_as("", &["--config", config.to_str().unwrap()]);
    host.serve("web", &says("web"), "").await;
    assert_eq!(host.get("/web/before").await.text(), "web");
    write("warn,steerage=debug").unwrap();
    host.signal("HUP");
    let told = event(&host, "settings_read", 1).await;
    assert!(told["message"].as_str().unwrap().contains("steerage=debug"), "{told}");
    assert_eq!(host.get("/web/after").await.text(), "web");
    host.last_call("web").await;
    write("steerage=loud").unwrap();
    host.signal("HUP");
    let told = event(&host, "settings_unusable", 1).await;
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("log") && message.contains("is no filter"), "{told}");
    let checked = run(&["host", "check", config.to_str().unwrap()]);
    assert!(checked.code == 4 && checked.stderr.contains("is no filter"), "{checked:?}");
    host.signal("TERM");
    let log = host.wait_for_log();
    assert!(log.contains("/web/after") && !log.contains("/web/before"), "{log}");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let call = lines.iter().find(|line| line["span"]["url.path"] == "/web/after").unwrap();
    assert_eq!(call["span"]["http.route"], "/web/...", "{call}");
}

#[tokio::test]
async fn the_certificate_of_a_fleet_is_read_again_on_sighup() {
    let Some(etcd) = Etcd::start(1) else { return };
    drop(etcd.store().await);
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), &["cert", "init"]).done();
    run_in(folder.path(), &["cert", "issue", "h1", "--address", "127.0.0.1"]).done();
    let identity = folder.path().join("h1");
    let url = etcd.url();
    let flags = ["--store", &url, "--name", "h1", "--peer", "127.0.0.1:0", "--identity"];
    let host = Host::with(&[&flags[..], &[identity.to_str().unwrap()]].concat());
    let whole = fs::read(identity.join("host.pem")).unwrap();
    fs::write(identity.join("host.pem"), "no certificate").unwrap();
    event(&host, "certificate_unusable", 1).await;
    // The files are as they were, so only who is asked reads them again.
    host.signal("HUP");
    let told = event(&host, "certificate_unusable", 2).await;
    assert!(told["message"].as_str().unwrap().contains("holds no certificate"), "{told}");
    // A new one is there at once, and the old one again is none.
    fs::write(identity.join("host.pem"), whole).unwrap();
    host.signal("HUP");
    assert_eq!(host.admin("GET", "/readyz", "").await.status, 200);
    let again = tempfile::tempdir().unwrap();
    let out = again.path().to_str().unwrap();
    run_in(folder.path(), &["cert", "issue", "h1", "--address", "127.0.0.1", "--out", out]).done();
    for name in ["host.pem", "host.key"] {
        let from = [again.path().join(name), again.path().join("h1").join(name)];
        let from = from.iter().find(|path| path.exists()).unwrap();
        fs::copy(from, identity.join(name)).unwrap();
    }
    host.signal("HUP");
    event(&host, "certificate_replaced", 1).await;
    assert_eq!(json!(host.admin("GET", "/readyz", "").await.status.as_u16()), 200);
}
