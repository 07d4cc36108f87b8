//! What apps use is told by hosts to whoever asks: nothing of it goes into the store, whatever is called,
//! unless a host of an earlier version is there, which knows no other place for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use steerage::store::{Commit, Store, Write};

use crate::fleet::Fleet;
use crate::harness::{Host, manifest, works};

/// So long is counted what is written.
const COUNTED_FOR: Duration = Duration::from_secs(8);
const APPS: usize = 12;

/// Two hosts, each with some apps of its own.
async fn busy_fleet() -> Option<Fleet> {
    let fleet = Fleet::start(2).await?;
    for (number, open) in (0..APPS).map(|number| (number, ["h1", "h2"][number % 2])) {
        for host in ["h1", "h2"] {
            fleet.stand(host, if host == open { "open" } else { "cordoned" }).await;
        }
        let name = format!("app-{number}");
        let text = manifest(&name, &format!("/{name}/..."), "[replicas]\nmin = 1\nmax = 1");
        fleet.first().deploy(&works(2_000_000, "done"), &text).await;
        assert_eq!(fleet.ready_on(&name, 1).await, [open]);
    }
    Some(fleet)
}

/// Calls all apps until told to stop.
async fn keep_calling(host: &Host, stop: &AtomicBool) -> usize {
    let mut n_calls = 0;
    while !stop.load(Ordering::Relaxed) {
        for number in 0..APPS {
            assert_eq!(host.get(&format!("/app-{number}/")).await.text(), "done");
            n_calls += 1;
        }
    }
    n_calls
}

/// What one host says that another one uses, in thousandths of a core.
async fn used(host: &Host, of: &str) -> u64 {
    let hosts = host.admin("GET", "/v1/hosts", "").await.json();
    let all = hosts["hosts"].as_array().unwrap().clone();
    let found = all.into_iter().find(|host| host["host"] == of);
    found.map_or(0, |host: Value| host["cpu_used_millicores"].as_u64().unwrap())
}

async fn revision(store: &Store) -> u64 {
    store.read("observed/hosts/").await.unwrap().revision.0
}

/// How many changes there are in the store, besides those that no host makes.
async fn n_writes(store: &Store) -> u64 {
    let before = revision(store).await;
    let until = Instant::now() + COUNTED_FOR;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    while Instant::now() < until {
        ticks.tick().await;
    }
    revision(store).await - before
}

fn put(key: &str, value: &Value) -> Commit {
    let value = value.to_string().into_bytes();
    let write = Write::Put { key: key.to_owned(), value, lease: None };
    Commit { guards: Vec::new(), writes: vec![write] }
}

/// A host as an earlier version registers, which nobody reaches.
fn of_earlier_version(name: &str) -> Commit {
    let record = json!({
        "v": 1, "id": name, "run": 1, "address": "127.0.0.1:1", "listen": "127.0.0.1:1",
        "admin": "127.0.0.1:1", "zone": name, "cpu_m": 1000, "memory": 1_u64 << 30, "version": "0.0.1"
    });
    put(&format!("observed/hosts/{name}"), &record)
}

