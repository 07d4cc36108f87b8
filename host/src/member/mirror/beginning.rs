//! Where a host begins to take changes: behind all that the store holds, which is read, or where it was
//! when it lost the store. A fleet that comes back to etcd at once would have each host read megabytes
//! that it knows already.
//! Does not judge whether the store has the same past: `core::node::position` does.

use std::time::{Duration, Instant};

use steerage_core::node::{Position, StoreNow};

use super::super::lineage::{self, Broken, FollowedStore};
use super::super::{Member, Shared};
use super::{Mirror, complain, note_revoked};
use crate::fleet::{Fleet, keys};
use crate::store::{Commit, Revision, Seen, StoreError, Watch, Write};
use crate::telemetry::chain;

/// After so long without a change of the fleet, though the store has counted on, this host writes something
/// to know that it has heard of all that came before: others may write into the same etcd.
const QUIET: Duration = Duration::from_millis(200);
/// After so long all is read instead: the watch tells too little.
const PATIENCE: Duration = Duration::from_secs(20);
/// Who took so long to go on looks again how far the store is by now.
const LONG: Duration = Duration::from_secs(3);

impl Mirror<'_> {
    /// Goes on from where this host was in the same store, with all taken that came meanwhile; nothing
    /// where it cannot.
    pub(super) async fn go_on(&mut self, store: FollowedStore) -> Result<Option<Watch>, Broken> {
        let (fleet, began_at) = (&self.shared.member.fleet, Instant::now());
        if store.imports || !self.is_proved(store.now).await? {
            return Ok(None);
        }
        let Some(position) = &mut self.position else { return Ok(None) };
        let mut watch = fleet.store().watch("", position.rewind()).await?;
        match self.catch_up(&mut watch, store.now.revision).await {
            Ok(true) => {}
            // It cannot be known that all was heard of, or what was missed is forgotten.
            Ok(false) | Err(Broken::Store(StoreError::Compacted)) => return Ok(None),
            Err(broken) => return Err(broken),
        }
        if began_at.elapsed() > LONG {
            // This host stood still, or had much to take: by now there is more.
            return Err(Broken::Changed);
        }
        self.note_back("what was missed is read");
        self.shared.follows.send_replace(true);
        fleet.count_beginning(false);
        // Also what could not be done meanwhile.
        self.shared.settle.all(&self.shared.member);
        Ok(Some(watch))
    }

    /// Whether the store has the same past as this host knows.
    async fn is_proved(&self, now: StoreNow) -> Result<bool, Broken> {
        let Some(position) = &self.position else { return Ok(false) };
        let Some(evidence) = position.evidence(now) else { return Ok(false) };
        let store = self.shared.member.fleet.store();
        let looked_up = async {
            let (key, at) = evidence.put;
            let put = store.get_at(key, at).await?;
            let Some((key, at)) = evidence.deleted else { return Ok((put, None)) };
            let before = store.get_at(key, Revision(at.0.saturating_sub(1))).await?;
            Ok((put, Some((before.is_some(), store.get_at(key, at).await?.is_some()))))
        };
        let (put, deleted) = match looked_up.await {
            Err(StoreError::Compacted) => return Ok(false),
            found => found?,
        };
        let put = put.as_ref().map(|entry| (&entry.value, entry.revision));
        Ok(position.is_proved_by(put, deleted))
    }

    /// Takes changes until all are taken up to a revision; whether that is known. A sign of life would not
    /// do: etcd before 3.4.25 and 3.5.8 gives one to a watch that has yet to be told of older changes.
    async fn catch_up(&mut self, watch: &mut Watch, revision: Revision) -> Result<bool, Broken> {
        let fleet = &self.shared.member.fleet;
        let (mut until, mut is_written, began_at) = (revision, false, Instant::now());
        while self.position.as_ref().is_some_and(|position| position.through() < until) {
            if began_at.elapsed() > PATIENCE {
                return Ok(false);
            }
            match tokio::time::timeout(QUIET, watch.next_sign()).await {
                Ok(changes) => self.take(&changes?).await?,
                Err(_) if !is_written => match self.write_heard().await {
                    Ok(written) => (until, is_written) = (written, true),
                    // It takes no writes, and may be full: reading needs none.
                    Err(error) => {
                        tracing::debug!(error = chain(&error), "cannot write into the store");
                        return Ok(false);
                    }
                },
                Err(_) => {}
            }
        }
        if is_written {
            let delete = Write::Delete(keys::heard(fleet.me()));
            // One that stays is written over the next time.
            drop(commit(fleet, delete).await);
        }
        Ok(true)
    }

    /// Writes what this host waits for: nothing that was ever there before.
    async fn write_heard(&self) -> Result<Revision, StoreError> {
        let fleet = &self.shared.member.fleet;
        let value =
            format!("{{\"run\":{},\"mark\":{}}}", self.shared.member.record.run, fastrand::u32(..));
        let put =
            Write::Put { key: keys::heard(fleet.me()), value: value.into_bytes(), lease: None };
        commit(fleet, put).await
    }

    /// Reads all that the store holds; the watch begins behind it.
    pub(super) async fn read_all(&mut self, store: FollowedStore) -> Result<Watch, Broken> {
        let Shared { member, settle, .. } = self.shared;
        let fleet = &member.fleet;
        self.position = None;
        let seen = read_all(member).await?;
        lineage::confirm(&member.desired, &seen).await?;
        let now = StoreNow { revision: seen.revision, ..store.now };
        let entries = seen.entries.iter();
        let entries = entries.map(|entry| (&entry.key, &entry.value, entry.revision));
        self.position = Some(Position::read(now, entries));
        let mut told = fleet.replace(&seen);
        fleet.count_beginning(true);
        let unsaid = fleet.revoked_unknown_to(&seen);
        let strange = seen.strange.iter();
        told.troubles.extend(strange.map(|key| format!("a key in the store is no text: {key}")));
        drop(seen);
        self.note_back("all is read");
        note_revoked(self.shared, told.revokes).await;
        self.shared.follows.send_replace(true);
        complain(member, &told);
        if store.imports {
            lineage::import(member).await;
        }
        for (host, revocation) in unsaid {
            // It was restored, or lost what it had: hosts that come anew must hear of it, too.
            if let Err(error) = member.desired.put_revoked(&host, &revocation).await {
                tracing::warn!(%host, error = chain(&error), "cannot tell the store what is revoked");
                // It is tried again with the next whole reading, which comes with the next loss.
                self.position = None;
            }
        }
        self.missing.look(member, !store.imports);
        // Some may have been set while nothing was heard.
        member.agent.renew_secrets(None);
        // Also what the store does not know any more.
        settle.all(member);
        self.unsaved.notify_one();
        Ok(fleet.store().watch("", now.revision).await?)
    }
}

/// Changes the store, which is the one that this host follows, though not all of it is heard of yet.
async fn commit(fleet: &Fleet, write: Write) -> Result<Revision, StoreError> {
    fleet.commit_marked(Commit { guards: Vec::new(), writes: vec![write] }).await
}

/// Everything hosts act on. Parts are read one after the other; what changes meanwhile comes with the
/// watch, which begins where the first part was read.
async fn read_all(member: &Member) -> Result<Seen, StoreError> {
    let store = member.fleet.store();
    let mut all: Option<Seen> = None;
    // The mark comes first: the rest is read at the same revision or later.
    for prefix in
        [keys::FLEET, keys::REMOVED, keys::APPS, keys::HOSTS_WANTED, keys::ASSIGNED, "observed/"]
    {
        let seen = store.read(prefix).await?;
        match &mut all {
            Some(all) => {
                all.entries.extend(seen.entries);
                all.strange.extend(seen.strange);
            }
            None => all = Some(seen),
        }
    }
    all.ok_or(StoreError::Compacted)
}
