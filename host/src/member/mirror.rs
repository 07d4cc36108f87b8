//! Taking what the store tells: all of it once, then what changes. When the connection breaks, this host
//! goes on from the last change where it can (`beginning`), and reads all again where it cannot: a lost
//! event is harmless. What is not this host's to follow is not taken.
//! Does not act on it: `settle` does.

mod beginning;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use steerage_core::id::AppName;
use steerage_core::node::{FleetKey, Position};
use steerage_core::units::show_duration;
use tokio::sync::Notify;

use super::lineage::{self, Broken, Missing};
use super::{Member, Shared, pause};
use crate::fleet::{ChangeSummary, Fleet, keys};
use crate::store::{Change, StoreError};
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

/// What is taken of the store, and how far.
struct Mirror<'a> {
    shared: &'a Shared,
    /// Says that the copy on the disk is older than what is known.
    unsaved: &'a Notify,
    tries: Tries,
    missing: Missing,
    /// How far the store was taken; nothing before it was read.
    position: Option<Position<String, Vec<u8>>>,
}

/// Takes what comes until it is dropped.
pub(super) async fn mirror(shared: &Shared) {
    let unsaved = Notify::new();
    let mirror = Mirror {
        shared,
        unsaved: &unsaved,
        tries: Tries::default(),
        missing: Missing::default(),
        position: None,
    };
    tokio::join!(mirror.take_all(), keep_saved(&shared.member.fleet, &unsaved));
}

impl Mirror<'_> {
    async fn take_all(mut self) {
        let shared = self.shared;
        let Shared { member, .. } = shared;
        loop {
            let followed = self.follow().await;
            match followed {
                Ok(never) => match never {},
                Err(Broken::Changed | Broken::Store(StoreError::Compacted)) => {
                    // At once, but not again and again.
                    tokio::time::sleep(pause(self.tries.n_changes)).await;
                    self.tries.n_changes += 1;
                }
                Err(Broken::Refused(reason)) => {
                    member.fleet.note_cut_off(true);
                    shared.follows.send_replace(false);
                    lineage::refuse(member, &reason);
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(Broken::Store(error)) => {
                    if member.fleet.note_cut_off(true) || self.tries.n_failures == 0 {
                        tracing::warn!(
                            error = chain(&error),
                            "the store is away; serving what is known"
                        );
                        let advice = format!("{}; calls are answered meanwhile", error.advice());
                        member.tell("store_away", Severity::Error, chain(&error), &advice);
                        self.tries.is_told_away = true;
                    }
                    self.tries.n_failures += 1;
                    tokio::time::sleep(pause(self.tries.n_failures)).await;
                }
            }
        }
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible, Broken> {
        let fleet = &self.shared.member.fleet;
        let store = lineage::check(&self.shared.member).await?;
        let mut watch = match self.go_on(store).await? {
            Some(watch) => watch,
            None => self.read_all(store).await?,
        };
        // An import may have taken its time: hearing begins here.
        fleet.note_all_read();
        loop {
            let changes = watch.next_sign().await?;
            if let Err(silent) = fleet.note_heard() {
                // What comes now may be as old as the silence, and more may be on its way.
                tell_stood_still(&self.shared.member, silent);
                return Err(Broken::Changed);
            }
            self.take(&changes).await?;
        }
    }

    /// Takes changes.
    async fn take(&mut self, changes: &[Change]) -> Result<(), Broken> {
        let Shared { member, settle, own_record, .. } = self.shared;
        let fleet = &member.fleet;
        let Some(last) = changes.last() else { return Ok(()) };
        if changes.iter().any(|change| change.key == keys::MARK) {
            // Not even the rest of it is taken: it may be of another store.
            return Err(Broken::Changed);
        }
        fleet.lineage().saw(last.revision);
        let told = fleet.apply(changes);
        if let Some(position) = &mut self.position {
            let taken = changes.iter();
            position
                .took(taken.map(|change| (&change.key, change.value.as_ref(), change.revision)));
        }
        note_revoked(self.shared, told.revokes).await;
        if is_about_own_record(member, changes) {
            own_record.notify_one();
        }
        complain(member, &told);
        renew_secrets(member, changes);
        self.missing.look(member, false);
        let told = told.change;
        if !told.hosts.is_empty() || !told.apps.is_empty() {
            self.unsaved.notify_one();
        }
        settle.add(told.apps);
        Ok(())
    }

    /// Notes that what is known is what the store holds.
    fn note_back(&mut self, how: &str) {
        let Shared { member, .. } = self.shared;
        if member.fleet.note_cut_off(false) {
            let revision = self.position.as_ref().map(|position| position.through().0);
            tracing::info!(revision, how, "the store answers");
            // At a start it answers for the first time, which is no news.
            if self.tries.is_told_away {
                member.tell("store_back", Severity::Info, "the store answers again".to_owned(), "");
            }
        }
        self.tries = Tries::default();
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
        "this host stood still for {silent}: it reads what it missed before it decides anything"
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

/// Sees to it that apps get secrets that were set. Those of an app that was removed went with it.
fn renew_secrets(member: &Member, changes: &[Change]) {
    let apps: BTreeSet<AppName> =
        changes.iter().filter_map(|change| keys::app_of_secret(&change.key)).collect();
    if apps.is_empty() {
        return;
    }
    let view = member.fleet.view();
    for app in apps.into_iter().filter(|app| view.app(app).is_some()) {
        member.agent.renew_secrets(Some(app));
    }
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
