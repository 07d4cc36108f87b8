//! A host that is alone: what shall run is written into the store of its data folder and served in the
//! same turn. Data folders of hosts that had no such store, of hosts of fleets and of hosts that were killed
//! in between come into it whole, and nothing goes because it is not seen.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use steerage::ledger::Ledger;
use steerage::store::{Entry, Store};

use crate::etcd::Etcd;
use crate::fleet::Fleet;
use crate::harness::{Host, digest, manifest, says, wat};

fn plain(app: &str) -> String {
    manifest(app, &format!("/{app}/..."), "")
}

/// What the store of a host holds that has ended, below a prefix.
async fn stored(data: &Path, prefix: &str) -> Vec<Entry> {
    let folder = data.to_owned();
    let store = tokio::task::spawn_blocking(move || Store::embedded(&folder)).await.unwrap();
    store.unwrap().read(prefix).await.unwrap().entries
}

async fn keys(data: &Path, prefix: &str) -> Vec<String> {
    stored(data, prefix).await.into_iter().map(|entry| entry.key).collect()
}

/// The generations that an app can go back to, the latest first, and the one that is served.
async fn generations(host: &Host, app: &str) -> (Vec<u64>, u64) {
    let shown = host.admin("GET", &format!("/v1/apps/{app}"), "").await.json();
    let kept = shown["deployments"].as_array().unwrap_or_else(|| panic!("{shown}"));
    let kept = kept.iter().map(|one| one["generation"].as_u64().unwrap()).collect();
    (kept, shown["generation"].as_u64().unwrap())
}

async fn roll_back(host: &Host, app: &str, to: u64) -> Value {
    let body = json!({ "to": to }).to_string();
    host.admin("POST", &format!("/v1/apps/{app}/rollback"), body).await.json()
}

/// As a host of before had it: everything is in its ledger.
fn forget_store(data: &Path) {
    fs::remove_file(data.join("store.redb")).unwrap();
}

#[tokio::test]
async fn a_data_folder_without_a_store_is_taken_over_whole() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut host = Host::on(data, &[]);
    for text in ["one", "two", "three", "four"] {
        host.serve("web", &says(text), "").await;
    }
    assert_eq!(roll_back(&host, "web", 3).await["generation"], 3);
    host.serve("other", &says("other"), "").await;
    for text in ["once", "twice"] {
        host.serve("gone", &says(text), "").await;
    }
    assert_eq!(host.admin("DELETE", "/v1/apps/gone", "").await.status, 204);
    host.kill();
    forget_store(data);
    let mut host = Host::on(data, &[]);
    assert_eq!(host.get("/web/").await.text(), "three");
    // Whoever changes something waits until all is there.
    assert_eq!(roll_back(&host, "web", 1).await["generation"], 1);
    assert_eq!(generations(&host, "web").await, (vec![4, 3, 2, 1], 1));
    assert_eq!(host.get("/web/").await.text(), "one");
    assert_eq!(host.deploy(&says("five"), &plain("web")).await["generation"], 5);
    assert_eq!(host.deploy(&says("again"), &plain("gone")).await["generation"], 3);
    // Routes are whose they were.
    let refused = host.try_deploy(&says("thief"), &manifest("thief", "/other/...", "")).await;
    assert_eq!((refused.status.as_u16(), refused.cause()), (409, "route_conflict".to_owned()));
    host.kill();
    assert_eq!(
        keys(data, "desired/apps/").await,
        ["desired/apps/gone", "desired/apps/other", "desired/apps/web"]
    );
    assert_eq!(keys(data, "desired/deployments/web/").await.len(), 5);
    let last = stored(data, "desired/last/").await;
    let last: Vec<_> = last.iter().map(|entry| String::from_utf8_lossy(&entry.value)).collect();
    assert_eq!(last, ["3", "1", "5"]);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_in_ledger_and_store() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::on(folder.path(), &[]);
    for round in 1..=4_u64 {
        let text = format!("round {round}");
        let deployed = host.deploy(&says(&text), &plain("web")).await;
        host.kill();
        assert_eq!(deployed["generation"], round);
        host = Host::on(folder.path(), &[]);
        assert_eq!(host.get("/web/").await.text(), text);
    }
    assert_eq!(roll_back(&host, "web", 2).await["generation"], 2);
    host.kill();
    let mut host = Host::on(folder.path(), &[]);
    assert_eq!(host.get("/web/").await.text(), "round 2");
    assert_eq!(generations(&host, "web").await, (vec![4, 3, 2, 1], 2));
    assert_eq!(host.admin("DELETE", "/v1/apps/web", "").await.status, 204);
    host.kill();
    let mut host = Host::on(folder.path(), &[]);
    assert_eq!(host.get("/web/").await.status, 404);
    assert_eq!(host.deploy(&says("new"), &plain("web")).await["generation"], 5);
    host.kill();
}

