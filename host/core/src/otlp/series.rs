//! Counters of many apps as few series that only grow: each of the most used apps has its own, and all others
//! have one together. An app that comes to be among the most used begins its series then, at nothing; what it
//! counted before stays where it was told. So no call is told twice. Where there was room for all, one that comes
//! has counted nothing before, so its series has all of it.
//! Reads nothing: what all apps have counted is given.

use std::collections::BTreeMap;

/// The series of one host, of so many counters each.
#[derive(Clone, Debug)]
pub struct Series<K, const N: usize> {
    /// So many apps have their own.
    most: usize,
    own: BTreeMap<K, OwnSeries<N>>,
    /// What all apps had counted when they were read last.
    all_before: [u64; N],
    rest: [u64; N],
    /// When the host began to count.
    began_at: u64,
    /// When all were read last.
    noted_at: u64,
    /// Whether each app had its own then.
    had_all: bool,
}

#[derive(Clone, Debug)]
struct OwnSeries<const N: usize> {
    since: u64,
    /// What the app had counted when it was read last.
    before: [u64; N],
    told: [u64; N],
}

/// What one series says now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesPoint<'s, K, const N: usize> {
    /// The app; `None` for all that have none of their own.
    pub app: Option<&'s K>,
    /// Since when it counts.
    pub since: u64,
    /// What was counted since then.
    pub counts: &'s [u64; N],
}

/// An app that counts.
#[derive(Clone, Debug)]
pub struct CountingApp<K, C> {
    /// The app.
    pub app: K,
    /// How much it is used.
    pub weight: u64,
    /// Where its counters can be read, which takes more room than this.
    pub counters: C,
}

impl<K: Ord + Clone, const N: usize> Series<K, N> {
    /// None yet, of a host that counts since then.
    #[must_use]
    pub fn new(most: usize, began_at: u64) -> Self {
        let own = BTreeMap::new();
        let (all_before, rest) = ([0; N], [0; N]);
        Self { most, own, all_before, rest, began_at, noted_at: began_at, had_all: true }
    }

    /// These are all apps that have counted anything, whose counters `read` reads by now. `gone` is all that those
    /// had counted together that were there the last time and are not any more, another one of their name being
    /// another app: what they counted since belongs to no series of its own.
    pub fn note<C>(
        &mut self,
        now: u64,
        mut apps: Vec<CountingApp<K, C>>,
        gone: &[u64; N],
        read: impl Fn(&C) -> [u64; N],
    ) {
        // Of equals the first by name, so that a reading without a call changes nothing.
        apps.sort_by(|one, other| {
            other.weight.cmp(&one.weight).then_with(|| one.app.cmp(&other.app))
        });
        let (mut all, mut of_own, mut before) = ([0; N], [0; N], self.all_before);
        let mut own = BTreeMap::new();
        let has_all = apps.len() <= self.most;
        for (place, CountingApp { app, counters, .. }) in apps.into_iter().enumerate() {
            let counts = read(&counters);
            add(&mut all, &counts);
            // One that has counted less than before is another one of this name.
            let known = self.own.remove(&app);
            let is_same = known.as_ref().is_some_and(|known| has_grown(&known.before, &counts));
            let is_own = place < self.most;
            if !is_own {
                continue;
            }
            if let Some(known) = known.as_ref().filter(|_| is_same) {
                subtract(&mut before, &known.before);
            }
            let series = match known {
                Some(mut known) => {
                    let mut grown = counts;
                    if is_same {
                        subtract(&mut grown, &known.before);
                    }
                    add(&mut known.told, &grown);
                    add(&mut of_own, &counts);
                    OwnSeries { before: counts, ..known }
                }
                // It was not there then, or it would have had its own.
                None if self.had_all => {
                    add(&mut of_own, &counts);
                    OwnSeries { since: self.noted_at, before: counts, told: counts }
                }
                // What it counted until now is told by the series of before.
                None => OwnSeries { since: now, before: counts, told: [0; N] },
            };
            own.insert(app, series);
        }
        // What those have counted who had no series of their own until now, or have none from now on.
        let mut of_rest = all;
        add(&mut of_rest, gone);
        subtract(&mut of_rest, &of_own);
        subtract(&mut of_rest, &before);
        add(&mut self.rest, &of_rest);
        (self.own, self.all_before) = (own, all);
        (self.noted_at, self.had_all) = (now, has_all);
    }

    /// What each series says.
    pub fn each(&self) -> impl Iterator<Item = SeriesPoint<'_, K, N>> {
        let own = self.own.iter().map(|(app, series)| SeriesPoint {
            app: Some(app),
            since: series.since,
            counts: &series.told,
        });
        own.chain([SeriesPoint { app: None, since: self.began_at, counts: &self.rest }])
    }
}

fn add<const N: usize>(sums: &mut [u64; N], more: &[u64; N]) {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.saturating_add(*more));
}

fn subtract<const N: usize>(sums: &mut [u64; N], less: &[u64; N]) {
    sums.iter_mut().zip(less).for_each(|(sum, less)| *sum = sum.saturating_sub(*less));
}

