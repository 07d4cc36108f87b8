//! How a call ended, and whose fault it was: one closed type for every ending.
//! Does not know HTTP, metrics or how a guest is run: `respond` maps these values to the outside.

mod fault;
mod shown;
mod trap;

use std::time::Duration;

pub use self::fault::{Fault, fault_of};
pub use self::trap::Trap;
use crate::units::{Bytes, Fuel};

/// How a call ended. A guest's failure is a value of this type, never an error of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guest answered and its whole response was handed over.
    Answered,
    /// The guest executed a trap: a panic, an out-of-bounds access, a stack overflow.
    Trapped(Trap),
    /// The guest used all the fuel that one call may use.
    OutOfFuel {
        /// The app's fuel limit per call.
        limit: Fuel,
        /// Where the guest was when nothing was left, innermost frame first.
        backtrace: Vec<String>,
    },
    /// The guest failed after the host refused to let its memory grow past the limit.
    OutOfMemory {
        /// The app's memory limit, all memories and tables together.
        limit: Bytes,
        /// What the instance would have used had the growth been allowed.
        asked: Bytes,
        /// What took it there.
        excess: Excess,
    },
    /// The last response byte was not there when the app's timeout had passed.
    TimedOut {
        /// The app's wall-clock limit per call.
        limit: Duration,
    },
    /// The response grew past the app's response body limit and was cut.
    ResponseTooLarge {
        /// The app's response body limit.
        limit: Bytes,
    },
    /// The guest ended without a valid response.
    NoAnswer {
        /// What the guest did instead, in one line.
        detail: String,
    },
    /// The client closed the connection before the response was complete.
    ClientGone,
    /// The host gave the call to no guest, or ended it although the guest had done nothing wrong: the host's
    /// memory was short, or the host had to end.
    Refused(Refusal),
    /// The host failed to do its part; an operator must look.
    HostFailed {
        /// What failed, for the operator; never shown to the client.
        detail: String,
    },
}

/// What took an instance past its memory limit, since each has another remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// What this one call needed.
    OneCall,
    /// What earlier calls left behind in an instance that serves several.
    Kept {
        /// Calls that it had served.
        calls: u32,
        /// By how much its memory had grown since the first of them.
        grown: Bytes,
    },
    /// What the host holds for it: headers, bodies, streams and other things that it made and kept.
    Resources,
}

/// Why a call was not given to a guest, or was taken away from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No app has a route for this host and path.
    NoRoute,
    /// The request names no host.
    NoHost,
    /// The request is malformed in a way that must not be guessed at.
    BadRequest {
        /// What is wrong with it, in one line.
        detail: String,
    },
    /// The request body is larger than the app allows.
    RequestTooLarge {
        /// The app's request body limit.
        limit: Bytes,
    },
    /// The app has as many running and waiting calls as it may have.
    AppBusy {
        /// The app's limit of calls running at once.
        concurrency: u32,
        /// The app's limit of calls waiting.
        queue: u32,
    },
    /// The call would still be waiting, or unfinished, when its time is over.
    TooLate {
        /// How long calls like it take now, waiting included.
        needs: Duration,
        /// The app's wall-clock limit per call.
        limit: Duration,
    },
    /// The host has no room for another instance.
    HostFull,
    /// As many calls wait on this host as may wait.
    HostBusy {
        /// The host's limit of calls waiting.
        queue: u32,
    },
    /// The host's memory is short, and this app holds the most beyond its share.
    HostMemory {
        /// What the app's instances hold together.
        held: Bytes,
        /// The app's share of the budget beside the others that hold memory.
        share: Bytes,
        /// What all instances of the host may hold.
        budget: Bytes,
    },
    /// The process uses nearly all it may, and it is not guests that hold it.
    HostExhausted {
        /// What the process uses.
        used: Bytes,
        /// What it may use.
        budget: Bytes,
        /// What instances hold together.
        held: Bytes,
    },
    /// The app's code is not ready to run yet, and too many wait for code already or this call has
    /// waited long enough.
    NotReady,
    /// The host serves one app while somebody works on it, and that has not been built yet.
    NotBuilt,
    /// No replica of the app answers, and the host that was called may not run it: it lacks labels that
    /// the app needs, or has an app that it must not meet.
    NoReplica,
    /// The deployment took hosts down, and is not called any more.
    Quarantined,
    /// The host is shutting down.
    Draining,
    /// The request asks to switch protocols.
    UpgradeUnsupported,
}

