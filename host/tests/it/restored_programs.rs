//! Programs, which are served the CGI way, in instances that are put back after each call: the same
//! answers, the same fuel, the same memory as in new ones.

use std::time::Duration;

use http::Request;
use http_body_util::Full;
use steerage_guests as guests;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Host, wat};
use crate::restored::{
    N, NEW, RESTORED, asked, both, compare, compare_answers, lost_for, serve_both, shown, standing,
    warm,
};

/// A program of preview 1 that changes all that a call can change in a core module (two memories, their
/// sizes, globals), says what it found there before, and then does `last`. It never answers anything but
/// this where each call has an instance of its own.
const FOUND: &str = "1 1 1 1 A";

fn changes(last: &str) -> Vec<u8> {
    wat(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read"
                (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory $own (export "memory") 1 50)
            (memory $other 1 50)
            (data (memory $own) (i32.const 0) "A")
            (data (memory $own) (i32.const 32) "\n")
            (global $small (mut i32) (i32.const 1))
            (global $large (mut i64) (i64.const 1))
            (func $digit (param $at i32) (param $number i32)
                (i32.store8 (local.get $at) (i32.add (i32.const 48) (local.get $number)))
                (i32.store8 offset=1 (local.get $at) (i32.const 32)))
            (func (export "_start") (local $n i32)
                (call $digit (i32.const 33) (memory.size $own))
                (call $digit (i32.const 35) (memory.size $other))
                (call $digit (i32.const 37) (global.get $small))
                (call $digit (i32.const 39) (i32.wrap_i64 (global.get $large)))
                (i32.store8 (i32.const 41) (i32.load8_u (i32.const 0)))
                (if (i32.load $other (i32.const 5000)) (then unreachable))
                (i32.store8 (i32.const 0) (i32.const 66))
                (i32.store $other (i32.const 5000) (i32.const 1))
                (global.set $small (i32.const 7))
                (global.set $large (i64.const 8))
                (drop (memory.grow $own (i32.const 3)))
                (drop (memory.grow $other (i32.const 2)))
                (if (i32.load (i32.const 200000)) (then unreachable))
                (i32.store (i32.const 200000) (i32.const 9))
                (i32.store (i32.const 16) (i32.const 32))
                (i32.store (i32.const 20) (i32.const 10))
                (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
                {last}))"#
    ))
}

#[tokio::test]
async fn programs_are_the_same() {
    for wasm in [guests::CGI_ECHO, guests::CGI_ECHO_COMPONENT] {
        let host = both(wasm, "/some/path").await;
        compare(&host, "/some/path?a=b").await;
        compare(&host, "/x?status=404").await;
        compare_answers(&host, "/body", Some("short")).await;
        compare_answers(&host, "/body", Some(&"some text, ".repeat(30_000))).await;
        let (restored, lost) = standing(&host).await;
        assert!(restored > 40.0 && lost <= 2.0, "{restored} restored, {lost} lost");
        // What ends badly costs its instance, and its neighbours nothing.
        for bad in ["/panic", "/silent"] {
            let (_, before) = standing(&host).await;
            let new = host.get(&format!("/{NEW}{bad}")).await.cause();
            host.until("the loss", || async {
                assert_eq!(host.get(&format!("/{RESTORED}{bad}")).await.cause(), new);
                (standing(&host).await.1 > before).then_some(())
            })
            .await;
            warm(&host, "/some/path").await;
            compare(&host, "/some/path").await;
        }
        let (_, lost) = standing(&host).await;
        assert_eq!(lost_for(&host, "call_failed").await, lost);
    }
}

#[tokio::test]
async fn no_trace_of_a_call_is_left_in_a_core_module() {
    for last in ["", "(call $exit (i32.const 0))"] {
        let host = Host::start();
        serve_both(&host, &changes(last), "").await;
        warm(&host, "/").await;
        compare(&host, "/").await;
        for n in 0..30 {
            assert_eq!(host.get(&format!("/{RESTORED}/{n}")).await.text(), FOUND);
        }
        let (restored, lost) = standing(&host).await;
        assert!(restored > 30.0 && lost == 0.0, "{restored} restored, {lost} lost");
        let kind = host.admin("GET", "/v1/apps/back", "").await.json();
        assert_eq!(kind["deployments"][0]["kind"], "cgi-module", "{kind}");
    }
}

