//! Which hosts a host asks whether they are there: each is asked by a few others, whatever the size of the
//! fleet, so that questions grow with the hosts and not with their square. A host that gets no answer is not
//! believed, since its own link may be bad: it asks the hosts that plan to look themselves.
//! After SWIM (Das, Gupta, Motivala, DSN 2002), whose helpers are here the hosts that plan or will next.
//! Asks nobody and reads no clock. Not being answered makes nobody gone: [`crate::liveness`] says what does.

use std::collections::BTreeSet;

use crate::id::HostName;

/// So many hosts ask each host. In a fleet of one more than that all ask all.
pub const PROBERS: usize = 5;

/// The hosts that `me` asks: those for which it is one of the first. Every host of the fleet finds the same,
/// and a host that comes or goes changes it for few.
#[must_use]
pub fn probed_by<'h>(me: &HostName, hosts: &'h BTreeSet<HostName>) -> BTreeSet<&'h HostName> {
    // Each name is hashed once: all are compared with all.
    let hashed: Vec<(u64, &HostName)> = hosts.iter().map(|host| (hash(host), host)).collect();
    let mine = hash(me);
    let is_asked = |(of, host): &&(u64, &HostName)| {
        let own = (weight(mine, *of), me);
        let is_before =
            |(other, name): &&(u64, &HostName)| name != host && (weight(*other, *of), *name) > own;
        *host != me && hashed.iter().filter(is_before).take(PROBERS).count() < PROBERS
    };
    hashed.iter().filter(is_asked).map(|(_, host)| *host).collect()
}

/// The weight of a host for another one, of whose hashes they are (rendezvous hashing: Thaler, Ravishankar,
/// 1998). It is the same on every machine and in every version, or two would not agree who asks whom.
fn weight(host: u64, of: u64) -> u64 {
    mix(mix(host) ^ of)
}

/// FNV-1a, which alone leaves names that are alike close together.
fn hash(name: &HostName) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    mix(name.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

/// The last step of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn host(number: usize) -> HostName {
        format!("h{number}").parse().unwrap()
    }

    fn fleet(n_hosts: usize) -> BTreeSet<HostName> {
        (0..n_hosts).map(host).collect()
    }

    /// By host, those that ask it.
    fn probers(hosts: &BTreeSet<HostName>) -> BTreeMap<&HostName, BTreeSet<&HostName>> {
        let mut probers: BTreeMap<&HostName, BTreeSet<&HostName>> =
            hosts.iter().map(|host| (host, BTreeSet::new())).collect();
        for me in hosts {
            for host in probed_by(me, hosts) {
                probers.entry(host).or_default().insert(me);
            }
        }
        probers
    }

    #[test]
    fn each_host_is_asked_by_a_few_and_asks_not_many() {
        for n_hosts in [1, 2, 3, 6, 7, 40, 300] {
            let hosts = fleet(n_hosts);
            for (of, probers) in probers(&hosts) {
                assert_eq!(probers.len(), PROBERS.min(n_hosts - 1), "{of} of {n_hosts}");
                assert!(!probers.contains(of));
            }
            let most = hosts.iter().map(|me| probed_by(me, &hosts).len()).max().unwrap();
            assert!(most <= 3 * PROBERS, "one of {n_hosts} asks {most}");
        }
    }

    #[test]
    fn a_host_that_goes_changes_who_asks_only_for_those_it_asked() {
        let before = fleet(200);
        let mut after = before.clone();
        after.remove(&host(17));
        let (were, are) = (probers(&before), probers(&after));
        for (of, are) in are {
            let were = &were[of];
            let n_changed = are.difference(were).count();
            assert_eq!(n_changed, usize::from(were.contains(&host(17))), "{of}");
        }
    }

    #[test]
    fn who_is_lost_is_missed_by_somebody_though_some_that_ask_it_are_lost_as_well() {
        let lost = prop::collection::btree_set(0_usize..40, 0..=PROBERS);
        let config = ProptestConfig::with_cases(40);
        proptest!(config, |(n_hosts in 8_usize..40, lost in lost)| {
            let hosts = fleet(n_hosts);
            let lost: BTreeSet<HostName> =
                lost.into_iter().map(|number| host(number % n_hosts)).collect();
            for (of, probers) in probers(&hosts).into_iter().filter(|(of, _)| lost.contains(of)) {
                let is_missed = probers.iter().any(|prober| !lost.contains(*prober));
                prop_assert!(is_missed, "{} {:?}", of, lost);
            }
        });
    }
}
