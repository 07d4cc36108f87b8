//! Which certificates of hosts are not believed any more, though their time is not over. What is revoked
//! stays so: to be told less later, or nothing, takes nothing back. A host comes back by a certificate
//! that the authority makes for it afterwards.
//! Does not read certificates, and does not know where they were shown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::HostName;

/// Most hosts of which certificates are revoked.
pub const MOST_HOSTS: usize = 10_000;
/// Most certificates of one host that are revoked by what they are, beside all that began before a time.
pub const MOST_CERTIFICATES: usize = 16;

/// The authority's tool dates certificates back by so much, so that hosts whose clocks are late take them.
pub const BACKDATED: Duration = Duration::from_secs(3600);

/// What of one host's certificates is revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocation {
    /// All whose time began before this, in seconds since the epoch.
    pub before: i64,
    /// These as well, by their fingerprints: the sha-256 of the whole, in hexadecimal digits.
    pub certificates: BTreeSet<String>,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The host that it is for, where it names one.
    pub host: Option<HostName>,
    /// When its time begins, in seconds since the epoch.
    pub begins: i64,
    /// The sha-256 of it, in hexadecimal digits.
    pub fingerprint: String,
}

/// All that is revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    by_host: BTreeMap<HostName, Revocation>,
}

impl Revocation {
    /// Adds what another one says; whether that is more.
    fn add(&mut self, other: Self) -> bool {
        let before = (self.before, self.certificates.len());
        self.before = self.before.max(other.before);
        for certificate in other.certificates {
            if self.certificates.len() < MOST_CERTIFICATES {
                self.certificates.insert(certificate);
            }
        }
        before != (self.before, self.certificates.len())
    }
}

impl Revoked {
    /// Adds what is revoked of a host; whether that is more than was known.
    pub fn add(&mut self, host: HostName, revocation: Revocation) -> bool {
        if self.is_full_for(&host) {
            return false;
        }
        match self.by_host.get_mut(&host) {
            Some(known) => known.add(revocation),
            None => {
                let mut known = Revocation { before: i64::MIN, certificates: BTreeSet::new() };
                known.add(revocation);
                self.by_host.insert(host, known);
                true
            }
        }
    }

    /// Whether there is no room for another host.
    #[must_use]
    pub fn is_full_for(&self, host: &HostName) -> bool {
        self.by_host.len() >= MOST_HOSTS && !self.by_host.contains_key(host)
    }

    /// Whether a certificate is revoked.
    #[must_use]
    pub fn covers(&self, certificate: &CertificateFacts) -> bool {
        let is_named =
            |revocation: &Revocation| revocation.certificates.contains(&certificate.fingerprint);
        match certificate.host.as_ref() {
            Some(host) => self.by_host.get(host).is_some_and(|revocation| {
                certificate.begins < revocation.before || is_named(revocation)
            }),
            None => self.by_host.values().any(is_named),
        }
    }

    /// What is revoked of a host, if anything is.
    #[must_use]
    pub fn of(&self, host: &HostName) -> Option<&Revocation> {
        self.by_host.get(host)
    }

    /// All, in the order of the hosts' names.
    pub fn all(&self) -> impl Iterator<Item = (&HostName, &Revocation)> {
        self.by_host.iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn certificate(host: usize, begins: i64, print: usize) -> CertificateFacts {
        let host = Some(format!("h{host}").parse().unwrap());
        CertificateFacts { host, begins, fingerprint: print.to_string() }
    }

    fn said() -> impl Strategy<Value = (usize, i64, Option<usize>)> {
        (0..3_usize, 0..9_i64, proptest::option::of(0..4_usize))
    }

    fn add(revoked: &mut Revoked, (host, before, print): (usize, i64, Option<usize>)) -> bool {
        let certificates = print.iter().map(ToString::to_string).collect();
        revoked.add(format!("h{host}").parse().unwrap(), Revocation { before, certificates })
    }

    #[test]
    fn what_is_revoked_stays_so_in_whatever_order_it_is_told() {
        let told = proptest::collection::vec(said(), 0..12);
        let asked = proptest::collection::vec((0..3_usize, 0..9_i64, 0..4_usize), 1..6);
        proptest!(|(mut told in told, asked in asked)| {
            let (mut one, mut other) = (Revoked::default(), Revoked::default());
            let asked: Vec<_> = asked.into_iter().map(|(h, b, p)| certificate(h, b, p)).collect();
            for said in &told {
                let before: Vec<bool> = asked.iter().map(|it| one.covers(it)).collect();
                add(&mut one, *said);
                prop_assert!(before.iter().zip(&asked).all(|(was, it)| !was || one.covers(it)));
                prop_assert!(!add(&mut one, *said), "the same again is nothing new");
            }
            told.reverse();
            for said in &told {
                add(&mut other, *said);
            }
            prop_assert_eq!(one, other);
        });
    }

    #[test]
    fn another_hosts_and_later_ones_are_believed() {
        let mut revoked = Revoked::default();
        assert!(add(&mut revoked, (1, 5, Some(7))));
        assert!(revoked.covers(&certificate(1, 4, 0)));
        assert!(!revoked.covers(&certificate(1, 5, 0)), "it was made afterwards");
        assert!(revoked.covers(&certificate(1, 5, 7)), "but this one is named");
        assert!(!revoked.covers(&certificate(2, 4, 7)));
        // One that names no host is known by its fingerprint only.
        let nameless = |print| CertificateFacts { host: None, ..certificate(0, 0, print) };
        assert!(revoked.covers(&nameless(7)) && !revoked.covers(&nameless(8)));
    }

    #[test]
    fn the_list_is_bounded_and_full_for_new_hosts_only() {
        let mut revoked = Revoked::default();
        for host in 0..MOST_HOSTS {
            add(&mut revoked, (host, 1, None));
        }
        assert!(!add(&mut revoked, (MOST_HOSTS, 1, None)));
        assert!(add(&mut revoked, (0, 2, None)));
        for print in 0..=MOST_CERTIFICATES {
            add(&mut revoked, (0, 2, Some(print)));
        }
        let known = revoked.of(&"h0".parse().unwrap()).unwrap();
        assert_eq!(known.certificates.len(), MOST_CERTIFICATES);
    }
}
