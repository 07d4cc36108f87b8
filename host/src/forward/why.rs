//! Why another host does not answer, in words that say what to do: TLS libraries tell it in names of
//! alerts. Does not decide anything.

use std::fmt;

/// Why a host did not answer the last time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    text: String,
    is_about_certificates: bool,
}

/// What the libraries say, and what it means. An alert is what the other one says of us.
const MEANINGS: [(&str, &str); 12] = [
    ("alert: CertificateExpired", "it does not take this host's certificate, whose time is over"),
    ("alert: UnknownCA", "it does not take this host's certificate, which is of another authority"),
    ("alert: BadCertificate", "it does not take this host's certificate"),
    ("alert: CertificateUnknown", "it does not take this host's certificate"),
    ("alert: CertificateRevoked", "it does not take this host's certificate, which was revoked"),
    ("alert: CertificateRequired", "it wants a certificate of this host"),
    ("certificate: Expired", "the time of its certificate is over"),
    ("certificate: NotValidYet", "the time of its certificate has not begun"),
    ("certificate: UnknownIssuer", "its certificate is of another authority than this host's"),
    ("certificate: NotValidForName", "its certificate is for another name"),
    ("certificate: Revoked", "its certificate was revoked"),
    ("is not believed any more", "its certificate was revoked, or its authority was given up"),
];

impl Silence {
    /// From what an error says.
    #[must_use]
    pub fn new(said: &str) -> Self {
        // `certificate expired: ...` is what newer versions say of the same.
        let expired = said.contains("certificate expired");
        let meaning = MEANINGS.iter().find(|(words, _)| said.contains(words));
        let meaning = meaning.map(|(_, meaning)| *meaning);
        let meaning = meaning.or_else(|| expired.then_some("the time of its certificate is over"));
        let text = meaning.map_or_else(|| said.to_owned(), |meaning| format!("{meaning} ({said})"));
        let is_about_certificates = meaning.is_some() || said.contains("invalid peer certificate");
        Self { text, is_about_certificates }
    }

    /// Whether certificates keep the two apart, which does not pass by itself.
    #[must_use]
    pub fn is_about_certificates(&self) -> bool {
        self.is_about_certificates
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libraries_say_of_certificates_is_told_in_words() {
        for (said, told) in [
            ("connection error: received fatal alert: CertificateExpired", "whose time is over"),
            ("received fatal alert: UnknownCA", "of another authority"),
            ("received fatal alert: CertificateRevoked", "which was revoked"),
            ("invalid peer certificate: Revoked", "its certificate was revoked"),
            ("invalid peer certificate: certificate expired: verification time 1", "is over"),
            ("invalid peer certificate: UnknownIssuer", "of another authority"),
            ("invalid peer certificate: BadSignature", "invalid peer certificate: BadSignature"),
        ] {
            let why = Silence::new(said);
            assert!(why.is_about_certificates() && why.to_string().contains(told), "{why}");
            assert!(why.to_string().contains(said), "{why}");
        }
        let why = Silence::new("connection refused");
        assert!(!why.is_about_certificates() && why.to_string() == "connection refused");
    }
}
