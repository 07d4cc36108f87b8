//! Where spans go, and how: what the `OTEL_*` variables say, read as the OpenTelemetry specification has it.
//! Sends nothing and reads no environment.

use std::fmt;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Uri};
use steerage_core::otlp::Sampler;

use super::grpc;

/// Where traces are taken below the URL of a collector.
const TRACES: &str = "/v1/traces";
/// What the service is called where nobody says.
const SERVICE: &str = "steerage";
/// As the specification has it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// More of them no collector needs, and each batch carries them.
const MOST_PAIRS: usize = 64;

/// A collector, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpSettings {
    /// Where traces go; `None` where nobody wants any.
    pub traces: Option<CollectorUrl>,
    /// What is spoken there.
    pub protocol: OtlpProtocol,
    /// Headers of each request.
    pub headers: CollectorHeaders,
    /// Longest time for a request and its answer.
    pub timeout: Duration,
    /// The name of the service that all spans are of.
    pub service: String,
    /// What else is said of where they come from.
    pub resource: Vec<(String, String)>,
    /// Which calls are kept that neither failed nor were slow.
    pub sampler: Sampler,
}

impl Default for OtlpSettings {
    fn default() -> Self {
        Self {
            traces: None,
            protocol: OtlpProtocol::default(),
            headers: CollectorHeaders::default(),
            timeout: TIMEOUT,
            service: SERVICE.to_owned(),
            resource: Vec::new(),
            sampler: Sampler::default(),
        }
    }
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// Protobuf over HTTP/1.1.
    #[default]
    Http,
    /// gRPC, which is HTTP/2.
    Grpc,
}

impl OtlpProtocol {
    /// Reads it.
    ///
    /// # Errors
    /// It is none that is spoken here.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "http/protobuf" => Ok(Self::Http),
            "grpc" => Ok(Self::Grpc),
            _ => {
                Err(format!("{text:?} is no protocol spoken here: expected http/protobuf or grpc"))
            }
        }
    }
}

/// Where a collector takes one signal.
#[derive(Clone, PartialEq, Eq)]
pub struct CollectorUrl(Uri);

impl CollectorUrl {
    /// Reads the URL of traces. By HTTP it is used as it is; by gRPC the path is always the same.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, protocol: OtlpProtocol) -> Result<Self, String> {
        let url = Self::read(text)?;
        match protocol {
            OtlpProtocol::Http => Ok(url),
            OtlpProtocol::Grpc => url.with_path(grpc::TRACES),
        }
    }

    /// The same of a URL below which each signal has its own.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_base(text: &str, protocol: OtlpProtocol) -> Result<Self, String> {
        let base = Self::read(text)?;
        let path = match protocol {
            OtlpProtocol::Http => format!("{}{TRACES}", base.0.path().trim_end_matches('/')),
            OtlpProtocol::Grpc => grpc::TRACES.to_owned(),
        };
        base.with_path(&path)
    }

    fn read(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{text:?} is no URL: {error}"))?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let Some(authority) = uri.authority().filter(|_| is_http) else {
            return Err(format!("{text:?} is no URL of a collector: expected http://HOST:PORT"));
        };
        if authority.as_str().contains('@') {
            // It is not shown: it may hold a password.
            return Err("holds a user: a password goes into OTEL_EXPORTER_OTLP_HEADERS".to_owned());
        }
        Ok(Self(uri))
    }

    fn with_path(self, path: &str) -> Result<Self, String> {
        let place = self.place();
        let mut parts = self.0.into_parts();
        parts.path_and_query = path.parse::<PathAndQuery>().ok();
        Uri::from_parts(parts).map(Self).map_err(|error| format!("{place} has no {path}: {error}"))
    }

    /// The URL.
    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }

    /// Host and port, for messages. The path may hold a key and is told nobody.
    #[must_use]
    pub fn place(&self) -> String {
        self.0.authority().map(ToString::to_string).unwrap_or_default()
    }
}

impl fmt::Debug for CollectorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CollectorUrl({})", self.place())
    }
}

/// Headers by which a collector knows who sends. Their values are secrets and are never shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectorHeaders(Vec<(HeaderName, HeaderValue)>);

