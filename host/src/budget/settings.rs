//! How memory is bounded, and what is known of it.

use steerage_core::units::Bytes;

/// How memory is bounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemorySettings {
    /// What the process may use.
    pub budget: Bytes,
    /// How many times the budget instances may reserve together: guests reserve more than they
    /// touch.
    pub overcommit: f64,
}

/// One sample of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySample {
    /// What it uses; nothing where the system does not tell.
    pub used: Bytes,
    /// What of it is known to be no app's: what the pool keeps of instances that are gone, and what the
    /// host knows of its apps.
    pub kept: Bytes,
}

impl MemorySettings {
    /// What instances may reserve together, in bytes.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a factor chosen by hand needs no exact product, and the cast saturates"
    )]
    pub(super) fn most(&self) -> u64 {
        (self.budget.get() as f64 * self.overcommit.max(1.0)) as u64
    }
}
