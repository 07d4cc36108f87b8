//! What one app may use, what it gets when it does not say, and the most it can ask for.
//! Does not measure or enforce anything: the effects do, with these numbers.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::units::{Bytes, Fuel, show_duration};

/// What one app may use on one host.
///
/// Fields are public because every combination can be written down; [`Limits::check`] says which
/// of them a host accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All memories and tables of one instance together, in bytes.
    pub memory: Bytes,
    /// Work of one call.
    pub fuel: Fuel,
    /// Wall-clock time of one call, from its start to its last response byte.
    pub timeout: Duration,
    /// Calls running at once.
    pub concurrency: NonZeroU32,
    /// Calls waiting at once; 0 means that a call either starts or is refused.
    pub queue: u32,
    /// The body of one request, in bytes.
    pub request_body: Bytes,
    /// The body of one response, in bytes.
    pub response_body: Bytes,
}

/// 128 MiB: what other hosts of small services give, and enough for an interpreter in a guest.
pub const DEFAULT_MEMORY: Bytes = Bytes::mebi(128);
/// 20 billion: 1.4 s of a tight loop (measured: 70 ms a billion) and some seconds of ordinary
/// work. Rendering a page takes about a thousandth of it, and a runaway loop ends soon.
pub const DEFAULT_FUEL: Fuel = Fuel::new(20_000_000_000);
/// 30 s: as long as proxies and browsers' users commonly wait.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// 100: an app that waits 50 ms for a backend still serves 2,000 calls a second, and a whole app
/// at the default memory stays below 13 GiB.
pub const DEFAULT_CONCURRENCY: NonZeroU32 = match NonZeroU32::new(100) {
    Some(calls) => calls,
    None => NonZeroU32::MIN,
};
/// 1,000: ten rounds of the default concurrency; a longer queue only makes callers wait for an
/// answer they have given up on.
pub const DEFAULT_QUEUE: u32 = 1_000;
/// 10 MiB: forms, JSON and pictures from a telephone, but not films.
pub const DEFAULT_REQUEST_BODY: Bytes = Bytes::mebi(10);
/// 100 MiB: bodies are streamed, so this bounds traffic and not memory.
pub const DEFAULT_RESPONSE_BODY: Bytes = Bytes::mebi(100);

/// 64 KiB: one Wasm page; with less no guest starts.
pub const MIN_MEMORY: Bytes = Bytes::new(64 << 10);
/// 4 GiB: all that a 32-bit guest can address.
pub const MAX_MEMORY: Bytes = Bytes::mebi(4 << 10);
/// 1,000: with less not even an empty handler returns.
pub const MIN_FUEL: Fuel = Fuel::new(1_000);
/// 100 trillion: about a day of one core, beyond any timeout.
pub const MAX_FUEL: Fuel = Fuel::new(100_000_000_000_000);
/// 1 ms: below it the clock of the scheduler would decide, not the guest.
pub const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// 1 h: a deployment that is replaced runs on for at most this long.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// 10,000: the order of instances one host can hold.
pub const MAX_CONCURRENCY: u32 = 10_000;
/// 100,000: each waiting call holds a connection.
pub const MAX_QUEUE: u32 = 100_000;
/// 16 GiB in either direction: bodies are streamed, so this bounds traffic only.
pub const MAX_BODY: Bytes = Bytes::mebi(16 << 10);

/// What a host gives apps that do not say, and the most it lets them ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsPolicy {
    /// For apps that do not say.
    pub default: Limits,
    /// The most that is granted.
    pub maximum: Limits,
}

impl Default for LimitsPolicy {
    fn default() -> Self {
        Self { default: Limits::default(), maximum: Limits::MOST }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: DEFAULT_MEMORY,
            fuel: DEFAULT_FUEL,
            timeout: DEFAULT_TIMEOUT,
            concurrency: DEFAULT_CONCURRENCY,
            queue: DEFAULT_QUEUE,
            request_body: DEFAULT_REQUEST_BODY,
            response_body: DEFAULT_RESPONSE_BODY,
        }
    }
}

