//! Connections that guests make themselves: where they may lead, and how many there may be.

use std::net::SocketAddr;

use steerage_guests as guests;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{Host, manifest};
use crate::outbound::LOOPBACK;

/// A server that answers each `ping`.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut said = [0; 4];
                if stream.read_exact(&mut said).await.is_ok() && said == *b"ping" {
                    stream.write_all(b"pong").await.unwrap();
                }
            });
        }
    });
    address
}

async fn deploy(host: &Host, name: &str, allowed: &str) {
    let wasm = std::fs::read(guests::DIALS).unwrap();
    let text = manifest(name, &format!("/{name}"), "");
    let text = format!("allowed_outbound_hosts = [{allowed}]\n{text}");
    host.deploy(&wasm, &text).await;
}

/// What a guest is told there, or why it is told nothing.
async fn told(host: &Host, name: &str, query: &str) -> String {
    host.get(&format!("/{name}?{query}")).await.text()
}

#[tokio::test]
pub(crate) async fn a_guest_connects_to_what_its_manifest_and_the_operator_opened() {
    let (host, server) = (Host::with(&LOOPBACK), server().await);
    let port = server.port();
    deploy(&host, "named", &format!("\"tcp://{server}\"")).await;
    deploy(&host, "block", &format!("\"*://127.0.0.0/24:{port}\"")).await;
    deploy(&host, "any", "\"*://*:*\"").await;
    deploy(&host, "http", &format!("\"http://{server}\"")).await;
    deploy(&host, "ports", "\"tcp://127.0.0.1:*\"").await;
    for _ in 0..3 {
        for name in ["named", "block", "ports"] {
            assert_eq!(told(&host, name, &format!("to={server}")).await, "pong", "{name}");
        }
    }
    // A wildcard covers nothing that is private, and a request is no connection.
    for name in ["any", "http"] {
        assert_eq!(told(&host, name, &format!("to={server}")).await, "access-denied", "{name}");
    }
    for to in [
        "127.0.0.1:1".to_owned(),
        format!("127.0.0.2:{port}"),
        format!("[::1]:{port}"),
        "169.254.169.254:80".to_owned(),
    ] {
        assert_eq!(told(&host, "named", &format!("to={to}")).await, "access-denied", "{to}");
    }
    // No socket of the host's own, whatever the manifest says.
    let admin = host.admin.to_string();
    assert_eq!(told(&host, "ports", &format!("to={admin}")).await, "access-denied");
    let events = host.admin("GET", "/v1/events?app=ports", "").await.text();
    assert!(events.contains("the admin address of the host itself"), "{events}");
    let events = host.admin("GET", "/v1/events?app=named", "").await.text();
    let advice = "add \\\"tcp://127.0.0.1:1\\\" to allowed_outbound_hosts";
    assert!(events.contains(advice), "{events}");
}

#[tokio::test]
async fn what_the_operator_has_not_opened_is_not_reached() {
    let (host, server) = (Host::start(), server().await);
    deploy(&host, "named", &format!("\"tcp://{server}\"")).await;
    assert_eq!(told(&host, "named", &format!("to={server}")).await, "access-denied");
    let events = host.admin("GET", "/v1/events?app=named", "").await.text();
    assert!(events.contains("--outbound-private 127.0.0.1"), "{events}");
}

#[tokio::test]
async fn sockets_are_few_and_are_given_back() {
    let host = Host::with(&LOOPBACK);
    let server = server().await;
    deploy(&host, "many", &format!("\"tcp://{server}\"")).await;
    for _ in 0..20 {
        let said = told(&host, "many", "n=500").await;
        let (made, why) = said.split_once(' ').unwrap();
        assert_eq!(why, "new-socket-limit", "{said}");
        assert!((1..=64).contains(&made.parse::<u32>().unwrap()), "{said}");
    }
    assert_eq!(told(&host, "many", &format!("to={server}")).await, "pong");
}

#[tokio::test]
async fn a_guest_listens_nowhere_and_has_no_socket_without_an_entry_for_one() {
    let host = Host::with(&LOOPBACK);
    deploy(&host, "named", "\"tcp://127.0.0.1:9\"").await;
    deploy(&host, "none", "\"https://example.com\"").await;
    assert_eq!(told(&host, "named", "listen=1").await, "access-denied");
    for query in ["listen=1", "n=1"] {
        let said = told(&host, "none", query).await;
        assert!(said.contains("access-denied"), "{said}");
    }
}

#[tokio::test]
async fn a_name_is_looked_up_where_the_manifest_has_it_and_leads_where_it_may() {
    let (host, server) = (Host::with(&LOOPBACK), server().await);
    let port = server.port();
    deploy(&host, "named", &format!("\"tcp://localhost:{port}\"")).await;
    deploy(&host, "others", &format!("\"tcp://{server}\", \"tcp://*.example.com:5432\"")).await;
    // The address alone is not in the manifest: the name is what leads there.
    assert_eq!(told(&host, "named", &format!("to={server}")).await, "access-denied");
    for _ in 0..3 {
        assert_eq!(told(&host, "named", &format!("name=localhost&port={port}")).await, "pong");
        assert_eq!(told(&host, "named", &format!("name=LOCALHOST&port={port}")).await, "pong");
    }
    assert_eq!(told(&host, "named", "name=localhost&port=1").await, "access-denied");
    // A name is a message to whoever answers for it: none goes out that the manifest does not have.
    for name in ["localhost", "secret.elsewhere.test", "127.1", ""] {
        let said = told(&host, "others", &format!("name={name}&port={port}")).await;
        assert_eq!(said, "access-denied", "{name}");
    }
    let long = format!("name={}.example.com&port=5432", "a".repeat(300));
    assert_eq!(told(&host, "others", &long).await, "name-unresolvable");
    let events = host.admin("GET", "/v1/events?app=others", "").await.text();
    assert!(events.contains("a look-up for tcp://secret.elsewhere.test:* was denied"), "{events}");
    // A name that leads where the operator opened nothing leads nowhere.
    let closed = Host::start();
    deploy(&closed, "named", &format!("\"tcp://localhost:{port}\"")).await;
    let said = told(&closed, "named", &format!("name=localhost&port={port}")).await;
    assert_eq!(said, "access-denied");
}
