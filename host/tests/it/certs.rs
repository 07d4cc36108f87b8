//! The fleet's own authority: what `steerage cert` makes, what hosts make of it over real sockets,
//! and etcd behind TLS.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use steerage::identity::{Identity, IdentityError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::etcd::{self, Etcd};
use crate::harness::{Said, run_in};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A folder with an authority and the certificates of these hosts.
fn fleet(hosts: &[&str]) -> TempDir {
    let folder = folder();
    run_in(folder.path(), &["cert", "init"]).done();
    for host in hosts {
        let words = ["cert", "issue", host, "--address", "127.0.0.1"];
        run_in(folder.path(), &words).done();
    }
    folder
}

fn identity(folder: &Path) -> Identity {
    Identity::load(folder).unwrap()
}

fn refused(said: &Said, words: &[&str]) {
    assert_eq!(said.code, 4, "{said:?}");
    for word in words {
        assert!(said.stderr.contains(word), "no {word} in {}", said.stderr);
    }
}

#[test]
fn an_authority_and_certificates_are_made_and_the_next_step_said() {
    let folder = folder();
    let made = run_in(folder.path(), &["cert", "init"]).done();
    assert!(made.stdout.contains("steerage cert issue NAME --dir fleet-ca"), "{made:?}");
    let mode =
        |path: &str| fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("fleet-ca/ca.key"), mode("fleet-ca")), (0o600, 0o700));
    let words =
        ["cert", "issue", "h1.example", "--address", "10.0.0.1", "--address", "h1", "--out"];
    let made = run_in(folder.path(), &[&words[..], &["certs/h1"]].concat()).done();
    assert!(
        made.stdout.contains("steerage host --name h1.example --identity certs/h1"),
        "{made:?}"
    );
    assert_eq!(mode("certs/h1/host.key"), 0o600);
    let identity = identity(&folder.path().join("certs/h1"));
    assert_eq!(identity.name().as_str(), "h1.example");
    let quiet = run_in(folder.path(), &["cert", "issue", "h2", "-q"]).done();
    assert_eq!(quiet.stdout + &quiet.stderr, "");
}

#[test]
fn a_renewed_certificate_is_for_the_same_names_and_longer() {
    let folder = folder();
    let path = folder.path();
    run_in(path, &["cert", "init"]).done();
    let words = ["cert", "issue", "h1.example", "--days", "5", "--out", "h1", "--address"];
    let addresses = ["10.0.0.1", "--address", "fd00::1", "--address", "other.example"];
    run_in(path, &[&words[..], &addresses].concat()).done();
    let names = || {
        let pem = fs::read(path.join("h1/host.pem")).unwrap();
        let (_, block) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
        let parsed = block.parse_x509().unwrap();
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        format!("{:?}", names.value)
    };
    let (before, key) = (names(), fs::read(path.join("h1/host.key")).unwrap());
    let ends = identity(&path.join("h1")).ends();
    let said = run_in(path, &["cert", "renew", "h1"]).done();
    assert!(said.stdout.contains("renewed the certificate of h1.example in h1/"), "{said:?}");
    assert_eq!(names(), before);
    assert_ne!(fs::read(path.join("h1/host.key")).unwrap(), key);
    let renewed = identity(&path.join("h1"));
    assert!(renewed.ends() > ends && renewed.name().as_str() == "h1.example");
    assert_eq!(fs::read_dir(path.join("h1")).unwrap().count(), 3);
    let said = run_in(path, &["cert", "renew", "nowhere"]);
    refused(&said, &["cannot read nowhere/host.pem", "steerage cert issue"]);
    let said = run_in(path, &["cert", "renew", "h1", "--dir", "nowhere"]);
    refused(&said, &["nowhere/ca.pem", "steerage cert init"]);
    assert_eq!(identity(&path.join("h1")).ends(), renewed.ends());
}

