//! What a fleet makes of bad input and bad luck: each is told with the next step, and the rest of the
//! fleet goes on. What comes of killed hosts and cut cables, `tests/fleet` shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use steerage::store::{Commit, Write};

use crate::fleet::Fleet;
use crate::harness::{Host, digest, manifest, run_in, says, wat};

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

fn one_replica(app: &str) -> String {
    manifest(app, &format!("/{app}/..."), "[replicas]\nmin = 1\nmax = 1")
}

async fn scale(host: &Host, app: &str, replicas: u32) {
    let body = json!({ "replicas": replicas }).to_string();
    let reply = host.admin("PUT", &format!("/v1/apps/{app}/scale"), body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

fn has(event: &Value, key: &str, words: &[&str]) {
    let text = event[key].as_str().unwrap();
    for word in words {
        assert!(text.contains(word), "no {word:?} in {event}");
    }
}

#[tokio::test]
async fn a_second_host_of_one_name_is_told_so_and_comes_in_when_the_first_has_gone() {
    let Some(mut fleet) = Fleet::start(2).await else { return };
    let url = fleet.etcd.url();
    let second = Host::with(&Fleet::flags(&url, "h2", &[]));
    let event = fleet.event(&second, "not_registered").await;
    has(&event, "message", &["another host named h2 is registered, from 127.0.0.1:", "zone h2"]);
    has(&event, "advice", &["another --name"]);
    let said = second.run(&["hosts"]).done();
    assert!(said.stderr.contains("another host named h2 is registered"), "{said:?}");
    // The fleet goes on without it.
    fleet.first().deploy(&says("hello"), &one_replica("hello")).await;
    fleet.all_answer("/hello/", "hello").await;
    // As `systemctl stop`: the first one gives its name back.
    fleet.hosts[1].signal("TERM");
    fleet.hosts[1].wait();
    second
        .until("registration", || async {
            let hosts = second.admin("GET", "/v1/hosts", "").await.json();
            hosts["trouble"].is_null().then_some(())
        })
        .await;
    fleet.hosts[1] = second;
    fleet.answers(fleet.first(), 2).await;
    fleet.all_answer("/hello/", "hello").await;
}

#[tokio::test]
async fn an_app_that_fits_no_host_says_what_it_lacks_and_is_served_all_the_same() {
    let Some(fleet) = Fleet::start(2).await else { return };
    let huge = |memory: &str| {
        manifest("huge", "/huge/...", &format!("[resources]\nmemory = \"{memory}\""))
    };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("huge.wasm"), says("here")).unwrap();
    fs::write(folder.path().join("steerage.toml"), huge("900GiB")).unwrap();
    let said = fleet.first().run_in(folder.path(), &["deploy"]);
    assert_eq!(said.code, 1, "it is durable, and runs nowhere: {said:?}");
    assert!(said.stderr.contains("no host has room for a replica of it"), "{said:?}");
    let lacks =
        ["huge is served as generation 1", "0 of 1 ready", "no room", "needs 10m cpu and 900GiB"];
    for words in lacks {
        assert!(said.stdout.contains(words), "no {words:?} in {said:?}");
    }
    fleet.all_answer("/huge/", "here").await;
    let event = fleet.event(fleet.first(), "no_room").await;
    has(
        &event,
        "message",
        &["huge: no room for 1 of its replicas", "of 2 hosts: 2 short of memory"],
    );
    has(&event, "advice", &["add a host", "[resources]"]);
    let shown = fleet.hosts[1].run(&["show", "huge"]).done().stdout;
    assert!(shown.contains("of 2 hosts: 2 short of memory"), "{shown}");
    // Others have room.
    fleet.first().deploy(&says("small"), &one_replica("small")).await;
    fleet.ready_on("small", 1).await;
    fs::write(folder.path().join("steerage.toml"), huge("16MiB")).unwrap();
    let said = fleet.first().run_in(folder.path(), &["deploy"]).done();
    assert!(said.stdout.contains("1 of 1 ready"), "{said:?}");
    fleet.event(fleet.first(), "has_room").await;
}

fn blob(host: &Host, component: &str) -> PathBuf {
    host.data.join("blobs").join(component.strip_prefix("sha256:").unwrap())
}

fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[0] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_damaged_component_is_fetched_from_whoever_has_it_whole() {
    let Some(fleet) = Fleet::start(3).await else { return };
    for host in ["h2", "h3"] {
        fleet.stand(host, "cordoned").await;
    }
    let wasm = says("whole");
    let component = digest(&wasm);
    fleet.first().deploy(&wasm, &one_replica("app")).await;
    let copies: Vec<PathBuf> = fleet.hosts.iter().map(|host| blob(host, &component)).collect();
    // Two more hosts have it before a deploy is acknowledged.
    assert!(copies.iter().all(|copy| copy.exists()));
    damage(&copies[0]);
    fs::remove_file(&copies[2]).unwrap();
    fleet.stand("h3", "open").await;
    scale(fleet.first(), "app", 2).await;
    assert_eq!(fleet.ready_on("app", 2).await, ["h1", "h3"]);
    assert_eq!(fs::read(&copies[2]).unwrap(), wasm);
    let event = fleet.event(fleet.first(), "component_damaged").await;
    has(&event, "message", &[&component, "damaged on this host's disk"]);
    has(&event, "advice", &["fetched from another host", "check the disk"]);
    assert!(!copies[0].exists());

    // Now nobody has it whole.
    damage(&copies[2]);
    fs::remove_file(&copies[1]).unwrap();
    fleet.stand("h2", "open").await;
    scale(fleet.first(), "app", 3).await;
    let event = fleet.event(&fleet.hosts[1], "not_ready").await;
    has(
        &event,
        "message",
        &["app cannot be brought up here", "no host has component", "h1: ", "h3: "],
    );
    fleet.all_answer("/app/", "whole").await;
    // The next deploy brings it again, even through a host that has something under its name.
    fs::write(&copies[0], b"damaged").unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("app.wasm"), &wasm).unwrap();
    let manifest = one_replica("app").replace("max = 1", "max = 3").replace("min = 1", "min = 3");
    fs::write(folder.path().join("steerage.toml"), manifest).unwrap();
    fleet.first().run_in(folder.path(), &["deploy"]).done();
    fleet.ready_on("app", 3).await;
    for copy in &copies {
        assert_eq!(fs::read(copy).unwrap(), wasm);
    }
}

