//! From what an app needed and what it may use to what it should be allowed.
//! Does not know where either comes from.

use super::key::AdviceKey;
use super::margin::{MIN_CALLS, MIN_DAYS, MIN_DAYS_WITH_CALLS, margin_percent, risk_per_million};
use super::needs::{AppNeeds, DayNeeds};
use super::reason::AdviceReason;
use crate::limits::Limits;
use crate::manifest::{MAX_REPLICAS, Placement};

/// 4 MiB: less memory saves nothing worth a risk.
const LEAST_MEMORY: u64 = 4 << 20;
/// 100 million: 7 ms of a tight loop.
const LEAST_FUEL: u64 = 100_000_000;
/// 1 s, in milliseconds: networks alone take tenths of it now and then.
const LEAST_TIMEOUT_MS: u64 = 1_000;
/// A limit is lowered only where that takes a fifth off it at least.
const WORTH_PERCENT: u64 = 80;
/// What is reserved above the busiest hour.
const RESERVED_PERCENT: u64 = 115;

/// What an app may use today.
#[derive(Clone, Debug)]
pub struct AdvisedApp<'a> {
    /// Its limits.
    pub limits: &'a Limits,
    /// The most that the host grants.
    pub maximum: &'a Limits,
    /// Its replicas, and what each reserves.
    pub placement: &'a Placement,
    /// How many calls an instance of it serves at most, so that what one call leaves the next one has.
    pub reuse: u32,
    /// Since which day it is deployed as it is, in days since the epoch.
    pub deployed: u32,
    /// Whether that is its first deployment, so that all of that day is of it.
    pub is_first: bool,
    /// This day.
    pub today: u32,
    /// Hosts of the fleet.
    pub n_hosts: u32,
    /// Those of them whose history is not known: they may have seen calls that need more.
    pub n_silent: u32,
}

/// What one key of the manifest should say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Which key.
    pub key: AdviceKey,
    /// What it says; `None` where it says nothing and nothing stands for it.
    pub present: Option<u64>,
    /// What it should say; `None` where it stays.
    pub advised: Option<u64>,
    /// The most that was seen, in all of the history.
    pub seen: u64,
    /// The margin of a limit that is lowered, in percent of `seen`.
    pub margin_percent: Option<u64>,
    /// Calls since the deployment.
    pub calls: u64,
    /// Days since the deployment, that of it and this one included, as far as history goes back.
    pub days: u32,
    /// Where a limit is lowered: so many calls of a million may need more than was ever seen, with 95 %
    /// certainty. Fewer pass the limit, since it is above that.
    pub risk_per_million: Option<u64>,
    /// Why.
    pub reason: AdviceReason,
}

/// How a limit on one call stands to what was needed.
struct OfCall {
    key: AdviceKey,
    least: u64,
    needed: fn(&DayNeeds) -> u64,
    failed: fn(&DayNeeds) -> u64,
}

/// The limits on one call.
const OF_CALL: [OfCall; 3] = [
    OfCall {
        key: AdviceKey::Memory,
        least: LEAST_MEMORY,
        needed: |day| day.memory,
        failed: |day| day.out_of_memory,
    },
    OfCall {
        key: AdviceKey::Fuel,
        least: LEAST_FUEL,
        needed: |day| day.fuel,
        failed: |day| day.out_of_fuel,
    },
    OfCall {
        key: AdviceKey::Timeout,
        least: LEAST_TIMEOUT_MS,
        needed: |day| day.latency_us.div_ceil(1000),
        failed: |day| day.timed_out,
    },
];

/// What is known since the deployment.
struct Basis {
    /// The first day that is of the present deployment from its beginning. Calls that failed earlier may have
    /// failed by a limit that was raised since.
    first_day: u32,
    n_silent: u32,
    calls: u64,
    days: u32,
    days_with_calls: u64,
}

