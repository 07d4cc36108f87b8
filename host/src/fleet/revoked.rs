//! Hosts whose certificates are revoked: what the store says of them, which is kept in the data folder as
//! well, so that it holds without the store and over restarts. What was read once is never taken back: an
//! entry that is gone from the store, or cannot be read, leaves what was known.
//! Does not judge certificates: `identity` does, and is told here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use steerage_core::id::HostName;
use steerage_core::node::ViewChange;
use steerage_core::revoked::{CertificateFacts, Revocation, Revoked};

use super::record::{self, HostRecord, RevokedRecord};
use super::{Fleet, View, keys, saved};
use crate::store::Seen;

/// The file, beside the copy of the view.
const FILE: &str = "revoked.json";

/// What is kept of revocations.
#[derive(Debug)]
pub(super) struct KeptRevoked {
    file: PathBuf,
    is_unsaved: AtomicBool,
    /// What was wrong with the file at the start, until somebody has told it.
    trouble: Mutex<Option<String>>,
}

#[derive(Default, Deserialize, Serialize)]
struct Written {
    v: u32,
    hosts: BTreeMap<String, serde_json::Value>,
}

impl KeptRevoked {
    /// Reads what was kept beside `copy`.
    pub(super) fn read(copy: &Path) -> (Self, Vec<(HostName, Revocation)>) {
        let file = copy.with_file_name(FILE);
        let (mut all, mut trouble) = (Vec::new(), None);
        match fs::read(&file) {
            Ok(bytes) => match serde_json::from_slice::<Written>(&bytes) {
                Ok(written) => {
                    for (host, value) in written.hosts {
                        let record = serde_json::from_value::<RevokedRecord>(value);
                        match (host.parse(), record) {
                            (Ok(host), Ok(record)) => all.push((host, record.revocation())),
                            _ => trouble = Some(format!("what it says of {host:?} is damaged")),
                        }
                    }
                }
                Err(error) => trouble = Some(error.to_string()),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => trouble = Some(error.to_string()),
        }
        let trouble = trouble.map(|why| format!("{}: {why}", file.display()));
        let kept = Self { file, is_unsaved: AtomicBool::new(false), trouble: Mutex::new(trouble) };
        (kept, all)
    }

    fn write(&self, revoked: &Revoked) -> io::Result<()> {
        let value = |revocation: &Revocation| {
            serde_json::to_value(RevokedRecord::of(revocation, 0)).unwrap_or_default()
        };
        let hosts = revoked.all().map(|(host, revocation)| (host.to_string(), value(revocation)));
        let written = Written { v: record::VERSION, hosts: hosts.collect() };
        saved::write_whole(&self.file, |file| Ok(serde_json::to_writer(file, &written)?))
    }
}

impl RevokedRecord {
    /// As it is written, at this moment in milliseconds since the epoch.
    #[must_use]
    pub fn of(revocation: &Revocation, at: u64) -> Self {
        Self {
            before: revocation.before,
            certificates: revocation.certificates.clone(),
            at,
            rest: record::Rest::default(),
        }
    }

    /// What is revoked.
    #[must_use]
    pub fn revocation(&self) -> Revocation {
        Revocation { before: self.before, certificates: self.certificates.clone() }
    }
}

/// What of a certificate counts for whether it is revoked, as its host says.
fn facts(host: &HostName, record: &HostRecord) -> CertificateFacts {
    let (begins, fingerprint) = match &record.certificate {
        Some(shown) => (shown.begins, shown.fingerprint.clone()),
        // It does not say: a host of a version that did not, or one that hides it.
        None => (i64::MIN, String::new()),
    };
    CertificateFacts { host: Some(host.clone()), begins, fingerprint }
}

impl Fleet {
    /// What is revoked, as far as this host was told.
    #[must_use]
    pub fn revoked(&self) -> Arc<Revoked> {
        self.peers().believed().map(|believed| believed.revoked()).unwrap_or_default()
    }

