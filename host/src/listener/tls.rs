//! TLS for callers: certificate and key from files, HTTP/2 by ALPN. The files are read again when an
//! operator asks and when they have changed; connections that are open keep what they began with.
//! Does not renew certificates, and says nothing by itself: [`Certificates::refresh`] returns what
//! there is to say.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig, crypto};
use steerage_core::expiry::Expiry;
use steerage_core::mistaken::Mistaken;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};

use crate::{meter, pem};

/// Said of a certificate that `openssl x509 -req` made without extensions.
const OLD_VERSION: &str = "it is of X.509 version 1, which clients do not believe: issue it with its \
    names as extension, as in `openssl x509 -req -extfile <(echo subjectAltName=DNS:a.example.com)`";
/// Said of a key that no cipher here can use.
const UNSUPPORTED: &str = "its key is of a kind that cannot be used: expected RSA of 2048 to 4096 bits, \
    ECDSA on P-256 or P-384, or Ed25519";

/// Where certificate and key are, both PEM.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate chain, the host's own first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why files make no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the TLS {what} {}", .path.display())]
    Read {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds something else.
    #[error("cannot use the TLS {what} {}: {why}", .path.display())]
    Bad {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The key belongs to another certificate.
    #[error("the TLS key {} is not the key of {}", .key.display(), .certificate.display())]
    OtherKey {
        /// The file with the key.
        key: PathBuf,
        /// The file with the certificate.
        certificate: PathBuf,
    },
}

/// A certificate and its key that belong together.
#[derive(Debug)]
pub struct Loaded {
    certified: Arc<CertifiedKey>,
    /// When its time begins.
    pub begins: Timestamp,
    /// When its time is over.
    pub ends: Timestamp,
}

/// The certificate that is shown to callers, which may be replaced.
#[derive(Debug)]
pub struct Certificates {
    files: Files,
    current: ArcSwap<Loaded>,
    told: Mutex<Announced>,
}

/// What was told last, so that nothing is told twice.
#[derive(Debug, Default)]
struct Announced {
    begins: Option<Timestamp>,
    expiry: Option<(Timestamp, Expiry)>,
    failure: Option<String>,
}

/// Something an operator should hear about the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It was replaced by one that ends then.
    Replaced {
        /// The end of the new one.
        ends: Timestamp,
    },
    /// The files cannot be used, and the old one is shown on.
    Unusable {
        /// Why.
        why: String,
    },
    /// Its time has not begun: whoever calls refuses it.
    NotYet {
        /// When it begins.
        begins: Timestamp,
    },
    /// It ends soon, or its time is over.
    Expires {
        /// How soon.
        expiry: Expiry,
        /// When.
        ends: Timestamp,
    },
}

impl TlsError {
    /// The setting that names the file which is wrong.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Read { what: "certificate", .. } | Self::Bad { what: "certificate", .. } => {
                "tls_cert"
            }
            Self::Read { .. } | Self::Bad { .. } | Self::OtherKey { .. } => "tls_key",
        }
    }
}

impl Files {
    /// Reads the files and checks that they belong together. A certificate whose time is over or has
    /// not begun is taken: callers decide whether they believe it, and some host must answer them.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn load(&self) -> Result<Loaded, TlsError> {
        let bad_certificate = |why| bad("certificate", &self.certificate, why);
        let chain = pem::certificates(&read("certificate", &self.certificate)?);
        let chain = chain.map_err(bad_certificate)?;
        let (begins, ends) = validity(&chain).map_err(bad_certificate)?;
        let bad_key = |why| bad("key", &self.key, why);
        let secret = pem::private_key(&read("key", &self.key)?).map_err(bad_key)?;
        let key = crypto::ring::sign::any_supported_type(&secret)
            .map_err(|_| bad_key(UNSUPPORTED.to_owned()))?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // A kind of key that does not tell: callers find out.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(self.other_key(&certified)),
            Err(error) => return Err(bad_certificate(error.to_string())),
        }
        Ok(Loaded { certified: Arc::new(certified), begins, ends })
    }

    /// Whose key it is, if not that of the first certificate.
    fn other_key(&self, certified: &CertifiedKey) -> TlsError {
        let is_its_key = |certificate: &CertificateDer<'static>| {
            let one = CertifiedKey::new(vec![certificate.clone()], certified.key.clone());
            one.keys_match().is_ok()
        };
        match certified.cert.iter().position(is_its_key) {
            Some(at) => {
                let why = format!(
                    "the key is that of its certificate {}: the host's own certificate stands first, \
                     those of authorities after it",
                    at + 1
                );
                bad("certificate", &self.certificate, why)
            }
            None => {
                TlsError::OtherKey { key: self.key.clone(), certificate: self.certificate.clone() }
            }
        }
    }
}

