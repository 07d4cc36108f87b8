//! The numbers of the plans that the store keeps: which the next one has, and which are forgotten with it.
//! The store has the last word: a number that somebody else has taken shows there, and then this has
//! to learn anew. Reads no store.

use std::collections::BTreeMap;

use super::records::Revision;

/// As many plans are kept.
pub const KEPT: usize = 50;
/// As many are forgotten with one that is written: more than one only after two planners have kept some.
const MOST_FORGOTTEN: usize = 5;

/// Nobody makes so many plans: numbers from here on are no plan's, and one of them must not be the last.
const TOO_LARGE: u32 = 1 << 31;

/// The numbers in use, as far as they are known.
#[derive(Clone, Debug, Default)]
pub struct PlanNumbers {
    known: Option<BTreeMap<u32, Revision>>,
}

impl PlanNumbers {
    /// Whether they are known: if not, they have to be learnt from the store.
    #[must_use]
    pub fn are_known(&self) -> bool {
        self.known.is_some()
    }

    /// Takes those that the store has, with when each was written.
    pub fn learn(&mut self, numbers: impl IntoIterator<Item = (u32, Revision)>) {
        let plausible = numbers.into_iter().filter(|(number, _)| *number < TOO_LARGE);
        self.known = Some(plausible.collect());
    }

    /// Forgets all: somebody else has written one, or it is not known whether the last was written.
    pub fn doubt(&mut self) {
        self.known = None;
    }

    /// The number of the next plan; `None` where none is known.
    #[must_use]
    pub fn next(&self) -> Option<u32> {
        let last = self.known.as_ref()?.keys().next_back();
        Some(last.map_or(1, |last| last.saturating_add(1)))
    }

    /// Those that go with the next one, the oldest first.
    #[must_use]
    pub fn forgotten(&self) -> Vec<(u32, Revision)> {
        let Some(known) = &self.known else { return Vec::new() };
        let n_over = (known.len() + 1).saturating_sub(KEPT).min(MOST_FORGOTTEN);
        known.iter().take(n_over).map(|(number, revision)| (*number, *revision)).collect()
    }

    /// Notes that the next one was written, and those that went with it.
    pub fn wrote(&mut self, number: u32, at: Revision, forgotten: &[(u32, Revision)]) {
        let Some(known) = &mut self.known else { return };
        for (gone, _) in forgotten {
            known.remove(gone);
        }
        known.insert(number, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_up_and_the_oldest_go_away() {
        let mut numbers = PlanNumbers::default();
        assert_eq!((numbers.are_known(), numbers.next()), (false, None));
        numbers.learn([]);
        for number in 1..=200 {
            assert_eq!(numbers.next(), Some(number));
            let forgotten = numbers.forgotten();
            numbers.wrote(number, Revision(number.into()), &forgotten);
        }
        let known = numbers.known.as_ref().unwrap();
        assert_eq!((known.len(), known.keys().next()), (KEPT, Some(&151)));
        numbers.doubt();
        assert_eq!((numbers.next(), numbers.forgotten()), (None, Vec::new()));
    }

    #[test]
    fn what_two_planners_have_kept_too_much_goes_with_time() {
        let mut numbers = PlanNumbers::default();
        numbers.learn((1..=60).map(|number| (number, Revision(7))));
        for number in 61..=64 {
            let forgotten = numbers.forgotten();
            assert!(forgotten.len() <= MOST_FORGOTTEN, "{forgotten:?}");
            numbers.wrote(number, Revision(8), &forgotten);
        }
        assert_eq!(numbers.known.as_ref().unwrap().len(), KEPT);
        // A key that somebody made up takes no number away.
        numbers.learn([(3, Revision(1)), (u32::MAX, Revision(1))]);
        assert_eq!(numbers.next(), Some(4));
    }
}
