//! Whom the hosts of a fleet believe while they run: a host whose certificates are revoked, an authority
//! that takes the place of another one, and ends that are told before they come.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use serde_json::Value;
use steerage::identity::Identity;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::fleet::Fleet;
use crate::harness::{Host, Said, manifest, run_in, says};

/// Whom a host does not believe it refuses at once; one that it believes and that says nothing it leaves for
/// forty seconds.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);

/// A host of a fleet with certificates, on a data folder that outlives it.
fn start(store: &str, folder: &Path, name: &str) -> Host {
    let identity = folder.join(name);
    let flags = ["--store", store, "--name", name, "--zone", name, "--peer", "127.0.0.1:0"];
    let data = folder.join(format!("data-{name}"));
    Host::on(&data, &[&flags[..], &["--identity", identity.to_str().unwrap()]].concat())
}

/// So many hosts whose certificates are of the authority in `fleet-ca`.
async fn fleet(n_hosts: usize) -> Option<(Fleet, TempDir)> {
    let mut fleet = Fleet::start(0).await?;
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), &["cert", "init"]).done();
    for number in 1..=n_hosts {
        let name = format!("h{number}");
        run_in(folder.path(), &["cert", "issue", &name, "--address", "127.0.0.1"]).done();
        fleet.hosts.push(start(&fleet.etcd.url(), folder.path(), &name));
    }
    for host in &fleet.hosts {
        fleet.answers(host, n_hosts).await;
    }
    Some((fleet, folder))
}

/// What a host says of another one.
async fn seen(host: &Host, of: &str) -> Option<Value> {
    let hosts = host.admin("GET", "/v1/hosts", "").await.json();
    hosts["hosts"].as_array()?.iter().find(|host| host["host"] == of).cloned()
}

async fn in_state(host: &Host, of: &str, state: &str) {
    host.until(state, || async { seen(host, of).await.filter(|it| it["state"] == state) }).await;
}

/// Comes to the peer door of a host with the certificate in a folder, as whoever holds it may.
async fn connect(door: &str, of: &str, folder: &Path) -> std::io::Result<TlsStream<TcpStream>> {
    let identity = Identity::load(folder).unwrap();
    let name = ServerName::try_from(of.to_owned()).unwrap();
    let stream = TcpStream::connect(door).await?;
    let mut stream = TlsConnector::from(identity.client()).connect(name, stream).await?;
    // As HTTP/2 begins, so that it is kept: the preface, and settings without any.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
    Ok(stream)
}

/// Whether the other side ends the connection, at once where it refuses it.
async fn is_ended(connected: std::io::Result<TlsStream<TcpStream>>, patience: Duration) -> bool {
    let Ok(mut stream) = connected else { return true };
    let mut bytes = [0; 1024];
    let ended = async { while stream.read(&mut bytes).await.is_ok_and(|n_read| n_read > 0) {} };
    tokio::time::timeout(patience, ended).await.is_ok()
}

fn refused(said: &Said, words: &[&str]) {
    assert_ne!(said.code, 0, "{said:?}");
    for word in words {
        assert!(said.stderr.contains(word), "no {word:?} in {said:?}");
    }
}

#[tokio::test]
async fn a_revoked_host_is_refused_at_once_and_for_good_and_comes_back_with_a_new_certificate() {
    let Some((mut fleet, folder)) = fleet(3).await else { return };
    let path = folder.path();
    // What a thief has of it.
    let stolen = path.join("stolen");
    fs::create_dir(&stolen).unwrap();
    for file in ["ca.pem", "host.pem", "host.key"] {
        fs::copy(path.join("h3").join(file), stolen.join(file)).unwrap();
    }
    fleet.first().deploy(&says("app"), &manifest("app", "/app/...", "")).await;
    fleet.all_answer("/app/", "app").await;
    let door = seen(fleet.first(), "h1").await.unwrap()["address"].as_str().unwrap().to_owned();
    let open = connect(&door, "h1", &stolen).await.unwrap();
    assert!(!is_ended(connect(&door, "h1", &stolen).await, Duration::from_millis(300)).await);

    refused(
        &fleet.first().run(&["fleet", "revoke", "h1"]),
        &["h1 is the host that was asked", "--force"],
    );
    refused(&fleet.first().run(&["fleet", "revoke", "h9"]), &["no host named h9", "h1, h2, h3"]);
    let said = fleet.first().run(&["fleet", "revoke", "h3"]).done();
    let told_at = Instant::now();
    assert!(said.stdout.contains("steerage cert renew"), "{said:?}");
    assert!(is_ended(Ok(open), REFUSED_WITHIN).await);
    eprintln!("an open connection was ended after {:?}", told_at.elapsed());
    for host in &fleet.hosts[..2] {
        in_state(host, "h3", "revoked").await;
    }
    eprintln!("all others knew after {:?}", told_at.elapsed());
    assert!(is_ended(connect(&door, "h1", &stolen).await, REFUSED_WITHIN).await);
    let told = fleet.event(&fleet.hosts[2], "not_registered").await;
    assert!(
        told["message"].as_str().unwrap().contains("the certificate of h3 is revoked"),
        "{told}"
    );
    fleet.event(fleet.first(), "host_revoked").await;
    for host in &fleet.hosts[..2] {
        assert_eq!(host.get("/app/").await.text(), "app");
    }

    // That the store says nothing takes nothing back, nor does a restart.
    let store = fleet.etcd.store().await;
    let key = "fleet/revoked/h3".to_owned();
    let writes = vec![steerage::store::Write::Delete(key)];
    store.commit(steerage::store::Commit { guards: Vec::new(), writes }).await.unwrap();
    fleet.hosts[0].kill();
    fleet.hosts[0] = start(&fleet.etcd.url(), path, "h1");
    fleet.answers(fleet.first(), 2).await;
    let door = seen(fleet.first(), "h1").await.unwrap()["address"].as_str().unwrap().to_owned();
    assert!(is_ended(connect(&door, "h1", &stolen).await, REFUSED_WITHIN).await);
    in_state(fleet.first(), "h3", "revoked").await;

    run_in(path, &["cert", "renew", "h3"]).done();
    for host in &fleet.hosts {
        fleet.answers(host, 3).await;
    }
    assert!(is_ended(connect(&door, "h1", &stolen).await, REFUSED_WITHIN).await);
}

