//! Which calls are kept as spans. A host knows how a call ended before it keeps anything of it, so those that
//! failed and those that were slow are kept whatever a ratio says; the ratio decides about all others.
//! Does not know how a call ended: that is said.

use std::time::Duration;

/// Where an app declares no latency, a call that took longer than this without its client's part is slow.
pub const SLOW: Duration = Duration::from_secs(1);

/// All names of samplers that are understood.
pub const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// Which calls are kept that neither failed nor were slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Traces are kept whose lower half is below this, of 2^64.
    bound: u128,
    /// Where the call has a parent, what that one says goes before the ratio.
    follows_parent: bool,
    is_off: bool,
}

/// What is no sampler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongSampler {
    /// No sampler has this name.
    #[error("{0:?} is no sampler: expected one of {names}", names = SAMPLERS.join(", "))]
    Name(String),
    /// The ratio is none.
    #[error("{0:?} is no ratio: expected a number from 0 to 1, such as 0.1")]
    Ratio(String),
}

impl Default for Sampler {
    /// What the OpenTelemetry specification has as default: what a parent says, and all where there is none.
    fn default() -> Self {
        Self { bound: 1 << 64, follows_parent: true, is_off: false }
    }
}

impl Sampler {
    /// Reads one by the name that `OTEL_TRACES_SAMPLER` has for it. The ratio matters to those only whose
    /// name has one.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn parse(name: &str, ratio: TraceRatio) -> Result<Self, WrongSampler> {
        let (follows_parent, roots) = match name.strip_prefix("parentbased_") {
            Some(roots) => (true, roots),
            None => (false, name),
        };
        let bound = match roots {
            "always_on" => 1 << 64,
            "always_off" => 0,
            "traceidratio" => ratio.0,
            _ => return Err(WrongSampler::Name(name.to_owned())),
        };
        Ok(Self { bound, follows_parent, is_off: name == "always_off" })
    }

    /// Whether nothing is kept, failed and slow calls neither.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.is_off
    }

    /// Whether a call of this trace is kept however it ends, where its parent says this.
    #[must_use]
    pub fn samples(&self, trace: u128, parent: Option<bool>) -> bool {
        match parent {
            Some(is_sampled) if self.follows_parent => is_sampled,
            // As the SDKs of several languages compare it, so that hosts and apps keep the same traces.
            _ => trace & u128::from(u64::MAX) < self.bound,
        }
    }
}

/// A part of all traces, from none to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRatio(u128);

impl TraceRatio {
    /// All of them.
    pub const ALL: Self = Self(1 << 64);

    /// Reads a number from 0 to 1.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, WrongSampler> {
        let ratio = text.trim().parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        let ratio = ratio.ok_or_else(|| WrongSampler::Ratio(text.to_owned()))?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is from 0 to 2^64"
        )]
        Ok(Self((ratio * 2_f64.powi(64)) as u128))
    }
}

/// Whether a call is slow that took this long, of which so much was its client's, where the app declares
/// this latency or none.
#[must_use]
pub fn is_slow(took: Duration, of_client: Duration, declared: Option<Duration>) -> bool {
    took.saturating_sub(of_client) > declared.unwrap_or(SLOW)
}
