//! Where spans, metrics and log records go, and how: what the `OTEL_*` variables say, read as the OpenTelemetry specification has it.
//! Sends nothing and reads no environment.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use steerage_core::otlp::Sampler;

use super::grpc;
use super::pairs::pairs;
use crate::connector::{OutsideUrl, WrongUrl};

/// So often metrics are told, as the specification has it.
const INTERVAL: Duration = Duration::from_secs(60);
/// So long all requests of one time may take, as the specification has it.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(30);
/// What the service is called where nobody says.
const SERVICE: &str = "steerage";
/// As the specification has it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A collector, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpSettings {
    /// Where traces go; `None` where nobody wants any.
    pub traces: Option<SignalEndpoint>,
    /// Where metrics go; `None` where nobody wants any.
    pub metrics: Option<SignalEndpoint>,
    /// Where log records go; `None` where nobody wants any.
    pub logs: Option<SignalEndpoint>,
    /// How often metrics go.
    pub interval: Duration,
    /// So long all requests of one time may take, with further tries.
    pub export_timeout: Duration,
    /// The name of the service that all of it is of.
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
            metrics: None,
            logs: None,
            interval: INTERVAL,
            export_timeout: EXPORT_TIMEOUT,
            service: SERVICE.to_owned(),
            resource: Vec::new(),
            sampler: Sampler::default(),
        }
    }
}

/// Where one signal goes, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalEndpoint {
    /// Where it is taken.
    pub url: OutsideUrl,
    /// What is spoken there.
    pub protocol: OtlpProtocol,
    /// Headers of each request.
    pub headers: CollectorHeaders,
    /// Longest time for a request and its answer.
    pub timeout: Duration,
    /// The file with the authorities that may have signed its certificate; `None` for all public ones.
    pub certificate: Option<PathBuf>,
}

impl SignalEndpoint {
    /// The one at this URL, by HTTP without headers, until somebody says more.
    #[must_use]
    pub fn at(url: OutsideUrl) -> Self {
        let (protocol, headers) = (OtlpProtocol::default(), CollectorHeaders::default());
        Self { url, protocol, headers, timeout: TIMEOUT, certificate: None }
    }
}

/// What a collector can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans of calls.
    Traces,
    /// Metrics of the host and its apps.
    Metrics,
    /// What guests print, and events.
    Logs,
}

impl Signal {
    /// What it is called in settings and paths.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// Where it is taken below the URL of a collector.
    fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }

    fn grpc_path(self) -> &'static str {
        match self {
            Self::Traces => grpc::TRACES,
            Self::Metrics => grpc::METRICS,
            Self::Logs => grpc::LOGS,
        }
    }

    /// Reads the URL of this signal alone. By HTTP it is used as it is; by gRPC the path is always the same.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn at(self, text: &str, protocol: OtlpProtocol) -> Result<OutsideUrl, String> {
        let url = read_url(text)?;
        Ok(match protocol {
            OtlpProtocol::Http => url,
            OtlpProtocol::Grpc => url.at(self.grpc_path()),
        })
    }

    /// The same of a URL below which each signal has its own.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn below(self, text: &str, protocol: OtlpProtocol) -> Result<OutsideUrl, String> {
        let base = read_url(text)?;
        Ok(match protocol {
            OtlpProtocol::Http => base.below(self.path()),
            OtlpProtocol::Grpc => base.at(self.grpc_path()),
        })
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
    fn a_signal_goes_below_the_path_of_a_collector_and_where_its_own_url_says() {
        let http = OtlpProtocol::Http;
        for (base, expected) in [
            ("http://a:4318", "http://a:4318/v1/"),
            ("http://a:4318/", "http://a:4318/v1/"),
            ("https://a/otlp/", "https://a/otlp/v1/"),
        ] {
            for signal in [Signal::Traces, Signal::Metrics, Signal::Logs] {
                let parsed = signal.below(base, http).unwrap();
                assert_eq!(parsed.uri(), &*format!("{expected}{}", signal.name()));
            }
        }
        for url in ["http://a:4318/", "http://a:4318/other"] {
            for (signal, service) in [
                (Signal::Traces, "trace.v1.TraceService"),
                (Signal::Metrics, "metrics.v1.MetricsService"),
                (Signal::Logs, "logs.v1.LogsService"),
            ] {
                assert_eq!(signal.at(url, http).unwrap().uri(), url);
                for parse in [Signal::at, Signal::below] {
                    let parsed = parse(signal, url, OtlpProtocol::Grpc).unwrap();
                    let path = format!("/opentelemetry.proto.collector.{service}/Export");
                    assert_eq!(parsed.uri(), &*format!("http://a:4318{path}"));
                }
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
