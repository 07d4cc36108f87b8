//! Limits hold, and the ending of each call says which one did.

use std::time::Instant;

use http_body_util::BodyExt;
use serde_json::Value;
use steerage_guests as guests;

use crate::harness::{Host, collect, wat};

fn read(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// Calls an app that must fail with this status and cause, and gives back its last call.
async fn fails(host: &Host, app: &str, path: &str, status: u16, cause: &str) -> Value {
    let reply = host.get(path).await;
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.header("content-type"), "application/problem+json");
    let problem = reply.json();
    assert_eq!(problem["cause"], cause);
    assert_eq!(problem["status"], status);
    assert_eq!(problem["call_id"].as_str().unwrap().len(), 32);
    let list = format!("/v1/apps/{app}/calls?limit=100");
    let call = host
        .until("the settled call", || async {
            let calls = host.admin("GET", &list, "").await.json()["calls"].as_array()?.clone();
            calls.into_iter().find(|call| call["id"] == problem["call_id"])
        })
        .await;
    assert_eq!(call["cause"], cause);
    call
}

/// What the host told about the app's last failure.
async fn event(host: &Host, app: &str, kind: &str) -> Value {
    let path = format!("/v1/events?app={app}&limit=50");
    host.until("event", || async {
        let reply = host.admin("GET", &path, "").await.json();
        let events = reply["events"].as_array().unwrap().clone();
        events.into_iter().find(|event| event["kind"] == kind)
    })
    .await
}

#[tokio::test]
pub(crate) async fn a_guest_that_never_yields_is_stopped_in_time_and_its_thread_is_free() {
    let host = Host::start();
    host.serve("spin", &read(guests::SPIN), "[limits]\nfuel = \"100000B\"\ntimeout = \"300ms\"")
        .await;
    host.serve("hello", &read(guests::HELLO), "").await;
    // More endless loops than there are threads, and another app that still answers.
    let spinning = futures_util::future::join_all((0..8).map(|_| host.get("/spin")));
    let (stopped, hello) = futures_util::future::join(spinning, host.get("/hello")).await;
    assert_eq!(hello.status, 200);
    for reply in stopped {
        assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (504, "timed_out"));
    }
    let call = host.last_call("spin").await;
    assert!(call["fuel"].as_u64().unwrap() > 0, "{call}");
    let told = event(&host, "spin", "timed_out").await;
    assert!(told["advice"].as_str().unwrap().contains("[limits] timeout"), "{told}");
}

