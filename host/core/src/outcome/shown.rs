//! How a call ended, as one sentence for whoever reads an event or an answer.
//! Does not say what to do about it: the advice stands with the outcomes.

use std::fmt;

use super::{Excess, Outcome, Refusal};

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => f.write_str("answered"),
            Self::Trapped(trap) => write!(f, "the app trapped: {}", trap.reason),
            Self::OutOfFuel { limit, .. } => write!(f, "the app used all of its {limit} fuel"),
            Self::OutOfMemory { limit, asked, excess: Excess::Resources } => write!(
                f,
                "the app made the host hold {} of headers, bodies, requests and streams for one \
                 call, its memory limit is {limit}",
                asked.about()
            ),
            Self::OutOfMemory { limit, asked, .. } => {
                write!(f, "the app asked for {asked} of memory, its limit is {limit}")
            }
            Self::TimedOut { limit } => {
                write!(f, "the app did not finish its response within {limit:?}")
            }
            Self::ResponseTooLarge { limit } => {
                write!(f, "the app's response is larger than {limit}")
            }
            Self::NoAnswer { detail } => write!(f, "the app gave no answer: {detail}"),
            Self::ClientGone => f.write_str("the client went away"),
            Self::Refused(refusal) => write!(f, "{refusal}"),
            Self::HostFailed { detail } => write!(f, "the host failed: {detail}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoute => f.write_str("no app answers this host and path"),
            Self::NoHost => f.write_str("the request names no host"),
            Self::BadRequest { detail } => write!(f, "bad request: {detail}"),
            Self::RequestTooLarge { limit } => {
                write!(f, "the request body is larger than {limit}")
            }
            Self::AppBusy { concurrency, queue } => {
                write!(f, "the app is busy: {concurrency} calls run and {queue} wait already")
            }
            Self::TooLate { needs, limit } => {
                write!(f, "calls of the app take {needs:.1?} now, its timeout is {limit:?}")
            }
            Self::HostFull => f.write_str("the host has no room for another instance"),
            Self::HostBusy { queue } => write!(f, "{queue} calls wait on this host already"),
            Self::HostMemory { held, share, budget } => write!(
                f,
                "the host's memory is short: the app holds {}, its share of {} is {}",
                held.about(),
                budget.about(),
                share.about()
            ),
            Self::HostExhausted { used, budget, held } => write!(
                f,
                "the host uses {} of the {} it may use, and apps hold only {} of it",
                used.about(),
                budget.about(),
                held.about()
            ),
            Self::NotReady => f.write_str("the app's code is not ready to run yet"),
            Self::NotBuilt => f.write_str(
                "the app is not built yet: it is building, or its build failed, which the terminal of \
                 `steerage up` tells",
            ),
            Self::NoReplica => f.write_str(
                "no replica of the app answers, and its labels or apart_from keep it off this host",
            ),
            Self::Quarantined => f.write_str(
                "hosts crashed while calls of this deployment ran, so it is not called any more",
            ),
            Self::Draining => f.write_str("the host is shutting down"),
            Self::UpgradeUnsupported => {
                f.write_str("protocol upgrades such as WebSocket are not supported")
            }
        }
    }
}
