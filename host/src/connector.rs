//! Connections to servers by their URL, over TLS where it says `https`, as the command line and those who tell
//! others outside make them.
//! Does not send requests, and does not serve guests: theirs are made in `sandbox`, where a policy bounds them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;

/// What connects.
pub type Connector = HttpsConnector<HttpConnector>;

/// Connects to whatever a URL names, within this time.
///
/// # Errors
/// TLS cannot be set up.
pub fn connector(within: Duration) -> io::Result<Connector> {
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
        .map_err(io::Error::other)?
        .https_or_http()
        .enable_http1()
        .wrap_connector(plain(within));
    Ok(connector)
}

/// The same for who speaks HTTP/2 and nothing else.
///
/// # Errors
/// TLS cannot be set up.
pub fn http2_connector(within: Duration) -> io::Result<Connector> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let mut config = config.with_webpki_roots().with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok((plain(within), config).into())
}

fn plain(within: Duration) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(within));
    connector.set_nodelay(true);
    connector
}
