//! What the files of history and the running minute say, of one app or of one moment.
//! Writes nothing. What cannot be read is passed over and told once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use steerage_core::advice::AppNeeds;
use steerage_core::history::block::{Block, Blocks, Piece};
use steerage_core::history::files::HistoryFile;
use steerage_core::history::{Grain, Slot};
use steerage_core::id::AppName;

use super::collect;
use super::disk::HistoryDisk;
use crate::catalog::Catalog;
use crate::telemetry::events::{Event, EventPlace, Events, Severity};

/// Minutes of an hour.
const PER_HOUR: u32 = 60;

/// Reads what was written and what was not yet.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) disk: HistoryDisk,
    pub(super) catalog: Arc<Catalog>,
    pub(super) events: Arc<Events>,
    /// The last hour that is whole on the disk. Held by who writes and by who looks: what is taken and not yet
    /// written would be nowhere, and a look may read all files, while several operators ask.
    pub(super) rolled_to: Arc<Mutex<u32>>,
}

impl Reader {
    /// What one app did in these slots, but for those in which it was idle. `now` is in seconds since the
    /// epoch.
    pub(super) fn of_app(
        &self,
        app: &AppName,
        grain: Grain,
        slots: Range<u32>,
        now: u64,
    ) -> BTreeMap<u32, Slot> {
        let mut found = BTreeMap::<u32, Slot>::new();
        let written = self.rolled_to.lock().unwrap_or_else(PoisonError::into_inner);
        self.each(grain, &slots, *written, |slot, block| {
            let entries = block.entries().flatten().filter(|entry| entry.app == app.as_str());
            for did in entries.filter_map(|entry| entry.slot().ok()) {
                found.entry(slot).or_default().add(&did);
            }
        });
        let this = grain.slot_of(now);
        if slots.contains(&this)
            && let Some(running) = self.running(app)
        {
            found.entry(this).or_default().add(&running);
        }
        found
    }

    /// What all apps did in a slot, but for those that were idle.
    pub(super) fn at(&self, grain: Grain, slot: u32, now: u64) -> BTreeMap<String, Slot> {
        let mut found = BTreeMap::<String, Slot>::new();
        let mut add = |app: &str, did: &Slot| match found.get_mut(app) {
            Some(sum) => sum.add(did),
            None => drop(found.insert(app.to_owned(), did.clone())),
        };
        let written = self.rolled_to.lock().unwrap_or_else(PoisonError::into_inner);
        self.each(grain, &(slot..slot.saturating_add(1)), *written, |_, block| {
            for entry in block.entries().flatten() {
                if let Ok(did) = entry.slot() {
                    add(entry.app, &did);
                }
            }
        });
        if slot == grain.slot_of(now) {
            for (name, app) in &self.catalog.snapshot().apps {
                if let Some(did) = app.state().and_then(collect::look) {
                    add(name.as_str(), &did);
                }
            }
        }
        found
    }

    /// What apps needed, of all of them or of one, in these hours.
    pub(super) fn needs(
        &self,
        of: Option<&str>,
        hours: &Range<u32>,
        now: u64,
    ) -> BTreeMap<String, AppNeeds> {
        let is_meant = |app: &str| of.is_none_or(|of| of == app);
        let mut needs = BTreeMap::<String, AppNeeds>::new();
        self.each_hour(hours, now, is_meant, |hour, app, did| match needs.get_mut(app) {
            Some(needs) => needs.add_hour(hour, did),
            None => needs.entry(app.to_owned()).or_default().add_hour(hour, did),
        });
        needs
    }

    /// Tells what each app that is meant did in each of these hours, an hour of an app at a time.
    pub(super) fn each_hour(
        &self,
        hours: &Range<u32>,
        now: u64,
        is_meant: impl Fn(&str) -> bool,
        mut tell: impl FnMut(u32, &str, &Slot),
    ) {
        // Of these there are minutes only: they become hours first, since an hour's CPU time is a sum.
        let mut unfinished = BTreeMap::<(u32, String), Slot>::new();
        let written = self.rolled_to.lock().unwrap_or_else(PoisonError::into_inner);
        self.each(Grain::Hour, hours, *written, |hour, block| {
            for entry in block.entries().flatten().filter(|entry| is_meant(entry.app)) {
                let Ok(did) = entry.slot() else { continue };
                if hour > *written {
                    unfinished.entry((hour, entry.app.to_owned())).or_default().add(&did);
                } else {
                    tell(hour, entry.app, &did);
                }
            }
        });
        let this = Grain::Hour.slot_of(now);
        for (name, app) in &self.catalog.snapshot().apps {
            if hours.contains(&this)
                && is_meant(name.as_str())
                && let Some(did) = app.state().and_then(collect::look)
            {
                unfinished.entry((this, name.to_string())).or_default().add(&did);
            }
        }
        for ((hour, app), did) in unfinished {
            tell(hour, &app, &did);
        }
    }

