//! When a host plans, and what it may aim at then. Any host may; the one whose name comes first does, among
//! those that answer, so that no election is needed and the loss of the planner needs none either. A
//! host that has just come to plan knows of no quiet: what made it the planner is most likely that
//! another one was lost. Makes no plan.

use std::collections::BTreeSet;
use std::time::Duration;

use super::pace::Pace;
use super::records::Records;
use super::view::FleetView;
use crate::id::HostName;
use crate::liveness::LeaseState;

/// A plan is made this often even without news, since use changes and is no news: soon enough for load
/// to be followed, and less often where planning takes long.
pub const EVERY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
/// Plans without news take one part of so many of the time.
const SHARE: u32 = 50;
/// So many hosts keep what all others say of what apps use, and look at hosts that others miss: the one
/// that plans, and those that plan after it. Two may be lost at once and the next one knows it all.
pub const KEEPERS: usize = 3;
/// Hosts of which it is not clear whether they are gone are asked about again so soon, and less often the
/// longer it lasts: a firewall stays.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What a host knows when it might plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanSituation {
    /// Whether it comes first among those that answer; see [`FleetView::is_planner`].
    pub is_planner: bool,
    /// For how long the store has answered without a break; `None` where it does not.
    pub connected_for: Option<Duration>,
    /// Whether apps are assigned to hosts that are not there; see [`FleetView::misses_hosts`].
    pub misses_hosts: bool,
    /// Whether operators want nothing to be planned.
    pub is_frozen: bool,
    /// Whether every host that is known is well: none is emptied while another one is in trouble, since
    /// what that has may have to go somewhere in a moment.
    pub all_are_well: bool,
}

/// A plan that is to be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanTurn {
    /// Whether hosts are emptied, where nothing else is to be moved.
    pub consolidates: bool,
    /// Whether what apps use is looked at anew.
    pub with_use: bool,
    /// How many replicas it may move that could stay where they are.
    pub at_most: u32,
    began_at: Duration,
    is_quiet: bool,
}

/// What came of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanEnd {
    /// How many apps it has moved; `None` where it was not written, or only a part of it.
    pub n_moved: Option<usize>,
    /// How many of its moves could have waited, whether all of them were written or not.
    pub n_could_wait: u32,
    /// Whether more would have moved if nothing had to wait.
    pub is_cut: bool,
}

/// When a host plans.
#[derive(Debug)]
pub struct PlanTurns {
    patience: Duration,
    consolidate: Option<Duration>,
    /// Since when nothing has moved while this host planned.
    quiet_since: Option<Duration>,
    use_taken_at: Duration,
    every: Duration,
    /// Whether hosts are given time to come back.
    waits: bool,
    n_unclear: u32,
    /// Whether hosts are being emptied, a few moves at a time.
    is_emptying: bool,
    pace: Pace,
}

impl PlanTurns {
    /// Nothing planned yet. Hosts are given `patience` to come back after the store, or this host, was
    /// away; hosts are emptied after nothing has moved for as long as `consolidate`, with `None` never.
    /// In a minute `a_minute` replicas are moved at most that could stay where they are.
    #[must_use]
    pub fn new(patience: Duration, consolidate: Option<Duration>, a_minute: u32) -> Self {
        Self {
            patience,
            consolidate,
            quiet_since: None,
            use_taken_at: Duration::ZERO,
            every: EVERY.0,
            waits: false,
            n_unclear: 0,
            is_emptying: false,
            pace: Pace::new(a_minute),
        }
    }

