//! Who is signed in on the page: sessions by a digest, each with an end, and a bound on all together.
//! Makes no secret and reads no clock: whoever asks brings the digest and the time.

use std::collections::BTreeMap;
use std::time::Duration;

/// How long a session lasts: a working day, so that a browser that is left open does not stay signed in.
pub const LASTS: Duration = Duration::from_secs(12 * 3600);
/// How many there may be at once. Only who knows the token opens one, so this bounds mistakes: a script
/// that signs in again and again.
pub const MOST: usize = 100;

/// The digest of what a client shows for its session.
pub type SessionDigest = [u8; 32];

/// The sessions that are open, each with when it ends.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    ends: BTreeMap<SessionDigest, Duration>,
}

impl Sessions {
    /// Opens one. Where there are as many as there may be, the one that ends first makes room.
    pub fn open(&mut self, digest: SessionDigest, now: Duration) {
        self.ends.retain(|_, end| *end > now);
        while self.ends.len() >= MOST {
            let Some(first) = self.ends.iter().min_by_key(|(_, end)| **end) else { break };
            let first = *first.0;
            self.ends.remove(&first);
        }
        self.ends.insert(digest, now.saturating_add(LASTS));
    }

    /// Whether this one is open.
    #[must_use]
    pub fn is_open(&self, digest: &SessionDigest, now: Duration) -> bool {
        self.ends.get(digest).is_some_and(|end| *end > now)
    }

    /// Closes it, if it is open.
    pub fn close(&mut self, digest: &SessionDigest) {
        self.ends.remove(digest);
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_session_ends_with_its_time_or_when_it_is_closed() {
        let (mut sessions, start) = (Sessions::default(), Duration::from_secs(5));
        sessions.open([1; 32], start);
        sessions.open([2; 32], start);
        assert!(sessions.is_open(&[1; 32], start) && !sessions.is_open(&[3; 32], start));
        sessions.close(&[1; 32]);
        assert!(!sessions.is_open(&[1; 32], start) && sessions.is_open(&[2; 32], start));
        let just_before = start + LASTS - Duration::from_millis(1);
        assert!(sessions.is_open(&[2; 32], just_before));
        assert!(!sessions.is_open(&[2; 32], start + LASTS));
        // What is over takes no room.
        sessions.open([4; 32], start + LASTS);
        assert_eq!(sessions.len(), 1);
    }

    proptest! {
        #[test]
        fn there_are_never_more_than_the_most_and_the_latest_are_open(n in 1_usize..250) {
            let mut sessions = Sessions::default();
            let at = |number: usize| Duration::from_secs(number as u64);
            let digest = |number: usize| {
                let mut digest = [0; 32];
                digest[..8].copy_from_slice(&(number as u64).to_be_bytes());
                digest
            };
            for number in 0..n {
                sessions.open(digest(number), at(number));
            }
            prop_assert!(!sessions.is_empty() && sessions.len() <= MOST);
            for number in 0..n {
                let is_late = number + MOST >= n;
                prop_assert_eq!(sessions.is_open(&digest(number), at(n)), is_late);
            }
        }
    }
}
