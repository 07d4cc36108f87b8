//! The same as `host_calls` for services: for the functions of `wasi:http` 0.2, and for all that 0.3
//! brings, which is streams, futures and calls that run at the same time.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http_body_util::BodyExt;
use steerage_guests as guests;

use crate::harness::Host;
use crate::host_calls::{SLACK, asked_ends_in_time};

const TIMEOUT: Duration = Duration::from_millis(300);
const LIMITS: &str = "[limits]\ntimeout = \"300ms\"\nfuel = \"100000B\"\nmemory = \"64MiB\"";
/// Most that the host may grow by, whatever one call after the other asks of it: several times what
/// such a call may have, and a tenth of what some of them had.
const GROWTH: u64 = 256 << 20;

/// What is asked for again and again with `wasi:http` 0.2: headers long and many, lists that are too
/// long and just not, words of requests, resources made and dropped.
const ASKED_0_2: [&str; 28] = [
    "long&size=60000",
    "long&size=1000000",
    "fill",
    "name&size=60000",
    "name&size=1000000",
    "set&size=1500",
    "set&size=20000",
    "set&size=1000000",
    "delete",
    "entries",
    "clone",
    "list&n=500",
    "list&n=20000",
    "list&n=500000",
    "headers",
    "path&size=60000",
    "path&size=1000000",
    "path&size=5000000",
    "method&size=60000",
    "method&size=1000000",
    "authority&size=60000",
    "authority&size=1000000",
    "requests",
    "bodies&size=65536",
    "timers&n=400",
    "timers&n=900",
    "environment",
    "asks&n=900&to=nowhere.example",
];

/// The same with 0.3, and what runs at the same time: streams, futures, timers and tasks, many at
/// once, cancelled, read and written in one component, all ready at one moment.
const ASKED_0_3: [&str; 39] = [
    "streams",
    "futures",
    "inputs",
    "requests",
    "responses",
    "bodies",
    "timers&n=9000",
    "timers&n=100000",
    "gone&n=500",
    "asks&n=5000&to=nowhere.example",
    "read&size=1000",
    "random",
    "random&size=1000000",
    "insecure",
    "environment",
    "now",
    "copy",
    "clone",
    "list&n=500",
    "list&n=20000",
    "list&n=500000",
    "set",
    "append",
    "append&size=1000000",
    "get",
    "get&size=1000000",
    "path&size=60000",
    "path&size=1000000",
    "lines&size=100",
    "lines&size=65536",
    "lines&size=10000000",
    "pipe&size=1",
    "pipe&size=10000000",
    "drops",
    "yield",
    "block",
    "moment&n=9000",
    "cancel",
    "spawn&n=1000",
];

/// Bodies that are written without end, a little at a time and much; the client takes all of it.
const WRITTEN: [&str; 3] = ["tiny&size=1", "tiny&size=100", "tiny&size=65536"];
/// The same, which only 0.2 has a function for.
const ZEROES: [&str; 1] = ["zeroes"];