/// Says what each key should be, in the order of [`AdviceKey::ALL`]; concurrency and replicas only where calls
/// were refused.
#[must_use]
pub fn advise(needs: &AppNeeds, app: &AdvisedApp<'_>) -> Vec<Advice> {
    let basis = Basis::of(needs, app);
    let mut advice: Vec<_> = OF_CALL.iter().map(|limit| limit.advise(needs, app, &basis)).collect();
    advice.extend(more_at_once(needs, app, &basis));
    advice.extend(reserved(needs, app, &basis));
    advice
}

impl OfCall {
    fn advise(&self, needs: &AppNeeds, app: &AdvisedApp<'_>, basis: &Basis) -> Advice {
        // A limit on one call always has a value.
        let of = |limits| self.key.value(limits, app.placement).unwrap_or(u64::MAX);
        let (present, maximum) = (of(app.limits), of(app.maximum));
        let seen = most(needs, self.needed);
        let failed = basis.sum(needs, self.failed);
        let keep = |reason| basis.advice(self.key, Some(present), seen, reason);
        if failed > 0 {
            if self.is_far_above_clean_days(needs, present) {
                return keep(AdviceReason::RunsAway(failed));
            }
            if self.key == AdviceKey::Memory && app.reuse > 1 {
                return keep(AdviceReason::FailedReused(failed));
            }
            let doubled = present.saturating_mul(2).min(maximum);
            if doubled <= present {
                return keep(AdviceReason::FailedAtMost(failed));
            }
            return Advice { advised: Some(doubled), ..keep(AdviceReason::Failed(failed)) };
        }
        if let Some(lacking) = basis.lacking() {
            return keep(lacking);
        }
        let failed_before = sum(needs, self.failed);
        if failed_before > 0 {
            return keep(AdviceReason::FailedBefore(failed_before));
        }
        let days = needs.days.values().filter(|day| day.calls > 0);
        let mut days: Vec<u64> = days.map(self.needed).collect();
        let margin = margin_percent(&mut days);
        let with_margin = u128::from(seen) * u128::from(margin) / 100;
        let with_margin = u64::try_from(with_margin).unwrap_or(u64::MAX).max(self.least);
        let advised = self.key.round_up(with_margin);
        if advised > present / 100 * WORTH_PERCENT {
            return keep(AdviceReason::Fits);
        }
        Advice {
            advised: Some(advised),
            margin_percent: Some(margin),
            risk_per_million: Some(risk_per_million(basis.calls)),
            ..keep(AdviceReason::FarBelow)
        }
    }

    /// Whether a quarter of the limit was enough on all days without a call that failed by it. A few calls on
    /// such days tell nothing of what the others need.
    fn is_far_above_clean_days(&self, needs: &AppNeeds, present: u64) -> bool {
        let clean = needs.days.values().filter(|day| day.calls > 0 && (self.failed)(day) == 0);
        let calls = clean.clone().fold(0, |sum, day| day.calls.saturating_add(sum));
        calls >= MIN_CALLS && clean.map(self.needed).max().is_some_and(|most| most <= present / 4)
    }
}

impl Basis {
    fn of(needs: &AppNeeds, app: &AdvisedApp<'_>) -> Self {
        let since = needs.days.range(app.deployed..);
        let called = since.filter(|(_, day)| day.calls > 0);
        let first = called.clone().next().map(|(day, _)| *day);
        Self {
            first_day: if app.is_first { app.deployed } else { app.deployed.saturating_add(1) },
            n_silent: app.n_silent,
            calls: called.clone().fold(0, |sum, (_, day)| day.calls.saturating_add(sum)),
            days: first.map_or(0, |first| app.today.saturating_sub(first).saturating_add(1)),
            days_with_calls: called.count() as u64,
        }
    }

    /// How often it happened since all was of the present deployment.
    fn sum(&self, needs: &AppNeeds, of: impl Fn(&DayNeeds) -> u64) -> u64 {
        let days = needs.days.range(self.first_day..);
        days.fold(0, |sum, (_, day)| of(day).saturating_add(sum))
    }

