//! What guests make the host hold is bounded in bytes, counted against who causes it, and nobody
//! else is ended for it.

use futures_util::future::join_all;
use serde_json::Value;
use steerage_guests as guests;

use crate::harness::{Host, reads, wat};

/// Bytes of memory that the host had at most so far.
fn peak(host: &Host) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn hoard() -> Vec<u8> {
    std::fs::read(guests::HOARD).unwrap()
}

async fn events(host: &Host, query: &str) -> Vec<Value> {
    let page = host.admin("GET", &format!("/v1/events?limit=1000{query}"), "").await;
    page.json()["events"].as_array().unwrap().clone()
}

async fn of_kind(host: &Host, app: &str, kind: &str) -> Vec<Value> {
    let all = events(host, &format!("&app={app}")).await;
    all.into_iter().filter(|event| event["kind"] == kind).collect()
}

/// Waits until there are so many events of that kind, which must be counted so often together.
async fn told(host: &Host, app: &str, kind: &str, count: u64) -> Vec<Value> {
    host.until("the event", || async {
        let found = of_kind(host, app, kind).await;
        let counted: u64 = found.iter().map(|event| event["count"].as_u64().unwrap()).sum();
        (counted >= count).then_some(found)
    })
    .await
}

/// A neighbour that takes 62 MiB and then waits for its request's body, which never comes.
fn patient() -> Vec<u8> {
    reads(
        "(if (i32.eq (memory.grow (i32.const 991)) (i32.const -1)) (then unreachable))
         (memory.fill (i32.const 65536) (i32.const 1) (i32.const 65011712))",
        "still there",
    )
}

#[tokio::test]
async fn what_the_host_holds_for_a_guest_ends_that_guest_and_no_other() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let host = Host::with(&["--memory-budget", "1GiB"]);
    host.serve("patient", &patient(), "[limits]\ntimeout = \"10m\"").await;
    host.serve("hoard", &hoard(), "[limits]\nmemory = \"2MiB\"").await;
    // The neighbour is in the middle of a call, with an upload that has begun.
    let mut neighbour = tokio::net::TcpStream::connect(&host.listen).await.unwrap();
    let head =
        "POST /patient HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nconnection: close\r\n\r\n12";
    neighbour.write_all(head.as_bytes()).await.unwrap();
    host.until("the neighbour's memory", || async {
        let usage = host.admin("GET", "/v1/usage", "").await.json();
        let held = usage["host"]["memory_bytes"].as_u64().unwrap();
        (held > 60_000_000).then_some(())
    })
    .await;
    let before = peak(&host);
    for (what, cause) in [
        ("fields&size=60000", "out_of_memory"),
        ("fields&size=120000", "trapped"),
        ("bodies&size=65536", "out_of_memory"),
        ("words&size=60000", "out_of_memory"),
    ] {
        let path = format!("/hoard?n=9900&what={what}");
        for reply in join_all((0..4).map(|_| host.get(&path))).await {
            assert_eq!(reply.cause(), cause, "{what}: {}", reply.text());
        }
    }
    let grown = peak(&host).saturating_sub(before);
    assert!(grown < 256 << 20, "the host grew by {} MiB", grown >> 20);
    let event = told(&host, "hoard", "out_of_memory", 1).await.remove(0);
    assert!(event["message"].as_str().unwrap().contains("made the host hold"), "{event}");
    assert!(event["advice"].as_str().unwrap().contains("drop headers"), "{event}");
    neighbour.write_all(b"34").await.unwrap();
    let mut reply = String::new();
    neighbour.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("still there"), "{reply}");
}

/// A name that a few hundred bytes of code blow up to a megabyte: each tuple refers to the one before
/// it twice.
fn blown_up() -> String {
    let mut name = "INvC1a1b".to_owned();
    let base_62 = |number: usize| {
        let digits = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        match number.checked_sub(1) {
            None => "_".to_owned(),
            Some(rest) if rest < 62 => format!("{}_", char::from(digits[rest])),
            Some(rest) => {
                format!("{}{}_", char::from(digits[rest / 62]), char::from(digits[rest % 62]))
            }
        }
    };
    let mut last = name.len();
    name.push_str("TmmE");
    for _ in 0..18 {
        let earlier = base_62(last);
        last = name.len();
        name.push_str(&format!("TB{earlier}B{earlier}E"));
    }
    format!("_R{name}E")
}

