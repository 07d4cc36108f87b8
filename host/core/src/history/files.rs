//! Which file a slot is written to, and which files go: when they are too old, and when there is too much.
//! Minutes lie in files of an hour, hours in files of a day, and a file that is long is followed by another,
//! so what goes, goes in small parts. Does not touch files.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::grain::Grain;

/// How a file's name ends.
const ENDING: &str = ".hist";
/// A file that has so many bytes is followed by another, or a sixteenth of the bound where that is less.
const LONG: u64 = 16 << 20;
const PART: u64 = 16;
/// In seconds.
const DAY: u64 = 24 * 3600;

/// One file: all of its slots are of one hour, or of one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HistoryFile {
    /// How long its slots are.
    pub grain: Grain,
    /// The first slot that may be in it.
    pub first: u32,
}

/// A file's name is not that of a file of history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no file of history")]
pub struct NoHistoryFile(String);

impl HistoryFile {
    /// The slots that may be in it.
    #[must_use]
    pub fn slots(self) -> Range<u32> {
        let span = self.span();
        self.first..(self.first / span).saturating_add(1).saturating_mul(span)
    }

    /// The file for a slot, where the last one of its kind has so many bytes, and all may have `bound`.
    #[must_use]
    pub fn of(grain: Grain, slot: u32, last: Option<(Self, u64)>, bound: u64) -> Self {
        match last {
            Some((file, n_bytes))
                if file.grain == grain
                    && file.slots().contains(&slot)
                    && (n_bytes < LONG.min(bound / PART) || slot == file.first) =>
            {
                file
            }
            _ => Self { grain, first: slot },
        }
    }

    /// How many slots one has at most: as many minutes as an hour has, as many hours as a day has.
    fn span(self) -> u32 {
        match self.grain {
            Grain::Minute => 60,
            Grain::Hour => 24,
        }
    }
}

impl fmt::Display for HistoryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grain = match self.grain {
            Grain::Minute => "minutes",
            Grain::Hour => "hours",
        };
        write!(f, "{grain}-{}{ENDING}", self.first)
    }
}

impl FromStr for HistoryFile {
    type Err = NoHistoryFile;

    fn from_str(name: &str) -> Result<Self, NoHistoryFile> {
        let read = || {
            let (grain, first) = name.strip_suffix(ENDING)?.split_once('-')?;
            let grain = match grain {
                "minutes" => Grain::Minute,
                "hours" => Grain::Hour,
                _ => return None,
            };
            Some(Self { grain, first: first.parse().ok()? })
        };
        // Only as it is written: `+7` is a number, too.
        let file = read().filter(|file: &Self| file.to_string() == name);
        file.ok_or_else(|| NoHistoryFile(name.to_owned()))
    }
}

/// Which of the files go, so that `more` bytes can be written at a time, which is in seconds since the epoch:
/// those whose slots are kept no longer; the oldest hours, where these have more than half of the bound; and
/// then the oldest minutes, until all is within it. Where that cannot be, no minutes go for nothing: only what
/// goes without a `more`, and what is left is still too much.
#[must_use]
pub fn gone(files: &[(HistoryFile, u64)], now: u64, more: u64, bound: u64) -> Vec<HistoryFile> {
    let now = aged_at(files, now);
    let gone = gone_for(files, now, more, bound);
    let left = files.iter().filter(|(file, _)| !gone.contains(file));
    let left: u64 = left.map(|(_, n_bytes)| n_bytes).sum();
    if left.saturating_add(more) > bound { gone_for(files, now, 0, bound) } else { gone }
}

/// By which time files are aged. After a leap of more than a day the clock is not believed until it has been
/// written by it for a day: that of a machine may be wrong when it boots, and all would be gone.
fn aged_at(files: &[(HistoryFile, u64)], now: u64) -> u64 {
    let begins = files.iter().map(|(file, _)| file.grain.begin_of(file.first));
    let mut begins: Vec<u64> = begins.filter(|begin| *begin <= now).collect();
    begins.sort_unstable();
    let mut since = now;
    for begin in begins.into_iter().rev() {
        if now - since >= DAY {
            break;
        }
        if since - begin > DAY {
            return begin;
        }
        since = begin;
    }
    now
}

