//! What the command line tells, and to whom: flags beside a manifest, failures for programs, text that a
//! terminal would obey, followers that outlive their host, answers of class 5xx.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::harness::{Host, manifest, prints, run, says, steerage, wat};

/// A program that traps in a function whose name a terminal would obey, after it has written so to
/// its stderr.
fn rude() -> Vec<u8> {
    wat(r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 16) "\1b]0;title\07\1b[2J\c2\9b31m\e2\80\aerude\n")
        (func $"\1b[31m\c2\9bname" (export "_start")
            (i32.store (i32.const 8) (i32.const 16))
            (i32.store (i32.const 12) (i32.const 27))
            (drop (call $write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 0)))
            unreachable))"#)
}

#[tokio::test]
async fn flags_beside_a_manifest_win() {
    let host = Host::start();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plain.wasm"), says("plain")).unwrap();
    let text = manifest("plain", "/plain", "");
    std::fs::write(folder.path().join("steerage.toml"), text).unwrap();
    host.run_in(folder.path(), &["deploy"]).done();
    let words = ["deploy", "--name", "staging", "--route", "/s", "-f", ".", "-o", "json"];
    let deployed = host.run_in(folder.path(), &words).done().json();
    assert_eq!((&deployed["app"], &deployed["routes"]), (&json!("staging"), &json!(["/s"])));
    let words = ["deploy", "--host", "b.test", "--name", "hosted", "-o", "json"];
    let deployed = host.run_in(folder.path(), &words).done().json();
    assert_eq!(deployed["routes"], json!(["b.test/plain"]));
    let apps = host.run(&["ps", "-o", "json"]).done().json();
    let plain = apps["apps"].as_array().unwrap().iter().find(|app| app["app"] == "plain");
    assert_eq!(plain.unwrap()["generation"], 1, "{apps}");
    let wrong = host.run_in(folder.path(), &["deploy", "--name", "No_Name"]);
    assert_eq!(wrong.code, 4, "{wrong:?}");
    assert!(wrong.stderr.contains("--name: "), "{wrong:?}");
}

#[tokio::test]
async fn a_failure_is_a_problem_document_for_who_asked_for_json() {
    let host = Host::start();
    let missing = host.run(&["show", "nobody", "-o", "json"]);
    let problem: serde_json::Value = serde_json::from_str(missing.stderr.trim()).unwrap();
    assert_eq!((missing.code, &problem["cause"]), (4, &json!("not_found")), "{missing:?}");
    let away = run(&["ps", "-o", "json", "--admin", "http://127.0.0.1:1"]);
    let problem: serde_json::Value = serde_json::from_str(away.stderr.trim()).unwrap();
    assert_eq!((away.code, &problem["cause"]), (3, &json!("unreachable")), "{away:?}");
    assert!(problem["detail"].as_str().unwrap().contains("http://127.0.0.1:1"), "{problem}");
    let wrong = ["-o json", "-ojson", "--output json", "--output=json"];
    for line in wrong.map(|words| format!("ps --nonsense {words}")) {
        let said = run(&line.split(' ').collect::<Vec<_>>());
        let problem: serde_json::Value = serde_json::from_str(said.stderr.trim()).unwrap();
        assert_eq!((said.code, &problem["cause"]), (2, &json!("usage")), "{said:?}");
        assert!(problem["detail"].as_str().unwrap().contains("--nonsense"), "{problem}");
    }
    // What a terminal would obey is escaped as JSON has it, so that the document can still be read.
    for words in [["ps", "--\u{202e}\u{9b}"], ["validate", "-f\u{202e}\u{9b}"]] {
        let said = run(&[&words[..], &["-o", "json"]].concat());
        let problem: serde_json::Value = serde_json::from_str(said.stderr.trim()).unwrap();
        assert!(problem["detail"].as_str().unwrap().contains("\u{202e}\u{9b}"), "{said:?}");
        assert!(!said.stderr.contains(['\u{202e}', '\u{9b}']), "{said:?}");
    }
    let prose = run(&["ps", "--nonsense"]);
    assert!(prose.code == 2 && prose.stderr.starts_with("error: "), "{prose:?}");
    let help = run(&["ps", "--help", "-o", "json"]);
    assert!(help.code == 0 && help.stdout.contains("Usage: "), "{help:?}");
    let prose = host.run(&["show", "nobody"]);
    assert!(prose.stderr.starts_with("error: "), "{prose:?}");
}

