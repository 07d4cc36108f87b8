//! How long is waited before something that failed is tried again.
//! Does not wait and knows no random numbers: both are the caller's.

/// The pause after so many failures one after the other: the first one is `first`, and each further failure
/// doubles it up to `longest`. It is between half of that and all of it, so that the pauses of many hosts
/// differ where their `random` does.
pub(crate) fn pause(first: u64, longest: u64, n_failed: u32, random: u64) -> u64 {
    let doublings = n_failed.saturating_sub(1).min(30);
    let whole = first.saturating_mul(1 << doublings).min(longest);
    whole / 2 + random % (whole / 2 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_the_longest_and_is_never_less_than_half() {
        for (n_failed, whole) in [(0, 10), (1, 10), (2, 20), (3, 40), (4, 45), (u32::MAX, 45)] {
            let pauses: Vec<u64> = (0..100).map(|random| pause(10, 45, n_failed, random)).collect();
            assert_eq!(pauses.iter().min(), Some(&(whole / 2)), "{n_failed}");
            assert_eq!(pauses.iter().max(), Some(&(whole / 2 + whole / 2)), "{n_failed}");
        }
        assert_eq!(pause(u64::MAX, u64::MAX, 9, 0), u64::MAX / 2);
    }
}
