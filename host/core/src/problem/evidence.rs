//! Which failures are pieces of evidence of their own. A client that tries again after a failure shows
//! nothing new: same client, path, cause and frame within a minute is one piece, unless that client was
//! answered well on that path meanwhile.
//! Keeps no names: who and where are numbers that stand for them.

use std::collections::VecDeque;

/// What failed within so many milliseconds in the same way is one piece.
const WITHIN: u64 = 60_000;
/// As many are told apart within that time; more are not needed to see that something is wrong.
const MOST: usize = 64;
/// Who failed so often more has not only tried again.
const TIMES: u32 = 5;

/// Who called and for what: the client and the path, as a number that stands for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asker(pub u64);

/// How it failed: the cause, the status and the frame, as a number that stands for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FailureWay(pub u64);

/// The failures of the last minute.
#[derive(Clone, Debug, Default)]
pub struct RecentFailures {
    pieces: VecDeque<Piece>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    asker: Asker,
    way: FailureWay,
    at: u64,
    /// The asker was answered well since.
    is_answered: bool,
    /// The last time that it failed again, and how often it did since it was answered.
    again: (u64, u32),
}

impl RecentFailures {
    /// Whether a failure at this time, in milliseconds since the epoch, is a piece of its own.
    pub fn is_distinct(&mut self, at: u64, asker: Asker, way: FailureWay) -> bool {
        self.forget(at);
        let known = self.pieces.iter_mut().find(|piece| (piece.asker, piece.way) == (asker, way));
        if let Some(known) = known {
            let is_distinct = std::mem::take(&mut known.is_answered);
            if is_distinct {
                (known.at, known.again) = (at, (at, 0));
            } else {
                known.again = (at, known.again.1 + 1);
            }
            return is_distinct;
        }
        if self.pieces.len() == MOST {
            // So many within a minute say enough.
            let Some(answered) = self.pieces.iter().position(|piece| piece.is_answered) else {
                return false;
            };
            self.pieces.remove(answered);
        }
        self.pieces.push_back(Piece { asker, way, at, is_answered: false, again: (at, 0) });
        true
    }

    /// Somebody was answered well.
    pub fn answered(&mut self, asker: Asker) {
        let of_asker = self.pieces.iter_mut().filter(|piece| piece.asker == asker);
        of_asker.for_each(|piece| piece.is_answered = true);
    }

    /// Whether somebody has failed several times within the last minute and was not answered since.
    pub fn goes_on(&mut self, now: u64) -> bool {
        self.forget(now);
        self.pieces.iter().any(|piece| !piece.is_answered && piece.again.1 >= TIMES)
    }

    /// Whether nothing failed within the last minute.
    pub fn is_empty(&mut self, now: u64) -> bool {
        self.forget(now);
        self.pieces.is_empty()
    }

    fn forget(&mut self, now: u64) {
        self.pieces.retain(|piece| piece.at.saturating_add(WITHIN) > now);
        if self.pieces.is_empty() {
            // Most apps fail seldom: nothing is kept until then.
            self.pieces = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Asker = Asker(1);
    const B: Asker = Asker(2);
    const WAY: FailureWay = FailureWay(1);

    #[test]
    fn who_tries_again_shows_nothing_new() {
        let mut recent = RecentFailures::default();
        assert!(recent.is_distinct(1000, A, WAY));
        assert!(!recent.is_distinct(1100, A, WAY));
        assert!(!recent.is_distinct(60_999, A, WAY));
        assert!(recent.is_distinct(61_000, A, WAY), "a minute after the first");
    }

    #[test]
    fn others_and_other_ways_are_pieces_of_their_own() {
        let mut recent = RecentFailures::default();
        assert!(recent.is_distinct(0, A, WAY));
        assert!(recent.is_distinct(0, B, WAY));
        assert!(recent.is_distinct(0, A, FailureWay(2)));
    }

    #[test]
    fn a_failure_after_a_good_answer_is_a_new_one() {
        let mut recent = RecentFailures::default();
        assert!(recent.is_distinct(0, A, WAY));
        recent.answered(B);
        assert!(!recent.is_distinct(1, A, WAY));
        recent.answered(A);
        assert!(recent.is_distinct(2, A, WAY));
        assert!(!recent.is_distinct(3, A, WAY));
    }

    #[test]
    fn no_more_than_a_bounded_number_is_kept() {
        let mut recent = RecentFailures::default();
        let n_distinct = (0..1000).filter(|n| recent.is_distinct(0, Asker(*n), WAY)).count();
        assert_eq!(n_distinct, MOST, "more say nothing new");
        assert_eq!(recent.pieces.len(), MOST);
        assert!(!recent.is_empty(WITHIN - 1));
        assert!(recent.is_empty(WITHIN));
    }
}
