//! The demo's HTTP client: what any caller of an app does, and how long it took.
//! Knows nothing of Steerage.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// No call of the demo may take longer; the longest is stopped by the host well before.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request as the demo writes it down.
#[derive(Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    /// The `Host` header, where a route has one.
    pub(crate) host: Option<&'static str>,
    pub(crate) path: &'static str,
    pub(crate) body: &'static str,
    /// The bearer token, where the app asks for one.
    pub(crate) token: Option<&'static str>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
    /// Whether the connection broke off before the end of the body.
    pub(crate) is_cut: bool,
    pub(crate) took: Duration,
}

/// A client that keeps its connections.
#[derive(Clone)]
pub(crate) struct Web {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

impl Ask {
    pub(crate) const fn get(path: &'static str) -> Self {
        Self { method: "GET", host: None, path, body: "", token: None }
    }

    pub(crate) const fn post(path: &'static str, body: &'static str) -> Self {
        Self { method: "POST", host: None, path, body, token: None }
    }

    pub(crate) const fn at(self, host: &'static str) -> Self {
        Self { host: Some(host), ..self }
    }

    pub(crate) const fn with_token(self, token: &'static str) -> Self {
        Self { token: Some(token), ..self }
    }

    /// The request as a reader would type it.
    pub(crate) fn to_text(self) -> String {
        let host = self.host.map(|host| format!("{host} ")).unwrap_or_default();
        format!("{} {host}{}", self.method, self.path)
    }
}

impl Web {
    pub(crate) fn new(base: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, base: base.to_owned() }
    }

    /// Sends the request and reads the whole answer.
    pub(crate) async fn send(&self, ask: Ask) -> anyhow::Result<Answer> {
        let what = || format!("no answer to {}", ask.to_text());
        let mut request =
            Request::builder().method(ask.method).uri(format!("{}{}", self.base, ask.path));
        if let Some(host) = ask.host {
            request = request.header("host", host);
        }
        if let Some(token) = ask.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::from(ask.body)).with_context(what)?;
        let started_at = Instant::now();
        let (status, body, is_cut) = tokio::time::timeout(PATIENCE, self.fetch(request))
            .await
            .with_context(what)?
            .with_context(what)?;
        Ok(Answer { status, body, is_cut, took: started_at.elapsed() })
    }

    async fn fetch(
        &self,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<(StatusCode, String, bool)> {
        let response = self.client.request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return Ok((status, String::from_utf8_lossy(&bytes).into_owned(), true));
            };
            bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
        Ok((status, String::from_utf8_lossy(&bytes).into_owned(), false))
    }
}
