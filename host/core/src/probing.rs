//! Which hosts a host asks whether they are there, and when it suspects one: each is asked by a few
//! others, whatever the size of the fleet, and who gets no answer has others ask before it says anything.
//! So questions grow with the hosts and not with their square, and a bad link between two hosts is told
//! from a host that is gone. After SWIM (Das, Gupta, Motivala, DSN 2002), and Lifeguard (Dadgar, Phillips,
//! Currey, DSN 2018) in that who hears from nobody doubts itself.
//! Asks nobody and reads no clock. A suspicion makes nobody gone: [`crate::liveness`] says what does.

use std::collections::BTreeSet;

use crate::id::HostName;
use crate::liveness::Probe;

/// So many hosts ask each host.
pub const PROBERS: usize = 5;
/// So many others are had to ask a host that did not answer.
pub const HELPERS: usize = 3;
/// After so many rounds in which neither the host nor a helper says that it answers, it is suspected.
pub const ROUNDS: u32 = 2;
/// In so many rounds in which nobody answered a host, it doubts itself at most: its patience is as many
/// times as long.
pub const MOST_DOUBT: u32 = 8;

/// The hosts that ask `of`, those that come first for it: every host of the fleet finds the same, and a
/// host that comes or goes changes it for few.
#[must_use]
pub fn probers<'h>(of: &HostName, hosts: &'h BTreeSet<HostName>) -> BTreeSet<&'h HostName> {
    first(PROBERS, hosts.iter().filter(|host| *host != of), |host| weight(&[host, of], 0))
}

/// The hosts that `me` asks.
#[must_use]
pub fn probed_by<'h>(me: &HostName, hosts: &'h BTreeSet<HostName>) -> BTreeSet<&'h HostName> {
    hosts.iter().filter(|host| *host != me && probers(host, hosts).contains(me)).collect()
}

/// The hosts that `me` has ask `about`, others in each round: a link of one of them may be bad as well.
#[must_use]
pub fn helpers<'h>(
    me: &HostName,
    about: &HostName,
    hosts: &'h BTreeSet<HostName>,
    round: u64,
) -> BTreeSet<&'h HostName> {
    let others = hosts.iter().filter(|host| *host != me && *host != about);
    first(HELPERS, others, |host| weight(&[host, about, me], round))
}

/// What one host has come to think of another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suspicion {
    n_rounds: u32,
}

impl Suspicion {
    /// Takes what came of one round: what the host said, and what it said to helpers, of those that
    /// answered. A round in which no helper did says nothing: then it may be this host that is cut off.
    pub fn round(&mut self, direct: Probe, helpers: &[Probe]) {
        let answers = |probe: &Probe| *probe == Probe::Answers;
        if answers(&direct) || helpers.iter().any(answers) {
            self.n_rounds = 0;
        } else if !helpers.is_empty() {
            self.n_rounds = self.n_rounds.saturating_add(1);
        }
    }

    /// Whether the host is suspected.
    #[must_use]
    pub fn is_suspect(self) -> bool {
        self.n_rounds >= ROUNDS
    }
}

/// How far a host doubts itself: from 1, not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt(u32);

impl Default for Doubt {
    fn default() -> Self {
        Self(1)
    }
}

impl Doubt {
    /// Takes what came of asking all that it asks in one round.
    pub fn round(&mut self, n_answered: usize, n_asked: usize) {
        self.0 = if n_answered > 0 || n_asked == 0 {
            self.0.saturating_sub(1).max(1)
        } else {
            self.0.saturating_add(1).min(MOST_DOUBT)
        };
    }

    /// By how much its patience is multiplied.
    #[must_use]
    pub fn patience(self) -> u32 {
        self.0
    }
}

/// So many of some hosts, those with the largest weights.
fn first<'h>(
    n_first: usize,
    hosts: impl Iterator<Item = &'h HostName>,
    weight: impl Fn(&HostName) -> u64,
) -> BTreeSet<&'h HostName> {
    let mut best: BTreeSet<(u64, &HostName)> = BTreeSet::new();
    for host in hosts {
        best.insert((weight(host), host));
        if best.len() > n_first {
            best.pop_first();
        }
    }
    best.into_iter().map(|(_, host)| host).collect()
}

