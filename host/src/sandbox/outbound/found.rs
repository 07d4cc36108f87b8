//! What names that guests looked up led to, for a while: those addresses may be connected to as if the manifest named
//! them. Does not look up names and does not judge addresses.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long after a look-up what it found may be connected to: a pool of connections opens some of them later.
const KEPT: Duration = Duration::from_secs(600);
/// Addresses of one deployment that are known so. Beyond it the oldest are forgotten.
const MOST_KNOWN: usize = 256;

/// Which names of an app led to which addresses.
#[derive(Debug, Default)]
pub(super) struct FoundAddresses(Mutex<VecDeque<Found>>);

#[derive(Debug)]
struct Found {
    name: String,
    address: IpAddr,
    until: Instant,
}

impl FoundAddresses {
    pub(super) fn note(&self, name: &str, addresses: &[IpAddr], now: Instant) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.retain(|known| known.until > now && known.name != name);
        let until = now + KEPT;
        found.extend(addresses.iter().map(|&address| Found {
            name: name.to_owned(),
            address: address.to_canonical(),
            until,
        }));
        let n_over = found.len().saturating_sub(MOST_KNOWN);
        found.drain(..n_over);
    }

    /// The names that led to this address.
    pub(super) fn names(&self, address: IpAddr, now: Instant) -> Vec<String> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = found.iter().filter(|known| known.address == address && known.until > now);
        of_it.map(|known| known.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_known_for_a_while_and_by_its_last_look_up() {
        let (found, now) = (FoundAddresses::default(), Instant::now());
        let [one, two] = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
        found.note("db", &[one], now);
        found.note("cache", &[one, two], now);
        assert_eq!(found.names(one, now), ["db", "cache"]);
        found.note("db", &[two], now);
        assert_eq!(found.names(one, now), ["cache"]);
        assert!(found.names(two, now + KEPT).is_empty());
        for number in 0..=u8::MAX {
            found.note(&format!("n{number}"), &[two, one], now);
        }
        assert_eq!(found.names(one, now).len() + found.names(two, now).len(), MOST_KNOWN);
    }
}
