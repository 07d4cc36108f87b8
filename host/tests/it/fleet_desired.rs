//! What operators and developers want of a fleet, and what becomes of it over deploys, rollbacks and
//! removals: routes, replicas, canaries, and what the store did not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use steerage::store::{Commit, Write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::etcd::Etcd;
use crate::fleet::Fleet;
use crate::harness::{Host, OWN_CODE, Reply, digest, manifest, says, wat};

/// The manifest of an app with these routes.
fn with_routes(app: &str, routes: &[String]) -> String {
    let one = manifest(app, "/", "");
    let (before, _) = one.split_once("[[route]]").unwrap();
    let each = routes.iter().map(|route| format!("[[route]]\npath = {route:?}\n"));
    format!("{before}{}", each.collect::<String>())
}

fn routes(routes: &[&str]) -> Vec<String> {
    routes.iter().map(|route| (*route).to_owned()).collect()
}

async fn rollback(host: &Host, app: &str, body: Value) -> Reply {
    host.admin("POST", &format!("/v1/apps/{app}/rollback"), body.to_string()).await
}

fn refused(reply: &Reply, status: u16, cause: &str) {
    let found = (reply.status.as_u16(), reply.cause());
    assert_eq!(found, (status, cause.to_owned()), "{}", reply.text());
}

/// Waits until a host answers under a path with this text.
async fn answers(host: &Host, path: &str, text: &str) {
    host.until("answer of the right app", || async {
        let reply = host.get(path).await;
        (reply.status == 200 && reply.text() == text).then_some(())
    })
    .await;
}

#[tokio::test]
async fn routes_that_an_app_dropped_are_free_and_those_it_has_are_not() {
    let Some(fleet) = Fleet::start(2).await else { return };
    let host = fleet.first();
    let shop = |list: &[&str]| with_routes("shop", &routes(list));
    host.deploy(&says("one"), &shop(&["/a/...", "/b/:id"])).await;
    host.deploy(&says("two"), &shop(&["/a/..."])).await;
    // Under another name of the parameter it is the same route.
    host.deploy(&says("b"), &with_routes("b", &routes(&["/b/:name"]))).await;
    answers(host, "/b/7", "b").await;
    answers(&fleet.hosts[1], "/b/7", "b").await;
    refused(&rollback(host, "shop", json!({})).await, 409, "route_conflict");
    let reply = host.try_deploy(&says("three"), &shop(&["/a/...", "/b/:id"])).await;
    refused(&reply, 409, "route_conflict");
    assert!(reply.text().contains("app b"), "{}", reply.text());
    answers(host, "/a/", "two").await;
    // The other way round: b goes on to /c, and shop can go back.
    host.deploy(&says("b"), &with_routes("b", &routes(&["/c"]))).await;
    let reply = rollback(host, "shop", json!({})).await;
    assert_eq!(reply.json()["generation"], 1, "{}", reply.text());
    answers(host, "/b/7", "one").await;
    // What is current is not taken away, also through another host.
    let reply = fleet.hosts[1].try_deploy(&says("b"), &with_routes("b", &routes(&["/b/:x"]))).await;
    refused(&reply, 409, "route_conflict");
}