#[tokio::test]
async fn what_apps_use_goes_into_the_store_for_hosts_of_earlier_versions_only() {
    let Some(fleet) = busy_fleet().await else { return };
    let store = fleet.etcd.store().await;
    let stop = AtomicBool::new(false);
    let callers = fleet.hosts.iter().map(|host| keep_calling(host, &stop));
    let looks = async {
        for (host, of) in [(0, "h2"), (1, "h1"), (0, "h1"), (1, "h2")] {
            let host = &fleet.hosts[host];
            let sees = || async { (used(host, of).await > 0).then_some(()) };
            host.until(&format!("use of {of}"), sees).await;
        }
        // Hosts have nothing more to announce by now.
        let n_now = n_writes(&store).await;
        assert!(store.read("observed/use/").await.unwrap().entries.is_empty());
        // It comes after them by its name, so that it has nothing to say, and is read by nobody.
        store.commit(of_earlier_version("z-old")).await.unwrap();
        let told = json!({ "v": 1, "apps": { "app-0": { "cpu_u": 777_000, "looks": 40 } } });
        store.commit(put("observed/use/z-old/0", &told)).await.unwrap();
        let is_told = || async {
            let entries = store.read("observed/use/").await.unwrap().entries;
            let said = |host: &str| {
                entries.iter().any(|it| it.key.starts_with(&format!("observed/use/{host}/")))
            };
            (said("h1") && said("h2")).then_some(())
        };
        fleet.first().until("use in the store", is_told).await;
        for host in &fleet.hosts {
            let sees = || async { (used(host, "z-old").await == 777).then_some(()) };
            host.until("use of a host of an earlier version", sees).await;
        }
        let n_before = n_writes(&store).await;
        let gone = ["observed/hosts/z-old", "observed/use/z-old/0"];
        let writes = gone.map(|key| Write::Delete(key.to_owned())).to_vec();
        store.commit(Commit { guards: Vec::new(), writes }).await.unwrap();
        let is_gone = || async {
            store.read("observed/use/").await.unwrap().entries.is_empty().then_some(())
        };
        fleet.first().until("use out of the store", is_gone).await;
        let n_after = n_writes(&store).await;
        stop.store(true, Ordering::Relaxed);
        (n_now, n_before, n_after)
    };
    let (n_writes, n_calls) = tokio::join!(looks, join_all(callers));
    let (n_now, n_before, n_after) = n_writes;
    let n_calls: usize = n_calls.iter().sum();
    println!(
        "writes in {COUNTED_FOR:?} of 2 hosts with {APPS} apps under load ({n_calls} calls): {n_before} \
         with a host of an earlier version, {n_now} without it, {n_after} after it has gone"
    );
    assert_eq!((n_now, n_after), (0, 0));
    assert!(n_before > 0, "the count finds nothing");
}

#[tokio::test]
async fn a_host_tells_how_old_is_what_it_knows_of_its_fleet() {
    let Some(mut fleet) = Fleet::start_with(2, &["--lease", "20s"]).await else { return };
    let state = |state: &str| format!("fleet_hosts_by_state{{state=\"{state}\"}} ");
    let lines = |metrics: String, name: &str| {
        let start = format!("{name} ");
        metrics.lines().filter(|line| line.contains(&start) && !line.starts_with('#')).count()
    };
    let first = fleet.first();
    assert_eq!(first.metric(&state("answers")).await, 2.0);
    // One that plans asks others all the time, and both renew their leases.
    first
        .until("all that is known", || async {
            let metrics = first.admin("GET", "/metrics", "").await.text();
            let names = ["lease_age", "store_latency", "view_age", "use_age"];
            let mut names = names.iter().map(|name| format!("fleet_{name}_seconds"));
            names.all(|name| lines(metrics.clone(), &name) == 1).then_some(())
        })
        .await;
    for (name, most) in
        [("lease_age", 20.0), ("store_latency", 2.0), ("view_age", 4.0), ("use_age", 30.0)]
    {
        let value = first.metric(&format!("fleet_{name}_seconds ")).await;
        assert!((0.0..=most).contains(&value), "{name}: {value}");
    }
    fleet.hosts[1].signal("STOP");
    let first = fleet.first();
    first
        .until("a silent host", || async {
            (first.metric(&state("silent")).await > 0.0).then_some(())
        })
        .await;
    fleet.hosts[1].signal("CONT");
    fleet.etcd.kill(0);
    let first = fleet.first();
    first
        .until("growing age of the view", || async {
            (first.metric("fleet_view_age_seconds ").await > 4.0).then_some(())
        })
        .await;
    fleet.etcd.run(0);
    fleet.answers(fleet.first(), 2).await;
}
