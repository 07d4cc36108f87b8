//! How far above all that was seen a limit has to be, and how much must have been seen for any.
//!
//! Between weeks the most that a call needs differs by more than any fixed margin: where needs have a heavy
//! tail, or grow, or come in bursts, the days of one week differ as well. So the margin grows with how far the
//! worst day is from an ordinary one. The numbers were raised until, in `tests::held_out`, a week that the
//! rule had not seen failed no call of 99 % of apps.
//! Does not know what is limited.

/// Fewer calls tell nothing of the rare ones.
pub(super) const MIN_CALLS: u64 = 1_000;
/// From the first day to the last, both included: a week has days on which other things happen.
pub(super) const MIN_DAYS: u32 = 7;
/// An app that is called on fewer days shows too little of how days differ.
pub(super) const MIN_DAYS_WITH_CALLS: u64 = 5;

/// The margin in percent of the most that was seen: 100 would be none.
///
/// `days` is the most of each day on which there were calls, in any order. With each day that is known, the
/// part that stands for unknown days becomes smaller.
pub(super) fn margin_percent(days: &mut [u64]) -> u64 {
    days.sort_unstable();
    let (Some(most), Some(middle)) = (days.last(), days.get(days.len() / 2)) else { return 100 };
    let spread = u128::from(*most) * 100 / u128::from((*middle).max(1));
    let spread = spread.min(100_000);
    // Twice the third power of how far the worst day is from the middle one.
    let by_spread = u64::try_from(spread.pow(3) / 10_000).unwrap_or(u64::MAX);
    let base = 300 + 700 / (days.len() as u64);
    base.max(by_spread.saturating_mul(2))
}

/// So many calls of a million fail at most, with 95 % certainty, where none of these did: the rule of three.
pub(super) fn risk_per_million(calls: u64) -> u64 {
    3_000_000_u64.div_ceil(calls.max(1)).min(1_000_000)
}
