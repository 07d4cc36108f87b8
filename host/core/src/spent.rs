//! Where the time of a call went. Each moment from the request's head to the last byte of the answer
//! belongs to one phase, so that the phases add up to the whole: to more only where the processor's clock,
//! which measures guests, and that of the wall disagree.
//! Reads no clock: whoever sees a phase end says how long it was.

use std::time::Duration;

use crate::units::show_duration;

/// What a call does at a moment, or what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// It waits to be let in: its app has as many calls running as it may have, or no slot is free.
    Queue,
    /// It waits for the app's code, which was not at hand.
    Code,
    /// Its guest could run and waits for a core.
    Core,
    /// Its instance is made.
    Instance,
    /// Its guest runs, the host's functions that it calls included.
    Guest,
    /// Its guest waits for somebody that it has sent a request to.
    Outbound,
    /// Its guest waits for a key-value store to have written something.
    Store,
    /// Its guest waits for more of the request's body.
    RequestBody,
    /// Its guest, or what is left of its answer, waits for the client to read.
    Client,
    /// Its guest waits for the time, or for something that the host does not know.
    Sleep,
    /// What is left: the host's own work on it.
    Host,
}

impl Phase {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 11] = [
        Self::Queue,
        Self::Code,
        Self::Core,
        Self::Instance,
        Self::Guest,
        Self::Outbound,
        Self::Store,
        Self::RequestBody,
        Self::Client,
        Self::Sleep,
        Self::Host,
    ];

    /// Its name in metrics and in the API.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Code => "code",
            Self::Core => "core",
            Self::Instance => "instance",
            Self::Guest => "guest",
            Self::Outbound => "outbound",
            Self::Store => "store",
            Self::RequestBody => "request_body",
            Self::Client => "client",
            Self::Sleep => "sleep",
            Self::Host => "host",
        }
    }

    /// What the call did, or waited for, in words.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Queue => "waited for its turn, or for a free slot",
            Self::Code => "waited for its code to be loaded",
            Self::Core => "waited for a free core",
            Self::Instance => "had its instance made",
            Self::Guest => "ran",
            Self::Outbound => "waited for an outbound request",
            Self::Store => "waited for a key-value store or a database",
            Self::RequestBody => "waited for the client to send the request's body",
            Self::Client => "waited for the client to read the answer",
            Self::Sleep => "slept",
            Self::Host => "was handled by the host",
        }
    }

    /// Whether it is the client who takes the time.
    #[must_use]
    pub fn is_of_client(self) -> bool {
        matches!(self, Self::RequestBody | Self::Client)
    }

    /// What makes it shorter, where the app's developer or the operator can do something about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Queue => {
                "raise [limits] concurrency or the host's slots, or make the app's calls shorter"
            }
            Self::Code => "call it more often than code is given up, or make the component smaller",
            Self::Core => "give the app more weight or more hosts, or other apps less",
            Self::Instance => "make the component smaller, or set [instance] reuse",
            Self::Guest => "do less in one call",
            Self::Outbound => {
                "give outbound requests a shorter timeout, and see why they take so long"
            }
            Self::Store => {
                "write several keys at once, or rows in one transaction, or have the data on a faster disk"
            }
            Self::RequestBody => "nothing is wrong with the app: its client sends slowly",
            Self::Client => "nothing is wrong with the app: its client reads slowly",
            Self::Sleep => "wait for less time, or answer before waiting",
            Self::Host => "see `steerage top` for what the host is busy with",
        }
    }
}

/// What a guest that does not run has others do for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// An outbound request has no answer yet, or no more of one.
    pub outbound: bool,
    /// A write to a key-value store is not durable yet.
    pub store: bool,
    /// No more of the request's body has come.
    pub request_body: bool,
    /// The client has not read what is ready for it.
    pub client: bool,
}

impl Waits {
    /// What a guest waits for that waits for several things: what is furthest from the host and from the
    /// client, since that is what the app's developer can do something about.
    #[must_use]
    pub fn phase(self) -> Phase {
        match self {
            Self { outbound: true, .. } => Phase::Outbound,
            Self { store: true, .. } => Phase::Store,
            Self { request_body: true, .. } => Phase::RequestBody,
            Self { client: true, .. } => Phase::Client,
            Self { .. } => Phase::Sleep,
        }
    }
}

/// The time of one call by phases, each in whole microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeSpent {
    us: [u64; Phase::ALL.len()],
}

impl TimeSpent {
    /// The time of a call that took `whole`, of which the phases but the last are known. What is known
    /// wins where clocks disagree: the processor's time is not the wall's.
    #[must_use]
    pub fn of(whole: Duration, known: impl Fn(Phase) -> Duration) -> Self {
        let mut left = whole;
        let us = Phase::ALL.map(|phase| {
            let spent = if phase == Phase::Host { left } else { known(phase) };
            left = left.saturating_sub(spent);
            u64::try_from(spent.as_micros()).unwrap_or(u64::MAX)
        });
        Self { us }
    }

    /// How long it was in this phase.
    #[must_use]
    pub fn get(&self, phase: Phase) -> Duration {
        Duration::from_micros(self.us.get(phase as usize).copied().unwrap_or(0))
    }

