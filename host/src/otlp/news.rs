//! Tells operators that a collector does not take all that it is sent, and that it does again.
//! Does not judge when: `core::otlp` does.

use steerage_core::otlp::{BatchCounts, BatchNews};

use crate::telemetry::events::{Event, EventPlace, Events, Severity};

/// What is sent, in words.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExportedThings {
    /// What they are called.
    pub(super) name: &'static str,
    /// What an operator may do beside seeing after the collector.
    pub(super) advice: &'static str,
    /// The metric that counts what is lost.
    pub(super) counted: &'static str,
}

/// Tells it, of the collector at this host and port, and why something was lost last.
pub(super) fn tell(
    events: &Events,
    things: ExportedThings,
    authority: &str,
    (news, counts, why): (Option<BatchNews>, BatchCounts, &str),
) {
    let (name, place) = (things.name, EventPlace::of(things.name));
    match news {
        Some(BatchNews::Fails) => {
            let n_lost: u64 = counts.dropped.iter().sum();
            let message = format!(
                "the collector at {authority} does not take all {name} of this host, {n_lost} are lost: {why}"
            );
            tracing::error!("{message}");
            let ExportedThings { advice, counted, .. } = things;
            let advice = format!(
                "see that it runs, can be reached from here and keeps up{advice}; calls are not held up, and what \
                 is lost is counted in {counted}"
            );
            let (severity, advice) = (Severity::Error, Some(advice));
            let event = Event::now("collector_failing", message);
            events.push(Event { severity, advice, place, ..event });
        }
        Some(BatchNews::Works) => {
            let message =
                format!("the collector at {authority} takes all {name} of this host again");
            tracing::info!("{message}");
            events.push(Event { place, ..Event::now("collector_works", message) });
        }
        None => {}
    }
}