/// The weight of a host for others (rendezvous hashing: Thaler, Ravishankar, 1998). It is the same on every
/// machine and in every version, or two would not agree who asks whom.
fn weight(names: &[&HostName], round: u64) -> u64 {
    names.iter().fold(mix(round), |weight, name| mix(weight ^ hash(name)))
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

    #[test]
    fn each_host_is_asked_by_a_few_and_asks_not_many() {
        for n_hosts in [1, 2, 3, 6, 40, 300] {
            let hosts = fleet(n_hosts);
            let mut asks: BTreeMap<&HostName, usize> = BTreeMap::new();
            for of in &hosts {
                let probers = probers(of, &hosts);
                assert_eq!(probers.len(), PROBERS.min(n_hosts - 1));
                assert!(!probers.contains(of));
                probers.into_iter().for_each(|prober| *asks.entry(prober).or_default() += 1);
            }
            let most = asks.values().max().copied().unwrap_or(0);
            assert!(most <= 3 * PROBERS, "one of {n_hosts} asks {most}");
            let (me, asked) = (host(0), asks.get(&host(0)).copied().unwrap_or(0));
            assert_eq!(probed_by(&me, &hosts).len(), asked);
        }
    }

    #[test]
    fn a_host_that_goes_changes_who_asks_only_for_those_it_asked() {
        let before = fleet(200);
        let mut after = before.clone();
        after.remove(&host(17));
        for of in &after {
            let (was, is) = (probers(of, &before), probers(of, &after));
            let n_changed = is.difference(&was).count();
            assert_eq!(n_changed, usize::from(was.contains(&host(17))), "{of}");
        }
    }

    /// A fleet with links and hosts that are bad.
    #[derive(Clone, Debug)]
    struct Network {
        n_hosts: usize,
        dead: BTreeSet<usize>,
        /// From and to.
        cut: BTreeSet<(usize, usize)>,
    }

    fn network(n_cut: usize) -> impl Strategy<Value = Network> {
        (8_usize..24).prop_flat_map(move |n_hosts| {
            let dead = prop::collection::btree_set(0..n_hosts, 0..n_hosts / 4);
            let cut = prop::collection::btree_set((0..n_hosts, 0..n_hosts), 0..=n_cut);
            (Just(n_hosts), dead, cut).prop_map(|(n_hosts, dead, cut)| Network {
                n_hosts,
                dead,
                cut,
            })
        })
    }

    impl Network {
        fn index(&self, name: &HostName) -> usize {
            (0..self.n_hosts).find(|number| host(*number) == *name).unwrap()
        }

        fn ask(&self, from: usize, to: usize) -> Probe {
            let is_cut = self.cut.contains(&(from, to)) || self.cut.contains(&(to, from));
            if is_cut || self.dead.contains(&to) { Probe::Silent } else { Probe::Answers }
        }

        /// Who suspects whom after some rounds, of those that live.
        fn suspects(&self, n_rounds: u64) -> BTreeSet<(usize, usize)> {
            let hosts = fleet(self.n_hosts);
            let mut suspects = BTreeSet::new();
            for of in 0..self.n_hosts {
                for prober in probers(&host(of), &hosts) {
                    let me = self.index(prober);
                    if self.dead.contains(&me) {
                        continue;
                    }
                    let mut suspicion = Suspicion::default();
                    for round in 0..n_rounds {
                        let helpers = helpers(prober, &host(of), &hosts, round);
                        let helpers = helpers.into_iter().map(|helper| self.index(helper));
                        let reached =
                            helpers.filter(|helper| self.ask(me, *helper) == Probe::Answers);
                        let said: Vec<Probe> = reached.map(|helper| self.ask(helper, of)).collect();
                        suspicion.round(self.ask(me, of), &said);
                    }
                    if suspicion.is_suspect() {
                        suspects.insert((me, of));
                    }
                }
            }
            suspects
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn who_is_dead_is_suspected_by_all_that_ask_it_and_live(network in network(0)) {
            // A round in which all helpers are dead says nothing, so a few more are given.
            let suspects = network.suspects(u64::from(ROUNDS) + 8);
            let hosts = fleet(network.n_hosts);
            for of in 0..network.n_hosts {
                for prober in probers(&host(of), &hosts) {
                    let me = network.index(prober);
                    if !network.dead.contains(&me) {
                        let is_dead = network.dead.contains(&of);
                        prop_assert_eq!(suspects.contains(&(me, of)), is_dead, "{} by {}", of, me);
                    }
                }
            }
        }

        #[test]
        fn a_bad_link_makes_nobody_suspect(network in network(HELPERS - 1)) {
            // So few bad links never cut off all helpers.
            let network = Network { dead: BTreeSet::new(), ..network };
            prop_assert_eq!(network.suspects(u64::from(ROUNDS) + 3), BTreeSet::new());
        }

        #[test]
        fn who_is_cut_off_from_all_suspects_nobody_and_doubts_itself(n_hosts in 8_usize..24) {
            let cut = (1..n_hosts).map(|other| (0, other)).collect();
            let network = Network { n_hosts, dead: BTreeSet::new(), cut };
            let suspects = network.suspects(u64::from(ROUNDS) + 3);
            prop_assert!(suspects.iter().all(|(me, of)| *me != 0 && *of == 0), "{:?}", suspects);
            let mut doubt = Doubt::default();
            (0..20).for_each(|_| doubt.round(0, PROBERS));
            prop_assert_eq!(doubt.patience(), MOST_DOUBT);
            (0..20).for_each(|_| doubt.round(1, PROBERS));
            prop_assert_eq!(doubt.patience(), 1);
        }
    }
}
