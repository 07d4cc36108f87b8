//! What a host keeps of the apps of its fleet, in bytes that are asked of the allocator. A program of its
//! own with one test, since everything that is allocated in the process is counted.
//! Does not measure what is kept of apps that a host serves: `benches dense` does.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "the figure is for whoever runs it with --nocapture")]

use std::alloc::System;
use std::path::Path;
use std::sync::Arc;

use cap::Cap;
use serde_json::{Value, json};
use steerage::fleet::Fleet;
use steerage::forward::Peers;
use steerage::sql::{DatabaseOwner, Databases};
use steerage::store::{Change, Entry, Revision, Seen, Store, StoreSettings};
use steerage_core::id::AppName;
use steerage_core::node::Assigned;
use steerage_core::units::Bytes;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const APPS: usize = 20_000;
const HOSTS: usize = 50;
/// The most bytes for each app on each host.
const MOST: usize = 500;

/// A fleet in which every app has two replicas, as a store tells it: in the order of the keys.
fn told() -> Seen {
    let mut entries = Vec::new();
    let mut put = |key: String, value: Value| {
        let revision = Revision(u64::try_from(entries.len()).unwrap() + 1);
        entries.push(Entry { key, value: value.to_string().into_bytes(), revision });
    };
    let host = |number: usize| format!("host-{:03}", number % HOSTS);
    for app in 0..APPS {
        let generation = 3 + app % 5;
        let hosts = [host(app), host(app * 7 + app / HOSTS + 1)];
        put(format!("assigned/app-{app:06}"), json!({ "v": 1, "hosts": hosts }));
        let fingerprint = format!("{:016x}", app * 0x9e37_79b9);
        let record = json!({
            "v": 1, "generation": generation, "min": 2, "max": 2, "cpu_m": 100, "memory": 16 << 20,
            "priority": 0, "fingerprint": fingerprint
        });
        put(format!("desired/apps/app-{app:06}"), record);
        for host in hosts {
            let ready = json!({ "v": 1, "generation": generation, "fingerprint": fingerprint });
            put(format!("observed/ready/{host}/app-{app:06}"), ready);
        }
    }
    for number in 0..HOSTS {
        let address = format!("127.0.0.1:{}", 10_000 + number);
        let record = json!({
            "v": 1, "id": format!("id-{number}"), "run": number + 1, "address": address,
            "listen": address, "admin": address, "zone": format!("z{}", number % 3), "labels": {},
            "cpu_m": 8_000, "memory": 32_u64 << 30, "version": "1"
        });
        put(format!("observed/hosts/{}", host(number)), record);
    }
    entries.sort_by(|one, other| one.key.cmp(&other.key));
    let revision = Revision(u64::try_from(entries.len()).unwrap());
    Seen { entries, revision, ..Seen::default() }
}

/// The same as changes, one app after the other.
fn told_one_by_one(seen: &Seen) -> Vec<Vec<Change>> {
    let mut of_apps = std::collections::BTreeMap::<String, Vec<Change>>::new();
    for entry in &seen.entries {
        let change = Change {
            key: entry.key.clone(),
            value: Some(entry.value.clone()),
            revision: entry.revision,
        };
        // Hosts come first.
        let app = entry.key.rsplit('/').next().filter(|name| name.starts_with("app-"));
        of_apps.entry(app.unwrap_or_default().to_owned()).or_default().push(change);
    }
    of_apps.into_values().collect()
}

#[tokio::test]
async fn what_a_host_knows_of_an_app_of_its_fleet_is_small() {
    let folder = tempfile::tempdir().unwrap();
    let settings = StoreSettings::Embedded(folder.path().to_owned());
    let store = Store::open(&settings).await.unwrap();
    let copy = folder.path().join("fleet.json");
    let fleet = Fleet::new("host-none".parse().unwrap(), store, Peers::new(None), copy);
    let seen = told();
    let before = ALLOCATOR.allocated();
    let summary = fleet.replace(&seen);
    drop((summary, seen.revision));
    let each = ALLOCATOR.allocated().saturating_sub(before) / APPS;
    println!("{each} bytes for each app that a host knows of");
    let app: AppName = "app-000007".parse().unwrap();
    let view = fleet.view();
    assert_eq!(view.apps().count(), APPS);
    assert_eq!(view.assigned_to(&app).map(Assigned::len), Some(2));
    assert_eq!(fleet.replicas(&app).map(|replicas| replicas.elsewhere.len()), Some(2));
    assert!(each <= MOST, "{each} bytes for each app, more than {MOST}");
    drop((view, fleet));

    // A host that was there when each of them was deployed knows no more of it.
    let store = Store::open(&settings).await.unwrap();
    let copy = folder.path().join("other.json");
    let fleet = Fleet::new("host-none".parse().unwrap(), store, Peers::new(None), copy);
    let changes = told_one_by_one(&seen);
    let before = ALLOCATOR.allocated();
    for changes in &changes {
        fleet.apply(changes);
    }
    let each = ALLOCATOR.allocated().saturating_sub(before) / APPS;
    println!("{each} bytes where apps came one by one");
    assert_eq!(fleet.view().apps().count(), APPS);
    assert!(each <= MOST, "{each} bytes for each app, more than {MOST}");
    drop((changes, seen, fleet));
    check_databases(folder.path());
}

/// Apps that are loaded and name a database, and nobody calls.
fn check_databases(folder: &Path) {
    const LOADED: usize = 1_000;
    const MOST_EACH: usize = 2 << 10;
    let databases = Databases::new(folder, Bytes::mebi(64));
    let before = ALLOCATOR.allocated();
    let of_app = |number: usize| {
        let app = format!("app-{number:06}").parse().unwrap();
        let owner = DatabaseOwner { tenant: "tenant".parse().unwrap(), app };
        Arc::new(databases.of_app(owner, ["default".parse().unwrap()]))
    };
    let all: Vec<_> = (0..LOADED).map(of_app).collect();
    let each = ALLOCATOR.allocated().saturating_sub(before) / all.len();
    println!("{each} bytes for each app that names a database");
    assert!(each <= MOST_EACH, "{each} bytes for each app, more than {MOST_EACH}");
}
