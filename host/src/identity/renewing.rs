//! The other side of `signing`: what a host sends to have its certificate made again, and what it makes of
//! the answer. The key stays the same, so that one file is replaced and there is no moment in which key and
//! certificate do not belong together; `steerage cert renew` makes another key.
//! Asks nobody, and shows nothing: the file is read as when an operator has replaced it.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use jiff::Timestamp;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::CertificateDer;

use super::error::{IdentityError, bad};
use super::{CA, CERTIFICATE, Identity, KEY, OwnCertificate, Read, certificates, read};

impl Identity {
    /// What this host sends: its key's public half, and that it has the other one.
    ///
    /// # Errors
    /// The key cannot be read.
    pub fn signing_request(&self) -> Result<String, IdentityError> {
        let path = self.folder.join(KEY);
        let text = String::from_utf8(read(&path)?).map_err(|error| bad(&path, error))?;
        let keys = KeyPair::from_pem(&text).map_err(|error| bad(&path, error))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.name.as_str());
        let request = params.serialize_request(&keys).and_then(|request| request.pem());
        request.map_err(|error| bad(&path, error))
    }

    /// The certificate that is shown now.
    #[must_use]
    pub fn shown(&self) -> Option<CertificateDer<'static>> {
        self.own.0.load().key.cert.first().cloned()
    }

    /// Puts a certificate in place of the one in the folder, if others would believe it; until when it is
    /// valid.
    ///
    /// # Errors
    /// It is not for this host and its key, not of an authority that this host believes, is revoked, or ends
    /// no later than the one that is shown; or it cannot be written.
    pub fn take_renewed(&self, certificate: &[u8]) -> Result<Timestamp, IdentityError> {
        let path = self.folder.join(CERTIFICATE);
        let all = certificates(&self.folder.join(CA))?;
        let Read { name, shown, .. } = Read::made_of(&self.folder, &all, certificate)?;
        if name != self.name {
            let why = format!("what was signed is for {name}, and this host is {}", self.name);
            return Err(IdentityError::NoName { path, why });
        }
        let OwnCertificate { facts, ends, .. } = &shown.certificate;
        if self.believed().revoked().covers(facts) {
            return Err(bad(&path, "what was signed is revoked"));
        }
        if *ends <= self.ends() {
            return Err(bad(&path, "what was signed ends no later than what is shown"));
        }
        let written = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(certificate)?;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            std::fs::File::open(&self.folder)?.sync_all()
        };
        let written: std::io::Result<()> = written();
        written.map_err(|source| IdentityError::Write { path: path.clone(), source })?;
        Ok(*ends)
    }
}
