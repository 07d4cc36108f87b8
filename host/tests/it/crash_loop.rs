//! An app that takes its hosts down is stopped after the second time, alone and in a fleet, and nobody
//! beside it is.

use std::path::Path;

use serde_json::{Value, json};

use crate::etcd::Etcd;
use crate::fleet::Fleet;
use crate::harness::{Host, digest, manifest, says, wat};

/// What takes its host down is played by a program that never ends, and a kill.
pub(crate) fn endless() -> Vec<u8> {
    wat(r#"(module (memory (export "memory") 1) (func (export "_start") (loop $on (br $on))))"#)
}

const LONG: &str = "[limits]\nfuel = \"100000B\"\ntimeout = \"60s\"";

fn app(name: &str, more: &str) -> String {
    manifest(name, &format!("/{name}/..."), &format!("{more}\n{LONG}"))
}

/// Calls an app of a host and does not wait; returns once that is written down.
pub(crate) async fn call(host: &Host, path: &str) {
    let (at, path) = (host.listen.clone(), path.to_owned());
    let app = path.split('/').nth(1).unwrap().to_owned();
    tokio::spawn(async move {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n");
        crate::harness::raw(&at, request.as_bytes()).await;
    });
    runs(host, &format!("\"app\":\"{app}\"")).await;
}

/// Waits until a host has written down that calls of this run, or `"running":[]`, that none runs.
pub(crate) async fn runs(host: &Host, what: &str) {
    host.until("call that runs", || async {
        let text = std::fs::read_to_string(host.data.join("running.json")).ok()?;
        let (running, _) = text.lines().next()?.split_once("\"crashes\"")?;
        running.contains(what).then_some(())
    })
    .await;
}

async fn event(host: &Host, kind: &str) -> Option<Value> {
    let events = host.admin("GET", "/v1/events?limit=1000", "").await.json();
    events["events"].as_array()?.iter().find(|event| event["kind"] == kind).cloned()
}

#[tokio::test]
async fn an_app_that_was_there_at_two_crashes_is_stopped_until_it_is_deployed_again() {
    let data = tempfile::tempdir().unwrap();
    let mut host = Host::on(data.path(), &[]);
    host.deploy(&endless(), &app("poison", "")).await;
    host.deploy(&endless(), &app("busy", "")).await;
    host.deploy(&says("well"), &app("well", "")).await;
    for n_crashes in 1..=2 {
        assert_eq!(host.get("/well/").await.text(), "well");
        call(&host, "/poison/").await;
        if n_crashes == 1 {
            // It is there once only.
            call(&host, "/busy/").await;
        }
        host.kill();
        host = Host::on(data.path(), &[]);
        let told = event(&host, "host_crashed").await.unwrap();
        assert!(told["message"].as_str().unwrap().contains("poison"), "{told}");
        assert_eq!(event(&host, "app_quarantined").await.is_some(), n_crashes == 2);
    }
    let told = event(&host, "app_quarantined").await.unwrap();
    assert_eq!((&told["app"], &told["severity"]), (&json!("poison"), &json!("error")), "{told}");
    assert!(told["advice"].as_str().unwrap().contains("deploy it again"), "{told}");
    let refused = host.get("/poison/").await;
    assert_eq!((refused.status.as_u16(), refused.cause()), (503, "quarantined".to_owned()));
    assert_eq!(host.get("/well/").await.text(), "well");
    call(&host, "/busy/").await;
    // An ordinary end and a start change nothing; what runs at an ordinary end is nobody's fault.
    host.signal("TERM");
    host.signal("TERM");
    host.kill();
    host = Host::on(data.path(), &[]);
    assert_eq!(host.get("/poison/").await.cause(), "quarantined");
    host.deploy(&says("cured"), &app("poison", "")).await;
    assert_eq!(host.get("/poison/").await.text(), "cured");
}

#[tokio::test]
async fn a_busy_app_is_not_blamed_for_crashes() {
    let data = tempfile::tempdir().unwrap();
    let mut host = Host::on(data.path(), &[]);
    host.deploy(&sometimes_endless(), &app("busy", "")).await;
    for _ in 0..3 {
        for _ in 0..20 {
            assert_eq!(host.get("/busy/").await.status, 200);
        }
        call(&host, "/busy/?long").await;
        runs(&host, r#""n_over":20,"#).await;
        host.kill();
        host = Host::on(data.path(), &[]);
    }
    assert_eq!(event(&host, "host_crashed").await, None);
    assert_eq!(host.get("/busy/").await.status, 200);
}

/// A CGI program that answers, and never ends where the query is `long`.
fn sometimes_endless() -> Vec<u8> {
    wat(r#"(module
        (import "wasi_snapshot_preview1" "environ_sizes_get"
            (func $sizes (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2)
        (data (i32.const 16) "\nok")
        (func (export "_start") (local $at i32) (local $end i32)
            (drop (call $sizes (i32.const 0) (i32.const 4)))
            (drop (call $env (i32.const 1024) (i32.const 8192)))
            (local.set $at (i32.const 8192))
            (local.set $end (i32.add (i32.const 8192) (i32.load (i32.const 4))))
            ;; `=long` stands in the environment.
            (loop $next
                (if (i32.and
                        (i32.eq (i32.load8_u (local.get $at)) (i32.const 61))
                        (i32.eq (i32.load (i32.add (local.get $at) (i32.const 1)))
                            (i32.const 0x676e6f6c)))
                    (then (loop $on (br $on))))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
            (i32.store (i32.const 8) (i32.const 16))
            (i32.store (i32.const 12) (i32.const 3))
            (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))))"#)
}

struct Crashing {
    fleet: Fleet,
    folders: Vec<tempfile::TempDir>,
}

impl Crashing {
    /// Three hosts whose data outlives them; `None` where etcd is not installed.
    async fn start() -> Option<Self> {
        let etcd = Etcd::start(1)?;
        drop(etcd.store().await);
        let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let start = |(folder, number): (&tempfile::TempDir, usize)| {
            Self::host(&etcd.url(), number, folder.path())
        };
        let hosts = folders.iter().zip(1..).map(start).collect();
        let fleet = Fleet { hosts, etcd };
        for host in &fleet.hosts {
            fleet.answers(host, 3).await;
        }
        Some(Self { fleet, folders })
    }

    fn host(store: &str, number: usize, data: &Path) -> Host {
        Host::on(data, &Fleet::flags(store, &format!("h{number}"), &[]))
    }

    /// Kills a host and starts it again.
    async fn crash(&mut self, name: &str) {
        let number: usize = name.strip_prefix('h').unwrap().parse().unwrap();
        let store = self.fleet.etcd.url();
        let host = &mut self.fleet.hosts[number - 1];
        host.kill();
        *host = Self::host(&store, number, self.folders[number - 1].path());
        self.fleet.answers(&self.fleet.hosts[number - 1], 3).await;
    }

    fn named(&self, name: &str) -> &Host {
        let number: usize = name.strip_prefix('h').unwrap().parse().unwrap();
        &self.fleet.hosts[number - 1]
    }
}

#[tokio::test]
async fn an_app_does_not_walk_through_the_fleet() {
    let Some(mut fleet) = Crashing::start().await else { return };
    let one = "[replicas]\nmin = 1\nmax = 1";
    fleet.fleet.first().deploy(&endless(), &app("poison", one)).await;
    fleet.fleet.first().deploy(&says("well"), &app("well", "")).await;
    for _ in 0..2 {
        let on = fleet.fleet.ready_on("poison", 1).await;
        let host = fleet.named(&on[0]);
        call(host, "/poison/").await;
        fleet.crash(&on[0]).await;
    }
    for host in &fleet.fleet.hosts {
        let told = fleet.fleet.event(host, "app_quarantined").await;
        assert_eq!(told["app"], "poison", "{told}");
        let refused = host.get("/poison/").await;
        assert_eq!((refused.status.as_u16(), refused.cause()), (503, "quarantined".to_owned()));
        assert_eq!(host.get("/well/").await.text(), "well");
    }
    fleet.fleet.first().deploy(&says("cured"), &app("poison", one)).await;
    fleet.fleet.all_answer("/poison/", "cured").await;
}

#[tokio::test]
async fn a_canary_whose_host_crashed_is_rolled_back() {
    let Some(mut fleet) = Crashing::start().await else { return };
    let shop = app("shop", "[replicas]\nmin = 1\nmax = 1");
    fleet.fleet.first().deploy(&says("old"), &shop).await;
    let on = fleet.fleet.ready_on("shop", 1).await.remove(0);
    // A busy app is no suspect, but what is on trial of it is.
    for _ in 0..20 {
        assert_eq!(fleet.named(&on).get("/shop/").await.text(), "old");
    }
    let component = digest(&endless());
    let path = format!("/v1/blobs/{component}");
    let upload = fleet.fleet.first().admin("PUT", &path, endless()).await;
    assert!(upload.status.is_success(), "{}", upload.text());
    let body = json!({ "manifest": shop, "component": component, "canary": "99%" }).to_string();
    let begun = fleet.fleet.first().admin("POST", "/v1/apps/shop/deployments", body).await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    let host = fleet.named(&on);
    // Some of them are for the one on trial, which never ends.
    for _ in 0..3 {
        let at = host.listen.clone();
        tokio::spawn(async move {
            let request = "GET /shop/ HTTP/1.1\r\nhost: a.test\r\n\r\n";
            crate::harness::raw(&at, request.as_bytes()).await;
        });
    }
    runs(host, r#""app":"shop","generation":2"#).await;
    fleet.crash(&on).await;
    let told = fleet.fleet.event(fleet.named(&on), "canary_rolled_back").await;
    assert!(told["message"].as_str().unwrap().contains("generation 2 of shop"), "{told}");
    let shown = fleet.fleet.first().until("end of the trial", || async {
        let shown = fleet.fleet.first().admin("GET", "/v1/apps/shop", "").await.json();
        shown["canary"].is_null().then_some(shown)
    });
    assert_eq!(shown.await["generation"], 1);
    fleet.fleet.all_answer("/shop/", "old").await;
}
