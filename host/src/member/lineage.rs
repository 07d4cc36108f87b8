//! Whether this host may follow the store, before it takes anything from it; and what it tells of apps
//! that the store does not hold although nobody removed them.
//! Does not judge: `core::lineage` does, and what follows of that `core::node::follower`.

use std::collections::BTreeSet;

use steerage_core::id::AppName;
use steerage_core::lineage::Reason;
use steerage_core::node::{FollowStep, Follower, StoreNow};
use steerage_core::units;

use super::Member;
use crate::agent::ApplyError;
use crate::desired::lineage::{Imported, Judged, follow};
use crate::desired::{DeployError, Desired};
use crate::fleet::keys;
use crate::store::{Seen, StoreError};
use crate::telemetry::chain;
use crate::telemetry::events::Severity;

/// As many apps are named.
const NAMED: usize = 20;

/// Why the store is not followed any further.
#[derive(Debug)]
pub(super) enum Broken {
    /// It does not answer, or not as it should.
    Store(StoreError),
    /// It is not this host's to follow.
    Refused(Reason),
    /// It has been changed for another, or has become this host's to follow: look again.
    Changed,
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<DeployError> for Broken {
    fn from(error: DeployError) -> Self {
        match error {
            DeployError::Apply(ApplyError::Store(StoreError::Conflict { .. })) => Self::Changed,
            DeployError::Apply(ApplyError::Store(error)) => Self::Store(error),
            // The disk, or the ledger on it.
            error => Self::Store(StoreError::Damaged { what: chain(&error) }),
        }
    }
}

/// A store that is this host's to follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct FollowedStore {
    /// Whether the apps of this host shall be put into it.
    pub(super) imports: bool,
    /// Where it is.
    pub(super) now: StoreNow,
}

/// Sees to it that the store is this host's to follow.
pub(super) async fn check(member: &Member) -> Result<FollowedStore, Broken> {
    let (desired, fleet) = (&member.desired, &member.fleet);
    let mut follower = Follower::default();
    loop {
        let seen = fleet.store().read(keys::FLEET).await?;
        let Judged { verdict, stored, mark } = desired.judge_store(&seen).await?;
        let marked_at = mark.map(|(_, at)| at);
        match (follower.judged(verdict, marked_at.is_some()), marked_at) {
            (FollowStep::Take { raises, imports }, Some(at)) => {
                if raises {
                    desired.raise_numbers(Some(at)).await?;
                }
                follow(fleet, &stored, at)?;
                let (cluster, revision) = (seen.cluster, seen.revision);
                return Ok(FollowedStore {
                    imports,
                    now: StoreNow { cluster, mark: at, revision },
                });
            }
            (FollowStep::WriteMark, _) => desired.found(None).await?,
            (FollowStep::Refuse(reason), _) => return Err(Broken::Refused(reason)),
            (FollowStep::Again | FollowStep::Take { .. }, _) => return Err(Broken::Changed),
        }
    }
}

/// Whether everything that was read is of the store that was judged.
pub(super) async fn confirm(desired: &Desired, seen: &Seen) -> Result<(), Broken> {
    match Follower::confirmed(desired.judge_store(seen).await?.verdict) {
        None => Ok(()),
        Some(FollowStep::Refuse(reason)) => Err(Broken::Refused(reason)),
        Some(_) => Err(Broken::Changed),
    }
}

/// Tells that the store is not followed, once and not at every try.
pub(super) fn refuse(member: &Member, reason: &Reason) {
    let is_news = member.fleet.lineage().refuse(reason);
    if !member.own.catalog.load().apps.is_empty() {
        // What it has is what it serves: nobody waits for more of it.
        member.fleet.note_known();
    }
    let trouble = format!("it is not registered, since it does not follow the store: {reason}");
    member.fleet.note_trouble(Some(format!("{trouble}; {}", reason.ways())));
    if is_news {
        tracing::error!(%reason, ways = reason.ways(), "the store is not followed");
        let message = format!("this host does not follow the store: {reason}");
        member.tell("not_registered", Severity::Error, message, reason.ways());
    }
}

/// Puts the apps of a host that was alone into the store that it has founded, and tells it.
pub(super) async fn import(member: &Member) {
    let (kind, severity, message, advice) = match member.desired.import().await {
        Ok(Imported { apps, left_out }) if left_out.is_empty() => {
            let text = format!(
                "{} of this host were put into the empty store: {}",
                units::many(apps.len(), "app"),
                named(&apps)
            );
            ("fleet_imported", Severity::Info, text, "")
        }
        Ok(Imported { apps, left_out }) => {
            let left: Vec<_> = left_out.iter().map(|(app, why)| format!("{app}: {why}")).collect();
            let text = format!(
                "{} of this host were put into the empty store, and {} not: {}",
                units::many(apps.len(), "app"),
                left.len(),
                named(&left)
            );
            (
                "fleet_imported",
                Severity::Error,
                text,
                "deploy those again, then `steerage fleet import`",
            )
        }
        Err(error) => {
            let text = format!("the apps of this host are not in the store: {}", chain(&error));
            ("fleet_imported", Severity::Error, text, "put them there with `steerage fleet import`")
        }
    };
    tracing::info!("{message}");
    member.tell(kind, severity, message, advice);
}

/// Tells of apps that are served here, that the store does not hold, and that nobody removed.
#[derive(Debug, Default)]
pub(super) struct Missing(BTreeSet<AppName>);

impl Missing {
    /// Looks again; `all` looks at every app that is served here too.
    pub(super) fn look(&mut self, member: &Member, all: bool) {
        let view = member.fleet.view();
        if !all && view.vanished.is_empty() && self.0.is_empty() {
            return;
        }
        let mut missing: BTreeSet<AppName> = view.vanished.iter().cloned().collect();
        let served = member.own.catalog.snapshot();
        let unknown = served.apps.values();
        let unknown = unknown.filter(|app| view.is_missing(&app.name, app.generation.get()));
        missing.extend(unknown.map(|app| app.name.clone()));
        let new: Vec<&AppName> = missing.difference(&self.0).collect();
        if !new.is_empty() {
            let message = format!(
                "the store does not hold {}, and nobody removed what this host serves on: {}",
                units::many(new.len(), "app"),
                named(&new)
            );
            tracing::error!("{message}");
            let advice = "put back what is missing with `steerage fleet import`, or remove it with \
                          `steerage remove APP`";
            member.tell("not_in_store", Severity::Error, message, advice);
        }
        self.0 = missing;
    }
}

fn named(all: &[impl ToString]) -> String {
    let mut text = all.iter().take(NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if all.len() > NAMED {
        text.push_str(&format!(" and {} more", all.len() - NAMED));
    }
    text
}
