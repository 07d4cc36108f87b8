//! Whom an operator wants to be told: URLs, and the secret by which a webhook knows this host.
//! Sends nothing.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use http::uri::PathAndQuery;

/// A secret that begins so is written in base64, as the specification of Standard Webhooks has it.
const ENCODED: &str = "whsec_";
/// A shorter one could be guessed: bytes.
const SHORTEST_SECRET: usize = 16;
/// Where an Alertmanager takes alerts.
const ALERTS: &str = "/api/v2/alerts";

/// Who is told what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifySettings {
    /// Gets one request for each problem that opens, changes or closes.
    pub webhook: Option<WebhookSettings>,
    /// Each of them is told everything.
    pub alertmanagers: Vec<ReceiverUrl>,
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Where it is.
    pub url: ReceiverUrl,
    /// The file with the secret; nothing is signed without.
    pub secret_file: Option<PathBuf>,
}

impl NotifySettings {
    /// Tries what is read only when something is told, so that an operator hears of it at the start.
    ///
    /// # Errors
    /// The webhook's secret cannot be used, and why.
    pub fn check(&self) -> Result<(), String> {
        let secret_file = self.webhook.as_ref().and_then(|webhook| webhook.secret_file.as_deref());
        secret_file.map(read_secret).transpose().map(drop)
    }
}

/// Where a receiver is.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiverUrl(Uri);

impl ReceiverUrl {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        // Its path may be a secret: what is shown is where it begins.
        let shown = text.get(..text.find(['/', '?']).unwrap_or(text.len())).unwrap_or_default();
        let wrong = |why: &str| format!("{shown:?} and so on is no URL that can be told: {why}");
        let uri: Uri = text.parse().map_err(|error| wrong(&format!("{error}")))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong("expected http://HOST:PORT/PATH or https://HOST:PORT/PATH"));
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return Err("holds a user: user and password cannot be sent".to_owned());
        }
        Ok(Self(uri))
    }

    /// Reads some, with commas between.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let urls = text.split(',').map(str::trim).filter(|url| !url.is_empty());
        urls.map(Self::parse).collect()
    }

    /// Where the Alertmanager at this URL takes alerts.
    pub(super) fn alerts(&self) -> Self {
        let mut parts = self.0.clone().into_parts();
        let path = format!("{}{ALERTS}", self.0.path().trim_end_matches('/'));
        parts.path_and_query = PathAndQuery::from_maybe_shared(path).ok();
        Self(Uri::from_parts(parts).unwrap_or_else(|_| self.0.clone()))
    }

    /// The URL.
    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }

    /// Host and port. The path may hold a secret and is told nobody.
    #[must_use]
    pub fn place(&self) -> String {
        self.0.authority().map(ToString::to_string).unwrap_or_default()
    }
}

impl fmt::Debug for ReceiverUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiverUrl({})", self.place())
    }
}

/// Reads the secret of a webhook.
///
/// # Errors
/// Why it cannot be used.
pub(super) fn read_secret(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read the webhook's secret {shown}: {error}"))?;
    let text = text.trim();
    let secret = match text.strip_prefix(ENCODED) {
        Some(encoded) => STANDARD
            .decode(encoded)
            .map_err(|error| format!("{shown} holds no base64 after {ENCODED}: {error}"))?,
        None => text.as_bytes().to_vec(),
    };
    if secret.len() < SHORTEST_SECRET {
        let n_bytes = secret.len();
        return Err(format!(
            "the secret in {shown} has {n_bytes} bytes: at least {SHORTEST_SECRET} are allowed"
        ));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_go_below_the_path_of_an_alertmanager() {
        for (url, expected) in [
            ("http://a:9093", "http://a:9093/api/v2/alerts"),
            ("https://a/", "https://a/api/v2/alerts"),
            ("http://a:9093/alerts/", "http://a:9093/alerts/api/v2/alerts"),
        ] {
            assert_eq!(ReceiverUrl::parse(url).unwrap().alerts().uri().to_string(), expected);
        }
    }

    #[test]
    fn what_cannot_be_told_is_refused_and_paths_are_not_shown() {
        for wrong in ["a:9093", "ftp://a/", "http://u:p@a/", "/path", "http://"] {
            assert!(ReceiverUrl::parse(wrong).is_err(), "{wrong}");
        }
        let url = ReceiverUrl::parse("https://hooks.example.com/T0/secret").unwrap();
        assert_eq!(format!("{url:?}"), "ReceiverUrl(hooks.example.com)");
    }

    #[test]
    fn a_secret_is_text_or_base64() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_secret(&path)
        };
        assert_eq!(read("0123456789abcdef\n").unwrap(), b"0123456789abcdef");
        assert_eq!(read("whsec_MDEyMzQ1Njc4OWFiY2RlZg==").unwrap(), b"0123456789abcdef");
        assert!(read("whsec_!").unwrap_err().contains("no base64"));
        assert!(read("short").unwrap_err().contains("has 5 bytes: at least 16"));
    }
}
