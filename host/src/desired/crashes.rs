//! Counting crashes of hosts against the deployments whose calls ran there: one that was there each time
//! is quarantined, a canary is rolled back at once.
//! Does not say who is to blame: `core::crash_loop` does.

use std::collections::BTreeSet;
use std::slice;

use steerage_core::crash_loop::{self, Crash};
use steerage_core::id::{AppName, Generation};

use super::{DeployError, Desired};
use crate::agent::now;
use crate::fleet::record::{AppRecord, CrashRecord, RolledBack};

/// What was noted of a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// Nothing: another deployment of the app is served by now, or none.
    Nothing,
    /// It counts against the deployment that is served.
    Counted,
    /// The deployment was on trial, and is not any more.
    RolledBack,
}

impl Desired {
    /// Counts a crash of a host of the fleet against a deployment whose calls ran there.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn note_crash(
        &self,
        (app, generation): (&AppName, Generation),
        crash: &CrashRecord,
    ) -> Result<Noted, DeployError> {
        let view = self.look_at(slice::from_ref(app)).await?;
        let Some(record) = view.app(app) else { return Ok(Noted::Nothing) };
        let generation = generation.get();
        if record.canary.as_ref().is_some_and(|canary| canary.generation == generation) {
            // One is enough: it is on trial.
            let why = format!("host {} crashed while its calls ran", crash.host);
            let rolled_back = RolledBack { generation, why, at: now(), had_all: false };
            let is_done = self.roll_back_canary(app, rolled_back).await?;
            return Ok(if is_done { Noted::RolledBack } else { Noted::Nothing });
        }
        if record.generation != generation || record.crashes.contains(crash) {
            return Ok(Noted::Nothing);
        }
        let change = |record: &mut AppRecord| {
            if record.generation == generation && !record.crashes.contains(crash) {
                count(record, crash, now());
            }
        };
        match self.update(app, change).await {
            Ok(_) => Ok(Noted::Counted),
            Err(DeployError::NoApp(_)) => Ok(Noted::Nothing),
            Err(error) => Err(error),
        }
    }
}

/// As many crashes of an app are kept.
const KEPT: usize = 16;

fn count(record: &mut AppRecord, crash: &CrashRecord, now: u64) {
    record.crashes.push(crash.clone());
    let n_old = record.crashes.len().saturating_sub(KEPT);
    record.crashes.drain(..n_old);
    let all: Vec<Crash> = record.crashes.iter().map(CrashRecord::read).collect();
    record.is_quarantined |= crash_loop::is_to_blame(&all, now);
}

impl CrashRecord {
    fn read(&self) -> Crash {
        let beside: BTreeSet<AppName> =
            self.beside.iter().filter_map(|app| app.parse().ok()).collect();
        Crash { at: self.at, beside }
    }
}
