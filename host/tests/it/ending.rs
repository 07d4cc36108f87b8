//! What callers see of a host that is told to end, and what its operator is told.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use steerage_guests as guests;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Host, PATIENCE, collect, manifest, raw, says, steerage};
use crate::watchdog::watch;

/// Longer than any test may take: what waits for it fails.
const LONG: &str = "10m";

async fn slow(flags: &[&str]) -> Host {
    let host = Host::with(flags);
    let wasm = std::fs::read(guests::SLOW).unwrap();
    let limits = "[limits]\ntimeout = \"10m\"";
    host.deploy(&wasm, &manifest("slow", "/...", limits)).await;
    host
}

async fn running(host: &Host) {
    host.until("running call", || async {
        (host.metric("http_server_active_requests{app=\"slow\"}").await >= 1.0).then_some(())
    })
    .await;
}

async fn not_ready(host: &Host) {
    host.until("not ready", || async {
        (host.admin("GET", "/readyz", "").await.status == 503).then_some(())
    })
    .await;
}

#[tokio::test]
async fn callers_are_served_while_the_host_is_not_ready_and_told_to_close() {
    let mut host = Host::with(&["--lame-duck", "4s", "--drain-timeout", "60s"]);
    host.deploy(&says("hello"), &manifest("hello", "/...", "")).await;
    let mut kept = TcpStream::connect(&host.listen).await.unwrap();
    kept.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // Its end may come in a piece of its own, where the guest was not over when its head was sent.
    let mut answer = String::new();
    while !answer.ends_with("hello") && !answer.ends_with("\r\n0\r\n\r\n") {
        let mut piece = [0; 1024];
        let n_read = kept.read(&mut piece).await.unwrap();
        assert!(n_read > 0, "{answer}");
        answer.push_str(std::str::from_utf8(&piece[..n_read]).unwrap());
    }
    assert!(!answer.contains("close"), "{answer}");
    host.signal("TERM");
    not_ready(&host).await;
    // One that is kept, and one that comes now.
    for mut stream in [kept, TcpStream::connect(&host.listen).await.unwrap()] {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    assert!(host.wait().success());
}

#[tokio::test]
async fn connections_that_ask_for_nothing_do_not_hold_up_the_end() {
    let mut host =
        Host::with(&["--drain-timeout", LONG, "--head-timeout", LONG, "--idle-timeout", LONG]);
    host.deploy(&says("hello"), &manifest("hello", "/...", "")).await;
    let never_used = TcpStream::connect(&host.listen).await.unwrap();
    let mut idle = TcpStream::connect(&host.listen).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = [0; 1024];
    assert!(idle.read(&mut answer).await.unwrap() > 0);
    // The second signal comes with the first, as GNU timeout sends it.
    host.signal("TERM");
    host.signal("TERM");
    assert!(host.wait().success());
    drop((never_used, idle));
}

#[tokio::test]
async fn a_host_that_nobody_uses_ends_at_once() {
    let mut host = Host::with(&["--lame-duck", "5m", "--drain-timeout", LONG]);
    let asked_at = Instant::now();
    host.signal("TERM");
    assert!(host.wait().success());
    assert!(asked_at.elapsed() < PATIENCE, "{:?}", asked_at.elapsed());
}

#[tokio::test]
async fn a_signal_that_comes_twice_at_once_cuts_no_call() {
    let mut host = slow(&["--lame-duck", "0s"]).await;
    let request = http::Request::get(host.url("/?ms=1500")).body(Default::default()).unwrap();
    let call = tokio::spawn(host.stream(request));
    running(&host).await;
    host.signal("TERM");
    host.signal("TERM");
    let reply = collect(call.await.unwrap().unwrap()).await.unwrap();
    assert_eq!(reply.status, 200);
    assert!(host.wait().success());
}

#[tokio::test]
async fn a_call_that_is_cut_at_the_end_is_told_that_the_host_drains() {
    let mut host = slow(&["--drain-timeout", "1s"]).await;
    let request = http::Request::get(host.url("/?ms=500000")).body(Default::default()).unwrap();
    let call = tokio::spawn(host.stream(request));
    running(&host).await;
    host.signal("TERM");
    let reply = collect(call.await.unwrap().unwrap()).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (503, "draining"));
    assert!(!host.wait().success(), "a call was cut, and the exit code must say so");
}

#[tokio::test]
async fn a_head_that_is_on_its_way_is_served() {
    let mut host = Host::with(&["--lame-duck", "0s"]);
    host.deploy(&says("hello"), &manifest("hello", "/...", "")).await;
    let mut stream = TcpStream::connect(&host.listen).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    host.until("connection", || async {
        let info = host.admin("GET", "/v1/host", "").await.json();
        (info["connections"] == 1).then_some(())
    })
    .await;
    // It has come to the host, and may still lie in the kernel.
    tokio::time::sleep(Duration::from_millis(300)).await;
    host.signal("TERM");
    not_ready(&host).await;
    stream.write_all(b"st: a\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    // In one piece or in chunks, by whether the program had ended when its answer went out.
    let is_whole = answer.ends_with("\r\n\r\nhello") || answer.ends_with("\r\nhello\r\n0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && is_whole, "{answer}");
    assert!(host.wait().success());
}

#[tokio::test]
async fn a_signal_that_comes_while_the_host_starts_is_obeyed_once_it_runs() {
    for (signal, code) in [("TERM", Some(0)), ("INT", Some(0)), ("HUP", None)] {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("token");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let mut command = steerage();
        command.args(["host", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"]);
        command.arg(folder.path().join("data")).arg("--token-file").arg(&pipe);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        // The host reads its token when it starts, and waits here until there is one: whoever opens
        // the other end knows that it has come so far.
        let mut token = File::options().write(true).open(&pipe).unwrap();
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        token.write_all(b"0123456789abcdef0123456789abcdef\n").unwrap();
        drop(token);
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains("http://"), "{signal}: the host ended before it ran: {line:?}");
        if code.is_none() {
            assert!(child.try_wait().unwrap().is_none(), "{signal} ended the host");
            child.kill().unwrap();
        }
        assert_eq!(child.wait().unwrap().code(), code, "{signal}");
    }
}

#[tokio::test]
async fn a_host_serves_though_nobody_reads_its_addresses() {
    let data = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = steerage();
    command.args(["host", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"]);
    command.arg(data.path()).env("RUST_LOG", "warn").stdout(writer).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _watched = watch(&child, format!("{command:?}"));
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut told = lines.filter(|line| line.contains("nobody reads the addresses"));
    let told = told.next().expect("the host ended");
    let apps = told.split_once("apps=\"http://").unwrap().1.split_once('"').unwrap().0;
    let answer = raw(apps, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
