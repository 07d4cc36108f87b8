//! Certificates and keys as files hold them: PEM. Says of a file that cannot be used what it holds
//! instead, since these are made by other programs and mistaken for one another.
//! Does not read files, and does not look into certificates.

use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What editors of some systems write before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// How a structure of some hundred bytes and more begins in DER.
const DER: u8 = 0x30;
/// How a section begins.
const BEGIN: &str = "-----BEGIN ";

/// The certificates of a file, in its order: at least one.
///
/// # Errors
/// What is wrong, as the end of a sentence about the file.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|error| damaged(&error))?;
    if !found.is_empty() {
        return Ok(found);
    }
    Err(instead(text, "certificate", "openssl x509 -inform der -in FILE -out FILE.pem"))
}

/// The first private key of a file.
///
/// # Errors
/// What is wrong, as the end of a sentence about the file.
pub fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    match PrivateKeyDer::from_pem_slice(text) {
        // OpenSSL's older form says it within the section, and in letters like a key's.
        _ if is_encrypted(text) => Err("its key is encrypted, and nobody can be asked for the \
            passphrase: write it without, `openssl pkey -in FILE -out FILE.plain`"
            .to_owned()),
        Ok(key) => Ok(key),
        Err(Error::NoItemsFound) => {
            Err(instead(text, "private key", "openssl pkey -inform der -in FILE -out FILE.pem"))
        }
        Err(error) => Err(damaged(&error)),
    }
}

fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    sections(&text).any(|name| name == "ENCRYPTED PRIVATE KEY")
        || text.lines().any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"))
}

/// What a file holds instead of what was looked for.
fn instead(text: &[u8], wanted: &str, convert: &str) -> String {
    let lines = String::from_utf8_lossy(text);
    let mut sections = sections(&lines).map(str::to_lowercase);
    match sections.next() {
        Some(section) => format!("it holds no {wanted}, but a section {section:?}"),
        None if text.is_empty() => format!("it is empty: expected a {wanted} in PEM"),
        None if text.first() == Some(&DER) => {
            format!("it holds no {wanted} in PEM, but DER it seems: `{convert}` makes PEM of it")
        }
        None => format!("it holds no {wanted} in PEM"),
    }
}

/// The names of all sections.
fn sections(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.trim().strip_prefix(BEGIN)?.strip_suffix("-----"))
}

fn damaged(error: &Error) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match error {
        Error::MissingSectionEnd { end_marker } => {
            format!("it is cut off: a section {:?} has no end", text(end_marker).to_lowercase())
        }
        Error::IllegalSectionStart { line } => {
            format!("{:?} begins no section", text(line))
        }
        error => format!("it is damaged: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn files_are_read_however_they_were_written() {
        let (certificate, key) = pair();
        let forms = |text: &str| {
            [
                text.to_owned(),
                text.replace('\n', "\r\n"),
                format!("\u{feff}{text}"),
                format!("Bag Attributes\n  friendlyName: x\n{text}bye\n"),
                text.trim_end().to_owned(),
            ]
        };
        for form in forms(&certificate) {
            assert_eq!(certificates(form.as_bytes()).map(|all| all.len()), Ok(1), "{form:?}");
        }
        for form in forms(&key) {
            assert!(private_key(form.as_bytes()).is_ok(), "{form:?}");
        }
        let both = format!("{key}{certificate}{certificate}");
        assert_eq!(certificates(both.as_bytes()).map(|all| all.len()), Ok(2));
        assert!(private_key(both.as_bytes()).is_ok());
    }

    #[test]
    fn what_a_file_holds_instead_is_said() {
        let (certificate, key) = pair();
        let wrong = |text: &str| {
            let certificate = certificates(text.as_bytes()).map(drop);
            [certificate.unwrap_err(), private_key(text.as_bytes()).map(drop).unwrap_err()]
        };
        let both = |text: &str, expected: &str| {
            let said = wrong(text);
            assert!(said.iter().all(|said| said.contains(expected)), "{text:?}: {said:?}");
        };
        both("", "it is empty: expected a ");
        both("<html>", "in PEM");
        both("0\u{2}", "openssl ");
        let request =
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
        both(request, "but a section \"certificate request\"");
        let cut = &certificate[..300];
        assert!(certificates(cut.as_bytes()).unwrap_err().contains("it is cut off"));
        let said = certificates(key.as_bytes()).map(drop).unwrap_err();
        assert_eq!(said, "it holds no certificate, but a section \"private key\"");
        let said = private_key(certificate.as_bytes()).map(drop).unwrap_err();
        assert_eq!(said, "it holds no private key, but a section \"certificate\"");
    }

    #[test]
    fn a_key_that_needs_a_passphrase_is_said_to() {
        let older = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
            DEK-Info: AES-128-CBC,0011\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let newer =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for text in [older, newer] {
            let said = private_key(text.as_bytes()).map(drop).unwrap_err();
            assert!(said.contains("encrypted") && said.contains("openssl pkey"), "{said}");
        }
    }
}
