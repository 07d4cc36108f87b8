//! The store of a fleet in the long run: its history is kept short, and it is told before it is full and
//! when it is.

use std::sync::atomic::{AtomicUsize, Ordering};

use steerage::store::{Commit, Store, StoreError, Write};

use crate::etcd::Etcd;
use crate::fleet::Fleet;
use crate::harness::{Host, manifest, says};

pub(crate) async fn put(store: &Store, key: &str, n_bytes: usize) -> Result<(), StoreError> {
    let write = Write::Put { key: key.to_owned(), value: vec![b'x'; n_bytes], lease: None };
    store.commit(Commit { guards: Vec::new(), writes: vec![write] }).await.map(drop)
}

#[tokio::test]
async fn the_host_that_plans_keeps_the_history_short() {
    let Some(fleet) = Fleet::start_with(2, &["--store-history", "1s"]).await else { return };
    let store = fleet.etcd.store().await;
    let before = store.read("desired/hosts/").await.unwrap().revision;
    let n_writes = AtomicUsize::new(0);
    fleet
        .first()
        .until("end of the history", || async {
            // Something has to change, or there is nothing to forget.
            let number = n_writes.fetch_add(1, Ordering::SeqCst);
            put(&store, &format!("other/{}", number % 2), 9).await.unwrap();
            let ended = match store.watch("other/", before).await {
                Ok(mut watch) => watch.next().await.map(drop),
                Err(error) => Err(error),
            };
            matches!(ended, Err(StoreError::Compacted)).then_some(())
        })
        .await;
    // Nobody misses it.
    fleet.first().deploy(&says("hello"), &manifest("hello", "/hello/...", "")).await;
    fleet.all_answer("/hello/", "hello").await;
}

#[tokio::test]
async fn a_store_that_takes_nothing_more_is_told_while_it_matters() {
    let quota = 4 << 20;
    let flags = [format!("--quota-backend-bytes={quota}")];
    let Some(etcd) = Etcd::start_with(1, "http", &flags) else { return };
    let store = etcd.store().await;
    let url = etcd.url();
    let flags = ["--store-history", "1s"];
    let hosts = ["h1", "h2"].map(|name| Host::with(&Fleet::flags(&url, name, &flags)));
    let mut fleet = Fleet { hosts: hosts.into(), etcd };
    fleet.answers(fleet.first(), 2).await;
    let both = manifest("both", "/both/...", "[replicas]\nmin = 1\nmax = 1");
    fleet.first().deploy(&says("both"), &both).await;
    let on = fleet.ready_on("both", 1).await;
    let mut number = 0;
    while put(&store, &format!("filler/{number}"), 500_000).await.is_ok() {
        number += 1;
        assert!(number < 100, "it takes everything");
    }
    let event = fleet.event(fleet.first(), "store_full").await;
    let advice = event["advice"].as_str().unwrap();
    assert!(advice.contains("etcdctl defrag") && advice.contains("alarm disarm"), "{event}");
    // A host is lost, or cordoned and left: its replicas cannot be placed anew.
    let lost = usize::from(on[0] == "h2");
    assert_eq!(lost, 0, "the planner fills itself first: {on:?}");
    fleet.hosts[0].kill();
    let event = fleet.event(&fleet.hosts[1], "plan_failed").await;
    assert!(event["message"].as_str().unwrap().contains("is full"), "{event}");
    assert_eq!(event["severity"], "error");
    // Calls are answered all the same.
    let reply = fleet.hosts[1].get("/both/").await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "both".to_owned()));
}
