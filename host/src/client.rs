//! The control API as a typed client: for the command line and for tests.
//! Does not retry and does not print: what to do about a failure is its caller's to say.

mod answer;
mod backup;
mod error;
mod fleet;
mod follow;
mod looks;
mod secrets;
mod sql;
mod stores;
mod supposed;
mod upload;

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Connections;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use steerage_core::id::Digest;

pub use self::error::ClientError;
pub use self::supposed::Supposed;
use crate::api::wire::{
    DeployRequest, Deployed, HostInfo, RollbackRequest, ValidateRequest, Validated,
};
use crate::connector::{Connector, connector};

/// Longest time to reach the host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for an answer that only has to be looked up.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for an answer that takes a compiler, with others before it in the queue.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(600);
/// Largest answer that is read whole.
const LARGEST_ANSWER: usize = 64 << 20;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A host's control API. Nothing is sent until something is asked.
#[derive(Clone, Debug)]
pub struct Client {
    connections: Connections<Connector, Body>,
    /// Without a slash at the end.
    url: String,
    token: Option<HeaderValue>,
}

impl Client {
    /// A client for the control API at `url`, showing `token`.
    ///
    /// # Errors
    /// The URL or the token cannot be one.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a client keeps its token; callers give it up"
    )]
    pub fn new(url: &str, token: Option<String>) -> Result<Self, ClientError> {
        let bad_url = || ClientError::BadUrl { url: url.to_owned() };
        let trimmed = url.trim_end_matches('/');
        let uri: Uri = trimmed.parse().map_err(|_| bad_url())?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        if !is_http || uri.query().is_some() || !uri.authority().is_some_and(is_plain) {
            return Err(bad_url());
        }
        let token = token.as_deref().map(bearer).transpose()?;
        let connector = connector(CONNECT_TIMEOUT).map_err(|_| bad_url())?;
        let connections = Connections::builder(TokioExecutor::new()).build(connector);
        Ok(Self { connections, url: trimmed.to_owned(), token })
    }

    /// Where the host is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends the component at `path`, unless the host has it. `on_progress` is told how many bytes
    /// have gone.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn upload(
        &self,
        digest: &Digest,
        path: &Path,
        on_progress: impl FnMut(u64),
    ) -> Result<(), ClientError> {
        upload::run(self, digest, path, on_progress).await
    }

    /// Deploys an uploaded component with this manifest, or tries it on a share of the calls.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn deploy(
        &self,
        app: &str,
        request: &DeployRequest,
    ) -> Result<Deployed, ClientError> {
        self.post(&app_path(app, "/deployments"), request, CHANGE_TIMEOUT).await
    }

    /// Goes back to the deployment `to`, or to the one before the current.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rollback(&self, app: &str, to: Option<u64>) -> Result<Deployed, ClientError> {
        self.post(&app_path(app, "/rollback"), &RollbackRequest { to }, CHANGE_TIMEOUT).await
    }

    /// Takes an app off the host. Asks first who is there: what is no host may answer 204 to whatever
    /// is deleted there, and may even delete it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove(&self, app: &str) -> Result<(), ClientError> {
        self.host().await?;
        let request = self.request(Method::DELETE, &app_path(app, ""));
        self.send(request, nothing(), CHANGE_TIMEOUT).await.map(drop)
    }

    /// Checks a manifest without deploying anything.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn validate(&self, manifest: &str) -> Result<Validated, ClientError> {
        let request = ValidateRequest { manifest: manifest.to_owned() };
        self.post("/v1/validate", &request, LOOK_TIMEOUT).await
    }

    /// The host itself.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn host(&self) -> Result<HostInfo, ClientError> {
        self.get("/v1/host").await
    }

    /// All metrics as text.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let request = self.request(Method::GET, "/metrics");
        let response = self.send(request, nothing(), LOOK_TIMEOUT).await?;
        let text = self.read(response).await?;
        String::from_utf8(text.to_vec()).map_err(|error| self.broken(&error))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let request = self.request(Method::GET, path);
        let response = self.send(request, nothing(), LOOK_TIMEOUT).await?;
        self.parse(response).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        said: &impl Serialize,
        timeout: Duration,
    ) -> Result<T, ClientError> {
        self.send_json(Method::POST, path, said, timeout).await
    }

    async fn send_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        said: &impl Serialize,
        timeout: Duration,
    ) -> Result<T, ClientError> {
        let json = serde_json::to_vec(said).map_err(|error| self.broken(&error))?;
        let request = self.request(method, path).header(CONTENT_TYPE, "application/json");
        let response = self.send(request, whole(json), timeout).await?;
        self.parse(response).await
    }

    async fn follow<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<T, ClientError>> + Send + use<T>, ClientError> {
        let request = self.request(Method::GET, path);
        let response = self.send(request, nothing(), LOOK_TIMEOUT).await?;
        let said = answer::content_type(&response);
        if said.starts_with("text/") {
            return Err(self.not_admin(&format!("it answers with {said}")));
        }
        Ok(follow::items(self.url.clone(), response.into_body()))
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        }
    }

    /// The answer to a request, if it is one of success.
    async fn send(
        &self,
        request: http::request::Builder,
        body: Body,
        timeout: Duration,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = request.body(body).map_err(|error| self.broken(&error))?;
        let answer = tokio::time::timeout(timeout, self.connections.request(request)).await;
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.not_sent(error)),
            Err(_) => return Err(self.broken(&format!("no answer within {timeout:?}"))),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = self.read(response).await?;
        Err(self.refused(status, &text))
    }
}

/// Whether this is a host and a port that there can be, and nothing else: a user would not be sent.
fn is_plain(authority: &Authority) -> bool {
    let text = authority.as_str();
    let after_host = text.strip_prefix(authority.host()).filter(|_| !authority.host().is_empty());
    after_host.is_some_and(|port| match port.strip_prefix(':') {
        Some(port) => port.parse().is_ok_and(|port: u16| port > 0),
        None => port.is_empty(),
    })
}

fn bearer(token: &str) -> Result<HeaderValue, ClientError> {
    if token.trim().is_empty() {
        return Err(ClientError::BadToken);
    }
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
        .map_err(|_| ClientError::BadToken)?;
    // Keeps it out of debug output.
    value.set_sensitive(true);
    Ok(value)
}

fn nothing() -> Body {
    whole(Bytes::new())
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn app_path(app: &str, rest: &str) -> String {
    format!("/v1/apps/{}{rest}", escape(app))
}

/// Escapes all that could mean something in a path or query: a bad name is the host's to refuse.
fn escape(name: &str) -> String {
    let mut escaped = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => escaped.push(byte.into()),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
