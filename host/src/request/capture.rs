//! What a call leaves that failed: a capsule, if its app asks for it.
//! Does not know what was told to its guest, which is on the call's tape, nor what is secret.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use steerage_core::capsule::{CapsuleFate, FailureKind};
use steerage_core::outcome::{Fault, Outcome};

use crate::call::Call;
use crate::capsule::{
    Capsule, CapsuleEnding, CapsuleLimits, EnvName, OngoingRecording, Recording, Unsealed, VERSION,
};
use crate::catalog::LoadedDeployment;
use crate::meter;
use crate::telemetry::events::EventPlace;

/// Keeps a capsule of a call that is over, if it failed by its guest; says what became of it.
///
/// What the host refused or failed to do is not in what the guest was told, and what the client ended is no
/// failure.
pub(super) fn leave(
    deployed: &LoadedDeployment,
    call: &Call,
    outcome: &Outcome,
) -> Option<CapsuleFate> {
    let redaction = deployed.prepared.redaction()?;
    let status = if *outcome == Outcome::Answered { call.status() } else { 0 };
    let is_guests = match outcome.fault() {
        Fault::Guest => !matches!(outcome, Outcome::Refused(_)),
        Fault::None => status >= 500,
        Fault::Client | Fault::Host => false,
    };
    if !is_guests {
        return None;
    }
    if !deployed.prepared.is_captured() {
        return Some(CapsuleFate::Reused);
    }
    // What was ended before its guest ran has none.
    let ongoing = call.recording()?;
    if let Some(fate) = ongoing.tape.unwritten() {
        return Some(fate);
    }
    let recording = ongoing.tape.take()?;
    let kind = FailureKind {
        generation: deployed.generation.get(),
        cause: outcome.cause(),
        place: place(outcome.backtrace(), status),
    };
    let state = &deployed.state;
    let made = state.calls.capsules.keep(kind, call.id, meter::now(), || {
        let recording = recording?;
        let env = deployed.prepared.env().iter().map(|(_, value)| value);
        // A value may be made of them, and stand nowhere while one of them does.
        let secrets = env.chain(deployed.prepared.secrets()).map(String::as_str);
        capsule(deployed, call, (ongoing, recording), (outcome, status)).seal(redaction, secrets)
    });
    Some(made.unwrap_or_else(|unsealed: Unsealed| {
        if matches!(unsealed, Unsealed::TooLarge(_)) {
            state.meter.capsules_too_large.fetch_add(1, Ordering::Relaxed);
        }
        unsealed.fate()
    }))
}

/// A number for where the guest failed: for all frames, since the innermost one is the same function for all panics
/// of a language. Each function counts once, or clients could choose how many places there are by how deep functions
/// call each other. Where no frame is known, the status stands for the place.
fn place(frames: &[String], status: u16) -> u64 {
    // The place in its file stands behind the name.
    let name = |frame: &str| frame.rsplit_once(" at ").map_or(frame, |(name, _)| name).to_owned();
    let mut seen = BTreeSet::new();
    let frames: Vec<&String> = frames.iter().filter(|frame| seen.insert(name(frame))).collect();
    let place = if frames.is_empty() { EventPlace::of(status) } else { EventPlace::of(frames) };
    place.number()
}

fn capsule(
    deployed: &LoadedDeployment,
    call: &Call,
    (ongoing, recording): (&OngoingRecording, Recording),
    (outcome, status): (&Outcome, u16),
) -> Capsule {
    let (prepared, limits) = (&deployed.prepared, deployed.prepared.limits());
    let env = prepared.env().iter();
    Capsule {
        version: VERSION,
        steerage: env!("CARGO_PKG_VERSION").to_owned(),
        call: call.id.to_string(),
        app: deployed.app.to_string(),
        generation: deployed.generation.get(),
        component: prepared.digest().to_string(),
        at_ms: meter::milliseconds_since_epoch(call.time().started_at()),
        limits: CapsuleLimits {
            memory: limits.memory.get(),
            fuel: limits.fuel.get(),
            timeout_ms: u64::try_from(limits.timeout.as_millis()).unwrap_or(u64::MAX),
            request_body: limits.request_body.get(),
            response_body: limits.response_body.get(),
        },
        env: env
            .map(|(name, value)| EnvName { name: name.clone(), value_bytes: value.len() })
            .collect(),
        request: ongoing.request.clone(),
        recording,
        ending: CapsuleEnding {
            cause: outcome.cause().to_owned(),
            status,
            frames: outcome.backtrace().to_vec(),
            fuel: call.ended().map_or(0, |(_, usage)| usage.fuel.get()),
        },
        redacted: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_all_frames_however_deep_a_function_calls_itself() {
        let of = |frames: &str| place(&frames.split(' ').map(str::to_owned).collect::<Vec<_>>(), 0);
        assert_ne!(of("panic even main"), of("panic odd main"));
        assert_eq!(of("panic walk main"), of("panic walk walk walk main"));
        assert_eq!(of("panic value array main"), of("panic value array value array main"));
        let lines = |first: u32| ["walk at a.rs:1".to_owned(), format!("walk at a.rs:{first}")];
        assert_eq!(place(&lines(2), 0), place(&lines(3), 0));
        assert_ne!(place(&[], 500), place(&[], 503));
    }
}
