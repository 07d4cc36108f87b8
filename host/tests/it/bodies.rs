//! Bodies that a guest of `wasi:http` 0.2 reads and writes: each way of doing it, and what it may not do.

use bytes::Bytes;
use expect_test::expect;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use steerage_guests as guests;

use crate::harness::Host;

async fn serving(more: &str) -> Host {
    let host = Host::start();
    host.serve("bodies", &std::fs::read(guests::BODIES).unwrap(), more).await;
    host
}

/// What a guest says that read this, with these trailers, in each way.
async fn read(host: &Host, body: impl Into<Bytes>, sum: Option<&str>) -> String {
    let trailers = sum.map(|sum| {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", sum.parse().unwrap());
        trailers.insert("x-steerage-route", "evil".parse().unwrap());
        Ok(trailers)
    });
    let body = Full::new(body.into()).with_trailers(async { trailers });
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = Request::post(host.url("/bodies?what=read")).body(body.boxed_unsync()).unwrap();
    let reply = client.request(request).await.unwrap().into_body().collect().await.unwrap();
    String::from_utf8(reply.to_bytes().to_vec()).unwrap()
}

#[tokio::test]
pub(crate) async fn a_body_is_read_once_in_its_order_whichever_way() {
    let host = serving("[instance]\nreuse = 100").await;
    let text: String = ('a'..='z').collect();
    expect![[r#"
        second stream true
        nothing ""
        three "abc"
        skip Some(2)
        ready true "fghi"
        skip at once Some(1)
        rest 16, closed
        again closed closed
        after it true
        trailers Some([[52, 50]]), again true
    "#]]
    .assert_eq(&read(&host, text.clone(), Some("42")).await);
    let without = read(&host, text.repeat(40_000), None).await;
    assert!(without.contains("\nrest 1039990, closed\n"), "{without}");
    assert!(without.ends_with("trailers None, again true\n"), "{without}");
}

#[tokio::test]
async fn no_body_is_closed_from_the_beginning() {
    let host = serving("").await;
    expect![[r#"
        second stream true
        nothing closed
        three closed
        skip None
        ready true closed
        skip at once None
        rest 0, closed
        again closed closed
        after it true
        trailers None, again true
    "#]]
    .assert_eq(&host.get("/bodies?what=read").await.text());
}

#[tokio::test]
async fn what_is_copied_comes_out_as_it_went_in() {
    let host = serving("").await;
    for n_bytes in [0, 1, 4095, 65_536, 300_001, 3_000_000] {
        let body: Bytes = (0..n_bytes).map(|n: u32| (n % 251) as u8).collect();
        for by in ["splice", "wait", "room"] {
            let reply = host.post(&format!("/bodies?what=copy&by={by}"), body.clone()).await;
            assert!(reply.body == body, "{n_bytes} bytes by {by}: {} came back", reply.body.len());
        }
    }
}

#[tokio::test]
async fn a_body_that_ends_before_its_stream_ends_its_guest() {
    let host = serving("").await;
    for what in ["finish", "drop", "much"] {
        let reply = host.post(&format!("/bodies?what={what}"), "text").await;
        assert_eq!(reply.cause(), "trapped", "{what}: {}", reply.text());
    }
    // It has taken nothing of others with it.
    assert!(host.post("/bodies?what=read", "text").await.text().contains("three \"tex\""));
}