/// A small disk of its own, gone when this is dropped.
pub(crate) struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// `None`, with a message, where this process may not mount one.
    pub(crate) fn mount(size: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: a full disk is made by mounting a small one, which needs root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder.path())
            .status();
        if !status.unwrap().success() {
            eprintln!("SKIPPED: this machine does not let root mount a small disk");
            return None;
        }
        Some(Self { folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.folder.path()).status());
    }
}

/// A guest of three mebibytes.
pub(crate) fn large() -> Vec<u8> {
    let data = "a".repeat(3 << 20);
    wat(&format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 64)
        (data (i32.const 16) "\nlarge") (data (i32.const 1024) "{data}")
        (func (export "_start")
            (i32.store (i32.const 8) (i32.const 16))
            (i32.store (i32.const 12) (i32.const 6))
            (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))))"#
    ))
}

#[tokio::test]
async fn a_full_disk_keeps_only_its_own_host_from_new_apps() {
    let Some(disk) = Disk::mount("12m") else { return };
    let Some(mut fleet) = Fleet::start(2).await else { return };
    let url = fleet.etcd.url();
    fleet.hosts.push(Host::on(disk.path(), &Fleet::flags(&url, "h3", &[])));
    let small = fleet.first();
    fleet.answers(small, 3).await;
    fleet.first().deploy(&says("small"), &one_replica("small")).await;
    fleet.all_answer("/small/", "small").await;
    let filler = disk.path().join("filler");
    // As much as there is.
    drop(
        Command::new("dd")
            .args(["if=/dev/zero", "bs=64k"])
            .arg(format!("of={}", filler.display()))
            .output(),
    );

    // A deploy through the host with the full disk is refused, with nothing left of it.
    let wasm = large();
    let full = &fleet.hosts[2];
    let refused = full.try_deploy(&wasm, &one_replica("large")).await;
    assert_eq!((refused.status.as_u16(), refused.cause()), (507, "disk_full".to_owned()));
    assert!(refused.text().contains("make room"), "{}", refused.text());
    assert_eq!(fleet.first().get("/large/").await.status, 404);

    // Through another one it is taken; the rest of the fleet serves it, and this host passes it on.
    fleet.first().deploy(&wasm, &one_replica("large")).await;
    scale(fleet.first(), "large", 3).await;
    let event = fleet.event(full, "not_ready").await;
    has(&event, "message", &["large cannot be brought up here", "disk of this host is full"]);
    has(&event, "advice", &["make room"]);
    fleet.all_answer("/large/", "large").await;
    fleet.all_answer("/small/", "small").await;
    // With room again it catches up by itself.
    fs::remove_file(&filler).unwrap();
    assert_eq!(fleet.ready_on("large", 3).await, ["h1", "h2", "h3"]);
}

