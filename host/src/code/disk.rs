//! Keeps components and compiled code within what they may take on the disk: looks at it again and again
//! and before an upload, asks other hosts to keep what this one lets go, and removes what `core::disk`
//! says. What went is fetched or compiled again at the next call, which waits for it.
//! Does not decide what goes.

mod promises;
mod scan;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex as StdMutex, MutexGuard as StdMutexGuard, PoisonError};
use std::time::{Duration, Instant};

use steerage_core::disk::{self, COPIES, EvictionPlan};
use steerage_core::id::Digest;
use steerage_core::units::Bytes;
use tokio::sync::{Mutex, Notify};

use self::scan::Scan;
use super::{CodeError, Loader};
use crate::blobs::BlobError;
use crate::telemetry::chain;
use crate::telemetry::events::{Event, Severity};

/// How often the disk is looked at where nothing asks for it, and the least time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(300);
const LEAST_PAUSE: Duration = Duration::from_millis(500);
/// How often it is looked at while more is there than may be: what is mapped may go a little later.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How often code that stays mapped is noted as used: a start after a kill knows no more.
const TOUCH_EVERY: Duration = Duration::from_secs(600);
/// How long the answers of other hosts count that do not keep enough copies of a component.
const ASK_AGAIN: Duration = Duration::from_secs(600);
/// How often other hosts are asked for one look.
const MOST_ROUNDS: usize = 4;

/// The disk, as far as components and compiled code are on it.
#[derive(Debug)]
pub(super) struct Disk {
    /// What they may take; `None` where there is no bound.
    bound: Option<Bytes>,
    /// What they took when it was looked last, and what has come since.
    used: AtomicU64,
    /// What is on its way.
    coming: AtomicU64,
    n_evicted: AtomicU64,
    /// Components that are compiled or mapped just now, and by how many: their code is not to go before
    /// it was used once.
    working: StdMutex<BTreeMap<Digest, u32>>,
    looks: Mutex<Looks>,
    wake: Notify,
}

/// What is known from one look to the next.
#[derive(Debug, Default)]
struct Looks {
    was_near: bool,
    touched_at: Option<Instant>,
    /// Components that too few others keep, with how many do and when they said so.
    too_few: BTreeMap<Digest, (u32, Instant)>,
}

/// What components and compiled code take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskReading {
    /// In bytes.
    pub used: u64,
    /// The most that they may; 0 where there is no bound.
    pub bound: u64,
    /// Components, and compiled code of components, that were removed for want of room since the start.
    pub evicted: u64,
}

/// Somebody compiles or maps a component.
pub(super) struct Working {
    loader: Loader,
    digest: Digest,
}

/// Room that is kept for something that comes, until this is dropped.
#[derive(Debug)]
pub struct Coming {
    loader: Loader,
    bytes: u64,
}

impl Disk {
    pub(super) fn new(bound: Option<Bytes>) -> Self {
        Self {
            bound,
            used: AtomicU64::new(0),
            coming: AtomicU64::new(0),
            n_evicted: AtomicU64::new(0),
            working: StdMutex::default(),
            looks: Mutex::default(),
            wake: Notify::new(),
        }
    }

    fn working(&self) -> StdMutexGuard<'_, BTreeMap<Digest, u32>> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what is there and what comes is more than may be.
    fn is_over(&self) -> bool {
        let coming = self.coming.load(Ordering::Relaxed);
        let all = self.used.load(Ordering::Relaxed).saturating_add(coming);
        self.bound.is_some_and(|bound| all > bound.get())
    }

    /// Whether so much is there that an operator may have to know.
    fn may_be_near(&self) -> bool {
        let used = Bytes::new(self.used.load(Ordering::Relaxed));
        self.bound.is_some_and(|bound| disk::is_near(used, bound, true))
    }
}

impl Loader {
    /// What components and compiled code take, as of the last look.
    #[must_use]
    pub fn disk(&self) -> DiskReading {
        let Disk { bound, used, n_evicted, .. } = &self.inner.disk;
        DiskReading {
            used: used.load(Ordering::Relaxed),
            bound: bound.map_or(0, Bytes::get),
            evicted: n_evicted.load(Ordering::Relaxed),
        }
    }

    /// Keeps room for a component of so many bytes that somebody brings, making some where that is
    /// needed.
    ///
    /// # Errors
    /// [`BlobError::NoRoom`]: what is there has to stay.
    pub async fn reserve(&self, bytes: u64) -> Result<Coming, BlobError> {
        self.inner.disk.coming.fetch_add(bytes, Ordering::Relaxed);
        let coming = Coming { loader: self.clone(), bytes };
        if self.inner.disk.is_over() {
            let loader = self.clone();
            // On its own: whoever brings it may give up, and what was begun is counted all the same.
            let looked = tokio::spawn(async move { loader.look(true).await }).await;
            looked.unwrap_or(Ok(())).map_err(|why| BlobError::NoRoom {
                wanted: Bytes::new(bytes).about(),
                used: why.disk.used.about(),
                bound: why.disk.bound.about(),
                stays: disk::must_stay(&why.all, &why.disk).about(),
            })?;
        }
        Ok(coming)
    }

    /// Keeps a component and its code here until this is dropped: they are compiled or mapped meanwhile.
    pub(super) fn work_on(&self, digest: Digest) -> Working {
        *self.inner.disk.working().entry(digest).or_default() += 1;
        Working { loader: self.clone(), digest }
    }

