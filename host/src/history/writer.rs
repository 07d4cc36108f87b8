//! The thread that writes: at the end of each minute what apps did in it, and the hours that are over, made
//! of their minutes. What has no place any more goes before.
//! A disk that is full or gone costs the minutes that could not be written, which is told once.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steerage_core::history::block::{BlockWriter, Blocks, Piece};
use steerage_core::history::files::{self, HistoryFile};
use steerage_core::history::{Grain, Slot};
use steerage_core::id::AppName;
use steerage_core::units::Bytes;

use super::collect;
use super::damage;
use super::disk::HistoryDisk;
use crate::catalog::Catalog;
use crate::telemetry::events::{Event, EventPlace, Events, Severity};

/// A block of so many bytes is followed by another: it is held whole.
const BLOCK: usize = 1 << 20;
/// So much of the minutes of an hour is added up at once; what is more takes several rounds.
const ROUND: u64 = 32 << 20;

/// An app, its calls in an hour, and within how many microseconds 99 of 100 were over.
type AppPast = (AppName, u64, u64);

/// What the thread works with.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) disk: HistoryDisk,
    pub(super) catalog: Arc<Catalog>,
    pub(super) events: Arc<Events>,
    /// Most bytes of all files.
    pub(super) bound: Bytes,
    /// How often it writes.
    pub(super) every: Duration,
    /// The last hour that is whole on the disk; held while this writes, see `reader`.
    pub(super) rolled_to: Arc<Mutex<u32>>,
    /// Whether the last attempt failed.
    pub(super) has_failed: bool,
}

impl Writer {
    /// How long until it is time to write: the end of a minute, as the wall clock has it. That is `now`, since
    /// the epoch, as everywhere here.
    pub(super) fn next(&self, now: Duration) -> Duration {
        let every = self.every.as_millis().max(1);
        let left = every - now.as_millis() % every;
        Duration::from_millis(u64::try_from(left).unwrap_or(1))
    }

    /// Writes what apps did, and tells when it cannot or can again.
    pub(super) fn write(&mut self, now: Duration) {
        let rolled_to = self.rolled_to.clone();
        let mut rolled_to = rolled_to.lock().unwrap_or_else(PoisonError::into_inner);
        let this_hour = Grain::Hour.slot_of(now.as_secs());
        let minute = Grain::Minute.slot_of(now.saturating_sub(self.every / 2).as_secs());
        // A clock that was ahead for a while must not keep hours from being made now.
        *rolled_to = (*rolled_to).min(this_hour.saturating_sub(1));
        // Hours that are over come first, since minutes may have to go for this one.
        let before = self.roll(hour_of(minute), now, &mut rolled_to);
        let written = self.write_minute(minute, *rolled_to, now);
        let after = self.roll(this_hour, now, &mut rolled_to);
        let written = before.and(written).and(after);
        match &written {
            Ok(()) if self.has_failed => {
                let message = "the history of apps is written again".to_owned();
                self.events.push(Event::now("history_kept", message));
            }
            Err(error) if !self.has_failed => self.tell(error),
            _ => {}
        }
        self.has_failed = written.is_err();
    }

    /// What each app did goes into the minute in which most of the time lies since this was done last. What
    /// cannot be written is taken all the same: it must not pile up in memory.
    fn write_minute(&self, minute: u32, rolled_to: u32, now: Duration) -> io::Result<()> {
        let new = || BlockWriter::new(Grain::Minute, minute);
        let (mut block, mut written) = (new(), Ok(()));
        for (name, app) in &self.catalog.snapshot().apps {
            let Some(slot) = app.state().and_then(collect::take) else { continue };
            block.push(name.as_str(), &slot);
            if block.n_bytes() >= BLOCK {
                let full = std::mem::replace(&mut block, new()).finish(false);
                written = written
                    .and_then(|()| self.append((Grain::Minute, minute), &full, rolled_to, now));
            }
        }
        if block.is_empty() {
            return written;
        }
        let block = block.finish(true);
        written.and_then(|()| self.append((Grain::Minute, minute), &block, rolled_to, now))
    }

