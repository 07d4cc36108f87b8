//! What operators set and what comes of it: files, flags, small machines, narrow limits.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Host, manifest, reader, run, steerage, wat};

/// A CGI program that says `ok`.
fn hello() -> Vec<u8> {
    wat(r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\10\00\00\00\03\00\00\00")
        (data (i32.const 16) "\nok")
        (func (export "_start")
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#)
}

/// A CGI program that takes so many pages more, and traps where it gets none.
fn taker(n_pages: u32) -> Vec<u8> {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\10\00\00\00\03\00\00\00")
        (data (i32.const 16) "\nok")
        (func (export "_start")
            (if (i32.eq (memory.grow (i32.const PAGES)) (i32.const -1)) (then unreachable))
            (i32.store8 (i32.mul (i32.const PAGES) (i32.const 65536)) (i32.const 1))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    wat(&text.replace("PAGES", &n_pages.to_string()))
}

/// A file of settings that goes away with its folder.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_string_lossy().into_owned();
    (folder, path)
}

async fn slots(host: &Host) -> u64 {
    host.admin("GET", "/v1/host", "").await.json()["slots_total"].as_u64().unwrap()
}

#[tokio::test]
async fn a_file_says_what_a_host_is_and_a_flag_goes_before_it() {
    let (_folder, path) = file("[instances]\nslots = 40\n");
    assert_eq!(slots(&Host::with(&["--config", &path])).await, 40);
    assert_eq!(slots(&Host::with(&["--config", &path, "--slots", "50"])).await, 50);
}

#[test]
fn the_environment_stands_between_flag_and_file() {
    let (_folder, path) = file("[instances]\nslots = 40\n[queue]\nmost = 7\n");
    let output = steerage()
        .args(["doctor", "-o", "json", "--config", &path, "--slots", "60"])
        .env("STEERAGE_SLOTS", "50")
        .env("STEERAGE_QUEUE", "8")
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["settings"]["slots"], 60);
    assert_eq!(report["settings"]["queue"], 8);
}

#[test]
fn a_host_that_cannot_be_says_everything_that_is_wrong_and_does_not_start() {
    let (_folder, path) = file("[memory]\nbudget = \"900TiB\"\n[cpu]\nslice = 0\n");
    let started = run(&["host", "--config", &path, "--slots", "4000000"]);
    assert_eq!(started.code, 4, "{started:?}");
    for part in ["host.toml:2:10: memory.budget", "host.toml:4:9: cpu.slice: is 0", "--slots"] {
        assert!(started.stderr.contains(part), "{part} is not in {}", started.stderr);
    }
    let checked = run(&["host", "check", &path, "-o", "json"]);
    assert_eq!(checked.code, 4);
    let places: Vec<(String, u64)> = checked.json()["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mistake| {
            (mistake["key"].as_str().unwrap().to_owned(), mistake["line"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(places, [("memory.budget".to_owned(), 2), ("cpu.slice".to_owned(), 4)]);
    let flags = run(&["host", "--slice", "0"]);
    assert_eq!(flags.code, 2, "{flags:?}");
}

#[test]
fn the_sample_is_a_valid_file() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/host.toml");
    let checked = run(&["host", "check", sample]).done();
    assert!(checked.stdout.contains("is valid"), "{checked:?}");
}

#[tokio::test]
async fn an_app_gets_the_host_s_defaults_and_no_more_than_its_maximum() {
    let (_folder, path) = file(
        "[limits.default]\nmemory = \"2MiB\"\nfuel = \"5M\"\n[limits.maximum]\nmemory = \"8MiB\"\n",
    );
    let host = Host::with(&["--config", &path]);
    host.serve("plain", &hello(), "").await;
    let limits = host.admin("GET", "/v1/apps/plain", "").await.json()["limits"].clone();
    assert_eq!((&limits["memory"], &limits["fuel"]), (&"2MiB".into(), &5_000_000.into()));
    let greedy = manifest("greedy", "/greedy", "[limits]\nmemory = \"9MiB\"");
    let refused = host.try_deploy(&hello(), &greedy).await;
    assert_eq!((refused.status.as_u16(), refused.cause().as_str()), (400, "bad_manifest"));
    let message = refused.json()["mistakes"][0]["message"].to_string();
    assert!(message.contains("9MiB") && message.contains("at most 8MiB"), "{message}");
}

#[tokio::test]
async fn an_app_that_asks_for_more_than_a_later_maximum_is_cut_down_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::on(folder.path(), &[]);
    host.serve("wide", &hello(), "[limits]\nmemory = \"64MiB\"\ntimeout = \"20s\"").await;
    host.kill();
    let host = Host::on(folder.path(), &["--maximum-memory", "8MiB", "--maximum-timeout", "5s"]);
    assert_eq!(host.get("/wide/").await.text(), "ok");
    let limits = host.admin("GET", "/v1/apps/wide", "").await.json()["limits"].clone();
    assert_eq!((&limits["memory"], &limits["timeout"]), (&"8MiB".into(), &"5s".into()));
}

#[tokio::test]
async fn smaller_memories_work_and_end_where_they_should() {
    let host = Host::with(&["--largest-memory", "4MiB", "--slots", "1000"]);
    assert_eq!(slots(&host).await, 1000);
    host.serve("fits", &taker(60), "").await;
    host.serve("exceeds", &taker(64), "").await;
    assert_eq!(host.get("/fits/").await.text(), "ok");
    assert_eq!(host.get("/exceeds/").await.status.as_u16(), 500);
    assert_eq!(host.last_call("exceeds").await["cause"], "out_of_memory");
    // Code compiled for memories of another size is of no use, and not taken by mistake.
    let whole = Host::with(&["--slots", "100"]);
    whole.serve("fits", &taker(60), "").await;
    assert_eq!(whole.get("/fits/").await.text(), "ok");
}

#[tokio::test]
async fn a_host_in_a_small_address_space_makes_itself_small() {
    for gibibytes in [4, 8] {
        let host = Host::in_address_space(gibibytes << 20, &[]);
        assert!(slots(&host).await >= 16);
        host.serve("hello", &hello(), "").await;
        assert_eq!(host.get("/hello/").await.text(), "ok");
        host.serve("taker", &taker(500), "").await;
        assert_eq!(host.get("/taker/").await.text(), "ok");
    }
}

#[tokio::test]
async fn no_more_connections_than_the_operator_wants() {
    let host = Host::with(&["--connections", "1", "--idle-timeout", "1h"]);
    host.serve("slow", &std::fs::read(steerage_guests::SLOW).unwrap(), "").await;
    // One that is answered; whoever asks for nothing would give way.
    let mut first = TcpStream::connect(&host.listen).await.unwrap();
    first.write_all(b"GET /slow?ms=3000 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    host.until("running call", || async {
        let running = host.metric("http_server_active_requests{app=\"slow\"}").await;
        (running >= 1.0).then_some(())
    })
    .await;
    let mut second = TcpStream::connect(&host.listen).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    second.write_all(request).await.unwrap();
    let info = host.admin("GET", "/v1/host", "").await.json();
    assert_eq!((&info["connections"], &info["unrouted"]), (&1.into(), &0.into()));
    // Only once the first has its answer and is idle is the second served.
    let mut reply = String::new();
    second.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 404"), "{reply}");
}

#[test]
fn the_doctor_says_what_to_change_to_what() {
    let flags = ["doctor", "--slots", "20000", "--largest-memory", "64MiB", "--threads", "1000"];
    let said = run(&flags).done();
    assert!(said.stdout.contains("20000 at once"), "{}", said.stdout);
    assert!(said.stdout.contains("sysctl -w vm.max_map_count="), "{}", said.stdout);
    let report = run(&[&flags[..], &["-o", "json"]].concat()).done().json();
    let check = |subject: &str| {
        let checks = report["checks"].as_array().unwrap().iter();
        checks.clone().find(|check| check["subject"] == subject).unwrap().clone()
    };
    assert_eq!(check("cores")["verdict"], "warn");
    assert!(check("cores")["change"].as_str().unwrap().starts_with("[cpu] threads = "));
    assert_eq!(check("memory")["verdict"], "ok");
}

#[tokio::test]
async fn usage_names_the_apps_that_were_called_and_why_calls_were_refused() {
    let host = Host::start();
    host.serve("called", &hello(), "").await;
    host.serve("idle", &hello(), "").await;
    host.serve("full", &reader(), "[limits]\nconcurrency = 1\nqueue = 0").await;
    assert_eq!(host.get("/called/").await.text(), "ok");
    host.last_call("called").await;
    // A body that does not end keeps the only place there is.
    let mut held = TcpStream::connect(&host.listen).await.unwrap();
    let head = b"POST /full/ HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n";
    held.write_all(head).await.unwrap();
    let running = || async {
        let app = host.admin("GET", "/v1/apps/full", "").await.json();
        (app["running"] == 1).then_some(())
    };
    host.until("a running call", running).await;
    assert_eq!(host.get("/full/").await.cause(), "app_busy");
    let usage = host.admin("GET", "/v1/usage", "").await.json();
    let apps = usage["apps"].as_array().unwrap();
    let names: Vec<&str> = apps.iter().map(|app| app["app"].as_str().unwrap()).collect();
    assert_eq!(names, ["called", "full"]);
    assert_eq!(apps[1]["refused"], json!({ "app_busy": 1 }));
    assert_eq!((&apps[1]["running"], &apps[0]["calls"]), (&1.into(), &1.into()));
    let totals = &usage["host"];
    assert_eq!((&totals["apps"], &totals["slots_used"]), (&3.into(), &1.into()));
    assert!(totals["cpu_seconds"].as_f64().unwrap() > 0.0);
    assert!(totals["resident_bytes"].as_u64().unwrap() > 1 << 20);
    assert!(totals["memory_budget_bytes"].as_u64().unwrap() > 1 << 20);
}

#[tokio::test]
async fn top_makes_rates_of_what_happens_while_it_looks() {
    let host = Host::start();
    host.serve("busy", &hello(), "").await;
    let admin = format!("http://{}", host.admin);
    let words = ["top", "--once", "--interval", "300ms", "-o", "json", "--admin", &admin];
    let mut top = steerage().args(words).stdout(Stdio::piped()).spawn().unwrap();
    while top.try_wait().unwrap().is_none() {
        assert_eq!(host.get("/busy/").await.text(), "ok");
    }
    let said: Value = serde_json::from_reader(top.stdout.unwrap()).unwrap();
    assert!(said["interval_s"].as_f64().unwrap() >= 0.3, "{said}");
    assert!(said["apps"][0]["calls_per_s"].as_f64().unwrap() > 1.0, "{said}");
    assert!(said["host_cpu"].as_f64().unwrap() > 0.0, "{said}");
    let shown = host.run(&["top", "--once", "--interval", "100ms", "--sort", "calls", "-n", "1"]);
    assert!(shown.done().stdout.contains("busy"));
    assert_eq!(host.run(&["top", "--interval", "1ms"]).code, 2);
}

#[tokio::test]
async fn an_app_says_whose_it_is() {
    let host = Host::with(&["--tenants", "acme=3"]);
    host.deploy(&hello(), &manifest("theirs", "/theirs", "tenant = \"acme\"")).await;
    host.deploy(&hello(), &manifest("nobodys", "/nobodys", "")).await;
    let tenant = |app: &str| host.run(&["show", app, "-o", "json"]).done().json()["tenant"].clone();
    assert_eq!((tenant("theirs"), tenant("nobodys")), ("acme".into(), "default".into()));
    let bad = host.try_deploy(&hello(), &manifest("bad", "/bad", "tenant = \"Acme Inc\"")).await;
    assert_eq!(bad.cause(), "bad_manifest");
}

#[tokio::test]
async fn a_crowd_in_a_small_address_space_is_answered() {
    let host = Host::in_address_space(2_000_000, &[]);
    // What is taken without being asked for leaves nothing to those who ask later.
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kibibytes: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kibibytes < 1_800_000, "{kibibytes} KiB of 2,000,000 are taken at rest");
    host.serve("hello", &hello(), "").await;
    host.serve("taker", &taker(100), "").await;
    for path in ["/hello/", "/taker/"] {
        for reply in futures_util::future::join_all((0..50).map(|_| host.get(path))).await {
            assert_eq!(reply.text(), "ok", "{}", reply.status);
        }
    }
    assert_eq!(host.get("/hello/").await.text(), "ok");
}
