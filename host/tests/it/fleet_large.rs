//! A fleet of many apps: who joins learns of all of them in a few writes, and operators who look at all
//! of them cost nobody his place.

use std::time::{Duration, Instant};

use serde_json::Value;
use steerage::store::{Commit, Store, Write};

use crate::fleet::Fleet;
use crate::harness::{Host, manifest, says};

fn put(key: String, value: &Value) -> Write {
    Write::Put { key, value: value.to_string().into_bytes(), lease: None }
}

/// Puts so many more apps of this kind into the store, that no host may run.
async fn multiply(store: &Store, app: &str, n_apps: usize) {
    let read = |entry: Option<steerage::store::Entry>| -> Value {
        serde_json::from_slice(&entry.unwrap().value).unwrap()
    };
    let number = "00000000000000000001";
    let app_key = format!("desired/apps/{app}");
    let deployment_key = format!("desired/deployments/{app}/{number}");
    let record = read(store.get(&app_key).await.unwrap());
    let deployment = read(store.get(&deployment_key).await.unwrap());
    let mut writes = Vec::new();
    for number_of in 0..n_apps {
        let name = format!("{app}-{number_of}");
        let (mut record, mut deployment) = (record.clone(), deployment.clone());
        record["labels"] = serde_json::json!({ "kind": "none" });
        record.as_object_mut().unwrap().remove("fingerprint");
        deployment["app"] = name.clone().into();
        deployment["manifest"] = manifest(&name, &format!("/{name}/..."), "").into();
        writes.push(put(format!("desired/apps/{name}"), &record));
        writes.push(put(format!("desired/deployments/{name}/{number}"), &deployment));
    }
    for batch in writes.chunks(100) {
        let commit = Commit { guards: Vec::new(), writes: batch.to_vec() };
        store.commit(commit).await.unwrap();
    }
}

async fn knows(host: &Host, n_apps: u64) {
    host.until("knowledge of all apps", || async {
        let info = host.admin("GET", "/v1/host", "").await.json();
        (info["apps"].as_u64()? == n_apps).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_joins_a_large_fleet_learns_of_all_its_apps_in_a_few_reads_and_writes() {
    let Some(fleet) = Fleet::start(1).await else { return };
    fleet.first().deploy(&says("one"), &manifest("one", "/one/...", "")).await;
    let n_apps = 600;
    multiply(&fleet.etcd.store().await, "one", n_apps).await;
    knows(fleet.first(), 1 + n_apps as u64).await;
    let (url, n_before) = (fleet.etcd.url(), fleet.etcd.n_requests(0));
    let mut joins = Host::logging_as("steerage=info", &Fleet::flags(&url, "h2", &[]));
    knows(&joins, 1 + n_apps as u64).await;
    // Both hosts keep their leases alive and look at the store now and then meanwhile.
    let n_reads = fleet.etcd.n_requests(0) - n_before;
    assert!(n_reads < n_apps as u64 / 4, "{n_reads} requests for {n_apps} apps");
    // What is not there is told as that by whoever may not run it, and not as unknown.
    assert_eq!(joins.get("/one-7/").await.cause(), "no_replica");
    assert_eq!(joins.get("/one/").await.text(), "one");
    joins.signal("TERM");
    let log = joins.wait_for_log();
    let n_writes = log.lines().filter(|line| line.contains("learned of apps")).count();
    // Each is a write that waits for the disk, and a snapshot of all that is served.
    assert!((1..=3).contains(&n_writes), "{n_writes} writes for {n_apps} apps: {log}");
}

#[tokio::test]
async fn operators_who_look_at_everything_cost_a_host_no_lease() {
    let Some(fleet) = Fleet::start_with(2, &["--lease", "4s"]).await else { return };
    fleet.first().deploy(&says("one"), &manifest("one", "/one/...", "")).await;
    let (n_apps, n_operators) = (3_000, 96);
    let store = fleet.etcd.store().await;
    multiply(&store, "one", n_apps).await;
    knows(fleet.first(), 1 + n_apps as u64).await;
    let registered = || async {
        let entry = store.get("observed/hosts/h1").await.unwrap();
        entry.expect("a host that has its lease").revision
    };
    let before = registered().await;
    let until = Instant::now() + Duration::from_secs(12);
    let looks = (0..n_operators).map(|number| {
        let host = fleet.first();
        async move {
            let mut n_answers = 0;
            while Instant::now() < until {
                let path = ["/v1/apps", "/v1/hosts", "/metrics"][number % 3];
                let reply = host.admin("GET", path, "").await;
                assert_eq!(reply.status, 200);
                n_answers += 1;
            }
            n_answers
        }
    });
    let n_answers: u32 = futures_util::future::join_all(looks).await.into_iter().sum();
    assert!(n_answers > 0);
    assert_eq!(registered().await, before, "it registered anew, after {n_answers} answers");
}

#[tokio::test]
async fn where_hosts_are_asked_by_some_others_only_a_lost_one_is_replaced_long_before_its_lease_ends()
 {
    // More than ask each host, so that most pairs do not ask each other.
    let Some(mut fleet) = Fleet::start_with(8, &["--lease", "60s"]).await else { return };
    let store = fleet.etcd.store().await;
    for host in ["h1", "h2", "h3", "h4", "h5", "h6", "h7"] {
        fleet.stand(host, "cordoned").await;
    }
    let text = manifest("app", "/app/...", "[replicas]\nmin = 1\nmax = 1");
    fleet.first().deploy(&says("here"), &text).await;
    assert_eq!(fleet.ready_on("app", 1).await, ["h8"]);
    fleet.all_answer("/app/", "here").await;
    fleet.stand("h7", "open").await;
    fleet.hosts[7].kill();
    // Nobody hears of it but through those that ask it, or call it.
    // What the lost one had is in the list as well until its lease ends.
    let replaced = || async {
        let replicas = fleet.first().admin("GET", "/v1/apps/app/replicas", "").await.json();
        let hosts = replicas["hosts"].as_array()?;
        let is_it = |one: &&Value| one["host"] == "h7" && one["state"] == "ready";
        hosts.iter().find(is_it).map(|_| ())
    };
    fleet.first().until("replica elsewhere", replaced).await;
    assert!(store.get("observed/hosts/h8").await.unwrap().is_some(), "its lease has ended");
    fleet.hosts.truncate(7);
    fleet.all_answer("/app/", "here").await;
}
