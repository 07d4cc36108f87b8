//! What the client makes of hosts that are not there, refuse, or are no hosts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post, put};
use futures_util::TryStreamExt;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

async fn serve(router: Router) -> Client {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Client::new(&url, Some("s3cret\n".to_owned())).unwrap()
}

#[test]
fn only_urls_of_hosts_are_taken() {
    let no_urls = ["", "127.0.0.1:8081", "ftp://a", "http://", "http://a/?b", "/v1"];
    let no_places = ["http://a:99999", "http://a:0", "http://a:", "http://u:p@a", "http://:1"];
    for bad in no_urls.into_iter().chain(no_places) {
        let error = Client::new(bad, None).map(drop).unwrap_err();
        assert!(matches!(error, ClientError::BadUrl { .. }), "{bad}: {error}");
    }
    assert_eq!(Client::new("https://a.example/x/", None).unwrap().url(), "https://a.example/x");
    for good in ["http://[::1]:8081", "http://[::1]", "http://a:65535"] {
        assert_eq!(Client::new(good, None).unwrap().url(), good);
    }
    assert!(matches!(Client::new("http://a", Some(" ".into())), Err(ClientError::BadToken)));
    let client = Client::new("http://a", Some("s3cret".into())).unwrap();
    assert!(!format!("{client:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_host_that_is_not_there_is_asked_after() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::new(&url, None).unwrap().apps(None).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    let asked = format!("is a host running at {url}? start one with `steerage host`");
    assert_eq!(error.to_string(), asked);
}

#[tokio::test]
async fn refusals_come_with_their_reasons() {
    let router = Router::new()
        .route("/v1/host", get(|| async { (StatusCode::BAD_GATEWAY, "nginx") }))
        .route(
            "/v1/validate",
            post(|headers: HeaderMap| async move {
                assert_eq!(headers[AUTHORIZATION], "Bearer s3cret");
                let problem = json!({
                    "type": "t", "title": "t", "status": 400, "detail": "d", "cause": "c",
                    "mistakes": [{ "key": "k", "line": 1, "column": 2, "message": "m" }],
                });
                (StatusCode::BAD_REQUEST, problem.to_string())
            }),
        );
    let client = serve(router).await;
    let error = client.validate("").await.unwrap_err();
    assert_eq!(error.to_string(), "d\nline 1, column 2: k: m");
    let error = client.host().await.unwrap_err();
    assert!(error.to_string().contains("502 Bad Gateway"), "{error}");
}

#[tokio::test]
async fn what_is_no_control_api_is_said_to_be_none() {
    let apps = axum::Json(json!({
        "type": "t", "title": "t", "status": 404, "detail": "no app", "cause": "no_route",
        "call_id": "1",
    }));
    let router = Router::new()
        .route("/v1/apps", get(|| async { "hello is here" }))
        .route("/v1/usage", get(|| async move { (StatusCode::NOT_FOUND, apps) }))
        .route("/v1/apps/a/logs", get(|| async { "hello is here" }));
    let client = serve(router).await;
    let errors = [
        client.apps(None).await.map(drop).unwrap_err(),
        client.usage(None).await.map(drop).unwrap_err(),
        client.follow_logs("a", 1, None).await.map(drop).unwrap_err(),
        client.hosts().await.map(drop).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, ClientError::NotAdmin { .. }), "{error}");
        assert!(error.to_string().contains("is not the admin address of a host"), "{error}");
    }
}

#[tokio::test]
async fn nothing_is_deleted_where_no_host_answers() {
    for status in [StatusCode::OK, StatusCode::NO_CONTENT] {
        let deleted = Arc::new(AtomicUsize::new(0));
        let count = deleted.clone();
        let all = move |method: Method| async move {
            count.fetch_add(usize::from(method == Method::DELETE), Ordering::Relaxed);
            status
        };
        let client = serve(Router::new().fallback(all)).await;
        for error in [client.remove("a").await, client.end_canary("a").await] {
            let error = error.unwrap_err();
            assert!(matches!(error, ClientError::NotAdmin { .. }), "{status}: {error}");
        }
        assert_eq!(deleted.load(Ordering::Relaxed), 0, "{status}");
    }
}

/// What answers everybody with the same bytes.
async fn says_to_all(scheme: &str, bytes: &'static [u8]) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("{scheme}://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 1024];
            drop(stream.read(&mut asked).await);
            drop(stream.write_all(bytes).await);
        }
    });
    Client::new(&url, None).unwrap()
}

#[tokio::test]
async fn what_does_not_speak_http_is_no_host() {
    // A shell, nothing known, and a server that wants TLS and says so by an alert.
    let said: [&[u8]; 3] =
        [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00\x01\x02\x03\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x16"];
    for bytes in said {
        let error = says_to_all("http", bytes).await.apps(None).await.unwrap_err();
        assert!(matches!(error, ClientError::NotAdmin { .. }), "{bytes:?}: {error}");
        assert!(error.to_string().contains("where TLS is spoken, say https://"), "{error}");
    }
    let plain =
        says_to_all("https", b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    let error = plain.apps(None).await.unwrap_err();
    assert!(matches!(error, ClientError::NotAdmin { .. }), "{error}");
    assert!(error.to_string().contains("say http://"), "{error}");
}

#[tokio::test]
async fn a_component_is_sent_once() {
    let path = "/v1/blobs/{digest}";
    let missing = put(|body: Bytes| async move {
        assert_eq!(body.len(), 200_000);
        StatusCode::CREATED
    })
    .head(|| async { StatusCode::NOT_FOUND });
    let client = serve(Router::new().route(path, missing)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.wasm");
    std::fs::write(&file, vec![7; 200_000]).unwrap();
    let digest = Digest::from_bytes([7; 32]);
    let mut told = Vec::new();
    client.upload(&digest, &file, |n_bytes| told.push(n_bytes)).await.unwrap();
    assert!(told.is_sorted() && told.last() == Some(&200_000), "{told:?}");
    let again = || async { StatusCode::INTERNAL_SERVER_ERROR };
    let there = put(again).head(|| async { StatusCode::OK });
    let client = serve(Router::new().route(path, there)).await;
    client.upload(&digest, &file, |_| {}).await.unwrap();
    let error = client.upload(&digest, &folder.path().join("none"), |_| {}).await.unwrap_err();
    assert!(matches!(error, ClientError::File { .. }), "{error}");
}

#[tokio::test]
async fn followed_lines_are_put_together_and_blank_ones_skipped() {
    let line = |text: &str| {
        json!({
            "at": 1, "app": "a", "generation": 1, "call": "c", "stream": "stdout", "text": text,
        })
        .to_string()
    };
    let all = format!("\n{}\n\n{}\n", line("one"), line("two"));
    let (first, second) = all.split_at(40);
    let chunks = [first.to_owned(), second.to_owned()].map(Ok::<_, std::convert::Infallible>);
    let body = move || {
        let chunks = futures_util::stream::iter(chunks.clone());
        async { axum::body::Body::from_stream(chunks) }
    };
    let client = serve(Router::new().route("/v1/apps/a/logs", get(body))).await;
    let lines: Vec<crate::api::wire::LogLine> =
        client.follow_logs("a", 9, None).await.unwrap().try_collect().await.unwrap();
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["one", "two"]);
}

#[test]
fn names_cannot_leave_their_place_in_the_path() {
    assert_eq!(app_path("../a?b", "/calls"), "/v1/apps/%2E%2E%2Fa%3Fb/calls");
}
