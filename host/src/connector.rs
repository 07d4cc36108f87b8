//! Connections to servers by their URL, over TLS where it says `https`, as the command line and those who tell
//! others outside make them; and one request to somebody outside, whose answer is shown without its secrets.
//! Does not judge answers and does not try again. Does not serve guests: theirs are made in `sandbox`, where a
//! policy bounds them.

mod url;

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::builderstates::WantsProtocols1;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Connections;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use steerage_core::excerpt::excerpt;
use tokio::time::{Instant, timeout_at};

pub use self::url::{OutsideUrl, WrongUrl};

/// So much of an answer is read, and so much of it shown: bytes.
const LARGEST_ANSWER: usize = 64 << 10;
const SHOWN: usize = 200;
/// Where the status says all that matters nobody waits longer for what is said beside.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);
/// A part of a path, or of a header's value, may be a key alone if it is at least as long: bytes. Shorter ones are
/// words such as `v1`.
const SHORTEST_KEY: usize = 8;
/// A whole header's value is a secret if it is at least as long: bytes. A shorter one, as `1`, is no key, and
/// without it no reason could be read.
const SHORTEST_VALUE: usize = 4;

/// Authorities whose certificates are believed.
#[derive(Clone, Debug)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// These.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn of(certificates: Vec<CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        certificates.into_iter().try_for_each(|certificate| roots.add(certificate))?;
        Ok(Self(Arc::new(roots)))
    }
}

/// What connects.
pub type Connector = HttpsConnector<HttpConnector>;

/// Connects to whatever a URL names, within this time.
///
/// # Errors
/// TLS cannot be set up.
pub fn connector(within: Duration) -> io::Result<Connector> {
    connector_trusting(within, None)
}

/// The same for whom these authorities have signed, and nobody else, where they are said.
///
/// # Errors
/// TLS cannot be set up, or one of them is no authority.
pub fn connector_trusting(within: Duration, roots: Option<&Roots>) -> io::Result<Connector> {
    Ok(over_tls(roots)?.enable_http1().wrap_connector(plain(within)))
}

/// The same for who speaks HTTP/2 and nothing else.
///
/// # Errors
/// As for the other.
pub fn http2_connector(within: Duration, roots: Option<&Roots>) -> io::Result<Connector> {
    Ok(over_tls(roots)?.enable_http2().wrap_connector(plain(within)))
}

fn over_tls(roots: Option<&Roots>) -> io::Result<HttpsConnectorBuilder<WantsProtocols1>> {
    let provider = rustls::crypto::ring::default_provider();
    let builder = HttpsConnectorBuilder::new();
    let Some(Roots(roots)) = roots else {
        let builder = builder.with_provider_and_webpki_roots(provider);
        return Ok(builder.map_err(io::Error::other)?.https_or_http());
    };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    Ok(builder.with_tls_config(config).https_or_http())
}

fn plain(within: Duration) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(within));
    connector.set_nodelay(true);
    connector
}

/// What an error is made of, itself first. Of an I/O error that is what is in it, which its source leaves out.
pub fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