impl Outcome {
    /// The stable code of this ending, used in problem documents, metrics, logs and events.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Trapped(_) => "trapped",
            Self::OutOfFuel { .. } => "out_of_fuel",
            Self::OutOfMemory { .. } => "out_of_memory",
            Self::TimedOut { .. } => "timed_out",
            Self::ResponseTooLarge { .. } => "response_too_large",
            Self::NoAnswer { .. } => "no_answer",
            Self::ClientGone => "client_gone",
            Self::Refused(refusal) => refusal.cause(),
            Self::HostFailed { .. } => "host_failed",
        }
    }

    /// Every cause code there is, in the order of [`Outcome`] and [`Refusal`].
    pub const CAUSES: [&'static str; 24] = [
        "answered",
        "trapped",
        "out_of_fuel",
        "out_of_memory",
        "timed_out",
        "response_too_large",
        "no_answer",
        "client_gone",
        "no_route",
        "no_host",
        "bad_request",
        "request_too_large",
        "app_busy",
        "too_late",
        "host_full",
        "host_busy",
        "host_memory",
        "host_exhausted",
        "not_ready",
        "no_replica",
        "quarantined",
        "draining",
        "upgrade_unsupported",
        "host_failed",
    ];

    /// The places in [`Self::CAUSES`] of those of [`Self::Refused`]: such a call took as long as it takes to
    /// refuse one, which tells nothing of how long its app's calls take.
    pub const REFUSALS: std::ops::RangeInclusive<usize> = 8..=22;

    /// Where the guest was when it ended, innermost frame first; empty where that is not known.
    #[must_use]
    pub fn backtrace(&self) -> &[String] {
        match self {
            Self::Trapped(trap) => &trap.backtrace,
            Self::OutOfFuel { backtrace, .. } => backtrace,
            _ => &[],
        }
    }

    /// Whose fault this ending is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Answered => Fault::None,
            Self::Trapped(_)
            | Self::OutOfFuel { .. }
            | Self::OutOfMemory { .. }
            | Self::TimedOut { .. }
            | Self::ResponseTooLarge { .. }
            | Self::NoAnswer { .. } => Fault::Guest,
            Self::ClientGone => Fault::Client,
            Self::Refused(refusal) => refusal.fault(),
            Self::HostFailed { .. } => Fault::Host,
        }
    }

    /// What the app's developer or the operator can do about it, in one sentence.
    ///
    /// `None` where nothing needs doing.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let advice = match self {
            Self::Answered | Self::ClientGone => return None,
            Self::Trapped(trap) if trap.not_offered().is_some() => {
                "do without it, or run the app where it is offered; `steerage validate` lists what a \
                 component imports and this host does not offer"
                    .to_owned()
            }
            Self::Trapped(_) => {
                "read the backtrace and the app's log lines of this call; build with debug names \
                 for readable frames"
                    .to_owned()
            }
            Self::OutOfFuel { limit, .. } => format!(
                "do less in one call, or raise [limits] fuel above {limit} in steerage.toml"
            ),
            Self::OutOfMemory { limit, asked, excess } => match excess {
                Excess::OneCall => format!(
                    "use less memory in one call, or raise [limits] memory from {limit} to at \
                     least {asked} in steerage.toml"
                ),
                Excess::Kept { calls, grown } => format!(
                    "this looks like a leak: over {calls} calls the instance grew by {}; free what \
                     a call allocates before it returns, or lower [instance] reuse or max_growth \
                     in steerage.toml",
                    grown.about()
                ),
                Excess::Resources => format!(
                    "drop headers, bodies, requests, streams and futures once they are used, or \
                     raise [limits] memory above {limit} in steerage.toml"
                ),
            },
            Self::TimedOut { limit } => format!(
                "find what the call waited for, or raise [limits] timeout above {limit:?} in \
                 steerage.toml"
            ),
            Self::ResponseTooLarge { limit } => {
                format!("send less, or raise [limits] response_body above {limit} in steerage.toml")
            }
            Self::NoAnswer { .. } => {
                "answer as the message wants it; every path through the handler must set a response"
                    .to_owned()
            }
            Self::Refused(refusal) => return refusal.advice(),
            Self::HostFailed { .. } => "look at the host's own log for this call id".to_owned(),
        };
        Some(advice)
    }
}

