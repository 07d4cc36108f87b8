//! What is known of apps stays within one bound for all of them: who was quiet longest loses its lines
//! and last calls, and nobody its counters.

use serde_json::Value;

use crate::harness::{Host, wat};

const MOST: f64 = (4 << 20) as f64;
const N_APPS: usize = 24;

/// A CGI program that prints 256 KiB of lines and answers.
fn chatty() -> Vec<u8> {
    wat(r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2)
        (data (i32.const 0) "\20\00\00\00\03\00\00\00\00\10\00\00\00\40\00\00")
        (data (i32.const 32) "\nok")
        (func (export "_start") (local $lines i32)
            (memory.fill (i32.const 4096) (i32.const 120) (i32.const 16383))
            (i32.store8 (i32.const 20479) (i32.const 10))
            (loop $more
                (drop (call $write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 16)))
                (local.set $lines (i32.add (local.get $lines) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $lines) (i32.const 16))))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))"#)
}

fn name(number: usize) -> String {
    format!("app-{number}")
}

async fn list(host: &Host, number: usize, what: &str) -> Vec<Value> {
    let path = format!("/v1/apps/{}/{what}", name(number));
    let reply = host.admin("GET", &path, "").await.json();
    reply[if what == "logs" { "lines" } else { what }].as_array().unwrap().clone()
}

#[tokio::test]
async fn all_apps_stay_within_one_bound_and_the_quiet_ones_give() {
    let host = Host::with(&["--telemetry-memory", "4MiB"]);
    for number in 0..N_APPS {
        host.serve(&name(number), &chatty(), "").await;
        assert_eq!(host.get(&format!("/{}", name(number))).await.text(), "ok");
        // So that none is called at the same moment as the one before it.
        host.last_call(&name(number)).await;
    }
    host.until("bounded telemetry", || async {
        (host.metric("telemetry_bytes ").await <= MOST).then_some(())
    })
    .await;
    assert!(host.metric("telemetry_bytes ").await > MOST / 2.0, "as much as may be is kept");
    // The first ones have nothing left but their counters; the last one has all.
    assert_eq!(list(&host, 0, "logs").await, [Value::Null; 0]);
    assert_eq!(list(&host, 0, "calls").await, [Value::Null; 0]);
    assert!(list(&host, N_APPS - 1, "logs").await.len() >= 15);
    assert_eq!(list(&host, N_APPS - 1, "calls").await.len(), 1);
    for number in 0..N_APPS {
        let labels = format!("{{app=\"{}\",cause=\"answered\"}}", name(number));
        assert_eq!(host.metric(&format!("guest_calls_total{labels}")).await, 1.0, "{number}");
    }
    // Whoever lost its lines gets new ones, and all is given back with the apps.
    assert_eq!(host.get("/app-0").await.text(), "ok");
    host.until("lines of the first app", || async {
        (!list(&host, 0, "logs").await.is_empty()).then_some(())
    })
    .await;
    for number in 0..N_APPS {
        let removed = host.admin("DELETE", &format!("/v1/apps/{}", name(number)), "").await;
        assert_eq!(removed.status, 204);
    }
    host.until("telemetry given back", || async {
        (host.metric("telemetry_bytes ").await < 200_000.0).then_some(())
    })
    .await;
}