#[tokio::test]
async fn what_a_terminal_would_obey_is_shown_as_its_code() {
    let host = Host::start();
    let more = "description = \"\\u001b[2J\\u009b1m\\u202e\"";
    host.deploy(&rude(), &manifest("rude", "/...", more)).await;
    assert_eq!(host.get("/%C2%9B31m").await.status, 500);
    host.last_call("rude").await;
    for words in [
        &["logs", "rude"][..],
        &["logs", "rude", "-o", "json"],
        &["events", "rude"],
        &["events", "rude", "-o", "json"],
        &["calls", "rude"],
        &["show", "rude"],
        &["show", "rude", "-o", "json"],
        &["ps"],
    ] {
        let said = host.run(words).done();
        let bad = |letter: char| {
            (letter.is_control() && letter != '\n') || ('\u{202a}'..='\u{202e}').contains(&letter)
        };
        assert!(!said.stdout.contains(bad), "{words:?}: {:?}", said.stdout);
    }
    let log = host.run(&["logs", "rude"]).done().stdout;
    assert!(log.contains(r"\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\u{202e}rude"), "{log}");
}

#[tokio::test]
async fn answers_of_class_5xx_are_counted_beside_failures() {
    let host = Host::start();
    host.deploy(&prints("Status: 503\\n\\nno"), &manifest("sick", "/...", "")).await;
    assert_eq!(host.get("/").await.status, 503);
    host.last_call("sick").await;
    let apps = host.run(&["ps", "-o", "json"]).done().json();
    let app = &apps["apps"][0];
    assert_eq!((&app["failed"], &app["errors"]), (&json!(0), &json!(1)), "{app}");
    assert!(app["deployed_at"].as_str().unwrap().ends_with('Z'), "{app}");
    let usage = host.admin("GET", "/v1/usage", "").await.json();
    assert_eq!(usage["apps"][0]["errors"], 1, "{usage}");
    let table = host.run(&["ps"]).done().stdout;
    assert!(table.contains("5XX"), "{table}");
}

#[tokio::test]
async fn a_follower_outlives_a_restart_of_its_host() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::on(folder.path(), &[]);
    host.deploy(&rude(), &manifest("rude", "/...", "")).await;
    let admin = format!("http://{}", host.admin);
    let mut follower = Follower::start(&["logs", "rude", "-f", "--admin", &admin]);
    // The follower has connected when it shows a line.
    host.get("/").await;
    assert!(follower.line().contains("rude"));
    host.kill();
    assert!(follower.note().contains("connecting again"));
    let second = SecondHost::start(&host.admin, folder.path());
    assert!(follower.note().contains("connected again"));
    let reply = call(&second.listen).await;
    assert!(reply.contains("500"), "{reply}");
    assert!(follower.line().contains("rude"));
}

async fn call(address: &str) -> String {
    crate::harness::raw(address, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await
}

/// A verb that goes on, and what it prints.
struct Follower {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Follower {
    fn start(words: &[&str]) -> Self {
        let mut child = steerage()
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    fn note(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A host on an admin address that is known beforehand.
struct SecondHost {
    child: Child,
    listen: String,
    /// Kept open: a host whose stdout is closed would fail to print.
    _stdout: BufReader<std::process::ChildStdout>,
}

impl SecondHost {
    fn start(admin: &str, data: &std::path::Path) -> Self {
        let mut command: Command = steerage();
        command
            .args(["host", "--listen", "127.0.0.1:0", "--admin", admin, "--data"])
            .arg(data)
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let listen = line.split_once("://").expect("where it serves").1;
        let end =
            listen.find(|letter: char| letter != '.' && letter != ':' && !letter.is_ascii_digit());
        let listen = listen[..end.unwrap_or(listen.len())].to_owned();
        Self { child, listen, _stdout: stdout }
    }
}

impl Drop for SecondHost {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