    /// Each phase that took any time.
    pub fn each(&self) -> impl Iterator<Item = (Phase, Duration)> {
        Phase::ALL
            .into_iter()
            .map(|phase| (phase, self.get(phase)))
            .filter(|(_, spent)| !spent.is_zero())
    }

    /// How long the client took to send and to read.
    #[must_use]
    pub fn of_client(&self) -> Duration {
        let phases = Phase::ALL.into_iter().filter(|phase| phase.is_of_client());
        phases.map(|phase| self.get(phase)).sum()
    }

    /// Each phase that took any time in which the call waited for somebody.
    pub fn waits(&self) -> impl Iterator<Item = (Phase, Duration)> {
        let is_wait = |phase| !matches!(phase, Phase::Instance | Phase::Guest | Phase::Host);
        self.each().filter(move |(phase, _)| is_wait(*phase))
    }

    /// What can be done about a call whose time was over after `limit`, of which most went where this says.
    #[must_use]
    pub fn advice(&self, limit: Duration) -> Option<String> {
        let (phase, percent) = self.most()?;
        let raise = show_duration(limit);
        Some(format!(
            "{percent}% of its time it {}: {}; or raise [limits] timeout above {raise} in steerage.toml",
            phase.meaning(),
            phase.remedy(),
        ))
    }

    /// The phase that took the most, and its part of all in percent; `None` where nothing took any time.
    #[must_use]
    pub fn most(&self) -> Option<(Phase, u32)> {
        let sum: u64 = self.us.iter().sum();
        // Of two that took the same, the earlier one.
        let (phase, spent) =
            self.each().reduce(|most, next| if next.1 > most.1 { next } else { most })?;
        let percent = spent.as_micros().saturating_mul(100) / u128::from(sum.max(1));
        Some((phase, u32::try_from(percent).unwrap_or(100)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_phase_has_its_place_and_a_name_of_its_own() {
        let places: Vec<_> = Phase::ALL.iter().map(|phase| *phase as usize).collect();
        assert_eq!(places, (0..Phase::ALL.len()).collect::<Vec<_>>());
        let codes: BTreeSet<_> = Phase::ALL.iter().map(|phase| phase.code()).collect();
        let meanings: BTreeSet<_> = Phase::ALL.iter().map(|phase| phase.meaning()).collect();
        assert_eq!((codes.len(), meanings.len()), (Phase::ALL.len(), Phase::ALL.len()));
    }

    #[test]
    fn a_guest_that_waits_for_several_things_waits_for_what_is_furthest_away() {
        let waits = |outbound, request_body, client| {
            Waits { outbound, store: outbound, request_body, client }.phase()
        };
        assert_eq!(waits(true, true, true), Phase::Outbound);
        let store = Waits { store: true, request_body: true, ..Waits::default() };
        assert_eq!(store.phase(), Phase::Store);
        assert_eq!(waits(false, true, true), Phase::RequestBody);
        assert_eq!(waits(false, false, true), Phase::Client);
        assert_eq!(waits(false, false, false), Phase::Sleep);
    }

    #[test]
    fn the_phase_that_took_the_most_is_told_with_its_part() {
        let of = |whole, guest, outbound| {
            TimeSpent::of(Duration::from_micros(whole), |phase| {
                Duration::from_micros(match phase {
                    Phase::Guest => guest,
                    Phase::Outbound => outbound,
                    _ => 0,
                })
            })
        };
        assert_eq!(of(1000, 20, 970).most(), Some((Phase::Outbound, 97)));
        assert_eq!(of(1000, 200, 100).most(), Some((Phase::Host, 70)));
        assert_eq!(of(1000, 500, 500).most(), Some((Phase::Guest, 50)));
        assert_eq!(of(0, 0, 0).most(), None);
        assert_eq!(
            of(2_000_000, 20_000, 1_960_000).advice(Duration::from_secs(2)).as_deref(),
            Some(
                "98% of its time it waited for an outbound request: give outbound requests a shorter \
                 timeout, and see why they take so long; or raise [limits] timeout above 2s in \
                 steerage.toml"
            )
        );
    }

    proptest! {
        #[test]
        fn the_phases_add_up_to_the_whole(
            parts in prop::array::uniform10(0_u64..10_000_000),
            rest in 0_u64..10_000_000,
        ) {
            let whole = parts.iter().sum::<u64>() + rest;
            let known = |phase: Phase| Duration::from_micros(parts[phase as usize]);
            let spent = TimeSpent::of(Duration::from_micros(whole), known);
            let sum: Duration = spent.each().map(|(_, spent)| spent).sum();
            prop_assert_eq!(sum, Duration::from_micros(whole));
            prop_assert_eq!(spent.get(Phase::Host), Duration::from_micros(rest));
        }

        #[test]
        fn what_is_known_wins_where_clocks_disagree(
            parts in prop::array::uniform10(0_u64..1_000),
            less in 1_u64..1_000,
        ) {
            let whole = parts.iter().sum::<u64>().saturating_sub(less);
            let known = |phase: Phase| Duration::from_micros(parts[phase as usize]);
            let spent = TimeSpent::of(Duration::from_micros(whole), known);
            for phase in Phase::ALL.into_iter().filter(|phase| *phase != Phase::Host) {
                prop_assert_eq!(spent.get(phase), known(phase));
            }
            prop_assert_eq!(spent.get(Phase::Host), Duration::ZERO);
        }
    }
}
