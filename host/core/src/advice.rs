//! What limits, replicas and resources an app should have, from what it needed so far: each with the present
//! value, the calls behind it, the risk and the reason. A limit is lowered only far above all that was ever
//! seen, never on little history, and never where calls have failed by it.
//! Asks nobody, knows no time, and changes nothing.

mod advised;
mod key;
mod margin;
mod needs;
mod reason;
#[cfg(test)]
mod tests;

pub use self::advised::{Advice, AdvisedApp, advise};
pub use self::key::AdviceKey;
pub use self::needs::{AppNeeds, DayNeeds, day_of};
pub use self::reason::AdviceReason;
