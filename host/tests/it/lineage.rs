//! Which store a host follows: one that is empty, another fleet's, or restored from earlier takes
//! nothing from it, and operators say what shall become of it. What is not seen is not removed.

use std::fs;

use serde_json::{Value, json};
use steerage::store::{Commit, Store, Write};

use crate::etcd::{self, Etcd};
use crate::fleet::Fleet;
use crate::fleet_liveness::reads_what_it_missed;
use crate::harness::{Host, digest, manifest, run_in, says};

fn everywhere(app: &str) -> String {
    manifest(app, &format!("/{app}/..."), "[replicas]\nmin = 2\nmax = 2")
}

fn put(key: &str, value: &[u8]) -> Write {
    Write::Put { key: key.to_owned(), value: value.to_vec(), lease: None }
}

async fn commit(store: &Store, writes: Vec<Write>) {
    for batch in writes.chunks(100) {
        let commit = Commit { guards: Vec::new(), writes: batch.to_vec() };
        store.commit(commit).await.unwrap();
    }
}

/// Deletes everything, as `etcdctl del --prefix` does.
async fn empty(store: &Store) {
    let seen = store.read("").await.unwrap();
    commit(store, seen.entries.into_iter().map(|entry| Write::Delete(entry.key)).collect()).await;
}

/// What outlives hosts, as a backup holds it.
async fn backup(store: &Store) -> Vec<Write> {
    let entries = store.read("").await.unwrap().entries.into_iter();
    let lasting = entries.filter(|entry| !entry.key.starts_with("observed/"));
    lasting.map(|entry| put(&entry.key, &entry.value)).collect()
}

/// An event of this kind whose message has these words.
async fn event(host: &Host, kind: &str, words: &str) -> Value {
    host.until(&format!("{kind} with {words:?}"), || async {
        let events = host.admin("GET", "/v1/events?limit=1000", "").await.json();
        let events = events["events"].as_array()?.clone();
        events.into_iter().find(|event| {
            event["kind"] == kind && event["message"].as_str().unwrap().contains(words)
        })
    })
    .await
}

async fn registered(host: &Host) {
    host.until("registration", || async {
        let hosts = host.admin("GET", "/v1/hosts", "").await.json();
        let is_there = hosts["trouble"].is_null() && hosts["store_answers"] == true;
        let me = hosts["asked"].clone();
        let all = hosts["hosts"].as_array()?;
        (is_there && all.iter().any(|host| host["host"] == me && host["state"] == "answers"))
            .then_some(())
    })
    .await;
}

/// Waits until a host itself serves this generation of an app, which is in its ledger then.
async fn knows(host: &Host, app: &str, generation: u64) {
    host.until("what it follows", || async {
        let known = host.admin("GET", &format!("/v1/apps/{app}"), "").await;
        (known.json()["generation"] == generation).then_some(())
    })
    .await;
}

/// Waits until every host answers with this: a busy machine may take longer than a deploy waits.
async fn all_come_to_say(fleet: &Fleet, path: &str, text: &str) {
    for host in &fleet.hosts {
        host.until(&format!("{text:?} at {path}"), || async {
            (host.get(path).await.text() == text).then_some(())
        })
        .await;
    }
}

fn n_components(host: &Host) -> usize {
    fs::read_dir(host.data.join("blobs")).unwrap().count()
}

