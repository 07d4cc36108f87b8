//! Connections to servers by their URL, over TLS where it says `https`, as the command line and those who tell
//! others outside make them.
//! Does not send requests, and does not serve guests: theirs are made in `sandbox`, where a policy bounds them.

use std::io;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;

/// What connects.
pub type Connector = HttpsConnector<HttpConnector>;

/// Connects to whatever a URL names, within this time.
///
/// # Errors
/// TLS cannot be set up.
pub fn connector(within: Duration) -> io::Result<Connector> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(within));
    connector.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
        .map_err(io::Error::other)?
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    Ok(connector)
}
