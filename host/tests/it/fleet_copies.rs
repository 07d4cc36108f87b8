//! Components that were brought to a host for a deployment that it has not heard of yet: they stay there,
//! also over a restart, and not for ever.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use http::Request;
use http_body_util::Full;

use crate::etcd::Etcd;
use crate::fleet::Fleet;
use crate::harness::{Host, digest, manifest, says};

/// Starts the host on data of before, and waits until it has looked at what nobody needs.
async fn start(store: &str, data: &Path) -> Host {
    let unneeded = data.join("blobs").join(digest(b"unneeded").trim_start_matches("sha256:"));
    fs::write(&unneeded, b"unneeded").unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(60);
    fs::File::options().write(true).open(&unneeded).unwrap().set_modified(long_ago).unwrap();
    let host = Host::on(data, &Fleet::flags(store, "h1", &[]));
    host.until("end of the sweep", || async { (!unneeded.exists()).then_some(()) }).await;
    host
}

#[tokio::test]
async fn what_was_brought_for_a_deployment_survives_a_restart_before_it_is_heard_of() {
    let Some(etcd) = Etcd::start(1) else { return };
    drop(etcd.store().await);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut host = Host::on(data, &Fleet::flags(&etcd.url(), "h1", &[]));
    let door = host
        .until("registration", || async {
            let hosts = host.admin("GET", "/v1/hosts", "").await.json();
            Some(hosts["hosts"].as_array()?.first()?["address"].as_str()?.to_owned())
        })
        .await;
    let wasm = says("brought");
    let component = digest(&wasm);
    let url = format!("http://{door}/.well-known/steerage/fleet/blobs/{component}");
    let request = Request::put(url).body(Full::new(wasm.into())).unwrap();
    assert_eq!(host.send_http2(request).await.status, 201);
    let blobs = data.join("blobs");
    let name = component.trim_start_matches("sha256:");
    let is_there = || blobs.join(name).exists();
    for _ in 0..2 {
        host.kill();
        // Older than the next run, which looks at such only.
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        let blob = fs::File::options().write(true).open(blobs.join(name)).unwrap();
        blob.set_modified(long_ago).unwrap();
        host = start(&etcd.url(), data).await;
        assert!(is_there());
    }
    host.kill();
    let pin = blobs.join(format!("pins/{name}.unsaid"));
    let pin = fs::File::options().write(true).open(pin).unwrap();
    pin.set_modified(SystemTime::now() - Duration::from_secs(2 * 3600)).unwrap();
    let host = start(&etcd.url(), data).await;
    host.until("end of what nobody came to need", || async { (!is_there()).then_some(()) }).await;
}

#[tokio::test]
async fn what_was_brought_for_one_app_stays_when_another_that_had_it_goes() {
    let Some(fleet) = Fleet::start(1).await else { return };
    let host = fleet.first();
    let hosts = host.admin("GET", "/v1/hosts", "").await.json();
    let door = hosts["hosts"][0]["address"].as_str().unwrap().to_owned();
    let wasm = says("both");
    let component = digest(&wasm);
    let url = format!("http://{door}/.well-known/steerage/fleet/blobs/{component}");
    let bring = Request::put(format!("{url}?for=app.one")).body(Full::new(wasm.clone().into()));
    assert_eq!(host.send_http2(bring.unwrap()).await.status, 201);
    // The other app comes and goes before the first is heard of.
    host.deploy(&wasm, &manifest("two", "/two/...", "")).await;
    assert_eq!(host.admin("DELETE", "/v1/apps/two", "").await.status, 204);
    let there = |method: &str| Request::builder().method(method).uri(&url).body(Full::default());
    assert_eq!(host.send_http2(there("GET").unwrap()).await.status, 200);
    // Nobody can count on what no deployment here needs yet.
    assert_eq!(host.send_http2(there("POST").unwrap()).await.status, 404);
    host.deploy(&wasm, &manifest("one", "/one/...", "")).await;
    assert_eq!(host.send_http2(there("POST").unwrap()).await.status, 200);
    // Neither a pin that is over nor a promise keeps what nobody needs any more.
    assert_eq!(host.admin("DELETE", "/v1/apps/one", "").await.status, 204);
    host.until("end of what nobody needs", || async {
        (host.send_http2(there("GET").unwrap()).await.status == 404).then_some(())
    })
    .await;
}