impl CollectorHeaders {
    /// Reads `NAME=VALUE,...`, in which what has a meaning of its own is percent-encoded.
    ///
    /// # Errors
    /// What is wrong with it, without the values.
    pub fn parse(text: &str) -> Result<Self, String> {
        let headers = pairs(text)?.into_iter().map(|(name, value)| {
            let wrong = |what: &str| format!("the header {name:?} has {what}");
            let header =
                HeaderName::try_from(&name).map_err(|_| wrong("a name that is none in HTTP"))?;
            let mut value =
                HeaderValue::try_from(value).map_err(|_| wrong("a value that cannot be sent"))?;
            value.set_sensitive(true);
            Ok((header, value))
        });
        headers.collect::<Result<_, String>>().map(Self)
    }

    /// Each of them.
    pub(super) fn each(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.0.iter()
    }
}

/// Reads `NAME=VALUE,...` as `OTEL_RESOURCE_ATTRIBUTES` has it.
///
/// # Errors
/// What is wrong with it. Values are not shown, since headers have the same form.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let each = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let pairs = each.enumerate().map(|(place, pair)| {
        let number = place + 1;
        let wrong = |what: &str| format!("part {number} between the commas {what}");
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| wrong("has no =: expected NAME=VALUE,NAME=VALUE"))?;
        let name = decoded(name.trim()).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| wrong("has no name that can be read"))?;
        let value = decoded(value.trim()).ok_or_else(|| {
            wrong(&format!("has a value of {name:?} that is no percent-encoded text"))
        })?;
        Ok((name, value))
    });
    let pairs = pairs.collect::<Result<Vec<_>, String>>()?;
    match pairs.len() {
        0..=MOST_PAIRS => Ok(pairs),
        n_pairs => Err(format!("has {n_pairs} pairs: at most {MOST_PAIRS} are allowed")),
    }
}

/// The text without percent-encoding; `None` where that is wrong.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.as_bytes();
    while let [first, rest @ ..] = left {
        if *first == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            left = rest.get(2..)?;
        } else {
            bytes.push(*first);
            left = rest;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_below_the_path_of_a_collector_and_where_their_own_url_says() {
        for (base, expected) in [
            ("http://a:4318", "http://a:4318/v1/traces"),
            ("http://a:4318/", "http://a:4318/v1/traces"),
            ("https://a/otlp/", "https://a/otlp/v1/traces"),
        ] {
            let parsed = CollectorUrl::parse_base(base, OtlpProtocol::Http).unwrap();
            assert_eq!(parsed.uri(), expected);
        }
        for url in ["http://a:4318/", "http://a:4318/other"] {
            assert_eq!(CollectorUrl::parse(url, OtlpProtocol::Http).unwrap().uri(), url);
            for parse in [CollectorUrl::parse, CollectorUrl::parse_base] {
                let parsed = parse(url, OtlpProtocol::Grpc).unwrap();
                assert_eq!(parsed.uri(), &*format!("http://a:4318{}", grpc::TRACES));
            }
        }
        for wrong in ["a:4318", "a", "grpc://a:4317", "/v1/traces", "http://"] {
            assert!(CollectorUrl::read(wrong).is_err(), "{wrong}");
        }
        let with_password = CollectorUrl::read("http://u:secret@a").unwrap_err();
        assert!(!with_password.contains("secret"), "{with_password}");
    }

    #[test]
    fn pairs_are_read_as_the_specification_has_them_and_secrets_are_not_shown() {
        let read = pairs(" a = 1 , b=x%20y%2Cz==,").unwrap();
        let expected = [("a", "1"), ("b", "x y,z==")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(pairs(""), Ok(Vec::new()));
        for wrong in ["secret", "=secret", "a=secret%2", "a=secret%zz", "a=secret%ff"] {
            let why = pairs(wrong).unwrap_err();
            assert!(why.contains("part 1") && !why.contains("secret"), "{why}");
        }
        let many = "a=1,".repeat(MOST_PAIRS + 1);
        assert!(pairs(&many).unwrap_err().contains("has 65 pairs: at most 64"));
        let headers = CollectorHeaders::parse("api-key=secret").unwrap();
        assert!(!format!("{headers:?}").contains("secret"), "{headers:?}");
        for wrong in ["a b=secret", "a=secret%0A"] {
            let why = CollectorHeaders::parse(wrong).unwrap_err();
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
