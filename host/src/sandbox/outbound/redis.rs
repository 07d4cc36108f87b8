//! Connections to Redis and Valkey that guests ask the host for: made where the manifest allows, one for each that a
//! guest opens, and told one command after the other. Does not know what commands do.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use steerage_core::outbound::{Denial, OutboundDecision};
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::time::Instant;

use super::app_egress::{AppEgress, CONNECT_TIMEOUT, Files};
use super::connect::{ConnectFailure, Destination, Stream, connect};
use super::resp::{self, RedisReply};

/// Bytes of one command, or of one reply.
pub const MOST_REDIS_BYTES: usize = 4 << 20;
/// Longest wait for the answer to a password.
const GREETING: Duration = Duration::from_secs(10);

/// Where a server is, and as whom it is asked: `redis://[user:password@]host[:port][/database]`, or `rediss` over TLS.
struct RedisAddress {
    destination: Destination,
    user: Option<String>,
    password: Option<String>,
    database: Option<u32>,
}

/// Why there is no connection, or no reply.
#[derive(Debug, thiserror::Error)]
pub enum RedisFailure {
    /// The address is none, or is not one that the guest may call.
    #[error("the address is not one of a server that the app may call")]
    Address,
    /// The app or the host has as many connections as it may.
    #[error("there are too many connections")]
    TooMany,
    /// The server is not there, or does not want it.
    #[error("{0}")]
    Other(String),
}

/// One connection.
pub struct RedisConnection {
    stream: BufReader<Box<dyn Duplex>>,
    /// Given back when it is dropped.
    _files: Files,
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// What makes connections for one app's guests.
#[derive(Clone, Debug)]
pub struct RedisDoor(Arc<AppEgress>);

impl RedisDoor {
    /// That of an app.
    pub(super) fn of(app: &Arc<AppEgress>) -> Self {
        Self(app.clone())
    }

    /// Connects to this address.
    ///
    /// # Errors
    /// See [`RedisFailure`].
    pub async fn open(self, address: String) -> Result<RedisConnection, RedisFailure> {
        let address = RedisAddress::parse(&address).ok_or(RedisFailure::Address)?;
        let (app, to) = (&self.0, &address.destination);
        let scheme = if to.is_https { "rediss" } else { "redis" };
        let wanted = || format!("{scheme}://{}", to.authority());
        let OutboundDecision::Allowed { is_named } =
            app.policy.permits(scheme, to.host(), to.port())
        else {
            app.denials.note_wanted(wanted(), Denial::NotListed);
            return Err(RedisFailure::Address);
        };
        let files = app.try_files().ok_or(RedisFailure::TooMany)?;
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let stream = connect(&app.egress, &app.names, to, is_named, deadline).await;
        let stream: Box<dyn Duplex> = match stream {
            Ok(Stream::Plain(stream)) => Box::new(stream),
            Ok(Stream::Tls(stream)) => stream,
            Err(ConnectFailure::Denied(denial)) => {
                app.denials.note_wanted(wanted(), denial);
                return Err(RedisFailure::Address);
            }
            Err(failure) => return Err(RedisFailure::Other(format!("{}: {failure}", wanted()))),
        };
        let mut connection = RedisConnection { stream: BufReader::new(stream), _files: files };
        connection.greet(&address).await?;
        Ok(connection)
    }
}

impl RedisConnection {
    async fn greet(&mut self, address: &RedisAddress) -> Result<(), RedisFailure> {
        let database = address.database.map(|database| database.to_string());
        let mut auth: Vec<&[u8]> = vec![b"AUTH"];
        auth.extend(address.user.as_ref().map(String::as_bytes));
        if let Some(password) = &address.password {
            auth.push(password.as_bytes());
            self.greet_with(&auth).await?;
        }
        match &database {
            Some(database) => self.greet_with(&[b"SELECT", database.as_bytes()]).await,
            None => Ok(()),
        }
    }

    async fn greet_with(&mut self, command: &[&[u8]]) -> Result<(), RedisFailure> {
        let asked = tokio::time::timeout(GREETING, self.ask(command)).await;
        match asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(RedisReply::Error(error)) => Err(RedisFailure::Other(error)),
            Ok(_) => Ok(()),
            Err(error) => Err(RedisFailure::Other(error.to_string())),
        }
    }

    /// What the server replies to a command.
    ///
    /// # Errors
    /// The connection is broken; whoever has it drops it.
    pub async fn ask(&mut self, command: &[&[u8]]) -> io::Result<RedisReply> {
        resp::send(&mut self.stream, command).await?;
        resp::receive(&mut self.stream, MOST_REDIS_BYTES).await
    }
}

impl RedisAddress {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return None,
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (who, host) = authority.rsplit_once('@').map_or((None, authority), |(who, host)| {
            (Some(who.split_once(':').unwrap_or((who, ""))), host)
        });
        let host: http::uri::Authority = host.parse().ok()?;
        let port = match host.port() {
            Some(port) => port.as_str().parse().ok()?,
            None if host.as_str() != host.host() => return None,
            None => 6379,
        };
        let said = |text: &str| {
            let text = percent_decode_str(text).decode_utf8_lossy();
            (!text.is_empty()).then(|| text.into_owned())
        };
        Some(Self {
            destination: Destination::to(is_tls, host.host(), port),
            user: who.and_then(|(user, _)| said(user)),
            password: who.and_then(|(_, password)| said(password)),
            database: if database.is_empty() { None } else { Some(database.parse().ok()?) },
        })
    }
}

/// Without its password.
impl fmt::Debug for RedisConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConnection").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_and_as_whom() {
        let shown = |text: &str| {
            RedisAddress::parse(text).map(|address| {
                let to = &address.destination;
                let (user, password) = (address.user, address.password);
                format!(
                    "{} {} {user:?} {password:?} {:?}",
                    to.is_https,
                    to.authority(),
                    address.database
                )
            })
        };
        for (text, expected) in [
            ("redis://localhost", "false localhost:6379 None None None"),
            ("redis://LOCALHOST:7/2", "false localhost:7 None None Some(2)"),
            (
                "rediss://:p%40ss@db.example.com",
                "true db.example.com:6379 None Some(\"p@ss\") None",
            ),
            ("redis://me:a:b%@[::1]:6380/", "false [::1]:6380 Some(\"me\") Some(\"a:b%\") None"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "localhost:6379",
            "http://a",
            "redis://",
            "redis://a:x",
            "redis://a/b",
            "redis://a:70000",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