    /// The plan to make now, if it is this host's turn.
    pub fn begin(&mut self, now: Duration, situation: &PlanSituation) -> Option<PlanTurn> {
        let PlanSituation { is_planner, connected_for, misses_hosts, is_frozen, all_are_well } =
            *situation;
        let is_early = connected_for.is_none_or(|since| since < self.patience);
        self.waits = is_early && misses_hosts;
        if !is_planner || connected_for.is_none() || self.waits || is_frozen {
            self.quiet_since = None;
            self.is_emptying = false;
            self.n_unclear = 0;
            return None;
        }
        let since = *self.quiet_since.get_or_insert(now);
        let is_quiet = self.consolidate.is_some_and(|long| now.saturating_sub(since) >= long);
        let is_due = now.saturating_sub(self.use_taken_at) >= self.every;
        // Each step of emptying looks at everything, so there is time between them.
        let with_use = is_due || (is_quiet && !self.is_emptying);
        let consolidates = is_quiet && all_are_well && with_use;
        let at_most = self.pace.left(now);
        Some(PlanTurn { consolidates, with_use, at_most, began_at: now, is_quiet })
    }

    /// Takes what came of a plan.
    pub fn end(&mut self, now: Duration, turn: PlanTurn, end: PlanEnd) {
        let PlanEnd { n_moved, n_could_wait, is_cut } = end;
        self.pace.moved(now, n_could_wait);
        if let Some(n_moved) = n_moved {
            if turn.consolidates {
                self.is_emptying = is_cut;
            } else if n_moved > 0 {
                self.is_emptying = false;
            }
            // What has begun goes on without another quiet time.
            if !self.is_emptying && (n_moved > 0 || turn.is_quiet) {
                self.quiet_since = Some(now);
            }
        }
        if turn.with_use {
            self.use_taken_at = now;
            let took = now.saturating_sub(turn.began_at);
            self.every = took.saturating_mul(SHARE).clamp(EVERY.0, EVERY.1);
        }
    }

    /// How long to wait for news before it is looked again; `is_unclear` says whether there are hosts of
    /// which it is not clear whether they are gone.
    pub fn pause(&mut self, is_unclear: bool) -> Duration {
        self.n_unclear = if is_unclear { self.n_unclear.saturating_add(1) } else { 0 };
        let n = self.n_unclear;
        match (self.waits, is_unclear) {
            (true, _) => self.patience / 4,
            (_, true) => ASK_AGAIN.saturating_mul(1 + n.saturating_mul(n) / 8).min(self.every),
            _ => self.every,
        }
    }
}

impl<R: Records> FleetView<R> {
    /// Whether this host plans: it comes first among those that are registered and well, and these are no
    /// fewer than half of those that are registered. Where a network has come apart, most hosts may say
    /// that the others are gone and take what those have: these must not take it back. Where most hosts
    /// are lost, they are registered until their leases end, and then the rest are no fewer than half.
    #[must_use]
    pub fn is_planner(&self, me: &HostName, is_well: impl Fn(&HostName) -> bool) -> bool {
        let mut well = self.hosts.keys().filter(|host| is_well(host));
        well.next() == Some(me) && (1 + well.count()) * 2 >= self.n_registered()
    }

    /// Whether this host is one of those that keep what apps use: the first of those that are registered
    /// and well. Who plans is one of them.
    #[must_use]
    pub fn keeps_use(&self, me: &HostName, is_well: impl Fn(&HostName) -> bool) -> bool {
        self.hosts.keys().filter(|host| is_well(host)).take(KEEPERS).any(|host| host == me)
    }

    /// How many hosts are registered, those included whose records cannot be read here: of them most have
    /// to say that one is gone.
    #[must_use]
    pub fn n_registered(&self) -> usize {
        self.hosts.len() + self.outlined.len()
    }

