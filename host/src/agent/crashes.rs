//! What follows from crashes of hosts for the apps whose calls ran: a deployment that was there each
//! time is quarantined, a canary is rolled back at once.
//! Does not see crashes, which the crash log does, and does not say who is to blame: `core::crash_loop`
//! does.

use std::collections::BTreeSet;

use steerage_core::crash_loop::{self, Crash};
use steerage_core::id::{AppName, Generation};

use super::{Agent, DeployError, now};
use crate::fleet::Fleet;
use crate::fleet::record::{AppRecord, CrashRecord, RolledBack};
use crate::telemetry::events::{Event, Severity};

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

impl Agent {
    /// Tells of a crash of the last run, and quarantines what a host without a fleet has to.
    pub fn look_at_crashes(&self) {
        let log = &self.own.crash_log;
        if let Some(crash) = log.last_crash() {
            let names: Vec<&str> = crash.suspects.iter().map(|it| it.app.as_str()).collect();
            let message = format!(
                "this host ended without being told to, while calls of {} ran",
                names.join(", ")
            );
            tracing::warn!("{message}");
            self.own.events.push(Event {
                severity: Severity::Warning,
                advice: Some(
                    "look in the kernel's log for a process that was out of memory, and in the host's \
                     own log for its last words; an app that is there again the next time is \
                     quarantined"
                        .to_owned(),
                ),
                ..Event::now("host_crashed", message)
            });
        }
        if self.fleet.is_none() {
            for (app, generation) in log.held() {
                let is_served = |app: &AppName| {
                    self.own.catalog.app(app).is_some_and(|app| app.generation == generation)
                };
                if is_served(&app) {
                    self.quarantine(&app, Some(generation));
                }
            }
        }
    }

    /// Quarantines a deployment of an app, which is told, or none of its deployments.
    pub fn quarantine(&self, app: &AppName, generation: Option<Generation>) {
        if !self.own.catalog.set_quarantine(app, generation) {
            return;
        }
        let Some(generation) = generation else { return };
        let message = format!(
            "generation {generation} of {app} is not called any more: hosts crashed {} times within \
             {} minutes while its calls ran",
            crash_loop::CRASHES,
            crash_loop::WITHIN.as_secs() / 60
        );
        tracing::error!("{message}");
        let advice = format!(
            "find out what it does to hosts, from the kernel's log and `steerage logs {app}`, and \
             deploy it again: a new deployment is called again; or `steerage rollback {app}`"
        );
        self.own.events.push(Event {
            app: Some(app.clone()),
            generation: Some(generation),
            severity: Severity::Error,
            advice: Some(advice),
            ..Event::now("app_quarantined", message)
        });
    }

    /// Counts a crash of a host of the fleet against a deployment whose calls ran there.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn note_crash(
        &self,
        fleet: &Fleet,
        (app, generation): (&AppName, Generation),
        crash: &CrashRecord,
    ) -> Result<Noted, DeployError> {
        let view = fleet.view();
        let Some((record, _)) = view.apps.get(app) else { return Ok(Noted::Nothing) };
        let generation = generation.get();
        if record.canary.as_ref().is_some_and(|canary| canary.generation == generation) {
            // One is enough: it is on trial.
            let why = format!("host {} crashed while its calls ran", crash.host);
            let rolled_back = RolledBack { generation, why, at: now() };
            let is_done = self.roll_back_canary(fleet, app, rolled_back).await?;
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
        match self.wish_changed(fleet, app, change).await {
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
