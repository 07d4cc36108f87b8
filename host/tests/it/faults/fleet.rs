//! Faults of a fleet: hosts that are not there, replicas without a place, a store that says nothing, and hosts
//! that differ.

use rustix::process::Signal;
use steerage_guests as guests;

use super::neighbours::beside;
use super::{call, cure, is_well, read, tells};
use crate::etcd::Etcd;
use crate::fleet::Fleet;
use crate::fleet_store::put;
use crate::harness::{Host, manifest, says};
use crate::outbound::target;

async fn a_fleet(n_hosts: usize) -> Option<Fleet> {
    let fleet = Fleet::start(n_hosts).await?;
    beside(fleet.first());
    Some(fleet)
}

fn replicas(app: &str, number: u32, more: &str) -> String {
    let more = format!("{more}\n[replicas]\nmin = {number}\nmax = {number}");
    manifest(app, &format!("/{app}/..."), &more)
}

#[tokio::test]
async fn a_host_does_not_run_any_more() {
    let Some(mut fleet) = a_fleet(3).await else { return };
    fleet.hosts[2].signal("STOP");
    let of = "h3 was lost ";
    tells(fleet.first(), of, &["has not come back", "start it again"]).await;
    // It is what is wrong with that host, and not with another.
    let of_host = fleet.first().run(&["why", "h3"]);
    assert!(of_host.code == 1 && of_host.stdout.contains("h3 was lost "), "{of_host:?}");
    let of_other = fleet.first().run(&["why", "h2"]);
    assert!(!of_other.stdout.contains("h3"), "{of_other:?}");
    fleet.hosts[2].signal("CONT");
    // That it stood still is told for a while, by itself.
    let parts = ["host_stalled", "whether others kept the cores or the disk busy"];
    tells(fleet.first(), "on h3: this host stood still for ", &parts).await;
    fleet.hosts[2].kill();
}

#[tokio::test]
async fn no_host_takes_anything_new() {
    let Some(fleet) = a_fleet(2).await else { return };
    fleet.stand("h1", "cordoned").await;
    fleet.stand("h2", "cordoned").await;
    fleet.first().deploy(&says("x"), &replicas("web", 1, "")).await;
    let parts = ["2 cordoned or drained", "no host is meant to run web", "uncordon h"];
    let told = tells(fleet.first(), "1 replica of web has no place", &parts).await;
    cure(fleet.first(), &told);
    is_well(fleet.first()).await;
}

#[tokio::test]
async fn more_replicas_are_wanted_than_there_are_hosts() {
    let Some(fleet) = a_fleet(2).await else { return };
    fleet.first().deploy(&says("x"), &replicas("web", 3, "")).await;
    let parts = ["2 with a replica already", "2 replicas of web have one"];
    let told = tells(fleet.first(), "1 replica of web has no place", &parts).await;
    cure(fleet.first(), &told);
    is_well(fleet.first()).await;
}

#[tokio::test]
async fn no_host_has_the_labels() {
    let Some(fleet) = a_fleet(2).await else { return };
    let labels = "[placement]\nlabels = { disk = \"ssd\" }";
    fleet.first().deploy(&says("x"), &replicas("web", 1, labels)).await;
    let parts = ["2 without its labels", "--labels"];
    tells(fleet.first(), "1 replica of web has no place", &parts).await;
    // A host that would not take it either is not opened for that.
    fleet.stand("h2", "cordoned").await;
    let parts = ["1 cordoned or drained", "1 without its labels", "--labels"];
    let told = tells(fleet.first(), "1 replica of web has no place", &parts).await;
    assert!(!told.contains("uncordon"), "{told}");
    fleet.first().deploy(&says("x"), &replicas("web", 1, "")).await;
    is_well(fleet.first()).await;
}

#[tokio::test]
async fn an_app_reserves_more_than_any_host_has() {
    let Some(fleet) = a_fleet(2).await else { return };
    let large = "[resources]\nmemory = \"900GiB\"";
    fleet.first().deploy(&says("x"), &replicas("web", 1, large)).await;
    let parts = ["short of memory", "reserve less in [resources]"];
    tells(fleet.first(), "1 replica of web has no place", &parts).await;
    fleet.first().deploy(&says("x"), &replicas("web", 1, "")).await;
    is_well(fleet.first()).await;
}

#[tokio::test]
async fn the_store_says_nothing() {
    let Some(fleet) = a_fleet(2).await else { return };
    fleet.etcd.signal(0, Signal::STOP);
    let parts = ["changes are refused", "see that etcd runs"];
    tells(fleet.first(), "h1 has not heard of the store for ", &parts).await;
    fleet.etcd.signal(0, Signal::CONT);
    is_well(fleet.first()).await;
}

#[tokio::test]
async fn the_store_is_full() {
    let flags = [format!("--quota-backend-bytes={}", 4 << 20)];
    let Some(etcd) = Etcd::start_with(1, "http", &flags) else { return };
    let store = etcd.store().await;
    let host = Host::with(&Fleet::flags(&etcd.url(), "h1", &["--store-history", "1s"]));
    let fleet = Fleet { hosts: vec![host], etcd };
    fleet.answers(fleet.first(), 1).await;
    fleet.first().deploy(&says("x"), &replicas("web", 1, "")).await;
    let mut number = 0;
    while put(&store, &format!("filler/{number}"), 500_000).await.is_ok() {
        number += 1;
        assert!(number < 100, "it takes everything");
    }
    let parts = ["etcdctl defrag", "etcdctl alarm disarm"];
    tells(fleet.first(), "the store is full at ", &parts).await;
}

#[tokio::test]
async fn a_second_host_has_the_same_name() {
    let Some(fleet) = a_fleet(1).await else { return };
    let second = Host::with(&Fleet::flags(&fleet.etcd.url(), "h1", &[]));
    let parts = ["another host named h1 is registered", "do as its trouble says"];
    tells(&second, "h1 has no place in its fleet", &parts).await;
}

#[tokio::test]
async fn an_app_fails_on_one_host_only() {
    let Some(mut fleet) = Fleet::start_with(1, &["--watch", "never"]).await else { return };
    // The other one may not reach what the app asks.
    let url = fleet.etcd.url();
    let flags = ["--outbound-private", "127.0.0.0/8", "--watch", "never"];
    fleet.hosts.push(Host::with(&Fleet::flags(&url, "h2", &flags)));
    fleet.answers(fleet.first(), 2).await;
    let port = target().await;
    let may = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]");
    fleet.first().deploy(&read(guests::OUT), &replicas("out", 2, &may)).await;
    fleet.ready_on("out", 2).await;
    let path = format!("/out/{{n}}?url=http://127.0.0.1:{port}/");
    for host in &fleet.hosts {
        call(host, &path, 8).await;
    }
    tells(fleet.first(), "out", &["all have the host h1: 8 of 8 fail there", "--outbound-private"])
        .await;
}