#[tokio::test]
async fn a_clock_that_is_minutes_off_is_told_and_harms_nothing() {
    if !Path::new(FAKETIME).exists() {
        eprintln!("SKIPPED: a clock is set wrong with faketime: `apt-get install faketime`");
        return;
    }
    let Some(mut fleet) = Fleet::start(0).await else { return };
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), &["cert", "init"]).done();
    let url = fleet.etcd.url();
    for (name, offset) in [("h1", "+0"), ("h2", "+10m"), ("h3", "-10m")] {
        run_in(folder.path(), &["cert", "issue", name, "--address", "127.0.0.1"]).done();
        let identity = folder.path().join(name);
        let flags = ["--store", &url, "--name", name, "--zone", name, "--peer", "127.0.0.1:0"];
        let flags = [&flags[..], &["--identity", identity.to_str().unwrap()]].concat();
        let env =
            [("LD_PRELOAD", FAKETIME), ("FAKETIME", offset), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
        let env = if name == "h1" { &[][..] } else { &env[..] };
        fleet.hosts.push(Host::with_env(&flags, env));
    }
    for host in &fleet.hosts {
        fleet.answers(host, 3).await;
    }
    let more = "[replicas]\nmin = 3\nmax = 3";
    fleet.hosts[1].deploy(&says("hello"), &manifest("hello", "/hello/...", more)).await;
    fleet.ready_on("hello", 3).await;
    fleet.all_answer("/hello/", "hello").await;
    let event = fleet.event(fleet.first(), "clock_skew").await;
    has(&event, "message", &["the clock of h", "this host's"]);
    has(&event, "advice", &["time server"]);
    let said = fleet.first().run(&["hosts"]).done();
    for words in
        ["the clock of h2 is", "ahead of that of h1", "the clock of h3 is", "behind that of h1"]
    {
        assert!(said.stderr.contains(words), "no {words:?} in {said:?}");
    }
}

#[tokio::test]
async fn records_of_a_newer_version_are_told_and_the_rest_goes_on() {
    let Some(fleet) = Fleet::start(2).await else { return };
    fleet.first().deploy(&says("old"), &one_replica("old")).await;
    let store = fleet.etcd.store().await;
    let newer = br#"{"v":99,"generation":1,"wonders":true}"#.to_vec();
    let writes = ["desired/apps/new", "observed/hosts/h9"].map(|key| Write::Put {
        key: key.to_owned(),
        value: newer.clone(),
        lease: None,
    });
    store.commit(Commit { guards: Vec::new(), writes: writes.to_vec() }).await.unwrap();
    for host in &fleet.hosts {
        let event = fleet.event(host, "bad_record").await;
        has(&event, "message", &["version 99", "newer steerage", "upgrade this host"]);
    }
    fleet.all_answer("/old/", "old").await;
    scale(fleet.first(), "old", 2).await;
    fleet.ready_on("old", 2).await;
    // What cannot be read is not written over either.
    let reply = fleet.first().try_deploy(&says("new"), &one_replica("new")).await;
    assert!(
        reply.status.is_server_error() && reply.text().contains("version 99"),
        "{}",
        reply.text()
    );
    let kept = store.get("desired/apps/new").await.unwrap().unwrap();
    assert_eq!(kept.value, newer);
}