    /// Notes that so much was written: what was fetched or compiled to be served is refused nothing, and
    /// others give way.
    pub(super) fn note_written(&self, bytes: u64) {
        self.inner.disk.used.fetch_add(bytes, Ordering::Relaxed);
        if self.inner.disk.may_be_near() {
            self.inner.disk.wake.notify_one();
        }
    }

    /// Notes that a component and its compiled code are used now.
    pub(super) fn touch(&self, digest: Digest) {
        // It may be there compiled only.
        let _is_there = self.parts().blobs.touch(&digest);
        self.parts().sandbox.compiler().touch(digest);
    }

    /// Keeps components and compiled code within their bound. Never ends.
    pub async fn keep_within_bound(self) {
        if self.inner.disk.bound.is_none() {
            return;
        }
        loop {
            // Nobody waits for it here: what cannot be has been told.
            drop(self.look(false).await);
            tokio::time::sleep(LEAST_PAUSE).await;
            let pause = if self.inner.disk.is_over() { LOOK_AGAIN } else { LOOK_EVERY };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.inner.disk.wake.notified() => {}
            }
        }
    }

    /// Looks at the disk and makes room. Fails where `is_for_more` and there is no room for all that
    /// comes; nothing goes for its sake then.
    async fn look(&self, is_for_more: bool) -> Result<(), Box<Scan>> {
        let Some(bound) = self.inner.disk.bound else { return Ok(()) };
        let mut looks = self.inner.disk.looks.lock().await;
        if is_for_more && !self.inner.disk.is_over() {
            // Another one has made room meanwhile.
            return Ok(());
        }
        match self.look_in_turn(bound, is_for_more, &mut looks).await {
            Ok(None) => Ok(()),
            Ok(Some(refused)) => Err(Box::new(refused)),
            Err(error) => {
                // Whoever brings something finds out what is wrong with the disk.
                tracing::warn!(error = chain(&error), "cannot look at what is on the disk");
                Ok(())
            }
        }
    }

    async fn look_in_turn(
        &self,
        bound: Bytes,
        is_for_more: bool,
        looks: &mut Looks,
    ) -> Result<Option<Scan>, CodeError> {
        let is_touched = looks.touched_at.is_some_and(|at| at.elapsed() < TOUCH_EVERY);
        if !is_touched {
            looks.touched_at = Some(Instant::now());
        }
        looks.too_few.retain(|_, (_, said_at)| said_at.elapsed() < ASK_AGAIN);
        let (loader, too_few) = (self.clone(), looks.too_few.clone());
        let mut scan = self
            .blocking(move || {
                let mut mapped = loader.mapped_components();
                mapped.extend(loader.inner.disk.working().keys());
                if !is_touched {
                    mapped.iter().for_each(|digest| loader.touch(*digest));
                }
                loader.scan(bound, &mapped, &too_few)
            })
            .await?;
        if is_for_more {
            let coming = self.inner.disk.coming.load(Ordering::Relaxed);
            scan.disk.wanted = Bytes::new(coming);
        }
        let plan = self.plan(&mut scan, looks).await;
        self.tell_nearness(&scan, looks);
        if is_for_more && plan.missing > Bytes::ZERO {
            return Ok(Some(scan));
        }
        let used = scan.disk.used.get();
        let freed = self.evict(scan, plan).await?;
        self.inner.disk.used.store(used.saturating_sub(freed), Ordering::Relaxed);
        Ok(None)
    }

    /// What goes, once other hosts were asked for what they keep.
    async fn plan(&self, scan: &mut Scan, looks: &mut Looks) -> EvictionPlan {
        for _ in 0..MOST_ROUNDS {
            let plan = disk::plan(&scan.all, &scan.disk);
            if plan.asked.is_empty() {
                return plan;
            }
            for (place, copies) in self.ask_others(scan, &plan.asked).await {
                if let Some(stored) = scan.all.get_mut(place) {
                    stored.copies = Some(copies);
                }
                if let (Some((digest, ..)), true) = (scan.files.get(place), copies < COPIES) {
                    looks.too_few.insert(*digest, (copies, Instant::now()));
                }
            }
        }
        disk::plan(&scan.all, &scan.disk)
    }

    /// Tells once that little can go, and that more can again.
    fn tell_nearness(&self, scan: &Scan, looks: &mut Looks) {
        let (disk, stays) = (&scan.disk, disk::must_stay(&scan.all, &scan.disk));
        let is_near = disk::is_near(stays, disk.bound, looks.was_near);
        if is_near == looks.was_near {
            return;
        }
        looks.was_near = is_near;
        let message = format!(
            "components and compiled code take {} of the {} that they may on this host, and {} of that has \
             to stay",
            disk.used.about(),
            disk.bound.about(),
            stays.about()
        );
        let (kind, severity) = match is_near {
            true => ("disk_near_bound", Severity::Warning),
            false => ("disk_below_bound", Severity::Info),
        };
        tracing::warn!("{message}");
        let advice = is_near.then(|| {
            "at the bound uploads are refused: remove apps that are not needed, or raise [disk] components \
             (--disk-components); in a fleet, components go that two other hosts keep"
                .to_owned()
        });
        self.parts().events.push(Event { severity, advice, ..Event::now(kind, message) });
    }
}

impl Coming {
    /// Notes that it has come, with so many bytes.
    pub fn came(self, bytes: u64) {
        self.loader.note_written(bytes);
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let mut working = self.loader.inner.disk.working();
        let n_others = working.get(&self.digest).map_or(0, |count| count.saturating_sub(1));
        if n_others == 0 {
            working.remove(&self.digest);
        } else {
            working.insert(self.digest, n_others);
        }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.loader.inner.disk.coming.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
