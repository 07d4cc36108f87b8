//! A deployment on trial in a fleet of three real hosts over a real etcd: it gets its share, a bad one
//! is rolled back and says why, a good one is promoted, and the current one fails nobody meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::harness::{Host, digest, manifest, says, wat, works};

/// Requests under way at once while the fleet is called.
const AT_ONCE: usize = 6;

/// The fleet, and what is tried on it.
struct Tried {
    fleet: Fleet,
}

/// What came of many requests, by what they were answered.
#[derive(Debug, Default)]
struct Answers(BTreeMap<String, usize>);

impl Answers {
    fn of(&self, answer: &str) -> usize {
        self.0.get(answer).copied().unwrap_or(0)
    }
}

impl Tried {
    fn first(&self) -> &Host {
        self.fleet.first()
    }

    fn hosts(&self) -> &[Host] {
        &self.fleet.hosts
    }

    async fn show(&self, host: &Host) -> Value {
        host.admin("GET", "/v1/apps/shop", "").await.json()
    }

    /// Deploys as a canary; returns the status and what was said.
    async fn try_out(&self, wasm: &[u8], share: &str) -> (u16, Value) {
        self.try_out_with(wasm, json!({ "canary": share })).await
    }

    /// The same with more to be said.
    async fn try_out_with(&self, wasm: &[u8], mut body: Value) -> (u16, Value) {
        let digest = digest(wasm);
        let upload = self.first().admin("PUT", &format!("/v1/blobs/{digest}"), wasm.to_vec()).await;
        assert!(upload.status.is_success(), "{}", upload.text());
        body["manifest"] = shop().into();
        body["component"] = digest.into();
        let reply = self.first().admin("POST", "/v1/apps/shop/deployments", body.to_string()).await;
        (reply.status.as_u16(), reply.json())
    }

    /// Calls until the app is shown as this says.
    async fn call_until<T>(&self, what: &str, is_so: impl Fn(&Value) -> Option<T>) -> T {
        for _ in 0..1_000 {
            let answers = self.call(60).await;
            assert_eq!(answers.of("old") + answers.of("new"), 60, "{answers:?}");
            if let Some(so) = is_so(&self.show(self.first()).await) {
                return so;
            }
        }
        panic!("{what}: not within 60,000 calls");
    }

    /// The kinds of the events of the app, of all hosts, the oldest first.
    async fn kinds(&self) -> Vec<String> {
        let events = self.first().admin("GET", "/v1/events?app=shop&limit=200", "").await.json();
        let all = events["events"].as_array().unwrap();
        all.iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
    }

    /// So many requests, over all hosts.
    async fn call(&self, n_calls: usize) -> Answers {
        let mut answers = Answers::default();
        for round in 0..n_calls.div_ceil(AT_ONCE) {
            let calls = (0..AT_ONCE).map(|place| {
                let host = &self.hosts()[(round + place) % self.hosts().len()];
                host.get("/shop/")
            });
            for reply in join_all(calls).await {
                let answer = if reply.status == 200 { reply.text() } else { reply.cause() };
                *answers.0.entry(answer).or_default() += 1;
            }
        }
        answers
    }
}

fn shop() -> String {
    manifest("shop", "/shop/...", "[replicas]\nmin = 2\nmax = 2")
}