#[tokio::test]
async fn a_program_that_never_yields_is_stopped_as_well() {
    let host = Host::start();
    let program =
        wat(r#"(module (memory (export "memory") 1) (func (export "_start") (loop br 0)))"#);
    let limits = "[limits]\nfuel = \"100000B\"\ntimeout = \"200ms\"";
    host.serve("loop", &program, limits).await;
    fails(&host, "loop", "/loop", 504, "timed_out").await;
}

#[tokio::test]
pub(crate) async fn a_guest_that_copies_in_bulk_is_stopped_in_time() {
    let host = Host::start();
    let limits = "[limits]\nfuel = \"100000B\"\ntimeout = \"2s\"";
    host.serve("copy", &read(guests::COPY), limits).await;
    assert_eq!(host.get("/copy?n=3").await.text(), "3 copies of 8388608 bytes\n");
    // Fuel counts the bytes, so a program of few instructions cannot work for nothing.
    assert!(host.last_call("copy").await["fuel"].as_u64().unwrap() > 3 * 8_388_608);
    fails(&host, "copy", "/copy", 504, "timed_out").await;
}

#[tokio::test]
async fn fuel_is_bounded_per_call() {
    let host = Host::start();
    host.serve("spin", &read(guests::SPIN), "[limits]\nfuel = \"10M\"").await;
    let call = fails(&host, "spin", "/spin", 500, "out_of_fuel").await;
    assert_eq!(call["fuel"], 10_000_000);
    let told = event(&host, "spin", "out_of_fuel").await;
    assert!(told["message"].as_str().unwrap().contains("10M"), "{told}");
}

#[tokio::test]
pub(crate) async fn memory_is_bounded_per_instance() {
    let host = Host::start();
    host.serve("hog", &read(guests::HOG), "[limits]\nmemory = \"16MiB\"").await;
    let call = fails(&host, "hog", "/hog", 500, "out_of_memory").await;
    let memory = call["memory_bytes"].as_u64().unwrap();
    assert!(memory <= 16 << 20 && memory > 8 << 20, "{memory}");
    let told = event(&host, "hog", "out_of_memory").await;
    assert!(told["advice"].as_str().unwrap().contains("[limits] memory"), "{told}");
}

#[tokio::test]
async fn tables_and_memories_are_counted_together() {
    let host = Host::start();
    // 600 KiB of table leave no room for 500 KiB of memory within 1 MiB.
    let program = wat(r#"(module
            (memory (export "memory") 1)
            (table $t 1 100000 funcref)
            (func (export "_start")
                (drop (table.grow $t (ref.null func) (i32.const 60000)))
                (if (i32.eq (memory.grow (i32.const 10)) (i32.const -1)) (then unreachable))))"#);
    host.serve("both", &program, "[limits]\nmemory = \"1MiB\"").await;
    fails(&host, "both", "/both", 500, "out_of_memory").await;
}

#[tokio::test]
async fn a_component_that_needs_more_than_its_limit_is_refused_when_it_is_deployed() {
    let host = Host::start();
    let program = wat(r#"(module (memory 100) (func (export "_start")))"#);
    let text = crate::harness::manifest("big", "/big", "[limits]\nmemory = \"1MiB\"");
    let reply = host.try_deploy(&program, &text).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert_eq!(reply.cause(), "memory_limit");
    assert!(
        reply.text().contains("6.25MiB") || reply.text().contains("6400KiB"),
        "{}",
        reply.text()
    );
}

#[tokio::test]
pub(crate) async fn a_trap_is_told_with_its_backtrace() {
    let host = Host::start();
    host.serve("trap", &read(guests::TRAP), "").await;
    fails(&host, "trap", "/trap", 500, "trapped").await;
    let told = event(&host, "trap", "trapped").await;
    let backtrace = told["evidence"]["backtrace"].to_string();
    assert!(backtrace.contains("trap"), "{told}");
    let frames = [backtrace];
    assert!(frames.iter().all(|frame| !frame.contains("_ZN")), "mangled: {frames:?}");
}

#[tokio::test]
pub(crate) async fn a_guest_that_sets_no_response_is_a_bad_gateway() {
    let host = Host::start();
    host.serve("noanswer", &read(guests::NOANSWER), "").await;
    fails(&host, "noanswer", "/noanswer", 502, "no_answer").await;
}

#[tokio::test]
pub(crate) async fn what_a_guest_holds_of_the_host_is_bounded() {
    let host = Host::start();
    host.serve("hoard", &read(guests::HOARD), "").await;
    assert_eq!(host.get("/hoard?n=900").await.text(), "900 held\n");
    fails(&host, "hoard", "/hoard", 500, "trapped").await;
}

#[tokio::test]
async fn a_slow_guest_is_stopped_by_the_clock() {
    let host = Host::start();
    host.serve("slow", &read(guests::SLOW), "[limits]\ntimeout = \"200ms\"").await;
    fails(&host, "slow", "/slow?ms=60000", 504, "timed_out").await;
    // The machine may be busy at one moment, and is not at all of them.
    let mut lasted = Vec::new();
    for _ in 0..10 {
        let began_at = Instant::now();
        assert_eq!(host.get("/slow?ms=60000").await.cause(), "timed_out");
        lasted.push(began_at.elapsed());
    }
    let least = lasted.iter().min().unwrap().as_millis();
    assert!((199..250).contains(&least), "{lasted:?}");
}

/// A response that has begun and cannot be finished must break off, not end.
async fn is_cut(wasm: &str, path: &str, limits: &str, cause: &str) -> Value {
    let host = Host::start();
    host.deploy(&read(wasm), &crate::harness::manifest("app", "/...", limits)).await;
    let request = http::Request::get(host.url(path)).body(Default::default()).unwrap();
    let response = host.stream(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(collect(response).await.is_err(), "the response ended as if it were whole");
    let call = host.last_call("app").await;
    assert_eq!(call["cause"], cause);
    call
}

#[tokio::test]
pub(crate) async fn what_fails_after_the_response_began_is_cut() {
    let limits = "[limits]\ntimeout = \"300ms\"\nfuel = \"100000B\"";
    is_cut(guests::SPIN, "/after-head", limits, "timed_out").await;
    let limits = "[limits]\nresponse_body = \"1MiB\"";
    let call = is_cut(guests::FLOOD, "/", limits, "response_too_large").await;
    assert!(call["response_bytes"].as_u64().unwrap() <= (1 << 20) + (64 << 10), "{call}");
}

#[tokio::test]
async fn what_fails_before_anything_was_sent_is_an_honest_error() {
    let host = Host::start();
    host.deploy(&read(guests::TRAP), &crate::harness::manifest("app", "/...", "")).await;
    fails(&host, "app", "/after-head", 500, "trapped").await;
}

#[tokio::test]
async fn a_request_body_is_bounded_with_and_without_a_length() {
    let host = Host::start();
    host.serve("reader", &crate::harness::reader(), "[limits]\nrequest_body = \"100KiB\"").await;
    let reply = host.post("/reader", vec![b'x'; 200 << 10]).await;
    assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (413, "request_too_large"));
    let chunked = format!(
        "POST /reader HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
         32000\r\n{}\r\n0\r\n\r\n",
        "x".repeat(0x32000)
    );
    let reply = crate::harness::raw(&host.listen, chunked.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 413"), "{reply}");
    assert_eq!(host.post("/reader", vec![b'x'; 50 << 10]).await.text(), "ok");
}

#[tokio::test]
async fn an_app_has_no_more_calls_than_it_may() {
    // A client that closes its connection may have closed its half only, and is waited for so long.
    let host = Host::with(&["--head-timeout", "1s"]);
    let limits = "[limits]\nconcurrency = 2\nqueue = 1\ntimeout = \"20s\"";
    host.serve("slow", &read(guests::SLOW), limits).await;
    let request = |ms: u32| {
        let url = host.url(&format!("/slow?ms={ms}"));
        host.stream(http::Request::get(url).body(Default::default()).unwrap())
    };
    let at_least = |n: f64, metric: &'static str| {
        let host = &host;
        host.until("full app", move || async move {
            (host.metric(&format!("http_server_{metric}_requests{{app=\"slow\"}}")).await >= n)
                .then_some(())
        })
    };
    let running = [tokio::spawn(request(10_000)), tokio::spawn(request(10_000))];
    // The third comes on a connection of its own, and may be read first if it is sent at once.
    at_least(2.0, "active").await;
    let waiting = tokio::spawn(request(10));
    at_least(1.0, "waiting").await;
    let refused = host.get("/slow?ms=10").await;
    assert_eq!((refused.status.as_u16(), refused.cause().as_str()), (429, "app_busy"));
    assert_eq!(refused.header("retry-after"), "1");
    // A client that goes away makes room for the one that waits.
    for call in running {
        call.abort();
    }
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_client_that_goes_away_stops_its_guest() {
    let host = Host::start();
    let limits = "[limits]\ntimeout = \"30s\"\nfuel = \"100000B\"";
    host.deploy(&read(guests::SPIN), &crate::harness::manifest("spin", "/...", limits)).await;
    let request = http::Request::get(host.url("/after-head")).body(Default::default()).unwrap();
    let mut response = host.stream(request).await.unwrap();
    assert!(response.body_mut().frame().await.is_some());
    drop(response);
    assert_eq!(host.last_call("spin").await["cause"], "client_gone");
}