fn read(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn memory(host: &Host, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Asks for each in turn, on one thread that the neighbour needs as well.
async fn holds_nobody(guest: &str, asked: &[&str], written: &[&str]) {
    let host = Host::with(&["--threads", "1"]);
    host.serve("hello", &read(guests::HELLO), "").await;
    host.serve("worst", &read(guest), LIMITS).await;
    host.get("/hello").await;
    let before = memory(&host, "VmHWM:");
    for (n, what) in asked.iter().enumerate() {
        let path = format!("/worst/{n}");
        asked_ends_in_time(&host, "worst", &path, &format!("?what={what}"), TIMEOUT).await;
    }
    for what in written {
        writes_in_time(&host, what).await;
    }
    let reply = host.get("/worst?what=trailers&size=60000").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let grown = memory(&host, "VmHWM:").saturating_sub(before);
    assert!(grown < GROWTH, "the host grew by {} MiB", grown >> 20);
}

async fn writes_in_time(host: &Host, what: &str) {
    let began_at = Instant::now();
    let path = format!("/worst/{what}").replace('&', "/");
    let request = http::Request::get(host.url(&format!("{path}?what={what}")));
    let response = host.stream(request.body(Default::default()).unwrap());
    let body = async { response.await.unwrap().into_body().collect().await };
    let neighbour = async { host.get("/hello").await };
    let (body, reply) = futures_util::future::join(body, neighbour).await;
    assert_eq!(reply.status, 200);
    assert!(body.is_err(), "{what}: a body without an end was ended");
    assert!(began_at.elapsed() < TIMEOUT + SLACK, "{what}: {:?}", began_at.elapsed());
    let call = host.call_of("worst", &path).await;
    assert!(
        ["timed_out", "response_too_large"].contains(&call["cause"].as_str().unwrap()),
        "{call}"
    );
}

#[tokio::test]
pub(crate) async fn no_function_of_http_0_2_holds_a_thread() {
    holds_nobody(guests::WORST, &ASKED_0_2, &[&WRITTEN[..], &ZEROES].concat()).await;
}

#[tokio::test]
pub(crate) async fn no_function_of_0_3_holds_a_thread() {
    holds_nobody(guests::P3_WORST, &ASKED_0_3, &WRITTEN).await;
}

#[tokio::test]
async fn what_runs_at_the_same_time_is_weighed() {
    let host = Host::start();
    let limits = "[limits]\ntimeout = \"20s\"\nfuel = \"100000B\"\nmemory = \"4MiB\"";
    host.serve("worst", &read(guests::P3_WORST), limits).await;
    // A few of each are nothing to speak of.
    for what in ["streams&n=500", "futures&n=500", "inputs&n=300", "responses&n=100&size=1"] {
        let reply = host.get(&format!("/worst?what={what}")).await;
        assert_eq!(reply.status, 200, "{what}: {}", reply.text());
    }
    let before = memory(&host, "VmHWM:");
    for what in ["streams", "futures", "inputs", "timers", "bodies&size=1"] {
        let path = format!("/worst?n=9000&what={what}");
        for reply in join_all((0..10).map(|_| host.get(&path))).await {
            assert_eq!(reply.cause(), "out_of_memory", "{what}: {}", reply.text());
        }
    }
    // Each may have its memory, as much again beside it, and 4 MiB.
    let grown = memory(&host, "VmHWM:").saturating_sub(before);
    assert!(grown < 10 * (16 << 20), "the host grew by {} MiB", grown >> 20);
}

#[tokio::test]
async fn requests_that_wait_for_their_turn_are_weighed() {
    // It takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = silent.local_addr().unwrap();
    let host = Host::with(&["--outbound-private", "127.0.0.0/8"]);
    let limits = format!(
        "allowed_outbound_hosts = [\"http://{to}\"]\n[limits]\ntimeout = \"20s\"\n\
         fuel = \"100000B\"\nmemory = \"16MiB\""
    );
    host.serve("old", &read(guests::WORST), &limits).await;
    host.serve("new", &read(guests::P3_WORST), &limits).await;
    for (app, n) in [("old", 300), ("new", 990)] {
        let before = memory(&host, "VmHWM:");
        let reply = host.get(&format!("/{app}?what=asks&n={n}&size=60000&to={to}")).await;
        assert_eq!(reply.cause(), "out_of_memory", "{app}: {}", reply.text());
        host.until("an event that says what it was", || async {
            let events = host.admin("GET", &format!("/v1/events?app={app}"), "").await;
            events.text().contains("made the host hold").then_some(())
        })
        .await;
        let grown = memory(&host, "VmHWM:").saturating_sub(before);
        assert!(grown < 64 << 20, "{app}: the host grew by {} MiB", grown >> 20);
    }
}

#[tokio::test]
async fn the_host_ends_in_time_beside_all_of_them() {
    let mut host = Host::with(&["--drain-timeout", "1s"]);
    let limits = "[limits]\ntimeout = \"10m\"\nfuel = \"100000B\"\nmemory = \"64MiB\"";
    host.serve("old", &read(guests::WORST), limits).await;
    host.serve("new", &read(guests::P3_WORST), limits).await;
    let asked = [
        ("old", "clone"),
        ("old", "list&n=500"),
        ("old", "tiny&size=1"),
        ("new", "lines"),
        ("new", "moment&n=5000"),
        ("new", "timers&n=5000"),
        ("new", "yield"),
        ("new", "pipe&size=1000000"),
        ("new", "tiny&size=1"),
    ];
    let calls = asked.map(|(app, what)| {
        let request = http::Request::get(host.url(&format!("/{app}?what={what}")));
        tokio::spawn(host.stream(request.body(Default::default()).unwrap()))
    });
    host.until("running calls", || async {
        let running = host.metric("http_server_active_requests{app=\"new\"}").await
            + host.metric("http_server_active_requests{app=\"old\"}").await;
        (running >= asked.len() as f64).then_some(())
    })
    .await;
    host.ends_in_time();
    for call in calls {
        call.abort();
    }
}
