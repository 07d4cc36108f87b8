//! Where the time goes of calls that take longer than they may, for an app that is known to be slow.
//! Does not judge whether it is.

use std::time::Duration;

use super::{AppPast, Diagnosis, PastCall, Remedy, mostly};
use crate::units::about_duration;

/// Calls that took longer than this.
pub(super) fn calls(past: &AppPast, slow_after: Duration) -> Option<Diagnosis> {
    // What a client took to send or to read is not the app's.
    let of_client = |call: &PastCall| -> Duration {
        let phases = call.phases.iter();
        phases.filter(|(phase, _)| phase.is_of_client()).map(|(_, took)| *took).sum()
    };
    let is_slow = |call: &&PastCall| {
        call.took.saturating_sub(of_client(call)) > slow_after && !call.is_failed()
    };
    let slow = past.calls.iter().filter(is_slow);
    let last = slow.clone().next_back()?;
    let (phase, percent) = mostly(slow)?;
    let evidence = vec![
        format!("{percent}% of the time of a slow call it {}", phase.meaning()),
        format!("the last of them is {}, which took {}", last.id, about_duration(last.took)),
    ];
    let remedy = Remedy {
        text: phase.remedy().to_owned(),
        command: Some(format!("steerage call {}", last.id)),
        changes: false,
    };
    Some(Diagnosis { claim: String::new(), evidence, remedy: Some(remedy) })
}
