//! A deployment that takes the place of another in a fleet of three real hosts over a real etcd: it is
//! watched, goes back by itself where it fails and the one before did not, and nowhere else.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::harness::{Host, Reply, digest, manifest, says, wat, works};

/// A fleet that serves `old` as the first deployment of an app.
struct Watched {
    fleet: Fleet,
}

fn shop() -> String {
    manifest("shop", "/shop/...", "[replicas]\nmin = 2\nmax = 2")
}

/// A guest that fails each call.
fn traps() -> Vec<u8> {
    wat(r#"(module (memory (export "memory") 1) (func (export "_start") unreachable))"#)
}

/// Another one.
fn traps_as_well() -> Vec<u8> {
    wat(r#"(module (memory (export "memory") 2) (func (export "_start") unreachable))"#)
}

impl Watched {
    /// Starts the fleet with this served; `None` where there is no etcd.
    async fn start(first: &[u8]) -> Option<Self> {
        let fleet = Self { fleet: Fleet::start(3).await? };
        let begun = fleet.deploy(first, json!({})).await;
        assert_eq!((&begun["generation"], &begun["watch"]), (&json!(1), &Value::Null), "{begun}");
        fleet.fleet.ready_on("shop", 2).await;
        Some(fleet)
    }

    fn first(&self) -> &Host {
        self.fleet.first()
    }

    /// Deploys this, with more to be said.
    async fn deploy(&self, wasm: &[u8], mut body: Value) -> Value {
        let digest = digest(wasm);
        let upload = self.first().admin("PUT", &format!("/v1/blobs/{digest}"), wasm.to_vec()).await;
        assert!(upload.status.is_success(), "{}", upload.text());
        body["manifest"] = shop().into();
        body["component"] = digest.into();
        let reply = self.first().admin("POST", "/v1/apps/shop/deployments", body.to_string()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()
    }

    async fn show(&self) -> Value {
        self.first().admin("GET", "/v1/apps/shop", "").await.json()
    }

    async fn rollback(&self, body: Value) -> Reply {
        self.first().admin("POST", "/v1/apps/shop/rollback", body.to_string()).await
    }

    /// So many requests over all hosts; how many were answered 200.
    async fn call(&self, n_calls: usize) -> usize {
        let mut n_answered = 0;
        for number in 0..n_calls {
            let host = &self.fleet.hosts[number % self.fleet.hosts.len()];
            n_answered += usize::from(host.get("/shop/").await.status == 200);
        }
        n_answered
    }

    /// Calls until the app is shown as this says; returns how many calls failed meanwhile.
    async fn call_until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> usize {
        let (mut n_failed, mut n_calls) = (0, 0);
        loop {
            let shown = self.show().await;
            if is_so(&shown) {
                return n_failed;
            }
            assert!(n_calls < 20_000, "{what}: not after {n_calls}, {n_failed} failed: {shown}");
            n_failed += 6 - self.call(6).await;
            n_calls += 6;
        }
    }

    /// Waits until all hosts serve this deployment.
    async fn all_serve(&self, generation: u64) {
        for host in &self.fleet.hosts {
            host.until("deployment on every host", || async {
                let replicas = host.admin("GET", "/v1/apps/shop/replicas", "").await.json();
                let hosts = replicas["hosts"].as_array()?;
                let serves = |replica: &Value| {
                    replica["state"] == "ready" && replica["generation"] == generation
                };
                (hosts.len() == 2 && hosts.iter().all(serves)).then_some(())
            })
            .await;
        }
    }

    async fn events(&self, kind: &str) -> Vec<Value> {
        let events = self.first().admin("GET", "/v1/events?app=shop&limit=200", "").await.json();
        let all = events["events"].as_array().unwrap().iter();
        all.filter(|event| event["kind"] == kind).cloned().collect()
    }
}

#[tokio::test]
async fn a_deployment_that_fails_where_the_one_before_did_not_goes_back_by_itself() {
    let Some(fleet) = Watched::start(&says("old")).await else { return };
    assert_eq!(fleet.call(120).await, 120);
    let begun = fleet.deploy(&traps(), json!({})).await;
    assert_eq!((&begun["generation"], &begun["watch"]["replaced"]), (&json!(2), &json!(1)));
    let n_failed = fleet.call_until("going back", |shown| shown["generation"] == 1).await;
    println!("{n_failed} calls failed before it went back");
    fleet.all_serve(1).await;
    assert_eq!(fleet.call(60).await, 60);

    let shown = fleet.show().await;
    let taken_back = &shown["taken_back"];
    assert_eq!((&taken_back["generation"], &taken_back["had_all"]), (&json!(2), &json!(true)));
    let why = taken_back["why"].as_str().unwrap();
    // How many were known depends on which hosts had reported.
    assert!(why.contains("calls failed, and 0 of the last "), "{why}");
    let told = fleet.events("deployment_rolled_back").await.remove(0);
    assert_eq!((&told["generation"], &told["severity"]), (&json!(2), &json!("warning")), "{told}");
    assert_eq!(told["evidence"]["old_failed"], "0", "{told}");
    assert_eq!(told["evidence"]["new_calls"], told["evidence"]["new_failed"], "{told}");
    let advice = told["advice"].as_str().unwrap();
    assert!(advice.contains("steerage show shop") && advice.contains("--no-watch"), "{advice}");
    let shown = fleet.first().run(&["show", "shop"]).done().stdout;
    assert!(shown.contains("generation 2 was rolled back"), "{shown}");

    // Whoever goes back now means the one that has gone already.
    let reply = fleet.rollback(json!({})).await;
    assert_eq!((reply.status.as_u16(), reply.cause()), (409, "canary_taken_back".to_owned()));
    assert!(
        reply.text().contains("deployment 2 of shop was rolled back already"),
        "{}",
        reply.text()
    );
    // By hand it is deployed again, and watched again.
    let again = fleet.deploy(&traps(), json!({})).await;
    assert_eq!((&again["generation"], &again["watch"]["replaced"]), (&json!(3), &json!(1)));
    fleet.call_until("going back again", |shown| shown["generation"] == 1).await;
    fleet.all_serve(1).await;
    // Nobody goes back to either by mistake, and whoever means it can.
    fleet.deploy(&says("new"), json!({})).await;
    let reply = fleet.rollback(json!({})).await.json();
    assert_eq!(reply["generation"], 1, "{reply}");
    let reply = fleet.rollback(json!({ "to": 3 })).await.json();
    assert_eq!(reply["generation"], 3, "{reply}");
    fleet.all_serve(3).await;
    assert_eq!(fleet.call(60).await, 0);
    let shown = fleet.show().await;
    assert_eq!((&shown["generation"], &shown["watch"]), (&json!(3), &Value::Null), "{shown}");
}

#[tokio::test]
async fn a_deployment_that_nobody_shall_watch_stays_whatever_it_does() {
    let Some(fleet) = Watched::start(&says("old")).await else { return };
    assert_eq!(fleet.call(60).await, 60);
    let begun = fleet.deploy(&traps(), json!({ "watch": "never" })).await;
    assert_eq!((&begun["generation"], &begun["watch"]), (&json!(2), &Value::Null), "{begun}");
    fleet.all_serve(2).await;
    assert_eq!(fleet.call(120).await, 0);
    assert_eq!(fleet.show().await["generation"], 2);
    for (watch, why) in [("0s", "at least 1s"), ("off", "or never")] {
        let body = json!({ "manifest": shop(), "component": digest(&traps()), "watch": watch });
        let path = "/v1/apps/shop/deployments";
        let reply = fleet.first().admin("POST", path, body.to_string()).await;
        assert_eq!((reply.status.as_u16(), reply.cause()), (400, "bad_request".to_owned()));
        assert!(reply.text().contains("watch: ") && reply.text().contains(why), "{}", reply.text());
    }
    // A good one goes on, and what an operator says ends the watch over it.
    let begun = fleet.deploy(&says("new"), json!({ "watch": "1h" })).await;
    assert_eq!(begun["watch"]["replaced"], 2, "{begun}");
    let shown = fleet.first().run(&["show", "shop"]).done().stdout;
    assert!(shown.contains("generation 3 is watched for"), "{shown}");
    let listed = fleet.first().run(&["ps"]).done().stdout;
    assert!(listed.contains("watched for 1h") || listed.contains("watched for 59m"), "{listed}");
    let reply = fleet.rollback(json!({ "to": 1 })).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    fleet.all_serve(1).await;
    assert_eq!(fleet.show().await["watch"], Value::Null);
}

#[tokio::test]
async fn a_deployment_that_is_as_bad_as_the_one_before_stays() {
    let Some(fleet) = Watched::start(&traps()).await else { return };
    assert_eq!(fleet.call(60).await, 0);
    let begun = fleet.deploy(&traps_as_well(), json!({})).await;
    assert_eq!((&begun["generation"], &begun["watch"]["replaced"]), (&json!(2), &json!(1)));
    let figures = |shown: &Value, side: &str, figure: &str| {
        shown["watch"][side][figure].as_u64().unwrap_or_default()
    };
    let is_known = |shown: &Value| {
        assert_eq!(shown["generation"], 2, "{shown}");
        figures(shown, "old", "failed") >= 60 && figures(shown, "new", "failed") >= 200
    };
    fleet.call_until("figures of both", is_known).await;
    assert!(fleet.events("deployment_rolled_back").await.is_empty());
}

#[tokio::test]
async fn a_deployment_that_hangs_goes_back_though_its_callers_give_up() {
    let Some(fleet) = Watched::start(&says("old")).await else { return };
    assert_eq!(fleet.call(120).await, 120);
    // Some seconds of work, for which nobody waits.
    let begun = fleet.deploy(&works(4_000_000_000, "never"), json!({})).await;
    assert_eq!(begun["watch"]["replaced"], 1, "{begun}");
    let (mut n_calls, all) = (0, &fleet);
    while fleet.show().await["generation"] == 2 {
        assert!(n_calls < 1_200, "after {n_calls} calls it is still served");
        let calls = (0..6).map(|place| async move {
            let host = &all.fleet.hosts[place % all.fleet.hosts.len()];
            let patience = Duration::from_millis(1_300);
            drop(tokio::time::timeout(patience, host.get("/shop/")).await);
        });
        join_all(calls).await;
        n_calls += 6;
    }
    println!("{n_calls} calls before it went back");
    let shown = fleet.show().await;
    let why = shown["taken_back"]["why"].as_str().unwrap();
    assert!(why.contains("given up by callers without an answer"), "{why}");
    fleet.all_serve(1).await;
}

#[tokio::test]
async fn a_deploy_says_that_it_is_watched_and_until_when() {
    let Some(fleet) = Watched::start(&says("old")).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let component = folder.path().join("new.wasm");
    std::fs::write(&component, says("new")).unwrap();
    let component = component.to_str().unwrap();
    let deploy = ["deploy", component, "--name", "shop", "--route", "/shop/..."];
    let said = fleet.first().run(&deploy).done();
    let told = said.stdout.lines().chain(said.stderr.lines()).find(|line| line.contains("watched"));
    let told = told.unwrap_or_else(|| panic!("{said:?}")).to_owned();
    assert!(
        told.contains("watched until ") && told.contains("goes back to generation 1"),
        "{told}"
    );
    let said = fleet.first().run(&[&deploy[..], &["--no-watch"]].concat()).done();
    assert!(!said.stdout.contains("watched") && !said.stderr.contains("watched"), "{said:?}");
    // Of the first deployment of an app there is nothing to compare with.
    let first = ["deploy", component, "--name", "first", "--route", "/first/...", "--watch", "1h"];
    let said = fleet.first().run(&first).done();
    assert!(said.stderr.contains("it is not watched") || said.stdout.contains("it is not watched"));
}
