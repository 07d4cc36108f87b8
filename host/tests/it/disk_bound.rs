//! A disk that has a bound: what goes when components and compiled code pass it, what never does, and that
//! what went is there again when it is called.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::fleet::Fleet;
use crate::harness::{Host, OWN_CODE, digest, manifest, wat};

/// What a component takes, and about what its compiled code does.
const SIZE: usize = 400_000;
/// Longer than anybody counts on a component that is not used.
const LONG_AGO: Duration = Duration::from_secs(2 * 3600);

/// A CGI program that says its name, and is large.
fn large(name: &str) -> Vec<u8> {
    let data = "x".repeat(SIZE);
    let length = name.len() + 1;
    wat(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 8)
            (data (i32.const 16) "\n{name}")
            (data (i32.const 1024) "{data}")
            (func (export "_start")
                (i32.store (i32.const 0) (i32.const 16))
                (i32.store (i32.const 4) (i32.const {length}))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
    ))
}

fn hex(wasm: &[u8]) -> String {
    digest(wasm).trim_start_matches("sha256:").to_owned()
}

fn blob(data: &Path, wasm: &[u8]) -> PathBuf {
    data.join("blobs").join(hex(wasm))
}

/// The files of compiled code, with what they take.
fn code(data: &Path) -> Vec<(PathBuf, u64)> {
    let folders = fs::read_dir(data.join("code")).into_iter().flatten();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    files.map(|file| file.unwrap().path()).map(|path| (path.clone(), size(&path))).collect()
}

fn is_compiled(data: &Path, wasm: &[u8]) -> bool {
    let hex = hex(wasm);
    code(data).iter().any(|(path, _)| path.ends_with(format!("{hex}.cwasm")))
}

/// Has a component and its code look as if nobody had used them for long.
fn make_old(data: &Path, wasm: &[u8]) {
    let hex = hex(wasm);
    let code = code(data).into_iter().map(|(path, _)| path);
    let code = code.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&hex));
    for path in code.chain([blob(data, wasm)]) {
        // Code may go just now.
        let Ok(file) = fs::File::open(path) else { continue };
        file.set_modified(SystemTime::now() - LONG_AGO).unwrap();
    }
}

async fn upload(host: &Host, wasm: &[u8]) -> u16 {
    let path = format!("/v1/blobs/{}", digest(wasm));
    host.admin("PUT", &path, wasm.to_vec()).await.status.as_u16()
}

async fn event(host: &Host, kind: &str) -> Value {
    host.until(kind, || async {
        let events = host.admin("GET", "/v1/events?limit=1000", "").await.json();
        let events = events["events"].as_array()?.clone();
        events.into_iter().find(|event| event["kind"] == kind)
    })
    .await
}

