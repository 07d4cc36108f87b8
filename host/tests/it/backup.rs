//! Backups of a host that runs, and data folders made of them; and what a host says of a data folder
//! that was copied in another way.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use steerage::store::{Commit, Write};

use crate::etcd::Etcd;
use crate::fleet::Fleet;
use crate::harness::{Host, OWN_CODE, manifest, run, says};

/// Restores a backup into a folder; what was said.
fn restore(file: &Path, data: &Path) -> crate::harness::Said {
    run(&["restore", file.to_str().unwrap(), "--data", data.to_str().unwrap()])
}

fn start_refused(data: &Path) -> String {
    let data = data.to_str().unwrap();
    let said = run(&["host", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", data]);
    assert_eq!(said.code, 1, "{said:?}");
    said.stderr
}

/// Where a backup goes, in a folder of its own.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

#[tokio::test]
async fn a_host_that_is_lost_comes_back_from_its_backup() {
    let (place, mut host) = (Place::new(), Host::start());
    let secret = "[env]\nPASSWORD = \"hunter2\"";
    host.serve("web", &says("first"), "").await;
    host.serve("web", &says("second"), secret).await;
    host.serve("web", &says("third"), "").await;
    host.run(&["rollback", "web"]).done();
    host.serve("gone", &says("gone"), "").await;
    host.run(&["remove", "gone", "-y"]).done();
    // Two apps of one component.
    host.serve("twin", &says("second"), "[replicas]\nmax = 4").await;
    // What no ledger holds.
    host.run(&["scale", "twin", "3"]).done();
    host.run(&["fleet", "freeze", "--why", "moving"]).done();
    let file = place.path("host.backup");
    let words = ["backup", file.to_str().unwrap(), "-o", "json"];
    let told = host.run(&words).done().json();
    assert_eq!((&told["apps"], &told["deployments"]), (&json!(2), &json!(4)), "{told}");
    assert_eq!(told["components"].as_array().unwrap().len(), 3, "{told}");
    assert_eq!(told["left_out"], json!([]));
    let made_at: jiff::Timestamp = told["made_at"].as_str().unwrap().parse().unwrap();
    assert!(made_at <= jiff::Timestamp::now(), "{told}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 1, "nothing is left beside it");
    // Any tar reads it.
    let listed = Command::new("tar").arg("-tf").arg(&file).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.starts_with("manifest.json\nledger.jsonl\nstore.jsonl\ncomponents/"),
        "{listed}"
    );
    // What came after the backup is lost with the host.
    host.serve("web", &says("lost"), "").await;
    host.kill();
    drop(host);

    let data = place.path("data");
    restore(&file, &data).done();
    let mut host = Host::on(&data, &[OWN_CODE]);
    assert_eq!(host.get("/web/").await.text(), "second");
    assert_eq!(host.get("/twin/").await.text(), "second");
    assert_eq!(host.get("/gone/").await.status, 404);
    let replicas = host.admin("GET", "/v1/apps/twin/replicas", "").await.json();
    assert_eq!(replicas["min"], 3, "{replicas}");
    assert_eq!(host.admin("GET", "/v1/plan", "").await.json()["frozen"]["why"], "moving");
    let shown = host.run(&["show", "web", "-o", "json"]).done().json();
    let kept = shown["deployments"].as_array().unwrap();
    let kept: Vec<_> = kept.iter().map(|one| one["generation"].as_u64().unwrap()).collect();
    assert_eq!((kept, &shown["generation"]), (vec![3, 2, 1], &json!(2)), "{shown}");
    // The fourth was given after the backup, and the first of `gone` before it.
    for (app, most) in [("web", 4), ("gone", 1)] {
        let path = format!("/{app}/...");
        let next = host.deploy(&says("next"), &manifest(app, &path, "")).await;
        assert!(next["generation"].as_u64().unwrap() > most, "{next}");
    }
    host.run(&["rollback", "web", "--to", "3"]).done();
    assert_eq!(host.get("/web/").await.text(), "third");
    for folder in [&data, &data.join("blobs")] {
        assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o077, 0);
    }
    host.kill();
}

#[tokio::test]
async fn backups_under_deploys_and_removals_are_whole() {
    let (place, host) = (Place::new(), Host::start());
    for n in 0..4 {
        host.serve(&format!("app{n}"), &says(&format!("{n}")), "").await;
    }
    let admin = format!("http://{}", host.admin);
    let backups: Vec<PathBuf> = (0..6).map(|n| place.path(&format!("{n}.backup"))).collect();
    let files = backups.clone();
    let taking = tokio::task::spawn_blocking(move || {
        for file in files {
            run(&["backup", file.to_str().unwrap(), "--admin", &admin]).done();
        }
    });
    for n in 0.. {
        if taking.is_finished() {
            break;
        }
        let app = format!("app{}", n % 4);
        host.admin("DELETE", &format!("/v1/apps/{app}"), "").await;
        host.serve(&app, &says(&format!("{app} {n}")), "").await;
    }
    taking.await.unwrap();
    for (n, file) in backups.iter().enumerate() {
        let data = place.path(&format!("data{n}"));
        let told = run(&[
            "restore",
            file.to_str().unwrap(),
            "--data",
            data.to_str().unwrap(),
            "-o",
            "json",
        ]);
        let told = told.done().json();
        assert_eq!(told["left_out"], json!([]), "{told}");
        let apps = told["apps"].as_u64().unwrap();
        assert!(apps >= 3, "{told}");
        let blobs = fs::read_dir(data.join("blobs")).unwrap().count();
        assert_eq!(blobs, told["components"].as_array().unwrap().len());
    }
    // What was removed while it was copied is gone all the same.
    let used = host.admin("GET", "/v1/apps", "").await.json()["apps"].as_array().unwrap().len();
    host.until("blobs of the apps that are left", || async {
        (fs::read_dir(host.data.join("blobs")).unwrap().count() == used).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_backup_that_is_not_whole_is_refused_and_changes_nothing() {
    let (place, host) = (Place::new(), Host::start());
    host.serve("web", &says("web"), "").await;
    host.serve("other", &says("other"), "").await;
    let file = place.path("a.backup");
    host.run(&["backup", file.to_str().unwrap()]).done();
    let again = host.run(&["backup", file.to_str().unwrap()]);
    assert_eq!(again.code, 4, "{again:?}");
    assert!(again.stderr.contains("is there already"), "{again:?}");
    let whole = fs::read(&file).unwrap();
    let data = place.path("data");
    let refused = |bytes: &[u8], code: i32, word: &str| {
        let bad = place.path("bad.backup");
        fs::write(&bad, bytes).unwrap();
        let said = restore(&bad, &data);
        assert_eq!(said.code, code, "{said:?}");
        assert!(said.stderr.contains(word), "no {word:?} in {said:?}");
        assert!(!data.exists() || fs::read_dir(&data).unwrap().count() == 0, "{word}");
    };
    for at in [700, 2000, whole.len() / 2, whole.len() - 1500] {
        refused(&whole[..at], 1, "is damaged");
    }
    // Every file in it, and what stands between them.
    for at in (600..whole.len()).step_by(1021) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        let bad = Place::new();
        fs::write(bad.path("bad"), &changed).unwrap();
        let said = restore(&bad.path("bad"), &bad.path("data"));
        // Blanks between files and in the manifest mean nothing.
        if said.code == 0 {
            let host = Host::on(&bad.path("data"), &[]);
            assert_eq!(host.get("/web/").await.text(), "web", "{at}");
            assert_eq!(host.get("/other/").await.text(), "other", "{at}");
        }
    }
    let longer = [whole.as_slice(), b"more"].concat();
    refused(&longer, 1, "more in it than it lists");
    refused(b"", 4, "is no backup of a host");
    refused(&says("a component"), 4, "is no backup of a host");
    let newer = String::from_utf8_lossy(&whole[..1000]).find("\"format\": 2").unwrap();
    let mut changed = whole.clone();
    changed[newer + 10] = b'9';
    refused(&changed, 4, "written by a newer steerage");
    // A folder that holds anything is left alone.
    let said = restore(&file, &host.data);
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.stderr.contains("is not empty"), "{said:?}");
    assert_eq!(host.get("/web/").await.text(), "web");
    // What a restore left that was killed, and what a file system makes, do not count.
    fs::create_dir_all(data.join("restoring/blobs")).unwrap();
    fs::create_dir_all(data.join("lost+found")).unwrap();
    let said = start_refused(&data);
    assert!(said.contains("did not end") && said.contains("steerage restore"), "{said}");
    restore(&file, &data).done();
    assert!(!data.join("restoring").exists());
    assert_eq!(Host::on(&data, &[]).get("/web/").await.text(), "web");
}

#[tokio::test]
async fn what_a_host_cannot_read_is_left_out_of_its_backup_and_told() {
    let (place, host) = (Place::new(), Host::start());
    host.serve("web", &says("web"), "").await;
    host.serve("bad", &says("bad"), "").await;
    let digest = crate::harness::digest(&says("bad"));
    let blob = host.data.join("blobs").join(digest.strip_prefix("sha256:").unwrap());
    fs::write(blob, "rotten").unwrap();
    let file = place.path("a.backup");
    let said = host.run(&["backup", file.to_str().unwrap()]);
    assert_eq!(said.code, 1, "whoever has it taken at night hears of it: {said:?}");
    for told in ["a component of bad: ", "lacks 1 part that"] {
        assert!(said.stderr.contains(told), "{told}: {said:?}");
    }
    let data = place.path("data");
    assert!(restore(&file, &data).done().stderr.contains("a component of bad: "));
    let host = Host::on(&data, &[OWN_CODE]);
    assert_eq!(host.get("/web/").await.text(), "web");
    assert!(host.get("/bad/").await.status.is_server_error());
}

#[tokio::test]
async fn a_data_folder_copied_badly_says_what_to_do_without_a_backtrace() {
    let place = Place::new();
    let mut host = Host::start();
    for n in 0..8 {
        host.serve("web", &says(&format!("{n}")), "").await;
    }
    let ledger = host.data.join("steerage.redb");
    let early = fs::read(&ledger).unwrap();
    for n in 0..60 {
        let more = format!("[env]\nTEXT = \"{}\"", "x".repeat(2000));
        host.serve(&format!("app{n}"), &says("app"), &more).await;
    }
    let late = fs::read(&ledger).unwrap();
    host.kill();
    // As a slow copier reads it: some pages from before, some from after; or not all of it.
    let torn = [&early[..8192], &late[8192..]].concat();
    let mixed = [&late[..8192], &early[8192..], &late[early.len().min(late.len())..]].concat();
    let data = place.path("data");
    let mut n_refused = 0;
    for (what, bytes) in
        [("torn", torn), ("mixed", mixed), ("short", late[..late.len() / 3].to_vec())]
    {
        drop(fs::remove_dir_all(&data));
        fs::create_dir_all(data.join("blobs")).unwrap();
        fs::write(data.join("steerage.redb"), bytes).unwrap();
        let d = data.to_str().unwrap();
        let check = Command::new("timeout")
            .args(["-s", "KILL", "10"])
            .arg(env!("CARGO_BIN_EXE_steerage"))
            .args(["host", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", d])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(!said.contains("panicked"), "{what}: {said}");
        if check.status.code() == Some(1) {
            n_refused += 1;
            for word in ["steerage backup", "steerage restore", d] {
                assert!(said.contains(word), "{what}: no {word:?} in {said}");
            }
        }
    }
    assert!(n_refused > 0);
    fs::write(data.join("steerage.redb"), "no ledger").unwrap();
    assert!(start_refused(&data).contains("steerage restore"));
}

#[tokio::test]
async fn a_restored_host_meets_a_store_that_knows_more_and_gives_no_number_twice() {
    let Some(etcd) = Etcd::start(1) else { return };
    drop(etcd.store().await);
    let (place, url) = (Place::new(), etcd.url());
    let data = place.path("original");
    let host = Host::on(&data, &[]);
    host.serve("web", &says("first"), "").await;
    let file = place.path("host.backup");
    host.run(&["backup", file.to_str().unwrap()]).done();
    host.serve("web", &says("second"), "").await;
    drop(host);
    // It brings its apps into an empty store, and is lost.
    let joined = Host::on(&data, &Fleet::flags(&url, "h1", &[]));
    let deployed = async |host: &Host, generation: u64| {
        host.until("generation", || async {
            let known = host.admin("GET", "/v1/apps/web", "").await.json();
            let replicas = host.admin("GET", "/v1/apps/web/replicas", "").await.json();
            (known["generation"] == generation && replicas["ready"] == 1).then_some(())
        })
        .await;
    };
    deployed(&joined, 2).await;
    joined.serve("web", &says("third"), "").await;
    drop(joined);

    let data = place.path("data");
    restore(&file, &data).done();
    let host = Host::on(&data, &Fleet::flags(&url, "h1", &[]));
    let trouble = host
        .until("trouble", || async {
            let hosts = host.admin("GET", "/v1/hosts", "").await.json();
            hosts["trouble"].as_str().map(str::to_owned)
        })
        .await;
    assert!(trouble.contains("steerage fleet adopt"), "{trouble}");
    assert_eq!(host.get("/web/").await.text(), "first");
    host.run(&["fleet", "adopt"]).done();
    host.until("a place in the fleet", || async {
        let hosts = host.admin("GET", "/v1/hosts", "").await.json();
        (hosts["trouble"].is_null() && hosts["store_answers"] == true).then_some(())
    })
    .await;
    let next = host.deploy(&says("fourth"), &manifest("web", "/web/...", "")).await;
    assert!(next["generation"].as_u64().unwrap() > 3, "{next}");
    assert_eq!(host.get("/web/").await.text(), "fourth");
}

#[tokio::test]
async fn a_fleet_that_is_lost_comes_back_from_a_snapshot_and_its_hosts_backups() {
    let Some(mut fleet) = Fleet::start(2).await else { return };
    let place = Place::new();
    for app in ["one", "two", "three"] {
        let text = manifest(app, &format!("/{app}/..."), "");
        fleet.first().deploy(&says(app), &text).await;
        fleet.ready_on(app, 1).await;
    }
    let files = ["h1", "h2"].map(|name| place.path(name));
    for (host, file) in fleet.hosts.iter().zip(&files) {
        host.run(&["backup", file.to_str().unwrap()]).done();
    }
    let snapshot = fleet.etcd.store().await.read("").await.unwrap();
    fleet.hosts.iter_mut().for_each(Host::kill);
    fleet.hosts.clear();
    drop(fleet);

    let Some(etcd) = Etcd::start(1) else { return };
    let store = etcd.store().await;
    for entry in snapshot.entries {
        // Leases are not in a snapshot's use: what hangs on them ends.
        if entry.key.starts_with("observed/") {
            continue;
        }
        let write = Write::Put { key: entry.key, value: entry.value, lease: None };
        store.commit(Commit { guards: Vec::new(), writes: vec![write] }).await.unwrap();
    }
    let url = etcd.url();
    let mut hosts = Vec::new();
    for (name, file) in ["h1", "h2"].iter().zip(&files) {
        let data = place.path(&format!("data-{name}"));
        restore(file, &data).done();
        hosts.push(Host::on(&data, &Fleet::flags(&url, name, &[])));
    }
    for host in &hosts {
        for app in ["one", "two", "three"] {
            host.until(app, || async {
                let reply = host.get(&format!("/{app}/")).await;
                (reply.status == 200).then(|| assert_eq!(reply.text(), app))
            })
            .await;
        }
    }
    let next = hosts[0].deploy(&says("next"), &manifest("one", "/one/...", "")).await;
    assert!(next["generation"].as_u64().unwrap() > 1, "{next}");
}
