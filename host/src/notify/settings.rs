//! Whom an operator wants to be told: URLs, and the secret by which a webhook knows this host.
//! Sends nothing.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::connector::{OutsideUrl, WrongUrl};

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
    pub alertmanagers: Vec<OutsideUrl>,
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Where it is.
    pub url: OutsideUrl,
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

/// Reads some URLs, with commas between.
///
/// # Errors
/// What is wrong with one of them.
pub fn parse_urls(text: &str) -> Result<Vec<OutsideUrl>, WrongUrl> {
    let urls = text.split(',').map(str::trim).filter(|url| !url.is_empty());
    urls.map(OutsideUrl::parse).collect()
}

/// Where the Alertmanager at this URL takes alerts.
pub(super) fn alerts(url: &OutsideUrl) -> OutsideUrl {
    url.below(ALERTS)
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
            assert_eq!(alerts(&OutsideUrl::parse(url).unwrap()).uri(), expected);
        }
    }

    #[test]
    fn what_cannot_be_told_is_refused_and_secrets_are_not_shown() {
        for wrong in [
            "https://a/SECRET x",
            "htps://a/SECRET",
            "u:SECRET@a:4318",
            "u:SECRET@a",
            "http://u:SECRET@a/",
            "/SECRET",
        ] {
            let why = parse_urls(&format!("http://b, {wrong}")).unwrap_err().to_string();
            assert!(!why.contains("SECRET"), "{wrong}: {why}");
        }
        let urls = parse_urls(" http://a:1/x ,, https://b").unwrap();
        assert_eq!(urls.iter().map(OutsideUrl::authority).collect::<Vec<_>>(), ["a:1", "b"]);
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
