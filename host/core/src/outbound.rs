//! Which other hosts a guest may call, written the way Spin writes it.
//! Does not resolve names or open connections: the caller asks before it resolves and again, with
//! [`judge_address`], for every address that the name resolved to.

mod address;
mod denial;
mod pattern;
mod private;
mod scheme;

pub use self::address::is_public;
pub use self::denial::{Denial, OwnDoor, judge_address};
pub use self::pattern::{AllowedHost, BadAllowedHost};
pub use self::private::{BadPrivateNetworks, PrivateNetworks};

/// What a policy says about one outbound request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboundDecision {
    /// No entry covers it.
    Denied,
    /// An entry covers it.
    Allowed {
        /// Whether an entry names this very host or address, or the network that the address is of. Only then may the request go to an
        /// address that is not public, and only where the operator opened its network as well.
        /// Otherwise a guest that may call "anything" could reach the operator's own network
        /// through a name that points there.
        is_named: bool,
    },
}

/// Everything one app may call. Without entries it may call nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundPolicy {
    allowed: Vec<AllowedHost>,
}

impl OutboundPolicy {
    /// Takes the manifest's entries; their order does not matter.
    #[must_use]
    pub fn new(allowed: Vec<AllowedHost>) -> Self {
        Self { allowed }
    }

    /// Whether a guest may make any connection of its own.
    #[must_use]
    pub fn allows_connections(&self) -> bool {
        self.allowed.iter().any(AllowedHost::is_for_connections)
    }

    /// Whether a guest may learn the addresses of this name, to connect to them at any port.
    #[must_use]
    pub fn permits_look_up(&self, name: &str) -> bool {
        let target = pattern::Target::new("tcp", name, 0);
        self.allowed.iter().any(|entry| entry.is_for_connections() && entry.covers_host(&target))
    }

    /// Judges a request to `scheme://host:port`.
    ///
    /// Case does not matter in `scheme` and `host`, nor does one trailing dot of the host; an IPv6
    /// address may stand in brackets or without.
    #[must_use]
    pub fn permits(&self, scheme: &str, host: &str, port: u16) -> OutboundDecision {
        let target = pattern::Target::new(scheme, host, port);
        let mut verdict = OutboundDecision::Denied;
        for entry in self.allowed.iter().filter(|entry| entry.covers(&target)) {
            if entry.names_its_host() {
                return OutboundDecision::Allowed { is_named: true };
            }
            verdict = OutboundDecision::Allowed { is_named: false };
        }
        verdict
    }
}

#[cfg(test)]
mod tests;
