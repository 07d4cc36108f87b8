//! What a host does, one thing after the other, before it takes anything from a store: whether that is
//! its fleet's was judged by `lineage`; what follows of that is here. Reads and writes no store.

use crate::lineage::{LineageDecision, Reason};

/// How often a store without a mark is given one, where others do the same.
const TRIES: usize = 5;

/// On the way to following a store.
#[derive(Debug, Default)]
pub struct Follower {
    n_tries: usize,
    /// Whether this host has given the store its mark and has apps to put into it.
    imports: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowStep {
    /// Give the store a mark where it has none, read it anew, and have it judged.
    WriteMark,
    /// See to it, if `raises`, that the store gives no number that this host knows; before it is kept
    /// that this host goes on, so that it is not forgotten. Then keep what is followed, take all that
    /// the store holds, and have it confirmed.
    Take {
        /// Whether numbers are raised.
        raises: bool,
        /// Whether the apps of this host are put into the store once it is followed.
        imports: bool,
    },
    /// Take nothing, serve what is known, and look again later.
    Refuse(Reason),
    /// Begin anew after a while: it is changed again and again.
    Again,
}

impl Follower {
    /// Takes what the store was judged to be by its mark, if it has one.
    pub fn judged(&mut self, decision: LineageDecision, has_mark: bool) -> FollowStep {
        self.n_tries += 1;
        match decision {
            LineageDecision::Refuse(reason) => FollowStep::Refuse(reason),
            _ if self.n_tries > TRIES => FollowStep::Again,
            LineageDecision::Import => {
                self.imports = true;
                FollowStep::WriteMark
            }
            LineageDecision::Found => {
                self.imports = false;
                FollowStep::WriteMark
            }
            decision @ (LineageDecision::Follow
            | LineageDecision::Resume
            | LineageDecision::Join) => {
                let raises = decision == LineageDecision::Resume;
                match has_mark {
                    true => FollowStep::Take { raises, imports: self.imports },
                    // What was joined has lost its mark again.
                    false => FollowStep::Again,
                }
            }
        }
    }

    /// Whether all that was read is of the store that was judged: it may have been changed for another
    /// meanwhile. `None` where it is; otherwise what to do instead.
    #[must_use]
    pub fn confirmed(decision: LineageDecision) -> Option<FollowStep> {
        match decision {
            LineageDecision::Follow => None,
            LineageDecision::Refuse(reason) => Some(FollowStep::Refuse(reason)),
            _ => Some(FollowStep::Again),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_founds_a_fleet_brings_its_apps_and_who_comes_second_does_not() {
        let mut first = Follower::default();
        assert_eq!(first.judged(LineageDecision::Import, false), FollowStep::WriteMark);
        let take = FollowStep::Take { raises: false, imports: true };
        assert_eq!(first.judged(LineageDecision::Join, true), take);
        let take = FollowStep::Take { raises: false, imports: false };
        assert_eq!(Follower::default().judged(LineageDecision::Join, true), take);
    }

    #[test]
    fn numbers_are_raised_where_an_operator_has_said_to_go_on() {
        let raises = FollowStep::Take { raises: true, imports: false };
        assert_eq!(Follower::default().judged(LineageDecision::Resume, true), raises);
    }

    #[test]
    fn a_store_that_is_changed_again_and_again_is_left_alone_for_a_while() {
        let mut follower = Follower::default();
        for _ in 0..TRIES {
            assert_eq!(follower.judged(LineageDecision::Found, false), FollowStep::WriteMark);
        }
        assert_eq!(follower.judged(LineageDecision::Found, false), FollowStep::Again);
        let refused = FollowStep::Refuse(Reason::NoFleet);
        assert_eq!(follower.judged(LineageDecision::Refuse(Reason::NoFleet), false), refused);
    }

    #[test]
    fn what_was_read_is_taken_only_if_it_is_of_the_store_that_was_judged() {
        assert_eq!(Follower::confirmed(LineageDecision::Follow), None);
        for other in [LineageDecision::Join, LineageDecision::Resume, LineageDecision::Found] {
            assert_eq!(Follower::confirmed(other), Some(FollowStep::Again));
        }
        let refused = Follower::confirmed(LineageDecision::Refuse(Reason::NoFleet));
        assert_eq!(refused, Some(FollowStep::Refuse(Reason::NoFleet)));
    }
}