fn has_grown<const N: usize>(before: &[u64; N], now: &[u64; N]) -> bool {
    before.iter().zip(now).all(|(before, now)| before <= now)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn note(series: &mut Series<u8, 2>, now: u64, counts: &[(u8, u64)]) {
        note_and_gone(series, now, counts, 0);
    }

    fn note_and_gone(series: &mut Series<u8, 2>, now: u64, counts: &[(u8, u64)], gone: u64) {
        let of = |(app, n): &(u8, u64)| CountingApp { app: *app, weight: *n, counters: *n };
        let counts = counts.iter().map(of).collect();
        series.note(now, counts, &[gone, 2 * gone], |n| [*n, 2 * n]);
    }

    fn told(series: &Series<u8, 2>) -> Vec<(Option<u8>, u64, u64)> {
        series.each().map(|point| (point.app.copied(), point.since, point.counts[0])).collect()
    }

    #[test]
    fn the_most_used_have_their_own_and_begin_at_nothing_when_they_come_later() {
        let mut series = Series::new(2, 5);
        note(&mut series, 10, &[(1, 50), (2, 60), (3, 40)]);
        assert_eq!(told(&series), [(Some(1), 5, 50), (Some(2), 5, 60), (None, 5, 40)]);
        // The third overtakes the first: what both counted until now is told by the series of before.
        note(&mut series, 20, &[(1, 51), (2, 65), (3, 70)]);
        assert_eq!(told(&series), [(Some(2), 5, 65), (Some(3), 20, 0), (None, 5, 71)]);
        note(&mut series, 30, &[(1, 53), (2, 65), (3, 77)]);
        assert_eq!(told(&series), [(Some(2), 5, 65), (Some(3), 20, 7), (None, 5, 73)]);
    }

    #[test]
    fn an_app_that_is_gone_takes_nothing_back_and_another_of_its_name_begins_anew() {
        let mut series = Series::new(1, 0);
        note(&mut series, 1, &[(1, 50), (2, 10)]);
        note_and_gone(&mut series, 2, &[(2, 15)], 50);
        assert_eq!(told(&series), [(Some(2), 2, 0), (None, 0, 15)]);
        note(&mut series, 3, &[(2, 16)]);
        note_and_gone(&mut series, 4, &[(2, 3)], 16);
        assert_eq!(told(&series), [(Some(2), 2, 4), (None, 0, 15)]);
        // It had counted two more before it went.
        note_and_gone(&mut series, 5, &[], 5);
        assert_eq!(told(&series), [(None, 0, 17)]);
    }

    #[test]
    fn where_all_have_their_own_one_that_comes_later_has_all_that_it_counts() {
        let mut series = Series::new(2, 5);
        note(&mut series, 10, &[]);
        note(&mut series, 20, &[(1, 3)]);
        note(&mut series, 30, &[(1, 4), (2, 7)]);
        assert_eq!(told(&series), [(Some(1), 10, 4), (Some(2), 20, 7), (None, 5, 0)]);
        // There is no room for the third, nor is it known of a fourth what was told of it before.
        note(&mut series, 40, &[(1, 4), (2, 7), (3, 2)]);
        note(&mut series, 50, &[(1, 4), (2, 7), (3, 2), (4, 9)]);
        assert_eq!(told(&series), [(Some(2), 20, 7), (Some(4), 50, 0), (None, 5, 11)]);
    }

    proptest! {
        #[test]
        fn all_that_is_counted_is_told_once_in_series_that_only_grow(
            most in 0_usize..4,
            steps in prop::collection::vec((prop::collection::vec(0_u64..3, 6), 0_usize..20), 1..20),
        ) {
            let mut series = Series::new(most, 0);
            let (mut counts, mut ended, mut of_gone) = ([0_u64; 6], 0, 0);
            let mut before: Vec<(Option<u8>, u64, u64)> = Vec::new();
            for (now, (step, going)) in (1..).zip(steps) {
                counts.iter_mut().zip(step).for_each(|(count, more)| *count += more);
                // One goes, and another of its name may have counted something at once.
                let mut gone = 0;
                if let Some(count) = counts.get_mut(going) {
                    gone = std::mem::replace(count, now % 3);
                    of_gone += gone;
                }
                // One that has counted nothing is not there.
                let apps: Vec<(u8, u64)> =
                    (0..).zip(counts).filter(|(_, count)| *count > 0).collect();
                note_and_gone(&mut series, now, &apps, gone);
                let told = told(&series);
                prop_assert!(told.len() <= most + 1);
                for (app, since, count) in &before {
                    match told.iter().find(|one| (one.0, one.1) == (*app, *since)) {
                        Some(one) => prop_assert!(one.2 >= *count),
                        None => ended += count,
                    }
                }
                let sum: u64 = told.iter().map(|one| one.2).sum();
                prop_assert_eq!(sum + ended, counts.iter().sum::<u64>() + of_gone);
                before = told;
            }
        }
    }
}