    /// The oldest hour of which a file may have something. Minutes of hours that are whole on the disk are not
    /// looked at by who asks for hours, so they count for none.
    pub(super) fn oldest_hour(&self) -> Option<u32> {
        let written = self.rolled_to.lock().unwrap_or_else(PoisonError::into_inner);
        let files = match self.disk.files() {
            Ok(files) => files,
            Err(error) => {
                self.tell_damaged(&self.disk.folder().display().to_string(), &error.to_string());
                // What nobody can list says of no hour that it was idle.
                return Some(u32::MAX);
            }
        };
        let hours = files.iter().filter_map(|(file, _)| match file.grain {
            Grain::Hour => Some(file.first),
            Grain::Minute => Some(file.first / PER_HOUR).filter(|hour| *hour > *written),
        });
        hours.min()
    }

    /// Whether any minute of this hour is written.
    pub(super) fn has_minutes_of(&self, hour: u32) -> bool {
        let minutes = minutes_of(&(hour..hour.saturating_add(1)));
        let mut is_any = false;
        self.scan(Grain::Minute, &minutes, |_| is_any = true);
        is_any
    }

    fn running(&self, app: &AppName) -> Option<Slot> {
        collect::look(self.catalog.app(app)?.state()?)
    }

    /// Goes through all blocks of these slots. Hours that are not written yet are told minute by minute.
    fn each(
        &self,
        grain: Grain,
        slots: &Range<u32>,
        written: u32,
        mut tell: impl FnMut(u32, &Block<'_>),
    ) {
        if grain == Grain::Minute {
            return self.scan(Grain::Minute, slots, |block| tell(block.slot, block));
        }
        // One of which a killed process left a part counts as not written.
        self.scan(Grain::Hour, slots, |block| {
            if block.slot <= written {
                tell(block.slot, block);
            }
        });
        let first = slots.start.max(written.saturating_add(1));
        self.scan(Grain::Minute, &minutes_of(&(first..slots.end)), |block| {
            tell(block.slot / PER_HOUR, block);
        });
    }

    fn scan(&self, grain: Grain, slots: &Range<u32>, mut tell: impl FnMut(&Block<'_>)) {
        let files = match self.disk.files() {
            Ok(files) => files,
            Err(error) => {
                let folder = self.disk.folder().display().to_string();
                return self.tell_damaged(&folder, &error.to_string());
            }
        };
        for (file, _) in files {
            let of = file.slots();
            if file.grain != grain || of.start >= slots.end || of.end <= slots.start {
                continue;
            }
            let mut n_damaged = 0;
            match self.disk.read(file) {
                Ok(bytes) => {
                    for piece in Blocks::of(&bytes) {
                        match piece {
                            Piece::Block(block, _)
                                if block.grain == grain && slots.contains(&block.slot) =>
                            {
                                tell(&block);
                            }
                            Piece::Damaged(n_bytes) => n_damaged += n_bytes,
                            // One that is being written, or that a killed process left.
                            Piece::Block(..) | Piece::Cut(_) => {}
                        }
                    }
                }
                Err(error) => self.tell_damaged(&self.shown(file), &error.to_string()),
            }
            if n_damaged > 0 {
                let why = format!("{n_damaged} bytes of it are damaged or of a later version");
                self.tell_damaged(&self.shown(file), &why);
            }
        }
    }

    fn shown(&self, file: HistoryFile) -> String {
        self.disk.path(file).display().to_string()
    }

    fn tell_damaged(&self, path: &str, why: &str) {
        let message = format!("a part of the history of apps cannot be read from {path}: {why}");
        let advice =
            "check the disk; the rest of it is shown, and what happens from now on is written";
        self.events.push_once(Event {
            severity: Severity::Warning,
            place: EventPlace::of(path),
            advice: Some(advice.to_owned()),
            ..Event::now("history_damaged", message)
        });
    }
}

fn minutes_of(hours: &Range<u32>) -> Range<u32> {
    hours.start.saturating_mul(PER_HOUR)..hours.end.saturating_mul(PER_HOUR)
}

#[cfg(test)]
mod tests {
    use steerage_core::history::block::BlockWriter;

    use super::*;

    fn block(grain: Grain, slot: u32, apps: &[(&str, u64)]) -> Vec<u8> {
        let mut writer = BlockWriter::new(grain, slot);
        for (app, cpu_us) in apps {
            writer.push(app, &Slot { cpu_us: *cpu_us, ..Slot::default() });
        }
        writer.finish(true)
    }

    fn reader(folder: &std::path::Path, rolled_to: u32) -> Reader {
        Reader {
            disk: HistoryDisk::at(folder.join("history")),
            catalog: Arc::default(),
            events: Arc::default(),
            rolled_to: Arc::new(Mutex::new(rolled_to)),
        }
    }

    fn append(reader: &Reader, grain: Grain, first: u32, bytes: &[u8]) {
        reader.disk.append(HistoryFile { grain, first }, bytes).unwrap();
    }

    fn cpu(reader: &Reader, grain: Grain, slots: Range<u32>) -> Vec<(u32, u64)> {
        let app = "a".parse().unwrap();
        let found = reader.of_app(&app, grain, slots, 0);
        found.into_iter().map(|(slot, did)| (slot, did.cpu_us)).collect()
    }

    #[test]
    fn hours_that_are_not_written_yet_are_made_of_their_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let reader = reader(folder.path(), 10);
        append(&reader, Grain::Hour, 10, &block(Grain::Hour, 10, &[("a", 5), ("b", 1)]));
        // Half written, so its minutes count.
        append(&reader, Grain::Hour, 10, &block(Grain::Hour, 11, &[("a", 100)]));
        append(&reader, Grain::Minute, 600, &block(Grain::Minute, 600, &[("a", 5)]));
        append(&reader, Grain::Minute, 660, &block(Grain::Minute, 660, &[("a", 7)]));
        append(&reader, Grain::Minute, 660, &block(Grain::Minute, 663, &[("b", 2), ("a", 8)]));
        assert_eq!(cpu(&reader, Grain::Hour, 0..100), [(10, 5), (11, 15)]);
        assert_eq!(cpu(&reader, Grain::Hour, 11..12), [(11, 15)]);
        assert_eq!(cpu(&reader, Grain::Minute, 600..661), [(600, 5), (660, 7)]);
        let at = |grain, slot| -> Vec<_> {
            let found = reader.at(grain, slot, 0);
            found.into_iter().map(|(app, did)| (app, did.cpu_us)).collect()
        };
        assert_eq!(at(Grain::Minute, 663), [("a".to_owned(), 8), ("b".to_owned(), 2)]);
        assert_eq!(at(Grain::Hour, 10), [("a".to_owned(), 5), ("b".to_owned(), 1)]);
        assert_eq!(at(Grain::Minute, 601), []);
        // A minute is told as a part of its hour, which is told once.
        let mut told = Vec::new();
        reader.each_hour(
            &(0..100),
            0,
            |_| true,
            |hour, app, did| {
                told.push((hour, app.to_owned(), did.cpu_us));
            },
        );
        let a_and_b = [(10, "a", 5), (10, "b", 1), (11, "a", 15), (11, "b", 2)];
        assert_eq!(told, a_and_b.map(|(hour, app, cpu_us)| (hour, app.to_owned(), cpu_us)));
        let needs = reader.needs(Some("a"), &(11..12), 0);
        assert_eq!(needs.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(needs["a"].days[&0].cpu_hour_us, 15);
        assert!(reader.events.recent(None, 10).is_empty());
    }

    #[test]
    fn the_oldest_hour_is_that_of_which_hours_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let reader = reader(folder.path(), 10);
        assert_eq!(reader.oldest_hour(), None);
        append(&reader, Grain::Minute, 665, b"");
        assert_eq!(reader.oldest_hour(), Some(11), "it is not written as an hour yet");
        // The hour of these minutes is gone, so nothing is told of it.
        append(&reader, Grain::Minute, 540, b"");
        assert_eq!(reader.oldest_hour(), Some(11));
        append(&reader, Grain::Hour, 10, b"");
        append(&reader, Grain::Hour, 24, b"");
        assert_eq!(reader.oldest_hour(), Some(10));
        // A folder that cannot be listed says nothing of any hour.
        std::fs::remove_dir_all(reader.disk.folder()).unwrap();
        std::fs::write(reader.disk.folder(), "a file").unwrap();
        assert_eq!(reader.oldest_hour(), Some(u32::MAX));
        assert_eq!(reader.events.recent(None, 10).len(), 1);
    }

    #[test]
    fn an_hour_is_known_by_its_minutes_while_any_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let reader = reader(folder.path(), 10);
        append(&reader, Grain::Hour, 10, &block(Grain::Hour, 10, &[("app", 5)]));
        append(&reader, Grain::Minute, 659, &block(Grain::Minute, 659, &[("app", 5)]));
        assert!(reader.has_minutes_of(10));
        assert!(!reader.has_minutes_of(9) && !reader.has_minutes_of(11));
    }

    #[test]
    fn what_is_damaged_is_told_once_and_the_rest_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let reader = reader(folder.path(), 0);
        append(&reader, Grain::Minute, 600, &block(Grain::Minute, 600, &[("a", 5)]));
        let mut damaged = block(Grain::Minute, 601, &[("a", 6)]);
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        append(&reader, Grain::Minute, 600, &damaged);
        append(&reader, Grain::Minute, 600, &block(Grain::Minute, 602, &[("a", 7)]));
        append(&reader, Grain::Minute, 600, b"torn");
        for _ in 0..3 {
            assert_eq!(cpu(&reader, Grain::Minute, 0..1000), [(600, 5), (602, 7)]);
        }
        let events = reader.events.recent(None, 10);
        assert_eq!(events.len(), 1, "{events:?}");
        assert!(events[0].message.contains("minutes-600.hist"), "{events:?}");
    }
}
