//! What the fleet's authority puts into certificates: for `steerage cert`, and for a host that signs for
//! others. Reads no files, and holds no key.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use steerage_core::id::HostName;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What all certificates have in common: from when on they are valid, and until when.
#[must_use]
pub fn params((begins, ends): (SystemTime, SystemTime)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = begins.into();
    params.not_after = ends.into();
    params
}

/// What a host's certificate says: it is a host of that name, and where it is reached.
///
/// # Errors
/// One of the addresses is none.
pub fn of_host(
    name: &HostName,
    addresses: Vec<String>,
    valid: (SystemTime, SystemTime),
) -> Result<CertificateParams, rcgen::Error> {
    let mut names = vec![name.to_string()];
    names.extend(addresses.into_iter().filter(|address| *address != name.as_str()));
    let mut params = params(valid);
    params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
    params.distinguished_name.push(DnType::CommonName, name.as_str());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Whom a certificate is for, and where that host is reached.
///
/// # Errors
/// It is no certificate, or names no host.
pub fn named(certificate: &[u8]) -> Result<(HostName, Vec<String>), String> {
    let parsed = X509Certificate::from_der(certificate);
    let (_, parsed) = parsed.map_err(|error| error.to_string())?;
    let alternatives = parsed.subject_alternative_name().map_err(|error| error.to_string())?;
    let mut names = Vec::new();
    for name in alternatives.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::DNSName(name) => names.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => names.extend(address(bytes).map(|ip| ip.to_string())),
            _ => {}
        }
    }
    let mut common = parsed.subject().iter_common_name();
    let name = common.next().and_then(|name| name.as_str().ok()).unwrap_or_default();
    let name = HostName::parse(name).map_err(|error| error.to_string())?;
    Ok((name, names))
}

/// The time that is so many seconds after the epoch.
#[must_use]
pub fn time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let short = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    short.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
