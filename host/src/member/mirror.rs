//! Taking what the store tells: all of it once, then what changes. When the connection breaks,
//! everything is read again: a lost event is harmless.
//! Does not act on it: `settle` does.

use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::{Member, Shared, pause};
use crate::fleet::{Fleet, Told, keys};
use crate::store::{Seen, StoreError};
use crate::telemetry::chain;
use crate::telemetry::events::Severity;

/// The copy on the disk is written so long after a change, with all that has come by then.
const SAVE_AFTER: Duration = Duration::from_millis(300);
/// Of the time, writing it takes one part of so many at most: it is the larger the more apps there are.
const SAVE_SHARE: u32 = 20;

/// Takes what comes until it is dropped.
pub(super) async fn mirror(shared: &Shared) {
    let unsaved = Notify::new();
    tokio::join!(take_all(shared, &unsaved), keep_saved(&shared.member.fleet, &unsaved));
}

async fn take_all(shared: &Shared, unsaved: &Notify) {
    let Shared { member, .. } = shared;
    let mut n_failures = 0;
    loop {
        match follow(shared, unsaved, &mut n_failures).await {
            Ok(never) => match never {},
            Err(StoreError::Compacted) => {}
            Err(error) => {
                if member.fleet.note_cut_off(true) || n_failures == 0 {
                    tracing::warn!(
                        error = chain(&error),
                        "the store is away; serving what is known"
                    );
                    let advice = "see the store's members; calls are answered meanwhile";
                    member.tell("store_away", Severity::Error, chain(&error), advice);
                }
                n_failures += 1;
                tokio::time::sleep(pause(n_failures)).await;
            }
        }
    }
}

/// Writes the copy whenever something has changed, and not all the time.
async fn keep_saved(fleet: &Fleet, unsaved: &Notify) {
    let mut wait = SAVE_AFTER;
    loop {
        unsaved.notified().await;
        tokio::time::sleep(wait).await;
        let (saved, began_at) = (fleet.clone(), Instant::now());
        drop(tokio::task::spawn_blocking(move || saved.save()).await);
        wait = SAVE_AFTER.max(began_at.elapsed() * SAVE_SHARE);
    }
}

async fn follow(
    shared: &Shared,
    unsaved: &Notify,
    n_failures: &mut u32,
) -> Result<std::convert::Infallible, StoreError> {
    let Shared { member, settle, .. } = shared;
    let (fleet, store) = (&member.fleet, member.fleet.store());
    let seen = read_all(member).await?;
    let since = seen.revision;
    let told = fleet.replace(&seen);
    drop(seen);
    if fleet.note_cut_off(false) {
        tracing::info!(revision = since.0, "the store answers");
        member.tell("store_back", Severity::Info, "the store answers".to_owned(), "");
    }
    *n_failures = 0;
    complain(member, &told);
    // Also what the store does not know any more.
    settle.all(member);
    unsaved.notify_one();
    let mut watch = store.watch("", since).await?;
    loop {
        let changes = watch.next().await?;
        let told = fleet.apply(&changes);
        complain(member, &told);
        if told.hosts_changed || !told.apps.is_empty() {
            unsaved.notify_one();
        }
        settle.add(told.apps);
    }
}

/// Everything hosts act on. Parts are read one after the other; what changes meanwhile comes with the
/// watch, which begins where the first part was read.
async fn read_all(member: &Member) -> Result<Seen, StoreError> {
    let store = member.fleet.store();
    let mut all: Option<Seen> = None;
    for prefix in [keys::APPS, keys::HOSTS_WANTED, keys::ASSIGNED, "observed/"] {
        let seen = store.read(prefix).await?;
        match &mut all {
            Some(all) => all.entries.extend(seen.entries),
            None => all = Some(seen),
        }
    }
    all.ok_or(StoreError::Compacted)
}

fn complain(member: &Member, told: &Told) {
    for trouble in &told.troubles {
        tracing::error!(trouble, "a record in the store cannot be used");
        let advice = "the rest of the fleet goes on; deploy the app again, or upgrade this host";
        member.tell("bad_record", Severity::Error, trouble.clone(), advice);
    }
}

/// Forgets hosts that the store has lost once they fall silent.
pub(super) async fn forget_silent(fleet: &Fleet) {
    let mut changes = fleet.peers().changes();
    while changes.changed().await.is_ok() {
        fleet.forget_silent();
    }
}
