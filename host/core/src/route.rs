//! Which app answers a request: host patterns, path patterns and the table that holds them.
//! Does not know requests, methods or how an app is run, and decodes nothing: it matches the raw
//! path, so that what is matched is what the guest sees.
//!
//! # Which route wins
//!
//! Among the routes that match a request's host and path, the first by this order:
//!
//! 1. Host: exact, then `*.suffix` with the longer suffix first, then any host. A request falls
//!    through to a less specific host only if no path of the more specific one matches, so that
//!    one app can take `/` of a whole domain and another one path of a single name below it.
//! 2. Path, segment by segment from the left: a literal beats a parameter beats a trailing
//!    `/...`, and a path that ends with the request's beats one that goes on with `/...`.
//!
//! Two different routes never tie in this order: they would have the same shape, and the table
//! refuses the second one. So the winner does not depend on the order of insertion. Of two
//! trailing wildcards the longer prefix wins, and exact beats parameter beats wildcard; that a
//! segment further left counts first is what Spin does too.
//!
//! # Slashes, dots and escapes
//!
//! - One slash at the end of a request's path is not significant: `/cart` answers `/cart/` too.
//! - A parameter matches one segment that is not empty. Empty segments inside a path (`/a//b`) are
//!   kept, and only a trailing `/...` matches them.
//! - `..` and `.` in a request's path are segments like others, and so are escapes: `/%61` is not
//!   `/a`. A guest that takes a parameter for a file name must check it.
//! - `/.well-known/steerage` and everything below it belong to the host: no route may name it, and
//!   no request for it finds a route.

mod authority;
mod host;
mod path;
mod table;

use std::fmt;
use std::str::FromStr;

pub use self::authority::{Authority, BadAuthority};
pub use self::host::{BadHost, DomainName, HostPattern};
pub use self::path::{BadPath, PathPattern, Segment, is_reserved};
pub use self::table::{Conflict, Match, RouteTable, Routed};

/// Where an app answers: on which hosts, under which paths.
///
/// Shows and reads as `/path` for any host, `example.com/path` or `*.example.com/path`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// The hosts.
    pub host: HostPattern,
    /// The paths.
    pub path: PathPattern,
}

/// A text that is not a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRoute {
    /// What stands before the first slash is not a host pattern.
    #[error(transparent)]
    Host(#[from] BadHost),
    /// What stands from the first slash on is not a path pattern.
    #[error(transparent)]
    Path(#[from] BadPath),
}

impl Route {
    /// The same route with its parameters' names taken out: two routes of one shape match the
    /// same requests, so only one of them can be in a table.
    #[must_use]
    pub fn shape(&self) -> Self {
        Self { host: self.host.clone(), path: self.path.shape() }
    }
}

impl FromStr for Route {
    type Err = BadRoute;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let slash = text.find('/').unwrap_or(text.len());
        let (host, path) = text.split_at_checked(slash).unwrap_or((text, ""));
        let host = if host.is_empty() { HostPattern::Any } else { HostPattern::parse(host)? };
        Ok(Self { host, path: PathPattern::parse(path)? })
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostPattern::Any => write!(f, "{}", self.path),
            host => write!(f, "{host}{}", self.path),
        }
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
