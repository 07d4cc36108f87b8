//! Whose an app is: no deployment takes it from its tenant unasked, on a host alone and in a fleet.

use serde_json::json;

use crate::fleet::Fleet;
use crate::harness::{Host, digest, manifest, says};

fn of(tenant: &str) -> String {
    format!("tenant = \"{tenant}\"\n{}", manifest("shop", "/shop/...", ""))
}

async fn no_tenant_takes_an_app_unasked(host: &Host, other: &Host) {
    host.deploy(&says("acme"), &of("acme")).await;
    host.deploy(&says("acme again"), &of("acme")).await;
    other
        .until("the app here", || async { (other.get("/shop/").await.status == 200).then_some(()) })
        .await;
    for manifest in [of("evil"), manifest("shop", "/shop/...", "")] {
        let reply = other.try_deploy(&says("evil"), &manifest).await;
        assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (409, "other_tenant"));
        for word in ["shop", "`acme`", "--change-tenant"] {
            assert!(reply.text().contains(word), "{word}: {}", reply.text());
        }
    }
    assert_eq!(host.get("/shop/").await.text(), "acme again");
    // Whoever asks for it has the app change hands, and back again.
    for tenant in ["evil", "acme"] {
        let wasm = says(tenant);
        let body = json!({
            "manifest": of(tenant), "component": digest(&wasm), "change_tenant": true
        });
        host.admin("PUT", &format!("/v1/blobs/{}", digest(&wasm)), wasm).await;
        let reply = host.admin("POST", "/v1/apps/shop/deployments", body.to_string()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        host.until("the new owner's answer", || async {
            (host.get("/shop/").await.text() == tenant).then_some(())
        })
        .await;
    }
}

/// Two tenants deploy an app of one name at once, each where it likes.
async fn one_of_two_tenants_has_a_name(host: &Host, other: &Host) {
    for n in 0..4 {
        let manifest = |tenant: &str| {
            let text = manifest(&format!("shop{n}"), &format!("/shop{n}/..."), "");
            format!("tenant = \"{tenant}\"\n{text}")
        };
        let (one, two) = (says("acme"), says("evil"));
        let (acme, evil) = (manifest("acme"), manifest("evil"));
        let (acme, evil) =
            tokio::join!(host.try_deploy(&one, &acme), other.try_deploy(&two, &evil));
        let mut statuses = [acme.status.as_u16(), evil.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{} {}", acme.text(), evil.text());
        let refused = if acme.status == 409 { acme } else { evil };
        assert_eq!(refused.cause(), "other_tenant", "{}", refused.text());
    }
}

#[tokio::test]
async fn a_host_leaves_an_app_to_its_tenant() {
    let host = Host::start();
    no_tenant_takes_an_app_unasked(&host, &host).await;
    one_of_two_tenants_has_a_name(&host, &host).await;
}

#[tokio::test]
async fn a_fleet_leaves_an_app_to_its_tenant() {
    let Some(fleet) = Fleet::start(2).await else { return };
    no_tenant_takes_an_app_unasked(fleet.first(), &fleet.hosts[1]).await;
    one_of_two_tenants_has_a_name(fleet.first(), &fleet.hosts[1]).await;
}

#[tokio::test]
async fn the_verb_says_how_an_app_changes_hands() {
    let host = Host::start();
    host.deploy(&says("acme"), &of("acme")).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shop.wasm"), says("evil")).unwrap();
    let file = folder.path().join("steerage.toml");
    std::fs::write(&file, of("evil")).unwrap();
    let file = file.to_str().unwrap();
    let refused = host.run(&["deploy", "-f", file]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.stderr.contains("--change-tenant"), "{}", refused.stderr);
    host.run(&["deploy", "-f", file, "--change-tenant"]).done();
    assert_eq!(host.get("/shop/").await.text(), "evil");
}
