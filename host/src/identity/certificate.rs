//! What one certificate says: whom it is for, since when and until when, and which it is.
//! Does not decide whether it is believed.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use steerage_core::id::{HostName, hex_text};
use steerage_core::revoked::CertificateFacts;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What is read of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) facts: CertificateFacts,
    /// The common name of its subject.
    pub(super) common: Option<String>,
    pub(super) begins: Timestamp,
    pub(super) ends: Timestamp,
}

/// Which certificate it is: the sha-256 of the whole, in hexadecimal digits.
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    hex_text(&Sha256::digest(certificate.as_ref()))
}

/// What it says.
///
/// # Errors
/// It is no certificate.
pub(super) fn read(certificate: &CertificateDer<'_>) -> Result<Said, String> {
    let parsed = X509Certificate::from_der(certificate.as_ref());
    let (_, parsed) = parsed.map_err(|error| error.to_string())?;
    let common = parsed.subject().iter_common_name().next();
    let common = common.and_then(|name| name.as_str().ok()).map(ToOwned::to_owned);
    let validity = parsed.validity();
    let moment = |seconds| Timestamp::from_second(seconds).map_err(|error| error.to_string());
    let (begins, ends) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let facts = CertificateFacts {
        host: common.as_deref().and_then(|name| HostName::parse(name).ok()),
        begins,
        fingerprint: fingerprint(certificate),
    };
    Ok(Said { facts, common, begins: moment(begins)?, ends: moment(ends)? })
}

/// What counts of it for whether it is revoked.
///
/// # Errors
/// It is no certificate.
pub(super) fn facts(certificate: &CertificateDer<'_>) -> Result<CertificateFacts, String> {
    read(certificate).map(|said| said.facts)
}
