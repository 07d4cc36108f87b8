//! One request to a receiver, with its deadline, and what its answer means.
//! Does not try again.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client as Connections;
use hyper_util::rt::TokioExecutor;
use steerage_core::notify::Delivery;

use crate::connector::{Connector, NoAnswer, ask, connector};

/// Longest time to reach a receiver.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time for a request and its answer.
const TIMEOUT: Duration = Duration::from_secs(10);

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
        match ask(&self.connections, request, TIMEOUT).await {
            Ok(mut answer) => (meant(answer.head.status), answer.words().await),
            Err(NoAnswer { is_reached: true, why }) => (Delivery::InDoubt, why),
            Err(NoAnswer { is_reached: false, why }) => (Delivery::NotReached, why),
        }
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
