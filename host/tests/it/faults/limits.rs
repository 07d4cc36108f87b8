//! Faults of limits: an app has less than it needs. What is told says what to raise; raising it cures.

use futures_util::future::join_all;
use steerage_guests as guests;

use super::{a_host, call, is_well, read, tells};
use crate::crash_loop::{self, endless};
use crate::harness::{Host, says, works};
use crate::slots::{hold, used};

/// Calls so many times at once, a few times.
async fn burst(host: &Host, path: &str, at_once: usize) {
    for _ in 0..3 {
        join_all((0..at_once).map(|_| call(host, path, 1))).await;
    }
}

#[tokio::test]
async fn fuel_is_too_low() {
    let host = a_host();
    let wasm = works(50_000_000, "x");
    host.serve("web", &wasm, "[limits]\nfuel = 10000000").await;
    call(&host, "/web/{n}", 6).await;
    tells(&host, "web", &["out_of_fuel", "raise [limits] fuel above 10M"]).await;
    host.serve("web", &wasm, "[limits]\nfuel = 1000000000").await;
    call(&host, "/web/{n}", 6).await;
    is_well(&host).await;
}

#[tokio::test]
async fn memory_is_too_low() {
    let host = a_host();
    let wasm = read(guests::COUNTER);
    host.serve("web", &wasm, "[limits]\nmemory = \"2MiB\"").await;
    call(&host, "/web/{n}?leak=3000000", 6).await;
    tells(&host, "web", &["out_of_memory", "raise [limits] memory from 2MiB to at least"]).await;
    host.serve("web", &wasm, "[limits]\nmemory = \"8MiB\"").await;
    call(&host, "/web/{n}?leak=3000000", 6).await;
    is_well(&host).await;
}

#[tokio::test]
async fn timeout_is_too_short_for_what_it_waits() {
    let host = a_host();
    host.serve("web", &read(guests::SLOW), "[limits]\ntimeout = \"100ms\"").await;
    call(&host, "/web/{n}?ms=500", 4).await;
    let parts =
        ["timed_out", "of the time of a call that failed it slept", "raise [limits] timeout"];
    tells(&host, "web", &parts).await;
    host.serve("web", &read(guests::SLOW), "[limits]\ntimeout = \"10s\"").await;
    call(&host, "/web/{n}?ms=500", 4).await;
    is_well(&host).await;
}

#[tokio::test]
async fn timeout_is_too_short_for_what_it_computes() {
    let host = a_host();
    let limits = "[limits]\ntimeout = \"300ms\"\nfuel = 1000000000000";
    host.serve("web", &read(guests::SPIN), limits).await;
    call(&host, "/web/{n}", 4).await;
    // Beside other work the guest may have waited for a core for longer than it ran.
    tells(&host, "web", &["timed_out", "% of its time it ", "raise [limits] timeout above 300ms"])
        .await;
}

#[tokio::test]
async fn response_is_too_large() {
    let host = a_host();
    let wasm = says(&"x".repeat(5000));
    host.serve("web", &wasm, "[limits]\nresponse_body = \"1KiB\"").await;
    call(&host, "/web/{n}", 6).await;
    tells(&host, "web", &["response_too_large", "raise [limits] response_body above 1KiB"]).await;
    host.serve("web", &wasm, "[limits]\nresponse_body = \"10KiB\"").await;
    call(&host, "/web/{n}", 6).await;
    is_well(&host).await;
}

#[tokio::test]
async fn requests_are_too_large() {
    let host = a_host();
    host.serve("web", &says("x"), "[limits]\nrequest_body = \"1KiB\"").await;
    for n in 0..8 {
        host.post(&format!("/web/{n}"), vec![b'x'; 5000]).await;
    }
    tells(&host, "web", &["request_too_large", "raise [limits] request_body above 1KiB"]).await;
    host.serve("web", &says("x"), "[limits]\nrequest_body = \"10KiB\"").await;
    for n in 0..8 {
        host.post(&format!("/web/{n}"), vec![b'x'; 5000]).await;
    }
    is_well(&host).await;
}

#[tokio::test]
async fn one_call_at_a_time_is_not_enough() {
    let host = a_host();
    host.serve("web", &read(guests::SLOW), "[limits]\nconcurrency = 1\nqueue = 1").await;
    burst(&host, "/web/{n}?ms=30", 12).await;
    tells(&host, "web", &["app_busy", "raise [limits] concurrency above 1 or queue above 1"]).await;
    host.serve("web", &read(guests::SLOW), "[limits]\nconcurrency = 20").await;
    burst(&host, "/web/{n}?ms=30", 12).await;
    is_well(&host).await;
}

#[tokio::test]
async fn calls_come_faster_than_they_are_done() {
    let host = a_host();
    let limits = "[limits]\nconcurrency = 2\nqueue = 1000\ntimeout = \"300ms\"";
    host.serve("web", &read(guests::SLOW), limits).await;
    burst(&host, "/web/{n}?ms=60", 40).await;
    let parts = ["too_late", "waited for its turn", "make calls shorter"];
    tells(&host, "web", &parts).await;
}

#[tokio::test]
async fn other_calls_hold_all_slots() {
    let host = Host::with(&["--watch", "never", "--slots", "16"]);
    let limits = "[limits]\ntimeout = \"10m\"\nqueue = 0";
    host.serve("greedy", &read(guests::SLOW), limits).await;
    let held = hold(&host, "/greedy?ms=500000", 14).await;
    used(&host, 14.0).await;
    call(&host, "/greedy?ms=1", 6).await;
    let parts = ["host_full", "add hosts, or raise the host's instance slots"];
    tells(&host, "greedy", &parts).await;
    held.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn it_is_quarantined_since_it_takes_its_host_down() {
    let data = tempfile::tempdir().unwrap();
    let start = || Host::on(data.path(), &["--watch", "never"]);
    let mut host = start();
    host.serve("poison", &endless(), "").await;
    host.serve("well", &says("well"), "").await;
    for _ in 0..2 {
        // A call that ends has the host write down anew what runs; it may be another suspect until then.
        assert_eq!(host.get("/well/").await.text(), "well");
        crash_loop::runs(&host, "\"running\":[]").await;
        crash_loop::call(&host, "/poison/").await;
        host.kill();
        host = start();
    }
    call(&host, "/poison/{n}", 6).await;
    tells(&host, "its generation 1 is quarantined", &["deploy it again"]).await;
    let told = host.run(&["why", "poison"]).stdout;
    for part in ["its generation 1 is quarantined", "deploy it again"] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
}