    /// Writes the hours before this one that are not written yet.
    fn roll(&self, this_hour: u32, now: Duration, rolled_to: &mut u32) -> io::Result<()> {
        let (minutes, hour_files): (Vec<_>, Vec<_>) =
            self.disk.files()?.into_iter().partition(|(file, _)| file.grain == Grain::Minute);
        let hours: BTreeSet<u32> = minutes.iter().map(|(file, _)| hour_of(file.first)).collect();
        let before = *rolled_to;
        for hour in hours.into_iter().filter(|hour| *hour > before && *hour < this_hour) {
            let of_hour: Vec<_> =
                minutes.iter().filter(|(file, _)| hour_of(file.first) == hour).copied().collect();
            if !self.is_written(hour, &hour_files)? {
                let (bytes, past) = self.hour(hour, &of_hour);
                self.append((Grain::Hour, hour), &bytes, hour, now)?;
                // Once: what cannot be written is made again.
                self.tell_past(hour, &past);
            }
            *rolled_to = hour;
        }
        Ok(())
    }

    /// Whether all of an hour is there already, as after a clock that was put back. A file that may have it and
    /// cannot be read is set aside: added to it, it could be there twice.
    fn is_written(&self, hour: u32, hour_files: &[(HistoryFile, u64)]) -> io::Result<bool> {
        for (file, _) in hour_files.iter().filter(|(file, _)| file.slots().contains(&hour)) {
            match self.disk.has_hour(*file, hour) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => {
                    self.pass_over(*file, &error);
                    self.disk.set_aside(*file)?;
                }
            }
        }
        Ok(false)
    }

    /// An hour, as it is written: in one piece, so that none is there twice when this is broken off.
    /// With it, how many calls of each app there were and how long they took.
    fn hour(&self, hour: u32, of_hour: &[(HistoryFile, u64)]) -> (Vec<u8>, Vec<AppPast>) {
        let n_rounds = of_hour.iter().map(|(_, n_bytes)| n_bytes).sum::<u64>() / ROUND + 1;
        let (mut bytes, mut block) = (Vec::new(), BlockWriter::new(Grain::Hour, hour));
        let mut past = Vec::new();
        for round in 0..n_rounds {
            let mut apps = BTreeMap::<String, Slot>::new();
            for (file, _) in of_hour {
                match self.disk.read(*file) {
                    Ok(bytes) => add_up(&bytes, &mut apps, |app| {
                        n_rounds == 1 || hash(app) % n_rounds == round
                    }),
                    Err(error) => self.pass_over(*file, &error),
                }
            }
            for (app, slot) in apps {
                past.extend(Self::past_of(&app, &slot));
                block.push(&app, &slot);
                if block.n_bytes() >= BLOCK {
                    let full = std::mem::replace(&mut block, BlockWriter::new(Grain::Hour, hour));
                    bytes.extend(full.finish(false));
                }
            }
        }
        bytes.extend(block.finish(true));
        (bytes, past)
    }

    fn past_of(app: &str, slot: &Slot) -> Option<AppPast> {
        let p99_us = slot.latency.percentile(990)?;
        Some((app.parse().ok()?, slot.latency.n_counted(), p99_us))
    }

    /// How long calls of apps took in an hour is what later ones are judged by.
    fn tell_past(&self, hour: u32, past: &[AppPast]) {
        // An app without a state has not been called since the start: it is judged once it is.
        for (name, n_calls, p99_us) in past {
            let app = self.catalog.app(name);
            if let Some(state) = app.as_ref().and_then(|app| app.state()) {
                state.problems.note_hour(hour, *n_calls, *p99_us);
            }
        }
    }

    /// Appends to the file of a slot; what must go for it, goes, if that helps. `rolled_to` is the last hour
    /// whose minutes are not needed any more.
    fn append(
        &self,
        of: (Grain, u32),
        bytes: &[u8],
        rolled_to: u32,
        now: Duration,
    ) -> io::Result<()> {
        let ((grain, slot), bound, more) = (of, self.bound.get(), bytes.len() as u64);
        let mut files = self.disk.files()?;
        // Of files that cannot be removed.
        let mut stuck = 0;
        loop {
            let gone = files::gone(&files, now.as_secs(), more + stuck, bound);
            if gone.is_empty() {
                break;
            }
            for file in gone {
                let Some(place) = files.iter().position(|(one, _)| *one == file) else { continue };
                let (_, n_bytes) = files.remove(place);
                match self.disk.remove(file) {
                    Ok(()) => self.tell_cut(file, rolled_to),
                    Err(error) => {
                        self.pass_over(file, &error);
                        stuck += n_bytes;
                    }
                }
            }
        }
        let n_bytes = files.iter().map(|(_, n_bytes)| n_bytes).sum::<u64>() + stuck;
        if n_bytes + more > bound {
            let text = format!("{more} bytes more would pass the bound of {}", self.bound);
            return Err(io::Error::other(text));
        }
        // Not the last of all: that may be one of the future.
        let may_have = |file: HistoryFile| file.grain == grain && file.slots().contains(&slot);
        let last = files.iter().rev().find(|(file, _)| may_have(*file));
        self.disk.append(HistoryFile::of(grain, slot, last.copied(), bound), bytes)?;
        Ok(())
    }

    /// Tells that minutes went of which their hour has not been made: what it will say is too little.
    fn tell_cut(&self, file: HistoryFile, rolled_to: u32) {
        if file.grain == Grain::Hour || hour_of(file.first) <= rolled_to {
            return;
        }
        let message = format!(
            "an hour of apps has more history than the bound of {}: the first minutes of such an hour are gone \
             before it is over, and what it says is too little",
            self.bound
        );
        self.events.push_once(Event {
            severity: Severity::Warning,
            place: EventPlace::of(self.disk.folder().display().to_string()),
            advice: Some("give it more (--history-disk)".to_owned()),
            ..Event::now("history_cut", message)
        });
    }

    fn pass_over(&self, file: HistoryFile, error: &io::Error) {
        self.events.push_once(damage::unusable(&self.disk.path(file), error));
    }

    fn tell(&self, error: &io::Error) {
        let folder = self.disk.folder().display();
        let message = format!("the history of apps is not kept, in {folder}: {error}");
        tracing::warn!("{message}");
        let advice = "make room or give it more (--history-disk), or look at who may write there; apps are \
                      served as before, and history is written again when that is possible";
        self.events.push(Event {
            severity: Severity::Warning,
            advice: Some(advice.to_owned()),
            ..Event::now("history_not_kept", message)
        });
    }
}

