//! Whom apps ask in their outbound requests: each destination has its own counts, and the one that fails an
//! app's calls is named. Servers here speak by hand, so that they can be as rude as real ones.

use serde_json::Value;
use steerage_guests as guests;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fleet::Fleet;
use crate::harness::{Host, manifest, raw};
use crate::outbound::LOOPBACK;

/// A server that does what the path says: answers with a status, says nothing, or breaks off.
pub(crate) async fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    port
}

async fn serve(mut stream: TcpStream) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).ok()?;
        let path = head.split(' ').nth(1)?.trim_start_matches('/').to_owned();
        match &*path {
            // It waits for its peer to go.
            "" | "silent" => {
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.ok()?;
                return None;
            }
            "broken" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await.ok()?;
                return None;
            }
            status => {
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok");
                stream.write_all(answer.as_bytes()).await.ok()?;
            }
        }
    }
}

/// A port of this machine on which nobody listens.
pub(crate) fn closed() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A host whose app `out` may ask these ports, and no other, and has so long for it.
async fn caller(ports: &[u16], timeout: &str) -> Host {
    let host = Host::with(&LOOPBACK);
    let allowed: Vec<_> = ports.iter().map(|port| format!("\"http://127.0.0.1:{port}\"")).collect();
    let more = format!(
        "allowed_outbound_hosts = [{}]\n[limits]\ntimeout = \"{timeout}\"",
        allowed.join(", ")
    );
    host.serve("out", &std::fs::read(guests::OUT).unwrap(), &more).await;
    host
}

async fn ask(host: &Host, port: u16, path: &str) -> u16 {
    host.get(&format!("/out?url=http://127.0.0.1:{port}/{path}")).await.status.as_u16()
}

/// What is told of the destinations once so many requests are over.
async fn told(host: &Host, path: &str, n_requests: u64) -> Vec<Value> {
    host.until("word on all requests", || async {
        let told = host.admin("GET", path, "").await.json();
        let told = told["destinations"].as_array()?.clone();
        let n_over: u64 = told.iter().map(|one| one["requests"].as_u64().unwrap()).sum();
        (n_over == n_requests).then_some(told)
    })
    .await
}

fn of(told: &[Value], port: u16) -> &Value {
    let name = format!("127.0.0.1:{port}");
    told.iter().find(|one| one["destination"] == *name).unwrap_or_else(|| panic!("{told:?}"))
}

const OUT: &str = "/v1/apps/out/destinations";

#[tokio::test]
async fn each_destination_has_its_own_counts_errors_and_latency() {
    let (good, bad, closed, denied) = (server().await, server().await, closed(), 9);
    let host = caller(&[good, bad, closed], "20s").await;
    assert_eq!(host.admin("GET", OUT, "").await.json()["destinations"], serde_json::json!([]));
    for _ in 0..3 {
        assert_eq!(ask(&host, good, "200").await, 200);
    }
    assert_eq!(ask(&host, good, "404").await, 200);
    for path in ["503", "503", "broken"] {
        // Of the last one the answer breaks off, too.
        let line = format!("GET /out?url=http://127.0.0.1:{bad}/{path} HTTP/1.1");
        let head = format!("{line}\r\nhost: h\r\nconnection: close\r\n\r\n");
        raw(&host.listen, head.as_bytes()).await;
    }
    assert_eq!(ask(&host, closed, "200").await, 502);
    assert_eq!(ask(&host, denied, "200").await, 502);
    let told = told(&host, OUT, 9).await;
    let ended = |port| of(&told, port)["ended"].clone();
    assert_eq!(ended(good), serde_json::json!({ "answered": 4 }));
    assert_eq!(ended(bad), serde_json::json!({ "server_error": 2, "broke_off": 1 }));
    assert_eq!(ended(closed), serde_json::json!({ "unconnected": 1 }));
    assert_eq!(ended(denied), serde_json::json!({ "denied": 1 }));
    let known = of(&told, good);
    assert_eq!(
        (&known["failed"], &known["errors"], &known["running"]),
        (&0.into(), &0.into(), &0.into())
    );
    let us = |key: &str| known[key].as_u64().unwrap();
    assert!(us("p50_us") > 0 && us("p50_us") <= us("p95_us") && us("p95_us") <= us("max_us"));
    assert!(us("waited_us") > 0 && known["last_error"].is_null(), "{known}");
    assert_eq!(known["recent"].as_array().unwrap().len(), 4);
    assert_eq!(of(&told, bad)["last_error"]["why"], "the answer broke off");
    assert_eq!(of(&told, closed)["last_error"]["why"], "connection refused");

    let labels = format!("app=\"out\",destination=\"127.0.0.1:{bad}\"");
    let line = format!("http_client_requests_total{{{labels},outcome=\"server_error\"}}");
    assert_eq!(host.metric(&line).await, 2.0);
    assert!(host.metric(&format!("http_client_wait_seconds_total{{{labels}}}")).await > 0.0);
    let shown = host.run(&["show", "out"]).done().stdout;
    let line = shown.lines().find(|line| line.starts_with(&format!("127.0.0.1:{bad} "))).unwrap();
    assert!(line.contains("the answer broke off, ") && line.ends_with(" ago"), "{shown}");
    let header = shown.lines().find(|line| line.contains("DESTINATION")).unwrap();
    assert!(header.contains("MEDIAN") && header.contains("LAST ERROR"), "{header}");
    let json = host.run(&["show", "out", "-o", "json"]).done().json();
    assert_eq!(json["destinations"].as_array().unwrap().len(), 4);
    assert_eq!(json["app"], "out");
    let refused = host.admin("GET", "/v1/apps/nobody/destinations", "").await;
    assert_eq!((refused.status.as_u16(), &*refused.cause()), (404, "not_found"));
}

