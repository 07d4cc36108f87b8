//! Faults of deployments: what was deployed does worse than what was there before. Going back cures it.

use serde_json::json;
use steerage_guests as guests;

use super::{a_host, call, cure, is_well, read, tells};
use crate::harness::{Host, digest, manifest, prints, says, works};

#[tokio::test]
async fn it_fails_where_the_one_before_did_not() {
    let host = a_host();
    host.serve("web", &says("x"), "").await;
    call(&host, "/web/{n}", 12).await;
    host.serve("web", &prints("Status: 502\\n\\nno"), "").await;
    call(&host, "/web/{n}", 6).await;
    let told = tells(&host, "web", &["answered 502", "all are of generation 2"]).await;
    cure(&host, &told);
    call(&host, "/web/{n}", 6).await;
    is_well(&host).await;
}

#[tokio::test]
async fn it_has_less_memory_than_it_needs() {
    let host = a_host();
    host.serve("web", &read(guests::COUNTER), "").await;
    call(&host, "/web/{n}?leak=3000000", 12).await;
    host.serve("web", &read(guests::COUNTER), "[limits]\nmemory = \"2MiB\"").await;
    call(&host, "/web/{n}?leak=3000000", 6).await;
    let told = tells(&host, "web", &["out_of_memory", "all are of generation 2"]).await;
    cure(&host, &told);
    call(&host, "/web/{n}?leak=3000000", 6).await;
    is_well(&host).await;
}

#[tokio::test]
async fn it_says_no_to_all_whom_the_one_before_answered() {
    let host = a_host();
    host.serve("web", &says("x"), "").await;
    call(&host, "/web/{n}", 20).await;
    host.serve("web", &prints("Status: 404\\n\\nno such page"), "").await;
    call(&host, "/web/{n}", 12).await;
    let of = "generation 2 of web answers 404 to 12 of its last 12 calls";
    let told = tells(&host, of, &["the app itself answered so", "credentials"]).await;
    cure(&host, &told);
    call(&host, "/web/{n}", 1).await;
    is_well(&host).await;
}

#[tokio::test]
async fn it_waits_for_much_longer() {
    let host = a_host();
    host.serve("web", &says("x"), "").await;
    call(&host, "/web/{n}", 12).await;
    host.serve("web", &read(guests::SLOW), "").await;
    call(&host, "/web/{n}?ms=150", 12).await;
    let told = tells(&host, "generation 2 of web takes", &["of the time of a call it slept"]).await;
    cure(&host, &told);
    call(&host, "/web/{n}", 12).await;
    is_well(&host).await;
}

#[tokio::test]
async fn it_takes_more_fuel_than_it_may() {
    let host = a_host();
    host.serve("web", &works(1000, "x"), "[limits]\nfuel = 10000000").await;
    call(&host, "/web/{n}", 12).await;
    host.serve("web", &works(30_000_000, "x"), "[limits]\nfuel = 10000000").await;
    call(&host, "/web/{n}", 6).await;
    let told = tells(&host, "web", &["out_of_fuel", "all are of generation 2"]).await;
    cure(&host, &told);
    call(&host, "/web/{n}", 6).await;
    is_well(&host).await;
}

#[tokio::test]
async fn what_failed_as_a_canary_is_no_problem_once_it_is_taken_back() {
    let host = Host::start();
    host.serve("web", &says("x"), "").await;
    call(&host, "/web/{n}", 12).await;
    let wasm = prints("Status: 500\\n\\nno");
    let digest = digest(&wasm);
    host.admin("PUT", &format!("/v1/blobs/{digest}"), wasm).await;
    let manifest = manifest("web", "/web/...", "");
    let body = json!({ "manifest": manifest, "component": digest, "canary": "50%" }).to_string();
    let begun = host.admin("POST", "/v1/apps/web/deployments", body).await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    host.until("end of the canary", || async {
        call(&host, "/web/{n}", 10).await;
        let events = host.admin("GET", "/v1/events?app=web", "").await.json();
        let events = events["events"].as_array()?.clone();
        events.iter().any(|event| event["kind"] == "canary_rolled_back").then_some(())
    })
    .await;
    is_well(&host).await;
}
