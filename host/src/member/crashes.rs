//! Telling the fleet of crashes of this host, so that an app that takes one host after the other down
//! is stopped for all of them. What the store does not take is told again.
//! Does not judge: `core::crash_loop` does.

use std::collections::BTreeSet;

use super::{Shared, pause};
use crate::desired::crashes::Noted;
use crate::fleet::record::CrashRecord;
use crate::telemetry::chain;
use crate::telemetry::events::{Event, Severity};

/// Tells of each crash once.
pub(super) async fn tell(shared: &Shared) {
    let (member, mut follows) = (&shared.member, shared.follows.subscribe());
    for crash in member.own.crash_log.crashes() {
        for suspect in &crash.suspects {
            let Some((app, generation)) = suspect.named() else { continue };
            let others = crash.suspects.iter().map(|other| &other.app);
            let beside: BTreeSet<String> =
                others.filter(|other| **other != suspect.app).cloned().collect();
            let record = CrashRecord { host: member.fleet.me().to_string(), at: crash.at, beside };
            let mut n_failures = 0;
            loop {
                if follows.wait_for(|follows| *follows).await.is_err() {
                    return;
                }
                let noted = member.desired.note_crash((&app, generation), &record).await;
                match noted {
                    Ok(Noted::Nothing | Noted::Counted) => break,
                    Ok(Noted::RolledBack) => {
                        let message = format!(
                            "generation {generation} of {app} was rolled back: this host crashed while \
                             its calls ran"
                        );
                        tracing::warn!("{message}");
                        member.own.events.push(Event {
                            app: Some(app),
                            generation: Some(generation),
                            severity: Severity::Warning,
                            advice: Some("see the event host_crashed".to_owned()),
                            ..Event::now("canary_rolled_back", message)
                        });
                        break;
                    }
                    Err(error) => {
                        tracing::debug!(%app, error = chain(&error), "cannot tell of a crash yet");
                        n_failures += 1;
                        tokio::time::sleep(pause(n_failures)).await;
                    }
                }
            }
        }
    }
}