#[tokio::test]
async fn what_guests_say_in_failures_is_cut_before_it_is_made() {
    let name = blown_up();
    assert!(rustc_demangle::demangle(&name).to_string().len() > 500_000, "it blows up");
    let host = Host::start();
    let calls: String =
        (1..30).map(|n| format!(r#"(func ${n} (@name "{name}") (call ${}))"#, n + 1)).collect();
    let module = wat(&format!(
        r#"(module (memory (export "memory") 1)
            {calls}
            (func $30 (@name "{}") unreachable)
            (func (export "_start") (call $1)))"#,
        "plain".repeat(20_000)
    ));
    host.serve("named", &module, "").await;
    host.serve("hoard", &hoard(), "").await;
    let before = peak(&host);
    for _ in 0..12 {
        assert_eq!(host.get("/named").await.cause(), "trapped");
    }
    for n in 0..12 {
        // Each text is another one, and so is each path.
        let path = format!("/hoard/{n}?what=error&size={}", 500_000 + n);
        assert_eq!(host.get(&path).await.cause(), "no_answer");
    }
    let named = told(&host, "named", "trapped", 12).await;
    assert_eq!(named.len(), 1, "one place is one event: {named:?}");
    let backtrace = named[0]["evidence"]["backtrace"].as_str().unwrap();
    assert!(backtrace.lines().all(|frame| frame.len() <= 256), "{backtrace}");
    assert!(backtrace.len() <= 8 << 10 && backtrace.starts_with("plainplain"), "{backtrace}");
    let said = told(&host, "hoard", "no_answer", 12).await;
    assert!(said.iter().all(|event| event["message"].as_str().unwrap().len() <= 1 << 10));
    let page = host.admin("GET", "/v1/events?limit=1000", "").await;
    assert!(page.body.len() < 256 << 10, "{} bytes of events", page.body.len());
    let grown = peak(&host).saturating_sub(before);
    assert!(grown < 128 << 20, "the host grew by {} MiB", grown >> 20);
    // What is too long for a page was what made this fail.
    let events = host.run(&["events"]).done().stdout;
    assert!(events.contains("no_answer") && !events.contains('\u{1}'), "{events}");
}

/// Traps in one of two functions, or works on and on in one of two others, as its body says.
fn fails_here_and_there() -> Vec<u8> {
    wat(r#"(module
        (import "wasi_snapshot_preview1" "fd_read"
            (func $read (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func $here unreachable)
        (func $there unreachable)
        (func $around (loop $again (br $again)))
        (func $about (loop $again (br $again)))
        (func (export "_start") (local $n i32)
            (i32.store (i32.const 0) (i32.const 16))
            (i32.store (i32.const 4) (i32.const 1))
            (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
            (local.set $n (i32.and (i32.load8_u (i32.const 16)) (i32.const 3)))
            (if (i32.eq (local.get $n) (i32.const 0)) (then (call $here)))
            (if (i32.eq (local.get $n) (i32.const 1)) (then (call $there)))
            (if (i32.eq (local.get $n) (i32.const 2)) (then (call $around)))
            (call $about)))"#)
}

#[tokio::test]
async fn each_different_failure_is_told_and_the_same_one_is_counted() {
    let host = Host::start();
    host.serve("four", &fails_here_and_there(), "[limits]\nfuel = \"1M\"").await;
    for round in 0..8 {
        assert_eq!(host.post("/four", (round % 4).to_string()).await.status, 500);
    }
    let trapped = told(&host, "four", "trapped", 4).await;
    let spent = told(&host, "four", "out_of_fuel", 4).await;
    for (events, names) in [(&trapped, ["here", "there"]), (&spent, ["around", "about"])] {
        assert_eq!(events.len(), 2, "{events:?}");
        for event in events {
            assert_eq!(event["count"], 2, "{event}");
            assert!(event["first_at"].as_str() <= event["at"].as_str(), "{event}");
        }
        for name in names {
            let tells =
                |event: &&Value| event["evidence"]["backtrace"].as_str().unwrap().starts_with(name);
            assert_eq!(events.iter().filter(tells).count(), 1, "{name}: {events:?}");
        }
    }
}

#[tokio::test]
async fn refusals_are_one_event_that_counts_and_hide_nothing() {
    let host = Host::start();
    let limits = "[limits]\nconcurrency = 1\nqueue = 0";
    host.serve("slow", &std::fs::read(guests::SLOW).unwrap(), limits).await;
    let replies = join_all((0..40).map(|_| host.get("/slow?ms=5000"))).await;
    let n_refused = replies.iter().filter(|reply| reply.cause() == "app_busy").count();
    assert!(n_refused >= 30, "{n_refused}");
    let refused = told(&host, "slow", "app_busy", n_refused as u64).await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0]["count"], n_refused);
    let all = events(&host, "").await;
    assert!(all.iter().any(|event| event["kind"] == "deployed"), "{all:?}");
    let times: Vec<&str> = all.iter().map(|event| event["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "in the order in which they last happened: {times:?}");
    // And the reader sees how often, since when, and where to look.
    let shown = host.run(&["events", "slow"]).done().stdout;
    assert!(shown.contains(&format!("({n_refused} times since ")), "{shown}");
    assert!(shown.contains("\n    call: "), "{shown}");
}

/// Keeps some more with each call, so that only an instance that is reused runs out of memory, and only
/// after more calls than show that it can be reused.
#[tokio::test]
async fn a_leak_from_call_to_call_is_told_apart_from_a_call_that_needs_too_much() {
    let host = Host::start();
    let more = "[instance]\nreuse = 1000\nmax_growth = \"64MiB\"\n[limits]\nmemory = \"8MiB\"";
    host.serve("leak", &std::fs::read(guests::COUNTER).unwrap(), more).await;
    for _ in 0..200 {
        if host.get("/leak?leak=131072").await.status != 200 {
            break;
        }
    }
    let event = told(&host, "leak", "out_of_memory", 1).await.remove(0);
    let advice = event["advice"].as_str().unwrap();
    assert!(advice.contains("looks like a leak") && advice.contains("max_growth"), "{event}");
}

#[tokio::test]
async fn a_guest_cannot_make_the_host_log_above_debug() {
    let socket = wat(r#"(module
        (import "wasi_snapshot_preview1" "sock_send"
            (func $send (param i32 i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "sock_accept"
            (func $accept (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 16) "\ndone")
        (func (export "_start") (local $n i32)
            (loop $more
                (drop (call $send (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 8)))
                (drop (call $accept (i32.const 3) (i32.const 0) (i32.const 8)))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $n) (i32.const 100))))
            (i32.store (i32.const 8) (i32.const 16))
            (i32.store (i32.const 12) (i32.const 5))
            (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))))"#);
    for filter in ["info", "debug"] {
        let mut host = Host::logging_as(filter, &[]);
        host.serve("socket", &socket, "").await;
        assert_eq!(host.get("/socket").await.text(), "done");
        host.signal("TERM");
        let log = host.wait_for_log();
        assert!(log.contains("ending"), "the host logs: {log}");
        assert!(!log.contains("sock_send") && !log.contains("sock_accept"), "{filter}: {log}");
    }
}

#[tokio::test]
async fn nothing_an_operator_asks_for_holds_up_the_watch_over_memory() {
    let host = Host::start();
    // A thread names itself when it first runs.
    host.until("a thread of its own", || async {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", host.pid())).unwrap();
        let names = tasks
            .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
        names.map(|name| name.trim().to_owned()).find(|name| name == "memory")
    })
    .await;
}