/// Waits until nothing is mapped, so that code may go.
async fn nothing_is_mapped(host: &Host) {
    host.until("no mapped code", || async {
        (host.metric("apps_mapped ").await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_code_that_was_not_called_for_longest_goes_first_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let flags = [OWN_CODE, "--mapped-idle", "10ms"];
    let mut host = Host::on(data, &flags);
    for app in ["one", "two", "three"] {
        host.serve(app, &large(app), "").await;
    }
    // Of the three the second is the one that was called least lately.
    nothing_is_mapped(&host).await;
    assert_eq!(host.get("/one/").await.text(), "one");
    host.kill();
    let all = [large("one"), large("two"), large("three")];
    let blobs: u64 = all.iter().map(|wasm| fs::metadata(blob(data, wasm)).unwrap().len()).sum();
    let used = blobs + code(data).iter().map(|(_, bytes)| bytes).sum::<u64>();
    let bound = format!("{}", used - 100_000);
    let host = Host::on(data, &[&flags[..], &["--disk-components", &bound]].concat());
    host.until("room", || async { (!is_compiled(data, &all[1])).then_some(()) }).await;
    assert!(is_compiled(data, &all[0]) && is_compiled(data, &all[2]), "{:?}", code(data));
    assert_eq!(host.metric("disk_evicted_total").await, 1.0);
    assert!(all.iter().all(|wasm| blob(data, wasm).exists()));
    // The call waits until it is there again, and another one's goes then.
    for app in ["two", "one", "three"] {
        assert_eq!(host.get(&format!("/{app}/")).await.text(), app);
    }
    assert!(host.metric("disk_components_bound_bytes").await == (used - 100_000) as f64);
}

#[tokio::test]
async fn a_lone_host_refuses_uploads_at_the_bound_and_loses_nothing_it_has_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let host = Host::on(data, &[OWN_CODE, "--mapped-idle", "10ms", "--disk-components", "4MiB"]);
    let nobodys = large("nobodys");
    assert_eq!(upload(&host, &nobodys).await, 201);
    make_old(data, &nobodys);
    let names: Vec<String> = (0..10).map(|n| format!("app{n}")).collect();
    for name in &names {
        host.serve(name, &large(name), "").await;
        nothing_is_mapped(&host).await;
    }
    assert!(!blob(data, &nobodys).exists(), "no deployment needs it");
    // Components alone take nine tenths and more of it.
    let told = event(&host, "disk_near_bound").await;
    assert!(told["advice"].as_str().unwrap().contains("[disk] components"), "{told}");
    let last = large("last");
    let refused = host.try_deploy(&last, &manifest("last", "/last/...", "")).await;
    assert_eq!((refused.status.as_u16(), refused.cause()), (507, "disk_full".to_owned()));
    for part in ["4MiB", "[disk] components", "remove apps"] {
        assert!(refused.text().contains(part), "no {part} in {}", refused.text());
    }
    for name in &names {
        assert!(blob(data, &large(name)).exists());
        assert_eq!(host.get(&format!("/{name}/")).await.text(), *name);
    }
    // What it says works.
    assert_eq!(host.admin("DELETE", "/v1/apps/app3", "").await.status, 204);
    nothing_is_mapped(&host).await;
    host.serve("last", &last, "").await;
    assert_eq!(host.get("/last/").await.text(), "last");
}

/// A fleet of which the first host has a bound, with its data.
async fn fleet(n_hosts: usize) -> Option<(Fleet, Vec<tempfile::TempDir>)> {
    let mut fleet = Fleet::start(0).await?;
    let url = fleet.etcd.url();
    let folders: Vec<_> = (0..n_hosts).map(|_| tempfile::tempdir().unwrap()).collect();
    for (number, folder) in folders.iter().enumerate() {
        let name = format!("h{}", number + 1);
        let more = ["--mapped-idle", "10ms", "--disk-components", "2MiB", OWN_CODE];
        let more = if number == 0 { &more[..] } else { &[] };
        fleet.hosts.push(Host::on(folder.path(), &Fleet::flags(&url, &name, more)));
    }
    for host in &fleet.hosts {
        fleet.answers(host, n_hosts).await;
    }
    // All runs on the first one.
    for number in 2..=n_hosts {
        fleet.stand(&format!("h{number}"), "cordoned").await;
    }
    Some((fleet, folders))
}

async fn deploy(fleet: &Fleet, name: &str) -> u16 {
    let text = manifest(name, &format!("/{name}/..."), "[replicas]\nmin = 1\nmax = 1");
    fleet.first().try_deploy(&large(name), &text).await.status.as_u16()
}

#[tokio::test]
async fn what_two_other_hosts_keep_goes_and_is_fetched_again_when_it_is_called() {
    let Some((fleet, folders)) = fleet(3).await else { return };
    let [own, second, third] = &folders[..] else { panic!("three hosts") };
    for name in ["one", "two", "three"] {
        assert_eq!(deploy(&fleet, name).await, 201);
        assert_eq!(fleet.ready_on(name, 1).await, ["h1"]);
        nothing_is_mapped(fleet.first()).await;
        // Nobody counts on it any more, and the others keep it.
        make_old(own.path(), &large(name));
    }
    let one = large("one");
    for more in ["four", "five"] {
        assert_eq!(deploy(&fleet, more).await, 201, "{more}");
    }
    fleet
        .first()
        .until("room", || async { (!blob(own.path(), &one).exists()).then_some(()) })
        .await;
    for other in [second, third] {
        assert!(blob(other.path(), &one).exists());
    }
    assert!(!is_compiled(own.path(), &one));
    // It runs there still, and is fetched and compiled before its call is answered.
    assert_eq!(fleet.ready_on("one", 1).await, ["h1"]);
    assert_eq!(fleet.first().get("/one/").await.text(), "one");
    assert!(blob(own.path(), &one).exists() && is_compiled(own.path(), &one));
}

#[tokio::test]
async fn a_component_that_one_other_host_keeps_does_not_go() {
    let Some((fleet, folders)) = fleet(2).await else { return };
    let mut names = Vec::new();
    while names.len() < 9 {
        let name = format!("app{}", names.len());
        let status = deploy(&fleet, &name).await;
        if status == 507 {
            break;
        }
        assert_eq!(status, 201);
        nothing_is_mapped(fleet.first()).await;
        make_old(folders[0].path(), &large(&name));
        names.push(name);
    }
    assert_eq!(names.len(), 5, "so many are less than 2 MiB");
    for name in &names {
        for folder in &folders {
            assert!(blob(folder.path(), &large(name)).exists(), "{name}");
        }
        assert_eq!(fleet.first().get(&format!("/{name}/")).await.text(), *name);
    }
}