#[test]
fn nothing_is_overwritten_and_what_cannot_be_is_refused() {
    let fleet = fleet(&["h1"]);
    let path = fleet.path();
    let before = fs::read(path.join("fleet-ca/ca.key")).unwrap();
    refused(&run_in(path, &["cert", "init"]), &["fleet-ca/ca.pem exists already", "another --dir"]);
    assert_eq!(fs::read(path.join("fleet-ca/ca.key")).unwrap(), before);
    refused(&run_in(path, &["cert", "issue", "h1"]), &["h1/host.pem exists", "another --out"]);
    refused(&run_in(path, &["cert", "issue", "H_1"]), &["\"H_1\" is not a host's name"]);
    let said = run_in(path, &["cert", "issue", "h2", "--address", "http://a:1"]);
    refused(&said, &["\"http://a:1\" is neither", "no port"]);
    let said = run_in(path, &["cert", "issue", "h2", "--dir", "nowhere"]);
    refused(&said, &["nowhere/ca.pem", "steerage cert init --dir nowhere"]);
    run_in(path, &["cert", "init", "--dir", "short", "--days", "10"]).done();
    let said = run_in(path, &["cert", "issue", "h2", "--dir", "short"]);
    refused(&said, &["the authority is valid until", "or less"]);
    // A key that is not the authority's.
    fs::copy(path.join("h1/host.key"), path.join("short/ca.key")).unwrap();
    let said = run_in(path, &["cert", "issue", "h2", "--dir", "short", "--days", "1"]);
    assert!(said.code == 1 && said.stderr.contains("short cannot issue certificates"), "{said:?}");
    for (held, said) in [("", "it is empty"), ("<html>", "it holds no private key in PEM")] {
        fs::write(path.join("short/ca.key"), held).unwrap();
        let words = ["cert", "issue", "h2", "--dir", "short", "--days", "1"];
        refused(&run_in(path, &words), &["cannot use short/ca.key", said]);
    }
    assert!(!path.join("h2/host.pem").exists());
}

