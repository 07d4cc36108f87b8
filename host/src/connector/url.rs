//! The URL of somebody outside, as an operator says it. Its path may hold a key, so nothing but host and port is
//! shown of it.
//! Does not connect.

use std::fmt;

use http::Uri;
use http::uri::PathAndQuery;

/// The longest URL, in bytes. Many servers take no longer one.
const LONGEST: usize = 8192;

/// Where somebody outside is, by HTTP or HTTPS.
#[derive(Clone, PartialEq, Eq)]
pub struct OutsideUrl(Uri);

/// Why something is no such URL. It shows no path, query, user or password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongUrl {
    /// It may hold a password.
    #[error("holds a user: user and password cannot be sent")]
    User,
    /// It is none.
    #[error("{shown} is no URL: {why}")]
    NoUrl {
        /// Its beginning.
        shown: String,
        /// What is wrong with it.
        why: String,
    },
    /// It is longer than any is.
    #[error("has {0} bytes: at most {LONGEST} are allowed")]
    TooLong(usize),
}

impl OutsideUrl {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, WrongUrl> {
        if text.len() > LONGEST {
            return Err(WrongUrl::TooLong(text.len()));
        }
        let wrong = |why: String| WrongUrl::NoUrl { shown: beginning(text), why };
        let uri: Uri = text.parse().map_err(|error| wrong(format!("{error}")))?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let Some(authority) = uri.authority().filter(|_| is_http) else {
            return Err(wrong("expected http://HOST:PORT or https://HOST:PORT".to_owned()));
        };
        if authority.as_str().contains('@') {
            return Err(WrongUrl::User);
        }
        Ok(Self(uri))
    }

    /// The same server's URL with this path below its own.
    #[must_use]
    pub fn below(&self, path: &str) -> Self {
        self.at(&format!("{}{path}", self.0.path().trim_end_matches('/')))
    }

    /// The same server's URL with this path instead of its own.
    #[must_use]
    pub fn at(&self, path: &str) -> Self {
        let mut parts = self.0.clone().into_parts();
        parts.path_and_query = path.parse::<PathAndQuery>().ok();
        // A path that was read, with a known one below it, is a path.
        Self(Uri::from_parts(parts).unwrap_or_else(|_| self.0.clone()))
    }

    /// The URL.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// Host and port, for messages. The path may hold a key and is told nobody.
    #[must_use]
    pub fn authority(&self) -> String {
        self.0.authority().map(ToString::to_string).unwrap_or_default()
    }
}

impl fmt::Debug for OutsideUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutsideUrl({})", self.authority())
    }
}

/// So much of what is no URL as can be no secret: what stands before a path; nothing where a password may.
fn beginning(text: &str) -> String {
    if text.contains('@') {
        return "what holds an @ and is not shown".to_owned();
    }
    let host_at = text.find("://").map_or(0, |at| at + "://".len());
    let (scheme, rest) = text.split_at(host_at);
    let is_end = |letter: char| matches!(letter, '/' | '?' | '#' | '\\') || letter.is_whitespace();
    match rest.find(is_end) {
        Some(end) => {
            let shown = format!("{scheme}{}", rest.get(..end).unwrap_or_default());
            format!("{shown:?} and so on")
        }
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong, and what of it may be shown.
    const WRONG: [(&str, &str); 13] = [
        ("a:4318", "\"a:4318\""),
        ("a", "\"a\""),
        ("grpc://a:4317", "\"grpc://a:4317\""),
        ("/v1/SECRET", "\"\" and so on"),
        ("http://", "\"http://\""),
        ("https://collector/SECRET x", "\"https://collector\" and so on"),
        ("htps://host/SECRET", "\"htps://host\" and so on"),
        ("htps://host?SECRET", "\"htps://host\" and so on"),
        ("htps:\\\\host\\SECRET", "\"htps:\" and so on"),
        ("u:SECRET@host:4318", "what holds an @"),
        ("u:SECRET@a", "what holds an @"),
        ("http://u:SECRET@a", "holds a user"),
        ("htps://u:SECRET@host/x", "what holds an @"),
    ];

    #[test]
    fn what_is_no_url_is_shown_without_what_may_be_a_secret() {
        for (wrong, shown) in WRONG {
            let why = OutsideUrl::parse(wrong).unwrap_err().to_string();
            assert!(why.starts_with(shown) && !why.contains("SECRET"), "{wrong}: {why}");
        }
        let long = format!("http://a/{}", "x".repeat(LONGEST));
        let why = OutsideUrl::parse(&long).unwrap_err().to_string();
        assert_eq!(why, "has 8201 bytes: at most 8192 are allowed");
    }

    #[test]
    fn a_path_goes_below_that_of_the_url_or_in_its_place_and_is_not_shown() {
        for (base, below, at) in [
            ("http://a:1", "http://a:1/x/y", "http://a:1/x/y"),
            ("https://a/", "https://a/x/y", "https://a/x/y"),
            ("https://a/b/?q=1", "https://a/b/x/y", "https://a/x/y"),
        ] {
            let base = OutsideUrl::parse(base).unwrap();
            assert_eq!(base.below("/x/y").uri(), below);
            assert_eq!(base.at("/x/y").uri(), at);
        }
        let url = OutsideUrl::parse("https://hooks.example.com:1/T0/secret").unwrap();
        assert_eq!(format!("{url:?}"), "OutsideUrl(hooks.example.com:1)");
    }
}
