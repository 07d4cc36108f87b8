//! Whom a host believes: holders of certificates of the fleet's authorities that are not revoked. Both
//! can change while connections are open: those whose other side is not believed any more are cut.
//! Does not read files, and does not know what is revoked until it is told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use steerage_core::id::HostName;
use steerage_core::revoked::{Revocation, Revoked};

use super::certificate;

/// Whom this host believes, at this moment. Shared by both directions.
#[derive(Debug)]
pub struct Believed {
    roots: ArcSwap<Roots>,
    revoked: ArcSwap<Revoked>,
    seats: Mutex<BTreeMap<u64, Open>>,
    next_seat: AtomicU64,
}

/// The authorities, as the library needs them.
#[derive(Debug)]
pub(super) struct Roots {
    clients: Arc<dyn ClientCertVerifier>,
    servers: Arc<WebPkiServerVerifier>,
}

/// A connection that is open, for as long as this is kept.
#[derive(Debug)]
pub struct Seat {
    believed: Arc<Believed>,
    id: u64,
}

/// How a connection ends whose other side is not believed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// What is under way on it is finished, and nothing more begun.
    Finish,
    /// At once.
    Cut,
}

struct Open {
    chain: Vec<CertificateDer<'static>>,
    part: Box<dyn Fn(Parting) + Send + Sync>,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").finish_non_exhaustive()
    }
}

impl Roots {
    /// # Errors
    /// There are none, or they are of no use.
    pub(super) fn new(roots: RootCertStore) -> Result<Self, String> {
        let (roots, provider) = (Arc::new(roots), provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
        let servers = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        Ok(Self {
            clients: clients.map_err(|error| error.to_string())?,
            servers: servers.map_err(|error| error.to_string())?,
        })
    }

    /// Whether they made a chain of certificates, and its time is now.
    pub(super) fn check(&self, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        let Some((own, between)) = chain.split_first() else {
            return Err(Error::NoCertificatesPresented);
        };
        self.clients.verify_client_cert(own, between, UnixTime::now()).map(drop)
    }
}

/// The ciphers of both directions.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl Believed {
    pub(super) fn new(roots: Roots) -> Arc<Self> {
        Arc::new(Self {
            roots: ArcSwap::from_pointee(roots),
            revoked: ArcSwap::default(),
            seats: Mutex::default(),
            next_seat: AtomicU64::new(0),
        })
    }

    /// Believes these authorities from now on, and nobody of another. Open connections of who has shown
    /// a certificate of another one are finished: most are of hosts that have a new one by now.
    pub(super) fn set_roots(&self, roots: Roots) {
        self.roots.store(Arc::new(roots));
        self.part_from_strangers(Parting::Finish);
    }

    /// What is revoked, as far as this host was told.
    #[must_use]
    pub fn revoked(&self) -> Arc<Revoked> {
        self.revoked.load_full()
    }

    /// Believes these certificates no more, and cuts the connections of who has shown one. Whether that
    /// was new.
    pub fn revoke(&self, more: impl IntoIterator<Item = (HostName, Revocation)>) -> bool {
        let mut is_news = false;
        // One at a time: whoever comes later adds to what is there.
        let seats = self.seats();
        let mut revoked = Revoked::clone(&self.revoked.load());
        for (host, revocation) in more {
            is_news |= revoked.add(host, revocation);
        }
        if is_news {
            self.revoked.store(Arc::new(revoked));
            // Only theirs: connections under an authority that was given up are finishing.
            let is_revoked = |open: &&Open| {
                open.chain.first().is_none_or(|own| self.check_revoked(own).is_err())
            };
            for open in seats.values().filter(is_revoked) {
                (open.part)(Parting::Cut);
            }
        }
        is_news
    }

    /// Ends the connections of who is not believed any more.
    pub fn part_from_strangers(&self, how: Parting) {
        for open in self.seats().values().filter(|open| !self.believes(&open.chain)) {
            (open.part)(how);
        }
    }

    /// Notes that a connection is open whose other side has shown these certificates; `part` is called when
    /// they are not believed any more, and must not wait. `None` where they are not believed now.
    pub fn seat(
        self: &Arc<Self>,
        chain: &[CertificateDer<'_>],
        part: impl Fn(Parting) + Send + Sync + 'static,
    ) -> Option<Seat> {
        let chain: Vec<_> = chain.iter().map(|one| one.clone().into_owned()).collect();
        let id = self.next_seat.fetch_add(1, Ordering::Relaxed);
        let open = Open { chain: chain.clone(), part: Box::new(part) };
        self.seats().insert(id, open);
        let seat = Seat { believed: self.clone(), id };
        // Looked at after it is known: who changes what is believed looks at all that are.
        self.believes(&chain).then_some(seat)
    }

    fn believes(&self, chain: &[CertificateDer<'_>]) -> bool {
        let is_revoked = chain.first().is_none_or(|own| self.check_revoked(own).is_err());
        // Its time may be over, or not have begun where a clock was set back: that cuts no connection that
        // is open.
        let is_ours = match self.roots.load().check(chain) {
            Ok(()) => true,
            Err(Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            )) => true,
            Err(_) => false,
        };
        is_ours && !is_revoked
    }

    fn check_revoked(&self, own: &CertificateDer<'_>) -> Result<(), Error> {
        let revoked = self.revoked.load();
        if revoked.all().next().is_none() {
            return Ok(());
        }
        match certificate::facts(own) {
            Ok(facts) if revoked.covers(&facts) => Err(CertificateError::Revoked.into()),
            Ok(_) => Ok(()),
            Err(_) => Err(CertificateError::BadEncoding.into()),
        }
    }

    fn seats(&self) -> MutexGuard<'_, BTreeMap<u64, Open>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// The certificate that the other side has shown as its own.
    #[must_use]
    pub fn shown(&self) -> Option<CertificateDer<'static>> {
        self.believed.seats().get(&self.id)?.chain.first().cloned()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.believed.seats().remove(&self.id);
    }
}

impl ClientCertVerifier for Believed {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // A hint only, which hosts do not need: they have one certificate.
        &[]
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.roots.load().clients.verify_client_cert(own, between, now)?;
        self.check_revoked(own)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots.load().clients.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots.load().clients.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.roots.load().clients.supported_verify_schemes()
    }
}

impl ServerCertVerifier for Believed {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.roots.load().servers.verify_server_cert(own, between, name, ocsp, now)?;
        self.check_revoked(own)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots.load().servers.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots.load().servers.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.roots.load().servers.supported_verify_schemes()
    }
}
