//! No neighbour can hurt another: CPU by weight, memory by share, and room that is refused in time.

use std::time::Duration;

use futures_util::future::{join, join_all};
use steerage_guests as guests;

use crate::harness::{Host, Reply, wat};

fn read(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// A program that takes this many pages of memory and keeps them until its time is over.
fn holder(pages: u32) -> Vec<u8> {
    wat(&format!(
        r#"(module
            (memory (export "memory") 1)
            (func (export "_start")
                (if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then unreachable))
                (loop br 0)))"#
    ))
}

const BUSY: &str = "[limits]\nfuel = \"1000B\"\ntimeout = \"2s\"\nconcurrency = 8";

async fn four(host: &Host, path: &str) -> Vec<Reply> {
    join_all((0..4).map(|_| host.get(path))).await
}

#[tokio::test]
async fn the_cpu_is_shared_by_weight() {
    let host = Host::start();
    for (app, weight) in [("light", 1), ("heavy", 3)] {
        let more = format!("{BUSY}\n[share]\nweight = {weight}");
        host.serve(app, &read(guests::SPIN), &more).await;
    }
    // All of them run until their time is over, so both apps are busy for as long.
    let (light, heavy) = join(four(&host, "/light"), four(&host, "/heavy")).await;
    for reply in light.into_iter().chain(heavy) {
        assert_eq!(reply.cause(), "timed_out");
    }
    let light = host.metric("guest_cpu_seconds_total{app=\"light\"}").await;
    let heavy = host.metric("guest_cpu_seconds_total{app=\"heavy\"}").await;
    let ratio = heavy / light;
    assert!((2.0..4.5).contains(&ratio), "{heavy} s against {light} s");
}

#[tokio::test]
async fn the_app_that_holds_too_much_memory_is_refused_and_no_other() {
    let host = Host::with(&["--memory-budget", "512MiB", "--memory-overcommit", "1"]);
    host.serve("greedy", &holder(1024), BUSY).await;
    host.serve("modest", &read(guests::HELLO), "").await;
    // Eight times 64 MiB and a page each is more than there is.
    let greedy = join_all((0..8).map(|_| host.get("/greedy")));
    let modest = async {
        let mut statuses = Vec::new();
        for _ in 0..50 {
            statuses.push(host.get("/modest").await.status);
        }
        statuses
    };
    let (greedy, modest) = join(greedy, modest).await;
    let refused: Vec<_> = greedy.iter().filter(|reply| reply.cause() == "host_memory").collect();
    assert!(!refused.is_empty(), "nobody was refused");
    for reply in &refused {
        assert_eq!(reply.status, 503);
        assert_eq!(reply.header("retry-after"), "1");
        assert!(reply.text().contains("the app holds"), "{}", reply.text());
    }
    let kept = greedy.iter().filter(|reply| reply.cause() == "timed_out").count();
    assert!(kept >= 6, "{kept} of 8 fit: a full budget refuses, and ends nobody");
    assert!(modest.iter().all(|status| *status == 200), "{modest:?}");
    // Everything is given back, once the last of them is gone.
    host.until("memory given back", || async {
        let held = host.metric("guest_memory_in_use_bytes{app=\"greedy\"}").await;
        (held == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_app_within_its_share_gets_memory_from_the_one_beyond() {
    let host = Host::with(&["--memory-budget", "512MiB", "--memory-overcommit", "1"]);
    // Seven times 64 MiB leaves less than the other one asks for, which is within its share.
    let limits = BUSY.replace("concurrency = 8", "concurrency = 7");
    host.serve("greedy", &holder(1024), &limits).await;
    host.serve("within", &holder(1280), BUSY).await;
    let greedy = join_all((0..7).map(|_| host.get("/greedy")));
    let within = async {
        host.until("hold", || async {
            let held = host.metric("guest_memory_in_use_bytes{app=\"greedy\"}").await;
            (held >= 7.0 * 64.0 * 1024.0 * 1024.0).then_some(())
        })
        .await;
        host.get("/within").await
    };
    let (greedy, within) = join(greedy, within).await;
    assert_eq!(within.cause(), "timed_out", "it got its memory and kept it");
    let ended = greedy.iter().filter(|reply| reply.cause() == "host_memory").count();
    assert_eq!(ended, 1, "one call had to give back what was needed");
}

#[tokio::test]
async fn a_call_that_cannot_be_over_in_time_is_refused_at_once() {
    let host = Host::start();
    let more = "[limits]\nconcurrency = 1\nqueue = 100\ntimeout = \"1s\"";
    host.serve("slow", &read(guests::SLOW), more).await;
    // One at a time, 300 ms each: the fifth in line has no chance to be over within its second.
    let replies = join_all((0..12).map(|_| host.get("/slow?ms=300"))).await;
    let answered = replies.iter().filter(|reply| reply.status == 200).count();
    assert!((1..=4).contains(&answered), "{answered} were answered");
    // The length of a call is known once one is over; from then on whoever comes too late is told.
    let began_at = std::time::Instant::now();
    let waiting = join_all((0..8).map(|_| host.get("/slow?ms=300")));
    let replies = waiting.await;
    let late: Vec<_> = replies.iter().filter(|reply| reply.cause() == "too_late").collect();
    assert!(late.len() >= 4, "{:?}", replies.iter().map(Reply::cause).collect::<Vec<_>>());
    assert!(late.iter().all(|reply| reply.status == 503 && reply.header("retry-after") == "1"));
    assert!(began_at.elapsed() < Duration::from_secs(20));
}