#[tokio::test]
async fn the_destination_that_calls_wait_for_is_named_with_its_figures() {
    let port = server().await;
    let host = caller(&[port], "300ms").await;
    for _ in 0..3 {
        assert_eq!(ask(&host, port, "silent").await, 504);
    }
    told(&host, OUT, 3).await;
    let call = host.last_call("out").await;
    let waited_for = &call["waited_for"];
    assert_eq!(waited_for["destination"], format!("127.0.0.1:{port}"), "{call}");
    assert!(waited_for["waited_us"].as_u64().unwrap() > 100_000, "{call}");
    let said = host.run(&["why", "out"]);
    let line = format!(
        "it waits for 127.0.0.1:{port}: all of its last 3 requests timed out (the call's time was over \
         first)"
    );
    assert!(said.code == 1 && said.stdout.contains(&line), "{line:?} is not in {}", said.stdout);
    assert!(said.stdout.contains("give outbound requests a shorter timeout"), "{}", said.stdout);
    let shown = host.run(&["call", call["id"].as_str().unwrap()]).done().stdout;
    assert!(shown.contains(&format!("asked    127.0.0.1:{port}, ")), "{shown}");
}

#[tokio::test]
async fn the_destination_that_fails_calls_at_once_is_named() {
    let closed = closed();
    let host = caller(&[closed], "20s").await;
    for _ in 0..3 {
        assert_eq!(ask(&host, closed, "").await, 502);
    }
    told(&host, OUT, 3).await;
    host.until("record of the calls", || async {
        let calls = host.admin("GET", "/v1/apps/out/calls", "").await.json();
        (calls["calls"].as_array()?.len() == 3).then_some(())
    })
    .await;
    let said = host.run(&["why", "out"]).stdout;
    let name = format!("127.0.0.1:{closed}");
    for part in [
        &*format!("requests to {name} fail: all of its last 3 requests got no connection"),
        "(connection refused)",
        &*format!("next  {name}: see whether it runs"),
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
}

#[tokio::test]
async fn a_guest_that_makes_up_names_takes_no_place_from_whom_it_asks() {
    let port = server().await;
    let host = caller(&[port], "20s").await;
    for made_up in 1..40 {
        assert_eq!(ask(&host, made_up, "").await, 502);
    }
    assert_eq!(ask(&host, port, "200").await, 200);
    // What was only ever denied gives its place up, and its counts go with it.
    let name = format!("127.0.0.1:{port}");
    let told = host
        .until("the one that may be asked", || async {
            let told = host.admin("GET", OUT, "").await.json();
            let told = told["destinations"].as_array()?.clone();
            told.iter().any(|one| one["destination"] == *name).then_some(told)
        })
        .await;
    assert!(told.len() <= 17, "{told:?}");
    assert_eq!(of(&told, port)["requests"], 1);
    let metrics = host.admin("GET", "/metrics", "").await.text();
    let n_lines = metrics.lines().filter(|line| line.starts_with("http_client_requests_total{"));
    assert!(n_lines.count() <= 17, "{metrics}");
}

#[tokio::test]
async fn requests_of_0_3_are_counted_as_those_of_0_2() {
    let port = server().await;
    let host = Host::with(&LOOPBACK);
    let may = format!(
        "allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]\n[limits]\ntimeout = \"300ms\""
    );
    host.serve("three", &std::fs::read(guests::P3_WORST).unwrap(), &may).await;
    // It sends a request, and waits for an answer that never comes.
    let query = format!("what=asks&n=1&size=10&to=127.0.0.1:{port}");
    assert_eq!(host.get(&format!("/three?{query}")).await.cause(), "timed_out");
    let told = told(&host, "/v1/apps/three/destinations", 1).await;
    assert_eq!(of(&told, port)["ended"], serde_json::json!({ "timed_out": 1 }));
    let call = host.last_call("three").await;
    assert_eq!(call["waited_for"]["destination"], format!("127.0.0.1:{port}"), "{call}");
}

#[tokio::test]
async fn any_host_tells_whom_an_app_asks_from_all() {
    let Some(fleet) = Fleet::start_with(2, &LOOPBACK).await else { return };
    let port = server().await;
    let more = format!(
        "allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]\n[replicas]\nmin = 2\nmax = 2"
    );
    let text = manifest("out", "/out/...", &more);
    fleet.first().deploy(&std::fs::read(guests::OUT).unwrap(), &text).await;
    fleet.ready_on("out", 2).await;
    for (host, path) in fleet.hosts.iter().zip(["200", "503"]) {
        assert_eq!(ask(host, port, path).await, 200);
        told(host, OUT, 1).await;
    }
    for host in &fleet.hosts {
        let all = told(host, &format!("{OUT}?host=*"), 2).await;
        let ended = serde_json::json!({ "answered": 1, "server_error": 1 });
        assert_eq!(of(&all, port)["ended"], ended);
        assert_eq!(of(&all, port)["recent"].as_array().unwrap().len(), 2);
        let one = told(host, &format!("{OUT}?host=h2"), 1).await;
        assert_eq!(of(&one, port)["errors"], 1);
    }
}