/// When the time of the first certificate begins and ends.
fn validity(chain: &[CertificateDer<'_>]) -> Result<(Timestamp, Timestamp), String> {
    let own = chain.first().map(AsRef::as_ref).unwrap_or_default();
    let (_, own) = X509Certificate::from_der(own).map_err(|error| error.to_string())?;
    if own.version() != X509Version::V3 {
        return Err(OLD_VERSION.to_owned());
    }
    let moment = |seconds, beyond| Timestamp::from_second(seconds).unwrap_or(beyond);
    let validity = own.validity();
    Ok((
        moment(validity.not_before.timestamp(), Timestamp::MIN),
        moment(validity.not_after.timestamp(), Timestamp::MAX),
    ))
}

fn bad(what: &'static str, path: &Path, why: String) -> TlsError {
    TlsError::Bad { what, path: path.to_owned(), why }
}

impl Loaded {
    /// How near its end is; `None` while that is far.
    #[must_use]
    pub fn expiry(&self, now: Timestamp) -> Option<Expiry> {
        Expiry::of(self.ends.as_second().saturating_sub(now.as_second()))
    }
}

impl Certificates {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// See [`Files::load`].
    pub fn open(files: Files) -> Result<Arc<Self>, TlsError> {
        let current = ArcSwap::from_pointee(files.load()?);
        Ok(Arc::new(Self { files, current, told: Mutex::default() }))
    }

    /// How a listener speaks TLS with them.
    ///
    /// # Errors
    /// The TLS library refuses its own defaults.
    pub fn server(self: &Arc<Self>) -> io::Result<Arc<ServerConfig>> {
        let provider = Arc::new(crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// When the time of the certificate is over that is shown now.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.current.load().ends
    }

    /// Reads the files again and returns what is new. Blocks on the disk.
    pub fn refresh(&self, now: Timestamp) -> Vec<News> {
        let mut news = Vec::new();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match self.files.load() {
            Ok(loaded) => {
                told.failure = None;
                if loaded.certified.cert != self.current.load().certified.cert {
                    news.push(News::Replaced { ends: loaded.ends });
                    self.current.store(Arc::new(loaded));
                }
            }
            Err(error) => {
                let why = crate::telemetry::chain(&error);
                if told.failure.as_ref() != Some(&why) {
                    told.failure = Some(why.clone());
                    news.push(News::Unusable { why });
                }
            }
        }
        let current = self.current.load();
        if current.begins > now && told.begins != Some(current.begins) {
            told.begins = Some(current.begins);
            news.push(News::NotYet { begins: current.begins });
        }
        if let Some(expiry) = current.expiry(now) {
            let (ends, this) = (current.ends, Some((current.ends, expiry)));
            if told.expiry != this {
                told.expiry = this;
                news.push(News::Expires { expiry, ends });
            }
        }
        news
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load().certified.clone())
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { what, path: path.to_owned(), source })
}

/// Counts a client that speaks TLS where it is not spoken, or the other way round.
pub(super) fn note_mistaken(mistaken: &Mutex<Mistaken>) {
    let now = meter::milliseconds_since_epoch(Instant::now());
    mistaken.lock().unwrap_or_else(PoisonError::into_inner).note(now);
}

/// Whether a handshake failed because what came is not TLS at all, as when a client sends plain HTTP.
pub(super) fn speaks_none(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate that ends in so many days, and its key.
    fn issue(days: i64) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let ends = Timestamp::now().as_second() + days * 86_400 + 60;
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after =
            rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(ends.cast_unsigned());
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn files(folder: &Path, (certificate, key): (String, String)) -> Files {
        let files = Files { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
        fs::write(&files.certificate, certificate).unwrap();
        fs::write(&files.key, key).unwrap();
        files
    }

    #[test]
    fn what_does_not_belong_together_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (issue(90), issue(90));
        let error = files(folder.path(), (one.0.clone(), other.1)).load().unwrap_err();
        assert!(error.to_string().contains("key.pem is not the key of"), "{error}");
        let error = files(folder.path(), ("nothing".to_owned(), one.1.clone())).load().unwrap_err();
        assert!(error.to_string().contains("it holds no certificate in PEM"), "{error}");
        let error = files(folder.path(), (one.0.clone(), String::new())).load().unwrap_err();
        assert!(
            error.to_string().contains("it is empty: expected a private key in PEM"),
            "{error}"
        );
        assert!(files(folder.path(), one).load().is_ok());
    }

    #[test]
    fn a_file_that_is_wrong_is_blamed_on_its_setting() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (issue(90), issue(90));
        let key = |files: Files| files.load().unwrap_err().key();
        assert_eq!(key(files(folder.path(), (String::new(), one.1.clone()))), "tls_cert");
        assert_eq!(key(files(folder.path(), (one.0.clone(), String::new()))), "tls_key");
        assert_eq!(key(files(folder.path(), (one.0, other.1))), "tls_key");
    }

    #[test]
    fn what_is_new_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::open(files(folder.path(), issue(20))).unwrap();
        let now = Timestamp::now();
        let ends = certificates.current.load().ends;
        assert_eq!(certificates.refresh(now), [News::Expires { expiry: Expiry::Month, ends }]);
        assert_eq!(certificates.refresh(now), []);
        let later = now + jiff::SignedDuration::from_hours(24 * 15);
        assert_eq!(certificates.refresh(later), [News::Expires { expiry: Expiry::Week, ends }]);
        fs::write(&certificates.files.key, "").unwrap();
        assert!(matches!(&certificates.refresh(later)[..], [News::Unusable { .. }]));
        assert_eq!(certificates.refresh(later), []);
        assert_eq!(certificates.current.load().ends, ends);
        files(folder.path(), issue(90));
        assert!(matches!(&certificates.refresh(now)[..], [News::Replaced { .. }]));
    }
}