fn gone_for(files: &[(HistoryFile, u64)], now: u64, more: u64, bound: u64) -> Vec<HistoryFile> {
    let is_old = |file: HistoryFile| {
        file.slots().end <= file.grain.slot_of(now).saturating_sub(file.grain.kept())
    };
    let (old, mut left): (Vec<_>, Vec<_>) = files.iter().partition(|(file, _)| is_old(*file));
    let mut gone: Vec<HistoryFile> = old.into_iter().map(|(file, _)| file).collect();
    // The oldest last.
    left.sort_by_key(|(file, _)| std::cmp::Reverse(file.slots().start));
    let n_bytes = |left: &[(HistoryFile, u64)], grain: Option<Grain>| -> u64 {
        let meant = left.iter().filter(|(file, _)| grain.is_none_or(|grain| file.grain == grain));
        meant.map(|(_, n_bytes)| n_bytes).sum()
    };
    for (grain, of, most) in [
        (Grain::Hour, Some(Grain::Hour), bound / 2),
        (Grain::Minute, None, bound.saturating_sub(more)),
    ] {
        while n_bytes(&left, of) > most
            && let Some(place) = left.iter().rposition(|(file, _)| file.grain == grain)
        {
            gone.push(left.remove(place).0);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(grain: Grain, first: u32) -> HistoryFile {
        HistoryFile { grain, first }
    }

    #[test]
    fn a_file_has_the_slots_of_one_hour_or_one_day() {
        assert_eq!(file(Grain::Minute, 61).slots(), 61..120);
        assert_eq!(file(Grain::Hour, 48).slots(), 48..72);
        let of = |slot, last| HistoryFile::of(Grain::Minute, slot, last, 1 << 20).first;
        assert_eq!(of(61, None), 61);
        assert_eq!(of(119, Some((file(Grain::Minute, 61), 5))), 61);
        assert_eq!(of(120, Some((file(Grain::Minute, 61), 5))), 120);
        assert_eq!(of(60, Some((file(Grain::Minute, 61), 5))), 60, "a clock that was put back");
        assert_eq!(of(63, Some((file(Grain::Minute, 61), 1 << 16))), 63, "a long one");
        assert_eq!(of(61, Some((file(Grain::Minute, 61), 1 << 16))), 61, "there can be no other");
    }

    #[test]
    fn a_name_is_read_as_it_is_written_and_no_other() {
        for grain in [Grain::Minute, Grain::Hour] {
            let name = file(grain, 29_876_543).to_string();
            assert_eq!(name.parse(), Ok(file(grain, 29_876_543)));
        }
        for name in ["", "minutes-7", "minutes-+7.hist", "minutes-07.hist", "days-7.hist", "a.hist"]
        {
            assert_eq!(name.parse::<HistoryFile>(), Err(NoHistoryFile(name.to_owned())));
        }
    }

    #[test]
    fn what_is_too_old_goes_and_nothing_else_while_there_is_room() {
        let now = 100 * 24 * 3600;
        let day = Grain::Minute.slot_of(now) - Grain::Minute.kept();
        let month = Grain::Hour.slot_of(now) - Grain::Hour.kept();
        let files = [
            (file(Grain::Minute, day - 60), 10),
            (file(Grain::Minute, day), 10),
            (file(Grain::Hour, month - 24), 10),
            (file(Grain::Hour, month), 10),
        ];
        assert_eq!(gone(&files, now, 0, 1000), [files[0].0, files[2].0]);
        assert_eq!(gone(&files, now, 0, 30), [files[0].0, files[2].0]);
    }

    #[test]
    fn a_clock_that_leaps_ages_nothing_until_it_was_written_by_for_a_day() {
        let day = 24 * 60;
        let before = [(file(Grain::Minute, 100 * day), 10), (file(Grain::Hour, 100 * 24), 10)];
        let at = |minute: u32| u64::from(minute) * 60;
        assert_eq!(gone(&before, at(140 * day), 0, 1000), []);
        let mut after = before.to_vec();
        after.push((file(Grain::Minute, 140 * day), 10));
        assert_eq!(gone(&after, at(140 * day + 5), 0, 1000), []);
        assert_eq!(gone(&after, at(100 * day + 5), 0, 1000), [], "it was put right");
        after.push((file(Grain::Minute, 140 * day + 800), 10));
        assert_eq!(gone(&after, at(141 * day), 0, 1000), [before[0].0, before[1].0]);
        // The bound holds all the same.
        assert_eq!(gone(&before, at(140 * day), 0, 15), [before[1].0]);
    }

    #[test]
    fn nothing_goes_for_what_has_no_place_anyhow() {
        let files = [(file(Grain::Minute, 60), 10), (file(Grain::Minute, 120), 10)];
        assert_eq!(gone(&files, 8000, 101, 100), []);
        assert_eq!(gone(&files, 8000, 90, 100), [files[0].0]);
    }

    proptest! {
        #[test]
        fn what_stays_is_within_the_bound_and_hours_keep_their_half(
            sizes in proptest::collection::vec((any::<bool>(), 0..1000_u64), 0..40),
            more in 0..500_u64,
            bound in 500..20_000_u64,
        ) {
            let files: Vec<_> = sizes.iter().zip(0_u32..).map(|((is_hour, n_bytes), place)| {
                let grain = if *is_hour { Grain::Hour } else { Grain::Minute };
                (file(grain, place), *n_bytes)
            }).collect();
            let gone = gone(&files, 0, more, bound);
            let left = |grain| -> u64 {
                let left = files.iter().filter(|(file, _)| !gone.contains(file) && file.grain == grain);
                left.map(|(_, n_bytes)| n_bytes).sum()
            };
            let (minutes, hours) = (left(Grain::Minute), left(Grain::Hour));
            prop_assert!(hours <= bound / 2);
            prop_assert!(minutes + hours <= bound);
            prop_assert!(minutes + hours + more <= bound || hours + more > bound);
            // The youngest stay.
            for grain in [Grain::Minute, Grain::Hour] {
                let gone_last = gone.iter().filter(|file| file.grain == grain).map(|file| file.first).max();
                let kept = files.iter().filter(|(file, _)| !gone.contains(file) && file.grain == grain);
                prop_assert!(kept.map(|(file, _)| Some(file.first)).all(|first| first > gone_last));
            }
        }
    }
}
