//! The hop between two hosts, which all apps share: what one app's callers do to it, another one's do not
//! notice; and what is full, or may not run somewhere, is not asked for everywhere.

use std::time::Duration;

use futures_util::future::join_all;
use steerage_guests as guests;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fleet::Fleet;
use crate::harness::{Host, PATIENCE, collect, manifest, raw, reader, says, wat};
use crate::outbound::LOOPBACK;

/// Two hosts, of which the first runs nothing: what it is asked goes over the hop.
async fn fleet() -> Option<Fleet> {
    let fleet = Fleet::start_with(2, &LOOPBACK).await?;
    fleet.stand("h1", "cordoned").await;
    Some(fleet)
}

/// Deploys, and waits until the first host passes its calls on.
async fn serve(fleet: &Fleet, app: &str, wasm: &[u8], more: &str) {
    let text =
        manifest(app, &format!("/{app}/..."), &format!("[replicas]\nmin = 1\nmax = 1\n{more}"));
    fleet.first().deploy(wasm, &text).await;
    assert_eq!(fleet.ready_on(app, 1).await, ["h2"]);
}

/// Somebody who takes connections and says nothing.
async fn silence() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    port
}

/// An app of which each call waits for ever, one after the other.
async fn serve_waiting(fleet: &Fleet) -> String {
    let port = silence().await;
    let more = format!(
        "allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]\n\
         [limits]\nconcurrency = 1\nqueue = 5000\ntimeout = \"50s\"\n"
    );
    let text = format!("{more}\n[replicas]\nmin = 1\nmax = 1");
    let wasm = std::fs::read(guests::SDK_PARTS).unwrap();
    fleet.first().deploy(&wasm, &manifest("waits", "/...", &text)).await;
    assert_eq!(fleet.ready_on("waits", 1).await, ["h2"]);
    format!("/fetch?url=http://127.0.0.1:{port}/")
}

/// Asks on so many connections of their own, which meet all threads of the host. Requests are of
/// HTTP/1.0, whose answers have no chunks: whether the hop knows a length before the answer begins is
/// a matter of timing.
async fn all_answer(host: &Host, request: &str, text: &str) {
    for _ in 0..12 {
        let reply = tokio::time::timeout(PATIENCE / 2, raw(&host.listen, request.as_bytes())).await;
        let reply = reply.expect("an answer beside what others wait for");
        assert!(
            reply.starts_with("HTTP/1.0 200") && reply.ends_with(&format!("\r\n\r\n{text}")),
            "{reply}"
        );
    }
}

const GET: &str = "GET /small/ HTTP/1.0\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn an_app_that_is_called_too_much_keeps_back_no_other_on_the_hop() {
    let Some(fleet) = fleet().await else { return };
    serve(&fleet, "small", &says("small"), "").await;
    let path = serve_waiting(&fleet).await;
    // More than two connections take at once, on each of the threads.
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let waiting = (0..1300).map(|_| async {
        let mut stream = TcpStream::connect(&fleet.first().listen).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    });
    let mut waiting = join_all(waiting).await;
    // They wait where the app's queue is.
    fleet.hosts[1]
        .until("queue of the other host", || async {
            let waits = fleet.hosts[1].admin("GET", "/metrics", "").await.text();
            let line = waits.lines().find(|line| {
                line.starts_with("http_server_waiting_requests{") && line.contains("\"waits\"")
            });
            let waits: f64 = line?.rsplit(' ').next()?.parse().ok()?;
            (waits > 1000.0).then_some(())
        })
        .await;
    all_answer(fleet.first(), GET, "small").await;
    // And still do.
    let mut byte = [0];
    let last = waiting.last_mut().unwrap();
    let answered = tokio::time::timeout(Duration::from_millis(1), last.read(&mut byte)).await;
    assert!(answered.is_err(), "{answered:?}");
}

/// Answers with four mebibytes.
fn big() -> Vec<u8> {
    wat(r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2)
        (data (i32.const 16) "\n")
        (func (export "_start") (local $n i32)
            (i32.store (i32.const 0) (i32.const 16))
            (i32.store (i32.const 4) (i32.const 65536))
            (local.set $n (i32.const 64))
            (loop $more
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                (br_if $more (local.get $n)))))"#)
}

