//! The callers' door: both HTTP versions, TLS, and clients that misbehave.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use steerage_guests as guests;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Host, PATIENCE, manifest, raw};

async fn echo(flags: &[&str]) -> Host {
    let host = Host::with(flags);
    let wasm = std::fs::read(guests::ECHO).unwrap();
    host.deploy(&wasm, &manifest("echo", "/...", "")).await;
    host
}

#[tokio::test]
async fn http_2_with_prior_knowledge_works() {
    let host = echo(&[]).await;
    let request = Request::post(host.url("/body")).body("over http/2".into()).unwrap();
    let reply = host.send_http2(request).await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "over http/2"));
}

#[tokio::test]
async fn tls_speaks_both_versions_by_alpn() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let flags = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let host = echo(&flags).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let port = host.listen.rsplit(':').next().unwrap();
    for (http2, version) in [(false, Version::HTTP_11), (true, Version::HTTP_2)] {
        let mut http = hyper_util::client::legacy::connect::HttpConnector::new();
        http.enforce_http(false);
        let builder =
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(config.clone()).https_only();
        let connector = if http2 {
            builder.enable_http2().wrap_connector(http)
        } else {
            builder.enable_http1().wrap_connector(http)
        };
        let client = Client::builder(TokioExecutor::new())
            .http2_only(http2)
            .build::<_, Full<Bytes>>(connector);
        let url = format!("https://localhost:{port}/some");
        let request = Request::get(url).body(Default::default()).unwrap();
        let response = client.request(request).await.unwrap();
        assert_eq!(response.version(), version);
        let reply = crate::harness::collect(response).await.unwrap();
        assert!(reply.text().contains("https"), "no X-Forwarded-Proto: {}", reply.text());
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go() {
    let host = Host::with(&["--idle-timeout", "1s"]);
    let flood = std::fs::read(guests::FLOOD).unwrap();
    let limits = "[limits]\nresponse_body = \"1GiB\"\nfuel = \"100000B\"";
    host.deploy(&flood, &manifest("flood", "/...", limits)).await;
    let mut stream = TcpStream::connect(&host.listen).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let call = host.last_call("flood").await;
    assert_eq!(call["cause"], "client_gone", "{call}");
    // What it had not read by then is all that was held for it.
    assert!(call["memory_bytes"].as_u64().unwrap() < 8 << 20, "{call}");
    drop(stream);
}

#[tokio::test]
async fn trailers_go_through_both_ways() {
    let host = echo(&[]).await;
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    let body = Full::new(Bytes::from("hi")).with_trailers(async { Some(Ok(trailers)) });
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = Request::post(host.url("/body")).body(body.boxed_unsync()).unwrap();
    let body = client.request(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "42");
    assert_eq!(body.to_bytes(), "hi");
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_is_told_to_go_on() {
    let host = Host::start();
    host.deploy(&crate::harness::reader(), &manifest("reader", "/...", "")).await;
    let mut stream = TcpStream::connect(&host.listen).await.unwrap();
    let head = b"POST /body HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\n\
        content-length: 4\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut buffer = [0; 25];
    stream.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200") && rest.contains("ok"), "{rest}");
}

#[tokio::test]
async fn a_websocket_is_refused_clearly() {
    let host = echo(&[]).await;
    let request = Request::get(host.url("/"))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .body(Default::default())
        .unwrap();
    let reply = host.send(request).await;
    assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (501, "upgrade_unsupported"));
}

#[tokio::test]
async fn requests_with_two_meanings_are_refused() {
    let host = echo(&[]).await;
    for head in [
        "content-length: 4\r\ncontent-length: 5\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "host: b\r\n",
        "content-length: +4\r\n",
        " folded: header\r\n",
    ] {
        let request = format!(
            "POST / HTTP/1.1\r\nhost: a\r\n{head}\r\n0\r\n\r\nGET /stolen HTTP/1.1\r\nhost: a\r\n\r\n"
        );
        let reply = raw(&host.listen, request.as_bytes()).await;
        assert!(reply.starts_with("HTTP/1.1 400"), "{head:?}: {reply}");
        assert!(!reply.contains("/stolen"), "{head:?} smuggled a request: {reply}");
    }
    assert_eq!(host.get("/").await.status, 200);
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let host = echo(&[]).await;
    let request = format!("GET / HTTP/1.1\r\nhost: a\r\nx-big: {}\r\n\r\n", "x".repeat(100 << 10));
    let reply = raw(&host.listen, request.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 431"), "{reply}");
    assert_eq!(host.get("/").await.status, 200);
}

#[tokio::test]
async fn clients_that_dawdle_are_let_go() {
    let host = echo(&["--head-timeout", "1s", "--idle-timeout", "1s"]).await;
    for start in [&b""[..], b"P", b"GET / HTTP/1.1\r\nhost: a", b"PRI * HTTP/2.0\r\n"] {
        let mut stream = TcpStream::connect(&host.listen).await.unwrap();
        stream.write_all(start).await.unwrap();
        let started_at = Instant::now();
        let mut rest = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "{start:?} holds a connection for ever");
        assert!(started_at.elapsed() < PATIENCE);
    }
    // Others were served meanwhile.
    assert_eq!(host.get("/").await.status, 200);
}

#[tokio::test]
async fn a_head_request_gets_no_body_and_counts_as_answered() {
    let host = echo(&[]).await;
    let request = Request::head(host.url("/")).body(Default::default()).unwrap();
    let reply = host.send(request).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
    assert_eq!(host.last_call("echo").await["cause"], "answered");
}

#[tokio::test]
async fn a_client_that_reads_is_not_given_up_however_slow_its_guest_is() {
    let host = Host::with(&["--idle-timeout", "500ms"]);
    let wasm = std::fs::read(guests::SLOW).unwrap();
    host.deploy(&wasm, &manifest("slow", "/...", "")).await;
    let request = || Request::get(host.url("/drip?n=2&ms=1200")).body(Full::default()).unwrap();
    let (one, two) = tokio::join!(host.send(request()), host.send_http2(request()));
    for reply in [one, two] {
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "chunk 1\nchunk 2\n"));
    }
}