/// Adds up what is in a file of minutes of the apps that are meant.
fn add_up(bytes: &[u8], apps: &mut BTreeMap<String, Slot>, is_meant: impl Fn(&str) -> bool) {
    for piece in Blocks::of(bytes) {
        // What is damaged is told to whoever reads it.
        let Piece::Block(block, _) = piece else { continue };
        for entry in block.entries().flatten().filter(|entry| is_meant(entry.app)) {
            let Ok(slot) = entry.slot() else { continue };
            match apps.get_mut(entry.app) {
                Some(sum) => sum.add(&slot),
                None => drop(apps.insert(entry.app.to_owned(), slot)),
            }
        }
    }
}

fn hour_of(minute: u32) -> u32 {
    minute / 60
}

fn hash(app: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    app.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use steerage_core::history::SlotCall;

    use super::*;

    fn slot(n_calls: u32, latency_us: u64) -> Slot {
        let mut slot = Slot { cpu_us: 5, memory_held: u64::from(n_calls), ..Slot::default() };
        let (fuel, memory_bytes, response_bytes) = (1, 2, 3);
        let call = SlotCall {
            cause: "answered",
            status: 200,
            latency_us,
            response_bytes,
            fuel,
            memory_bytes,
        };
        (0..n_calls).for_each(|_| slot.record(&call));
        slot
    }

    fn writer(folder: &std::path::Path, bound: u64) -> Writer {
        let disk = HistoryDisk::at(folder.join("history"));
        let rolled_to = disk.mend_hours(u32::MAX, |_, _| {}).unwrap().unwrap_or(0);
        Writer {
            disk,
            catalog: Arc::default(),
            events: Arc::default(),
            bound: Bytes::new(bound),
            every: Duration::from_secs(60),
            rolled_to: Arc::new(Mutex::new(rolled_to)),
            has_failed: false,
        }
    }

    fn hours(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    fn minute(writer: &Writer, minute: u32, apps: &[(&str, Slot)]) {
        let mut block = BlockWriter::new(Grain::Minute, minute);
        apps.iter().for_each(|(app, slot)| block.push(app, slot));
        let now = hours(minute.into());
        writer.append((Grain::Minute, minute), &block.finish(true), 0, now).unwrap();
    }

    /// What stands in all files of hours.
    fn hours_written(writer: &Writer) -> Vec<(u32, String, Slot)> {
        let mut found = Vec::new();
        for (file, _) in writer.disk.files().unwrap() {
            let bytes = writer.disk.read(file).unwrap();
            for piece in Blocks::of(&bytes).filter(|_| file.grain == Grain::Hour) {
                let Piece::Block(block, _) = piece else { panic!("{piece:?}") };
                for entry in block.entries().map(Result::unwrap) {
                    found.push((block.slot, entry.app.to_owned(), entry.slot().unwrap()));
                }
            }
        }
        found
    }

    #[test]
    fn hours_are_the_sum_of_their_minutes_and_are_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path(), 1 << 20);
        minute(&writer, 600, &[("a", slot(1, 10)), ("b", slot(2, 10))]);
        minute(&writer, 601, &[("a", slot(3, 2_000))]);
        // The same minute again, as after a start in the middle of it.
        minute(&writer, 601, &[("a", slot(1, 10))]);
        minute(&writer, 665, &[("a", slot(9, 10))]);
        writer.write(hours(666));
        let mut sum = slot(1, 10);
        sum.add(&slot(3, 2_000));
        sum.add(&slot(1, 10));
        let expected = [(10, "a".to_owned(), sum), (10, "b".to_owned(), slot(2, 10))];
        assert_eq!(hours_written(&writer), expected);
        writer.write(hours(667));
        writer.write(hours(725));
        let written = hours_written(&writer);
        assert_eq!(written[..2], expected);
        assert_eq!(written[2..], [(11, "a".to_owned(), slot(9, 10))]);
    }

    #[test]
    fn an_hour_that_was_half_written_when_the_host_was_killed_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let before = writer(folder.path(), 1 << 20);
        minute(&before, 600, &[("a", slot(1, 10))]);
        let mut half = BlockWriter::new(Grain::Hour, 10);
        half.push("a", &slot(1, 10));
        before.append((Grain::Hour, 10), &half.finish(false), 10, hours(660)).unwrap();
        let mut after = writer(folder.path(), 1 << 20);
        after.write(hours(661));
        assert_eq!(hours_written(&after), [(10, "a".to_owned(), slot(1, 10))]);
        let again = writer(folder.path(), 1 << 20);
        assert_eq!(*again.rolled_to.lock().unwrap(), 10);
    }

    #[test]
    fn files_go_at_the_bound_and_with_their_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path(), 20_000);
        for number in 600..900 {
            minute(&writer, number, &[("a", slot(1, u64::from(number)))]);
            let files = writer.disk.files().unwrap();
            assert!(files.iter().map(|(_, n_bytes)| n_bytes).sum::<u64>() <= 20_000);
        }
        let first = writer.disk.files().unwrap()[0].0.first;
        assert!(first > 600, "nothing has gone");
        assert_eq!(writer.disk.files().unwrap().last().unwrap().0.slots().end, 900);
        // A day and more later; the clock is believed after it was written by for a day.
        (0..50).for_each(|half| minute(&writer, 900 + 1_500 + half * 30, &[("b", slot(1, 10))]));
        writer.write(hours(900 + 1_500 + 50 * 30));
        let mut left = writer.disk.files().unwrap();
        left.retain(|(file, _)| file.grain == Grain::Minute);
        assert!(left.iter().all(|(file, _)| file.first >= 2_400), "{left:?}");
        let too_much = vec![0; 20_001];
        let refused = writer.append((Grain::Minute, 900), &too_much, 0, hours(900)).unwrap_err();
        assert!(refused.to_string().contains("20001 bytes more"), "{refused}");
    }

    #[test]
    fn what_has_no_place_costs_no_minutes_and_hours_are_made_before_theirs_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path(), 4_000);
        minute(&writer, 600, &[("a", slot(1, 10))]);
        let before = writer.disk.files().unwrap();
        writer.append((Grain::Minute, 601), &[0; 4_001], 0, hours(601)).unwrap_err();
        assert_eq!(writer.disk.files().unwrap(), before);
        writer.write(hours(662));
        assert_eq!(hours_written(&writer), [(10, "a".to_owned(), slot(1, 10))]);
        assert!(writer.events.recent(None, 10).is_empty());
        let rolled_to = *writer.rolled_to.lock().unwrap();
        let most = vec![0; 3_000];
        writer.append((Grain::Minute, 662), &most, rolled_to, hours(662)).unwrap();
        assert!(writer.events.recent(None, 10).is_empty(), "its hour is there");
        writer.append((Grain::Minute, 720), &most, rolled_to, hours(720)).unwrap();
        assert_eq!(writer.events.recent(None, 10)[0].kind, "history_cut");
    }

    #[test]
    fn a_clock_that_was_wrong_for_a_while_leaves_hours_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path(), 1 << 20);
        minute(&writer, 600, &[("a", slot(1, 10))]);
        writer.write(hours(661));
        // 40 days ahead, and back.
        let ahead = 600 + 40 * 24 * 60;
        minute(&writer, ahead, &[("a", slot(1, 10))]);
        writer.write(hours(u64::from(ahead) + 61));
        assert_eq!(*writer.rolled_to.lock().unwrap(), ahead / 60);
        minute(&writer, 661, &[("a", slot(2, 10))]);
        minute(&writer, 662, &[("a", slot(2, 10))]);
        writer.write(hours(659));
        writer.write(hours(721));
        let mut sum = slot(2, 10);
        sum.add(&slot(2, 10));
        let a = |hour, slot| (hour, "a".to_owned(), slot);
        assert_eq!(
            hours_written(&writer),
            [a(10, slot(1, 10)), a(11, sum), a(ahead / 60, slot(1, 10))]
        );
        let files = writer.disk.files().unwrap();
        let minutes = files.iter().filter(|(file, _)| file.grain == Grain::Minute);
        assert_eq!(minutes.map(|(file, _)| file.first).collect::<Vec<_>>(), [600, 661, ahead]);
    }

    #[test]
    fn one_bad_entry_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path(), 1 << 20);
        minute(&writer, 600, &[("a", slot(1, 10))]);
        let bad = |grain, first| writer.disk.path(HistoryFile { grain, first });
        std::fs::create_dir(bad(Grain::Minute, 5)).unwrap();
        for path in [bad(Grain::Minute, 601), bad(Grain::Hour, 9)] {
            let file = std::fs::File::create(path).unwrap();
            file.set_len((512 << 20) + 1).unwrap();
        }
        writer.bound = Bytes::new(8 << 30);
        writer.write(hours(661));
        writer.write(hours(662));
        assert_eq!(*writer.rolled_to.lock().unwrap(), 10);
        let events = writer.events.recent(None, 10);
        let kinds = events.iter().map(|event| (&*event.kind, event.count));
        assert_eq!(kinds.collect::<Vec<_>>(), [("history_damaged", 1); 2]);
        assert!(folder.path().join("history/hours-9.hist.unreadable").exists());
    }

    #[test]
    fn what_cannot_be_written_is_told_once_and_so_is_that_it_can_be_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path(), 1 << 20);
        minute(&writer, 600, &[("a", slot(1, 10))]);
        let hours_file = HistoryFile { grain: Grain::Hour, first: 10 };
        std::fs::create_dir(writer.disk.path(hours_file)).unwrap();
        let last = (hours_file, 0);
        assert_eq!(HistoryFile::of(Grain::Hour, 10, Some(last), 1 << 20), hours_file);
        let kinds = |writer: &Writer| -> Vec<_> {
            let events = writer.events.recent(None, 10);
            events.into_iter().map(|event| (event.kind.into_owned(), event.count)).collect()
        };
        writer.write(hours(660));
        writer.write(hours(661));
        assert_eq!(kinds(&writer), [("history_not_kept".to_owned(), 1)]);
        std::fs::remove_dir(writer.disk.path(hours_file)).unwrap();
        writer.write(hours(662));
        writer.write(hours(663));
        assert_eq!(kinds(&writer)[1..], [("history_kept".to_owned(), 1)]);
    }

    #[test]
    fn it_is_time_to_write_when_a_minute_ends() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(folder.path(), 1 << 20);
        let next = |seconds| writer.next(Duration::from_millis(seconds));
        assert_eq!(next(60_000), Duration::from_secs(60));
        assert_eq!(next(61_500), Duration::from_millis(58_500));
        assert_eq!(next(119_999), Duration::from_millis(1));
    }
}