/// Calls an app on all hosts again and again; how many calls failed, of how many.
struct Callers {
    is_over: Arc<AtomicBool>,
    calls: tokio::task::JoinHandle<(u64, u64)>,
}

impl Callers {
    fn begin(fleet: &Fleet) -> Self {
        let doors: Vec<String> = fleet.hosts.iter().map(|host| host.listen.clone()).collect();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let calls = tokio::spawn(async move {
            let (mut n_failed, mut n_calls) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                for door in &doors {
                    let request =
                        b"GET /app/ HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";
                    let said = crate::harness::raw(door, request).await;
                    n_calls += 1;
                    n_failed += u64::from(!said.starts_with("HTTP/1.1 200"));
                }
            }
            (n_failed, n_calls)
        });
        Self { is_over, calls }
    }

    async fn end(self) -> (u64, u64) {
        self.is_over.store(true, Ordering::Relaxed);
        self.calls.await.unwrap()
    }
}

/// Waits until what the first host knows of every host's certificate is so.
async fn all(fleet: &Fleet, what: &str, is_so: impl Fn(&Value) -> bool) {
    let first = fleet.first();
    first
        .until(what, || async {
            let hosts = first.admin("GET", "/v1/hosts", "").await.json();
            let hosts = hosts["hosts"].as_array()?.clone();
            hosts.iter().all(|host| is_so(&host["certificate"])).then_some(())
        })
        .await;
}

