//! Looks every few seconds at what has become of the problems of apps, and at what this host has only so
//! much of: memory, places for instances, connections, room on the disk, open files.
//! Does not judge: `core::problem` does.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use steerage_core::problem::LevelWatch;
use steerage_core::units::Bytes;

use super::StartError;
use crate::agent::now;
use crate::config::Settings;
use crate::ingress::Callers;
use crate::kernel;
use crate::listener::Listener;
use crate::notify::{Notifier, NotifyOrigin};
use crate::request::CallContext;
use crate::telemetry::Telemetry;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(10);
/// How often is seen whether this process runs.
const OFTEN: Duration = Duration::from_secs(1);
/// A tick that comes this much too late means that the process stood still.
const STALLED: Duration = Duration::from_secs(2);
/// The files that are open are listed once in so many looks: of a hundred thousand that takes a while.
const FILES_EVERY: u32 = 6;
/// From this part on it is nearly used up.
const NEARLY: f64 = 0.9;
/// A disk is full where others would be nearly: most are meant to be used.
const DISK_NEARLY: f64 = 0.95;
/// What will be used up within this time is told.
const HOUR: Duration = Duration::from_secs(3600);
/// The same of a disk, for which room has to be bought.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Who is told what is wrong outside.
pub(super) fn notifier(settings: &Settings) -> Result<Arc<Notifier>, StartError> {
    settings.notify.check().map_err(|why| StartError::Outward { why })?;
    let fleet = settings.fleet.as_ref();
    let origin = NotifyOrigin {
        fleet: fleet.map(|fleet| fleet.store.keys_below().to_owned()),
        host: fleet.map_or_else(kernel::machine_name, |fleet| fleet.name.to_string()),
    };
    let notifier = Notifier::new(&settings.notify, &origin).map_err(StartError::System)?;
    Ok(Arc::new(notifier))
}

/// What is looked at.
struct LookedAt {
    telemetry: Arc<Telemetry>,
    context: Arc<CallContext>,
    callers: Arc<Listener<Callers>>,
    /// Threads that run guests.
    n_threads: usize,
    /// What the process may use.
    memory: Bytes,
    /// The data folder, and what it is to the kernel: its device and its number there.
    data: PathBuf,
    folder: Option<(u64, u64)>,
}

/// Looks until it is dropped.
pub(super) fn watch(
    telemetry: &Arc<Telemetry>,
    context: &Arc<CallContext>,
    callers: &Arc<Listener<Callers>>,
    settings: &Settings,
) -> impl Future<Output = ()> + Send + use<> {
    let (memory, data) = (settings.memory.budget, settings.data.clone());
    let folder = place_of(&data).ok();
    let n_threads = settings.cpu.threads;
    let (context, callers) = (context.clone(), callers.clone());
    let telemetry = telemetry.clone();
    let looked_at = LookedAt { telemetry, context, callers, n_threads, memory, data, folder };
    async move {
        let _watching = watch_stalls(looked_at.telemetry.clone());
        let mut ticks = tokio::time::interval(EVERY);
        for n_looks in (0..FILES_EVERY).cycle() {
            ticks.tick().await;
            looked_at.look(n_looks == 0);
        }
    }
}

/// Sees whether the process runs. Has a thread of its own, so that it tells when the whole process stands
/// still. When only the control runtime stands still, no caller waits. The thread ends when what is returned is
/// dropped.
fn watch_stalls(telemetry: Arc<Telemetry>) -> SyncSender<()> {
    let (end, ending) = mpsc::sync_channel(1);
    let watch = move || {
        let mut began_at = Instant::now();
        while ending.recv_timeout(OFTEN) == Err(RecvTimeoutError::Timeout) {
            let stalled = began_at.elapsed().saturating_sub(OFTEN);
            if stalled >= STALLED {
                telemetry.problems.of_host().note_stall(stalled);
            }
            began_at = Instant::now();
        }
    };
    if let Err(error) = thread::Builder::new().name("stalls".to_owned()).spawn(watch) {
        tracing::warn!("nobody sees whether this host stands still: {error}");
    }
    end
}

/// What a folder is to the kernel: another one may have its name later.
fn place_of(folder: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(folder).map(|found| (found.dev(), found.ino()))
}

/// Whether a folder that was at this place is there still. `None` where that is not known: a disk that fails,
/// or a file system of another machine that does not answer, does not say that the folder is gone.
fn is_there(before: (u64, u64), found: io::Result<(u64, u64)>) -> Option<bool> {
    match found {
        Ok(place) => Some(place == before),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Some(false),
            _ => None,
        },
    }
}

impl LookedAt {
    fn look(&self, with_files: bool) {
        let (problems, now) = (&self.telemetry.problems, now());
        problems.look(now);
        let snapshot = self.context.catalog.snapshot();
        let used = snapshot
            .apps
            .values()
            .filter_map(|app| Some((&app.name, app.state()?.meter.take_cpu_of_look())));
        self.telemetry.busiest.look((Instant::now(), now), self.n_threads, used);
        let host = problems.of_host();
        if let Some(is_there) =
            self.folder.and_then(|folder| is_there(folder, place_of(&self.data)))
        {
            host.note_folder(now, is_there);
        }
        let of_hour = || LevelWatch::new(NEARLY, HOUR);
        // As the watch over the memory counts: what the kernel can drop is not used.
        let used = kernel::anonymous_memory().get().saturating_sub(self.telemetry.n_bytes().get());
        host.note_level("memory", now, (used, self.memory.get()), of_hour);
        let (used, total) = self.context.admission.slots();
        // Idle instances keep slots that nobody else needs.
        let used = if self.context.admission.n_waiting() == 0 { 0 } else { used };
        host.note_level("slots", now, (used.into(), total.into()), of_hour);
        let (used, most) = self.callers.answering();
        host.note_level("connections", now, (used as u64, most as u64), of_hour);
        if let Some((used, whole)) = kernel::used_disk(&self.data) {
            let of_day = || LevelWatch::new(DISK_NEARLY, DAY);
            host.note_level("disk", now, (used.get(), whole.get()), of_day);
        }
        if with_files && let Ok(files) = fs::read_dir("/proc/self/fd") {
            let used = (files.count() as u64, kernel::open_files());
            host.note_level("open files", now, used, of_hour);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_gone_where_there_is_none_or_another_one() {
        let parent = tempfile::tempdir().unwrap();
        let above = parent.path().join("above");
        let (data, moved) = (above.join("data"), parent.path().join("moved"));
        fs::create_dir_all(&data).unwrap();
        let place = place_of(&data).unwrap();
        assert_eq!(is_there(place, place_of(&data)), Some(true));
        fs::rename(&data, &moved).unwrap();
        assert_eq!(is_there(place, place_of(&data)), Some(false));
        fs::create_dir(&data).unwrap();
        assert_eq!(is_there(place, place_of(&data)), Some(false), "it is another one");
        fs::remove_dir_all(&above).unwrap();
        fs::write(&above, "").unwrap();
        assert_eq!(is_there(place, place_of(&data)), Some(false), "a file stands above it");
    }

    #[test]
    fn a_folder_that_cannot_be_looked_at_is_not_gone() {
        let parent = tempfile::tempdir().unwrap();
        let turning = parent.path().join("turning");
        std::os::unix::fs::symlink(&turning, &turning).unwrap();
        assert_eq!(is_there((1, 1), place_of(&turning)), None);
        for error in [rustix::io::Errno::IO, rustix::io::Errno::ACCESS, rustix::io::Errno::STALE] {
            assert_eq!(is_there((1, 1), Err(error.into())), None, "{error}");
        }
    }
}
