//! Certificates that hosts renew by themselves: over the peer door, from a host that was given the
//! authority's key, before they end.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
use rustls::pki_types::ServerName;
use serde_json::Value;
use steerage::identity::{Identity, issuing};
use steerage_core::id::HostName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::fleet::Fleet;
use crate::harness::{Host, run_in};

const HOUR: Duration = Duration::from_secs(3600);

/// Makes a host's certificate anew, as if that had been done five hours ago and for until so long from now:
/// more than two thirds of its time are over.
fn age(folder: &Path, name: &str, left: Duration) {
    age_for(folder, name, left, &["127.0.0.1"]);
}

/// The same with these addresses.
fn age_for(folder: &Path, name: &str, left: Duration, addresses: &[&str]) {
    let read = |path: &str| fs::read_to_string(folder.join(path)).unwrap();
    let authority = KeyPair::from_pem(&read("fleet-ca/ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("fleet-ca/ca.pem"), authority).unwrap();
    let key = KeyPair::from_pem(&read(&format!("{name}/host.key"))).unwrap();
    let now = SystemTime::now();
    let host: HostName = name.parse().unwrap();
    let addresses = addresses.iter().map(ToString::to_string).collect();
    let params = issuing::of_host(&host, addresses, (now - 6 * HOUR, now + left));
    let made = params.unwrap().signed_by(&key, &issuer).unwrap();
    fs::write(folder.join(name).join("host.pem"), made.pem()).unwrap();
}

/// A host of a fleet with certificates, on a data folder of its own.
fn start(fleet: &Fleet, folder: &Path, name: &str, more: &[&str]) -> Host {
    let (url, identity) = (fleet.etcd.url(), folder.join(name));
    let flags = ["--store", &url, "--name", name, "--zone", name, "--peer", "127.0.0.1:0"];
    let flags = [&flags[..], &["--identity", identity.to_str().unwrap()], more].concat();
    Host::on(&folder.join(format!("data-{name}")), &flags)
}

/// An authority, and certificates of these hosts that are to be renewed.
fn certificates(names: &[&str], left: Duration) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), &["cert", "init"]).done();
    for name in names {
        run_in(folder.path(), &["cert", "issue", name, "--address", "127.0.0.1"]).done();
        age(folder.path(), name, left);
    }
    folder
}

fn ends(folder: &Path, name: &str) -> jiff::Timestamp {
    Identity::load(&folder.join(name)).unwrap().ends()
}

fn names(folder: &Path, name: &str) -> (HostName, Vec<String>) {
    named(&fs::read(folder.join(name).join("host.pem")).unwrap())
}

fn named(pem: &[u8]) -> (HostName, Vec<String>) {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem).unwrap();
    issuing::named(&block.contents).unwrap()
}

