//! Whether a host is there, from all that is known of it: what the store says of its lease, what came of
//! asking it, which of its runs answered, and what other hosts see. Whoever has to know asks here; what
//! follows for calls, replicas, planning and people are predicates over the four states.
//! Asks nobody and reads no clock: how long replicas of a host that is gone wait for it is placement's.
//!
//! | lease | answers | another run answers | silent | cannot be asked | refused | refused, most hosts say |
//! |---|---|---|---|---|---|---|
//! | held | ready | detached | suspect | suspect | suspect | gone |
//! | not known | detached | detached | suspect | suspect | suspect | gone |
//! | ended | detached | detached | gone | gone | gone | gone |
//!
//! One host's eyes alone make nobody gone: what it cannot reach others may, through a firewall or with
//! another certificate. Nor does not knowing: neither before the store was read, nor of a host whose
//! record cannot be read. It takes the store, whose lease has ended, or most of the registered hosts.
//! A lease that has ended is not enough while the host answers: then it is the store that has lost it.
//!
//! In a large fleet a host asks only a few others ([`crate::probing`]). It takes every other host to answer
//! until one of these happens: a connection in use breaks, a call finds nobody there, the store says that the
//! host's lease has ended, or another host reports that it got no answer. Then it asks that host itself until
//! the host answers again. So the hosts that plan see with their own eyes whoever is missed by anybody.

/// What the store says of a host's registration, from what speaks least for its life to what does most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaseState {
    /// It holds none, or none any more, as was read of it.
    Ended,
    /// It was not read since this host started; the host is known from before that.
    Unknown,
    /// It holds one.
    Held,
}

/// What came of asking a host the last time, from what speaks least for its life to what does most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// Its machine says that nobody listens: its process is gone, or somebody between the two says so in
    /// its place.
    Refused,
    /// It cannot be asked: its address is not known, as where its record cannot be read.
    Impossible,
    /// It did not answer in time, or a connection to it broke.
    Silent,
    /// It answered. Also what others ask, or what has not been asked yet: what was known until then holds.
    Answers,
}

/// Which run of a host it was that answered the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Run {
    /// Another one than is known: the one that is known is over, and its successor not registered yet; or
    /// two run under one name.
    Other,
    /// The one that is known, or one that did not say.
    Same,
}

/// Who is refused by a host, from what speaks least for its life to what does most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Eyes {
    /// Most of the registered hosts.
    Most,
    /// This host, and not so many others that it would be most.
    Own,
}

impl LeaseState {
    /// Whether its host hears of what is new: one that does not may serve what is old, and nobody waits
    /// for it.
    #[must_use]
    pub fn hears_of_changes(self) -> bool {
        self == Self::Held
    }
}

impl Eyes {
    /// Of `n_registered` hosts, the one that they speak of included, `n_refused` are refused, this host
    /// included. Most is more than half, so that of two parts of a fleet at most one can say so. Of two
    /// hosts alone none can: they wait for the lease.
    #[must_use]
    pub fn of(n_refused: usize, n_registered: usize) -> Self {
        if n_refused > n_registered / 2 { Self::Most } else { Self::Own }
    }
}

/// All that is known of whether a host is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What the store says.
    pub lease: LeaseState,
    /// What it says itself, or its machine.
    pub probe: Probe,
    /// Which run of it that was. Counts only where it answers.
    pub run: Run,
    /// What other hosts see. Counts only where it refuses.
    pub eyes: Eyes,
}

/// Whether a host is there, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Liveness {
    /// It is not: its replicas are to be elsewhere.
    Gone,
    /// Nobody can say: it is not asked, and keeps its place until the store or other hosts say more.
    Suspect,
    /// It answers and is not registered in the run that does: it serves what it has, and may not hear of
    /// anything new.
    Detached,
    /// It answers and is registered.
    Ready,
}

/// How a host stands; the table is at the top of this file.
#[must_use]
pub fn state(evidence: Evidence) -> Liveness {
    let Evidence { lease, probe, run, eyes } = evidence;
    match (probe, lease) {
        (Probe::Answers, LeaseState::Held) if run == Run::Same => Liveness::Ready,
        (Probe::Answers, _) => Liveness::Detached,
        (_, LeaseState::Ended) => Liveness::Gone,
        (Probe::Refused, _) if eyes == Eyes::Most => Liveness::Gone,
        (Probe::Refused | Probe::Silent | Probe::Impossible, _) => Liveness::Suspect,
    }
}

impl Liveness {
    /// Whether calls are passed on to it. Routing does not wait for the store: whether a host answers is
    /// what counts.
    #[must_use]
    pub fn is_candidate_for_calls(self) -> bool {
        self >= Self::Detached
    }

    /// Whether it keeps the replicas that it has.
    #[must_use]
    pub fn keeps_replicas(self) -> bool {
        self > Self::Gone
    }

    /// Whether replicas may be placed on it that it does not have: it can hear of them, and can be
    /// reached.
    #[must_use]
    pub fn may_get_replicas(self) -> bool {
        self == Self::Ready
    }

    /// Whether it is one of those the first of whom plans, and of those that must all be well before a
    /// host is emptied.
    #[must_use]
    pub fn counts_for_planner(self) -> bool {
        self == Self::Ready
    }

