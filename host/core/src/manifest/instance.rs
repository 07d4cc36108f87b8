//! How an app's instances live: how many calls one serves, and how a fresh one comes about.
//! Makes none.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use crate::quote::Quoted;
use crate::units::Bytes;

/// How an app's instances live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The most calls that one instance serves, one after the other; 1 gives every call a fresh
    /// instance, so that no call ever sees what another one left behind.
    pub reuse: NonZeroU32,
    /// How an instance comes to be fresh, where each call has one of its own.
    pub fresh: Fresh,
    /// The longest that one instance serves calls, whatever their number.
    pub max_age: Duration,
    /// How much more memory than after it was made an instance may have and still serve another
    /// call: memories never shrink, so one large call would be paid for by all that follow.
    pub max_growth: Bytes,
}

/// How an instance comes to be fresh. To a guest both are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fresh {
    /// One that has served a call is put back to what it was before, where it can be; otherwise a new
    /// one is made.
    #[default]
    Restored,
    /// A new one is made for each call.
    New,
}

/// A word that says neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no way to have a fresh instance: expected \"restored\" or \"new\"", Quoted(.0))]
pub struct BadFresh(String);

impl FromStr for Fresh {
    type Err = BadFresh;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "restored" => Ok(Self::Restored),
            "new" => Ok(Self::New),
            _ => Err(BadFresh(text.to_owned())),
        }
    }
}

/// How worn an instance is that has served a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReuseStats {
    /// Calls it has served.
    pub calls: u32,
    /// How long ago it was made.
    pub age: Duration,
    /// By how much its memory has grown since.
    pub growth: Bytes,
}

impl Instance {
    /// Whether instances are put back after each call, where they can be.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.reuse == NonZeroU32::MIN && self.fresh == Fresh::Restored
    }

    /// Whether an instance that is so worn may serve another call.
    #[must_use]
    pub fn keeps(&self, stats: &ReuseStats) -> bool {
        stats.calls < self.reuse.get()
            && stats.age < self.max_age
            && stats.growth <= self.max_growth
    }
}

impl Default for Instance {
    fn default() -> Self {
        Self {
            reuse: NonZeroU32::MIN,
            fresh: Fresh::default(),
            max_age: Duration::from_secs(300),
            max_growth: Bytes::mebi(16),
        }
    }
}
