//! The end of a host: in order when asked once, at once when asked twice.

use steerage_guests as guests;

use crate::harness::{Host, collect, manifest};

async fn slow() -> Host {
    let host = Host::start();
    let wasm = std::fs::read(guests::SLOW).unwrap();
    host.deploy(&wasm, &manifest("slow", "/...", "")).await;
    host
}

fn begin(host: &Host, ms: u32) -> tokio::task::JoinHandle<http::Response<hyper::body::Incoming>> {
    let request =
        http::Request::get(host.url(&format!("/?ms={ms}"))).body(Default::default()).unwrap();
    let response = host.stream(request);
    tokio::spawn(async { response.await.unwrap() })
}

async fn running(host: &Host) {
    host.until("running call", || async {
        (host.metric("http_server_active_requests{app=\"slow\"}").await >= 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_call_that_runs_is_finished_before_the_host_ends() {
    let mut host = slow().await;
    let call = begin(&host, 1500);
    running(&host).await;
    host.signal("TERM");
    host.until("not ready", || async {
        let status = host.admin("GET", "/readyz", "").await.status;
        (status == 503).then_some(())
    })
    .await;
    assert_eq!(host.admin("GET", "/healthz", "").await.status, 200);
    let reply = collect(call.await.unwrap()).await.unwrap();
    assert_eq!(reply.status, 200);
    assert!(host.wait().success());
}

#[tokio::test]
async fn a_second_signal_ends_it_now() {
    let mut host = slow().await;
    let call = begin(&host, 60_000);
    running(&host).await;
    host.signal("TERM");
    host.until("not ready", || async {
        (host.admin("GET", "/readyz", "").await.status == 503).then_some(())
    })
    .await;
    // One that comes with the first is the same wish, so this asks until it is another.
    while !host.has_ended() {
        host.signal("TERM");
        tokio::task::yield_now().await;
    }
    assert!(!host.wait().success(), "calls were cut, and the exit code must say so");
    // The caller of a call that was cut gets an error, if it gets anything at all.
    if let Ok(response) = call.await {
        assert_eq!(response.status(), 503);
    }
}