#[tokio::test]
async fn an_emptied_store_takes_nothing_away_and_an_import_brings_all_back() {
    let Some(fleet) = Fleet::start(2).await else { return };
    fleet.first().deploy(&says("hello"), &everywhere("hello")).await;
    fleet.ready_on("hello", 2).await;
    fleet.all_answer("/hello/", "hello").await;
    let store = fleet.etcd.store().await;
    empty(&store).await;
    for host in &fleet.hosts {
        let told = event(host, "not_registered", "the store holds no fleet").await;
        assert!(told["advice"].as_str().unwrap().contains("steerage fleet import"), "{told}");
    }
    fleet.all_answer("/hello/", "hello").await;
    for host in &fleet.hosts {
        // It serves on, and says what is wrong.
        let ready = host.admin("GET", "/readyz", "").await;
        assert_eq!(ready.status, 200);
        assert!(ready.text().contains("does not follow the store"), "{}", ready.text());
        let refused = host.try_deploy(&says("new"), &everywhere("hello")).await;
        assert_eq!((refused.status.as_u16(), refused.cause()), (503, "not_registered".to_owned()));
        let refused = host.admin("DELETE", "/v1/apps/hello", "").await;
        assert_eq!((refused.status.as_u16(), refused.cause()), (503, "not_registered".to_owned()));
        assert!(n_components(host) > 0);
    }
    let said = fleet.hosts[1].run(&["hosts"]).done();
    assert!(said.stderr.contains("steerage fleet import"), "{said:?}");
    assert!(store.read("").await.unwrap().entries.is_empty());

    let said = fleet.first().run(&["fleet", "import"]).done();
    assert!(said.stdout.contains("hello"), "{said:?}");
    for host in &fleet.hosts {
        registered(host).await;
    }
    fleet.ready_on("hello", 2).await;
    fleet.all_answer("/hello/", "hello").await;
    let deployed = fleet.first().deploy(&says("new"), &everywhere("hello")).await;
    assert_eq!(deployed["generation"], 2);
    fleet.ready_on("hello", 2).await;
    // And what is removed is removed.
    assert_eq!(fleet.hosts[1].admin("DELETE", "/v1/apps/hello", "").await.status, 204);
    for host in &fleet.hosts {
        host.until("removal", || async {
            (host.get("/hello/").await.status == 404 && n_components(host) == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_host_that_was_alone_brings_its_apps_along() {
    let Some(etcd) = Etcd::start(1) else { return };
    let store = etcd.store().await;
    let folder = tempfile::tempdir().unwrap();
    let mut alone = Host::on(folder.path(), &[]);
    alone.serve("hello", &says("one"), "").await;
    alone.serve("hello", &says("hello"), "").await;
    alone.serve("other", &says("other"), "").await;
    alone.kill();
    let url = etcd.url();
    let host = Host::on(folder.path(), &Fleet::flags(&url, "h1", &[]));
    event(&host, "fleet_imported", "2 apps").await;
    registered(&host).await;
    assert_eq!(host.get("/hello/").await.text(), "hello");
    // Another host hears of them.
    let second = Host::with(&Fleet::flags(&url, "h2", &[]));
    for (path, text) in [("/hello/", "hello"), ("/other/", "other")] {
        second
            .until("answer", || async {
                let reply = second.get(path).await;
                (reply.status == 200).then(|| assert_eq!(reply.text(), text))
            })
            .await;
    }
    let rolled_back = second.admin("POST", "/v1/apps/hello/rollback", "{}").await;
    assert_eq!(rolled_back.status, 200, "{}", rolled_back.text());
    let deployed = second.deploy(&says("three"), &manifest("hello", "/hello/...", "")).await;
    assert_eq!(deployed["generation"], 3);
    drop(store);
}

#[tokio::test]
async fn a_host_that_is_pointed_at_another_store_waits_for_its_operator() {
    let Some(mut fleet) = Fleet::start(1).await else { return };
    fleet.first().deploy(&says("hello"), &manifest("hello", "/hello/...", "")).await;
    let (url, folder) = (fleet.etcd.url(), tempfile::tempdir().unwrap());
    let mut host = Host::on(folder.path(), &Fleet::flags(&url, "h2", &[]));
    fleet.answers(&host, 2).await;
    // It may answer through the other one before it knows the app, and before it has written it down.
    knows(&host, "hello", 1).await;
    host.ends_in_time();
    // One letter is wrong.
    let mistyped = format!("{url}/steerag");
    let mut host = Host::on(folder.path(), &Fleet::flags(&mistyped, "h2", &[]));
    event(&host, "not_registered", "the store holds no fleet").await;
    assert_eq!(host.get("/hello/").await.text(), "hello");
    host.kill();
    // Another fleet is in it.
    let other = Host::with(&Fleet::flags(&mistyped, "h9", &[]));
    registered(&other).await;
    other.deploy(&says("other"), &manifest("hello", "/hello/...", "")).await;
    let mut host = Host::on(folder.path(), &Fleet::flags(&mistyped, "h2", &[]));
    let told = event(&host, "not_registered", "this host belongs to fleet").await;
    assert!(told["advice"].as_str().unwrap().contains("steerage fleet adopt"), "{told}");
    assert_eq!(host.get("/hello/").await.text(), "hello");
    assert_eq!(
        other.admin("GET", "/v1/hosts", "").await.json()["hosts"].as_array().unwrap().len(),
        1
    );
    host.kill();
    // The right one again.
    let mut host = Host::on(folder.path(), &Fleet::flags(&url, "h2", &[]));
    registered(&host).await;
    assert_eq!(host.get("/hello/").await.text(), "hello");
    host.kill();
    // And the other one on purpose.
    let host = Host::on(folder.path(), &Fleet::flags(&mistyped, "h2", &[]));
    event(&host, "not_registered", "this host belongs to fleet").await;
    host.run(&["fleet", "adopt"]).done();
    registered(&host).await;
    host.until("the other fleet's app", || async {
        (host.get("/hello/").await.text() == "other").then_some(())
    })
    .await;
    fleet.hosts.clear();
}

#[tokio::test]
async fn a_copy_of_the_fleet_that_is_late_takes_no_app_back() {
    let Some(mut fleet) = Fleet::start(0).await else { return };
    let (folder, url) = (tempfile::tempdir().unwrap(), fleet.etcd.url());
    let flags = Fleet::flags(&url, "h1", &[]);
    let copy = folder.path().join("fleet.json");
    fleet.hosts.push(Host::on(folder.path(), &flags));
    registered(fleet.first()).await;
    fleet.first().deploy(&says("first"), &everywhere("app")).await;
    let late = fleet
        .first()
        .until("the first in the copy", || async {
            let text = fs::read(&copy).ok()?;
            let known: Value = serde_json::from_slice(&text).ok()?;
            (known["apps"]["app"]["generation"] == 1).then_some(text)
        })
        .await;
    fleet.first().deploy(&says("second"), &everywhere("app")).await;
    knows(fleet.first(), "app", 2).await;
    // A host that is lost before it has written its copy, and that starts without the store.
    fleet.hosts[0].kill();
    fs::write(&copy, late).unwrap();
    fleet.etcd.kill(0);
    fleet.hosts[0] = Host::on(folder.path(), &flags);
    event(fleet.first(), "store_away", "").await;
    for _ in 0..100 {
        assert_eq!(fleet.first().get("/app/").await.text(), "second");
    }
    // What the store says counts again once it says anything.
    fleet.etcd.run(0);
    registered(fleet.first()).await;
    fleet.first().run(&["rollback", "app", "--to", "1"]).done();
    fleet
        .first()
        .until("the first again", || async {
            (fleet.first().get("/app/").await.text() == "first").then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_restored_store_is_followed_when_an_operator_says_so_and_gives_no_number_twice() {
    let Some(mut fleet) = Fleet::start(0).await else { return };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let start = |url: &str| {
        let hosts = folders.iter().zip(["h1", "h2"]);
        hosts.map(|(folder, name)| Host::on(folder.path(), &Fleet::flags(url, name, &[]))).collect()
    };
    fleet.hosts = start(&fleet.etcd.url());
    fleet.answers(fleet.first(), 2).await;
    fleet.first().deploy(&says("kept"), &everywhere("app")).await;
    let kept = backup(&fleet.etcd.store().await).await;
    fleet.first().deploy(&says("lost"), &everywhere("app")).await;
    fleet.first().deploy(&says("young"), &everywhere("young")).await;
    fleet.ready_on("app", 2).await;
    all_come_to_say(&fleet, "/app/", "lost").await;
    fleet.all_answer("/young/", "young").await;
    // A host may answer through the other one before it has written down what it follows.
    for host in &fleet.hosts {
        knows(host, "app", 2).await;
        knows(host, "young", 1).await;
    }
    fleet.hosts.iter_mut().for_each(Host::kill);

    fleet.etcd = Etcd::start(1).unwrap();
    let store = fleet.etcd.store().await;
    commit(&store, kept).await;
    fleet.hosts = start(&fleet.etcd.url());
    for host in &fleet.hosts {
        event(host, "not_registered", "the store").await;
    }
    all_come_to_say(&fleet, "/app/", "lost").await;
    fleet.first().run(&["fleet", "adopt"]).done();
    for host in &fleet.hosts {
        registered(host).await;
    }
    // The store says what is served; what it does not know stays.
    for host in &fleet.hosts {
        host.until("what was restored", || async {
            (host.get("/app/").await.text() == "kept").then_some(())
        })
        .await;
        event(host, "not_in_store", "young").await;
        assert_eq!(host.get("/young/").await.text(), "young");
    }
    fleet.hosts[1].run(&["fleet", "import"]).done();
    fleet.ready_on("young", 2).await;
    // A host without any past deploys: the number is new all the same.
    fleet.hosts.push(Host::with(&Fleet::flags(&fleet.etcd.url(), "h3", &[])));
    registered(&fleet.hosts[2]).await;
    let deployed = fleet.hosts[2].deploy(&says("new"), &everywhere("app")).await;
    assert_eq!(deployed["generation"], 3);
    fleet.ready_on("app", 2).await;
    all_come_to_say(&fleet, "/app/", "new").await;
}

#[tokio::test]
async fn one_number_means_one_program_even_where_it_was_given_twice() {
    let Some(mut fleet) = Fleet::start(2).await else { return };
    let store = fleet.etcd.store().await;
    fleet.first().deploy(&says("kept"), &everywhere("app")).await;
    let kept = backup(&store).await;
    fleet.first().deploy(&says("lost"), &everywhere("app")).await;
    fleet.ready_on("app", 2).await;
    all_come_to_say(&fleet, "/app/", "lost").await;
    // Written back by hand: nothing shows that it is older.
    commit(&store, kept).await;
    fleet.hosts.push(Host::with(&Fleet::flags(&fleet.etcd.url(), "h3", &[])));
    registered(&fleet.hosts[2]).await;
    let deployed = fleet.hosts[2].deploy(&says("new"), &everywhere("app")).await;
    assert_eq!(deployed["generation"], 2);
    for host in &fleet.hosts {
        host.until("the deployment that is wanted", || async {
            (host.get("/app/").await.text() == "new").then_some(())
        })
        .await;
    }
    fleet.ready_on("app", 2).await;
    for host in &fleet.hosts {
        let replies = (0..5).map(|_| host.get("/app/"));
        for reply in replies {
            assert_eq!(reply.await.text(), "new");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_or_is_not_there_is_neither_removed_nor_moved() {
    let Some(mut fleet) = Fleet::start(0).await else { return };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let url = fleet.etcd.url();
    let start = || -> Vec<Host> {
        let hosts = folders.iter().zip(["h1", "h2"]);
        hosts
            .map(|(folder, name)| Host::on(folder.path(), &Fleet::flags(&url, name, &[])))
            .collect()
    };
    fleet.hosts = start();
    fleet.answers(fleet.first(), 2).await;
    for app in ["bad", "newer", "gone"] {
        fleet.first().deploy(&says(app), &everywhere(app)).await;
        fleet.ready_on(app, 2).await;
        fleet.all_answer(&format!("/{app}/"), app).await;
    }
    let store = fleet.etcd.store().await;
    let before = store.read("assigned/").await.unwrap().entries;
    let whole = store.get("desired/apps/bad").await.unwrap().unwrap().value;
    let writes = vec![
        put("desired/apps/bad", b"{\"v\": 1, \"gener"),
        put("desired/apps/newer", br#"{"v": 99, "wonders": true}"#),
        Write::Delete("desired/apps/gone".to_owned()),
    ];
    commit(&store, writes).await;
    let mut raw = etcd_client::Client::connect([fleet.etcd.address(0)], None).await.unwrap();
    raw.put(&b"/steerage/observed/\xff"[..], "not ours", None).await.unwrap();
    event(fleet.first(), "not_in_store", "gone").await;
    // All is read anew.
    fleet.hosts.iter_mut().for_each(Host::kill);
    fleet.hosts = start();
    for host in &fleet.hosts {
        registered(host).await;
        event(host, "bad_record", "desired/apps/bad").await;
        event(host, "bad_record", "a key in the store is no text").await;
        event(host, "not_in_store", "gone").await;
    }
    for app in ["bad", "newer", "gone"] {
        fleet.all_answer(&format!("/{app}/"), app).await;
    }
    let placed = |entries: &[steerage::store::Entry]| -> Vec<(String, Vec<u8>)> {
        entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
    };
    fleet.answers(fleet.first(), 2).await;
    fleet
        .first()
        .until("places as before", || async {
            let after = store.read("assigned/").await.unwrap().entries;
            (placed(&after) == placed(&before)).then_some(())
        })
        .await;
    // A host that knows nothing of them removes nothing either.
    let third = Host::with(&Fleet::flags(&url, "a0", &[]));
    registered(&third).await;
    third.deploy(&says("next"), &manifest("next", "/next/...", "")).await;
    assert_eq!(store.read("assigned/").await.unwrap().entries.len(), before.len() + 1);
    // It is mended, and what has vanished can be removed.
    commit(&store, vec![put("desired/apps/bad", &whole)]).await;
    let deployed = fleet.first().deploy(&says("mended"), &everywhere("bad")).await;
    assert_eq!(deployed["generation"], 2);
    all_come_to_say(&fleet, "/bad/", "mended").await;
    assert_eq!(fleet.first().admin("DELETE", "/v1/apps/gone", "").await.status, 204);
    for host in &fleet.hosts {
        host.until("removal", || async { (host.get("/gone/").await.status == 404).then_some(()) })
            .await;
    }
}

#[tokio::test]
async fn a_copied_data_folder_is_refused_and_a_lost_record_is_written_again() {
    let Some(fleet) = Fleet::start(2).await else { return };
    let copy = tempfile::tempdir().unwrap();
    fs::copy(fleet.hosts[1].data.join("host-id"), copy.path().join("host-id")).unwrap();
    let url = fleet.etcd.url();
    let clone = Host::on(copy.path(), &Fleet::flags(&url, "h2", &[]));
    let told = event(&clone, "not_registered", "a copy of this host's data folder").await;
    assert!(told["message"].as_str().unwrap().contains("127.0.0.1:"), "{told}");
    assert!(told["advice"].as_str().unwrap().contains("host-id"), "{told}");
    registered(&fleet.hosts[1]).await;
    drop(clone);

    let store = fleet.etcd.store().await;
    let key = "observed/hosts/h2";
    let own = store.get(key).await.unwrap().unwrap().value;
    let dead: Value = serde_json::from_slice(&own).unwrap();
    let mut dead = dead;
    (dead["run"], dead["address"]) = (json!(7), json!("127.0.0.1:1"));
    let mut n_read = 0.0;
    for (write, how) in [
        (Write::Delete(key.to_owned()), "has vanished"),
        (put(key, dead.to_string().as_bytes()), "was overwritten by a host at 127.0.0.1:1"),
        (put(key, b"{"), "was overwritten: observed/hosts/h2 is damaged"),
    ] {
        commit(&store, vec![write]).await;
        event(&fleet.hosts[1], "record_lost", how).await;
        fleet.hosts[1]
            .until("its own record", || async {
                let now = store.get(key).await.unwrap()?;
                (now.value == own).then_some(())
            })
            .await;
        // It had no place meanwhile: others may have taken it.
        n_read = reads_what_it_missed(&fleet.hosts[1], n_read).await;
    }
    fleet.answers(fleet.first(), 2).await;
}

#[tokio::test]
async fn two_fleets_in_one_store_do_not_hear_of_each_other() {
    let Some(etcd) = Etcd::start(1) else { return };
    drop(etcd.store().await);
    let url = etcd.url();
    let hosts = [
        Host::with(&Fleet::flags(&url, "h1", &[])),
        Host::with(&Fleet::flags(&url, "h1", &["--fleet", "blue"])),
        Host::with(&Fleet::flags(&url, "h1", &["--fleet", "green"])),
    ];
    for (host, text) in hosts.iter().zip(["one", "blue", "green"]) {
        registered(host).await;
        host.deploy(&says(text), &manifest("app", "/app/...", "")).await;
    }
    for (host, text) in hosts.iter().zip(["one", "blue", "green"]) {
        assert_eq!(host.get("/app/").await.text(), text);
        let all = host.admin("GET", "/v1/hosts", "").await.json();
        assert_eq!(all["hosts"].as_array().unwrap().len(), 1, "{all}");
    }
}

#[tokio::test]
async fn a_host_of_another_authority_is_refused_with_the_reason() {
    let Some(etcd) = Etcd::start(1) else { return };
    let store = etcd.store().await;
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    for (authority, name) in [(&ours, "h1"), (&theirs, "h2")] {
        fs::create_dir(authority).unwrap();
        run_in(authority, &["cert", "init"]).done();
        run_in(authority, &["cert", "issue", name, "--address", "127.0.0.1"]).done();
    }
    let url = etcd.url();
    let start = |name: &str, identity: &std::path::Path| {
        let flags = ["--store", &url, "--name", name, "--peer", "127.0.0.1:0", "--identity"];
        Host::with(&[&flags[..], &[identity.to_str().unwrap()]].concat())
    };
    let first = start("h1", &ours.join("h1"));
    registered(&first).await;
    let second = start("h2", &theirs.join("h2"));
    let third = Host::with(&Fleet::flags(&url, "h3", &[]));
    for host in [&second, &third] {
        let told = event(host, "not_registered", "believe the authority").await;
        assert!(told["advice"].as_str().unwrap().contains("--fleet NAME"), "{told}");
        assert_eq!(host.admin("GET", "/readyz", "").await.status, 503);
        let said = host.run(&["fleet", "adopt"]);
        assert!(said.code != 0 && said.stderr.contains("steerage cert issue"), "{said:?}");
    }
    let registered = store.read("observed/hosts/").await.unwrap().entries;
    assert_eq!(registered.len(), 1);
}

#[tokio::test]
async fn the_password_of_the_store_is_not_taken_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--name", "h1", "--insecure-peers", "true", "--data", "data"];
    let said = run_in(
        folder.path(),
        &[&["host", "--store", "etcd://me:hunter2@127.0.0.1:1"][..], &flags[..]].concat(),
    );
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("--store-password-file"), "{said:?}");
    assert!(!said.stderr.contains("hunter2"), "{said:?}");
    for (store, words) in [
        ("etcd://me@127.0.0.1:1", "--store-password-file"),
        ("etcd://10.0.0.1:2379", "--insecure-store true"),
    ] {
        let said = run_in(folder.path(), &[&["host", "--store", store][..], &flags[..]].concat());
        assert!(said.code != 0 && said.stderr.contains(words), "{said:?}");
    }
    // A file is taken; that nothing is there is another matter.
    fs::write(folder.path().join("password"), "hunter2\n").unwrap();
    let settings = etcd::settings("etcd://me@127.0.0.1:1");
    assert_eq!(settings.user, Some(("me".to_owned(), String::new())));
    assert_ne!(digest(b"hunter2"), digest(b""));
}
