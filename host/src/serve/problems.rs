//! Looks every few seconds at what has become of the problems of apps, and at what this host has only so
//! much of: memory, places for instances, room on the disk, open files.
//! Does not judge: `core::problem` does.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use steerage_core::problem::LevelWatch;
use steerage_core::units::Bytes;

use crate::admission::Admission;
use crate::agent::now;
use crate::config::Settings;
use crate::kernel;
use crate::telemetry::Telemetry;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(10);
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

/// What is looked at.
struct LookedAt {
    telemetry: Arc<Telemetry>,
    admission: Admission,
    /// What the process may use.
    memory: Bytes,
    /// The data folder.
    data: PathBuf,
}

/// Looks until it is dropped.
pub(super) fn watch(
    telemetry: Arc<Telemetry>,
    admission: Admission,
    settings: &Settings,
) -> impl Future<Output = ()> + Send + use<> {
    let (memory, data) = (settings.memory.budget, settings.data.clone());
    let looked_at = LookedAt { telemetry, admission, memory, data };
    async move {
        let mut ticks = tokio::time::interval(EVERY);
        for n_looks in (0..FILES_EVERY).cycle() {
            ticks.tick().await;
            looked_at.look(n_looks == 0);
        }
    }
}

impl LookedAt {
    fn look(&self, with_files: bool) {
        let (problems, now) = (&self.telemetry.problems, now());
        problems.look(now);
        let of_hour = || LevelWatch::new(NEARLY, HOUR);
        // As the watch over the memory counts: what the kernel can drop is not used.
        let used = kernel::anonymous_memory().get().saturating_sub(self.telemetry.n_bytes().get());
        problems.note_level("memory", now, (used, self.memory.get()), of_hour);
        let (used, total) = self.admission.slots();
        // Idle instances keep slots that nobody else needs.
        let used = if self.admission.n_waiting() == 0 { 0 } else { used };
        problems.note_level("slots", now, (used.into(), total.into()), of_hour);
        if let (Some(free), Some(size)) =
            (kernel::free_disk(&self.data), kernel::disk_size(&self.data))
        {
            let used = size.get().saturating_sub(free.get());
            let of_day = || LevelWatch::new(DISK_NEARLY, DAY);
            problems.note_level("disk", now, (used, size.get()), of_day);
        }
        if with_files && let Ok(files) = fs::read_dir("/proc/self/fd") {
            let used = (files.count() as u64, kernel::open_files());
            problems.note_level("open files", now, used, of_hour);
        }
    }
}
