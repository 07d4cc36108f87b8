//! A block of addresses, as `10.1.0.0/16`: those that begin with the same bits. Does not judge addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Blocks that share fewer bits are too many addresses for a developer to have meant one network by them.
const FEWEST_BITS_NAMED: u8 = 8;

/// Addresses of one family that begin with the same bits. An IPv6 address that means an IPv4 one is of no block
/// but one of those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AddressBlock {
    /// Without the bits that differ.
    first: IpAddr,
    bits: u8,
}

impl AddressBlock {
    /// The block of this address that shares so many bits; `None` where it has fewer.
    pub(super) fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let first = match address {
            IpAddr::V4(address) if bits <= 32 => {
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask_v4(bits)))
            }
            IpAddr::V6(address) if bits <= 128 => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask_v6(bits)))
            }
            _ => return None,
        };
        Some(Self { first, bits })
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                address.to_bits() & mask_v4(self.bits) == first.to_bits()
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                address.to_bits() & mask_v6(self.bits) == first.to_bits()
            }
            _ => false,
        }
    }

    /// Whether it is one network rather than a good part of all there are.
    pub(super) fn is_one_network(self) -> bool {
        self.bits >= FEWEST_BITS_NAMED
    }
}

fn mask_v4(bits: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)
}

fn mask_v6(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first {
            IpAddr::V4(first) => write!(f, "{first}/{}", self.bits),
            IpAddr::V6(first) => write!(f, "[{first}]/{}", self.bits),
        }
    }
}
