//! Files that a host reads again while it runs: the certificate for callers and the operators' token.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use serde_json::Value;

use crate::harness::{Host, run};

/// Writes a certificate that ends in that year, and its key. Returns the certificate.
fn issue(folder: &Path, year: i32) -> Vec<u8> {
    issue_from(folder, 2000, year)
}

/// The same, from the beginning of another year on.
fn issue_from(folder: &Path, from: i32, year: i32) -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    certificate.der().to_vec()
}

/// A certificate that ends so long from now, and its key, both in PEM.
pub(crate) fn certificate_until(left: Duration) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = (SystemTime::now() + left).into();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Believes every certificate and keeps the last one.
#[derive(Debug, Default)]
struct Seen(Mutex<Vec<u8>>);

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = certificate.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The certificate that a new caller is shown.
async fn shown(host: &Host) -> Vec<u8> {
    let seen = Arc::new(Seen::default());
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .dangerous()
    .with_custom_certificate_verifier(seen.clone())
    .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(&host.listen).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    drop(connector.connect("localhost".try_into().unwrap(), stream).await.unwrap());
    seen.0.lock().unwrap().clone()
}

async fn event(host: &Host, kind: &str) -> Value {
    host.until(kind, || async {
        let events = host.admin("GET", "/v1/events?limit=100", "").await.json();
        let events = events["events"].as_array().or(events.as_array()).cloned()?;
        events.into_iter().rfind(|event| event["kind"] == kind)
    })
    .await
}

fn flags(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("cert.pem"), folder.join("key.pem"))
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_once_the_host_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let first = issue(folder.path(), 2300);
    let (certificate, key) = flags(folder.path());
    let host = Host::with(&[
        "--tls-cert",
        certificate.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ]);
    assert_eq!(shown(&host).await, first);
    let second = issue(folder.path(), 2301);
    host.signal("HUP");
    let replaced = event(&host, "certificate_replaced").await;
    assert!(replaced["message"].as_str().unwrap().contains("2301-01-01"), "{replaced}");
    assert_eq!(shown(&host).await, second);
    // What cannot be used changes nothing, and is told.
    std::fs::write(&key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    host.signal("HUP");
    let unusable = event(&host, "certificate_unusable").await;
    assert!(unusable["message"].as_str().unwrap().contains("is not the key of"), "{unusable}");
    assert_eq!(shown(&host).await, second);
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let ended = issue(folder.path(), 2001);
    let (certificate, key) = flags(folder.path());
    let flags = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let mut host = Host::logging(&flags);
    let told = event(&host, "certificate_expires").await;
    assert_eq!(told["severity"], "error");
    assert!(told["message"].as_str().unwrap().contains("has expired"), "{told}");
    assert_eq!(shown(&host).await, ended);
    host.signal("TERM");
    let log = host.wait_for_log();
    assert!(log.contains("the certificate for callers has expired"), "{log}");
}

#[tokio::test]
async fn a_certificate_whose_time_has_not_begun_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let early = issue_from(folder.path(), 2290, 2300);
    let (certificate, key) = flags(folder.path());
    let flags = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let host = Host::with(&flags);
    let told = event(&host, "certificate_not_yet_valid").await;
    assert_eq!(told["severity"], "error");
    assert!(told["message"].as_str().unwrap().contains("begins at 2290-01-01"), "{told}");
    assert_eq!(shown(&host).await, early);
    let examined = run(&[&["doctor"][..], &flags].concat());
    assert!(examined.stdout.contains("begins at 2290-01-01"), "{examined:?}");
    assert_eq!(examined.code, 1, "{examined:?}");
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = flags(folder.path());
    let refused = |expected: &str| {
        let data = folder.path().join("data");
        let listen = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"];
        let tls = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
        let words = [&["host"][..], &listen, &[data.to_str().unwrap()], &tls].concat();
        let said = run(&words);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.stderr.contains(expected), "no `{expected}` in {}", said.stderr);
    };
    // The authority's certificate first, as it is on top of many a bundle.
    issue(folder.path(), 2300);
    let own = std::fs::read_to_string(&certificate).unwrap();
    let own_key = std::fs::read_to_string(&key).unwrap();
    issue(folder.path(), 2300);
    let authority = std::fs::read_to_string(&certificate).unwrap();
    std::fs::write(&certificate, format!("{authority}{own}")).unwrap();
    std::fs::write(&key, &own_key).unwrap();
    refused("the key is that of its certificate 2");
    // Made by `openssl req -x509` with the extensions left out, and by `openssl genrsa 1024`.
    std::fs::write(&certificate, VERSION_1).unwrap();
    refused("it is of X.509 version 1");
    std::fs::write(&certificate, &own).unwrap();
    std::fs::write(&key, RSA_1024).unwrap();
    refused("its key is of a kind that cannot be used");
    let newer = own_key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    std::fs::write(&key, newer).unwrap();
    refused("its key is encrypted");
    std::fs::write(&key, &own).unwrap();
    refused("it holds no private key, but a section \"certificate\"");
}