/// A library's own words say little; the first cause says what happened.
pub fn first_cause(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// What somebody outside answers.
#[derive(Debug)]
pub struct OutsideAnswer {
    /// Its status and headers.
    pub head: Parts,
    body: Incoming,
    until: Instant,
    secrets: Secrets,
}

/// Nobody answered.
#[derive(Debug)]
pub struct NoAnswer {
    /// Whether there was a connection. If not, nothing can have been taken.
    pub is_reached: bool,
    /// Why, in words.
    pub why: String,
}

/// Sends a request to somebody outside, whose head must come within this time, and whose body too.
///
/// # Errors
/// It does not come, and whether the request may have arrived.
pub async fn ask(
    connections: &Connections<Connector, Full<Bytes>>,
    mut request: Request<Full<Bytes>>,
    within: Duration,
) -> Result<OutsideAnswer, NoAnswer> {
    let until = Instant::now() + within;
    let secrets = Secrets::of(&request);
    // Names and TLS take part of the time, too. A request is sent only after there is a connection.
    let connection = capture_connection(&mut request);
    let answered = timeout_at(until, connections.request(request)).await;
    let is_connected = connection.connection_metadata().is_some();
    match answered {
        Ok(Ok(response)) => {
            let (head, body) = response.into_parts();
            Ok(OutsideAnswer { head, body, until, secrets })
        }
        Ok(Err(error)) => {
            let is_reached = is_connected && !error.is_connect();
            Err(NoAnswer { is_reached, why: secrets.hide(&first_cause(&error)) })
        }
        Err(_) => {
            let why = match is_connected {
                true => format!("it does not answer within {within:?}"),
                false => format!("there is no connection to it within {within:?}"),
            };
            Err(NoAnswer { is_reached: is_connected, why })
        }
    }
}

impl OutsideAnswer {
    /// The body, and what comes after it; nothing where it breaks off, is too long or does not end in time.
    pub async fn whole(&mut self) -> Option<(Bytes, Option<HeaderMap>)> {
        self.read(self.until).await
    }

    /// Status and body in a few words, where the status says all that matters. The body is read even so, because
    /// the connection can be used again then.
    pub async fn words(&mut self) -> String {
        let until = self.until.min(Instant::now() + BODY_TIMEOUT);
        let (body, _) = self.read(until).await.unwrap_or_default();
        let body = self.secrets.hide(String::from_utf8_lossy(&body).trim());
        format!("it answers {}: {}", self.head.status, excerpt(SHOWN, body))
    }

    /// So much of what it says as is shown, without what it was sent in secret.
    #[must_use]
    pub fn shown(&self, said: &str) -> String {
        excerpt(SHOWN, self.secrets.hide(said))
    }

    async fn read(&mut self, until: Instant) -> Option<(Bytes, Option<HeaderMap>)> {
        let body = Limited::new(&mut self.body, LARGEST_ANSWER).collect();
        let body = timeout_at(until, body).await.ok()?.ok()?;
        let trailers = body.trailers().cloned();
        Some((body.to_bytes(), trailers))
    }
}

/// What a request holds that is told nobody but whom it is sent to. Some repeat it in their answers.
#[derive(Clone)]
struct Secrets(Vec<String>);

impl Secrets {
    /// The path, the query and the headers that are marked as sensitive, and what is long enough in them to be a
    /// key.
    fn of<B>(request: &Request<B>) -> Self {
        let mut all = Vec::new();
        let with_query = request.uri().path_and_query().map_or("", |path| path.as_str());
        let is_grpc = |value: &HeaderValue| value.as_bytes().starts_with(b"application/grpc");
        // The protocol says this path, and a collector that does not serve the service names it.
        let is_public = request.headers().get(CONTENT_TYPE).is_some_and(is_grpc);
        let with_query = if is_public { "" } else { with_query };
        for path in [with_query, with_query.split('?').next().unwrap_or_default()] {
            if path.len() > 1 {
                all.push(path.to_owned());
            }
        }
        let is_key = |part: &&str| part.len() >= SHORTEST_KEY;
        all.extend(with_query.split(['/', '?', '&', '=']).filter(is_key).map(str::to_owned));
        for value in request.headers().values().filter(|value| value.is_sensitive()) {
            let value = String::from_utf8_lossy(value.as_bytes());
            all.extend(value.split_whitespace().filter(is_key).map(str::to_owned));
            if value.len() >= SHORTEST_VALUE {
                all.push(value.into_owned());
            }
        }
        // Of two that begin alike the longer one must go first.
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(all)
    }

    fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_in_secret_is_not_shown_whole_or_in_part() {
        let mut request = Request::post("https://a/0123456789abcdef/v1/traces?token=querysecret");
        let mut value = HeaderValue::from_static("Bearer headersecret");
        value.set_sensitive(true);
        request = request.header("authorization", value).header("content-type", "text/plain");
        let secrets = Secrets::of(&request.body(()).unwrap());
        for (said, shown) in [
            ("Cannot POST /0123456789abcdef/v1/traces", "Cannot POST …"),
            ("no /0123456789abcdef/v1/traces?token=querysecret here", "no … here"),
            ("no tenant 0123456789abcdef", "no tenant …"),
            (r#"{"path":"\/0123456789abcdef\/v1"}"#, r#"{"path":"\/…\/v1"}"#),
            ("token querysecret is not known", "token … is not known"),
            ("Bearer headersecret is expired", "… is expired"),
            ("headersecret is expired", "… is expired"),
            ("text/plain is not taken, v1 is", "text/plain is not taken, v1 is"),
        ] {
            assert_eq!(secrets.hide(said), shown);
        }
        assert!(!format!("{secrets:?}").contains("headersecret"));
        let bare = Request::post("https://a/").body(()).unwrap();
        assert_eq!(Secrets::of(&bare).hide("a/b is there"), "a/b is there");
        let mut short = HeaderValue::from_static("1");
        short.set_sensitive(true);
        let grpc = Request::post("https://a/collector.v1.LogsService/Export");
        let grpc = grpc.header("x-scope", short).header("content-type", "application/grpc");
        let said = "unknown service collector.v1.LogsService: 1 of 12";
        assert_eq!(Secrets::of(&grpc.body(()).unwrap()).hide(said), said);
    }

    #[test]
    fn what_is_in_an_io_error_is_one_of_its_causes() {
        let inner = rustls::Error::DecryptError;
        let outer = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, inner.clone()));
        let found = causes(&outer).find_map(|cause| cause.downcast_ref::<rustls::Error>());
        assert_eq!(found, Some(&inner));
        assert!(outer.source().is_none(), "its source does not tell: {outer:?}");
        assert_eq!(first_cause(&outer), inner.to_string());
    }
}
