//! Which app gets a request, what it is told, and what it cannot be told by others.

use http::Request;
use steerage_guests as guests;

use crate::harness::{Host, manifest};

fn echo() -> Vec<u8> {
    std::fs::read(guests::ECHO).unwrap()
}

fn with_host(name: &str, host: &str, path: &str) -> String {
    format!("{}host = \"{host}\"\n", manifest(name, path, ""))
}

#[tokio::test]
async fn host_and_path_find_the_app_and_the_guest_is_told() {
    let host = Host::start();
    host.deploy(&echo(), &with_host("exact", "a.example", "/users/:id")).await;
    host.deploy(&echo(), &with_host("suffix", "*.example", "/...")).await;
    host.deploy(&echo(), &manifest("any", "/files/...", "")).await;
    let routed = |reply: &crate::harness::Reply| {
        let text = reply.text().to_ascii_lowercase();
        let line = text.lines().find(|line| line.contains("x-steerage-route"));
        line.unwrap_or_default().to_owned()
    };
    let reply = host.get_from("a.example:80", "/users/7").await;
    assert!(routed(&reply).contains("/users/:id"), "{}", reply.text());
    assert!(reply.text().to_ascii_lowercase().contains("x-steerage-param-id"), "{}", reply.text());
    let reply = host.get_from("b.example", "/users/7").await;
    assert!(routed(&reply).contains("/..."), "{}", reply.text());
    let reply = host.get("/files/a/b").await;
    assert!(reply.text().contains("/files/a/b"), "{}", reply.text());
    let reply = host.get("/nothing").await;
    assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (404, "no_route"));
}

#[tokio::test]
async fn a_conflict_is_refused_and_names_the_owner() {
    let host = Host::start();
    host.deploy(&echo(), &manifest("first", "/users/:id", "")).await;
    let reply = host.try_deploy(&echo(), &manifest("second", "/users/:name", "")).await;
    assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (409, "route_conflict"));
    assert_eq!(reply.json()["owner"], "first");
    assert_eq!(host.get("/users/7").await.status, 200);
    // The owner itself may deploy again, and give the route up.
    host.deploy(&echo(), &manifest("first", "/other", "")).await;
    host.deploy(&echo(), &manifest("second", "/users/:name", "")).await;
}

#[tokio::test]
async fn the_reserved_prefix_is_the_hosts() {
    let host = Host::start();
    host.deploy(&echo(), &manifest("all", "/...", "")).await;
    assert_eq!(host.get("/.well-known/steerage/health").await.text(), "ok\n");
    assert_eq!(host.get("/.well-known/steerage/other").await.status, 404);
    let reply = host.try_deploy(&echo(), &manifest("thief", "/.well-known/steerage/x", "")).await;
    assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (400, "bad_manifest"));
}

#[tokio::test]
async fn our_own_headers_cannot_be_spoofed() {
    let host = Host::start();
    host.deploy(&echo(), &manifest("echo", "/...", "")).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = Request::get(host.url("/a"))
        .header("x-steerage-route", "/spoofed")
        .header("x-steerage-param-id", "spoofed")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-request-id", "spoofed")
        .header("traceparent", trace)
        .body(Default::default())
        .unwrap();
    let reply = host.send(request).await;
    let text = reply.text();
    assert!(!text.contains("spoofed") && !text.contains("6.6.6.6"), "{text}");
    assert!(text.contains("127.0.0.1"), "no X-Forwarded-For: {text}");
    // Its span stays the parent: no span of ours is exported that could stand between.
    assert!(text.contains(trace), "the trace is lost: {text}");
    assert!(text.contains(reply.header("x-request-id")), "{text}");
}

#[tokio::test]
async fn a_request_without_a_host_is_refused() {
    let host = Host::start();
    let reply =
        crate::harness::raw(&host.listen, b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    assert!(reply.starts_with("HTTP/1.1 400"), "{reply}");
    assert!(reply.contains("no_host"), "{reply}");
}
