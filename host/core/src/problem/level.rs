//! Something of which a host has only so much: told when it is nearly used up for a minute, and before that
//! when it grows so steadily that it will be soon.
//! Measures nothing itself.

use std::collections::VecDeque;
use std::time::Duration;

use super::course::ProblemTurn;

/// It must be so for so many milliseconds, and be well for as many.
const FOR: u64 = 60_000;
/// Readings from which the growth is seen, at least and at most one in so many milliseconds.
const EACH: u64 = 60_000;
/// And one in this part of the time within which it is told: who looks a day ahead has to have seen hours.
const PART_OF_HORIZON: u32 = 72;
const LEAST: usize = 20;
const MOST: usize = 30;
/// What is used to less than this part is not told of, however fast it grows.
const LOW: f64 = 0.7;
/// Below this part of what opens it, it is well again.
const WELL: f64 = 0.95;
/// Growth counts where so many parts of the pairs of readings show some: what goes up and down does not.
const STEADY: f64 = 0.8;

/// Watches one thing of which there is only so much.
#[derive(Clone, Debug)]
pub struct LevelWatch {
    /// From which part of all on it is nearly used up.
    nearly: f64,
    /// It is told when it will be used up within this time.
    horizon: Duration,
    /// A reading each minute: when, and the part of all that was used.
    readings: VecDeque<(u64, f64)>,
    last: (u64, u64),
    bad_since: Option<u64>,
    well_since: Option<u64>,
    open: Option<OpenLevel>,
}

/// That it is nearly used up. Times are milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenLevel {
    /// Since when.
    pub since: u64,
    /// When it was found.
    pub opened_at: u64,
    /// The last time that it was so.
    pub last_at: u64,
    /// What is used, and what there is.
    pub used: (u64, u64),
    /// When all of it will be used at this pace, where it grows.
    pub left: Option<Duration>,
}

impl LevelWatch {
    /// Nothing is known yet. It is told from a part of all on, or when it will be used up within a time.
    #[must_use]
    pub fn new(nearly: f64, horizon: Duration) -> Self {
        Self {
            nearly,
            horizon,
            readings: VecDeque::new(),
            last: (0, 0),
            bad_since: None,
            well_since: None,
            open: None,
        }
    }

    /// So much is used of so much, at a time in milliseconds since the epoch. Where there is no bound it is
    /// 0, and nothing is told.
    pub fn note(&mut self, now: u64, used: u64, most: u64) -> Option<ProblemTurn> {
        self.last = (used, most);
        let each = self.horizon / PART_OF_HORIZON;
        let each = u64::try_from(each.as_millis()).unwrap_or(u64::MAX).max(EACH);
        let part = if most == 0 { 0.0 } else { used as f64 / most as f64 };
        if self.readings.back().is_none_or(|(at, _)| at.saturating_add(each) <= now) {
            if self.readings.len() == MOST {
                self.readings.pop_front();
            }
            self.readings.push_back((now, part));
        }
        let left = self.left(part);
        let is_soon = part >= LOW && left.is_some_and(|left| left <= self.horizon);
        if part >= self.nearly || is_soon {
            self.well_since = None;
            let bad_since = *self.bad_since.get_or_insert(now);
            if let Some(open) = &mut self.open {
                (open.last_at, open.used, open.left) = (now, (used, most), left);
                return None;
            }
            if bad_since.saturating_add(FOR) > now {
                return None;
            }
            self.open = Some(OpenLevel {
                since: bad_since,
                opened_at: now,
                last_at: now,
                used: (used, most),
                left,
            });
            return Some(ProblemTurn::Opened);
        }
        self.bad_since = None;
        let open = self.open.as_mut()?;
        open.used = (used, most);
        if part >= self.nearly * WELL {
            self.well_since = None;
            return None;
        }
        if self.well_since.get_or_insert(now).saturating_add(FOR) > now {
            return None;
        }
        self.open = None;
        Some(ProblemTurn::Closed)
    }

    /// The problem, while it is open.
    #[must_use]
    pub fn open(&self) -> Option<&OpenLevel> {
        self.open.as_ref()
    }

    /// When all will be used, by the median of the slopes between readings (Theil and Sen), which single
    /// readings cannot bend.
    fn left(&self, part: f64) -> Option<Duration> {
        if self.readings.len() < LEAST {
            return None;
        }
        let pairs = self.readings.iter().enumerate().flat_map(|(place, (at, used))| {
            let later = self.readings.iter().skip(place + 1);
            later.map(move |(later, more)| (more - used) / later.saturating_sub(*at).max(1) as f64)
        });
        let mut slopes: Vec<f64> = pairs.collect();
        let n_growing = slopes.iter().filter(|slope| **slope > 0.0).count();
        if (n_growing as f64) < slopes.len() as f64 * STEADY {
            return None;
        }
        slopes.sort_by(f64::total_cmp);
        let slope = *slopes.get(slopes.len() / 2)?;
        Duration::try_from_secs_f64((1.0 - part).max(0.0) / slope / 1000.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// What is told of a level every ten seconds.
    fn turns(
        level: &mut LevelWatch,
        seconds: u64,
        used: impl Fn(u64) -> u64,
    ) -> Vec<(u64, ProblemTurn)> {
        let looks = (0..seconds).step_by(10);
        let turns = looks.filter_map(|at| Some((at, level.note(at * 1000, used(at), 1000)?)));
        turns.collect()
    }

    #[test]
    fn what_is_nearly_used_up_for_a_minute_is_told_once_and_when_it_is_well_again() {
        let mut level = LevelWatch::new(0.9, HOUR);
        let used = |at| if (100..400).contains(&at) { 930 } else { 300 };
        let turns = turns(&mut level, 1000, used);
        assert_eq!(turns, [(160, ProblemTurn::Opened), (460, ProblemTurn::Closed)]);
    }

    #[test]
    fn a_moment_is_none() {
        let mut level = LevelWatch::new(0.9, HOUR);
        assert_eq!(turns(&mut level, 3000, |at| if at % 60 < 40 { 990 } else { 500 }), []);
    }

    #[test]
    fn what_grows_steadily_is_told_before_it_is_full() {
        let mut level = LevelWatch::new(0.9, HOUR);
        // A thousandth in ten seconds: from 600 to 900 in 50 minutes.
        let turns = turns(&mut level, 3000, |at| 600 + at / 10);
        assert!(matches!(turns[..], [(at, ProblemTurn::Opened)] if at <= 1400), "{turns:?}");
        let left = level.open().unwrap().left.unwrap().as_secs();
        assert!((900..1200).contains(&left), "{left} s");
    }

    #[test]
    fn what_goes_up_and_down_is_not_growing() {
        let mut level = LevelWatch::new(0.9, HOUR);
        let saw = |at: u64| 700 + at % 600 / 4;
        assert_eq!(turns(&mut level, 20_000, saw), []);
    }

    #[test]
    fn what_has_no_bound_is_never_used_up() {
        let mut level = LevelWatch::new(0.9, HOUR);
        for at in 0..1000 {
            assert_eq!(level.note(at * 10_000, u64::MAX, 0), None);
        }
    }
}
