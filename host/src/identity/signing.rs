//! Signing certificates for the other hosts of the fleet, on a host that was given the authority's key. Who
//! asks gets a certificate for the name and addresses in the one that it shows, and for no other; what else
//! it asks for is not looked at. The key is read for each signature, so that another one can take its
//! place, and is sent nowhere.
//! Does not know who is let in: whoever calls this has seen the certificate shown on a connection.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rcgen::{CertificateSigningRequestParams, Issuer, KeyPair, PublicKeyData as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use steerage_core::id::HostName;
use steerage_core::renewal::{self, CertificateLife, SignRefusal};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::certificate;
use super::error::{IdentityError, bad};
use super::issuing;
use super::{CA, Identity, roots_of};
use crate::pem;

/// The longest request that is read, in bytes; those of hosts have some five hundred.
pub const LONGEST_REQUEST: usize = 16 << 10;

/// Signs with the authority's key.
#[derive(Clone, Debug)]
pub struct Signer {
    key: PathBuf,
    identity: Identity,
}

/// Why a host is given no certificate.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// It must not get one, at least not now.
    #[error(transparent)]
    Refused(#[from] SignRefusal),
    /// What it sends is no request, or its signature is not that of the key in it.
    #[error("its request cannot be read: {0}")]
    BadRequest(String),
    /// The key cannot be used, or is of an authority that this host does not believe.
    #[error(transparent)]
    Key(#[from] IdentityError),
}

/// An authority whose key this host has.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    fingerprint: String,
    ends: Timestamp,
}

impl Authority {
    /// Whether it made a certificate: then all hosts believe it that believe the certificate.
    fn made(&self, certificate: &CertificateDer<'_>) -> bool {
        let roots = roots_of(std::slice::from_ref(&self.certificate));
        roots.is_ok_and(|roots| roots.check(std::slice::from_ref(certificate)).is_ok())
    }
}

impl Signer {
    /// Looks whether the key is that of an authority that is believed.
    ///
    /// # Errors
    /// It is not, or it cannot be read.
    pub fn open(key: &Path, identity: &Identity) -> Result<Self, IdentityError> {
        let signer = Self { key: key.to_owned(), identity: identity.clone() };
        signer.authority().map(|_| signer)
    }

    /// Signs what a host asks for that has shown this certificate. `without` says which hosts do not believe
    /// an authority; `is_current` whether this host knows what is revoked by now.
    ///
    /// # Errors
    /// See [`SignError`].
    pub fn sign(
        &self,
        shown: &CertificateDer<'_>,
        request: &[u8],
        is_current: bool,
        without: impl FnOnce(&str) -> Vec<HostName>,
    ) -> Result<String, SignError> {
        let unread = |error: &dyn std::fmt::Display| SignError::BadRequest(error.to_string());
        let said = certificate::read(shown).map_err(|error| unread(&error))?;
        let validity =
            CertificateLife { begins: said.begins.as_second(), ends: said.ends.as_second() };
        let authority = self.authority()?;
        let revoked = self.identity.believed().revoked();
        let ends = (authority.ends.as_second(), Timestamp::now().as_second());
        let valid = renewal::sign(
            (&said.facts, validity),
            is_current.then_some(&*revoked),
            if authority.made(shown) { Vec::new() } else { without(&authority.fingerprint) },
            ends,
        )?;
        let (name, addresses) = issuing::named(shown).map_err(|error| unread(&error))?;
        let asked = CertificateSigningRequestDer::from_pem_slice(request);
        let asked = asked.map_err(|error| unread(&error))?;
        // Whoever made the signature in it has the key.
        let mut asked =
            CertificateSigningRequestParams::from_der(&asked).map_err(|error| unread(&error))?;
        let valid = (issuing::time(valid.begins), issuing::time(valid.ends));
        asked.params = issuing::of_host(&name, addresses, valid).map_err(|error| unread(&error))?;
        let made = asked.signed_by(&authority.issuer).map_err(|error| bad(&self.key, error))?;
        Ok(made.pem())
    }

    /// The authority whose key is in the file by now.
    fn authority(&self) -> Result<Authority, IdentityError> {
        let path = &self.key;
        let unread = |source| IdentityError::ReadKey { path: path.clone(), source };
        // Whoever has it can let hosts in.
        if fs::metadata(path).map_err(unread)?.permissions().mode() & 0o077 != 0 {
            let why = "other users of this machine can read or write it; chmod 600 it";
            return Err(bad(path, why));
        }
        let text = fs::read(path).map_err(unread)?;
        pem::private_key(&text).map_err(|why| bad(path, why))?;
        let keys = std::str::from_utf8(&text).map_err(|error| bad(path, error))?;
        let keys = KeyPair::from_pem(keys).map_err(|error| bad(path, error))?;
        let own = keys.subject_public_key_info();
        let is_its = |one: &CertificateDer<'_>| {
            X509Certificate::from_der(one).is_ok_and(|(_, read)| read.public_key().raw == own)
        };
        let all = self.identity.authorities.load();
        let found = all.iter().find(|(_, authority)| is_its(&authority.certificate));
        let Some((fingerprint, authority)) = found else {
            let ca = self.identity.folder.join(CA);
            return Err(IdentityError::OtherKey { path: path.clone(), ca });
        };
        let issuer = Issuer::from_ca_cert_der(&authority.certificate, keys);
        let issuer = issuer.map_err(|error| bad(path, error))?;
        let (certificate, fingerprint) = (authority.certificate.clone(), fingerprint.clone());
        Ok(Authority { issuer, certificate, fingerprint, ends: authority.ends })
    }
}