/// What the client read, where the server says hello to whoever has come in.
async fn talk(server: Arc<rustls::ServerConfig>, client: Talker, name: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        match TlsAcceptor::from(server).accept(stream).await {
            Ok(mut stream) => {
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                stream.write_all(b"hello").await.unwrap();
                stream.shutdown().await.unwrap();
            }
            Err(error) => drop(error),
        }
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut heard = String::new();
    let said = match client {
        Talker::Plain => {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            let mut bytes = Vec::new();
            drop(stream.read_to_end(&mut bytes).await);
            assert!(!String::from_utf8_lossy(&bytes).contains("hello"));
            String::new()
        }
        Talker::Tls(config) => {
            let name = ServerName::try_from(name.to_owned()).unwrap();
            match TlsConnector::from(config).connect(name, stream).await {
                Ok(mut stream) => match stream.read_to_string(&mut heard).await {
                    Ok(_) => heard,
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            }
        }
    };
    served.await.unwrap();
    said
}

enum Talker {
    Plain,
    Tls(Arc<rustls::ClientConfig>),
}

/// A client that believes this authority and has no certificate of its own.
fn nobody(ca: &Path) -> Arc<rustls::ClientConfig> {
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

#[tokio::test]
async fn hosts_of_one_fleet_talk_and_nobody_else_gets_anything() {
    let (ours, theirs) = (fleet(&["h1", "h2"]), fleet(&["h1", "h2"]));
    let h1 = identity(&ours.path().join("h1"));
    let h2 = identity(&ours.path().join("h2"));
    let other = identity(&theirs.path().join("h2"));
    assert_eq!(talk(h1.server(), Talker::Tls(h2.client()), "h1").await, "hello");
    assert_eq!(talk(h1.server(), Talker::Tls(h2.client()), "127.0.0.1").await, "hello");
    // A host is not taken for another one.
    let said = talk(h1.server(), Talker::Tls(h2.client()), "h2").await;
    assert!(said.contains("not valid for name"), "{said}");
    // Of another fleet, on either side.
    let said = talk(other.server(), Talker::Tls(h1.client()), "h2").await;
    assert!(said.contains("invalid peer certificate"), "{said}");
    let mut stranger = (*other.client()).clone();
    let believing = nobody(&ours.path().join("h1/ca.pem"));
    // Its own certificate, but belief in ours: only the server's look at it is left.
    let resolver = stranger.client_auth_cert_resolver.clone();
    stranger = (*believing).clone();
    stranger.client_auth_cert_resolver = resolver;
    stranger.alpn_protocols = vec![b"h2".to_vec()];
    let said = talk(h1.server(), Talker::Tls(Arc::new(stranger)), "h1").await;
    assert!(said.contains("received fatal alert"), "{said}");
    let said = talk(h1.server(), Talker::Tls(believing), "h1").await;
    assert!(said.contains("received fatal alert"), "{said}");
    assert_eq!(talk(h1.server(), Talker::Plain, "h1").await, "");
}

/// A certificate that nobody would issue, with its key and authority in a folder of its own.
fn strange(change: impl FnOnce(&mut rcgen::CertificateParams)) -> TempDir {
    let folder = folder();
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["h1".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "h1");
    change(&mut params);
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let made = params.signed_by(&key, &issuer).unwrap();
    fs::write(folder.path().join("ca.pem"), ca_pem).unwrap();
    fs::write(folder.path().join("host.pem"), made.pem()).unwrap();
    fs::write(folder.path().join("host.key"), key.serialize_pem()).unwrap();
    folder
}

fn unusable(folder: &Path) -> IdentityError {
    Identity::load(folder).unwrap_err()
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_with_the_file() {
    let good = strange(|_| {});
    assert_eq!(identity(good.path()).name().as_str(), "h1");
    let old = strange(|params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let text = unusable(old.path()).to_string();
    assert!(text.contains("host.pem expired at 2021-01-01T00:00:00Z"), "{text}");
    assert!(text.contains("steerage cert issue"), "{text}");
    let early = strange(|params| params.not_before = rcgen::date_time_ymd(2500, 1, 1));
    let text = unusable(early.path()).to_string();
    assert!(text.contains("host.pem is valid from 2500-01-01T00:00:00Z"), "{text}");
    assert!(text.contains("clocks"), "{text}");
    let nameless = strange(|params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "Some Person");
    });
    let text = unusable(nameless.path()).to_string();
    assert!(text.contains("host.pem is not a host's certificate: \"Some Person\""), "{text}");

    let other = strange(|_| {});
    fs::copy(other.path().join("ca.pem"), good.path().join("ca.pem")).unwrap();
    let error = unusable(good.path());
    assert!(matches!(error, IdentityError::OtherAuthority { .. }), "{error}");
    fs::copy(good.path().join("host.key"), other.path().join("host.key")).unwrap();
    let text = unusable(other.path()).to_string();
    assert!(text.contains("host.key: it is not the key of host.pem"), "{text}");
    fs::write(other.path().join("host.key"), "no key").unwrap();
    let text = unusable(other.path()).to_string();
    assert!(text.contains("host.key: it holds no private key"), "{text}");
    fs::write(other.path().join("ca.pem"), "").unwrap();
    let text = unusable(other.path()).to_string();
    assert!(text.contains("ca.pem: it is empty: expected a certificate"), "{text}");
    fs::remove_file(other.path().join("host.pem")).unwrap();
    fs::copy(good.path().join("ca.pem"), other.path().join("ca.pem")).unwrap();
    let text = unusable(other.path()).to_string();
    assert!(text.contains("cannot read") && text.contains("host.pem"), "{text}");
}

fn shown(folder: &Path, files: [&str; 3]) -> [PathBuf; 3] {
    files.map(|file| folder.join(file))
}

#[tokio::test]
async fn etcd_behind_tls_is_spoken_with_and_only_the_right_one() {
    let (ours, theirs) = (fleet(&["etcd", "h1"]), fleet(&["h1"]));
    let [ca, cert, key] = shown(ours.path(), ["fleet-ca/ca.pem", "etcd/host.pem", "etcd/host.key"]);
    let flags = [
        format!("--trusted-ca-file={}", ca.display()),
        format!("--cert-file={}", cert.display()),
        format!("--key-file={}", key.display()),
        "--client-cert-auth".to_owned(),
    ];
    let Some(etcd) = Etcd::start_with(1, "https", &flags) else { return };
    let address = etcd.address(0);
    let url = |ca: &Path, of: &Path| {
        let [cert, key] = ["h1/host.pem", "h1/host.key"].map(|file| of.join(file));
        let (ca, cert, key) = (ca.display(), cert.display(), key.display());
        format!("etcds://{address}?ca={ca}&cert={cert}&key={key}")
    };
    let store = etcd::open(&url(&ca, ours.path())).await.unwrap();
    etcd.answers(&store).await;
    let other_ca = theirs.path().join("fleet-ca/ca.pem");
    let bare = format!("etcds://{address}?ca={}", ca.display());
    let plain = format!("etcd://{address}");
    for (url, next) in [
        (url(&other_ca, ours.path()), "authority in ?ca="),
        (url(&ca, theirs.path()), "?cert= and ?key="),
        (bare, "?cert= and ?key="),
        (plain, "etcds://"),
    ] {
        let store = etcd::open(&url).await.unwrap();
        let error = store.get("a").await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&address) && text.contains(next), "{url}: {error:?}");
    }
    // A certificate that etcd does not take, and that is replaced while the store is in use.
    let renewed = tempfile::tempdir().unwrap();
    let put = |from: &Path| {
        fs::create_dir_all(renewed.path().join("h1")).unwrap();
        for file in ["h1/host.pem", "h1/host.key"] {
            let whole = renewed.path().join("whole");
            fs::copy(from.join(file), &whole).unwrap();
            fs::rename(whole, renewed.path().join(file)).unwrap();
        }
    };
    put(theirs.path());
    let store = etcd::open(&url(&ca, renewed.path())).await.unwrap();
    store.get("a").await.unwrap_err();
    put(ours.path());
    etcd.answers(&store).await;
    let Some(etcd) = Etcd::start(1) else { return };
    etcd.store().await;
    let url = format!("etcds://{}?ca={}", etcd.address(0), ca.display());
    let error = etcd::open(&url).await.unwrap().get("a").await.unwrap_err();
    assert!(error.to_string().contains("speak no TLS: write etcd://"), "{error}");
}
