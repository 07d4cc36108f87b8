//! Where the time of a call goes is known of each call, and adds up to the whole.

use std::time::Duration;

use serde_json::Value;
use steerage_guests as guests;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::Host;
use crate::outbound::{LOOPBACK, target_after};

/// How long somebody is waited for here.
const WAIT: Duration = Duration::from_millis(400);
/// What must be found of it: clocks and threads take their part.
const FOUND: u64 = 390_000;

fn read(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn spent(call: &Value, phase: &str) -> u64 {
    call["time_us"][phase].as_u64().unwrap_or(0)
}

/// The phases of a call, which must add up to its whole time.
fn sound(call: &Value) -> &Value {
    let phases = call["time_us"].as_object().unwrap();
    let sum: u64 = phases.values().map(|us| us.as_u64().unwrap()).sum();
    let whole = call["duration_us"].as_u64().unwrap();
    // Each phase is rounded down, and the processor's time is not measured by the wall clock.
    assert!(sum <= whole + whole / 50 + 100 && sum + 20 >= whole, "{sum} of {whole} us: {call}");
    call
}

#[tokio::test]
async fn a_call_that_waits_for_another_server_says_so_everywhere() {
    let port = target_after(WAIT).await;
    let host = Host::with(&LOOPBACK);
    let may = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]");
    host.serve("out", &read(guests::OUT), &may).await;
    let reply = host.get(&format!("/out?url=http://127.0.0.1:{port}/")).await;
    assert!(reply.text().contains("reached"), "{}", reply.text());
    let call = host.last_call("out").await;
    assert!(spent(sound(&call), "outbound") >= FOUND, "{call}");

    let listed = host.run(&["calls", "out"]).done().stdout;
    // As the API has it: on a busy machine it waits for a core as well.
    let phases = call["time_us"].as_object().unwrap();
    let whole: u64 = phases.values().map(|us| us.as_u64().unwrap()).sum();
    let mostly = format!("outbound {}%", spent(&call, "outbound") * 100 / whole);
    assert!(listed.contains("MOSTLY") && listed.contains(&mostly), "{mostly}: {listed}");
    // By how its id begins, as it stands in that table.
    let id = &call["id"].as_str().unwrap()[..8];
    let shown = host.run(&["call", id]).done().stdout;
    for part in
        ["GET /out", "out, generation 1", "outbound ", "####", "waited for an outbound request"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let metric = host.metric("call_wait_seconds_total{app=\"out\",phase=\"outbound\"}").await;
    assert!(metric >= 0.39, "{metric}");

    // One whose time is over is told what it waited for.
    let brief = format!("{may}\n[limits]\ntimeout = \"200ms\"");
    host.serve("brief", &read(guests::OUT), &brief).await;
    let reply = host.get(&format!("/brief?url=http://127.0.0.1:{port}/")).await;
    assert_eq!(reply.cause(), "timed_out");
    let told = host.until("event", || async {
        let events = host.admin("GET", "/v1/events?app=brief", "").await.json();
        events["events"].as_array()?.iter().find(|event| event["kind"] == "timed_out").cloned()
    });
    let told = told.await;
    let advice = told["advice"].as_str().unwrap();
    assert!(advice.contains("of its time it waited for an outbound request"), "{told}");
    assert!(advice.contains("above 200ms"), "{told}");
    assert!(told["evidence"]["time"].as_str().unwrap().starts_with("outbound "), "{told}");
    let unknown = host.run(&["call", "0000"]);
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.stderr.contains("no call 0000 is kept"), "{unknown:?}");
}

#[tokio::test]
async fn who_waits_for_another_server_says_so_in_whatever_way_it_is_run() {
    let port = target_after(WAIT).await;
    let host = Host::with(&LOOPBACK);
    let may = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]");
    // Each call in the instance of the one before, which had another call's time.
    let reused = format!("{may}\n[instance]\nreuse = 100");
    host.serve("reused", &read(guests::OUT), &reused).await;
    for _ in 0..3 {
        host.get(&format!("/reused?url=http://127.0.0.1:{port}/")).await;
    }
    host.serve("asker", &read(guests::ASKER), &may).await;
    host.get(&format!("/asker?port={port}&n=3")).await;
    let calls = host
        .until("four calls", || async {
            let reused = host.admin("GET", "/v1/apps/reused/calls", "").await.json();
            let asker = host.admin("GET", "/v1/apps/asker/calls", "").await.json();
            let all = [reused["calls"].as_array()?.clone(), asker["calls"].as_array()?.clone()];
            Some(all.concat()).filter(|all| all.len() == 4)
        })
        .await;
    for call in &calls {
        // Several requests at the same time are waited for once.
        assert!((FOUND..2 * FOUND).contains(&spent(sound(call), "outbound")), "{call}");
    }
    // By `wasi:http` 0.3; it never ends by itself.
    let limits = format!("{may}\n[limits]\ntimeout = \"300ms\"");
    host.serve("three", &read(guests::P3_WORST), &limits).await;
    let query = format!("what=asks&n=1&size=10&to=127.0.0.1:{port}");
    assert_eq!(host.get(&format!("/three?{query}")).await.cause(), "timed_out");
    let call = host.last_call("three").await;
    assert!(spent(sound(&call), "outbound") >= 200_000, "{call}");
}