    /// Whether apps are assigned to hosts that are gone and that the store may have lost only while it
    /// was away.
    #[must_use]
    pub fn misses_hosts(&self, is_gone: impl Fn(&HostName) -> bool) -> bool {
        let assigned: BTreeSet<&HostName> =
            self.all_assigned().flat_map(|(_, assigned)| assigned.keys()).collect();
        let is_missed = |host: &HostName| self.lease_of(host) == LeaseState::Ended && is_gone(host);
        assigned.into_iter().any(is_missed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::nothing::Nothing;
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_plans_has_kept_what_apps_use_though_two_are_lost_before_it() {
        let mut view = FleetView::<Nothing>::default();
        let hosts: Vec<HostName> = (0..9).map(|host| format!("h{host}").parse().unwrap()).collect();
        for host in &hosts {
            view.hosts.insert(host.clone(), Arc::new(Nothing));
        }
        let all = |well: &BTreeSet<&HostName>, does: &dyn Fn(&HostName) -> bool| {
            let found = hosts.iter().filter(|host| well.contains(host) && does(host));
            found.cloned().collect::<BTreeSet<HostName>>()
        };
        let well: BTreeSet<&HostName> = hosts.iter().collect();
        let kept = all(&well, &|host| view.keeps_use(host, |host| well.contains(host)));
        assert_eq!(kept.len(), KEEPERS);
        for (one, other) in hosts.iter().flat_map(|one| hosts.iter().map(move |other| (one, other)))
        {
            let mut left = well.clone();
            left.retain(|host| *host != one && *host != other);
            let plan = all(&left, &|host| view.is_planner(host, |host| left.contains(host)));
            assert!(plan.len() == 1 && plan.is_subset(&kept), "{one} and {other}: {plan:?}");
        }
    }

    #[test]
    fn the_first_host_plans_unless_most_of_the_others_are_out_of_its_reach() {
        let mut view = FleetView::<Nothing>::default();
        for host in ["a", "b", "c", "d", "e"] {
            view.hosts.insert(host.parse().unwrap(), Arc::new(Nothing));
        }
        let planners = |well: &str| -> String {
            let is_well = |host: &HostName| well.contains(host.as_str());
            let plans = |host: &char| view.is_planner(&host.to_string().parse().unwrap(), is_well);
            well.chars().filter(plans).collect()
        };
        for (well, planner) in [("abcde", "a"), ("bcde", "b"), ("cde", "c"), ("de", ""), ("e", "")]
        {
            assert_eq!(planners(well), planner, "{well}");
        }
        // Of two hosts each may plan: neither is most.
        view.hosts = view.hosts.into_iter().take(2).collect();
        assert!(view.is_planner(&"b".parse().unwrap(), |host| host.as_str() == "b"));
        assert!(!view.is_planner(&"c".parse().unwrap(), |_| true), "it is not registered");
    }

    const WELL: PlanSituation = PlanSituation {
        is_planner: true,
        connected_for: Some(Duration::from_secs(60)),
        misses_hosts: false,
        is_frozen: false,
        all_are_well: true,
    };

    fn turns() -> PlanTurns {
        PlanTurns::new(at(3), Some(at(300)), 50)
    }

    #[test]
    fn only_the_planner_plans_and_only_while_it_hears_of_the_store() {
        let connected_for = Some(at(1));
        for (situation, plans) in [
            (WELL, true),
            (PlanSituation { is_planner: false, ..WELL }, false),
            (PlanSituation { connected_for: None, ..WELL }, false),
            (PlanSituation { is_frozen: true, ..WELL }, false),
            (PlanSituation { connected_for, ..WELL }, true),
            (PlanSituation { misses_hosts: true, ..WELL }, true),
            // They may be about to come back.
            (PlanSituation { connected_for, misses_hosts: true, ..WELL }, false),
        ] {
            assert_eq!(turns().begin(at(9), &situation).is_some(), plans, "{situation:?}");
        }
    }

    #[test]
    fn quiet_begins_when_a_host_comes_to_plan_and_after_each_move() {
        let mut turns = turns();
        let mut consolidates = |now: u64, situation, n_moved| {
            let turn = turns.begin(at(now), &situation)?;
            turns.end(at(now), turn, PlanEnd { n_moved, ..PlanEnd::default() });
            Some(turn.consolidates)
        };
        assert_eq!(consolidates(9000, WELL, Some(0)), Some(false));
        assert_eq!(consolidates(9299, WELL, Some(0)), Some(false));
        assert_eq!(consolidates(9300, WELL, Some(0)), Some(true));
        assert_eq!(consolidates(9301, WELL, Some(0)), Some(false), "it was made use of");
        assert_eq!(consolidates(9500, WELL, Some(7)), Some(false));
        assert_eq!(consolidates(9799, WELL, Some(0)), Some(false));
        let ill = PlanSituation { all_are_well: false, ..WELL };
        assert_eq!(consolidates(9800, ill, None), Some(false), "another host is in trouble");
        assert_eq!(consolidates(9801, WELL, Some(0)), Some(true));
        // Another host plans for an hour.
        let other = PlanSituation { is_planner: false, ..WELL };
        assert_eq!(consolidates(12_000, other, None), None);
        assert_eq!(consolidates(15_600, WELL, Some(0)), Some(false));
        assert_eq!(consolidates(15_900, WELL, Some(0)), Some(true));
    }

    #[test]
    fn emptying_that_was_cut_goes_on_in_steps_and_ends_where_something_else_moves() {
        let mut turns = turns();
        let mut turn = |now: u64, n_moved: usize, n_could_wait: u32, is_cut: bool| {
            let turn = turns.begin(at(now), &WELL).unwrap();
            let n_moved = Some(n_moved);
            turns.end(at(now), turn, PlanEnd { n_moved, n_could_wait, is_cut });
            (turn.consolidates, turn.at_most)
        };
        assert_eq!(turn(1000, 0, 0, false), (false, 50));
        assert_eq!(turn(1300, 30, 30, true), (true, 50), "after a quiet time");
        assert_eq!(turn(1301, 0, 0, false), (false, 20), "news of its own moves");
        assert_eq!(turn(1302, 20, 20, true), (true, 20));
        assert_eq!(turn(1304, 0, 0, true), (true, 0), "nothing is left of this minute");
        assert_eq!(turn(1360, 30, 30, true), (true, 30), "what moved first was a minute ago");
        assert_eq!(turn(1361, 3, 0, false), (false, 0), "something was lost");
        assert_eq!(turn(1480, 0, 0, false), (false, 50));
        assert_eq!(turn(1661, 9, 9, false), (true, 50));
        assert_eq!(turn(1663, 0, 0, false), (false, 41), "it was done");
    }

    #[test]
    fn a_plan_of_which_nobody_knows_how_much_was_written_counts_as_written() {
        let mut turns = turns();
        let turn = turns.begin(at(1000), &WELL).unwrap();
        turns.end(at(1000), turn, PlanEnd { n_moved: None, n_could_wait: 30, is_cut: false });
        assert_eq!(turns.begin(at(1001), &WELL).unwrap().at_most, 20);
        assert_eq!(turns.begin(at(1061), &WELL).unwrap().at_most, 50);
    }

    #[test]
    fn use_is_taken_in_now_and_then_and_less_often_where_that_takes_long() {
        let mut turns = turns();
        let mut with_use = |now: u64, took: u64| {
            let turn = turns.begin(at(now), &WELL).unwrap();
            turns.end(at(now + took), turn, PlanEnd { n_moved: Some(0), ..PlanEnd::default() });
            turn.with_use
        };
        assert!(with_use(2, 0) && !with_use(3, 0) && with_use(4, 1));
        assert!(!with_use(14, 0) && with_use(15, 0));
    }

    #[test]
    fn what_is_unclear_is_asked_again_soon_and_then_less_often() {
        let mut turns = turns();
        let pauses: Vec<u128> = (0..30).map(|_| turns.pause(true).as_millis()).collect();
        assert_eq!(pauses[0], 50);
        assert!(pauses.is_sorted() && pauses.last() == Some(&2000), "{pauses:?}");
        assert_eq!(turns.pause(false), EVERY.0);
        assert_eq!(turns.pause(true), ASK_AGAIN);
        let early = PlanSituation { connected_for: None, misses_hosts: true, ..WELL };
        assert_eq!(turns.begin(at(1), &early), None);
        assert_eq!(turns.pause(false), at(3) / 4);
    }
}
