//! Making a connection for an outbound request: names to addresses, addresses that are allowed, TCP,
//! TLS. Every address is judged after the look-up, and the one that was judged is connected to, so a
//! name that changes its mind leads nowhere else. Does not keep connections and does not send on them.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use rustls::pki_types::ServerName;
use steerage_core::outbound::Denial;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;
use wasmtime_wasi_http::Error;

use super::egress::Egress;
use super::names::Names;

/// How long one address may keep its next from being tried: a network that drops packets says nothing.
const PER_ADDRESS: Duration = Duration::from_millis(1500);
/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 8;
/// Longest name that is shown of a host, in bytes.
const SHOWN: usize = 256;

/// What connections are kept by: where they lead, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Destination {
    pub(super) is_https: bool,
    /// As in the request, brackets of an IPv6 address included, in lower case.
    host: String,
    port: u16,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectFailure {
    #[error("{0}")]
    Denied(Denial),
    #[error("the name does not resolve")]
    Unresolved,
    #[error("no connection in time")]
    TimedOut,
    #[error("no connection")]
    Refused(#[source] io::Error),
    #[error("no TLS connection")]
    Tls(#[source] io::Error),
}

/// A connection of either kind.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Destination {
    /// Where a request with this URI goes; `None` where it does not say.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let is_https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        Some(Self { is_https, host: uri.host()?.to_ascii_lowercase(), port })
    }

    /// Where a connection of another kind goes, over TLS or not.
    pub(super) fn to(is_https: bool, host: &str, port: u16) -> Self {
        Self { is_https, host: host.to_ascii_lowercase(), port }
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// As `host:port`, the host cut where it is longer than any can be.
    pub(super) fn authority(&self) -> String {
        let host = self.host.get(..SHOWN).unwrap_or(&self.host);
        format!("{host}:{}", self.port)
    }

    fn name(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// As one would write it into a manifest.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.get(..SHOWN).unwrap_or(&self.host);
        write!(f, "{}://{host}", self.scheme())?;
        let default = if self.is_https { 443 } else { 80 };
        if self.port == default { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl From<&ConnectFailure> for Error {
    /// What the guest sees. A refused address is told apart from one that did not answer.
    fn from(failure: &ConnectFailure) -> Self {
        match failure {
            ConnectFailure::Denied(Denial::NotListed) => Self::HttpRequestDenied,
            ConnectFailure::Denied(_) => Self::DestinationIpProhibited,
            ConnectFailure::Unresolved => {
                Self::DnsError { rcode: Some("name not found".to_owned()), info_code: None }
            }
            ConnectFailure::TimedOut => Self::ConnectionTimeout,
            ConnectFailure::Refused(_) => Self::ConnectionRefused,
            ConnectFailure::Tls(error) => match rustls_error(error) {
                Some(rustls::Error::InvalidCertificate(_)) => Self::TlsCertificateError,
                _ => Self::TlsProtocolError,
            },
        }
    }
}

/// Connects to the first address that is allowed and answers. `is_named` says whether the manifest
/// names this very host.
///
/// # Errors
/// See [`ConnectFailure`]; a denial only where no address of the name is allowed.
pub(super) async fn connect(
    egress: &Egress,
    names: &Names,
    destination: &Destination,
    is_named: bool,
    deadline: Instant,
) -> Result<Stream, ConnectFailure> {
    let in_time = async {
        let addresses = permitted(egress, names, destination, is_named).await?;
        let stream = first_that_answers(&addresses, deadline).await?;
        // A guest's small writes should not wait for one another.
        stream.set_nodelay(true).map_err(ConnectFailure::Refused)?;
        if !destination.is_https {
            return Ok(Stream::Plain(stream));
        }
        let name = ServerName::try_from(destination.name().to_owned())
            .map_err(|error| ConnectFailure::Tls(io::Error::other(error)))?;
        let stream = egress.tls().connect(name, stream).await.map_err(ConnectFailure::Tls)?;
        Ok(Stream::Tls(Box::new(stream)))
    };
    timeout_at(deadline, in_time).await.unwrap_or(Err(ConnectFailure::TimedOut))
}

async fn permitted(
    egress: &Egress,
    names: &Names,
    destination: &Destination,
    is_named: bool,
) -> Result<Vec<SocketAddr>, ConnectFailure> {
    let found = names.resolve(destination.name()).await.map_err(|_| ConnectFailure::Unresolved)?;
    let (mut permitted, mut denied) = (Vec::new(), None);
    for ip in found.into_iter().take(MOST_ADDRESSES) {
        let address = SocketAddr::new(ip, destination.port);
        match egress.judge(address, is_named).await {
            Ok(()) => permitted.push(address),
            Err(denial) => denied = denied.or(Some(denial)),
        }
    }
    match (permitted.is_empty(), denied) {
        (false, _) => Ok(permitted),
        (true, Some(denial)) => Err(ConnectFailure::Denied(denial)),
        (true, None) => Err(ConnectFailure::Unresolved),
    }
}

/// One after the other, so that a connection takes one file. All but the last are left after a while,
/// sooner where there is little time for many.
async fn first_that_answers(
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<TcpStream, ConnectFailure> {
    let mut last = ConnectFailure::TimedOut;
    for (n_before, address) in addresses.iter().enumerate() {
        let n_left = u32::try_from(addresses.len() - n_before).unwrap_or(1);
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / n_left;
        let until = if n_left == 1 { deadline } else { now + share.min(PER_ADDRESS) };
        last = match timeout_at(until, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => ConnectFailure::Refused(error),
            Err(_) => ConnectFailure::TimedOut,
        };
    }
    Err(last)
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_reads_like_an_entry_of_a_manifest() {
        for (uri, shown) in [
            ("http://API.example.com/a?b", "http://api.example.com"),
            ("https://api.example.com:443/", "https://api.example.com"),
            ("http://api.example.com:443/", "http://api.example.com:443"),
            ("http://[::1]:8080/", "http://[::1]:8080"),
        ] {
            assert_eq!(Destination::of(&uri.parse().unwrap()).unwrap().to_string(), shown);
        }
        assert_eq!(Destination::of(&"/relative".parse().unwrap()), None);
        assert_eq!(Destination::of(&"ftp://a/".parse().unwrap()), None);
    }

    #[tokio::test]
    async fn an_address_that_is_silent_does_not_use_up_the_time_of_the_next() {
        // A listener with a full queue drops what comes: it is silent.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let silent_at = silent.local_addr().unwrap();
        let socket = socket2::Socket::from(silent);
        socket.listen(0).unwrap();
        let mut fill = Vec::new();
        for _ in 0..8 {
            let filling = TcpStream::connect(silent_at);
            fill.push(tokio::time::timeout(Duration::from_millis(200), filling).await);
        }
        assert!(fill.iter().any(Result::is_err), "the silent address answers");
        let good = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good_at = good.local_addr().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let stream = first_that_answers(&[silent_at, good_at], deadline).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good_at);
        let soon = Instant::now() + Duration::from_secs(2);
        let stream = first_that_answers(&[silent_at, good_at], soon).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good_at);
    }
}
