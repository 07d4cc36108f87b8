//! The sessions of those who are signed in on the page, each in two halves.
//!
//! One half is a cookie that scripts cannot read. A browser sends cookies to all ports of a machine, so
//! apps that are served under the same name see it as well. The other half is a key that the page's own
//! scripts keep, which no other port can read, and neither half is worth anything without the other.
//! Keeps no session across a restart, and does not know what those who are signed in may do: `auth` does.

use std::time::Duration;

use http::HeaderMap;
use http::header::COOKIE;
use rustls::crypto::ring;
use sha2::{Digest as _, Sha256};
use steerage_core::id::hex_text;
use steerage_core::sessions::{SessionDigest, Sessions};

use crate::shared::Locked;

/// The name of the cookie.
pub(super) const COOKIE_NAME: &str = "steerage-session";
/// The header with the other half.
const KEY: &str = "steerage-session-key";
/// The most cookies of the name that are looked at: each costs a digest.
const MOST_COOKIES: usize = 4;

/// The sessions of this host.
#[derive(Debug, Default)]
pub struct OpenSessions(Locked<Sessions>);

/// The session that let a request in.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignedIn(SessionDigest);

/// Both halves of a session that was opened.
pub(super) struct Halves {
    pub(super) cookie: String,
    pub(super) key: String,
}

impl OpenSessions {
    /// Opens one for whoever has shown the token with this hash; `None` where the system gives no random
    /// bytes.
    pub(super) fn open(&self, token: &[u8; 32], now: Duration) -> Option<Halves> {
        let halves = Halves { cookie: secret()?, key: secret()? };
        let digest = digest(token, halves.cookie.as_bytes(), halves.key.as_bytes());
        self.0.lock().open(digest, now);
        Some(halves)
    }

    /// Closes one.
    pub(super) fn close(&self, SignedIn(digest): &SignedIn) {
        self.0.lock().close(digest);
    }

    /// The one that a request shows, if both halves are there and it is open.
    pub(super) fn shown(
        &self,
        token: &[u8; 32],
        headers: &HeaderMap,
        now: Duration,
    ) -> Option<SignedIn> {
        let key = headers.get(KEY)?.as_bytes();
        // Apps on other ports may set a cookie of this name, so there may be several.
        let mut shown = cookies(headers).map(|cookie| digest(token, cookie, key));
        shown.find(|digest| self.0.lock().is_open(digest, now)).map(SignedIn)
    }
}

/// Whether a request means to use a session, open or not.
pub(super) fn is_meant(headers: &HeaderMap) -> bool {
    headers.contains_key(KEY)
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| {
        let value = value.as_bytes();
        value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii)
    });
    pairs
        .filter_map(|pair| pair.strip_prefix(COOKIE_NAME.as_bytes())?.strip_prefix(b"="))
        .take(MOST_COOKIES)
}

/// Of the token too: with another token no session of the old one is open.
fn digest(token: &[u8; 32], cookie: &[u8], key: &[u8]) -> SessionDigest {
    let mut digest = Sha256::new();
    digest.update(token);
    digest.update(Sha256::digest(cookie));
    digest.update(Sha256::digest(key));
    digest.finalize().into()
}

/// 256 bits of the system's random source as hexadecimal digits.
fn secret() -> Option<String> {
    let mut bytes = [0; 32];
    ring::default_provider().secure_random.fill(&mut bytes).ok()?;
    Some(hex_text(&bytes))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=b; steerage-session=one;c"));
        headers.append(COOKIE, HeaderValue::from_static("steerage-session=two"));
        headers.append(COOKIE, HeaderValue::from_static("xsteerage-session=no; steerage-session"));
        assert_eq!(cookies(&headers).collect::<Vec<_>>(), [b"one", b"two"]);
        for _ in 0..10 {
            headers.append(COOKIE, HeaderValue::from_static("steerage-session=more"));
        }
        assert_eq!(cookies(&headers).count(), MOST_COOKIES);
    }

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let (one, other) = (secret().unwrap(), secret().unwrap());
        assert_eq!((one.len(), other.len()), (64, 64));
        assert_ne!(one, other);
    }

    #[test]
    fn halves_and_tokens_do_not_run_into_each_other() {
        let right = digest(&[1; 32], b"ab", b"c");
        assert_ne!(right, digest(&[1; 32], b"a", b"bc"));
        assert_ne!(right, digest(&[2; 32], b"ab", b"c"));
    }
}