#[tokio::test]
async fn a_deploy_that_was_written_down_before_a_kill_is_served_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, before) = (folder.path(), folder.path().join("before"));
    let ledger = data.join("steerage.redb");
    let mut host = Host::on(data, &[]);
    host.serve("web", &says("one"), "").await;
    host.kill();
    fs::copy(&ledger, &before).unwrap();
    let mut host = Host::on(data, &[]);
    host.serve("web", &says("two"), "").await;
    host.serve("new", &says("new"), "").await;
    host.kill();
    // As if the host had been killed before its ledger had them.
    fs::rename(&before, &ledger).unwrap();
    let host = Host::on(data, &[]);
    for (path, text) in [("/web/", "two"), ("/new/", "new")] {
        host.until("what was written down", || async {
            (host.get(path).await.text() == text).then_some(())
        })
        .await;
    }
    assert_eq!(generations(&host, "web").await, (vec![2, 1], 2));
}

#[tokio::test]
async fn what_a_host_without_a_store_did_meanwhile_counts() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut host = Host::on(data, &[]);
    for text in ["one", "two"] {
        host.serve("web", &says(text), "").await;
    }
    host.serve("gone", &says("gone"), "").await;
    host.kill();
    // An older host goes back, and removes.
    let ledger = Ledger::open(data).unwrap();
    ledger.set_current(&"web".parse().unwrap(), steerage_core::id::Generation::FIRST).unwrap();
    ledger.remove(&"gone".parse().unwrap()).unwrap();
    drop(ledger);
    let mut host = Host::on(data, &[]);
    assert_eq!(host.get("/web/").await.text(), "one");
    assert_eq!(host.get("/gone/").await.status, 404);
    assert_eq!(host.deploy(&says("three"), &plain("web")).await["generation"], 3);
    assert_eq!(roll_back(&host, "web", 2).await["generation"], 2);
    host.kill();
    assert_eq!(keys(data, "desired/apps/").await, ["desired/apps/web"]);
    assert_eq!(keys(data, "desired/removed/").await, ["desired/removed/gone"]);
}

#[tokio::test]
async fn a_refused_deploy_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut host = Host::on(data, &[]);
    host.serve("web", &says("web"), "").await;
    host.kill();
    let before = stored(data, "").await;
    let mut host = Host::on(data, &[]);
    let no_wasm = b"no wasm at all".to_vec();
    let wants_much = "[limits]\nmemory = \"1MiB\"";
    let large = wat(r#"(module (memory (export "memory") 64) (func (export "_start")))"#);
    for (what, wasm, text) in [
        ("a route of another app", says("thief"), manifest("thief", "/web/...", "")),
        ("no component", no_wasm, plain("none")),
        ("more memory than it may have", large, manifest("large", "/large/...", wants_much)),
        ("a manifest with a mistake", says("bad"), manifest("bad", "/bad/...", "[limits]\nx = 1")),
    ] {
        let refused = host.try_deploy(&wasm, &text).await;
        assert!(refused.status.is_client_error(), "{what}: {} {}", refused.status, refused.text());
    }
    let absent = host.admin("DELETE", "/v1/apps/none", "").await;
    assert_eq!(absent.status, 404);
    host.kill();
    assert_eq!(stored(data, "").await, before);
    let blobs = fs::read_dir(data.join("blobs")).unwrap().count();
    assert_eq!(blobs, 1);
}

