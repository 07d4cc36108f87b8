//! Which fleet this host follows, kept in its data folder, and whether the store is that fleet's. What is
//! written into the store goes through here, so that nothing is written into another one.
//! Does not judge: `core::lineage` does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::{Deserialize, Serialize};
use steerage_core::lineage::{Followed, Reason, Stored};

use super::record::{self, MarkRecord};
use super::{Fleet, keys, saved};
use crate::store::{Commit, Entry, Guard, Revision, Seen, StoreError};

/// The file with what was followed, beside the copy of the view.
const FILE: &str = "fleet-mark.json";

/// Which fleet this host follows.
#[derive(Debug)]
pub struct Lineage {
    file: PathBuf,
    state: Mutex<State>,
    /// Whether it was in a fleet before fleets had ids.
    was_in_fleet: bool,
    /// Fingerprints of the authorities that this host believes; none where it speaks plain text.
    authorities: ArcSwap<BTreeSet<String>>,
    /// Why the store is not followed, and what to do about it.
    refusal: ArcSwapOption<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    followed: Option<Followed>,
    /// When the mark was written that was accepted last.
    mark: Option<Revision>,
}

/// As it is written.
#[derive(Deserialize, Serialize)]
struct Written {
    id: String,
    epoch: u64,
    cluster: u64,
    revision: u64,
}

impl Lineage {
    /// What was kept beside `copy`, which is as of `revision`.
    pub(super) fn read(copy: &Path, revision: u64, was_in_fleet: bool) -> Self {
        let file = copy.with_file_name(FILE);
        let written = fs::read(&file).ok();
        let written = written.and_then(|bytes| serde_json::from_slice::<Written>(&bytes).ok());
        let followed = written.and_then(|written| {
            let revision = written.revision.max(revision);
            let (epoch, cluster) = (written.epoch, written.cluster);
            Some(Followed { id: written.id.parse().ok()?, epoch, cluster, revision })
        });
        Self {
            file,
            state: Mutex::new(State { followed, mark: None }),
            was_in_fleet,
            authorities: ArcSwap::default(),
            refusal: ArcSwapOption::empty(),
        }
    }

    /// Says which authorities this host believes from now on.
    pub fn believe(&self, authorities: BTreeSet<String>) {
        self.authorities.store(Arc::new(authorities));
    }

    /// Fingerprints of the authorities that this host believes.
    #[must_use]
    pub fn authorities(&self) -> BTreeSet<String> {
        BTreeSet::clone(&self.authorities.load())
    }

    /// What this host followed last.
    #[must_use]
    pub fn followed(&self) -> Option<Followed> {
        self.state().followed
    }

    /// Whether it was in a fleet before fleets had ids.
    #[must_use]
    pub fn was_in_fleet(&self) -> bool {
        self.was_in_fleet
    }

    /// How far the store was that this host has seen last.
    pub(super) fn revision(&self) -> u64 {
        self.state().followed.map_or(0, |followed| followed.revision)
    }

    /// Follows a store from now on, as it is. `mark` says when its mark was written.
    ///
    /// # Errors
    /// It cannot be kept on the disk.
    pub fn follow(&self, followed: Followed, mark: Revision) -> std::io::Result<()> {
        let is_kept = self.state().followed.is_some_and(|before| {
            (before.id, before.epoch, before.cluster)
                == (followed.id, followed.epoch, followed.cluster)
        });
        if !is_kept {
            self.write(&followed)?;
        }
        *self.state() = State { followed: Some(followed), mark: Some(mark) };
        self.refusal.store(None);
        Ok(())
    }

    /// Notes how far the store is.
    pub fn saw(&self, revision: Revision) {
        if let Some(followed) = &mut self.state().followed {
            followed.revision = followed.revision.max(revision.0);
        }
    }

    /// Notes that the store is not followed; returns whether that is news.
    pub fn refuse(&self, reason: &Reason) -> bool {
        let why = format!("{reason}; {}", reason.ways());
        let is_news = self.refusal().is_none_or(|before| *before != why);
        self.refusal.store(Some(Arc::new(why)));
        is_news
    }

