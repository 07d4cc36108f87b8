//! What becomes of a host when its disk is full, damaged, gone or open to others: what was served is
//! served, nothing is deleted that may be needed, and it says which file and what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Host, OWN_CODE, manifest, run, says, wat};

async fn event(host: &Host, kind: &str) -> Value {
    host.until(kind, || async {
        let events = host.admin("GET", "/v1/events?limit=1000", "").await.json();
        let events = events["events"].as_array()?.clone();
        events.into_iter().find(|event| event["kind"] == kind)
    })
    .await
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn start_refused(data: &Path) -> String {
    let data = data.to_str().unwrap();
    let said = run(&["host", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", data]);
    assert_eq!(said.code, 1, "{said:?}");
    said.stderr
}

#[tokio::test]
async fn nobody_else_reads_what_a_host_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut host = Host::on(&data, &[OWN_CODE]);
    host.serve("hello", &says("hello"), "[env]\nPASSWORD = \"hunter2\"").await;
    assert_eq!(host.get("/hello/").await.text(), "hello");
    host.kill();
    let mut folders = vec![data.clone()];
    while let Some(folder) = folders.pop() {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
            }
        }
    }
    // What an older host left open is closed.
    let ledger = data.join("steerage.redb");
    for (path, open) in [(&data, 0o755), (&ledger, 0o644)] {
        fs::set_permissions(path, fs::Permissions::from_mode(open)).unwrap();
    }
    let host = Host::on(&data, &[OWN_CODE]);
    assert_eq!((mode(&data), mode(&ledger)), (0o700, 0o600));
    assert_eq!(host.get("/hello/").await.text(), "hello");
}

#[tokio::test]
async fn components_without_their_ledger_are_not_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::on(folder.path(), &[]);
    host.serve("hello", &says("hello"), "").await;
    host.kill();
    let (ledger, blobs) = (folder.path().join("steerage.redb"), folder.path().join("blobs"));
    let away = folder.path().join("away");
    fs::rename(&ledger, &away).unwrap();
    for is_empty in [false, true] {
        if is_empty {
            fs::write(&ledger, "").unwrap();
        }
        let said = start_refused(folder.path());
        for words in [ledger.to_str().unwrap(), "missing or empty", "steerage restore"] {
            assert!(said.contains(words), "no {words:?} in {said}");
        }
        assert_eq!(fs::read_dir(&blobs).unwrap().count(), 1);
    }
    fs::rename(&away, &ledger).unwrap();
    let mut host = Host::on(folder.path(), &[]);
    assert_eq!(host.get("/hello/").await.text(), "hello");
    host.kill();
    // What it says works.
    fs::remove_file(&ledger).unwrap();
    fs::rename(&blobs, &away).unwrap();
    fs::remove_file(folder.path().join("store.redb")).unwrap();
    let host = Host::on(folder.path(), &[]);
    assert_eq!(host.get("/hello/").await.status, 404);
}

#[tokio::test]
async fn a_data_folder_that_is_gone_is_told_while_apps_are_served_on() {
    let outer = tempfile::tempdir().unwrap();
    let data = outer.path().join("data");
    let host = Host::on(&data, &[]);
    host.serve("hello", &says("hello"), "").await;
    assert_eq!(host.get("/hello/").await.text(), "hello");
    assert_eq!(host.admin("GET", "/readyz", "").await.status, 200);
    let away = outer.path().join("away");
    fs::rename(&data, &away).unwrap();
    event(&host, "data_lost").await;
    let ready = host.admin("GET", "/readyz", "").await;
    assert_eq!((ready.status.as_u16(), ready.cause()), (503, "data_lost".to_owned()));
    assert_eq!(host.get("/hello/").await.text(), "hello");
    fs::rename(&away, &data).unwrap();
    assert_eq!(host.admin("GET", "/readyz", "").await.status, 200);
    fs::remove_dir_all(&data).unwrap();
    assert_eq!(host.admin("GET", "/readyz", "").await.status, 503);
}

/// A small disk of its own, gone when this is dropped.
pub(crate) struct Disk(tempfile::TempDir);

