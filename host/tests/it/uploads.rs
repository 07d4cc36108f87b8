//! Uploads to those who have no room for them: the client sends all it has before it looks at the
//! answer, and gets it.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use steerage_guests as guests;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Host, PATIENCE};

/// Larger than what a connection and both systems buffer, and less than apps allow by default.
const SIZE: usize = 8 << 20;

fn memory(host: &Host) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Sends all of a request before it reads the answer's first line.
async fn upload(host: &Host, path: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(&host.listen).await.unwrap();
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.expect("the host takes the upload");
    let mut start = [0; 12];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut start)).await.unwrap().unwrap();
    String::from_utf8(start.to_vec()).unwrap()
}

/// Fills the app with as many calls as it may have, and sends it uploads of every kind.
async fn is_told(host: &Host, n_calls: usize, status: StatusCode, cause: &str) {
    let running: Vec<_> = (0..n_calls)
        .map(|_| {
            let request = Request::get(host.url("/slow?ms=50000")).body(Full::default());
            tokio::spawn(host.stream(request.unwrap()))
        })
        .collect();
    host.until("running calls", || async {
        (host.metric("http_server_active_requests{app=\"slow\"}").await >= n_calls as f64)
            .then_some(())
    })
    .await;
    let before = memory(host);
    let body = vec![b'x'; SIZE];
    for _ in 0..4 {
        let start = upload(host, "/slow?ms=1", &body).await;
        assert_eq!(start, format!("HTTP/1.1 {}", status.as_str()));
    }
    let request = Request::post(host.url("/slow?ms=1")).body(Full::new(Bytes::from(body)));
    let reply = host.send_http2(request.unwrap()).await;
    assert_eq!((reply.status, reply.cause().as_str()), (status, cause));
    // They are read for nobody, and not kept.
    let grown = memory(host).saturating_sub(before);
    assert!(grown < 3 * SIZE as u64, "the host grew by {} MiB", grown >> 20);
    running.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn an_upload_that_an_app_has_no_room_for_gets_its_answer() {
    let host = Host::with(&["--head-timeout", "1s"]);
    let limits = "[limits]\nconcurrency = 2\nqueue = 0\ntimeout = \"60s\"";
    host.serve("slow", &std::fs::read(guests::SLOW).unwrap(), limits).await;
    is_told(&host, 2, StatusCode::TOO_MANY_REQUESTS, "app_busy").await;
}

#[tokio::test]
async fn an_upload_that_the_host_has_no_room_for_gets_its_answer() {
    let host = Host::with(&["--head-timeout", "1s", "--slots", "16"]);
    let limits = "[limits]\nqueue = 0\ntimeout = \"60s\"";
    host.serve("slow", &std::fs::read(guests::SLOW).unwrap(), limits).await;
    is_told(&host, 14, StatusCode::SERVICE_UNAVAILABLE, "host_full").await;
}
