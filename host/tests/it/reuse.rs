//! An instance that has served calls and gives no answer, where a fresh one does, is of a kind that is
//! not to be reused: that is noticed, told once, and no caller sees it.

use serde_json::Value;
use steerage_guests as guests;

use crate::harness::Host;

fn once() -> Vec<u8> {
    std::fs::read(guests::ONCE).unwrap()
}

async fn told(host: &Host, app: &str) -> Vec<Value> {
    let reply = host.admin("GET", &format!("/v1/events?app={app}&limit=50"), "").await.json();
    let events = reply["events"].as_array().unwrap().clone();
    events.into_iter().filter(|event| event["kind"] == "reuse_refused").collect()
}

/// Calls such an app again and again; says what was told of it.
async fn answers(host: &Host, app: &str, env: &str) -> Value {
    let more = format!("[instance]\nreuse = 1000\n[env]\n{env}");
    host.serve(app, &once(), &more).await;
    for n in 0..12 {
        // A body that the guest does not read is no obstacle.
        let reply = match n % 2 {
            0 => host.get(&format!("/{app}")).await,
            _ => host.post(&format!("/{app}"), "a body").await,
        };
        assert_eq!(reply.status, 200, "call {n} of {app}: {}", reply.text());
        assert_eq!(reply.text(), "taken\n");
    }
    host.until("event", || async { (!told(host, app).await.is_empty()).then_some(()) }).await;
    let mut events = told(host, app).await;
    assert_eq!(events.len(), 1, "{events:?}");
    events.remove(0)
}

#[tokio::test]
pub(crate) async fn a_guest_that_takes_one_request_is_noticed() {
    let host = Host::start();
    let told = answers(&host, "one", "").await;
    assert!(told["advice"].as_str().unwrap().contains("reuse = 1"), "{told}");
}

#[tokio::test]
async fn a_guest_that_traps_at_its_second_request_is_noticed() {
    answers(&Host::start(), "traps", "HOW = \"trap\"").await;
}

#[tokio::test]
async fn a_guest_that_takes_three_requests_serves_three() {
    let host = Host::start();
    let told = answers(&host, "three", "TAKES = \"3\"").await;
    assert!(told["advice"].as_str().unwrap().contains("reuse = 3"), "{told}");
}

#[tokio::test]
async fn a_guest_that_never_answers_is_not_blamed_on_reuse() {
    let host = Host::start();
    let wasm = std::fs::read(guests::NOANSWER).unwrap();
    host.serve("never", &wasm, "[instance]\nreuse = 1000").await;
    for _ in 0..3 {
        let reply = host.get("/never").await;
        assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (502, "no_answer"));
    }
    assert_eq!(told(&host, "never").await, Vec::<Value>::new());
}
