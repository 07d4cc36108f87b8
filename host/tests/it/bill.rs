//! What hosts cost, split among apps: on a real host, and in a fleet of which one host is lost.

use serde_json::Value;
use steerage_guests as guests;

use crate::fleet::Fleet;
use crate::harness::{Host, manifest, says};

/// So that no test waits for the end of a minute.
const OFTEN: [&str; 2] = ["--history-write", "100ms"];

/// A bill as JSON, whose parts are checked to sum to its total.
fn bill(host: &Host, args: &[&str]) -> Value {
    let args = [&["bill", "-o", "json", "--since", "1h"], args].concat();
    let bill: Value = serde_json::from_str(&host.run(&args).done().stdout).unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    let apps = bill["apps"].as_array().unwrap();
    for app in apps {
        let parts = ["use_millionths", "reserved_millionths", "idle_millionths"];
        let parts: u64 = parts.iter().map(|part| number(&app[*part])).sum();
        assert_eq!(parts, number(&app["sum_millionths"]), "{app}");
    }
    let of_apps: u64 = apps.iter().map(|app| number(&app["sum_millionths"])).sum();
    let rest = number(&bill["idle_millionths"]) + number(&bill["unknown_millionths"]);
    assert_eq!(of_apps + rest, number(&bill["total_millionths"]), "{bill}");
    let hosts = bill["hosts"].as_array().unwrap();
    let of_hosts: u64 = hosts.iter().map(|host| number(&host["cost_millionths"])).sum();
    assert_eq!(of_hosts, number(&bill["total_millionths"]), "{bill}");
    bill
}

fn of_app<'a>(bill: &'a Value, app: &str) -> &'a Value {
    let apps = bill["apps"].as_array().unwrap();
    apps.iter().find(|told| told["app"] == app).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_host_is_billed_by_use_reservation_and_idle_and_the_parts_sum_to_its_price() {
    let host = Host::with(&OFTEN);
    let spin = std::fs::read(guests::SPIN).unwrap();
    let limits = "[limits]\nfuel = \"1G\"";
    host.deploy(&spin, &manifest("spin", "/spin", limits)).await;
    let reserves = "[resources]\ncpu = \"100m\"\nmemory = \"64MiB\"";
    host.deploy(&says("well"), &manifest("well", "/well", reserves)).await;
    assert_ne!(host.get("/spin").await.status, 200);
    // A million an hour, so that the moments that a test takes cost something.
    let told = host
        .until("a bill of what was used and reserved", || async {
            let told = bill(&host, &["--price", "1000000/h"]);
            let used = of_app(&told, "spin")["use_millionths"].as_u64()?;
            let reserved = of_app(&told, "well")["reserved_millionths"].as_u64()?;
            (used > 0 && reserved > 0).then_some(told)
        })
        .await;
    assert_eq!(of_app(&told, "spin")["reserved_millionths"], 0, "{told}");
    assert_eq!(of_app(&told, "well")["use_millionths"], 0, "{told}");
    assert_eq!(of_app(&told, "well")["tenant"], "default", "{told}");
    assert!(told["idle_millionths"].as_u64().unwrap() > 0, "{told}");

    // What is idle is paid by the apps where that is said.
    for idle in ["use", "even"] {
        let told = bill(&host, &["--price", "1000000/h", "--idle", idle]);
        assert_eq!(told["idle_millionths"], 0, "{told}");
        assert!(of_app(&told, "spin")["idle_millionths"].as_u64().unwrap() > 0, "{told}");
    }
    let shown = host.run(&["bill", "--price", "1000000/h", "--since", "1h"]).done().stdout;
    for part in [
        "TENANT   APP",
        "default  spin",
        "default  well",
        "(idle)",
        "total",
        "no host could be given back now",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
}

#[tokio::test]
async fn what_cannot_be_billed_is_refused_by_name() {
    let host = Host::with(&["--history-disk", "0"]);
    for (args, code, part) in [
        (&["--price", "m6i.large=0.096/h"][..], 4, "has no price"),
        (&["--price", "1/h", "--price", "huge=1/h"], 4, "no host is of the kind \"huge\""),
        (&["--price", "cheap"], 2, "is no price: expected KIND=AMOUNT/h"),
        (&[], 2, "--price"),
        (&["--price", "1/h"], 4, "--history-disk 0"),
    ] {
        let said = host.run(&[&["bill"], args].concat());
        assert!(said.code == code && said.stderr.contains(part), "{args:?}: {said:?}");
    }
    for (path, part) in [
        ("/v1/consumption?since=yesterday", "since"),
        ("/v1/bill", "what a host costs is not said"),
        ("/v1/bill?price=cheap", "is no price"),
        ("/v1/bill?price=1/h&idle=mine", "expected apart, use or even"),
    ] {
        let reply = host.admin("GET", path, "").await;
        assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (400, "bad_request"), "{path}");
        assert!(reply.text().contains(part), "{}", reply.text());
    }
}

#[tokio::test]
async fn what_a_silent_host_costs_is_shown_as_not_known() {
    let Some(mut fleet) = Fleet::start_with(2, &OFTEN).await else { return };
    let text = manifest("web", "/web/...", "[replicas]\nmin = 2\nmax = 2");
    fleet.first().deploy(&says("web"), &text).await;
    fleet.ready_on("web", 2).await;
    for host in &fleet.hosts {
        assert_eq!(host.get("/web/").await.text(), "web");
    }
    let first = fleet.first();
    first
        .until("what is known of both hosts", || async {
            let told = bill(first, &["--price", "1000/h"]);
            let hosts = told["sources"]["hosts"].as_array()?.len();
            (hosts == 2 && told["known_seconds"].as_u64()? > 0).then_some(())
        })
        .await;
    fleet.hosts[1].kill();
    let first = fleet.first();
    let told = first
        .until("a bill without the lost host", || async {
            let told = bill(first, &["--price", "1000/h"]);
            (told["sources"]["unanswered"].as_array()?.len() == 1).then_some(told)
        })
        .await;
    // It still costs as much, and nobody knows for whom.
    let seconds = told["seconds"].as_u64().unwrap();
    assert!(told["known_seconds"].as_u64().unwrap() <= seconds / 2, "{told}");
    let unknown = told["unknown_millionths"].as_u64().unwrap();
    assert!(unknown >= told["total_millionths"].as_u64().unwrap() / 2 - 1, "{told}");
}

#[tokio::test]
async fn whose_an_app_is_is_told_without_asking_the_store() {
    /// So often that what hosts ask the store meanwhile, by themselves, is less.
    const ASKED: u64 = 200;
    let Some(fleet) = Fleet::called(&OFTEN).await else { return };
    let first = fleet.first();
    let consumption = || async { first.admin("GET", "/v1/consumption", "").await.json() };
    first
        .until("what the app used", || async {
            let told = consumption().await;
            let is_used = |host: &Value| !host["apps"].as_array().unwrap().is_empty();
            told["hosts"].as_array()?.iter().any(is_used).then_some(())
        })
        .await;
    let n_before = fleet.etcd.n_requests(0);
    for _ in 0..ASKED {
        let told = consumption().await;
        assert_eq!(told["tenants"]["web"], "default", "{told}");
    }
    let n_requests = fleet.etcd.n_requests(0) - n_before;
    assert!(n_requests < ASKED / 2, "{n_requests} requests of the store for {ASKED} bills");
}
