//! Which addresses off the public Internet an operator opens to guests.
//! Does not know which addresses this machine has, nor what any manifest says.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::is_never_reached;
use crate::network::{BadNetwork, Network};

/// What guests may reach besides the public Internet, where their manifest names it too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivateNetworks {
    networks: Vec<Network>,
}

/// A text that is no list of networks that can be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPrivateNetworks {
    /// A part of it is no network.
    #[error("{0}; write networks with commas between, or none")]
    NoNetwork(#[from] BadNetwork),
    /// It can be opened to nobody.
    #[error(
        "{0} stays closed: guests never reach link-local, unspecified and multicast addresses and \
         clouds' metadata services"
    )]
    Never(Network),
    /// Guests' addresses are IPv4 ones there.
    #[error("{0} means IPv4 addresses; write them as such")]
    Mapped(Network),
}

impl PrivateNetworks {
    /// This machine alone, by its loopback addresses.
    #[must_use]
    pub fn loopback() -> Self {
        let v4 = Network::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8);
        let v6 = Network::new(Ipv6Addr::LOCALHOST.into(), Ipv6Addr::BITS);
        Self { networks: vec![v4, v6] }
    }

    /// Reads `none`, or networks with commas between.
    ///
    /// # Errors
    /// See [`BadPrivateNetworks`].
    pub fn parse(text: &str) -> Result<Self, BadPrivateNetworks> {
        if text.trim() == "none" {
            return Ok(Self::default());
        }
        let networks = Network::parse_list(text)?;
        for network in &networks {
            let first = network.first();
            // A network of everything begins with 0.0.0.0, and opens the rest.
            if !network.is_all() && is_never_reached(first) {
                return Err(BadPrivateNetworks::Never(*network));
            }
            if first.to_canonical() != first {
                return Err(BadPrivateNetworks::Mapped(*network));
            }
        }
        Ok(Self { networks })
    }

    /// Whether the operator opened an address to guests. Public addresses need no such word.
    #[must_use]
    pub fn opens(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }
}

impl fmt::Display for PrivateNetworks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.networks.is_empty() {
            return f.write_str("none");
        }
        for (n_before, network) in self.networks.iter().enumerate() {
            write!(f, "{}{network}", if n_before > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}
