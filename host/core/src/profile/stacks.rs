//! Stacks of functions of one deployment, and how often each was found.
//! Shows nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Stacks that are told apart. Those that are found after so many are, are counted and not kept.
const MOST_STACKS: usize = 500;
/// Functions that are told apart. A stack that has more is left out as well.
const MOST_FUNCTIONS: usize = 1000;
/// Bytes of a function's name that are kept.
const LONGEST_NAME: usize = 200;

/// What stands for the host's own work for a guest, such as a request of its that is sent.
pub const HOST_FRAME: &str = "[host]";
/// What stands for the frames further out than are looked at.
pub const CUT_FRAME: &str = "[further out]";
/// What stands for all stacks that are not kept.
pub const OTHER_FRAME: &str = "[other stacks]";

/// Stacks of functions of one deployment. Times are milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    functions: Vec<Arc<str>>,
    numbers: BTreeMap<Arc<str>, u32>,
    /// The functions by their numbers, the outermost first, and how often.
    stacks: BTreeMap<Vec<u32>, u64>,
    /// How often a stack was found that is not kept.
    n_left_out: u64,
    /// When the first and the last one were found.
    found: Option<(u64, u64)>,
}

impl Profile {
    /// A stack was found so often, the outermost function first.
    pub fn note<'f>(&mut self, now: u64, stack: impl Iterator<Item = &'f str>, number: u64) {
        self.note_time((now, now));
        // Names go only in with a stack that is kept, so that their number is bounded too.
        let names: Vec<&str> = stack.map(short).collect();
        let known: Option<Vec<u32>> =
            names.iter().map(|name| self.numbers.get(*name).copied()).collect();
        if let Some(count) = known.as_ref().and_then(|stack| self.stacks.get_mut(stack)) {
            *count = count.saturating_add(number);
            return;
        }
        let n_new = names.iter().filter(|name| !self.numbers.contains_key(**name)).count();
        if self.stacks.len() >= MOST_STACKS || self.functions.len() + n_new > MOST_FUNCTIONS {
            self.n_left_out = self.n_left_out.saturating_add(number);
            return;
        }
        let stack = names.into_iter().map(|name| self.number(name)).collect();
        self.stacks.insert(stack, number);
    }

    /// Adds what was found elsewhere.
    pub fn add(&mut self, other: &Self) {
        let Some((first, last)) = other.found else { return };
        for (stack, number) in other.stacks() {
            self.note(last, stack.into_iter(), number);
        }
        self.note_time((first, last));
        self.n_left_out = self.n_left_out.saturating_add(other.n_left_out);
    }

    /// That it took so long until the last one was found, and how many were not kept.
    pub fn note_told(&mut self, found: (u64, u64), n_left_out: u64) {
        self.note_time(found);
        self.n_left_out = self.n_left_out.saturating_add(n_left_out);
    }

    /// The stacks, the outermost function first, and how often each was found.
    pub fn stacks(&self) -> impl Iterator<Item = (Vec<&str>, u64)> {
        self.stacks.iter().map(|(stack, number)| {
            let names = stack.iter().map(|function| self.name(*function));
            (names.collect(), *number)
        })
    }

    /// The same, and last what stands for those that are not kept.
    pub fn whole(&self) -> impl Iterator<Item = (Vec<&str>, u64)> {
        let left_out = (self.n_left_out > 0).then(|| (vec![OTHER_FRAME], self.n_left_out));
        self.stacks().chain(left_out)
    }

    /// How many samples there were.
    #[must_use]
    pub fn n_samples(&self) -> u64 {
        self.stacks.values().fold(self.n_left_out, |sum, number| sum.saturating_add(*number))
    }

    /// How many samples had a stack that is not kept.
    #[must_use]
    pub fn n_left_out(&self) -> u64 {
        self.n_left_out
    }

    /// When the first and the last sample were found.
    #[must_use]
    pub fn found(&self) -> Option<(u64, u64)> {
        self.found
    }

    fn note_time(&mut self, (first, last): (u64, u64)) {
        let (known_first, known_last) = self.found.unwrap_or((first, last));
        self.found = Some((known_first.min(first), known_last.max(last)));
    }

    fn name(&self, function: u32) -> &str {
        usize::try_from(function)
            .ok()
            .and_then(|place| self.functions.get(place))
            .map_or("", |name| name)
    }

    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.functions.len()).unwrap_or(u32::MAX);
        let name: Arc<str> = name.into();
        self.functions.push(name.clone());
        self.numbers.insert(name, number);
        number
    }
}

/// As much of a name as is kept.
fn short(name: &str) -> &str {
    name.get(..name.floor_char_boundary(LONGEST_NAME)).unwrap_or(name)
}

/// For tests: a profile of these stacks, each later than the one before.
#[cfg(test)]
pub(super) fn of(stacks: &[(&str, u64)]) -> Profile {
    let mut profile = Profile::default();
    for (at, (stack, number)) in (100..).zip(stacks) {
        profile.note(at, stack.split(';'), *number);
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_counted_and_those_of_two_hosts_add_up() {
        let mut both = of(&[("main;sort", 2), ("main;sort", 1), ("main", 4)]);
        both.add(&of(&[("main;hash", 5), ("main", 1)]));
        let stacks: Vec<_> = both.stacks().map(|(stack, n)| (stack.join(";"), n)).collect();
        let expected = [("main", 5), ("main;sort", 3), ("main;hash", 5)];
        assert_eq!(stacks, expected.map(|(stack, n)| (stack.to_owned(), n)));
        assert_eq!((both.n_samples(), both.found()), (13, Some((100, 102))));
    }

    #[test]
    fn however_many_stacks_there_are_so_many_are_kept_and_none_is_forgotten() {
        let mut profile = Profile::default();
        for n in 0..3 * MOST_STACKS {
            let name = format!("{n}{}", "x".repeat(3 * LONGEST_NAME));
            profile.note(1, ["main", &name].into_iter(), 2);
        }
        assert_eq!(profile.stacks().count(), MOST_STACKS);
        assert_eq!(profile.functions.len(), MOST_STACKS + 1, "no name without a stack");
        assert!(profile.functions.iter().all(|name| name.len() <= LONGEST_NAME));
        assert_eq!(profile.n_samples(), 6 * MOST_STACKS as u64);
        assert_eq!(profile.n_left_out(), 4 * MOST_STACKS as u64);
        assert_eq!(profile.whole().map(|(_, number)| number).sum::<u64>(), profile.n_samples());
        let mut deep = Profile::default();
        let names: Vec<String> = (0..1020).map(|n| n.to_string()).collect();
        for names in names.chunks(60) {
            deep.note(1, names.iter().map(String::as_str), 1);
        }
        assert_eq!((deep.functions.len(), deep.n_left_out()), (960, 1));
    }
}
