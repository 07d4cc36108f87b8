//! What of a host's calls is told to a collector of traces, and when: which calls are kept, how they go in
//! batches, and what is done about a collector that does not take one.
//! Sends nothing and knows no protocol: whoever drives it does.

mod batches;
mod sampler;
#[cfg(test)]
mod tests;

pub use self::batches::{
    BatchAnswer, BatchCounts, BatchNews, BatchRules, Batches, DropReason, RULES,
};
pub use self::sampler::{SAMPLERS, SLOW, Sampler, TraceRatio, WrongSampler, is_slow};