    /// Why the store is not followed, and what to do about it.
    #[must_use]
    pub fn refusal(&self) -> Option<Arc<String>> {
        self.refusal.load_full()
    }

    fn write(&self, followed: &Followed) -> std::io::Result<()> {
        let Followed { id, epoch, cluster, revision } = *followed;
        let written = Written { id: id.to_string(), epoch, cluster, revision };
        saved::write_whole(&self.file, |file| Ok(serde_json::to_writer(file, &written)?))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the store says of the fleet in it, and when that was written; whether it has apps is left to
/// whoever asks.
///
/// # Errors
/// The mark cannot be read.
pub(super) fn stored(seen: &Seen) -> Result<(Stored, Option<(MarkRecord, Revision)>), StoreError> {
    let mark = seen.entries.iter().find(|entry| entry.key == keys::MARK);
    let damaged = |what: String| StoreError::Damaged { what };
    let mark = mark.map(|entry| {
        let mark: MarkRecord =
            record::decode(keys::MARK, &entry.value).map_err(|error| damaged(error.to_string()))?;
        Ok::<_, StoreError>((mark, entry.revision))
    });
    let mark = mark.transpose()?;
    let fleet = mark.as_ref().map(|(mark, _)| {
        let id = mark.id.parse().map_err(|error| damaged(format!("{}: {error}", keys::MARK)));
        Ok::<_, StoreError>((id?, mark.epoch))
    });
    let stored = Stored {
        fleet: fleet.transpose()?,
        authorities: mark.as_ref().map(|(mark, _)| mark.authorities.clone()).unwrap_or_default(),
        cluster: seen.cluster,
        revision: seen.revision.0,
        has_apps: false,
    };
    Ok((stored, mark))
}

impl Fleet {
    /// What the store says of the fleet in it; see [`Stored`].
    ///
    /// # Errors
    /// The mark cannot be read.
    pub fn stored(seen: &Seen) -> Result<(Stored, Option<(MarkRecord, Revision)>), StoreError> {
        stored(seen)
    }

    /// Refuses at once what would wait for a store that is known to be away, or that this host does
    /// not follow.
    ///
    /// # Errors
    /// Which of the two.
    pub fn check_store(&self) -> Result<(), StoreError> {
        if let Some(why) = self.lineage().refusal() {
            return Err(StoreError::NotFollowed { why: why.to_string() });
        }
        if self.is_cut_off() {
            let why = "this host has lost it and tries to reach it".to_owned();
            return Err(StoreError::Away { why });
        }
        Ok(())
    }

    /// Changes what all hosts share, if the store still is the one that this host follows.
    ///
    /// # Errors
    /// See [`crate::store::Store::commit`] and [`Fleet::check_store`].
    pub async fn commit(&self, commit: Commit) -> Result<Revision, StoreError> {
        self.check_store()?;
        self.commit_marked(commit).await
    }

    /// The same, also where not all that the store holds was heard of yet.
    ///
    /// # Errors
    /// See [`crate::store::Store::commit`]; [`StoreError::NotFollowed`] where the store is not the one
    /// any more.
    pub async fn commit_marked(&self, mut commit: Commit) -> Result<Revision, StoreError> {
        if let Some(mark) = self.lineage().state().mark {
            commit.guards.push(Guard::At(keys::MARK.to_owned(), mark));
        }
        match self.store().commit(commit).await {
            Err(StoreError::Conflict { key: Some(key) }) if key == keys::MARK => {
                let why = "it has just been changed for another; see `steerage hosts`".to_owned();
                Err(StoreError::NotFollowed { why })
            }
            done => done,
        }
    }

    /// What is under a key of the store, if this host follows it.
    ///
    /// # Errors
    /// See [`crate::store::Store::get`] and [`Fleet::check_store`].
    pub async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.check_store()?;
        self.store().get(key).await
    }

    /// What is under each of these keys of the store, in their order, if this host follows it.
    ///
    /// # Errors
    /// See [`crate::store::Store::get_each`] and [`Fleet::check_store`].
    pub async fn get_each(&self, keys: &[String]) -> Result<Vec<Option<Entry>>, StoreError> {
        self.check_store()?;
        self.store().get_each(keys).await
    }
}