#[tokio::test]
async fn routes_of_a_canary_are_its_own_while_it_is_tried_and_free_afterwards() {
    let Some(fleet) = Fleet::start(1).await else { return };
    let host = fleet.first();
    host.deploy(&says("one"), &with_routes("shop", &routes(&["/a"]))).await;
    let canary = says("two");
    let upload = host.admin("PUT", &format!("/v1/blobs/{}", digest(&canary)), canary.clone()).await;
    assert!(upload.status.is_success(), "{}", upload.text());
    let text = with_routes("shop", &routes(&["/a", "/new"]));
    let body = json!({ "manifest": text, "component": digest(&canary), "canary": "5%" });
    let reply = host.admin("POST", "/v1/apps/shop/deployments", body.to_string()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let other = with_routes("other", &routes(&["/new"]));
    refused(&host.try_deploy(&says("other"), &other).await, 409, "route_conflict");
    let reply = host.admin("DELETE", "/v1/apps/shop/canary", "").await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    host.deploy(&says("other"), &other).await;
    answers(host, "/new", "other").await;
}

#[tokio::test]
async fn a_manifest_may_have_a_hundred_routes_and_each_is_claimed() {
    let Some(fleet) = Fleet::start(1).await else { return };
    let host = fleet.first();
    let many = |app: &str| (0..100).map(|n| format!("/{app}/{n}")).collect::<Vec<_>>();
    host.deploy(&says("big"), &with_routes("big", &many("big"))).await;
    let second = with_routes("second", &routes(&["/big/99", "/second"]));
    // In the store, whatever this host serves: another host may not have heard of it yet.
    let store = fleet.etcd.store().await;
    let claims = store.read("desired/routes/").await.unwrap().entries;
    assert_eq!(claims.len(), 100);
    refused(&host.try_deploy(&says("second"), &second).await, 409, "route_conflict");
    // All other hundred take their place, over a hundred that were there before.
    host.deploy(&says("big"), &with_routes("big", &many("moved"))).await;
    host.deploy(&says("second"), &with_routes("second", &many("big"))).await;
    answers(host, "/big/0", "second").await;
    for app in ["big", "second"] {
        let reply = host.admin("DELETE", &format!("/v1/apps/{app}"), "").await;
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
    let left = store.read("desired/routes/").await.unwrap().entries;
    assert_eq!(left.len(), 0, "{left:?}");
}

#[tokio::test]
async fn what_an_app_that_is_gone_had_is_free() {
    let Some(fleet) = Fleet::start(1).await else { return };
    let store = fleet.etcd.store().await;
    // As an app leaves it behind that was removed long after it had this route.
    let key = "desired/routes/_/left/...".to_owned();
    fleet.first().deploy(&says("probe"), &with_routes("probe", &routes(&["/left/..."]))).await;
    let found = store.read("desired/routes/").await.unwrap().entries;
    let key = found.iter().map(|entry| entry.key.clone()).next().unwrap_or(key);
    let reply = fleet.first().admin("DELETE", "/v1/apps/probe", "").await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    let write = Write::Put { key, value: b"ghost".to_vec(), lease: None };
    store.commit(Commit { guards: Vec::new(), writes: vec![write] }).await.unwrap();
    fleet.first().deploy(&says("heir"), &with_routes("heir", &routes(&["/left/..."]))).await;
    answers(fleet.first(), "/left/", "heir").await;
}

async fn wanted(host: &Host, app: &str) -> (u64, u64) {
    let told = host.admin("GET", &format!("/v1/apps/{app}/replicas"), "").await.json();
    (told["min"].as_u64().unwrap(), told["max"].as_u64().unwrap())
}

#[tokio::test]
async fn what_was_scaled_stays_so_until_a_manifest_says_otherwise() {
    let Some(fleet) = Fleet::start(2).await else { return };
    let host = fleet.first();
    let shop = |min: u32, max: u32| {
        manifest("shop", "/shop/...", &format!("[replicas]\nmin = {min}\nmax = {max}"))
    };
    host.deploy(&says("one"), &shop(1, 1)).await;
    let reply = host.admin("PUT", "/v1/apps/shop/scale", r#"{"replicas": 2}"#).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(fleet.ready_on("shop", 2).await.len(), 2);
    host.deploy(&says("two"), &shop(1, 1)).await;
    assert_eq!(wanted(host, "shop").await, (2, 2), "after a deploy");
    let reply = rollback(host, "shop", json!({})).await;
    assert_eq!(reply.json()["generation"], 1, "{}", reply.text());
    assert_eq!(wanted(host, "shop").await, (2, 2), "after a rollback");
    assert_eq!(fleet.ready_on("shop", 2).await.len(), 2);
    // The developer thinks anew.
    host.deploy(&says("three"), &shop(1, 3)).await;
    assert_eq!(wanted(host, "shop").await, (1, 3));
    let reply = host.admin("PUT", "/v1/apps/shop/scale", r#"{"replicas": 2}"#).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    // Behind a deploy that says otherwise, too, a rollback keeps what was said in a rush.
    let reply = rollback(host, "shop", json!({ "to": 1 })).await;
    assert_eq!(reply.json()["generation"], 1, "{}", reply.text());
    assert_eq!(wanted(host, "shop").await, (2, 2));
}

#[tokio::test]
async fn a_rollback_after_the_fleet_took_a_canary_back_goes_no_further_unasked() {
    let Some(fleet) = Fleet::start(1).await else { return };
    let host = fleet.first();
    let shop = || manifest("shop", "/shop/...", "");
    host.deploy(&says("one"), &shop()).await;
    host.deploy(&says("two"), &shop()).await;
    // What the host that plans writes when it takes the canary 3 back.
    let store = fleet.etcd.store().await;
    let entry = store.get("desired/apps/shop").await.unwrap().unwrap();
    let mut record: Value = serde_json::from_slice(&entry.value).unwrap();
    record["taken_back"] = json!({ "generation": 3, "why": "it fails", "at": 0 });
    let value = record.to_string().into_bytes();
    let write = Write::Put { key: "desired/apps/shop".to_owned(), value, lease: None };
    store.commit(Commit { guards: Vec::new(), writes: vec![write] }).await.unwrap();
    let reply = rollback(host, "shop", json!({})).await;
    refused(&reply, 409, "canary_taken_back");
    for words in ["deployment 3", "deployment 2 has all calls", "--to"] {
        assert!(reply.text().contains(words), "no {words:?} in {}", reply.text());
    }
    answers(host, "/shop/", "two").await;
    let said = host.run(&["rollback", "shop", "--to", "1"]).done();
    assert!(said.stdout.contains("shop is served as generation 1"), "{said:?}");
    host.deploy(&says("four"), &shop()).await;
    let reply = rollback(host, "shop", json!({})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Stands between a host and etcd. Once a deployment goes through, it lets nothing back any more until
/// it is told to: the store has done what was asked, and nobody hears of it.
async fn deafening(etcd: String) -> (String, Arc<AtomicBool>, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("etcd://{}", listener.local_addr().unwrap());
    let (armed, is_deaf) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (arm, deaf) = (armed.clone(), is_deaf.clone());
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (armed, is_deaf) = (armed.clone(), is_deaf.clone());
            let far = TcpStream::connect(&etcd).await.unwrap();
            let (mut near_in, mut near_out) = near.into_split();
            let (mut far_in, mut far_out) = far.into_split();
            let deaf = is_deaf.clone();
            tokio::spawn(async move {
                let mut bytes = vec![0; 64 << 10];
                while let Ok(n @ 1..) = near_in.read(&mut bytes).await {
                    let key = b"desired/deployments/shop/0";
                    let has_key = bytes[..n].windows(key.len()).any(|window| window == key);
                    if has_key && armed.load(Ordering::SeqCst) {
                        deaf.store(true, Ordering::SeqCst);
                    }
                    if far_out.write_all(&bytes[..n]).await.is_err() {
                        return;
                    }
                }
            });
            tokio::spawn(async move {
                let mut bytes = vec![0; 64 << 10];
                while let Ok(n @ 1..) = far_in.read(&mut bytes).await {
                    if is_deaf.load(Ordering::SeqCst) {
                        // No network loses bytes and goes on: the connection hangs, and then it is over.
                        while is_deaf.load(Ordering::SeqCst) {
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                        return;
                    }
                    if near_out.write_all(&bytes[..n]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, arm, deaf)
}

#[tokio::test]
async fn a_deploy_whose_answer_was_lost_says_so_and_keeps_the_only_copy_of_its_component() {
    let Some(etcd) = Etcd::start(1) else { return };
    let store = etcd.store().await;
    let (url, armed, is_deaf) = deafening(etcd.address(0)).await;
    let host = Host::with(&Fleet::flags(&url, "h1", &[]));
    host.until("registration", || async {
        let hosts = host.admin("GET", "/v1/hosts", "").await.json();
        (hosts["trouble"].is_null() && hosts["store_answers"] == true).then_some(())
    })
    .await;
    let wasm = says("kept");
    armed.store(true, Ordering::SeqCst);
    let reply = host.try_deploy(&wasm, &manifest("shop", "/shop/...", "")).await;
    refused(&reply, 503, "store_away");
    assert!(reply.text().contains("did not say whether"), "{}", reply.text());
    assert!(is_deaf.load(Ordering::SeqCst));
    // It has happened, and this host has the only copy.
    assert!(store.get("desired/apps/shop").await.unwrap().is_some());
    armed.store(false, Ordering::SeqCst);
    is_deaf.store(false, Ordering::SeqCst);
    answers(&host, "/shop/", "kept").await;
}

/// A program that takes seconds to compile: many functions that the compiler cannot see to be the same.
fn takes_long_to_compile() -> Vec<u8> {
    let functions = (0..4_000).map(|number| {
        let work = "(local.set $n (i32.mul (i32.add (local.get $n) (i32.const 7)) (local.get $n)))";
        format!("(func (export \"f{number}\") (param $n i32) (result i32) {}\n(i32.add (local.get $n) (i32.const {number})))", work.repeat(12))
    });
    wat(&format!(
        "(module (memory (export \"memory\") 1) (func (export \"_start\")) {})",
        functions.collect::<String>()
    ))
}

#[tokio::test]
async fn what_is_ready_is_announced_though_something_else_still_compiles() {
    let Some(fleet) = Fleet::start_with(2, &[OWN_CODE, "--compile-timeout", "10m"]).await else {
        return;
    };
    let host = fleet.first();
    let both = |app: &str| manifest(app, &format!("/{app}/..."), "[replicas]\nmin = 2\nmax = 2");
    host.deploy(&says("same"), &both("first")).await;
    fleet.ready_on("first", 2).await;
    let (heavy, manifest) = (takes_long_to_compile(), both("heavy"));
    let heavy = host.try_deploy(&heavy, &manifest);
    // It is durable as soon as this host has compiled it; then the other one begins.
    let second = async {
        host.until("deployment of the other app", || async {
            let reply = host.admin("GET", "/v1/apps/heavy/replicas", "").await;
            (reply.status == 200).then_some(())
        })
        .await;
        host.deploy(&says("same"), &both("second")).await;
        fleet.ready_on("second", 2).await;
        let replicas = host.admin("GET", "/v1/apps/heavy/replicas", "").await.json();
        let at = |name: &str| {
            let all = replicas["hosts"].as_array().unwrap();
            all.iter().find(|replica| replica["host"] == name).unwrap()["state"].clone()
        };
        assert_eq!(at("h2"), "starting", "{replicas}");
    };
    let (reply, ()) = tokio::join!(heavy, second);
    assert!(reply.status.is_success(), "{}", reply.text());
}
