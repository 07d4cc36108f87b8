//! Canaries on a host that is alone: what a laptop tries is judged as in a fleet.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::crash_loop::runs;
use crate::harness::{Host, Reply, digest, manifest, says, wat};

/// Requests under way at once.
const AT_ONCE: usize = 6;

fn shop() -> String {
    manifest("shop", "/shop/...", "")
}

/// Deploys as a canary.
async fn try_out(host: &Host, wasm: &[u8], share: &str) -> Reply {
    let digest = digest(wasm);
    let upload = host.admin("PUT", &format!("/v1/blobs/{digest}"), wasm.to_vec()).await;
    assert!(upload.status.is_success(), "{}", upload.text());
    let body = json!({ "manifest": shop(), "component": digest, "canary": share }).to_string();
    host.admin("POST", "/v1/apps/shop/deployments", body).await
}

async fn show(host: &Host) -> Value {
    host.admin("GET", "/v1/apps/shop", "").await.json()
}

/// What came of so many requests, by what they were answered.
async fn call(host: &Host, n_calls: usize) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    for _ in 0..n_calls / AT_ONCE {
        for reply in join_all((0..AT_ONCE).map(|_| host.get("/shop/"))).await {
            let answer = if reply.status == 200 { reply.text() } else { reply.cause() };
            *answers.entry(answer).or_default() += 1;
        }
    }
    answers
}

#[tokio::test]
async fn a_canary_gets_its_share_outlives_a_restart_and_is_promoted() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::on(folder.path(), &[]);
    let refused = try_out(&host, &says("early"), "5%").await;
    assert_eq!((refused.status.as_u16(), refused.cause()), (404, "not_found".to_owned()));
    host.deploy(&says("old"), &shop()).await;
    let reply = host.admin("POST", "/v1/apps/shop/promote", "").await;
    assert_eq!((reply.status.as_u16(), reply.cause()), (404, "not_found".to_owned()));
    let begun = try_out(&host, &says("new"), "50%").await;
    assert_eq!((begun.status.as_u16(), &begun.json()["canary"]), (201, &json!("50%")));
    let refused = try_out(&host, &says("third"), "5%").await;
    assert_eq!((refused.status.as_u16(), refused.cause()), (409, "canary_runs".to_owned()));
    let answers = call(&host, 300).await;
    assert!(answers["old"] > 80 && answers["new"] > 80, "{answers:?}");
    let shown = host
        .until("figures of all calls", || async {
            let shown = show(&host).await;
            let of = |side: &str| shown["canary"][side]["calls"].as_u64().unwrap();
            (of("old") + of("canary") >= 300).then_some(shown)
        })
        .await;
    let canary = &shown["canary"];
    assert_eq!((&shown["generation"], &canary["generation"]), (&json!(1), &json!(2)));
    assert_eq!((&canary["trying"], &canary["hosts"]), (&json!(1), &json!(1)), "{canary}");
    // A kill while its calls run would take it back, and the last of them is over on the disk a moment later.
    runs(&host, "\"running\":[]").await;
    host.kill();
    let mut host = Host::on(folder.path(), &[]);
    host.until("the canary after a restart", || async {
        call(&host, 12).await.contains_key("new").then_some(())
    })
    .await;
    let promoted = host.admin("POST", "/v1/apps/shop/promote", "").await.json();
    assert_eq!(promoted["generation"], 2, "{promoted}");
    assert_eq!(call(&host, 60).await, [("new".to_owned(), 60)].into());
    assert_eq!(show(&host).await["canary"], Value::Null);
    host.kill();
    let host = Host::on(folder.path(), &[]);
    assert_eq!(call(&host, 12).await, [("new".to_owned(), 12)].into());
}

#[tokio::test]
async fn a_canary_that_fails_is_rolled_back_and_says_why() {
    let host = Host::start();
    host.deploy(&says("old"), &shop()).await;
    let traps =
        wat(r#"(module (memory (export "memory") 1) (func (export "_start") unreachable))"#);
    let begun = try_out(&host, &traps, "20%").await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    let (mut n_calls, mut taken_back) = (0, Value::Null);
    while taken_back.is_null() {
        assert!(n_calls < 20_000, "it is still on trial after {n_calls} calls");
        call(&host, 60).await;
        n_calls += 60;
        taken_back = show(&host).await["taken_back"].clone();
    }
    let why = taken_back["why"].as_str().unwrap();
    assert!(why.contains("of its calls failed"), "{why}");
    assert_eq!(call(&host, 60).await, [("old".to_owned(), 60)].into());
    let events = host.admin("GET", "/v1/events?app=shop", "").await.json();
    let kinds: Vec<_> =
        events["events"].as_array().unwrap().iter().map(|event| event["kind"].clone()).collect();
    for kind in ["canary_began", "canary_rolled_back", "canary_ended"] {
        assert_eq!(kinds.iter().filter(|found| **found == kind).count(), 1, "{kind} in {kinds:?}");
    }
    // What it left behind is gone, and nobody goes back to it.
    let kept = show(&host).await["deployments"].as_array().unwrap().len();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn an_operator_ends_a_canary() {
    let host = Host::start();
    host.deploy(&says("old"), &shop()).await;
    for end in ["canary", "rollback"] {
        let begun = try_out(&host, &says(&format!("new by {end}")), "90%").await;
        assert_eq!(begun.status, 201, "{}", begun.text());
        let ended = match end {
            "canary" => host.admin("DELETE", "/v1/apps/shop/canary", "").await,
            _ => host.admin("POST", "/v1/apps/shop/rollback", "{}").await,
        };
        assert!(ended.status.is_success(), "{}", ended.text());
        assert_eq!(call(&host, 30).await, [("old".to_owned(), 30)].into());
    }
}

#[tokio::test]
async fn the_command_line_says_which_steps_a_canary_takes_and_when() {
    let (host, folder) = (Host::start(), tempfile::tempdir().unwrap());
    let deploy = |text: &str, more: &[&str]| {
        let path = folder.path().join(text);
        std::fs::write(&path, says(text)).unwrap();
        let what = ["deploy", path.to_str().unwrap(), "--name", "shop"];
        let said = host.run(&[&what[..], &["--route", "/shop/..."], more].concat()).done();
        format!("{}{}", said.stdout, said.stderr)
    };
    deploy("one", &[]);
    let said = deploy("two", &["--canary", "10%,50%", "--step", "2s", "--auto-promote"]);
    assert!(said.contains("10% of the calls of shop go to generation 2"), "{said}");
    assert!(said.contains("then 50% after 2s, all of them after 2s, each if"), "{said}");
    let paused = host.run(&["promote", "shop", "--pause"]).done();
    let shown = host.run(&["show", "shop"]).done().stdout;
    assert!(shown.contains("paused"), "{paused:?} {shown}");
}