#[tokio::test]
async fn programs_that_are_broken_off_are_lost_and_leave_nothing() {
    let host = Host::start();
    // It waits for the whole of its body when it has answered.
    let reads = "(i32.store (i32.const 0) (i32.const 50))
                 (i32.store (i32.const 4) (i32.const 1000))
                 (loop $more
                    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                    (br_if $more (i32.load (i32.const 8))))";
    serve_both(&host, &changes(reads), "[limits]\ntimeout = \"400ms\"").await;
    warm(&host, "/").await;
    compare(&host, "/").await;
    let (_, before) = standing(&host).await;
    // A client that sends less than it said, until the time is over.
    let head = format!("POST /{RESTORED}/late HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nxyz");
    let mut client = TcpStream::connect(&host.listen).await.unwrap();
    client.write_all(head.as_bytes()).await.unwrap();
    let mut begun = [0; 12];
    client.read_exact(&mut begun).await.unwrap();
    assert_eq!(host.call_of(RESTORED, &format!("/{RESTORED}/late")).await["cause"], "timed_out");
    // One that goes away.
    let head = head.replace("/late", "/left");
    let mut client = TcpStream::connect(&host.listen).await.unwrap();
    client.write_all(head.as_bytes()).await.unwrap();
    client.read_exact(&mut begun).await.unwrap();
    drop(client);
    host.call_of(RESTORED, &format!("/{RESTORED}/left")).await;
    host.until("their loss", || async { (standing(&host).await.1 > before).then_some(()) }).await;
    warm(&host, "/").await;
    compare(&host, "/").await;
    for n in 0..10 {
        assert_eq!(host.get(&format!("/{RESTORED}/{n}")).await.text(), FOUND);
    }
}

#[tokio::test]
async fn what_a_program_prints_is_of_its_call() {
    let host = Host::start();
    let complains = "(i32.store (i32.const 16) (i32.const 33))
                     (i32.store (i32.const 20) (i32.const 9))
                     (drop (call $write (i32.const 2) (i32.const 16) (i32.const 1) (i32.const 8)))";
    serve_both(&host, &changes(complains), "").await;
    warm(&host, "/").await;
    host.until("the line of one call", || async {
        let n = N.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (_, call) = asked(&host, RESTORED, &format!("/{n}"), None).await;
        assert_eq!(call["instantiate_us"], 0, "{call}");
        let logs = host.admin("GET", "/v1/apps/back/logs?lines=6", "").await.json();
        let lines = logs["lines"].as_array().unwrap();
        let of_call: Vec<_> = lines.iter().filter(|line| line["call"] == call["id"]).collect();
        assert!(of_call.len() <= 1, "{of_call:?}");
        of_call.first().map(|line| assert_eq!(line["text"], FOUND, "{line}"))
    })
    .await;
}

#[tokio::test]
async fn programs_that_many_threads_work_on_are_the_same() {
    let host = Host::start();
    let works = "(local.set $n (i32.const 3000000))
                 (loop $more (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))";
    serve_both(&host, &changes(works), "").await;
    warm(&host, "/").await;
    let calls = (0..24).map(|n| {
        let host = &host;
        async move {
            let url = host.url(&format!("/{RESTORED}/{n}"));
            let request = Request::get(url).body(Full::default()).unwrap();
            let reply = tokio::time::timeout(Duration::from_secs(60), host.send(request)).await;
            assert_eq!(reply.unwrap().text(), FOUND);
        }
    });
    futures_util::future::join_all(calls).await;
    compare(&host, "/").await;
}

#[tokio::test]
async fn a_program_that_cannot_be_restored_says_why() {
    let host = Host::start();
    let sets = r#"(module (memory (export "memory") 1) (table 1 funcref)
        (func (export "_start") (table.set (i32.const 0) (ref.null func)))) "#;
    serve_both(&host, &wat(sets), "").await;
    let why = "its code has table.set, whose effect cannot be put back";
    assert_eq!(shown(&host, RESTORED).await["in_the_way"], why);
    assert_eq!(shown(&host, RESTORED).await["made"], "new");
    // One whose start function asks the host for something is found out when an instance is made.
    let asks = r#"(module
        (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (memory (export "memory") 1)
        (func $begin (drop (call $yield))) (start $begin)
        (func (export "_start")))"#;
    serve_both(&host, &wat(asks), "").await;
    let why = host
        .until("the reason", || async {
            assert_eq!(host.get(&format!("/{RESTORED}")).await.cause(), "no_answer");
            shown(&host, RESTORED).await["in_the_way"].as_str().map(str::to_owned)
        })
        .await;
    assert_eq!(why, "its code asks the host for something at its start, as for the time or memory");
    assert_eq!(shown(&host, NEW).await["in_the_way"], serde_json::Value::Null);
}
