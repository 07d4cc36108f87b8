//! Outbound requests: only where the manifest says, whatever a name resolves to.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use steerage_guests as guests;
use tokio::net::TcpListener;

use crate::harness::{Host, Reply};

/// What a host must be told whose apps may reach servers of this machine.
pub(crate) const LOOPBACK: [&str; 2] = ["--outbound-private", "127.0.0.0/8,::1"];

/// A server to be called, on loopback.
pub(crate) async fn target() -> u16 {
    target_after(Duration::ZERO).await
}

/// One that takes so long to answer.
pub(crate) async fn target_after(wait: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = service_fn(move |_| async move {
                tokio::time::sleep(wait).await;
                Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(Bytes::from(
                    "reached",
                ))))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(hyper_util::rt::TokioIo::new(stream), answer),
            );
        }
    });
    port
}

async fn call(host: &Host, app: &str, url: &str) -> Reply {
    host.get(&format!("/{app}?url={url}")).await
}

#[tokio::test]
pub(crate) async fn a_guest_reaches_only_what_its_manifest_allows() {
    let port = target().await;
    let host = Host::with(&LOOPBACK);
    let wasm = std::fs::read(guests::OUT).unwrap();
    host.serve("none", &wasm, "").await;
    let named = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]");
    host.serve("named", &wasm, &named).await;
    let local = format!("allowed_outbound_hosts = [\"http://localhost:{port}\"]");
    host.serve("local", &wasm, &local).await;
    host.serve("wild", &wasm, "allowed_outbound_hosts = [\"*://*:*\"]").await;
    let url = format!("http://127.0.0.1:{port}/");
    for (app, url, reached) in [
        ("none", &url, false),
        ("named", &url, true),
        ("local", &format!("http://localhost:{port}/"), true),
        ("local", &url, false),
        // A wildcard does not open the private network, by address or by name.
        ("wild", &url, false),
        ("wild", &format!("http://localhost:{port}/"), false),
        ("wild", &"http://169.254.169.254/latest/meta-data".to_owned(), false),
        ("wild", &format!("http://[::ffff:127.0.0.1]:{port}/"), false),
    ] {
        let reply = call(&host, app, url).await;
        assert_eq!(reply.text().contains("reached"), reached, "{app} {url}: {}", reply.text());
    }
    assert!(host.metric("outbound_denied_total{app=\"none\"}").await >= 1.0);
    assert!(host.metric("outbound_denied_total{app=\"wild\"}").await >= 4.0);
}

#[tokio::test]
async fn the_guest_is_told_that_it_was_denied() {
    let host = Host::start();
    host.serve("out", &std::fs::read(guests::OUT).unwrap(), "").await;
    let reply = call(&host, "out", "http://example.com/").await;
    assert!(reply.text().to_ascii_lowercase().contains("denied"), "{}", reply.text());
}

#[tokio::test]
pub(crate) async fn a_guest_that_calls_itself_has_no_more_calls_than_it_may() {
    let host = Host::with(&LOOPBACK);
    let port = host.listen.rsplit(':').next().unwrap();
    let more = format!(
        "allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]\n\
         [limits]\nconcurrency = 8\nqueue = 0\ntimeout = \"20s\""
    );
    host.serve("fork", &std::fs::read(guests::FORK).unwrap(), &more).await;
    let reply = host.get(&format!("/fork?port={port}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(host.metric("guest_calls_total{app=\"fork\",cause=\"app_busy\"}").await >= 1.0);
    // The answer is here a moment before the last of them is counted as over.
    host.until("calls that are over", || async {
        let running = host.metric("http_server_active_requests{app=\"fork\"}").await;
        (running == 0.0).then_some(())
    })
    .await;
}