    /// Takes what the store says of revoked certificates, and cuts who has shown one; whether that was
    /// new, and what could not be read.
    pub(super) fn take_revoked<'e>(
        &self,
        entries: impl Iterator<Item = (&'e str, Option<&'e [u8]>)>,
    ) -> (bool, Vec<String>) {
        let (mut all, mut troubles) = (Vec::new(), Vec::new());
        for (key, value) in entries {
            let (Some(host), Some(value)) = (key.strip_prefix(keys::REVOKED), value) else {
                continue;
            };
            match (host.parse(), record::decode::<RevokedRecord>(key, value)) {
                (Ok(host), Ok(record)) => all.push((host, record.revocation())),
                (Err(_), _) => troubles.push(format!("{key}: {host:?} is no host's name")),
                (_, Err(error)) => troubles.push(error.to_string()),
            }
        }
        let is_news = self.peers().believed().is_some_and(|believed| believed.revoke(all));
        if is_news {
            self.inner.revoked.is_unsaved.store(true, Ordering::SeqCst);
        }
        (is_news, troubles)
    }

    /// What this host knows to be revoked and the store does not say, of all that it holds.
    #[must_use]
    pub fn revoked_unknown_to(&self, seen: &Seen) -> Vec<(HostName, Revocation)> {
        let entries = seen.entries.iter().filter(|entry| entry.key.starts_with(keys::REVOKED));
        let said: BTreeSet<&str> = entries.map(|entry| &*entry.key).collect();
        let revoked = self.revoked();
        let unknown = revoked.all().filter(|(host, _)| !said.contains(&*keys::revoked(host)));
        unknown.map(|(host, revocation)| (host.clone(), revocation.clone())).collect()
    }

    /// Takes out of a view what only hosts have said whose certificates are revoked.
    pub(super) fn expel_revoked(&self, view: &mut View, change: &mut ViewChange) {
        let revoked = self.revoked();
        if revoked.all().next().is_some() {
            view.expel(|host, record| revoked.covers(&facts(host, record)), change);
        }
    }

    /// Keeps what is revoked on the disk, where that is not done. Waits for the disk.
    pub fn save_revoked(&self) {
        let kept = &self.inner.revoked;
        if !kept.is_unsaved.swap(false, Ordering::SeqCst) {
            return;
        }
        if let Err(error) = kept.write(&self.revoked()) {
            kept.is_unsaved.store(true, Ordering::SeqCst);
            tracing::error!(%error, "cannot keep on the disk whose certificates are revoked");
        }
    }

    /// What was wrong with what the data folder said of revoked certificates; once.
    #[must_use]
    pub fn revoked_trouble(&self) -> Option<String> {
        self.inner.revoked.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revocation(before: i64) -> Revocation {
        Revocation { before, certificates: BTreeSet::from(["ab".to_owned()]) }
    }

    #[test]
    fn what_was_kept_is_read_and_damage_takes_nothing_else_along() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("fleet.json");
        let (kept, none) = KeptRevoked::read(&copy);
        assert!(none.is_empty() && kept.trouble.lock().unwrap().is_none());
        let (one, two) = ("h1".parse::<HostName>().unwrap(), "h2".parse::<HostName>().unwrap());
        let mut revoked = Revoked::default();
        revoked.add(one.clone(), revocation(5));
        revoked.add(two.clone(), revocation(6));
        kept.write(&revoked).unwrap();
        let (_, all) = KeptRevoked::read(&copy);
        assert_eq!(all, [(one, revocation(5)), (two.clone(), revocation(6))]);
        let path = folder.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap().replace("\"before\":5", "\"before\":\"x\"");
        fs::write(&path, text).unwrap();
        let (kept, all) = KeptRevoked::read(&copy);
        assert_eq!(all, [(two, revocation(6))]);
        let trouble = kept.trouble.lock().unwrap().take().unwrap();
        assert!(trouble.contains("revoked.json") && trouble.contains("h1"), "{trouble}");
    }
}
