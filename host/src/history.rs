//! What each app did, minute by minute for a day and hour by hour for 30 days, on this host's disk: so that it
//! can be asked at ten what was at three. `core::history` says what a minute is, how it is written and what
//! goes when; this takes it from where calls are counted, at the end of each minute, and reads it again.
//! Of an idle app there is nothing, in memory or in the files. Does not decide anything from what it knows, and
//! nothing that is served depends on it: a folder that is full, damaged or gone costs history and nothing else.

mod collect;
mod damage;
mod disk;
mod reader;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use steerage_core::advice::AppNeeds;
use steerage_core::history::{Grain, Slot};
use steerage_core::id::AppName;
use steerage_core::units::Bytes;

use self::disk::HistoryDisk;
use self::reader::Reader;
use self::writer::Writer;
use crate::catalog::Catalog;
use crate::telemetry::events::Events;

/// The folder in the data folder.
const FOLDER: &str = "history";

/// How much history there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistorySettings {
    /// Bytes of all files; none at all for no history.
    pub bound: Bytes,
    /// How often what was counted is written, which is what a kill may lose; a minute at most.
    pub every: Duration,
}

impl HistorySettings {
    /// 256 MiB: some thousand apps that are called every minute, or any number that is called now and then.
    pub const DEFAULT: Self = Self { bound: Bytes::mebi(256), every: Duration::from_secs(60) };
    /// 100 ms and a minute: written less often, it would tell nothing of the minutes in between.
    pub const EVERY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

    /// Whether there is history at all.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.bound > Bytes::ZERO
    }
}

/// The history of this host's apps, to be read.
#[derive(Debug)]
pub struct History(Reader);

/// The thread that writes it, until it is ended.
#[derive(Debug)]
pub struct HistoryThread {
    end: SyncSender<()>,
    ended: Receiver<()>,
}

impl History {
    /// Goes on with what is in a data folder, and begins to write. A folder that cannot be used is told as an
    /// event; `None` where there shall be no history.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(
        settings: HistorySettings,
        data: &Path,
        catalog: &Arc<Catalog>,
        events: &Arc<Events>,
    ) -> io::Result<Option<(Arc<Self>, HistoryThread)>> {
        if !settings.is_on() {
            return Ok(None);
        }
        let disk = HistoryDisk::at(data.join(FOLDER));
        let this_hour = Grain::Hour.slot_of(since_epoch().as_secs());
        let tell = |file, error: &io::Error| {
            events.push_once(damage::unusable(&disk.path(file), error));
        };
        let rolled_to = disk.mend_hours(this_hour, tell).unwrap_or_else(|error| {
            events.push(damage::unusable(disk.folder(), &error));
            None
        });
        let rolled_to = Arc::new(Mutex::new(rolled_to.unwrap_or(0)));
        let mut writer = Writer {
            disk: disk.clone(),
            catalog: catalog.clone(),
            events: events.clone(),
            bound: settings.bound,
            every: settings.every,
            rolled_to: rolled_to.clone(),
            has_failed: false,
        };
        let ((end, ending), (done, ended)) = (sync_channel(1), sync_channel(1));
        thread::Builder::new().name("history".to_owned()).spawn(move || {
            while ending.recv_timeout(writer.next(since_epoch())) == Err(RecvTimeoutError::Timeout)
            {
                writer.write(since_epoch());
            }
            // What was counted of the minute that runs.
            writer.write(since_epoch());
            done.try_send(()).ok();
        })?;
        let (catalog, events) = (catalog.clone(), events.clone());
        let reader = Reader { disk, catalog, events, rolled_to };
        Ok(Some((Arc::new(Self(reader)), HistoryThread { end, ended })))
    }

    /// What one app did in these slots, but for those in which it was idle; what runs now is among them. Reads
    /// files, so not for threads that must not wait. `now` is in seconds since the epoch.
    #[must_use]
    pub fn of_app(
        &self,
        app: &AppName,
        grain: Grain,
        slots: Range<u32>,
        now: u64,
    ) -> BTreeMap<u32, Slot> {
        self.0.of_app(app, grain, slots, now)
    }

    /// What all apps did in a slot, but for those that were idle. Reads files as well.
    #[must_use]
    pub fn at(&self, grain: Grain, slot: u32, now: u64) -> BTreeMap<String, Slot> {
        self.0.at(grain, slot, now)
    }

    /// What apps needed on each day that is kept: all of them, or one. Reads all files of hours, so it takes
    /// some tenths of a second.
    #[must_use]
    pub fn needs(&self, of: Option<&str>, now: u64) -> BTreeMap<String, AppNeeds> {
        let this = Grain::Hour.slot_of(now);
        let hours = this.saturating_sub(Grain::Hour.kept())..this.saturating_add(1);
        self.0.needs(of, &hours, now)
    }

    /// Tells what each app did in each of these hours, but for those in which it was idle. Reads files as well.
    pub fn each_hour(&self, hours: &Range<u32>, now: u64, tell: impl FnMut(u32, &str, &Slot)) {
        self.0.each_hour(hours, now, |_| true, tell);
    }

    /// The oldest hour of which anything may be kept, counted from the epoch: an hour since then that is not
    /// told was idle, or nothing ran. To be asked after the hours are told, since what goes meanwhile is the
    /// oldest. Reads the names of files.
    #[must_use]
    pub fn oldest_hour(&self) -> Option<u32> {
        self.0.oldest_hour()
    }

    /// Whether any minute of an hour is still kept: where none is, nobody can say that one was idle. Reads
    /// files as well.
    #[must_use]
    pub fn has_minutes_of(&self, hour: u32) -> bool {
        self.0.has_minutes_of(hour)
    }
}

impl HistoryThread {
    /// Has what was counted written, and waits for that so long at most: a disk may be slow for ever.
    pub fn end(self, patience: Duration) {
        drop(self.end);
        self.ended.recv_timeout(patience).ok();
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
