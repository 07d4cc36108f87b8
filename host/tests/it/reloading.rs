//! Files that a host reads again while it runs: the certificate for callers and the operators' token.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use serde_json::Value;

use crate::harness::Host;

/// Writes a certificate that ends in that year, and its key. Returns the certificate.
fn issue(folder: &Path, year: i32) -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    certificate.der().to_vec()
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
