//! Who this host is to the other hosts of its fleet: a certificate of the fleet's own authority, and
//! the TLS settings that let in nobody else. `steerage cert issue` makes the folder this reads.
//! Does not issue or renew, does not look by itself whether there is a new one, and speaks with nobody.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use sha2::{Digest as _, Sha256};
use steerage_core::id::HostName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::pem;

/// The file with the authority's certificate.
pub const CA: &str = "ca.pem";
/// The file with the host's own certificate.
pub const CERTIFICATE: &str = "host.pem";
/// The file with the host's private key.
pub const KEY: &str = "host.key";

/// Who this host is, and whom it believes. Clones share the certificate, which can be read again.
#[derive(Clone, Debug)]
pub struct Identity {
    folder: PathBuf,
    name: HostName,
    authorities: BTreeSet<String>,
    own: Arc<Own>,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// The certificate that is shown now. Connections that are open keep the one they began with.
#[derive(Debug)]
struct Own(ArcSwap<Shown>);

#[derive(Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    ends: Timestamp,
}

impl ResolvesServerCert for Own {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().key.clone())
    }
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().key.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Why a folder makes no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("cannot read {path}: it is made by `steerage cert issue NAME --out DIR`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds something else.
    #[error("cannot use {path}: {why}")]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate is of another authority.
    #[error(
        "{path} is of another authority than the one in {CA} beside it: issue it with the fleet's \
         own, `steerage cert issue --dir FLEET-CA`"
    )]
    OtherAuthority {
        /// The certificate.
        path: PathBuf,
    },
    /// The certificate's time is over.
    #[error(
        "{path} expired at {ended}, and it is {now} here: issue another with `steerage cert issue`"
    )]
    Expired {
        /// The certificate.
        path: PathBuf,
        /// When.
        ended: Timestamp,
        /// The time by this machine's clock.
        now: Timestamp,
    },
    /// The certificate's time has not begun.
    #[error(
        "{path} is valid from {begins}, and it is {now} here: the clocks of this machine and of the \
         one that issued it differ; set them right"
    )]
    NotYet {
        /// The certificate.
        path: PathBuf,
        /// When it begins.
        begins: Timestamp,
        /// The time by this machine's clock.
        now: Timestamp,
    },
    /// The certificate does not name a host.
    #[error("{path} is not a host's certificate: {why}")]
    NoName {
        /// The certificate.
        path: PathBuf,
        /// What it says instead.
        why: String,
    },
}

impl Identity {
    /// Reads the folder and checks that what is in it belongs together and is valid now.
    ///
    /// # Errors
    /// Which file is not as it should be, and what to do; see [`IdentityError`].
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        let ca = folder.join(CA);
        let roots = Arc::new(roots(&ca)?);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = verifier(&ca, &roots, &provider)?;
        let (name, shown) = shown(folder, &*verifier, &provider)?;
        let own = Arc::new(Own(ArcSwap::from_pointee(shown)));
        let server = server(&provider, verifier, own.clone()).map_err(|error| bad(&ca, error))?;
        let client = client(&provider, roots, own.clone()).map_err(|error| bad(&ca, error))?;
        let (server, client) = (Arc::new(server), Arc::new(client));
        let authorities = certificates(&ca)?.iter().map(fingerprint).collect();
        Ok(Self { folder: folder.to_owned(), name, authorities, own, server, client })
    }

    /// Reads the host's own certificate and key again, and shows them from now on; whether they are
    /// other ones. The authority stays what it was at the start.
    ///
    /// # Errors
    /// They cannot be used, and the ones before are shown on.
    pub fn reload(&self) -> Result<bool, IdentityError> {
        let ca = self.folder.join(CA);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = verifier(&ca, &Arc::new(roots(&ca)?), &provider)?;
        let (name, shown) = shown(&self.folder, &*verifier, &provider)?;
        if name != self.name {
            let path = self.folder.join(CERTIFICATE);
            let why = format!("it is for {name}, and this host is {}", self.name);
            return Err(IdentityError::NoName { path, why });
        }
        let is_new = self.own.0.load().key.cert != shown.key.cert;
        if is_new {
            self.own.0.store(Arc::new(shown));
        }
        Ok(is_new)
    }

    /// The files that [`Identity::reload`] reads.
    #[must_use]
    pub fn files(&self) -> [PathBuf; 2] {
        [self.folder.join(CERTIFICATE), self.folder.join(KEY)]
    }

    /// For the door through which other hosts come: who has no certificate of the authority gets
    /// nothing.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }

    /// For connections to other hosts: shows this host's certificate, and believes only who has one
    /// of the authority that is for the name that was asked for.
    #[must_use]
    pub fn client(&self) -> Arc<ClientConfig> {
        self.client.clone()
    }

    /// The name the certificate is for.
    #[must_use]
    pub fn name(&self) -> &HostName {
        &self.name
    }

    /// Fingerprints of the authorities that are believed: sha-256 of each certificate.
    #[must_use]
    pub fn authorities(&self) -> &BTreeSet<String> {
        &self.authorities
    }

    /// When the certificate's time is over.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.own.0.load().ends
    }
}

