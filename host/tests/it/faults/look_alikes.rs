//! What only looks like a fault: callers who make mistakes or lose patience, apps that say no, limits that do
//! what they are for, changes that operators ask for. Nothing may be told of it.

use futures_util::future::join_all;
use steerage_guests as guests;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{a_host, call, nothing_is_told, problems, read};
use crate::harness::{Host, manifest, raw, reader, says, works};

/// An app that is called well meanwhile, so that what is told is told beside good calls as well.
async fn a_host_with_an_app() -> Host {
    let host = a_host();
    host.serve("web", &read(guests::CGI_ECHO), "").await;
    call(&host, "/web/{n}", 20).await;
    host
}

#[tokio::test]
async fn callers_who_make_mistakes() {
    let host = a_host_with_an_app().await;
    host.deploy(&says("x"), &manifest("api", "/api/v1/...", "")).await;
    host.deploy(&says("x"), &manifest("docs", "/docs/:page", "")).await;
    for path in ["/api/.env", "/api/swagger.json/{n}", "/docs/a/b/{n}", "/app/{n}", "/wep/{n}"] {
        call(&host, path, 10).await;
        nothing_is_told(&host, path);
    }
    for path in ["/wp-login.php", "/.env", "/admin/{n}", "/{n}.php", "/favicon.ico", "/robots.txt"]
    {
        call(&host, path, 30).await;
        nothing_is_told(&host, path);
    }
    for bytes in [&b"\x16\x03\x01\x02\x00\x01"[..], b"GET / HTTP/9.9\r\n\r\n", b"\r\n\r\n\r\n"] {
        // At once: the host waits for the rest of what is no whole head.
        join_all((0..10).map(|_| raw(&host.listen, bytes))).await;
        nothing_is_told(&host, "what is no HTTP");
    }
    for status in [301, 400, 401, 403, 404, 405, 409, 410, 422, 429] {
        call(&host, &format!("/web/{{n}}?status={status}"), 10).await;
        nothing_is_told(&host, &format!("an app that answers {status}"));
    }
}

#[tokio::test]
async fn a_caller_who_tries_again_and_again() {
    let host = a_host();
    host.serve("web", &read(guests::CGI_ECHO), "").await;
    call(&host, "/web/{n}", 64).await;
    // Once, and it is well again: `why` tells it for as long as it is among the last calls, and no problem.
    call(&host, "/web/0?status=500", 1).await;
    call(&host, "/web/{n}", 64).await;
    assert_eq!(problems(&host), [""; 0]);
}

#[tokio::test]
async fn callers_who_are_slow_or_lose_patience() {
    let host = a_host_with_an_app().await;
    host.serve("slow", &read(guests::SLOW), "").await;
    host.serve("reader", &reader(), "").await;
    call(&host, "/slow/{n}?ms=1", 12).await;
    call(&host, "/reader/{n}", 12).await;
    // A few who go away among many who do not.
    for n in 0..4 {
        let mut stream = TcpStream::connect(&host.listen).await.unwrap();
        let head = format!("GET /slow/{n}?ms=60000 HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        drop(stream);
    }
    nothing_is_told(&host, "callers who go away");
    // Some who leave an answer that has begun.
    for n in 0..12 {
        let mut stream = TcpStream::connect(&host.listen).await.unwrap();
        let head = format!("GET /slow/drip/{n}?n=1000&ms=10 HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.read_exact(&mut [0; 64]).await.unwrap();
        drop(stream);
    }
    nothing_is_told(&host, "callers who leave a stream");
    // Some who send in small pieces.
    for n in 0..6 {
        let mut stream = TcpStream::connect(&host.listen).await.unwrap();
        let head = format!(
            "POST /reader/{n} HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..4 {
            stream.write_all(b"x").await.unwrap();
            stream.flush().await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    }
    nothing_is_told(&host, "callers who send slowly");
}

#[tokio::test]
async fn apps_that_cope() {
    let host = a_host_with_an_app().await;
    // It answers only its first call, which the host sees to.
    host.serve("once", &read(guests::ONCE), "[instance]\nreuse = 100\n[env]\nHOW = \"trap\"").await;
    call(&host, "/once/{n}", 12).await;
    nothing_is_told(&host, "a guest that takes one call");
    // It leaks, and is replaced before that is too much.
    let limits = "[instance]\nreuse = 1000\n[limits]\nmemory = \"4MiB\"";
    host.serve("leaks", &read(guests::COUNTER), limits).await;
    call(&host, "/leaks/{n}?leak=300000", 30).await;
    nothing_is_told(&host, "a guest that leaks and is replaced");
    // It complains, and answers.
    host.serve("logger", &read(guests::LOGGER), "").await;
    call(&host, "/logger/{n}?n=20", 12).await;
    nothing_is_told(&host, "a guest that logs much");
    // Many at once wait for a while, as they may.
    host.serve("queue", &read(guests::SLOW), "[limits]\nconcurrency = 2\nqueue = 100").await;
    for _ in 0..2 {
        join_all((0..20).map(|_| call(&host, "/queue/{n}?ms=10", 1))).await;
    }
    nothing_is_told(&host, "calls that wait for their turn");
}

#[tokio::test]
async fn changes_that_operators_ask_for() {
    let host = a_host_with_an_app().await;
    for n in 0..3 {
        host.serve("web", &says(&format!("{n}")), "").await;
        call(&host, "/web/{n}", 10).await;
        nothing_is_told(&host, "a deployment");
    }
    host.run(&["rollback", "web"]).done();
    call(&host, "/web/{n}", 10).await;
    nothing_is_told(&host, "a rollback");
    host.deploy(&works(1_000_000, "x"), &manifest("more", "/more/...", "")).await;
    call(&host, "/more/{n}", 10).await;
    nothing_is_told(&host, "a new app");
    host.run(&["remove", "more", "--yes"]).done();
    nothing_is_told(&host, "an app that was removed");
}

#[tokio::test]
async fn a_neighbour_that_loops() {
    let host = a_host_with_an_app().await;
    let long = "[limits]\ntimeout = \"60s\"\nfuel = 1000000000000";
    host.serve("neighbour", &read(guests::SPIN), long).await;
    let busy = join_all((0..8).map(|_| call(&host, "/neighbour", 1)));
    let told = async {
        host.until("calls that loop", || async {
            let running = host.metric("http_server_active_requests{app=\"neighbour\"}").await;
            (running >= 8.0).then_some(())
        })
        .await;
        call(&host, "/web/{n}", 30).await;
        nothing_is_told(&host, "a neighbour that loops");
    };
    tokio::select! { _ = busy => {}, () = told => {} }
}
