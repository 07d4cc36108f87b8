//! Whether a resolved address may be connected to, and of a refusal: who can lift it, and how.
//! Does not resolve names and does not know this machine's own addresses.

use std::fmt;
use std::net::IpAddr;

use super::address::{is_never_reached, is_public};
use super::private::PrivateNetworks;

/// A door of the host itself, or of what it depends on. Guests reach none of them, whatever a
/// manifest or a setting says: who commands these commands the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OwnDoor {
    /// Where operators come in.
    Admin,
    /// Where other hosts of the fleet come in.
    Peer,
    /// The store that the fleet shares.
    Store,
}

/// Why an outbound request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    /// No entry of the manifest covers it.
    NotListed,
    /// An entry covers it by a wildcard, and the address is private: those must be named.
    NotNamed(IpAddr),
    /// The manifest names it, the address is private, and the operator has not opened its network.
    Private(IpAddr),
    /// The address is of a kind that no guest ever reaches.
    Never(IpAddr),
    /// It is a door of the host.
    Own(OwnDoor),
}

/// Judges one address that a name resolved to. `is_named` says whether the manifest names this very
/// host or address, and not a set of them.
///
/// # Errors
/// The reason why it must not be connected to.
pub fn judge_address(
    address: IpAddr,
    is_named: bool,
    opened: &PrivateNetworks,
) -> Result<(), Denial> {
    let address = address.to_canonical();
    if is_never_reached(address) {
        return Err(Denial::Never(address));
    }
    if is_public(address) {
        return Ok(());
    }
    if !is_named {
        return Err(Denial::NotNamed(address));
    }
    if opened.opens(address) { Ok(()) } else { Err(Denial::Private(address)) }
}

impl Denial {
    /// What to do about it, where anything can be done; `wanted` is `scheme://host:port`.
    #[must_use]
    pub fn advice(self, wanted: &str) -> Option<String> {
        match self {
            Self::NotListed => {
                Some(format!("add \"{wanted}\" to allowed_outbound_hosts in the app's manifest"))
            }
            Self::NotNamed(_) => Some(format!(
                "a wildcard never covers private addresses: add \"{wanted}\" itself to \
                 allowed_outbound_hosts, and let the host's operator open the network with \
                 --outbound-private"
            )),
            Self::Private(address) => Some(format!(
                "the host's operator opens a private network to apps whose manifest names the \
                 host: --outbound-private {address}, or [outbound] private = \"{address}\" in its \
                 file"
            )),
            Self::Never(_) | Self::Own(_) => None,
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListed => f.write_str("its manifest does not allow that"),
            Self::NotNamed(address) => {
                write!(f, "it leads to {address}, which is private and not named in its manifest")
            }
            Self::Private(address) => {
                write!(f, "it leads to {address}, which is private and not opened by the operator")
            }
            Self::Never(address) => {
                write!(f, "it leads to {address}, a kind of address that no guest reaches")
            }
            Self::Own(door) => write!(f, "it leads to {door} of the host itself"),
        }
    }
}

impl fmt::Display for OwnDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "the admin address",
            Self::Peer => "the address for other hosts",
            Self::Store => "the store",
        })
    }
}
