//! Taking what the store tells: all of it once, then what changes. When the connection breaks,
//! everything is read again: a lost event is harmless. What is not this host's to follow is not taken.
//! Does not act on it: `settle` does.

use std::time::{Duration, Instant};

use steerage_core::node::FleetKey;
use steerage_core::units::show_duration;
use tokio::sync::Notify;

use super::lineage::{self, Broken, Missing};
use super::{Member, Shared, pause};
use crate::fleet::{ChangeSummary, Fleet, keys};
use crate::store::{Change, Seen, StoreError};
use crate::telemetry::chain;
use crate::telemetry::events::Severity;

/// The copy on the disk is written so long after a change, with all that has come by then.
const SAVE_AFTER: Duration = Duration::from_millis(300);
/// Of the time, writing it takes one part of so many at most: it is the larger the more apps there are.
const SAVE_SHARE: u32 = 20;

/// How often a store is looked at again that is not this host's to follow.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What was tried since the store was followed last.
#[derive(Debug, Default)]
struct Tries {
    /// It did not answer.
    n_failures: u32,
    /// It was not the same any more.
    n_changes: u32,
    /// That it is away was told.
    is_told_away: bool,
}

/// Takes what comes until it is dropped.
pub(super) async fn mirror(shared: &Shared) {
    let unsaved = Notify::new();
    tokio::join!(take_all(shared, &unsaved), keep_saved(&shared.member.fleet, &unsaved));
}

async fn take_all(shared: &Shared, unsaved: &Notify) {
    let Shared { member, .. } = shared;
    let (mut tries, mut missing) = (Tries::default(), Missing::default());
    loop {
        let followed = follow(shared, unsaved, &mut tries, &mut missing).await;
        match followed {
            Ok(never) => match never {},
            Err(Broken::Changed | Broken::Store(StoreError::Compacted)) => {
                // At once, but not again and again.
                tokio::time::sleep(pause(tries.n_changes)).await;
                tries.n_changes += 1;
            }
            Err(Broken::Refused(reason)) => {
                member.fleet.note_cut_off(true);
                shared.follows.send_replace(false);
                lineage::refuse(member, &reason);
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Err(Broken::Store(error)) => {
                if member.fleet.note_cut_off(true) || tries.n_failures == 0 {
                    tracing::warn!(
                        error = chain(&error),
                        "the store is away; serving what is known"
                    );
                    let advice = format!("{}; calls are answered meanwhile", error.advice());
                    member.tell("store_away", Severity::Error, chain(&error), &advice);
                    tries.is_told_away = true;
                }
                tries.n_failures += 1;
                tokio::time::sleep(pause(tries.n_failures)).await;
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
    tries: &mut Tries,
    missing: &mut Missing,
) -> Result<std::convert::Infallible, Broken> {
    let Shared { member, settle, .. } = shared;
    let (fleet, store) = (&member.fleet, member.fleet.store());
    let imports = lineage::check(member).await?;
    let seen = read_all(member).await?;
    lineage::confirm(&member.desired, &seen).await?;
    let since = seen.revision;
    let mut told = fleet.replace(&seen);
    let unsaid = fleet.revoked_unknown_to(&seen);
    let strange = seen.strange.iter();
    told.troubles.extend(strange.map(|key| format!("a key in the store is no text: {key}")));
    drop(seen);
    if fleet.note_cut_off(false) {
        tracing::info!(revision = since.0, "the store answers");
        // At a start it answers for the first time, which is no news.
        if tries.is_told_away {
            member.tell("store_back", Severity::Info, "the store answers again".to_owned(), "");
        }
    }
    *tries = Tries::default();
    note_revoked(shared, told.revokes).await;
    shared.follows.send_replace(true);
    complain(member, &told);
    if imports {
        lineage::import(member).await;
    }
    for (host, revocation) in unsaid {
        // It was restored, or lost what it had: hosts that come anew must hear of it, too.
        if let Err(error) = member.desired.put_revoked(&host, &revocation).await {
            tracing::warn!(%host, error = chain(&error), "cannot tell the store what is revoked");
        }
    }
    missing.look(member, !imports);
    // Also what the store does not know any more.
    settle.all(member);
    unsaved.notify_one();
    let mut watch = store.watch("", since).await?;
    // An import may have taken its time: hearing begins here.
    fleet.note_all_read();
    loop {
        let changes = watch.next_sign().await?;
        if let Err(silent) = fleet.note_heard() {
            // What comes now may be as old as the silence, and more may be on its way.
            tell_stood_still(member, silent);
            return Err(Broken::Changed);
        }
        if changes.is_empty() {
            continue;
        }
        if changes.iter().any(|change| change.key == keys::MARK) {
            // Not even the rest of it is taken: it may be of another store.
            return Err(Broken::Changed);
        }
        if let Some(change) = changes.last() {
            fleet.lineage().saw(change.revision);
        }
        let told = fleet.apply(&changes);
        note_revoked(shared, told.revokes).await;
        if is_about_own_record(member, &changes) {
            shared.own_record.notify_one();
        }
        complain(member, &told);
        missing.look(member, false);
        let told = told.change;
        if !told.hosts.is_empty() || !told.apps.is_empty() {
            unsaved.notify_one();
        }
        settle.add(told.apps);
    }
}

/// Sees to it that what is revoked is kept, and that this host looks whether it is itself.
async fn note_revoked(shared: &Shared, is_news: bool) {
    if is_news {
        shared.own_record.notify_one();
        let fleet = shared.member.fleet.clone();
        drop(tokio::task::spawn_blocking(move || fleet.save_revoked()).await);
    }
}

fn tell_stood_still(member: &Member, silent: Option<Duration>) {
    let Some(silent) = silent else { return };
    let silent = show_duration(Duration::from_secs(silent.as_secs()));
    let detail = format!(
        "this host stood still for {silent}: it reads the store again before it decides anything"
    );
    tracing::warn!("{detail}");
    let advice = "see whether its machine was paused, swaps or is overloaded; others may have taken over \
                  its replicas meanwhile";
    member.tell("stood_still", Severity::Warning, detail, advice);
}

/// Whether somebody else wrote this host's own record, or took it away.
fn is_about_own_record(member: &Member, changes: &[Change]) -> bool {
    let (key, view) = (keys::host(member.fleet.me()), member.fleet.view());
    let own = FleetKey::Host(member.fleet.me().clone());
    let is_own = || {
        view.hosts
            .get(member.fleet.me())
            .is_some_and(|host| (&host.id, host.run) == (&member.record.id, member.record.run))
    };
    changes.iter().any(|change| change.key == key) && (view.is_unreadable(&own) || !is_own())
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

fn complain(member: &Member, told: &ChangeSummary) {
    for trouble in &told.troubles {
        tracing::error!(trouble, "a record in the store cannot be used");
        let advice = "the rest of the fleet goes on; deploy the app again, or upgrade this host";
        member.tell("bad_record", Severity::Error, trouble.clone(), advice);
    }
}

/// Forgets hosts that the store has lost once they are gone.
pub(super) async fn forget_gone(fleet: &Fleet) {
    let mut changes = fleet.peers().changes();
    while changes.changed().await.is_ok() {
        fleet.forget_gone();
    }
}
