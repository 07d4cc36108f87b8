//! Who this host is to the other hosts of its fleet: a certificate of the fleet's own authority, and
//! the TLS settings that let in nobody else, as far as they are not revoked. `steerage cert issue` makes the folder this reads.
//! Does not look by itself whether there is a new one, and speaks with nobody.

mod believed;
mod certificate;
mod error;
mod files;
pub mod issuing;
mod renewing;
pub mod signing;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use steerage_core::id::HostName;
use steerage_core::revoked::CertificateFacts;

pub use self::believed::{Believed, Parting, Seat};
use self::believed::{Roots, provider};
pub use self::certificate::fingerprint;
pub use self::error::IdentityError;
use self::error::{bad, does_not_fit};
pub use self::files::{CA, CERTIFICATE, KEY};
use crate::pem;

/// Who this host is, and whom it believes. Clones share the certificate, which can be read again.
#[derive(Clone, Debug)]
pub struct Identity {
    folder: PathBuf,
    name: HostName,
    authorities: Arc<ArcSwap<Authorities>>,
    own: Arc<Own>,
    believed: Arc<Believed>,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// The certificate that is shown now. Connections that are open keep the one they began with.
#[derive(Debug)]
struct Own(ArcSwap<Shown>);

#[derive(Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    certificate: OwnCertificate,
}

/// What a host's own certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCertificate {
    /// What counts for whether it is revoked.
    pub facts: CertificateFacts,
    /// When its time is over.
    pub ends: Timestamp,
    /// The authority that made it, by its fingerprint.
    pub authority: String,
}

/// How other hosts are spoken with.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Shows this host's certificate, and believes only who has one for the name that was asked for.
    pub config: Arc<ClientConfig>,
    /// Who is believed, while a connection is open.
    pub believed: Arc<Believed>,
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

impl Identity {
    /// Reads the folder and checks that what is in it belongs together and is valid now.
    ///
    /// # Errors
    /// Which file is not as it should be, and what to do; see [`IdentityError`].
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        let ca = folder.join(CA);
        let Read { roots, authorities, name, shown } = Read::of(folder)?;
        let (own, believed) = (Arc::new(Own(ArcSwap::from_pointee(shown))), Believed::new(roots));
        let provider = provider();
        let server = server(&provider, believed.clone(), own.clone());
        let client = client(&provider, believed.clone(), own.clone());
        let server = Arc::new(server.map_err(|error| bad(&ca, error))?);
        let client = Arc::new(client.map_err(|error| bad(&ca, error))?);
        let authorities = Arc::new(ArcSwap::from_pointee(authorities));
        Ok(Self { folder: folder.to_owned(), name, authorities, own, believed, server, client })
    }

    /// Reads the folder again, shows its certificate and believes its authorities from now on; what is
    /// new. `needed` names the hosts that show certificates of each authority, by fingerprints: one that
    /// somebody needs is not given up. `believes` names the authorities that each host believes: a
    /// certificate of another one would not be believed there, and is not shown. What is held back for
    /// such a reason is told, and the rest is done.
    ///
    /// # Errors
    /// They cannot be used, and the ones before are used on.
    pub fn reload(
        &self,
        needed: &BTreeMap<String, Vec<HostName>>,
        believes: &BTreeMap<HostName, BTreeSet<String>>,
    ) -> Result<Reloaded, IdentityError> {
        let Read { mut roots, mut authorities, name, shown } = Read::of(&self.folder)?;
        if name != self.name {
            let path = self.folder.join(CERTIFICATE);
            let why = format!("it is for {name}, and this host is {}", self.name);
            return Err(IdentityError::NoName { path, why });
        }
        let mut held_back = None;
        let before = self.authorities.load_full();
        for (authority, kept) in before.iter() {
            if authorities.contains_key(authority) {
                continue;
            }
            let Some(hosts) = needed.get(authority) else { continue };
            let (path, hosts) = (self.folder.join(CA), hosts.clone());
            let authority = authority.clone();
            held_back = Some(IdentityError::Needed { path, authority, hosts });
            authorities.insert(kept.fingerprint(), kept.clone());
        }
        if held_back.is_some() {
            let all: Vec<_> = authorities.values().map(|one| one.certificate.clone()).collect();
            roots = self::roots(&self.folder.join(CA), &all)?;
        }
        let mut certificate = self.own.0.load().key.cert != shown.key.cert;
        let authority = &shown.certificate.authority;
        let without = believes.iter().filter(|(_, all)| !all.contains(authority));
        let without: Vec<HostName> = without.map(|(host, _)| host.clone()).collect();
        if certificate && !without.is_empty() {
            let (path, authority) = (self.folder.join(CERTIFICATE), authority.clone());
            held_back = Some(IdentityError::NotBelieved { path, authority, hosts: without });
            certificate = false;
        }
        if certificate {
            self.own.0.store(Arc::new(shown));
        }
        let is_new = !before.keys().eq(authorities.keys());
        if is_new {
            self.authorities.store(Arc::new(authorities));
            self.believed.set_roots(roots);
        }
        Ok(Reloaded { certificate, authorities: is_new, held_back })
    }

    /// The files that [`Identity::reload`] reads.
    #[must_use]
    pub fn files(&self) -> [PathBuf; 3] {
        [CA, CERTIFICATE, KEY].map(|file| self.folder.join(file))
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

    /// The same, with who is believed while connections are open.
    #[must_use]
    pub fn outgoing(&self) -> Outgoing {
        Outgoing { config: self.client.clone(), believed: self.believed.clone() }
    }

    /// Who is believed, in both directions.
    #[must_use]
    pub fn believed(&self) -> &Arc<Believed> {
        &self.believed
    }

    /// The name the certificate is for.
    #[must_use]
    pub fn name(&self) -> &HostName {
        &self.name
    }

    /// Fingerprints of the authorities that are believed: sha-256 of each certificate.
    #[must_use]
    pub fn authorities(&self) -> BTreeSet<String> {
        self.authorities.load().keys().cloned().collect()
    }

    /// The authorities that are believed, by their fingerprints, and when the time of each is over.
    #[must_use]
    pub fn authority_ends(&self) -> BTreeMap<String, Timestamp> {
        let all = self.authorities.load();
        all.iter().map(|(fingerprint, one)| (fingerprint.clone(), one.ends)).collect()
    }

    /// What the certificate says that is shown now.
    #[must_use]
    pub fn certificate(&self) -> OwnCertificate {
        self.own.0.load().certificate.clone()
    }

    /// When the time of the authority is over that made the certificate.
    #[must_use]
    pub fn authority_end(&self) -> Option<Timestamp> {
        self.authorities.load().get(&self.certificate().authority).map(|one| one.ends)
    }

    /// When the certificate's time is over.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.own.0.load().certificate.ends
    }
}