impl Refusal {
    /// The causes of the refusals for which an app has only itself to blame.
    pub const OF_GUEST: [&'static str; 4] = ["app_busy", "too_late", "host_memory", "quarantined"];

    /// The stable code of this refusal.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::NoHost => "no_host",
            Self::BadRequest { .. } => "bad_request",
            Self::RequestTooLarge { .. } => "request_too_large",
            Self::AppBusy { .. } => "app_busy",
            Self::TooLate { .. } => "too_late",
            Self::HostFull => "host_full",
            Self::HostBusy { .. } => "host_busy",
            Self::HostMemory { .. } => "host_memory",
            Self::HostExhausted { .. } => "host_exhausted",
            Self::NotReady | Self::NotBuilt => "not_ready",
            Self::NoReplica => "no_replica",
            Self::Quarantined => "quarantined",
            Self::Draining => "draining",
            Self::UpgradeUnsupported => "upgrade_unsupported",
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::NoRoute
            | Self::NoHost
            | Self::BadRequest { .. }
            | Self::RequestTooLarge { .. }
            | Self::UpgradeUnsupported => Fault::Client,
            Self::AppBusy { .. }
            | Self::TooLate { .. }
            | Self::HostMemory { .. }
            | Self::Quarantined => Fault::Guest,
            Self::HostFull
            | Self::HostBusy { .. }
            | Self::HostExhausted { .. }
            | Self::NotReady
            | Self::NotBuilt
            | Self::NoReplica
            | Self::Draining => Fault::Host,
        }
    }

    /// What can be done about it, in one sentence; `None` where nothing needs doing.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::AppBusy { concurrency, queue } => Some(format!(
                "make calls shorter, or raise [limits] concurrency above {concurrency} or queue \
                 above {queue} in steerage.toml"
            )),
            Self::RequestTooLarge { limit } => Some(format!(
                "send less, or raise [limits] request_body above {limit} in steerage.toml"
            )),
            Self::TooLate { limit, .. } => Some(format!(
                "make calls shorter, give the app more hosts or weight, or raise [limits] timeout \
                 above {limit:?} in steerage.toml"
            )),
            Self::HostFull => Some("add hosts, or raise the host's instance slots".to_owned()),
            Self::HostBusy { queue } => {
                Some(format!("add hosts, or raise the host's [queue] most above {queue}"))
            }
            Self::HostMemory { share, .. } => Some(format!(
                "run fewer calls at once or use less memory in each, to stay within {}; or give \
                 the host more memory",
                share.about()
            )),
            Self::HostExhausted { .. } => Some(
                "look for what the host itself holds: connections, bodies that clients do not \
                 take, certificates, log lines; or give it more memory"
                    .to_owned(),
            ),
            Self::NotReady => Some(
                "call again: after an upgrade of the host each app is compiled at its first call"
                    .to_owned(),
            ),
            Self::NoReplica => Some(
                "see `steerage show` and `steerage hosts`: more replicas, or more hosts with its \
                 labels, keep it served when one is lost"
                    .to_owned(),
            ),
            Self::Quarantined => Some(
                "find out what it did to the hosts, from the event app_quarantined and the kernel's \
                 log, and deploy it again: a new deployment is called again"
                    .to_owned(),
            ),
            Self::NoRoute
            | Self::NoHost
            | Self::BadRequest { .. }
            | Self::NotBuilt
            | Self::Draining
            | Self::UpgradeUnsupported => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_says_whose_fault_it_is() {
        for cause in Outcome::CAUSES {
            assert!(fault_of(cause).is_some(), "{cause}");
        }
        let timed_out = Outcome::TimedOut { limit: Duration::ZERO };
        let failed = Outcome::HostFailed { detail: String::new() };
        let no_answer = Outcome::NoAnswer { detail: String::new() };
        for outcome in [Outcome::Answered, Outcome::ClientGone, timed_out, failed, no_answer] {
            assert_eq!(fault_of(outcome.cause()), Some(outcome.fault()), "{outcome:?}");
        }
        assert_eq!(fault_of("deployed"), None);
    }

    #[test]
    fn the_refusals_that_an_app_is_to_blame_for_are_those_of_its_fault() {
        let (time, bytes) = (Duration::ZERO, Bytes::new(1));
        let all = [
            Refusal::NoRoute,
            Refusal::NoHost,
            Refusal::BadRequest { detail: String::new() },
            Refusal::RequestTooLarge { limit: bytes },
            Refusal::AppBusy { concurrency: 1, queue: 1 },
            Refusal::TooLate { needs: time, limit: time },
            Refusal::HostFull,
            Refusal::HostBusy { queue: 1 },
            Refusal::HostMemory { held: bytes, share: bytes, budget: bytes },
            Refusal::HostExhausted { used: bytes, budget: bytes, held: bytes },
            Refusal::NotReady,
            Refusal::NotBuilt,
            Refusal::NoReplica,
            Refusal::Quarantined,
            Refusal::Draining,
            Refusal::UpgradeUnsupported,
        ];
        let codes = &Outcome::CAUSES[Outcome::REFUSALS];
        // Two of them are one cause to whoever reads it.
        let mut causes: Vec<_> = all.iter().map(Refusal::cause).collect();
        causes.dedup();
        assert_eq!(causes, codes);
        for refusal in all {
            let is_of_guest = Refusal::OF_GUEST.contains(&refusal.cause());
            assert_eq!(is_of_guest, refusal.fault() == Fault::Guest, "{refusal:?}");
            assert_eq!(fault_of(refusal.cause()), Some(refusal.fault()), "{refusal:?}");
        }
    }
}
