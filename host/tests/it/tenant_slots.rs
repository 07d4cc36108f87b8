//! A tenant's share of the instance slots: many apps of one tenant get no more than one of another.

use futures_util::future::join_all;
use http_body_util::Full;
use steerage_guests as guests;

use crate::harness::{Host, collect, manifest};

/// More than there are slots.
const N_APPS: usize = 33;

async fn serve(host: &Host, tenant: &str, app: &str, wasm: &[u8]) {
    let limits = "[limits]\ntimeout = \"60s\"";
    let text = manifest(app, &format!("/{app}/..."), limits);
    host.deploy(wasm, &format!("tenant = \"{tenant}\"\n{text}")).await;
}

/// A host with as many apps of one tenant as it has slots and one more, and two apps of another.
async fn host_of_two() -> Host {
    let host = Host::with(&["--slots", "32"]);
    let slow = std::fs::read(guests::SLOW).unwrap();
    for n in 0..N_APPS {
        serve(&host, "many", &format!("many{n}"), &slow).await;
    }
    serve(&host, "one", "one", &slow).await;
    serve(&host, "one", "hello", &std::fs::read(guests::HELLO).unwrap()).await;
    host
}

/// A call that holds a slot, or waits for one, until it is dropped.
fn hold(host: &Host, app: &str) -> tokio::task::JoinHandle<()> {
    let request =
        http::Request::get(host.url(&format!("/{app}?ms=50000"))).body(Full::default()).unwrap();
    let response = host.stream(request);
    tokio::spawn(async move {
        if let Ok(response) = response.await {
            drop(collect(response).await);
        }
    })
}

async fn until_used(host: &Host, n_slots: f64) {
    host.until("slots in use", || async {
        (host.metric("pool_slots_used").await >= n_slots).then_some(())
    })
    .await;
}

async fn running(host: &Host, app: &str) -> f64 {
    host.metric(&format!("http_server_active_requests{{app=\"{app}\"}}")).await
}

#[tokio::test]
async fn a_tenant_that_takes_all_slots_with_many_apps_leaves_some_to_others() {
    let host = host_of_two().await;
    let held: Vec<_> = (0..N_APPS).map(|n| hold(&host, &format!("many{n}"))).collect();
    until_used(&host, 31.0).await;
    for _ in 0..20 {
        assert_eq!(host.get("/hello").await.status, 200);
    }
    held.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn one_app_comes_to_hold_as_much_as_many_of_another_tenant() {
    let host = host_of_two().await;
    let apps = (0..N_APPS).flat_map(|n| [n, n]);
    let held: Vec<_> = apps.map(|n| hold(&host, &format!("many{n}"))).collect();
    until_used(&host, 31.0).await;
    let own: Vec<_> = (0..20).map(|_| hold(&host, "one")).collect();
    host.until("a call of the other tenant", || async {
        (running(&host, "one").await >= 1.0).then_some(())
    })
    .await;
    // Calls of the many end one by one, whichever of them have the slots, and more of theirs wait.
    let (mut ending, mut n_looks) = (held.iter(), 0);
    host.until("an equal part", || {
        // What has ended shows some looks later: were one ended at each, too few of them would be left.
        if n_looks % 5 == 0 {
            ending.next().into_iter().for_each(tokio::task::JoinHandle::abort);
        }
        n_looks += 1;
        let host = &host;
        async move { (running(host, "one").await >= 13.0).then_some(()) }
    })
    .await;
    let many = join_all((0..N_APPS).map(|n| {
        let (host, app) = (&host, format!("many{n}"));
        async move { running(host, &app).await }
    }));
    let many: f64 = many.await.iter().sum();
    assert!(many >= 13.0, "{many} of the many run");
    held.iter().chain(&own).for_each(tokio::task::JoinHandle::abort);
}
