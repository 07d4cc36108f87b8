//! Where spans go, and how: what the `OTEL_*` variables say, read as the OpenTelemetry specification has it.
//! Sends nothing and reads no environment.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use steerage_core::otlp::Sampler;

use super::grpc;
use super::pairs::pairs;
use crate::connector::{OutsideUrl, WrongUrl};

/// Where traces are taken below the URL of a collector.
const TRACES: &str = "/v1/traces";
/// What the service is called where nobody says.
const SERVICE: &str = "steerage";
/// As the specification has it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A collector, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpSettings {
    /// Where traces go; `None` where nobody wants any.
    pub traces: Option<OutsideUrl>,
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

/// Reads the URL of traces. By HTTP it is used as it is; by gRPC the path is always the same.
///
/// # Errors
/// What is wrong with it.
pub fn traces_at(text: &str, protocol: OtlpProtocol) -> Result<OutsideUrl, String> {
    let url = read_url(text)?;
    Ok(match protocol {
        OtlpProtocol::Http => url,
        OtlpProtocol::Grpc => url.at(grpc::TRACES),
    })
}

/// The same of a URL below which each signal has its own.
///
/// # Errors
/// What is wrong with it.
pub fn traces_below(text: &str, protocol: OtlpProtocol) -> Result<OutsideUrl, String> {
    let base = read_url(text)?;
    Ok(match protocol {
        OtlpProtocol::Http => base.below(TRACES),
        OtlpProtocol::Grpc => base.at(grpc::TRACES),
    })
}

fn read_url(text: &str) -> Result<OutsideUrl, String> {
    OutsideUrl::parse(text).map_err(|wrong| match wrong {
        WrongUrl::User => {
            "holds a user: a password goes into OTEL_EXPORTER_OTLP_HEADERS".to_owned()
        }
        WrongUrl::NoUrl { .. } | WrongUrl::TooLong(_) => wrong.to_string(),
    })
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
            let parsed = traces_below(base, OtlpProtocol::Http).unwrap();
            assert_eq!(parsed.uri(), expected);
        }
        for url in ["http://a:4318/", "http://a:4318/other"] {
            assert_eq!(traces_at(url, OtlpProtocol::Http).unwrap().uri(), url);
            for parse in [traces_at, traces_below] {
                let parsed = parse(url, OtlpProtocol::Grpc).unwrap();
                assert_eq!(parsed.uri(), &*format!("http://a:4318{}", grpc::TRACES));
            }
        }
        for wrong in ["a:4318", "a", "grpc://a:4317", "/v1/traces", "http://"] {
            assert!(read_url(wrong).is_err(), "{wrong}");
        }
        for wrong in [
            "https://collector/SECRET x",
            "htps://host/SECRET",
            "u:SECRET@host:4318",
            "http://u:SECRET@a",
        ] {
            let why = read_url(wrong).unwrap_err();
            assert!(!why.contains("SECRET"), "{wrong}: {why}");
        }
    }

    #[test]
    fn what_is_secret_in_headers_is_not_shown() {
        let headers = CollectorHeaders::parse("api-key=secret").unwrap();
        assert!(!format!("{headers:?}").contains("secret"), "{headers:?}");
        for wrong in ["a b=secret", "a=secret%0A"] {
            let why = CollectorHeaders::parse(wrong).unwrap_err();
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