fn verifier(
    ca: &Path,
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, IdentityError> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
    verifier.map_err(|error| bad(ca, error))
}

/// The certificate and the key in a folder, and whom they are for.
fn shown(
    folder: &Path,
    verifier: &dyn ClientCertVerifier,
    provider: &CryptoProvider,
) -> Result<(HostName, Shown), IdentityError> {
    let (own, key) = (folder.join(CERTIFICATE), folder.join(KEY));
    let chain = certificates(&own)?;
    let (name, ends) = subject(&own, &chain)?;
    check(&own, &chain, verifier)?;
    let certified = CertifiedKey::from_der(chain, private_key(&key)?, provider);
    let key = Arc::new(certified.map_err(|error| bad(&key, does_not_fit(&error)))?);
    Ok((name, Shown { key, ends }))
}

fn server(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ClientCertVerifier>,
    own: Arc<Own>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(own);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn client(
    provider: &Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    own: Arc<Own>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_cert_resolver(own);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn roots(path: &Path) -> Result<RootCertStore, IdentityError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| bad(path, error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    pem::certificates(&read(path)?).map_err(|why| bad(path, why))
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let hash = Sha256::digest(certificate.as_ref());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityError> {
    pem::private_key(&read(path)?).map_err(|why| bad(path, why))
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    fs::read(path).map_err(|source| IdentityError::Read { path: path.to_owned(), source })
}

/// Whom the certificate is for, and until when.
fn subject(
    path: &Path,
    chain: &[CertificateDer<'_>],
) -> Result<(HostName, Timestamp), IdentityError> {
    let der = chain.first().map(AsRef::as_ref).unwrap_or_default();
    let (_, parsed) = X509Certificate::from_der(der).map_err(|error| bad(path, error))?;
    let no_name = |why: String| IdentityError::NoName { path: path.to_owned(), why };
    let common = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let common = common.ok_or_else(|| no_name("its subject has no common name".to_owned()))?;
    let name = HostName::parse(common).map_err(|error| no_name(error.to_string()))?;
    let ends = Timestamp::from_second(parsed.validity().not_after.timestamp());
    Ok((name, ends.map_err(|error| bad(path, error))?))
}

/// Whether other hosts would believe the certificate now.
fn check(
    path: &Path,
    chain: &[CertificateDer<'_>],
    verifier: &dyn ClientCertVerifier,
) -> Result<(), IdentityError> {
    let Some((own, between)) = chain.split_first() else { return Ok(()) };
    let now = UnixTime::now();
    let Err(error) = verifier.verify_client_cert(own, between, now) else { return Ok(()) };
    let (path, now) = (path.to_owned(), stamp(now));
    Err(match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)
        | rustls::Error::InvalidCertificate(CertificateError::BadSignature) => {
            IdentityError::OtherAuthority { path }
        }
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
            not_after, ..
        }) => IdentityError::Expired { path, ended: stamp(not_after), now },
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before,
            ..
        }) => IdentityError::NotYet { path, begins: stamp(not_before), now },
        error => bad(&path, error),
    })
}

fn stamp(time: UnixTime) -> Timestamp {
    let since = SignedDuration::from_secs(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    Timestamp::from_duration(since).unwrap_or(Timestamp::MAX)
}

fn does_not_fit(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => format!("it is not the key of {CERTIFICATE}"),
        error => error.to_string(),
    }
}

fn bad(path: &Path, why: impl ToString) -> IdentityError {
    IdentityError::Bad { path: path.to_owned(), why: why.to_string() }
}
