//! Reporting what apps use on this host, all in one record, so that placement goes by what is used
//! and not by what was asked for.
//! Measures nothing itself: it reads the meters of the calls.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use steerage_core::id::AppName;

use super::{Member, Shared};
use crate::catalog::Trial;
use crate::fleet::keys;
use crate::fleet::record::{self, AppUse, TrialUse, UseRecord};
use crate::store::{Commit, Write};
use crate::telemetry::chain;

/// How often is looked, and told.
const EVERY: Duration = Duration::from_secs(2);
/// How many times meanwhile the counts of deployments on trial are told, so that a bad one is taken
/// back soon.
const TRIALS: u32 = 4;
/// So many looks are kept, of which the high percentile is taken: ten minutes.
const LOOKS: usize = 300;
/// One look of so many may be higher than what is called high.
const ONE_OF: usize = 20;

/// Looks at one app.
#[derive(Debug, Default)]
pub struct Memory {
    looks: VecDeque<(u64, u64)>,
    before: Option<Reading>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    cpu: Duration,
    calls: u64,
    failed: u64,
}

/// Reports until it is dropped.
pub(super) async fn report(shared: &Shared) {
    let Shared { member, lease, .. } = shared;
    let mut apps: BTreeMap<AppName, Memory> = BTreeMap::new();
    let mut told = UseRecord::default();
    let mut ticks = tokio::time::interval(EVERY / TRIALS);
    for n_tick in (0..TRIALS).cycle() {
        ticks.tick().await;
        if n_tick == 0 {
            told = look_at_all(member, &mut apps);
        } else if told.trials.is_empty() {
            continue;
        } else {
            let served = &member.agent.parts().catalog;
            told.trials = told
                .trials
                .keys()
                .filter_map(|name| {
                    let app = served.app(&name.parse().ok()?)?;
                    Some((name.clone(), counted(&*app.trial()?)))
                })
                .collect();
        }
        let lease = *lease.borrow();
        let Some(lease) = lease else { continue };
        let (key, value) = (keys::usage(member.fleet.me()), record::encode(&told));
        let writes = vec![Write::Put { key, value, lease: Some(lease) }];
        let commit = Commit { guards: Vec::new(), writes };
        if let Err(error) = member.fleet.store().commit(commit).await {
            tracing::debug!(error = chain(&error), "cannot report what apps use");
        }
    }
}

fn look_at_all(member: &Member, apps: &mut BTreeMap<AppName, Memory>) -> UseRecord {
    let snapshot = member.agent.parts().catalog.snapshot();
    apps.retain(|app, _| snapshot.apps.contains_key(app));
    let mut told = UseRecord::default();
    for app in snapshot.apps.values() {
        let Some(state) = app.state() else { continue };
        let (calls, failed) = state.meter.calls();
        let (_, cpu, _) = state.meter.totals();
        let reading = Reading { at: Instant::now(), cpu, calls, failed };
        let mut held = state.memory.held().get();
        if let Some(trial) = app.trial() {
            held += trial.deployed.state.memory.held().get();
            told.trials.insert(app.name.to_string(), counted(&trial));
        }
        let memory = apps.entry(app.name.clone()).or_default();
        if let Some(now) = memory.look(reading, held) {
            told.apps.insert(app.name.to_string(), now);
        }
    }
    told
}

fn counted(trial: &Trial) -> TrialUse {
    TrialUse::of(trial.generation().get(), &trial.old.read(), &trial.canary.read())
}

impl Memory {
    /// Takes one look; `None` at the first, which has nothing to compare with.
    fn look(&mut self, reading: Reading, memory: u64) -> Option<AppUse> {
        let before = self.before.replace(reading)?;
        let passed = reading.at.saturating_duration_since(before.at);
        let micros = passed.as_micros().max(1);
        let used = reading.cpu.saturating_sub(before.cpu).as_micros();
        let cpu_m = u64::try_from(used * 1000 / micros).unwrap_or(u64::MAX);
        let n_calls = reading.calls.saturating_sub(before.calls);
        let n_failed = reading.failed.saturating_sub(before.failed);
        self.looks.push_back((cpu_m, memory));
        if self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
        let failed = n_failed.saturating_mul(10_000).checked_div(n_calls).unwrap_or(0);
        Some(AppUse {
            cpu_m,
            cpu_high_m: high(self.looks.iter().map(|(cpu, _)| *cpu)),
            memory,
            memory_high: self.looks.iter().map(|(_, memory)| *memory).max().unwrap_or(0),
            calls: u64::try_from(u128::from(n_calls) * 1_000_000 / micros).unwrap_or(u64::MAX),
            failed: u32::try_from(failed).unwrap_or(u32::MAX),
            looks: u32::try_from(self.looks.len()).unwrap_or(u32::MAX),
        })
    }
}

/// What is exceeded by one of twenty only.
fn high(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let n_above = values.len() / ONE_OF;
    values.iter().rev().nth(n_above).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rare_peak_is_not_what_an_app_needs() {
        assert_eq!(high([5; 19].into_iter().chain([900])), 5);
        assert_eq!(high([5; 10].into_iter().chain([900])), 900);
        assert_eq!(high(std::iter::empty()), 0);
    }

    #[test]
    fn a_look_is_a_rate_since_the_one_before() {
        let start = Instant::now();
        let reading = |seconds, cpu_ms, calls, failed| Reading {
            at: start + Duration::from_secs(seconds),
            cpu: Duration::from_millis(cpu_ms),
            calls,
            failed,
        };
        let mut memory = Memory::default();
        assert_eq!(memory.look(reading(0, 0, 0, 0), 10), None);
        let seen = memory.look(reading(2, 500, 100, 1), 30).unwrap();
        assert_eq!((seen.cpu_m, seen.calls, seen.failed), (250, 50, 100));
        let seen = memory.look(reading(4, 500, 100, 1), 20).unwrap();
        assert_eq!((seen.cpu_m, seen.memory, seen.memory_high, seen.looks), (0, 20, 30, 2));
    }
}
