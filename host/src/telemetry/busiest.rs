//! Which apps used most of the cores lately: a few of them, every few seconds. It is what a call that waited for
//! a core waited for.
//! Does not count CPU time itself, and does not say that anything is wrong.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use steerage_core::id::AppName;

/// As many looks are kept: with one each ten seconds, ten minutes.
const LOOKS: usize = 60;
/// Apps that are kept of a look. An app that asks who else had the cores may be one of them itself.
const KEPT: usize = 2;
/// Who used less than this part of the cores is not kept: percent.
const LEAST: u32 = 10;

/// What an app used of the cores that run guests, in percent, for the seconds until a moment in milliseconds
/// since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusyApp {
    /// The end of those seconds.
    pub at: u64,
    /// The app.
    pub app: AppName,
    /// Its part.
    pub percent: u32,
}

/// The last looks.
#[derive(Debug, Default)]
pub struct Busiest {
    looks: Mutex<Looks>,
}

#[derive(Debug, Default)]
struct Looks {
    /// When the last one was; nothing before the first.
    looked_at: Option<Instant>,
    kept: VecDeque<Vec<BusyApp>>,
}

impl Busiest {
    /// Looks at what apps used since the last look, on so many threads. The first look tells nothing, since
    /// nobody knows since when they used that.
    pub fn look<'a>(
        &self,
        (now, at): (Instant, u64),
        n_threads: usize,
        used: impl Iterator<Item = (&'a AppName, Duration)>,
    ) {
        // Each is asked, or the next look would count what this one left out.
        let mut used: Vec<_> = used.filter(|(_, used)| !used.is_zero()).collect();
        used.sort_by_key(|(_, used)| std::cmp::Reverse(*used));
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = looks.looked_at.replace(now) else { return };
        let whole = now.duration_since(before).as_nanos() * n_threads as u128;
        let kept = used.into_iter().take(KEPT).map(|(app, used)| {
            let percent = u32::try_from(used.as_nanos() * 100 / whole.max(1)).unwrap_or(100);
            BusyApp { at, app: app.clone(), percent: percent.min(100) }
        });
        let kept: Vec<_> = kept.filter(|app| app.percent >= LEAST).collect();
        if looks.kept.len() == LOOKS {
            looks.kept.pop_front();
        }
        looks.kept.push_back(kept);
    }

    /// What is kept, the oldest first.
    #[must_use]
    pub fn recent(&self) -> Vec<BusyApp> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.kept.iter().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_that_used_most_are_kept_with_their_part_of_the_cores() {
        let busiest = Busiest::default();
        let apps: Vec<AppName> = ["hog", "web", "small"].map(|name| name.parse().unwrap()).into();
        let begun = Instant::now();
        let look = |n: u64, ms: [u64; 3]| {
            let used = apps.iter().zip(ms.map(Duration::from_millis));
            busiest.look((begun + Duration::from_secs(10 * n), n), 2, used);
        };
        look(0, [900_000, 0, 0]);
        assert_eq!(busiest.recent(), [], "nobody knows since when");
        look(1, [15_000, 4_000, 3_000]);
        look(2, [0, 1_900, 3_000]);
        let told: Vec<_> = busiest
            .recent()
            .into_iter()
            .map(|busy| (busy.at, busy.app.to_string(), busy.percent))
            .collect();
        let expected = [(1, "hog", 75), (1, "web", 20), (2, "small", 15)];
        assert_eq!(told, expected.map(|(at, app, percent)| (at, app.to_owned(), percent)));
        for n in 3..1000 {
            look(n, [20_000, 20_000, 20_000]);
        }
        assert_eq!(busiest.recent().len(), LOOKS * KEPT);
    }
}