#[tokio::test]
async fn a_host_goes_into_a_fleet_and_back_with_all_it_knows() {
    let Some(etcd) = Etcd::start(1) else { return };
    drop(etcd.store().await);
    let (folder, url) = (tempfile::tempdir().unwrap(), etcd.url());
    let data = folder.path();
    let more = "[replicas]\nmin = 1\nmax = 4";
    let text = |app: &str| manifest(app, &format!("/{app}/..."), more);
    let mut host = Host::on(data, &[]);
    host.deploy(&says("one"), &text("web")).await;
    host.deploy(&says("gone"), &text("gone")).await;
    host.deploy(&says("stays"), &text("stays")).await;
    let scaled = host.admin("PUT", "/v1/apps/stays/scale", r#"{"replicas": 3}"#).await;
    assert_eq!(scaled.status, 200, "{}", scaled.text());
    host.kill();
    let mut host = Host::on(data, &Fleet::flags(&url, "h1", &[]));
    let replicas = host.until("what was said while it was alone", || async {
        let told = host.admin("GET", "/v1/apps/stays/replicas", "").await;
        (told.status == 200).then(|| told.json())
    });
    assert_eq!(replicas.await["min"], 3);
    host.until("the fleet to take changes", || async {
        let reply = host.admin("DELETE", "/v1/apps/gone", "").await;
        (reply.status == 204).then_some(())
    })
    .await;
    assert_eq!(host.deploy(&says("two"), &text("web")).await["generation"], 2);
    host.deploy(&says("new"), &text("new")).await;
    host.until("the fleet's deployment", || async {
        (host.get("/web/").await.text() == "two").then_some(())
    })
    .await;
    host.kill();
    // Its own store is older than its ledger by now.
    let mut host = Host::on(data, &[]);
    for (app, said) in [("web", "two"), ("new", "new"), ("stays", "stays")] {
        assert_eq!(host.get(&format!("/{app}/")).await.text(), said);
    }
    assert_eq!(host.get("/gone/").await.status, 404);
    assert_eq!(roll_back(&host, "web", 1).await["generation"], 1);
    assert_eq!(host.deploy(&says("again"), &text("gone")).await["generation"], 2);
    host.kill();
    // And in the fleet again: nothing that it has goes because the fleet does not know it.
    let host = Host::on(data, &Fleet::flags(&url, "h1", &[]));
    assert_eq!(host.get("/gone/").await.text(), "again");
    assert_eq!(host.get("/stays/").await.text(), "stays");
}

#[tokio::test]
async fn what_speaks_of_fleets_speaks_of_one_host() {
    let host = Host::start();
    host.serve("web", &says("web"), "[replicas]\nmin = 1\nmax = 4").await;
    let hosts = host.admin("GET", "/v1/hosts", "").await.json();
    let all = hosts["hosts"].as_array().unwrap();
    assert_eq!(
        (all.len(), &all[0]["state"], &all[0]["replicas"]),
        (1, &json!("answers"), &json!(1))
    );
    let planned = host.admin("GET", "/v1/plan", "").await.json();
    assert_eq!((&planned["moves"], &planned["unplaced"]), (&json!([]), &json!([])), "{planned}");
    let with = host.admin("GET", "/v1/plan?with=2x4cpu,8GiB", "").await;
    assert_eq!(with.status, 200, "{}", with.text());
    let scaled = host.admin("PUT", "/v1/apps/web/scale", r#"{"replicas": 2}"#).await.json();
    assert_eq!((&scaled["wanted"], &scaled["ready"]), (&json!(2), &json!(1)), "{scaled}");
    let replicas = host.admin("GET", "/v1/apps/web/replicas", "").await.json();
    assert!(replicas["lacks"].as_str().is_some(), "{replicas}");
    // It outlives deploys whose manifest says the same, as in a fleet.
    host.serve("web", &says("new"), "[replicas]\nmin = 1\nmax = 4").await;
    let replicas = host.admin("GET", "/v1/apps/web/replicas", "").await.json();
    assert_eq!((&replicas["min"], &replicas["generation"]), (&json!(2), &json!(2)), "{replicas}");
    let frozen = host.admin("POST", "/v1/fleet/freeze", r#"{"why": "demo"}"#).await;
    assert_eq!(frozen.status, 200, "{}", frozen.text());
    let planned = host.admin("GET", "/v1/plan", "").await.json();
    assert_eq!(planned["frozen"]["why"], "demo", "{planned}");
    assert_eq!(host.admin("POST", "/v1/fleet/thaw", "").await.status, 200);
    assert_eq!(host.admin("GET", "/v1/plan", "").await.json()["frozen"], Value::Null);
    // What has nowhere to go stays, and that is said.
    let body = r#"{"standing": "draining"}"#;
    let refused = host.admin("PUT", "/v1/hosts/localhost/standing", body).await;
    assert_eq!((refused.status.as_u16(), refused.cause()), (404, "not_found".to_owned()));
    assert!(refused.text().contains("nowhere else to go"), "{}", refused.text());
    let adopted = host.admin("POST", "/v1/fleet/adopt", "").await;
    assert!(adopted.text().contains("this host is alone"), "{}", adopted.text());
    let imported = host.admin("POST", "/v1/fleet/import", "").await.json();
    assert_eq!((&imported["apps"], &imported["left_out"]), (&json!([]), &json!({})), "{imported}");
}

#[tokio::test]
async fn one_component_of_two_apps_stays_for_the_one_that_is_left() {
    let host = Host::start();
    let wasm = says("same");
    for app in ["one", "two"] {
        host.serve(app, &wasm, "").await;
    }
    assert_eq!(host.admin("DELETE", "/v1/apps/one", "").await.status, 204);
    let blob = host.data.join("blobs").join(digest(&wasm).trim_start_matches("sha256:"));
    assert!(blob.exists());
    assert_eq!(host.admin("DELETE", "/v1/apps/two", "").await.status, 204);
    assert!(!blob.exists());
}

#[tokio::test]
async fn a_damaged_store_is_made_anew_of_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let (data, store) = (folder.path(), folder.path().join("store.redb"));
    let mut host = Host::on(data, &[]);
    for text in ["one", "two"] {
        host.serve("web", &says(text), "").await;
    }
    host.kill();
    let whole = fs::read(&store).unwrap();
    let mut ends = whole.clone();
    ends.truncate(whole.len() / 2);
    for damaged in [b"no database".to_vec(), ends, vec![0xa5; whole.len()]] {
        fs::write(&store, damaged).unwrap();
        let mut host = Host::on(data, &[]);
        assert_eq!(host.get("/web/").await.text(), "two");
        let told = host
            .until("store_damaged", || async {
                let events = host.admin("GET", "/v1/events?limit=100", "").await.json();
                let events = events["events"].as_array()?.clone();
                events.into_iter().find(|event| event["kind"] == "store_damaged")
            })
            .await;
        assert!(told["message"].as_str().unwrap().contains("store.redb.damaged"), "{told}");
        assert_eq!(roll_back(&host, "web", 1).await["generation"], 1);
        assert_eq!(roll_back(&host, "web", 2).await["generation"], 2);
        host.kill();
    }
}
