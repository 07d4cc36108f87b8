//! Where the time goes of calls that take longer than they may, for an app that is known to be slow.
//! Does not judge whether it is.

use std::time::Duration;

use super::{AppPast, Diagnosis, PastCall, Remedy, busy, mostly};
use crate::units::about_duration;

/// Whether a call was answered and took longer than this. What a client took to send or to read is not the
/// app's.
pub(super) fn is_slow(call: &PastCall, slow_after: Duration) -> bool {
    let of_client = call.phases.iter().filter(|(phase, _)| phase.is_of_client());
    let of_client: Duration = of_client.map(|(_, took)| *took).sum();
    call.took.saturating_sub(of_client) > slow_after && !call.is_failed()
}

/// Calls that took longer than this.
pub(super) fn calls(past: &AppPast, slow_after: Duration) -> Option<Diagnosis> {
    // What a deployment did that is not served any more is over.
    let served = past.calls.iter().filter(|call| past.is_served(call.generation));
    let slow = served.filter(|call| is_slow(call, slow_after));
    let last = slow.clone().next_back()?;
    let (phase, percent) = mostly(slow.clone())?;
    let mut evidence =
        vec![format!("{percent}% of the time of a slow call it {}", phase.meaning())];
    evidence.extend(busy::neighbour(past, phase, slow));
    let took = about_duration(last.took);
    evidence.push(format!("the last of them is {}, which took {took}", last.id));
    let remedy = Remedy {
        text: phase.remedy().to_owned(),
        command: Some(format!("steerage call {}", last.id)),
        changes: false,
    };
    Some(Diagnosis { claim: String::new(), evidence, remedy: Some(remedy) })
}