fn n_believed(certificate: &Value) -> usize {
    certificate["believes"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn another_authority_takes_the_place_of_the_first_and_no_call_fails() {
    let Some((fleet, folder)) = fleet(3).await else { return };
    let path = folder.path();
    // On one host only, so that most calls go over the others' certificates.
    let more = "[replicas]\nmin = 1\nmax = 1";
    fleet.first().deploy(&says("app"), &manifest("app", "/app/...", more)).await;
    fleet.all_answer("/app/", "app").await;
    let old = seen(fleet.first(), "h1").await.unwrap()["certificate"]["authority"].clone();
    let callers = Callers::begin(&fleet);

    run_in(path, &["cert", "init", "--dir", "new-ca"]).done();
    // Too early: the others do not believe it.
    refused(
        &run_in(path, &["cert", "renew", "h1", "--dir", "new-ca"]),
        &["stays as it was", "steerage cert trust h1 --dir NEW"],
    );
    run_in(path, &["cert", "trust", "h1", "--dir", "new-ca"]).done();
    run_in(path, &["cert", "renew", "h1", "--dir", "new-ca"]).done();
    let told = fleet.event(fleet.first(), "certificate_unusable").await;
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("not believed by h2, h3 yet"), "{told}");
    for host in ["h2", "h3"] {
        run_in(path, &["cert", "trust", host, "--dir", "new-ca"]).done();
    }
    all(&fleet, "both authorities everywhere", |it| n_believed(it) == 2).await;
    // The one that was too early is shown by now.
    for host in ["h2", "h3"] {
        run_in(path, &["cert", "renew", host, "--dir", "new-ca"]).done();
        if host == "h2" {
            // Too early: one needs it still.
            let is_new = |it: &Value| it["authority"] != old;
            let first = fleet.first();
            first
                .until("h1 and h2 with new certificates", || async {
                    let (one, two) = (seen(first, "h1").await?, seen(first, "h2").await?);
                    (is_new(&one["certificate"]) && is_new(&two["certificate"])).then_some(())
                })
                .await;
            run_in(path, &["cert", "distrust", "h1", "--dir", "fleet-ca"]).done();
            first
                .until("refusal to give up an authority", || async {
                    let events = first.admin("GET", "/v1/events?limit=1000", "").await.json();
                    let mut events = events["events"].as_array()?.iter();
                    events
                        .any(|it| it["message"].as_str().unwrap().contains("shown by h3"))
                        .then_some(())
                })
                .await;
        }
    }
    all(&fleet, "new certificates everywhere", |it| it["authority"] != old).await;
    for host in ["h2", "h3"] {
        run_in(path, &["cert", "distrust", host, "--dir", "fleet-ca"]).done();
    }
    all(&fleet, "one authority everywhere", |it| n_believed(it) == 1).await;
    let said = fleet.first().run(&["fleet", "authorities"]).done();
    assert!(said.stdout.contains("one authority, which all believe"), "{said:?}");
    for host in &fleet.hosts {
        fleet.answers(host, 3).await;
    }
    let (n_failed, n_calls) = callers.end().await;
    eprintln!("{n_calls} calls, {n_failed} failed");
    assert_eq!(n_failed, 0, "of {n_calls} calls");
    // Who has a certificate of the old one only is a stranger now.
    run_in(path, &["cert", "issue", "h4", "--address", "127.0.0.1"]).done();
    let door = seen(fleet.first(), "h1").await.unwrap()["address"].as_str().unwrap().to_owned();
    // It believes h1 itself: what refuses is h1.
    run_in(path, &["cert", "trust", "h4", "--dir", "new-ca"]).done();
    let stranger = connect(&door, "h1", &path.join("h4")).await;
    assert!(is_ended(stranger, REFUSED_WITHIN).await);
}

async fn events_of(host: &Host, kind: &str) -> Vec<Value> {
    let events = host.admin("GET", "/v1/events?limit=1000", "").await.json();
    let events = events["events"].as_array().unwrap().clone();
    events.into_iter().filter(|event| event["kind"] == kind).collect()
}

#[tokio::test]
async fn ends_of_certificates_are_told_once_over_restarts_and_are_metrics() {
    let Some(mut fleet) = Fleet::start(0).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_in(path, &["cert", "init", "--days", "20"]).done();
    let words = ["cert", "issue", "h1", "--address", "127.0.0.1", "--days", "5"];
    run_in(path, &words).done();
    let url = fleet.etcd.url();
    let flags = |name: &str| -> PathBuf { path.join("h1").join(name) };
    let (certificate, key) = (flags("host.pem"), flags("host.key"));
    let start = || {
        let identity = path.join("h1");
        let flags = ["--store", &url, "--name", "h1", "--peer", "127.0.0.1:0", "--identity"];
        let files = [identity.to_str().unwrap(), "--tls-cert", certificate.to_str().unwrap()];
        let more = ["--tls-key", key.to_str().unwrap()];
        Host::on(&path.join("data"), &[&flags[..], &files, &more].concat())
    };
    fleet.hosts.push(start());
    let told = fleet.event(fleet.first(), "authority_expires").await;
    assert!(told["message"].as_str().unwrap().contains("expires within 30 days"), "{told}");
    assert!(told["advice"].as_str().unwrap().contains("steerage cert trust"), "{told}");
    let both = |events: Vec<Value>| (events.len() == 2).then_some(events);
    let first = fleet.first();
    let own =
        first.until("both ends", || async { both(events_of(first, "certificate_expires").await) });
    for event in own.await {
        assert!(event["message"].as_str().unwrap().contains("expires within 7 days"), "{event}");
    }
    for (of, days) in [("callers", 4.0), ("hosts", 4.0), ("authority", 19.0)] {
        let found = first.metric(&format!("certificate_days_left{{of=\"{of}\"}}")).await;
        // The certificate is made within a second at best.
        assert!(found == days || found == days + 1.0, "{of}: {found}");
    }
    let identity = path.join("h1");
    let words =
        ["doctor", "--store", &url, "--name", "h1", "--identity", identity.to_str().unwrap()];
    let said = run_in(path, &words);
    for word in ["certificate for hosts", "expires within 7 days", "authority of the hosts"] {
        assert!(said.stdout.contains(word), "no {word:?} in {said:?}");
    }
    fleet.hosts[0].ends_in_time();
    fleet.hosts[0] = start();
    fleet.answers(fleet.first(), 1).await;
    // It has looked at its certificates by the time it tells of another one.
    run_in(path, &["cert", "renew", "h1", "--days", "19"]).done();
    fleet.event(fleet.first(), "certificate_replaced").await;
    let own = events_of(fleet.first(), "certificate_expires").await;
    let weeks = own.iter().filter(|it| it["message"].as_str().unwrap().contains("7 days"));
    assert_eq!(weeks.count(), 2, "{own:?}");
    assert_eq!(events_of(fleet.first(), "authority_expires").await.len(), 1);
}
