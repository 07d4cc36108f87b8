//! One look at components and compiled code on the disk, and the removal of what was decided to go.
//! Does not decide what goes, and asks no other host.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use steerage_core::disk::{DiskUse, Evicted, EvictionPlan, StoredComponent};
use steerage_core::id::Digest;
use steerage_core::units::Bytes;

use crate::blobs::BlobFile;
use crate::code::{CodeError, Loader};
use crate::sandbox::compiler::usage::CodeFiles;

/// What was found by one look.
pub(super) struct Scan {
    pub(super) disk: DiskUse,
    pub(super) all: Vec<StoredComponent>,
    pub(super) files: Vec<(Digest, Option<BlobFile>, Option<CodeFiles>)>,
}

impl Loader {
    /// The components whose code is mapped. Looks at all apps: it is asked for seldom.
    pub(super) fn mapped_components(&self) -> BTreeSet<Digest> {
        let parts = self.parts();
        let snapshot = parts.catalog.load();
        let mut mapped = BTreeSet::new();
        for app in snapshot.apps.values() {
            if app.deployed().is_some() {
                mapped.insert(app.digest);
            }
            if let Some(canary) = app.canary()
                && let Ok(Some(record)) = parts.ledger.deployment(&app.name, canary.generation())
            {
                mapped.insert(record.digest);
            }
        }
        mapped
    }

    pub(super) fn scan(
        &self,
        bound: Bytes,
        mapped: &BTreeSet<Digest>,
        too_few: &BTreeMap<Digest, (u32, Instant)>,
    ) -> Result<Scan, CodeError> {
        let parts = self.parts();
        let compiler = parts.sandbox.compiler();
        let mut found = BTreeMap::<Digest, (Option<BlobFile>, Option<CodeFiles>)>::new();
        parts.blobs.each(|file| found.entry(file.digest).or_default().0 = Some(file))?;
        for (digest, files) in compiler.files() {
            found.entry(digest).or_default().1 = Some(files);
        }
        let leftover = compiler.leftover();
        let (mut all, mut files, mut used) = (Vec::new(), Vec::new(), leftover);
        for (digest, (component, code)) in found {
            let (n_component, n_code) =
                (component.map_or(0, |file| file.bytes), code.map_or(0, |files| files.bytes));
            used = used.saturating_add(n_component).saturating_add(n_code);
            let used_at = component.map(|file| file.used_at).max(code.map(|files| files.used_at));
            all.push(StoredComponent {
                component: Bytes::new(n_component),
                code: Bytes::new(n_code),
                used_at: used_at.map_or(0, millis),
                is_mapped: mapped.contains(&digest),
                is_named: parts.ledger.is_used(&digest).unwrap_or(true),
                is_pinned: parts.blobs.is_pinned(&digest),
                copies: too_few.get(&digest).map(|(copies, _)| *copies),
            });
            files.push((digest, component, code));
        }
        let disk = DiskUse {
            bound,
            used: Bytes::new(used),
            leftover: Bytes::new(leftover),
            wanted: Bytes::ZERO,
            is_alone: parts.peers.as_ref().is_none_or(|peers| peers.all().is_empty()),
            now: millis(SystemTime::now()),
        };
        Ok(Scan { disk, all, files })
    }

    /// Removes what the plan says, but what was used meanwhile; returns how many bytes that made free.
    pub(super) async fn evict(&self, scan: Scan, plan: EvictionPlan) -> Result<u64, CodeError> {
        if plan.evicted.is_empty() && !plan.drops_leftover {
            return Ok(0);
        }
        let loader = self.clone();
        self.blocking(move || {
            let compiler = loader.parts().sandbox.compiler();
            let (mut freed, mut n_evicted) = (0, 0);
            if plan.drops_leftover {
                compiler.drop_leftover();
                freed = scan.disk.leftover.get().saturating_sub(compiler.leftover());
            }
            for (place, what) in &plan.evicted {
                let (Some(stored), Some((digest, blob, code))) =
                    (scan.all.get(*place), scan.files.get(*place))
                else {
                    continue;
                };
                let went = match (what, blob) {
                    (Evicted::All, Some(blob)) => loader.parts().blobs.evict(blob)?,
                    _ => code.is_some_and(|files| compiler.evict(*digest, &files)),
                };
                if went {
                    n_evicted += 1;
                    freed += stored.code.get();
                }
                if went && *what == Evicted::All {
                    compiler.forget(*digest);
                    freed += stored.component.get();
                }
            }
            loader.inner.disk.n_evicted.fetch_add(n_evicted, Ordering::Relaxed);
            let (bytes, n_left) = (freed, scan.disk.used.get().saturating_sub(freed));
            tracing::info!(n_evicted, bytes, n_left, "made room on the disk");
            Ok(freed)
        })
        .await
    }
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