/// A limit outside what any app can ask for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {value}: {bound} is allowed")]
pub struct Violation {
    /// Which limit, by its key in the manifest's `[limits]`.
    pub key: &'static str,
    /// What was asked for, as people write it.
    pub value: String,
    /// The bound it breaks: `at most 4GiB`, `at least 1ms`.
    pub bound: String,
}

impl Limits {
    /// The most that any host grants.
    pub const MOST: Self = Self {
        memory: MAX_MEMORY,
        fuel: MAX_FUEL,
        timeout: MAX_TIMEOUT,
        concurrency: match NonZeroU32::new(MAX_CONCURRENCY) {
            Some(calls) => calls,
            None => NonZeroU32::MIN,
        },
        queue: MAX_QUEUE,
        request_body: MAX_BODY,
        response_body: MAX_BODY,
    };

    /// Every limit outside its bounds, in the order of the fields; none for limits that some host
    /// accepts.
    #[must_use]
    pub fn check(&self) -> Vec<Violation> {
        self.check_within(&Self::MOST)
    }

    /// The same for a host that grants no more than `most`.
    #[must_use]
    pub fn check_within(&self, most: &Self) -> Vec<Violation> {
        let timeout = Shown(self.timeout);
        let (shortest, longest) = (Shown(MIN_TIMEOUT), Shown(most.timeout));
        let none = Bytes::ZERO;
        [
            outside("memory", &self.memory, &MIN_MEMORY, &most.memory),
            outside("fuel", &self.fuel, &MIN_FUEL, &most.fuel),
            outside("timeout", &timeout, &shortest, &longest),
            outside("concurrency", &self.concurrency, &NonZeroU32::MIN, &most.concurrency),
            outside("queue", &self.queue, &0, &most.queue),
            outside("request_body", &self.request_body, &none, &most.request_body),
            outside("response_body", &self.response_body, &none, &most.response_body),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// These limits, cut down to no more than `most`.
    #[must_use]
    pub fn at_most(&self, most: &Self) -> Self {
        Self {
            memory: self.memory.min(most.memory),
            fuel: self.fuel.min(most.fuel),
            timeout: self.timeout.min(most.timeout),
            concurrency: self.concurrency.min(most.concurrency),
            queue: self.queue.min(most.queue),
            request_body: self.request_body.min(most.request_body),
            response_body: self.response_body.min(most.response_body),
        }
    }
}

fn outside<N: Ord + fmt::Display>(
    key: &'static str,
    value: &N,
    least: &N,
    most: &N,
) -> Option<Violation> {
    let bound = if value < least {
        format!("at least {least}")
    } else if value > most {
        format!("at most {most}")
    } else {
        return None;
    };
    Some(Violation { key, value: value.to_string(), bound })
}

/// A duration that shows itself the way the manifest writes it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Shown(Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_duration(self.0))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn the_defaults_are_within_bounds() {
        assert_eq!(Limits::default().check(), []);
    }

    #[test]
    fn all_violations_are_named_at_once() {
        let limits = Limits {
            memory: Bytes::mebi(8 << 10),
            fuel: Fuel::ZERO,
            timeout: Duration::from_secs(7200),
            concurrency: NonZeroU32::MAX,
            queue: u32::MAX,
            request_body: Bytes::ZERO,
            response_body: Bytes::new(u64::MAX),
        };
        let lines: Vec<_> = limits.check().iter().map(Violation::to_string).collect();
        expect![[r#"
            memory is 8GiB: at most 4GiB is allowed
            fuel is 0: at least 1k is allowed
            timeout is 2h: at most 1h is allowed
            concurrency is 4294967295: at most 10000 is allowed
            queue is 4294967295: at most 100000 is allowed
            response_body is 18446744073709551615B: at most 16GiB is allowed"#]]
        .assert_eq(&lines.join("\n"));
    }
}