/// What is new since the folder was read last.
#[derive(Debug)]
pub struct Reloaded {
    /// The host's own certificate.
    pub certificate: bool,
    /// The authorities.
    pub authorities: bool,
    /// Why something of it is not used yet.
    pub held_back: Option<IdentityError>,
}

/// The authorities that are believed, by their fingerprints.
type Authorities = BTreeMap<String, AuthorityCertificate>;

/// An authority's certificate.
#[derive(Clone, Debug)]
struct AuthorityCertificate {
    certificate: CertificateDer<'static>,
    ends: Timestamp,
}

impl AuthorityCertificate {
    fn fingerprint(&self) -> String {
        fingerprint(&self.certificate)
    }
}

/// What is in a folder, checked.
struct Read {
    roots: Roots,
    authorities: Authorities,
    name: HostName,
    shown: Shown,
}

impl Read {
    fn of(folder: &Path) -> Result<Self, IdentityError> {
        // The authorities first: who makes a folder writes them first.
        let all = certificates(&folder.join(CA))?;
        Self::made_of(folder, &all, &read(&folder.join(CERTIFICATE))?)
    }

    /// The same with this certificate of the host.
    fn made_of(
        folder: &Path,
        all: &[CertificateDer<'static>],
        own_text: &[u8],
    ) -> Result<Self, IdentityError> {
        let (ca, own, key) = (folder.join(CA), folder.join(CERTIFICATE), folder.join(KEY));
        let roots = roots(&ca, all)?;
        let chain = pem::certificates(own_text).map_err(|why| bad(&own, why))?;
        let (name, facts, ends) = subject(&own, &chain)?;
        check(&own, &chain, &roots)?;
        // One that made it there is: all of them together did.
        let is_its = |one: &&CertificateDer<'static>| {
            roots_of(std::slice::from_ref(*one)).is_ok_and(|roots| roots.check(&chain).is_ok())
        };
        let authority = all.iter().find(is_its).map(fingerprint).unwrap_or_default();
        let authorities = all.iter().map(|one| {
            let said = certificate::read(one).map_err(|error| bad(&ca, error))?;
            let certificate = one.clone();
            Ok((said.facts.fingerprint, AuthorityCertificate { certificate, ends: said.ends }))
        });
        let authorities = authorities.collect::<Result<_, IdentityError>>()?;
        let certified = CertifiedKey::from_der(chain, private_key(&key)?, &provider());
        let key = Arc::new(certified.map_err(|error| bad(&key, does_not_fit(&error)))?);
        let certificate = OwnCertificate { facts, ends, authority };
        Ok(Self { roots, authorities, name, shown: Shown { key, certificate } })
    }
}

fn server(
    provider: &Arc<CryptoProvider>,
    believed: Arc<Believed>,
    own: Arc<Own>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(believed)
        .with_cert_resolver(own);
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Who comes again shows its certificate again: it may have been revoked meanwhile.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client(
    provider: &Arc<CryptoProvider>,
    believed: Arc<Believed>,
    own: Arc<Own>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(believed)
        .with_client_cert_resolver(own);
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn roots(path: &Path, certificates: &[CertificateDer<'static>]) -> Result<Roots, IdentityError> {
    roots_of(certificates).map_err(|why| bad(path, why))
}

fn roots_of(certificates: &[CertificateDer<'static>]) -> Result<Roots, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone()).map_err(|error| error.to_string())?;
    }
    Roots::new(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    pem::certificates(&read(path)?).map_err(|why| bad(path, why))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityError> {
    pem::private_key(&read(path)?).map_err(|why| bad(path, why))
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    fs::read(path).map_err(|source| IdentityError::Read { path: path.to_owned(), source })
}

/// Whom the certificate is for, which it is, and until when.
fn subject(
    path: &Path,
    chain: &[CertificateDer<'_>],
) -> Result<(HostName, CertificateFacts, Timestamp), IdentityError> {
    let own = chain.first().ok_or_else(|| bad(path, "it holds no certificate"))?;
    let said = certificate::read(own).map_err(|error| bad(path, error))?;
    let no_name = |why: String| IdentityError::NoName { path: path.to_owned(), why };
    let common = said.common.ok_or_else(|| no_name("its subject has no common name".to_owned()))?;
    let name = HostName::parse(&common).map_err(|error| no_name(error.to_string()))?;
    Ok((name, said.facts, said.ends))
}

/// Whether other hosts would believe the certificate now.
fn check(path: &Path, chain: &[CertificateDer<'_>], roots: &Roots) -> Result<(), IdentityError> {
    let Err(error) = roots.check(chain) else { return Ok(()) };
    let (path, now) = (path.to_owned(), stamp(UnixTime::now()));
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
