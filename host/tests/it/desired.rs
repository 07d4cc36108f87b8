//! What is written down as what shall run, and what is not: a refused deploy is nowhere, and routes stay
//! claimed no longer than a deployment that is kept has them.

use http::Request;
use http_body_util::Full;
use serde_json::json;
use steerage::store::{Commit, Write};

use crate::fleet::Fleet;
use crate::harness::{Host, digest, manifest, says};

/// The claims of routes in the store.
async fn claims(fleet: &Fleet) -> Vec<String> {
    let store = fleet.etcd.store().await;
    let found = store.read("desired/routes/").await.unwrap().entries;
    found.into_iter().map(|entry| entry.key).collect()
}

#[tokio::test]
async fn a_refused_deploy_is_on_no_other_host() {
    let Some(fleet) = Fleet::start(2).await else { return };
    let [first, second] = &fleet.hosts[..] else { panic!("two hosts") };
    let on_second = |path: String| async move { second.admin("HEAD", &path, "").await.status };
    let taken = says("taken");
    first.deploy(&taken, &manifest("owner", "/owned/...", "")).await;
    // It was acknowledged, so it is on a second disk.
    assert_eq!(on_second(format!("/v1/blobs/{}", digest(&taken))).await, 200);

    let refused = says("refused");
    let path = format!("/v1/blobs/{}", digest(&refused));
    let reply = first.try_deploy(&refused, &manifest("thief", "/owned/...", "")).await;
    assert_eq!((reply.status.as_u16(), reply.cause()), (409, "route_conflict".to_owned()));
    assert_eq!(on_second(path.clone()).await, 404, "after a conflict");

    let upload = first.admin("PUT", &path, refused.clone()).await;
    assert!(upload.status.is_success(), "{}", upload.text());
    let canary = json!({
        "manifest": manifest("new", "/new/...", ""),
        "component": digest(&refused),
        "canary": "5%",
    });
    let reply = first.admin("POST", "/v1/apps/new/deployments", canary.to_string()).await;
    assert_eq!((reply.status.as_u16(), reply.cause()), (404, "not_found".to_owned()));
    assert_eq!(on_second(path.clone()).await, 404, "after a canary of nothing");
    assert!(fleet.etcd.store().await.get("desired/apps/thief").await.unwrap().is_none());
    assert_eq!(first.admin("HEAD", &path, "").await.status, 404, "nor on the first one");
}

#[tokio::test]
async fn what_the_store_cannot_take_is_refused_before_anybody_has_it() {
    let Some(fleet) = Fleet::start(2).await else { return };
    let [first, second] = &fleet.hosts[..] else { panic!("two hosts") };
    let more: String = (1..100).map(|n| format!("[[route]]\npath = \"/many/{n}\"\n")).collect();
    let many = |app: &str| manifest(app, "/many/0", &more);
    first.deploy(&says("probe"), &many("probe")).await;
    let keys = claims(&fleet).await;
    assert_eq!(keys.len(), 100);
    assert_eq!(first.admin("DELETE", "/v1/apps/probe", "").await.status, 204);
    // As a hundred apps leave them behind that older hosts have removed: each has to stay away.
    let ghosts = keys.into_iter().enumerate().map(|(n, key)| {
        let value = format!("ghost-{n}").into_bytes();
        Write::Put { key, value, lease: None }
    });
    let commit = Commit { guards: Vec::new(), writes: ghosts.collect() };
    fleet.etcd.store().await.commit(commit).await.unwrap();
    let large = says("large");
    let reply = first.try_deploy(&large, &many("large")).await;
    assert_eq!((reply.status.as_u16(), reply.cause()), (413, "too_large".to_owned()));
    assert!(reply.text().contains("guards: at most 125"), "{}", reply.text());
    let path = format!("/v1/blobs/{}", digest(&large));
    for host in [first, second] {
        assert_eq!(host.admin("HEAD", &path, "").await.status, 404);
    }
    assert_eq!(first.admin("GET", "/v1/apps/large", "").await.status, 404);
}