#[tokio::test]
async fn callers_who_do_not_read_keep_back_nobody_on_the_hop() {
    let Some(fleet) = fleet().await else { return };
    serve(&fleet, "small", &says("small"), "").await;
    serve(&fleet, "big", &big(), "").await;
    let slow = (0..60).map(|_| async {
        let mut stream = TcpStream::connect(&fleet.first().listen).await.unwrap();
        stream.write_all(b"GET /big/ HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        stream
    });
    let _slow = join_all(slow).await;
    all_answer(fleet.first(), GET, "small").await;
}

#[tokio::test]
async fn bodies_that_nobody_reads_keep_back_no_other_on_the_hop() {
    let Some(fleet) = fleet().await else { return };
    serve(&fleet, "reads", &reader(), "").await;
    let path = serve_waiting(&fleet).await;
    // The first call runs, and all others wait with their bodies.
    let n_bytes = 2 << 20;
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {n_bytes}\r\n\r\n");
    let uploads = (0..20).map(|_| async {
        let mut stream = TcpStream::connect(&fleet.first().listen).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let body = vec![b'x'; n_bytes];
        // Until nobody takes any more of it.
        let sent = stream.write_all(&body);
        drop(tokio::time::timeout(Duration::from_secs(1), sent).await);
        stream
    });
    let _uploads = join_all(uploads).await;
    let body = "y".repeat(300_000);
    let length = body.len();
    let request =
        format!("POST /reads/ HTTP/1.0\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
    all_answer(fleet.first(), &request, "ok").await;
}

#[tokio::test]
async fn what_no_replica_answers_runs_only_where_its_labels_let_it() {
    let Some(etcd) = crate::etcd::Etcd::start(1) else { return };
    drop(etcd.store().await);
    let url = etcd.url();
    let host = |name, labels| Host::with(&Fleet::flags(&url, name, &["--labels", labels]));
    let hosts = vec![host("h1", "region=us"), host("h2", "region=eu")];
    let mut fleet = Fleet { hosts, etcd };
    fleet.answers(fleet.first(), 2).await;
    let eu = "[replicas]\nmin = 1\nmax = 1\n[placement]\nlabels = { region = \"eu\" }";
    let placed = manifest("placed", "/placed/...", eu);
    fleet.first().deploy(&says("placed"), &placed).await;
    assert_eq!(fleet.ready_on("placed", 1).await, ["h2"]);
    fleet.all_answer("/placed/", "placed").await;
    // Nobody is in Asia.
    let asia = eu.replace("eu", "asia");
    fleet.first().deploy(&says("nowhere"), &manifest("nowhere", "/nowhere/...", &asia)).await;
    for host in &fleet.hosts {
        let reply = host
            .until("refusal", || async {
                Some(host.get("/nowhere/").await).filter(|reply| reply.status != 404)
            })
            .await;
        assert_eq!((reply.status.as_u16(), reply.cause()), (503, "no_replica".to_owned()));
    }
    fleet.hosts[1].kill();
    let reply = fleet
        .first()
        .until("refusal once the only replica is gone", || async {
            Some(fleet.first().get("/placed/").await).filter(|reply| reply.status != 200)
        })
        .await;
    assert_eq!((reply.status.as_u16(), reply.cause()), (503, "no_replica".to_owned()));
}

#[tokio::test]
async fn the_time_that_a_request_took_before_the_hop_counts_against_its_timeout() {
    let Some(fleet) = fleet().await else { return };
    serve(&fleet, "small", &says("small"), "[limits]\ntimeout = \"30s\"").await;
    let hosts = fleet.first().admin("GET", "/v1/hosts", "").await.json();
    let peer = hosts["hosts"][1]["address"].as_str().unwrap().to_owned();
    // As another host asks.
    for (age, status) in [("", 200), (" 1000", 200), (" 31000", 504)] {
        let hop = format!("9.8.7.6:5 127.0.0.1:80 http {:032x}{age}", 77);
        let request = http::Request::get(format!("http://{peer}/small/"))
            .header("x-steerage-hop", hop)
            .body(Default::default())
            .unwrap();
        let reply = collect(fleet.hosts[1].stream_http2(request).await.unwrap()).await.unwrap();
        assert_eq!(reply.status.as_u16(), status, "{age}: {}", reply.text());
    }
}