/// Starts the fleet, with `old` served by it; `None` where there is no etcd.
async fn fleet_with_shop() -> Option<Tried> {
    let fleet = Tried { fleet: Fleet::start(3).await? };
    let (status, refused) = fleet.try_out(&says("early"), "5%").await;
    assert_eq!((status, &refused["cause"]), (404, &json!("not_found")), "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("deploy it without one"), "{refused}");
    fleet.first().deploy(&says("old"), &shop()).await;
    for host in fleet.hosts() {
        host.until("an answer of every host", || async {
            (host.get("/shop/").await.text() == "old").then_some(())
        })
        .await;
    }
    Some(fleet)
}

#[tokio::test]
async fn a_canary_gets_its_share_and_is_promoted() {
    let Some(fleet) = fleet_with_shop().await else { return };
    for share in ["0%", "100%", "5"] {
        let (status, refused) = fleet.try_out(&says("new"), share).await;
        assert_eq!((status, &refused["cause"]), (400, &json!("bad_request")), "{refused}");
        assert!(refused["detail"].as_str().unwrap().starts_with("canary: "), "{refused}");
    }
    let reply = fleet.first().admin("POST", "/v1/apps/shop/promote", "").await;
    assert_eq!((reply.status.as_u16(), reply.cause()), (404, "not_found".to_owned()));

    let new = says("new");
    let (answers, (status, begun)) = tokio::join!(fleet.call(600), fleet.try_out(&new, "20%"));
    assert_eq!((status, &begun["canary"]), (201, &json!("20%")), "{begun}");
    assert_eq!(answers.of("old") + answers.of("new"), 600, "{answers:?}");
    assert_eq!(begun["generation"], 2);
    let (status, refused) = fleet.try_out(&says("third"), "5%").await;
    assert_eq!((status, &refused["cause"]), (409, &json!("canary_runs")), "{refused}");

    let n_calls = 1500;
    let answers = fleet.call(n_calls).await;
    assert_eq!(answers.of("old") + answers.of("new"), n_calls, "{answers:?}");
    // Five standard deviations: once in two million runs.
    let (expected, around) = (300, 80);
    assert!(answers.of("new").abs_diff(expected) <= around, "{answers:?}");
    for host in fleet.hosts() {
        let shown = host
            .until("figures of all calls", || async {
                let shown = fleet.show(host).await;
                let of = |side: &str| shown["canary"][side]["calls"].as_u64().unwrap();
                // Calls of each, since some before these are counted, too.
                let are_all = of("old") >= answers.of("old") as u64
                    && of("canary") >= answers.of("new") as u64;
                are_all.then_some(shown)
            })
            .await;
        assert_eq!(shown["generation"], 1);
        let canary = &shown["canary"];
        assert_eq!(canary["verdict"], "fine", "{canary}");
        assert_eq!((&canary["generation"], &canary["trying"]), (&json!(2), &json!(2)), "{canary}");
    }

    let shown = fleet.first().run(&["show", "shop"]).done().stdout;
    assert!(shown.contains("on trial, 20%"), "{shown}");
    let promote = fleet.first().admin("POST", "/v1/apps/shop/promote", "");
    let (answers, promoted) = tokio::join!(fleet.call(600), promote);
    assert_eq!(promoted.json()["generation"], 2);
    assert_eq!(answers.of("old") + answers.of("new"), 600, "{answers:?}");
    let answers = fleet.call(120).await;
    assert_eq!(answers.of("new"), 120, "{answers:?}");
    let shown = fleet.show(fleet.first()).await;
    assert_eq!((&shown["generation"], &shown["canary"]), (&json!(2), &Value::Null));
}

#[tokio::test]
async fn a_canary_takes_its_steps_and_is_promoted_by_itself() {
    let Some(fleet) = fleet_with_shop().await else { return };
    let bad = json!({ "auto_promote": true });
    let (status, refused) = fleet.try_out_with(&says("new"), bad).await;
    assert_eq!((status, &refused["cause"]), (400, &json!("bad_request")), "{refused}");
    let (status, refused) = fleet.try_out(&says("new"), "25%,5%").await;
    assert_eq!(status, 400, "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("5% comes after 25%"), "{refused}");

    let steps = json!({ "canary": "10%:1s,50%:1s", "auto_promote": true });
    let (status, begun) = fleet.try_out_with(&says("new"), steps).await;
    assert_eq!((status, &begun["canary"]), (201, &json!("10%")), "{begun}");
    let shown = fleet.first().run(&["show", "shop"]).done().stdout;
    assert!(shown.contains("on trial, 10%") && shown.contains("step 1 of 2: 50% of"), "{shown}");
    let listed = fleet.first().run(&["ps"]).done().stdout;
    assert!(listed.contains("canary 2 at 10%, step 1 of 2"), "{listed}");
    fleet
        .call_until("second step", |shown| {
            let canary = &shown["canary"];
            (canary["step"] == 2 || canary.is_null()).then_some(())
        })
        .await;
    let shown = fleet
        .call_until("promotion", |shown| (shown["generation"] == 2).then(|| shown.clone()))
        .await;
    assert!(shown["canary"].is_null() && shown["taken_back"].is_null(), "{shown}");
    // Each host hears of it by itself.
    for host in fleet.hosts() {
        host.until("promotion everywhere", || async {
            (fleet.show(host).await["generation"] == 2).then_some(())
        })
        .await;
    }
    let answers = fleet.call(120).await;
    assert_eq!(answers.of("new"), 120, "{answers:?}");
    let kinds = fleet.kinds().await;
    let place = |kind: &str| kinds.iter().position(|there| there == kind).unwrap();
    assert!(place("canary_advanced") < place("canary_promoted"), "{kinds:?}");
}

#[tokio::test]
async fn a_canary_that_is_paused_takes_no_step_and_one_at_its_last_waits_for_an_operator() {
    let Some(fleet) = fleet_with_shop().await else { return };
    let (status, begun) = fleet.try_out(&says("new"), "20%:1s,60%:1s").await;
    assert_eq!(status, 201, "{begun}");
    let said = fleet.first().run(&["promote", "shop", "--pause"]).done().stdout;
    assert!(said.contains("takes no step until `steerage promote shop --resume`"), "{said}");
    // Long enough and calls enough for every step there is, by its own figures.
    fleet
        .call_until("calls enough", |shown| {
            let canary = &shown["canary"];
            assert_eq!((&canary["step"], &canary["share"]), (&json!(1), &json!("20%")), "{shown}");
            let calls = |side: &str| canary[side]["calls"].as_u64().unwrap();
            let is_late = calls("canary") > 400 && calls("old") > 400;
            (is_late && canary["waits_for"] == "resume").then_some(())
        })
        .await;
    let said = fleet.first().run(&["promote", "shop", "--resume"]).done().stdout;
    assert!(said.contains("goes on"), "{said}");
    fleet
        .call_until("the last step", |shown| {
            let canary = &shown["canary"];
            (canary["step"] == 2 && canary["waits_for"] == "promote").then_some(())
        })
        .await;
    let answers = fleet.call(600).await;
    // The share of the step, by more than five standard deviations from that of the one before.
    assert!(answers.of("new") > 270, "{answers:?}");
    let said = fleet.first().run(&["promote", "shop"]).done().stdout;
    assert!(said.contains("shop is served as generation 2"), "{said}");
}

#[tokio::test]
async fn a_canary_that_fails_is_rolled_back_and_says_why() {
    let Some(fleet) = fleet_with_shop().await else { return };
    let traps =
        wat(r#"(module (memory (export "memory") 1) (func (export "_start") unreachable))"#);
    let (status, begun) = fleet.try_out(&traps, "20%").await;
    assert_eq!(status, 201, "{begun}");

    let (mut n_failed, mut n_calls) = (0, 0);
    let mut taken_back = Value::Null;
    while taken_back.is_null() {
        assert!(n_calls < 20_000, "{n_failed} of {n_calls} failed, and it is still on trial");
        let answers = fleet.call(60).await;
        // Nobody fails but the canary.
        assert_eq!(answers.of("old") + answers.of("trapped"), 60, "{answers:?}");
        (n_failed, n_calls) = (n_failed + answers.of("trapped"), n_calls + 60);
        taken_back = fleet.show(fleet.first()).await["taken_back"].clone();
    }
    println!("{n_failed} of {n_calls} calls failed before it was rolled back: {taken_back}");
    assert_eq!(taken_back["generation"], 2);
    let why = taken_back["why"].as_str().unwrap();
    assert!(
        why.starts_with("100.00 % of its calls failed, of the old deployment's 0.00 %"),
        "{why}"
    );
    for host in fleet.hosts() {
        host.until("end of the trial", || async {
            let shown = fleet.show(host).await;
            (shown["canary"].is_null() && shown["taken_back"] == taken_back).then_some(())
        })
        .await;
    }
    all_old(&fleet).await;

    // The host that plans tells the evidence; it is the one whose name comes first.
    let events = fleet.first().admin("GET", "/v1/events?app=shop", "").await.json();
    let told = events["events"].as_array().unwrap();
    let event = told.iter().find(|event| event["kind"] == "canary_rolled_back").unwrap();
    assert_eq!((&event["generation"], &event["severity"]), (&json!(2), &json!("warning")));
    let evidence = &event["evidence"];
    assert_eq!(evidence["old_failed"], "0", "{evidence}");
    assert_eq!(evidence["canary_failed"], evidence["canary_calls"], "{evidence}");
    let shown = fleet.first().run(&["show", "shop"]).done().stdout;
    assert!(shown.contains("canary generation 2 was rolled back"), "{shown}");

    // Nobody goes back to it by mistake.
    fleet.first().deploy(&says("third"), &shop()).await;
    let reply = fleet.first().admin("POST", "/v1/apps/shop/rollback", "{}").await.json();
    assert_eq!(reply["generation"], 1, "{reply}");
    all_old(&fleet).await;
}

#[tokio::test]
async fn a_canary_that_is_slow_is_rolled_back() {
    let Some(fleet) = fleet_with_shop().await else { return };
    let (status, begun) = fleet.try_out(&works(100_000_000, "slow"), "20%").await;
    assert_eq!(status, 201, "{begun}");
    let mut n_calls = 0;
    let mut taken_back = Value::Null;
    while taken_back.is_null() {
        assert!(n_calls < 20_000, "after {n_calls} calls it is still on trial");
        let answers = fleet.call(60).await;
        assert_eq!(answers.of("old") + answers.of("slow"), 60, "{answers:?}");
        n_calls += 60;
        taken_back = fleet.show(fleet.first()).await["taken_back"].clone();
    }
    println!("rolled back after {n_calls} calls: {taken_back}");
    let why = taken_back["why"].as_str().unwrap();
    assert!(why.starts_with("its slowest twentieth of calls takes"), "{why}");
    all_old(&fleet).await;
}

#[tokio::test]
async fn a_canary_that_hangs_is_rolled_back_though_its_callers_give_up() {
    let Some(fleet) = fleet_with_shop().await else { return };
    // Some seconds of work, for which nobody waits.
    let (status, begun) = fleet.try_out(&works(4_000_000_000, "never"), "20%").await;
    assert_eq!(status, 201, "{begun}");
    let mut n_calls = 0;
    let mut taken_back = Value::Null;
    let fleet_now = &fleet;
    while taken_back.is_null() {
        assert!(n_calls < 3_000, "after {n_calls} calls it is still on trial");
        let calls = (0..AT_ONCE).map(|place| async move {
            let host = &fleet_now.hosts()[place % fleet_now.hosts().len()];
            let patience = Duration::from_millis(700);
            let reply = tokio::time::timeout(patience, host.get("/shop/")).await.ok()?;
            Some((reply.status.as_u16(), reply.text()))
        });
        for reply in join_all(calls).await.into_iter().flatten() {
            assert_eq!(reply, (200, "old".to_owned()));
        }
        n_calls += AT_ONCE;
        taken_back = fleet.show(fleet.first()).await["taken_back"].clone();
    }
    println!("rolled back after {n_calls} calls: {taken_back}");
    assert_eq!(taken_back["generation"], 2);
    let why = taken_back["why"].as_str().unwrap();
    assert!(why.contains("given up by callers after too long"), "{why}");
    all_old(&fleet).await;
}

#[tokio::test]
async fn operators_take_a_canary_back() {
    let Some(fleet) = fleet_with_shop().await else { return };
    let (status, _) = fleet.try_out(&says("new"), "50%").await;
    assert_eq!(status, 201);
    let said = fleet.first().run(&["rollback", "shop"]).done().stdout;
    assert!(said.contains("shop is served as generation 1"), "{said}");
    all_old(&fleet).await;
    let (status, begun) = fleet.try_out(&says("new"), "50%").await;
    assert_eq!((status, &begun["generation"]), (201, &json!(3)), "{begun}");
    let reply = fleet.first().admin("DELETE", "/v1/apps/shop/canary", "").await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    all_old(&fleet).await;
    let reply = fleet.first().admin("DELETE", "/v1/apps/shop/canary", "").await;
    assert_eq!((reply.status.as_u16(), reply.cause()), (404, "not_found".to_owned()));
    let (status, _) = fleet.try_out(&says("new"), "50%").await;
    assert_eq!(status, 201);
    let said = fleet.first().run(&["promote", "shop"]).done().stdout;
    assert!(said.contains("shop is served as generation 4"), "{said}");
}

/// Waits until no host tries anything; then only the old deployment answers.
async fn all_old(fleet: &Tried) {
    for host in fleet.hosts() {
        host.until("end of the trial everywhere", || async {
            let replicas = host.admin("GET", "/v1/apps/shop/replicas", "").await.json();
            let hosts = replicas["hosts"].as_array()?;
            let is_over =
                |replica: &Value| replica["state"] == "ready" && replica["canary"].is_null();
            hosts.iter().all(is_over).then_some(())
        })
        .await;
    }
    let answers = fleet.call(120).await;
    assert_eq!(answers.of("old"), 120, "{answers:?}");
}