    /// What operators are told.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "answers",
            Self::Detached => "unregistered",
            Self::Suspect => "silent",
            Self::Gone => "gone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASES: [LeaseState; 3] = [LeaseState::Ended, LeaseState::Unknown, LeaseState::Held];
    const PROBES: [Probe; 4] = [Probe::Refused, Probe::Impossible, Probe::Silent, Probe::Answers];
    const RUNS: [Run; 2] = [Run::Other, Run::Same];
    const EYES: [Eyes; 2] = [Eyes::Most, Eyes::Own];

    /// Everything that can be known of a host.
    fn all() -> Vec<Evidence> {
        let mut all = Vec::new();
        for (lease, probe) in LEASES.iter().flat_map(|lease| PROBES.map(|probe| (*lease, probe))) {
            for (run, eyes) in RUNS.iter().flat_map(|run| EYES.map(|eyes| (*run, eyes))) {
                all.push(Evidence { lease, probe, run, eyes });
            }
        }
        all
    }

    /// In what column of the table something is known stands.
    fn column(evidence: Evidence) -> usize {
        match (evidence.probe, evidence.run, evidence.eyes) {
            (Probe::Answers, Run::Same, _) => 0,
            (Probe::Answers, Run::Other, _) => 1,
            (Probe::Silent, ..) => 2,
            (Probe::Impossible, ..) => 3,
            (Probe::Refused, _, Eyes::Own) => 4,
            (Probe::Refused, _, Eyes::Most) => 5,
        }
    }

    #[test]
    fn every_host_stands_as_the_table_says() {
        use Liveness::{Detached, Gone, Ready, Suspect};
        let table = [
            (LeaseState::Held, [Ready, Detached, Suspect, Suspect, Suspect, Gone]),
            (LeaseState::Unknown, [Detached, Detached, Suspect, Suspect, Suspect, Gone]),
            (LeaseState::Ended, [Detached, Detached, Gone, Gone, Gone, Gone]),
        ];
        let all = all();
        assert_eq!(all.len(), 48);
        for evidence in all {
            let (_, row) = table.iter().find(|(lease, _)| *lease == evidence.lease).unwrap();
            assert_eq!(state(evidence), row[column(evidence)], "{evidence:?}");
        }
    }

    #[test]
    fn the_table_in_the_header_is_the_one_that_is_tested() {
        let header = include_str!("liveness.rs").lines().take_while(|line| line.starts_with("//!"));
        let rows = header.filter_map(|line| line.strip_prefix("//! | ")?.strip_suffix(" |"));
        let rows: Vec<Vec<&str>> = rows.map(|row| row.split(" | ").collect()).collect();
        for evidence in all() {
            let lease = match evidence.lease {
                LeaseState::Held => "held",
                LeaseState::Unknown => "not known",
                LeaseState::Ended => "ended",
            };
            let row = rows.iter().find(|row| row[0] == lease).unwrap();
            let said = format!("{:?}", state(evidence)).to_lowercase();
            assert_eq!(row[column(evidence) + 1], said, "{evidence:?}");
        }
    }

    #[test]
    fn not_knowing_makes_nobody_gone() {
        for evidence in all() {
            let knows_nothing =
                evidence.lease != LeaseState::Ended && evidence.probe != Probe::Refused;
            if knows_nothing {
                assert!(state(evidence).keeps_replicas(), "{evidence:?}");
            }
        }
    }

    #[test]
    fn one_hosts_eyes_make_nobody_gone_while_the_lease_holds() {
        for evidence in all() {
            if evidence.lease == LeaseState::Held && evidence.eyes == Eyes::Own {
                assert_ne!(state(evidence), Liveness::Gone, "{evidence:?}");
            }
        }
    }

    #[test]
    fn calls_go_to_those_that_answer_who_are_never_gone() {
        for evidence in all() {
            let is_candidate = state(evidence).is_candidate_for_calls();
            assert_eq!(is_candidate, evidence.probe == Probe::Answers, "{evidence:?}");
        }
    }

    #[test]
    fn more_evidence_of_life_makes_no_host_less_alive() {
        for less in all() {
            for more in all() {
                let is_more = less.lease <= more.lease
                    && less.probe <= more.probe
                    && less.run <= more.run
                    && less.eyes <= more.eyes;
                if is_more {
                    assert!(state(less) <= state(more), "{less:?} {more:?}");
                }
            }
        }
    }

    #[test]
    fn who_may_do_more_is_more_alive() {
        use Liveness::{Detached, Gone, Ready, Suspect};
        let check = |liveness: Liveness, expected: [bool; 4]| {
            let found = [
                liveness.is_candidate_for_calls(),
                liveness.keeps_replicas(),
                liveness.may_get_replicas(),
                liveness.counts_for_planner(),
            ];
            assert_eq!(found, expected, "{liveness:?}");
        };
        check(Ready, [true, true, true, true]);
        check(Detached, [true, true, false, false]);
        check(Suspect, [false, true, false, false]);
        check(Gone, [false, false, false, false]);
    }

    #[test]
    fn most_is_more_than_half_of_all_so_two_parts_never_both_are() {
        for (n_refused, n_registered, expected) in
            [(1, 2, Eyes::Own), (2, 3, Eyes::Most), (2, 4, Eyes::Own), (3, 4, Eyes::Most)]
        {
            assert_eq!(Eyes::of(n_refused, n_registered), expected, "{n_refused}/{n_registered}");
        }
        for n_registered in 2..50 {
            for n_one in 1..n_registered {
                let parts = [n_one, n_registered - n_one].map(|n| Eyes::of(n, n_registered));
                assert_ne!(parts, [Eyes::Most, Eyes::Most], "{n_one}/{n_registered}");
            }
        }
    }
}
