//! Faults of clients, and of what they were told: no app is blamed.

use steerage_guests as guests;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{a_host, call, is_well, read, tells};
use crate::harness::{manifest, prints, reader, says};

#[tokio::test]
async fn they_ask_for_a_path_that_is_nearly_a_route() {
    let host = a_host();
    host.serve("orders", &says("x"), "").await;
    call(&host, "/order/{n}", 20).await;
    let told = ["the nearest is /orders/... of orders", "all were answered 404"];
    tells(&host, "20 requests for x/order found no route", &told).await;
    // A route for it cures.
    host.deploy(&says("x"), &manifest("more", "/order/...", "")).await;
    is_well(&host).await;
}

#[tokio::test]
async fn they_ask_for_a_host_name_that_is_nearly_one() {
    let host = a_host();
    let text =
        manifest("web", "/...", "").replace("path = ", "host = \"www.example.com\"\npath = ");
    host.deploy(&says("x"), &text).await;
    for n in 0..20 {
        host.get_from("example.com", &format!("/{n}")).await;
    }
    let told = ["the nearest is www.example.com/... of web"];
    tells(&host, "20 requests for example.com/... found no route", &told).await;
}

#[tokio::test]
async fn they_ask_for_a_route_that_a_deployment_took_away() {
    let host = a_host();
    host.serve("web", &says("x"), "").await;
    call(&host, "/web/{n}", 5).await;
    host.deploy(&says("x"), &manifest("web", "/shop/...", "")).await;
    call(&host, "/web/{n}", 8).await;
    let told = ["web had /web/..., and has not any more", "add it to the manifest of web"];
    tells(&host, "8 requests for x/web found no route", &told).await;
    host.deploy(&says("x"), &manifest("web", "/web/...", "")).await;
    is_well(&host).await;
}

#[tokio::test]
async fn they_give_up_before_they_are_answered() {
    let host = a_host();
    host.serve("web", &read(guests::SLOW), "").await;
    let running = async |number: f64| {
        host.until("calls that run", || async {
            let running = host.metric("http_server_active_requests{app=\"web\"}").await;
            (running == number).then_some(())
        })
        .await;
    };
    let mut streams = Vec::new();
    for n in 0..8 {
        let mut stream = TcpStream::connect(&host.listen).await.unwrap();
        let head = format!("GET /web/{n}?ms=60000 HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    running(8.0).await;
    drop(streams);
    running(0.0).await;
    let told = ["the client went away before it was answered", "until they went it slept"];
    tells(&host, "all of the last 8 calls of web", &told).await;
}

#[tokio::test]
async fn they_send_their_bodies_too_slowly() {
    let host = a_host();
    host.serve("web", &reader(), "[limits]\ntimeout = \"300ms\"").await;
    let mut held = Vec::new();
    for n in 0..6 {
        let mut stream = TcpStream::connect(&host.listen).await.unwrap();
        let head = format!("POST /web/{n} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nabc");
        stream.write_all(head.as_bytes()).await.unwrap();
        held.push(stream);
    }
    let told = ["timed_out", "waited for the client to send", "its client sends slowly"];
    tells(&host, "all of the last 6 calls of web", &told).await;
}

#[tokio::test]
async fn somebody_asks_why_a_route_does_not_answer() {
    let host = a_host();
    host.serve("shop", &says("x"), "").await;
    host.serve("broken", &prints("Status: 500\\n\\nno"), "").await;
    call(&host, "/broken/{n}", 4).await;
    let why = |route: &str| host.run(&["why", route]);
    let well = why("http://any.example/shop/cart?n=1");
    assert_eq!(well.code, 0, "{well:?}");
    let text = "nothing is wrong: any.example/shop/cart is answered by /shop/... of shop; ";
    assert!(well.stdout.contains(text), "{well:?}");
    let near = why("/shpo/cart");
    assert_eq!(near.code, 1, "{near:?}");
    assert!(
        near.stdout.contains("/shpo/cart has no route: the nearest is /shop/... of shop"),
        "{near:?}"
    );
    let wide = manifest("wide", "/wide/...", "") + "host = \"*.example.com\"\n";
    host.deploy(&says("x"), &wide).await;
    let wide = why("/wide/x");
    assert!(wide.code == 0 && wide.stdout.contains("of wide"), "{wide:?}");
    let none = why("/elsewhere");
    assert!(none.code == 1 && none.stdout.starts_with("/elsewhere has no route\n"), "{none:?}");
    host.until("word of the failures", || async {
        let said = why("/broken/1");
        (said.code == 1 && said.stdout.contains("the app itself answered 500")).then_some(())
    })
    .await;
    let bad = why("/a b");
    assert!(bad.code == 4 && bad.stderr.contains("is no route"), "{bad:?}");
    let unknown = host.run(&["why", "nobody"]);
    assert_eq!(unknown.code, 4, "{unknown:?}");
}
