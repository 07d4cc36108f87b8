//! Who counts as there when hosts stand still, are restarted or are copied: nobody acts on what is old,
//! nobody fights for a name, and whoever answers is called.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use steerage::store::{Entry, Store};

use crate::fleet::Fleet;
use crate::harness::{Host, manifest, says};

/// Longer than a store is silent to whoever listens.
const STANDS_STILL: Duration = Duration::from_secs(6);

fn one_replica(app: &str) -> String {
    manifest(app, &format!("/{app}/..."), "[replicas]\nmin = 1\nmax = 1")
}

/// What a host says of another one, once that is in this state.
async fn state(host: &Host, of: &str, state: &str) -> Value {
    host.until(&format!("{of} in state {state}"), || async {
        let hosts = host.admin("GET", "/v1/hosts", "").await.json();
        let all = hosts["hosts"].as_array()?.clone();
        all.into_iter().find(|host| host["host"] == of && host["state"] == state)
    })
    .await
}

/// An app that runs on all hosts.
fn everywhere(app: &str) -> String {
    manifest(app, &format!("/{app}/..."), "[replicas]\nmin = 2\nmax = 2")
}

/// Where every app shall run, and when that was written.
async fn assigned(store: &Store) -> Vec<Entry> {
    store.read("assigned/").await.unwrap().entries
}

fn is_on(entries: &[Entry], host: &str) -> bool {
    let host = format!("\"{host}\"");
    entries.iter().any(|entry| String::from_utf8_lossy(&entry.value).contains(&host))
}

