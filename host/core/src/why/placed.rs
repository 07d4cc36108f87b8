//! What is wrong with where an app runs: replicas that there should be and are not, or that are not called.

use super::{AppPast, Diagnosis, PastReplicas, Remedy, quarantine_claim};
use crate::units::many;

/// Replicas that are not ready.
pub(super) fn replicas(past: &AppPast) -> Option<Diagnosis> {
    let PastReplicas { wanted, ready, others, lacks } = past.replicas.as_ref()?;
    // While one deployment takes the place of another, the other one answers.
    if ready + others >= *wanted {
        return None;
    }
    let claim = if *ready == 0 {
        format!("no replica of {} is ready, of {wanted} that are wanted", past.app)
    } else {
        format!("{ready} of {} of {} {} ready", many(wanted, "replica"), past.app, is_are(*ready))
    };
    let (evidence, remedy) = match lacks {
        Some(lacks) => (
            vec![format!("there is no place for the rest: {lacks}")],
            Remedy {
                text: "see what the fleet has room for; add hosts, or ask for fewer replicas with \
                       `steerage scale`"
                    .to_owned(),
                command: Some("steerage plan".to_owned()),
                changes: false,
            },
        ),
        None => (
            vec!["the rest has a place and is being started".to_owned()],
            Remedy {
                text: "wait a moment; a host that cannot start it says why among its events"
                    .to_owned(),
                command: Some(format!("steerage events {}", past.app)),
                changes: false,
            },
        ),
    };
    Some(Diagnosis { claim, evidence, remedy: Some(remedy) })
}

/// That it is called no more.
pub(super) fn quarantined(past: &AppPast) -> Option<Diagnosis> {
    if !past.is_quarantined {
        return None;
    }
    let event = past.events.iter().rev().find(|event| event.kind == "app_quarantined");
    let advice = event.and_then(|event| event.advice.clone());
    let text = advice.unwrap_or_else(|| "find out what it does, and deploy it again".to_owned());
    Some(Diagnosis {
        claim: quarantine_claim(&past.app, past.current),
        evidence: event.map(|event| event.message.clone()).into_iter().collect(),
        remedy: Some(Remedy {
            text,
            command: Some(format!("steerage events {}", past.app)),
            changes: false,
        }),
    })
}

fn is_are(number: u32) -> &'static str {
    if number == 1 { "is" } else { "are" }
}
