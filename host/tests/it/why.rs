//! `steerage why`: what is wrong with an app is claimed with its evidence, and the remedy works when it is run.

use std::time::Duration;

use serde_json::Value;
use steerage_guests as guests;

use crate::fleet::Fleet;
use crate::harness::{Host, Said, manifest, prints, says};
use crate::outbound::{LOOPBACK, target_after};

/// A program that answers 500.
fn fails() -> Vec<u8> {
    prints("Status: 500\\n\\nno")
}

async fn call(host: &Host, path: &str, number: usize, status: u16) {
    for _ in 0..number {
        assert_eq!(host.get(path).await.status, status);
    }
}

/// What is said of an app, once so many of its calls are known.
async fn why(host: &Host, app: &str, n_calls: usize) -> Said {
    host.until("record of the calls", || async {
        let path = format!("/v1/apps/{app}/calls?limit=1000");
        let calls = host.admin("GET", &path, "").await.json();
        (calls["calls"].as_array()?.len() == n_calls).then_some(())
    })
    .await;
    host.run(&["why", app])
}

/// The command that is printed as the remedy.
fn command(said: &Said) -> Vec<String> {
    let line = said.stdout.lines().find_map(|line| line.trim().strip_prefix("$ steerage "));
    let line = line.unwrap_or_else(|| panic!("no command: {said:?}"));
    let words = line.split("    (").next().unwrap();
    words.split(' ').map(str::to_owned).collect()
}

