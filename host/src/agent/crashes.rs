//! What follows on this host from crashes for the apps whose calls ran: a deployment that was there each
//! time is quarantined, which is not called any more.
//! Does not see crashes, which the crash log does, and does not say who is to blame: `core::crash_loop`
//! does, of those that `desired` has counted.

use steerage_core::crash_loop;
use steerage_core::id::{AppName, Generation};

use super::Agent;
use crate::telemetry::events::{Event, Severity};

impl Agent {
    /// Tells of a crash of the last run. A host that is alone has counted them itself, and quarantines
    /// before its doors are open what others would have counted by now.
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
        if self.fleet.is_alone() {
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
}
