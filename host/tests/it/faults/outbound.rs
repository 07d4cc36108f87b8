//! Faults of those whom an app asks: the app itself is well, and the destination is named.

use std::time::Duration;

use steerage_guests as guests;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::{call, is_well, read, tells};
use crate::destinations::{closed, server};
use crate::harness::Host;
use crate::outbound::{LOOPBACK, target, target_after};

/// A host whose app `out` may ask this, and has so long for it.
async fn asking(allowed: &str, timeout: &str) -> Host {
    let host = Host::with(&[&["--watch", "never"], &LOOPBACK[..]].concat());
    let more = format!("allowed_outbound_hosts = [{allowed}]\n[limits]\ntimeout = \"{timeout}\"");
    host.serve("out", &read(guests::OUT), &more).await;
    host
}

async fn of(port: u16, timeout: &str) -> Host {
    asking(&format!("\"http://127.0.0.1:{port}\""), timeout).await
}

#[tokio::test]
async fn nobody_listens_there() {
    let port = closed();
    let host = of(port, "5s").await;
    call(&host, &format!("/out/{{n}}?url=http://127.0.0.1:{port}/"), 6).await;
    let told = format!("its requests to 127.0.0.1:{port} fail");
    tells(&host, "out", &[&told, "connection refused", "see whether it runs"]).await;
}

#[tokio::test]
async fn its_name_is_known_nowhere() {
    let host = asking("\"http://db.invalid:80\"", "5s").await;
    call(&host, "/out/{n}?url=http://db.invalid/", 6).await;
    tells(&host, "out", &["its requests to db.invalid:80 fail", "its name was not found"]).await;
}

#[tokio::test]
async fn it_is_slow() {
    let port = target_after(Duration::from_secs(30)).await;
    let host = of(port, "300ms").await;
    call(&host, &format!("/out/{{n}}?url=http://127.0.0.1:{port}/"), 4).await;
    tells(&host, "out", &["timed_out", &format!("it waits for 127.0.0.1:{port}")]).await;
}

#[tokio::test]
async fn it_answers_503_and_the_app_passes_that_on_as_well_done() {
    let port = server().await;
    let host = of(port, "5s").await;
    call(&host, &format!("/out/{{n}}?url=http://127.0.0.1:{port}/503"), 6).await;
    let told = format!("requests of out to 127.0.0.1:{port} fail");
    tells(&host, &told, &["were answered 5xx", "see in its own log"]).await;
}

#[tokio::test]
async fn it_breaks_off() {
    let port = server().await;
    let host = of(port, "5s").await;
    call(&host, &format!("/out/{{n}}?url=http://127.0.0.1:{port}/broken"), 6).await;
    tells(&host, "out", &[&format!("its requests to 127.0.0.1:{port} fail"), "broke off"]).await;
}

#[tokio::test]
async fn the_manifest_does_not_allow_it() {
    let port = server().await;
    let host = asking("\"http://other.example\"", "5s").await;
    let path = format!("/out/{{n}}?url=http://127.0.0.1:{port}/200");
    call(&host, &path, 6).await;
    let told = format!("its requests to 127.0.0.1:{port} fail");
    tells(&host, "out", &[&told, "were denied", "add it to allowed_outbound_hosts"]).await;
    let more = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]");
    host.serve("out", &read(guests::OUT), &more).await;
    call(&host, &path, 6).await;
    is_well(&host).await;
}

#[tokio::test]
async fn the_operator_does_not_allow_it() {
    let port = target().await;
    let host = super::a_host();
    let more = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]");
    host.serve("out", &read(guests::OUT), &more).await;
    call(&host, &format!("/out/{{n}}?url=http://127.0.0.1:{port}/"), 6).await;
    tells(
        &host,
        "out",
        &["were denied", "the operator opens such addresses with --outbound-private"],
    )
    .await;
}

#[tokio::test]
async fn it_speaks_no_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            drop(stream.write_all(answer).await);
        }
    });
    let host = asking(&format!("\"https://127.0.0.1:{port}\""), "5s").await;
    call(&host, &format!("/out/{{n}}?url=https://127.0.0.1:{port}/200"), 6).await;
    tells(&host, "out", &["no TLS connection", "see whether it speaks TLS on that port"]).await;
}