#[tokio::test]
async fn what_clients_take_is_told_apart_from_what_guests_take() {
    let host = Host::start();
    host.serve("echo", &read(guests::ECHO), "").await;
    let mut slow = TcpStream::connect(&host.listen).await.unwrap();
    let head =
        "POST /echo/body HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\nconnection: close\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    // What the host takes to come to it is not its client's.
    host.until("a call that runs", || async {
        let n_running = host.metric("http_server_active_requests{app=\"echo\"}").await;
        (n_running > 0.0).then_some(())
    })
    .await;
    tokio::time::sleep(WAIT).await;
    slow.write_all(b"body").await.unwrap();
    slow.read_to_end(&mut Vec::new()).await.unwrap();
    let call = host.last_call("echo").await;
    assert!(spent(sound(&call), "request_body") >= FOUND, "{call}");

    host.serve("flood", &read(guests::FLOOD), "").await;
    let mut slow = TcpStream::connect(&host.listen).await.unwrap();
    slow.write_all(b"GET /flood HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    slow.read_exact(&mut [0; 1000]).await.unwrap();
    tokio::time::sleep(WAIT).await;
    drop(slow);
    let call = host.last_call("flood").await;
    // What buffers of sockets take comes before.
    assert!(spent(sound(&call), "client") >= FOUND / 2, "{call}");
}

#[tokio::test]
async fn a_call_that_sleeps_one_that_runs_and_one_that_waits_its_turn_are_told_apart() {
    let host = Host::start();
    host.serve("slow", &read(guests::SLOW), "[limits]\nconcurrency = 1").await;
    let path = format!("/slow?ms={}", WAIT.as_millis());
    tokio::join!(host.get(&path), host.get(&path));
    let calls = host
        .until("two calls", || async {
            let calls = host.admin("GET", "/v1/apps/slow/calls", "").await.json();
            calls["calls"].as_array().filter(|calls| calls.len() == 2).cloned()
        })
        .await;
    for call in &calls {
        assert!(spent(sound(call), "sleep") >= FOUND, "{call}");
    }
    assert_eq!(spent(&calls[0], "queue") / FOUND, 0, "{calls:?}");
    assert!(spent(&calls[1], "queue") >= FOUND, "{calls:?}");

    host.serve("spin", &read(guests::SPIN), "[limits]\ntimeout = \"400ms\"").await;
    assert_eq!(host.get("/spin").await.cause(), "timed_out");
    let call = host.last_call("spin").await;
    let (guest, core) = (spent(sound(&call), "guest"), spent(&call, "core"));
    assert!(guest > 0 && guest + core + spent(&call, "host") >= FOUND, "{call}");
    assert_eq!((spent(&call, "sleep"), spent(&call, "outbound")), (0, 0), "{call}");
}

#[tokio::test]
async fn who_went_away_while_it_waited_for_its_turn_says_so_and_waits_no_more() {
    // Who closes its half of the connection is believed to be gone after the time for a head.
    let host = Host::with(&["--head-timeout", "500ms"]);
    let limits = "[limits]\nconcurrency = 1\ntimeout = \"1m\"";
    host.serve("slow", &read(guests::SLOW), limits).await;
    let get = |path: &str| {
        let request = http::Request::get(host.url(path)).body(http_body_util::Full::default());
        host.stream(request.unwrap())
    };
    let first = tokio::spawn(get("/slow?ms=50000"));
    host.until("a call that runs", || async {
        let told = host.admin("GET", "/v1/apps/slow", "").await.json();
        (told["running"] == 1).then_some(())
    })
    .await;
    let second = tokio::spawn(get("/slow/second"));
    let is_waiting = async |n: u64| {
        host.until("calls that wait", || async {
            let told = host.admin("GET", "/v1/apps/slow", "").await.json();
            (told["waiting"] == n).then_some(())
        })
        .await;
    };
    is_waiting(1).await;
    second.abort();
    is_waiting(0).await;
    let call = host.last_call("slow").await;
    assert_eq!((&call["cause"], &call["path"]), (&"client_gone".into(), &"/slow/second".into()));
    let whole = call["duration_us"].as_u64().unwrap();
    assert!(spent(sound(&call), "queue") * 10 >= whole * 9, "{call}");
    first.abort();
}