#[tokio::test]
async fn a_new_token_holds_once_the_host_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "first-token-of-this-host").unwrap();
    let host = Host::with(&["--token-file", path.to_str().unwrap()]);
    let ask = async |token: &str| {
        let request = http::Request::get(format!("http://{}/v1/host", host.admin));
        let request = request.header("authorization", format!("Bearer {token}"));
        host.send(request.body(Default::default()).unwrap()).await.status.as_u16()
    };
    assert_eq!(ask("first-token-of-this-host").await, 200);
    // An empty file does not open the host to everybody, nor lock its operator out.
    std::fs::write(&path, "").unwrap();
    host.signal("HUP");
    std::fs::write(&path, "second-token-of-this-host").unwrap();
    host.signal("HUP");
    host.until("new token", || async {
        (ask("second-token-of-this-host").await == 200).then_some(())
    })
    .await;
    assert_eq!(ask("first-token-of-this-host").await, 401);
}

const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBJDCBywIUAOsq3aANXNCktYS2RTb3HJNg45cwCgYIKoZIzj0EAwIwFDESMBAG
A1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNTIwNTYyNFoYDzIxMDkwMTE0MjA1NjI0
WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAQku5xOe4ZKwom69HQvwLNpTZrAfWDAeGrT8k0AFtxoezyODfUiHIIL4d2X6rFA
zfzk1KLYblNb11ELhmOrPpbfMAoGCCqGSM49BAMCA0gAMEUCIQDzirOJmeSuGf4u
J5l4CpHjP1xDjWXvQ0/v0LmBPSEMVwIgJ2W6hSJGt4QJKVEXs61zL6w67B+JjSmj
4KFnfz62gL8=
-----END CERTIFICATE-----
";

const RSA_1024: &str = "\
-----BEGIN PRIVATE KEY-----
MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBANHRvUM+40Z7t29Z
YDjZ/jf16npEGFPFhawC8hwBMMjCZ5XoWE/BQsNribbXuOXRU20iVmSnni8csbpG
pkg9aPbzo0ozwdQupx/oSVPWpkKDjlnmBoIZN9B9Ud3ZI2aF54Adj84DCXxomdtY
EeJ5lRP4KMchSmJ/qMIAZGExiNR7AgMBAAECgYEAxUADSHOXoExwT3rbbbbqOluy
uozHvgFkQChoyZEI9sNkNFbApwHNrP+s8LputYcLgf6U731wxWOZZcBDVIh+4m63
pLJmicRq1BX/NR6QRp29eRC9MJqrEFkdp5L8hA78L2sJ1ffjxOkoEdQz1qQI/4F/
lzIDoaZ2QvHcueb0oIECQQDoQXGnjZ4jhuAEHpcZPw0NxoWg38L51URfCLft3AdK
O5OSGoHaYD/ljVGs2EZA9CRp2m4rOmlwPNl24ML/0rs7AkEA50UYUvup400OXPmu
gFNfIryA0GNEs4+5xylaxPB1pMUMWNPEkyhN7A6KZAU7TuF3ZpZHGqx42IqSQYYx
8VA3wQJAGJALSBAXIGS8PlNJ4Zakd8d+DGR9x1RBtddDNHmnn7crRTFeeEzjlRBc
Ce6Zh3cKftNmAVZdHkyhJwxgMxQDTwJAf4hOvZQiP0JC5WqanBFdqR4iOshDHnHn
lLhtYaToexBemq1M/YmATuhF0JpB9mHHIj9EvqTVjzP7Kz8BU31VAQJAUO85q099
hC9t3urNDFyYUOPMHz4kGzYWUgqGY+V7oS7XBKH4s70STb29JUryVox+n9tXwpIC
sxyJZdjL/QmZlg==
-----END PRIVATE KEY-----
";
