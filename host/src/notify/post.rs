//! One request to a receiver, with its deadline, and what its answer means.
//! Does not try again.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client as Connections;
use hyper_util::rt::TokioExecutor;
use steerage_core::excerpt::excerpt;
use steerage_core::notify::Delivery;

use crate::connector::{Connector, connector};

/// Longest time to reach a receiver.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The status says whether it was taken: nobody waits longer for what is said beside.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time for a request and its answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// So much of an answer is read, and so much of it shown: bytes.
const LARGEST_ANSWER: usize = 64 << 10;
const SHOWN: usize = 200;

/// Sends requests.
#[derive(Clone, Debug)]
pub(super) struct Poster {
    connections: Connections<Connector, Full<Bytes>>,
}

impl Poster {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn new() -> io::Result<Self> {
        let connector = connector(CONNECT_TIMEOUT)?;
        Ok(Self { connections: Connections::builder(TokioExecutor::new()).build(connector) })
    }

    /// Sends it; what became of it, and why, where it was not taken.
    pub(super) async fn post(&self, request: Request<Full<Bytes>>) -> (Delivery, String) {
        match tokio::time::timeout(TIMEOUT, self.ask(request)).await {
            Ok(answered) => answered,
            Err(_) => (Delivery::InDoubt, format!("it does not answer within {TIMEOUT:?}")),
        }
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> (Delivery, String) {
        let path = request.uri().path().to_owned();
        let response = match self.connections.request(request).await {
            Ok(response) => response,
            Err(error) => {
                let is_reached = !error.is_connect();
                let delivery = if is_reached { Delivery::InDoubt } else { Delivery::NotReached };
                return (delivery, last_cause(&error));
            }
        };
        let status = response.status();
        let delivery = meant(status);
        // Read also where it says nothing new: the connection can be used again then.
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect();
        let body = tokio::time::timeout(BODY_TIMEOUT, body).await;
        let body = body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes);
        let body = body.unwrap_or_default();
        let body = String::from_utf8_lossy(&body);
        // Some repeat the path that was asked for, which may hold a secret.
        let body = if path.len() > 1 { body.replace(&path, "…") } else { body.into_owned() };
        (delivery, format!("it answers {status}: {}", excerpt(SHOWN, body.trim())))
    }
}

/// What a status says of a message. Only what says that the message itself is wrong is not tried again:
/// an operator may mend a wrong path or token.
fn meant(status: StatusCode) -> Delivery {
    match status.as_u16() {
        200..=299 => Delivery::Taken,
        400 | 413 | 422 => Delivery::Refused,
        _ => Delivery::InDoubt,
    }
}

/// The library's own words say little; the first cause says what happened.
fn last_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_means_is_as_the_readme_says() {
        let means = |status: u16| meant(StatusCode::from_u16(status).unwrap());
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(means(status), Delivery::Taken, "{status}");
        }
        for status in [400, 413, 422] {
            assert_eq!(means(status), Delivery::Refused, "{status}");
        }
        for status in [100, 199, 300, 302, 401, 403, 404, 408, 409, 410, 421, 429, 500, 503, 599] {
            assert_eq!(means(status), Delivery::InDoubt, "{status}");
        }
    }
}
