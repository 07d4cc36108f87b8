//! What came back: reads answers, and tells those of a control API from those of something else.
//! Does not send anything.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Error as SendError;
use serde::de::DeserializeOwned;

use super::{Client, ClientError, LARGEST_ANSWER, LOOK_TIMEOUT};
use crate::api::wire::Problem;
use crate::connector::{causes, first_cause};

impl Client {
    /// Why a request got no answer at all.
    pub(super) fn not_sent(&self, error: SendError) -> ClientError {
        if error.is_connect() && is_no_tls(&error) {
            return self
                .not_admin("it does not speak TLS; where plain HTTP is spoken, say http://");
        }
        if error.is_connect() {
            return ClientError::Unreachable { url: self.url.clone(), source: Box::new(error) };
        }
        let is_parse = |cause: &hyper::Error| cause.is_parse();
        let is_no_http = causes(&error).any(|cause| cause.downcast_ref().is_some_and(is_parse));
        if is_no_http {
            return self.not_admin("it does not answer in HTTP; where TLS is spoken, say https://");
        }
        self.broken(&first_cause(&error))
    }

    pub(super) fn refused(&self, status: StatusCode, text: &[u8]) -> ClientError {
        // Only what answers callers of apps names the call.
        let document = serde_json::from_slice::<serde_json::Value>(text).unwrap_or_default();
        if document.get("call_id").is_some() {
            let detail = document.get("detail").and_then(serde_json::Value::as_str);
            return self.not_admin(&format!("it serves apps and says {:?}", detail.unwrap_or("")));
        }
        match serde_json::from_value::<Problem>(document) {
            Ok(problem) => ClientError::Refused(Box::new(problem)),
            // A proxy before a host says the like of 502; a server that is none knows no such path.
            Err(_) if status.is_client_error() => self.not_admin(&format!("it says {status}")),
            Err(_) => self.broken(&format!("it says {status} and gives no reason")),
        }
    }

    pub(super) fn not_admin(&self, what: &str) -> ClientError {
        ClientError::NotAdmin { url: self.url.clone(), what: what.to_owned() }
    }

    pub(super) async fn parse<T: DeserializeOwned>(
        &self,
        response: Response<Incoming>,
    ) -> Result<T, ClientError> {
        let said = content_type(&response);
        let text = self.read(response).await?;
        serde_json::from_slice(&text).map_err(|error| match said.contains("json") {
            true => self.broken(&error),
            false if said.is_empty() => self.not_admin("it answers with no JSON"),
            false => self.not_admin(&format!("it answers with {said}")),
        })
    }

    pub(super) async fn read(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = Limited::new(response.into_body(), LARGEST_ANSWER);
        let read = tokio::time::timeout(LOOK_TIMEOUT, body.collect()).await;
        match read {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => Err(self.broken(&format!("it did not end within {LOOK_TIMEOUT:?}"))),
        }
    }

    pub(super) fn broken(&self, what: &impl ToString) -> ClientError {
        ClientError::Broken { url: self.url.clone(), what: what.to_string() }
    }
}

/// Whether what answered an attempt at TLS was something else.
fn is_no_tls(error: &SendError) -> bool {
    let tls = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidMessage(_)))
}

/// What the answer says it is; nothing where it does not say.
pub(super) fn content_type<B>(response: &Response<B>) -> String {
    let said = response.headers().get(CONTENT_TYPE).and_then(|said| said.to_str().ok());
    said.unwrap_or_default().to_owned()
}
