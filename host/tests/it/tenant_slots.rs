//! A tenant's share of the instance slots: many apps of one tenant get no more than one of another.

use futures_util::future::join_all;
use http_body_util::Full;
use steerage_guests as guests;

use crate::harness::{Host, collect, manifest};

/// More than there are slots.
const N_APPS: usize = 33;

async fn serve(host: &Host, tenant: &str, app: &str, wasm: &[u8]) {
    let limits = "[limits]\ntimeout = \"5m\"";
    let text = manifest(app, &format!("/{app}/..."), limits);
    host.deploy(wasm, &format!("tenant = \"{tenant}\"\n{text}")).await;
}

/// A host with as many apps of one tenant as it has slots and one more, and two apps of another.
async fn host_of_two() -> Host {
    // A client that went away without a word is believed to be gone after the time for a head.
    let host = Host::with(&["--slots", "32", "--head-timeout", "1s"]);
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
        http::Request::get(host.url(&format!("/{app}?ms=250000"))).body(Full::default()).unwrap();
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

/// How many calls of `app` run or wait.
async fn present(host: &Host, app: &str) -> f64 {
    let told = host.admin("GET", &format!("/v1/apps/{app}"), "").await.json();
    told["running"].as_f64().unwrap() + told["waiting"].as_f64().unwrap()
}

async fn until_present(host: &Host, app: &str, n_calls: f64) {
    host.until(&format!("{n_calls} calls of {app}"), || async {
        (present(host, app).await.total_cmp(&n_calls).is_eq()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_app_comes_to_hold_as_much_as_many_of_another_tenant() {
    let host = host_of_two().await;
    let many: Vec<_> = (0..N_APPS).map(|n| format!("many{n}")).collect();
    let held: Vec<_> = many.iter().flat_map(|app| [app, app].map(|app| hold(&host, app))).collect();
    until_used(&host, 31.0).await;
    let own: Vec<_> = (0..20).map(|_| hold(&host, "one")).collect();
    for app in &many {
        until_present(&host, app, 2.0).await;
    }
    until_present(&host, "one", 20.0).await;
    // Calls of the many end one by one, and more of theirs wait. Each has left the host before the
    // next one ends: were they ended by the clock, a slow host would be left with too few.
    for (n, call) in held.iter().enumerate() {
        if running(&host, "one").await >= 13.0 {
            break;
        }
        call.abort();
        until_present(&host, &many[n / 2], if n % 2 == 0 { 1.0 } else { 0.0 }).await;
    }
    host.until("an equal part", || async { (running(&host, "one").await >= 13.0).then_some(()) })
        .await;
    let running = join_all(many.iter().map(|app| running(&host, app))).await;
    let running: f64 = running.iter().sum();
    assert!(running >= 13.0, "{running} of the many run");
    held.iter().chain(&own).for_each(tokio::task::JoinHandle::abort);
}