async fn address(host: &Host, of: &str) -> String {
    let hosts = host.admin("GET", "/v1/hosts", "").await.json();
    let hosts = hosts["hosts"].as_array().unwrap().clone();
    let found = hosts.iter().find(|host| host["host"] == of).unwrap();
    found["address"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn hosts_have_their_certificates_renewed_by_the_one_that_has_the_key() {
    let Some(mut fleet) = Fleet::start(0).await else { return };
    let folder = certificates(&["h1", "h2"], HOUR);
    let path = folder.path();
    let before = [ends(path, "h1"), ends(path, "h2")];
    let (named, key) = (names(path, "h2"), fs::read(path.join("h2/host.key")).unwrap());
    let ca = path.join("fleet-ca/ca.key");
    let h1 = start(&fleet, path, "h1", &["--authority-key", ca.to_str().unwrap()]);
    let h2 = start(&fleet, path, "h2", &[]);
    fleet.hosts.extend([h1, h2]);
    for host in &fleet.hosts {
        let told = fleet.event(host, "certificate_renewed").await;
        assert!(told["message"].as_str().unwrap().contains("h1 has signed"), "{told}");
        fleet.event(host, "certificate_replaced").await;
    }
    for (name, before) in ["h1", "h2"].iter().zip(before) {
        let left = ends(path, name).duration_since(before).as_secs();
        // As long as it was, and counted from a minute before.
        assert!((5 * 3600 - 120..5 * 3600).contains(&left), "{left} s more");
    }
    assert_eq!(names(path, "h2"), named);
    assert_eq!(fs::read(path.join("h2/host.key")).unwrap(), key);
    assert_eq!(fs::read_dir(path.join("h2")).unwrap().count(), 3);
    for host in &fleet.hosts {
        fleet.answers(host, 2).await;
        let all = host.admin("GET", "/v1/events?limit=1000", "").await.json();
        let kinds: Vec<_> =
            all["events"].as_array().unwrap().iter().map(|it| &it["kind"]).collect();
        assert!(!kinds.iter().any(|kind| *kind == "certificate_not_renewed"), "{kinds:?}");
    }
}

#[tokio::test]
async fn what_an_operator_has_put_in_place_is_what_is_renewed_and_not_what_was_there_before() {
    let Some(mut fleet) = Fleet::start(0).await else { return };
    let folder = certificates(&["h1", "h2"], HOUR);
    let path = folder.path();
    let ca = path.join("fleet-ca/ca.key");
    let h1 = start(&fleet, path, "h1", &["--authority-key", ca.to_str().unwrap()]);
    let h2 = start(&fleet, path, "h2", &[]);
    fleet.hosts.extend([h1, h2]);
    for host in &fleet.hosts {
        fleet.event(host, "certificate_replaced").await;
        fleet.answers(host, 2).await;
    }
    // With another address each time, and to be renewed again. The connections between the two go on, one for
    // each thread, and each has the certificate that was shown when it began.
    for number in 1..=4 {
        let another = format!("10.1.1.{number}");
        age_for(path, "h2", HOUR, &["127.0.0.1", &another]);
        let due = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(5);
        fleet
            .first()
            .until("another renewal", || async {
                let is_renewed = ends(path, "h2") > due;
                is_renewed.then(|| assert!(names(path, "h2").1.contains(&another), "{another}"))
            })
            .await;
    }
}

#[test]
fn a_key_of_the_authority_that_others_can_read_is_refused() {
    let folder = certificates(&["h1"], HOUR);
    let key = folder.path().join("fleet-ca/ca.key");
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let words = ["host", "--store", "etcd://127.0.0.1:1", "--name", "h1", "--identity", "h1"];
        let key = key.to_str().unwrap();
        let more = ["--data", "data", "--authority-key", key];
        let said = run_in(folder.path(), &[&words[..], &more].concat());
        assert!(said.code != 0 && said.stderr.contains("chmod 600"), "{mode:o}: {said:?}");
    }
}

/// What a host says to who asks it for a certificate, and has shown the one in a folder.
async fn ask(door: &str, of: &str, folder: &Path, request: String) -> Option<(u16, String)> {
    let identity = Identity::load(folder).unwrap();
    let name = ServerName::try_from(of.to_owned()).unwrap();
    let stream = TcpStream::connect(door).await.unwrap();
    let stream = TlsConnector::from(identity.client()).connect(name, stream).await.ok()?;
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let uri = "http://fleet/.well-known/steerage/fleet/certificate";
    let request = http::Request::post(uri).body(Full::new(Bytes::from(request))).unwrap();
    let response = sender.send_request(request).await.ok()?;
    let status = response.status().as_u16();
    let said = response.into_body().collect().await.ok()?.to_bytes();
    Some((status, String::from_utf8(said.to_vec()).unwrap()))
}

/// A request for a certificate of this name, with another key.
fn request_for(name: &str) -> String {
    request_with(name, &KeyPair::generate().unwrap())
}

fn request_with(name: &str, key: &KeyPair) -> String {
    let mut params = CertificateParams::new(vec![name.to_owned(), "evil.test".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serialize_request(key).unwrap().pem().unwrap()
}

#[tokio::test]
async fn who_asks_gets_a_certificate_for_its_own_name_and_a_revoked_host_gets_none() {
    let Some(mut fleet) = Fleet::start(0).await else { return };
    let folder = certificates(&["h1", "h2", "h3"], HOUR);
    let path = folder.path();
    let ca = path.join("fleet-ca/ca.key");
    let h1 = start(&fleet, path, "h1", &["--authority-key", ca.to_str().unwrap()]);
    let h2 = start(&fleet, path, "h2", &[]);
    fleet.hosts.extend([h1, h2]);
    for host in &fleet.hosts {
        fleet.event(host, "certificate_replaced").await;
    }
    let doors = [address(fleet.first(), "h1").await, address(fleet.first(), "h2").await];
    let h3 = path.join("h3");

    let key = KeyPair::generate().unwrap();
    let (status, said) = ask(&doors[0], "h1", &h3, request_with("h1", &key)).await.unwrap();
    assert_eq!(status, 200, "{said}");
    let expected = ("h3".parse().unwrap(), vec!["h3".to_owned(), "127.0.0.1".to_owned()]);
    assert_eq!(named(said.as_bytes()), expected, "whatever it asks for");
    let signed = path.join("signed");
    fs::create_dir(&signed).unwrap();
    fs::copy(h3.join("ca.pem"), signed.join("ca.pem")).unwrap();
    fs::write(signed.join("host.pem"), said).unwrap();
    fs::write(signed.join("host.key"), key.serialize_pem()).unwrap();
    // It is let in with it, and has no need of another one.
    let (status, said) = ask(&doors[0], "h1", &signed, request_for("h3")).await.unwrap();
    assert_eq!((status, said.contains("would end no later")), (403, true), "{said}");
    let (status, said) = ask(&doors[0], "h1", &h3, "give me one".to_owned()).await.unwrap();
    assert_eq!(status, 400, "{said}");
    let long = "-".repeat(20_000);
    assert_eq!(ask(&doors[0], "h1", &h3, long).await.unwrap().0, 400);
    let (status, said) = ask(&doors[1], "h2", &h3, request_for("h3")).await.unwrap();
    assert_eq!((status, said.contains("authority's key")), (404, true), "{said}");

    fleet.first().run(&["fleet", "revoke", "h3", "--force"]).done();
    // What was signed a moment before is revoked as well.
    for folder in [&h3, &signed] {
        let said = ask(&doors[0], "h1", folder, request_for("h3")).await;
        let is_refused = |said: &(u16, String)| said.0 == 403 && said.1.contains("revoked");
        assert!(said.as_ref().is_none_or(is_refused), "{said:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_gone_or_another_ones_is_told_and_used_when_it_is_there_again() {
    let Some(mut fleet) = Fleet::start(0).await else { return };
    let folder = certificates(&["h1", "h2"], Duration::from_secs(120));
    let path = folder.path();
    run_in(path, &["cert", "renew", "h1"]).done();
    run_in(path, &["cert", "init", "--dir", "other"]).done();
    let url = fleet.etcd.url();
    let words = ["host", "--store", &url, "--name", "h1", "--identity", "h1", "--data", "data"];
    let said = run_in(path, &[&words[..], &["--authority-key", "other/ca.key"]].concat());
    assert!(said.code != 0 && said.stderr.contains("is not the key of an authority"), "{said:?}");

    let key = path.join("key");
    fs::copy(path.join("fleet-ca/ca.key"), &key).unwrap();
    let h1 = start(&fleet, path, "h1", &["--authority-key", key.to_str().unwrap()]);
    fleet.hosts.push(h1);
    fleet.answers(fleet.first(), 1).await;
    fs::remove_file(&key).unwrap();
    let h2 = start(&fleet, path, "h2", &[]);
    fleet.hosts.push(h2);
    let told = fleet.event(&fleet.hosts[1], "certificate_not_renewed").await;
    assert!(told["advice"].as_str().unwrap().contains("steerage cert renew"), "{told}");
    fleet.event(fleet.first(), "cannot_sign").await;
    fs::copy(path.join("fleet-ca/ca.key"), &key).unwrap();
    fleet.event(&fleet.hosts[1], "certificate_renewed").await;
    fleet.event(&fleet.hosts[1], "certificate_replaced").await;
}

#[tokio::test]
async fn where_nobody_has_the_key_the_warning_says_what_to_do() {
    let Some(mut fleet) = Fleet::start(0).await else { return };
    let folder = certificates(&["h1"], HOUR);
    let before = fs::read(folder.path().join("h1/host.pem")).unwrap();
    let h1 = start(&fleet, folder.path(), "h1", &[]);
    fleet.hosts.push(h1);
    let told: Value = fleet.event(fleet.first(), "certificate_expires").await;
    let advice = told["advice"].as_str().unwrap();
    assert!(advice.contains("steerage cert renew DIR"), "{told}");
    assert!(advice.contains("--authority-key"), "{told}");
    assert_eq!(fs::read(folder.path().join("h1/host.pem")).unwrap(), before);
}

#[tokio::test]
async fn one_command_puts_another_authority_in_the_place_of_the_first_and_goes_on_where_it_ended() {
    let Some(mut fleet) = Fleet::start(0).await else { return };
    let folder = certificates(&["h1", "h2"], 24 * HOUR);
    let path = folder.path();
    run_in(path, &["cert", "init", "--dir", "new-ca"]).done();
    let key = path.join("key");
    fs::copy(path.join("fleet-ca/ca.key"), &key).unwrap();
    let h1 = start(&fleet, path, "h1", &["--authority-key", key.to_str().unwrap()]);
    fleet.hosts.push(h1);
    let h2 = start(&fleet, path, "h2", &[]);
    fleet.hosts.push(h2);
    for host in &fleet.hosts {
        fleet.answers(host, 2).await;
    }
    let admin = format!("http://{}", fleet.first().admin);
    let rotate = |folders: &[&str], more: &[&str]| {
        let words = ["cert", "rotate", "--new", "new-ca", "--admin", &admin];
        run_in(path, &[&words[..], folders, more].concat())
    };
    let said = rotate(&["h1"], &[]);
    assert!(said.code == 4 && said.stderr.contains("no folder is given for h2"), "{said:?}");
    let said = run_in(path, &["cert", "rotate", "--new", "nowhere", "--admin", &admin, "h1", "h2"]);
    assert!(said.stderr.contains("steerage cert init --dir nowhere"), "{said:?}");
    // h2 reads its files elsewhere, and is given them by nobody yet.
    fs::create_dir(path.join("copy")).unwrap();
    for file in ["ca.pem", "host.pem", "host.key"] {
        fs::copy(path.join("h2").join(file), path.join("copy").join(file)).unwrap();
    }
    let said = rotate(&["h1", "copy"], &["--timeout", "3"]);
    assert!(said.code != 0 && said.stderr.contains("h2 did not get there"), "{said:?}");
    assert!(said.stdout.contains("1 of 3") && !said.stdout.contains("2 of 3"), "{said:?}");

    fs::copy(path.join("new-ca/ca.key"), &key).unwrap();
    let said = rotate(&["h1", "h2"], &["--timeout", "60"]).done();
    assert!(said.stdout.contains("3 of 3") && said.stdout.contains("done"), "{said:?}");
    let said = fleet.first().run(&["fleet", "authorities"]).done();
    assert!(said.stdout.contains("one authority, which all believe"), "{said:?}");
    for host in &fleet.hosts {
        fleet.answers(host, 2).await;
    }
    rotate(&["h1", "h2"], &[]).done();

    // As where it was killed between the two files of a host.
    fs::write(path.join("h2/host.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(Identity::load(&path.join("h2")).is_err());
    rotate(&["h1", "h2"], &["--timeout", "60"]).done();
    assert!(Identity::load(&path.join("h2")).is_ok());

    // A host that is lost may come back, and must not be a stranger then.
    fleet.hosts[1].kill();
    fleet
        .first()
        .until("loss of h2", || async {
            let hosts = fleet.first().admin("GET", "/v1/hosts", "").await.json();
            let is_lost = |host: &&Value| host["host"] == "h2" && host["state"] == "lost";
            hosts["hosts"].as_array()?.iter().find(is_lost).map(drop)
        })
        .await;
    let said = rotate(&["h1"], &[]);
    assert!(said.code == 4 && said.stderr.contains("no folder is given for h2"), "{said:?}");
    let said = rotate(&["h1", "h2"], &[]).done();
    assert!(said.stdout.contains("not there: h2"), "{said:?}");
}