/// The call that is named as the last that failed.
fn told_call(said: &Said) -> String {
    let words = said.stdout.split("the last of them is ").nth(1).unwrap();
    words.split(',').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_deployment_that_fails_is_named_and_going_back_from_it_cures_it() {
    let host = Host::with(&["--watch", "never"]);
    host.deploy(&says("fine"), &manifest("web", "/web/...", "")).await;
    host.deploy(&says("fine"), &manifest("other", "/other/...", "")).await;
    call(&host, "/web/", 10, 200).await;
    call(&host, "/other/", 3, 200).await;
    let well = why(&host, "web", 10).await;
    assert_eq!(well.code, 0, "{well:?}");
    assert!(well.stdout.contains("nothing is wrong: none of its last 10 calls failed"), "{well:?}");

    host.deploy(&fails(), &manifest("web", "/web/...", "")).await;
    call(&host, "/web/a", 4, 500).await;
    let said = why(&host, "web", 14).await;
    assert_eq!(said.code, 1, "{said:?}");
    for part in [
        "4 of the last 14 calls of web: the app itself answered 500",
        "because  all are of generation 2, deployed ",
        "of generation 1 none of the last 10 calls failed",
        "generation 2 of web was deployed",
        "next  go back to generation 1",
        "overall  4 of its last 4 calls failed",
    ] {
        assert!(said.stdout.contains(part), "{part:?} is not in {}", said.stdout);
    }
    // Of all apps only this one is named.
    let all = host.run(&["why"]);
    assert_eq!(all.code, 1, "{all:?}");
    assert!(all.stdout.contains("calls of web") && !all.stdout.contains("other"), "{all:?}");
    let json = host.run(&["why", "web", "-o", "json"]);
    assert_eq!(json.code, 1, "{json:?}");
    let told = json.json();
    let remedy = &told[0]["diagnoses"][0]["remedy"];
    assert_eq!(
        (&remedy["changes"], &remedy["command"]),
        (&Value::Bool(true), &Value::from("steerage rollback web --to 1"))
    );

    let words = command(&said);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    host.run(&words).done();
    call(&host, "/web/", 1, 200).await;
    let cured = why(&host, "web", 15).await;
    assert_eq!(cured.code, 0, "{cured:?}");
    // What is wrong with one call is what `call` says of it.
    let id = told_call(&said);
    let of_call = host.run(&["why", &id]).done().stdout;
    assert!(of_call.contains(&id) && of_call.contains("answered, status 500"), "{of_call}");
    let none = host.run(&["why", "nobody"]);
    assert_eq!(none.code, 4, "{none:?}");
    assert!(none.stderr.contains("nobody"), "{none:?}");
}

#[tokio::test]
async fn what_calls_wait_for_until_they_are_cut_is_told() {
    let port = target_after(Duration::from_secs(30)).await;
    let host = Host::with(&LOOPBACK);
    let may = format!(
        "allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]\n[limits]\ntimeout = \"200ms\""
    );
    host.serve("out", &std::fs::read(guests::OUT).unwrap(), &may).await;
    call(&host, &format!("/out?url=http://127.0.0.1:{port}/"), 3, 504).await;
    let said = why(&host, "out", 3).await;
    assert_eq!(said.code, 1, "{said:?}");
    for part in [
        "all of the last 3 calls of out: failed (timed_out)",
        "of the time of a call that failed it waited for an outbound request",
        "give outbound requests a shorter timeout",
    ] {
        assert!(said.stdout.contains(part), "{part:?} is not in {}", said.stdout);
    }
}

#[tokio::test]
async fn failures_are_kept_when_good_calls_have_taken_their_places() {
    let host = Host::with(&["--watch", "never"]);
    host.deploy(&fails(), &manifest("web", "/web/...", "")).await;
    call(&host, "/web/", 2, 500).await;
    host.deploy(&says("fine"), &manifest("web", "/web/...", "")).await;
    call(&host, "/web/", 70, 200).await;
    host.until("64 good calls", || async {
        let calls = host.admin("GET", "/v1/apps/web/calls?limit=1000", "").await.json();
        let calls = calls["calls"].as_array()?.clone();
        (calls.len() == 64 && calls.iter().all(|call| call["status"] == 200)).then_some(())
    })
    .await;
    let failed = host.run(&["calls", "web", "--failed", "-o", "json"]).done().json();
    let statuses: Vec<_> =
        failed["calls"].as_array().unwrap().iter().map(|call| &call["status"]).collect();
    assert_eq!(statuses, [&Value::from(500), &Value::from(500)]);
}

#[tokio::test]
async fn a_host_says_what_is_wrong_with_an_app_that_runs_on_others_and_with_them() {
    let Some(mut fleet) = Fleet::start(2).await else { return };
    fleet.stand("h1", "cordoned").await;
    let text = manifest("web", "/web/...", "[replicas]\nmin = 1\nmax = 1");
    fleet.first().deploy(&fails(), &text).await;
    assert_eq!(fleet.ready_on("web", 1).await, ["h2"]);
    call(fleet.first(), "/web/", 3, 500).await;
    let said = fleet
        .first()
        .until("what h2 knows", || async {
            let said = fleet.first().run(&["why", "web"]);
            said.stdout.contains("all of the last 3 calls").then_some(said)
        })
        .await;
    assert_eq!(said.code, 1, "{said:?}");
    // A host that is lost is wrong, and so is a store.
    let well = fleet.first().run(&["why", "--host", "h1"]);
    assert!(!well.stdout.contains("does not answer"), "{well:?}");
    // What nobody has room for is wrong, too.
    fleet.first().run(&["scale", "web", "2"]).done();
    fleet
        .first()
        .until("lack of a place", || async {
            let said = fleet.first().run(&["why", "web"]).stdout;
            (said.contains("1 of 2 replicas of web is ready")
                && said.contains("there is no place for the rest"))
            .then_some(())
        })
        .await;
    fleet.hosts[1].kill();
    fleet.etcd.kill(0);
    let parts = ["h2 does not answer", "h1 has not heard of the store for ", "steerage hosts"];
    fleet
        .first()
        .until("loss of a host and of the store", || async {
            let said = fleet.first().run(&["why"]);
            (said.code == 1 && parts.iter().all(|part| said.stdout.contains(part))).then_some(())
        })
        .await;
}