#[tokio::test]
async fn routes_stay_claimed_no_longer_than_a_kept_deployment_has_them() {
    let Some(fleet) = Fleet::start(1).await else { return };
    let host = fleet.first();
    let shop = |n: u32| manifest("shop", &format!("/v{n}/..."), "");
    for n in 1..=22 {
        host.deploy(&says("shop"), &shop(n)).await;
    }
    // Twenty deployments are kept to go back to, and each has its own route.
    let left = claims(&fleet).await;
    assert_eq!(left.len(), 20, "{left:?}");
    let has = |route: &str| left.iter().any(|key| key.contains(route));
    assert!(!has("/v1/") && !has("/v2/") && has("/v3/") && has("/v22/"), "{left:?}");
}

#[tokio::test]
async fn a_canary_that_ends_gives_back_what_it_alone_had() {
    let Some(fleet) = Fleet::start(1).await else { return };
    let host = fleet.first();
    host.deploy(&says("one"), &manifest("shop", "/a", "")).await;
    let canary = says("two");
    for end in ["DELETE", "POST"] {
        let path = format!("/v1/blobs/{}", digest(&canary));
        let upload = host.admin("PUT", &path, canary.clone()).await;
        assert!(upload.status.is_success(), "{}", upload.text());
        let text = manifest("shop", "/a", "[[route]]\npath = \"/new\"\n");
        let body = json!({ "manifest": text, "component": digest(&canary), "canary": "5%" });
        let reply = host.admin("POST", "/v1/apps/shop/deployments", body.to_string()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        assert_eq!(claims(&fleet).await.len(), 2);
        let reply = match end {
            "DELETE" => host.admin("DELETE", "/v1/apps/shop/canary", "").await,
            // A plain deploy in its place ends it, too.
            _ => host.try_deploy(&says("three"), &manifest("shop", "/a", "")).await,
        };
        assert!(reply.status.is_success(), "{}", reply.text());
        let left = claims(&fleet).await;
        assert_eq!(left.len(), 1, "{left:?}");
    }
}

#[tokio::test]
async fn an_acknowledged_deployment_is_in_two_ledgers_and_on_two_disks() {
    let Some(fleet) = Fleet::start(2).await else { return };
    let host = fleet.first();
    let hosts = host.admin("GET", "/v1/hosts", "").await.json();
    let second = &hosts["hosts"].as_array().unwrap()[1];
    assert_eq!(second["host"], "h2");
    let door = second["address"].as_str().unwrap().to_owned();
    let kept = |name: String| {
        let url = format!("http://{door}/.well-known/steerage/fleet/kept/{name}");
        host.send_http2(Request::get(url).body(Full::default()).unwrap())
    };
    assert_eq!(kept("shop/1".to_owned()).await.text(), "not yet");
    assert_eq!(kept("shop".to_owned()).await.status, 400);
    for generation in 1..=8 {
        // On one host only, which is the first or the second.
        let wasm = says(&format!("number {generation}"));
        host.deploy(&wasm, &manifest("shop", "/shop/...", "")).await;
        let said = kept(format!("shop/{generation}")).await.text();
        assert_eq!(said.len(), 16, "generation {generation}: {said}");
    }
    let events = host.admin("GET", "/v1/events?limit=1000", "").await.json();
    let events = events["events"].as_array().unwrap();
    assert!(events.iter().all(|event| event["kind"] != "not_kept_elsewhere"), "{events:?}");
}

#[tokio::test]
async fn a_host_that_came_later_shows_what_can_be_gone_back_to() {
    let Some(fleet) = Fleet::start(1).await else { return };
    for text in ["one", "two", "three"] {
        fleet.first().deploy(&says(text), &manifest("shop", "/shop/...", "")).await;
    }
    let late = Host::with(&Fleet::flags(&fleet.etcd.url(), "h2", &[]));
    let shown = late
        .until("the app", || async {
            let shown = late.admin("GET", "/v1/apps/shop", "").await;
            (shown.status == 200).then(|| shown.json())
        })
        .await;
    let history = shown["deployments"].as_array().unwrap_or_else(|| panic!("{shown}"));
    assert_eq!(history.len(), 3, "{shown}");
}