/// Lets a host stand still until the store has ended its lease.
async fn stand_still(fleet: &Fleet, host: usize, store: &Store) {
    let key = format!("observed/hosts/h{}", host + 1);
    fleet.hosts[host].signal("STOP");
    let other = &fleet.hosts[(host + 1) % fleet.hosts.len()];
    other
        .until("end of a lease", || async {
            store.get(&key).await.unwrap().is_none().then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_host_that_stood_still_decides_nothing_by_what_it_knew() {
    let Some(fleet) = Fleet::start(3).await else { return };
    let store = fleet.etcd.store().await;
    for app in ["a", "b", "c", "d"] {
        fleet.first().deploy(&says(app), &one_replica(app)).await;
        fleet.ready_on(app, 1).await;
    }
    // The one that plans, with all that there is.
    for host in ["h2", "h3"] {
        fleet.stand(host, "draining").await;
    }
    let all_on = |host: &'static str| {
        let store = &store;
        async move {
            let entries = assigned(store).await;
            let text = |entry: &Entry| String::from_utf8_lossy(&entry.value).contains(host);
            (entries.len() == 4 && entries.iter().all(text)).then_some(())
        }
    };
    fleet.first().until("all on h1", || all_on("h1")).await;
    for host in ["h2", "h3"] {
        fleet.stand(host, "open").await;
    }
    let began_at = Instant::now();
    stand_still(&fleet, 0, &store).await;
    fleet.hosts[1]
        .until("plan of the others, after longer than a store is silent", || async {
            let is_planned = !is_on(&assigned(&store).await, "h1");
            (is_planned && began_at.elapsed() > STANDS_STILL).then_some(())
        })
        .await;
    let before = assigned(&store).await;
    fleet.hosts[0].signal("CONT");
    let told = fleet.event(fleet.first(), "stood_still").await;
    assert!(told["message"].as_str().unwrap().contains("before it decides anything"), "{told}");
    assert!(told["advice"].as_str().unwrap().contains("taken over"), "{told}");
    for host in &fleet.hosts {
        fleet.answers(host, 3).await;
    }
    for app in ["a", "b", "c", "d"] {
        fleet.all_answer(&format!("/{app}/"), app).await;
    }
    assert_eq!(assigned(&store).await, before);
}

/// What a host has read before it followed the store, and how often: all of it, and what it missed.
async fn store_reads(host: &Host) -> [f64; 2] {
    let read = |what| async move {
        host.metric(&format!("fleet_store_reads_total{{read=\"{what}\"}}")).await
    };
    [read("all").await, read("missed").await]
}

/// Waits until a host follows the store again, more often than `before`; how often that is. It has never read
/// all again.
pub(crate) async fn reads_what_it_missed(host: &Host, before: f64) -> f64 {
    host.until("what it missed", || async {
        let [all, missed] = store_reads(host).await;
        assert_eq!(all, 1.0, "it has read all again");
        (missed > before).then_some(missed)
    })
    .await
}

#[tokio::test]
async fn a_host_that_has_lost_the_store_reads_only_what_it_missed() {
    let Some(mut fleet) = Fleet::start(2).await else { return };
    let store = fleet.etcd.store().await;
    for app in ["stays", "goes"] {
        fleet.first().deploy(&says(app), &everywhere(app)).await;
        fleet.ready_on(app, 2).await;
    }
    assert_eq!(store_reads(&fleet.hosts[1]).await, [1.0, 0.0]);
    stand_still(&fleet, 1, &store).await;
    fleet.first().deploy(&says("comes"), &everywhere("comes")).await;
    fleet.first().run(&["remove", "goes", "--yes"]).done();
    fleet.hosts[1].signal("CONT");
    fleet.ready_on("comes", 2).await;
    fleet.hosts[1]
        .until("end of what was removed", || async {
            (fleet.hosts[1].get("/goes/").await.status == 404).then_some(())
        })
        .await;
    let missed = reads_what_it_missed(&fleet.hosts[1], 0.0).await;
    // The store itself was away, and says nothing new when it is back.
    fleet.etcd.kill(0);
    for host in &fleet.hosts {
        fleet.event(host, "store_away").await;
    }
    fleet.etcd.run(0);
    for (number, host) in fleet.hosts.iter().enumerate() {
        fleet.event(host, "store_back").await;
        reads_what_it_missed(host, [0.0, missed][number.min(1)]).await;
    }
    fleet.answers(fleet.first(), 2).await;
    fleet.first().deploy(&says("later"), &everywhere("later")).await;
    fleet.ready_on("later", 2).await;
    // What was written to know that all was heard of is gone again.
    assert_eq!(store.read("observed/heard/").await.unwrap().entries, []);
}

#[tokio::test]
async fn of_two_runs_under_one_name_the_one_that_lost_it_says_so_and_does_not_fight() {
    let Some(mut fleet) = Fleet::start(2).await else { return };
    let store = fleet.etcd.store().await;
    fleet.first().deploy(&says("here"), &one_replica("app")).await;
    stand_still(&fleet, 1, &store).await;
    let copy = tempfile::tempdir().unwrap();
    fs::copy(fleet.hosts[1].data.join("host-id"), copy.path().join("host-id")).unwrap();
    let url = fleet.etcd.url();
    let clone = Host::on(copy.path(), &Fleet::flags(&url, "h2", &[]));
    let key = "observed/hosts/h2";
    let taken =
        clone.until("record of the clone", || async { store.get(key).await.unwrap() }).await;
    fleet.hosts[1].signal("CONT");
    let told = fleet.event(&fleet.hosts[1], "not_registered").await;
    let clone_at: Value = serde_json::from_slice(&taken.value).unwrap();
    for words in ["a copy of this host's data folder", clone_at["address"].as_str().unwrap()] {
        assert!(told["message"].as_str().unwrap().contains(words), "no {words:?} in {told}");
    }
    assert!(told["advice"].as_str().unwrap().contains("stop one of the two"), "{told}");
    // What has the name is another run, as this one sees it, too.
    state(&fleet.hosts[1], "h2", "unregistered").await;
    state(fleet.first(), "h2", "answers").await;
    let now = store.get(key).await.unwrap().unwrap();
    assert_eq!(now, taken, "it was written again");
    fleet.all_answer("/app/", "here").await;
    drop(clone);
    fleet.hosts[1]
        .until("its own name", || async {
            let hosts = fleet.hosts[1].admin("GET", "/v1/hosts", "").await.json();
            hosts["trouble"].is_null().then_some(())
        })
        .await;
    state(fleet.first(), "h2", "answers").await;
    fleet.hosts.truncate(2);
}

/// Where a host takes requests of other hosts.
async fn peer_address(store: &Store, host: &str) -> SocketAddr {
    let entry = store.get(&format!("observed/hosts/{host}")).await.unwrap().unwrap();
    let record: Value = serde_json::from_slice(&entry.value).unwrap();
    record["address"].as_str().unwrap().parse().unwrap()
}

fn on_port(data: &Path, url: &str, name: &str, address: SocketAddr) -> Host {
    let address = address.to_string();
    let flags = ["--store", url, "--name", name, "--zone", name, "--insecure-peers", "true"];
    Host::on(data, &[&flags[..], &["--peer", &address]].concat())
}

#[tokio::test]
async fn a_host_that_is_restarted_while_the_store_is_away_is_called_in_its_new_run() {
    let Some(mut fleet) = Fleet::start(1).await else { return };
    let store = fleet.etcd.store().await;
    let url = fleet.etcd.url();
    let data = tempfile::tempdir().unwrap();
    let address = {
        let second = Host::on(data.path(), &Fleet::flags(&url, "h2", &[]));
        fleet.hosts.push(second);
        fleet.answers(fleet.first(), 2).await;
        peer_address(&store, "h2").await
    };
    fleet.stand("h1", "cordoned").await;
    fleet.first().deploy(&says("there"), &one_replica("app")).await;
    assert_eq!(fleet.ready_on("app", 1).await, ["h2"]);
    fleet.etcd.kill(0);
    fleet.hosts[1].kill();
    state(fleet.first(), "h2", "silent").await;
    fleet.hosts[1] = on_port(data.path(), &url, "h2", address);
    // It serves what it has, and cannot say so to the store.
    state(fleet.first(), "h2", "unregistered").await;
    let before = fleet.first().metric("fleet_forwarded").await;
    assert_eq!(fleet.first().get("/app/").await.text(), "there");
    assert_eq!(fleet.first().metric("fleet_forwarded").await, before + 1.0);
    fleet.etcd.run(0);
    state(fleet.first(), "h2", "answers").await;
}

/// Bytes that wait in a pipe that nobody reads.
const PIPE: usize = 64 << 10;

#[tokio::test]
async fn a_log_that_nobody_reads_costs_no_host_its_place() {
    let Some(mut fleet) = Fleet::start(1).await else { return };
    let store = fleet.etcd.store().await;
    let url = fleet.etcd.url();
    // As with a terminal that was stopped: everything is logged, and nobody takes it.
    fleet.hosts.push(Host::logging_as("trace", &Fleet::flags(&url, "h2", &[])));
    fleet.answers(fleet.first(), 2).await;
    let key = "observed/hosts/h2";
    let before = store.get(key).await.unwrap();
    fleet.first().deploy(&says("app"), &one_replica("app")).await;
    let began_at = Instant::now();
    let mut n_calls = 0;
    // Each call is some lines, of more than a hundred bytes each.
    while n_calls < 2 * PIPE / 100 || began_at.elapsed() < STANDS_STILL {
        assert_eq!(fleet.hosts[1].get("/app/").await.text(), "app");
        n_calls += 1;
    }
    fleet.answers(fleet.first(), 2).await;
    assert_eq!(store.get(key).await.unwrap(), before, "it was registered again");
    fleet.hosts[1].signal("TERM");
    let log = fleet.hosts[1].wait_for_log();
    assert!(log.len() > PIPE && log.contains("lines of the log were left out"), "{}", log.len());
}
