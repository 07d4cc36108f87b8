//! Outbound requests: how many, for how long, over which connections, and who is told of denials.
//! Servers here speak by hand, so that they can be as rude as real ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use steerage_guests as guests;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Host, Reply};
use crate::outbound::LOOPBACK;

/// Reads one head.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(read).ok()
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server that answers each connection once and closes it without having said so, and how many
/// connections there were.
async fn closing() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let n_seen = Arc::<AtomicUsize>::default();
    let counter = n_seen.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                head(&mut stream).await?;
                stream.write_all(OK).await.ok()?;
                // The next request is read, and never answered: the connection ends instead.
                head(&mut stream).await?;
                None::<()>
            });
        }
    });
    (port, n_seen)
}

async fn call(host: &Host, method: &str, port: u16) -> Reply {
    host.get(&format!("/out?method={method}&url=http://127.0.0.1:{port}/")).await
}

async fn caller(port: u16) -> Host {
    let host = Host::with(&LOOPBACK);
    let more = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]");
    host.serve("out", &std::fs::read(guests::OUT).unwrap(), &more).await;
    host
}

#[tokio::test]
async fn a_connection_that_ends_instead_of_answering_is_tried_again_where_that_is_safe() {
    let (port, n_seen) = closing().await;
    let host = caller(port).await;
    for n_before in 0..3 {
        let reply = call(&host, "GET", port).await;
        assert_eq!(reply.status, 200, "after {n_before}: {}", reply.text());
    }
    let n_connections = n_seen.load(Ordering::SeqCst);
    assert!((2..=3).contains(&n_connections), "{n_connections} connections");
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_twice() {
    let (port, n_seen) = closing().await;
    let host = caller(port).await;
    assert_eq!(call(&host, "GET", port).await.status, 200);
    let reply = call(&host, "POST", port).await;
    // It went over the connection that was kept, or that was already gone; in neither case twice.
    let n_connections = n_seen.load(Ordering::SeqCst);
    assert!(
        reply.status == 502 && n_connections == 1 || reply.status == 200 && n_connections == 2,
        "{}: {} over {n_connections}",
        reply.status,
        reply.text()
    );
}

/// The guest that can be told how often to ask and how patient to be.
async fn asker(port: u16, limits: &str) -> Host {
    let host = Host::with(&LOOPBACK);
    let more = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]\n{limits}");
    host.serve("asker", &std::fs::read(guests::ASKER).unwrap(), &more).await;
    host
}

/// A server that says this much and then nothing.
async fn stalling(said: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if head(&mut stream).await.is_some() {
                stream.write_all(said).await.unwrap();
            }
            kept.push(stream);
        }
    });
    port
}

#[tokio::test]
async fn the_guests_own_patience_holds() {
    let cut: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
    for (said, timeouts) in
        [(&b""[..], "first=300"), (&b"HTTP/1.1 200 OK\r\n"[..], "first=300"), (cut, "between=300")]
    {
        let port = stalling(said).await;
        let host = asker(port, "[limits]\ntimeout = \"60s\"").await;
        let asked_at = std::time::Instant::now();
        let reply = host.get(&format!("/asker/?port={port}&{timeouts}")).await;
        let took = asked_at.elapsed();
        let told = reply.text().replace(' ', "").to_ascii_lowercase();
        assert!(told.contains("connectionreadtimeout"), "{timeouts}: {}", reply.text());
        assert!(took < Duration::from_secs(20), "{timeouts}: {took:?}");
    }
}

#[tokio::test]
async fn the_guests_patience_with_connecting_holds() {
    // A listener with a full queue drops what comes: it is silent.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();
    let socket = socket2::Socket::from(silent);
    socket.listen(0).unwrap();
    let mut fill = Vec::new();
    for _ in 0..8 {
        fill.push(tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(at)).await);
    }
    assert!(fill.iter().any(Result::is_err), "the silent server answers");
    let host = asker(at.port(), "[limits]\ntimeout = \"60s\"").await;
    let asked_at = std::time::Instant::now();
    let reply = host.get(&format!("/asker/?port={}&connect=300", at.port())).await;
    let took = asked_at.elapsed();
    assert!(reply.text().contains("ConnectionTimeout"), "{}", reply.text());
    assert!(took < Duration::from_secs(8), "the host's own patience: {took:?}");
}

