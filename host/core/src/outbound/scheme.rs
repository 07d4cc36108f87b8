//! How a guest speaks to whom it calls, which is the scheme of an entry of `allowed_outbound_hosts`.
//! Does not know which of them a host offers.

use std::fmt;

/// One way to call, or any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
    /// A connection of the guest's own.
    Tcp,
    Redis,
    Rediss,
    Postgres,
    Mysql,
    Mqtt,
    /// `*`: all of them.
    Any,
}

/// Each with its name and the port that is meant where none is said.
const ALL: [(Scheme, &str, Option<u16>); 9] = [
    (Scheme::Http, "http", Some(80)),
    (Scheme::Https, "https", Some(443)),
    (Scheme::Tcp, "tcp", None),
    (Scheme::Redis, "redis", Some(6379)),
    (Scheme::Rediss, "rediss", Some(6379)),
    (Scheme::Postgres, "postgres", Some(5432)),
    (Scheme::Mysql, "mysql", Some(3306)),
    (Scheme::Mqtt, "mqtt", Some(1883)),
    (Scheme::Any, "*", None),
];

impl Scheme {
    /// The scheme of this name, as an entry has it: in lower case.
    pub(super) fn of_entry(name: &str) -> Option<Self> {
        ALL.iter().find(|(_, known, _)| *known == name).map(|(scheme, ..)| *scheme)
    }

    /// The scheme of this name, as a guest has it; no guest calls by `*`.
    pub(super) fn of_target(name: &str) -> Option<Self> {
        let mut called = ALL.iter().filter(|(scheme, ..)| *scheme != Self::Any);
        called.find(|(_, known, _)| known.eq_ignore_ascii_case(name)).map(|(scheme, ..)| *scheme)
    }

    /// The port that is meant where none is said.
    pub(super) fn port(self) -> Option<u16> {
        ALL.iter().find(|(scheme, ..)| *scheme == self).and_then(|(.., port)| *port)
    }

    /// Whether an entry of this scheme covers a call by that one.
    pub(super) fn covers(self, called: Self) -> bool {
        self == Self::Any || self == called
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALL.iter().find(|(scheme, ..)| scheme == self).map_or("*", |(_, name, _)| name);
        f.write_str(name)
    }
}
