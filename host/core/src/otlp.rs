//! What of a host's calls is told to a collector, and when: which calls are kept, how they go in batches, what is
//! done about a collector that does not take one, how counters of many apps become few series, and which calls are
//! shown as examples.
//! Sends nothing and knows no protocol: whoever drives it does.

mod batches;
mod exemplars;
mod sampler;
mod series;
#[cfg(test)]
mod tests;

pub use self::batches::{
    BatchAnswer, BatchCounts, BatchNews, BatchRules, Batches, DropReason, RULES,
};
pub use self::exemplars::Exemplars;
pub use self::sampler::{SAMPLERS, SLOW, Sampler, TraceRatio, WrongSampler, is_slow};
pub use self::series::{CountingApp, Series, SeriesPoint};