impl Disk {
    /// `None`, with a message, where this process may not mount one.
    pub(crate) fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder.path())
            .output();
        if !mounted.is_ok_and(|done| done.status.success()) {
            eprintln!("SKIPPED: a full disk is made by mounting a small one, which needs root");
            return None;
        }
        Some(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all there is.
    pub(crate) fn fill(&self) -> std::path::PathBuf {
        let filler = self.path().join("filler");
        for size in ["bs=64k", "bs=1"] {
            let out = format!("of={}", filler.display());
            let more = ["if=/dev/zero", size, &out, "oflag=append", "conv=notrunc"];
            drop(Command::new("dd").args(more).output());
        }
        filler
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}

#[tokio::test]
async fn a_host_on_a_full_disk_starts_and_serves_and_lets_apps_go() {
    let Some(disk) = Disk::mount("24m") else { return };
    let mut host = Host::on(disk.path(), &[]);
    for app in ["one", "two"] {
        host.serve(app, &says(app), "").await;
    }
    host.kill();
    let filler = disk.fill();
    let mut host = Host::on(disk.path(), &[]);
    for app in ["one", "two"] {
        assert_eq!(host.get(&format!("/{app}/")).await.text(), app);
    }
    let told = event(&host, "disk_full").await;
    assert!(told["advice"].as_str().unwrap().contains("make room"), "{told}");
    let refused = host.try_deploy(&says("three"), &manifest("three", "/three/...", "")).await;
    assert_eq!((refused.status.as_u16(), refused.cause()), (507, "disk_full".to_owned()));
    // Removing takes what room there is, and is honest where there is none.
    let removed = host.admin("DELETE", "/v1/apps/two", "").await;
    assert!([204, 507].contains(&removed.status.as_u16()), "{}", removed.text());
    assert_eq!(host.get("/one/").await.text(), "one");
    let is_served = host.get("/two/").await.status == 200;
    assert_eq!(is_served, removed.status == 507);
    // With room again everything works, and what was removed stays so.
    fs::remove_file(&filler).unwrap();
    event(&host, "disk_has_room").await;
    host.serve("three", &says("three"), "").await;
    host.kill();
    let host = Host::on(disk.path(), &[]);
    assert_eq!(host.get("/three/").await.text(), "three");
    assert_eq!(host.get("/one/").await.text(), "one");
    assert_eq!(host.get("/two/").await.status == 200, is_served);
}

/// A guest whose code is many times what it is itself.
fn grows() -> Vec<u8> {
    let function = "(func (param f64) (result f64)
        (f64.add (f64.mul (local.get 0) (f64.const 1.5)) (f64.sqrt (local.get 0))))";
    wat(&format!(
        "(module (memory (export \"memory\") 1) {} (func (export \"_start\")))",
        function.repeat(4_000)
    ))
}

#[tokio::test]
async fn a_disk_that_fills_while_compiling_is_named() {
    let Some(disk) = Disk::mount("12m") else { return };
    let host = Host::on(disk.path(), &[OWN_CODE]);
    let wasm = grows();
    // As much stays as the component needs, and not what its code does.
    let refused = {
        let free = rustix::fs::statvfs(disk.path()).unwrap();
        let free = free.f_bavail * free.f_frsize;
        let keep = wasm.len() as u64 + (64 << 10);
        let size = usize::try_from(free.saturating_sub(keep)).unwrap();
        fs::write(disk.path().join("filler"), vec![7; size]).unwrap();
        host.try_deploy(&wasm, &manifest("large", "/large/...", "")).await
    };
    assert_eq!((refused.status.as_u16(), refused.cause()), (507, "disk_full".to_owned()));
    assert!(refused.text().contains("disk of this host is full"), "{}", refused.text());
    fs::remove_file(disk.path().join("filler")).unwrap();
    host.serve("small", &says("small"), "").await;
    assert_eq!(host.get("/small/").await.text(), "small");
}

#[tokio::test]
async fn a_damaged_page_of_the_ledger_takes_no_other_apps_along() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::on(folder.path(), &[]);
    let n_apps = 12;
    // Each takes more than half a page.
    let more = format!("[env]\nLONG = \"{}\"", "x".repeat(2500));
    for number in 0..n_apps {
        host.serve(&format!("app{number}"), &says(&format!("is {number}")), &more).await;
    }
    host.signal("TERM");
    host.wait();
    let ledger = folder.path().join("steerage.redb");
    let whole = fs::read(&ledger).unwrap();
    // Pages that hold the manifest of one of them, one after the other.
    let name = b"name = \\\"app5\\\"";
    let places = whole.windows(name.len()).enumerate().filter(|(_, bytes)| bytes == name);
    let pages: std::collections::BTreeSet<usize> =
        places.map(|(place, _)| place / 4096 * 4096).collect();
    assert!(pages.len() >= 2, "{pages:?}");
    for page in pages {
        let mut damaged = whole.clone();
        damaged[page..page + 4096].fill(0xa5);
        fs::write(&ledger, damaged).unwrap();
        let mut host = Host::on(folder.path(), &[]);
        for number in 0..n_apps {
            let reply = host.get(&format!("/app{number}/")).await;
            assert_eq!(reply.text(), format!("is {number}"), "page {page}");
        }
        host.kill();
    }
    fs::write(&ledger, &whole).unwrap();
    let host = Host::on(folder.path(), &[]);
    assert_eq!(host.get("/app5/").await.text(), "is 5");
    assert_eq!(fs::read_dir(folder.path().join("blobs")).unwrap().count(), n_apps);
}