    /// Why nothing can be said of what calls need, if so.
    fn lacking(&self) -> Option<AdviceReason> {
        let Self { calls, days, days_with_calls, n_silent, .. } = *self;
        let is_enough =
            calls >= MIN_CALLS && days >= MIN_DAYS && days_with_calls >= MIN_DAYS_WITH_CALLS;
        match (n_silent, is_enough) {
            (0, true) => None,
            (0, false) => Some(AdviceReason::TooLittle { calls, days, days_with_calls }),
            (n, _) => Some(AdviceReason::Silent(n)),
        }
    }

    /// Nothing to change, for this reason.
    fn advice(
        &self,
        key: AdviceKey,
        present: Option<u64>,
        seen: u64,
        reason: AdviceReason,
    ) -> Advice {
        Advice {
            key,
            present,
            advised: None,
            seen,
            margin_percent: None,
            calls: self.calls,
            days: self.days,
            risk_per_million: None,
            reason,
        }
    }
}

/// Where calls were refused: more replicas while there are hosts for them, else more calls at once.
fn more_at_once(needs: &AppNeeds, app: &AdvisedApp<'_>, basis: &Basis) -> Option<Advice> {
    let busy = basis.sum(needs, |day| day.busy);
    if busy == 0 {
        return None;
    }
    let replicas = u64::from(app.placement.max);
    let most = u64::from(app.n_hosts.min(MAX_REPLICAS));
    let (key, present, most) = if replicas < most {
        (AdviceKey::MostReplicas, replicas, most)
    } else {
        let granted = u64::from(app.maximum.concurrency.get());
        (AdviceKey::Concurrency, u64::from(app.limits.concurrency.get()), granted)
    };
    let doubled = present.saturating_mul(2).min(most);
    let keep = |reason| basis.advice(key, Some(present), busy, reason);
    if doubled <= present {
        return Some(keep(AdviceReason::BusyAtMost(busy)));
    }
    Some(Advice { advised: Some(doubled), ..keep(AdviceReason::Busy(busy)) })
}

/// What each replica reserves: the busiest hour that one host has had.
fn reserved(needs: &AppNeeds, app: &AdvisedApp<'_>, basis: &Basis) -> [Advice; 2] {
    let cpu = most(needs, |day| day.cpu_hour_us);
    // Microseconds of an hour as thousandths of a core.
    let cpu = cpu.div_ceil(3_600_000);
    // What is held is looked at once a minute: a call that was over before has had as much all the same.
    let memory = most(needs, |day| day.held.max(day.memory));
    let of = |key: AdviceKey, used: u64, reason| {
        let present = key.value(app.limits, app.placement);
        if let Some(lacking) = basis.lacking() {
            return basis.advice(key, present, used, lacking);
        }
        let advised = key.round_up((used.saturating_mul(RESERVED_PERCENT) / 100).max(1));
        let differs = present.is_none_or(|present| {
            advised.abs_diff(present) > present / 100 * (100 - WORTH_PERCENT)
        });
        if !differs {
            return basis.advice(key, present, used, AdviceReason::Fits);
        }
        Advice { advised: Some(advised), ..basis.advice(key, present, used, reason) }
    };
    [
        of(AdviceKey::ReservedCpu, cpu, AdviceReason::Used),
        of(AdviceKey::ReservedMemory, memory, AdviceReason::Held),
    ]
}

fn most(needs: &AppNeeds, of: impl Fn(&DayNeeds) -> u64) -> u64 {
    needs.days.values().map(of).max().unwrap_or(0)
}

fn sum(needs: &AppNeeds, of: impl Fn(&DayNeeds) -> u64) -> u64 {
    needs.days.values().fold(0, |sum, day| of(day).saturating_add(sum))
}