#[tokio::test]
pub(crate) async fn one_call_takes_few_connections_and_its_neighbour_none_the_less() {
    // Never answers, and counts who is connected at once.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let n_open = Arc::<AtomicUsize>::default();
    let counter = n_open.clone();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            kept.push(listener.accept().await.unwrap());
            counter.store(kept.len(), Ordering::SeqCst);
        }
    });
    let (good, _) = closing().await;
    let host = asker(port, "[limits]\ntimeout = \"10s\"").await;
    let more = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{good}\"]");
    host.serve("out", &std::fs::read(guests::OUT).unwrap(), &more).await;
    let flooding = format!("/asker/?port={port}&n=200");
    let flooding = host.get(&flooding);
    let neighbour = async {
        host.until("as many connections as a call may have", || async {
            (n_open.load(Ordering::SeqCst) >= 64).then_some(())
        })
        .await;
        call(&host, "GET", good).await
    };
    let (flooded, reply) = tokio::join!(flooding, neighbour);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(flooded.cause(), "timed_out", "{}", flooded.text());
    assert_eq!(n_open.load(Ordering::SeqCst), 64);
}

async fn denials(host: &Host) -> Vec<(String, String)> {
    let events = host.admin("GET", "/v1/events?limit=1000", "").await.json();
    let events = events["events"].as_array().unwrap().clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let denied = events.iter().filter(|event| event["kind"] == "outbound_denied");
    denied.map(|event| (text(&event["message"]), text(&event["advice"]))).collect()
}

#[tokio::test]
async fn a_denial_is_an_event_that_says_who_must_allow_what() {
    let host = Host::start();
    let wasm = std::fs::read(guests::OUT).unwrap();
    host.serve("out", &wasm, "allowed_outbound_hosts = [\"http://127.0.0.1:9901\"]").await;
    for _ in 0..5 {
        host.get("/out?url=http://api.example.com/a").await;
        host.get("/out?url=http://127.0.0.1:9901/").await;
    }
    let denied = denials(&host).await;
    assert_eq!(denied.len(), 2, "{denied:?}");
    let manifest = denied.iter().find(|(message, _)| message.contains("api.example.com")).unwrap();
    assert!(
        manifest.1.contains("add \"http://api.example.com\" to allowed_outbound_hosts"),
        "{manifest:?}"
    );
    let operator = denied.iter().find(|(message, _)| message.contains("127.0.0.1")).unwrap();
    assert!(operator.1.contains("--outbound-private 127.0.0.1"), "{operator:?}");
    assert!(host.metric("outbound_denied_total{app=\"out\"}").await >= 10.0);
}

#[tokio::test]
async fn private_addresses_need_a_word_of_the_operator_and_own_doors_stay_closed() {
    let port = crate::outbound::target().await;
    let wasm = std::fs::read(guests::OUT).unwrap();
    let ask = |host: &str, port: u16| format!("/out?url=http://{host}:{port}/");
    // What the operator opened, what is asked for then, and whether it is reached.
    for (flags, asked, reached) in [
        (&[][..], "127.0.0.1", false),
        (&[][..], "localhost", false),
        (&["--outbound-private", "10.0.0.0/8"][..], "127.0.0.1", false),
        (&["--outbound-private", "127.0.0.0/8"][..], "127.0.0.1", true),
        (&["--outbound-private", "127.0.0.0/8"][..], "localhost", true),
        (&["--outbound-private", "0.0.0.0/0"][..], "0.0.0.0", false),
    ] {
        let host = Host::with(flags);
        let admin: u16 = host.admin.rsplit(':').next().unwrap().parse().unwrap();
        let more = format!(
            "allowed_outbound_hosts = [\"http://{asked}:{port}\", \"http://{asked}:{admin}\"]"
        );
        host.serve("out", &wasm, &more).await;
        let reply = host.get(&ask(asked, port)).await;
        assert_eq!(
            reply.text().contains("reached"),
            reached,
            "{flags:?} {asked}: {}",
            reply.text()
        );
        let own = host.get(&ask(asked, admin)).await;
        assert!(
            own.text().contains("DestinationIpProhibited"),
            "{flags:?} {asked}: {}",
            own.text()
        );
    }
}

#[tokio::test]
async fn what_guests_may_reach_is_shown_and_checked_like_any_setting() {
    let wrong = crate::harness::run(&["host", "--outbound-private", "169.254.0.0/16"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("guests never reach"), "{wrong:?}");
    let wrong = crate::harness::run(&["host", "--outbound-private", "10.0.0.1/8"]);
    assert!(wrong.stderr.contains("beyond its prefix"), "{wrong:?}");
}
