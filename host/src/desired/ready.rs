//! What follows a change that is durable: this host serves it at once, and whoever asked for it waits a
//! while until the hosts do that it is placed on.
//! Takes nothing back: what is not ready in time is tried on by each host itself.

use std::sync::Arc;
use std::time::Duration;

use steerage_core::canary::Share;

use super::{DeployError, Desired};
use crate::agent::as_served;
use crate::catalog::{App, LoadedDeployment};
use crate::fleet::Fleet;
use crate::ledger::deployment::Deployment;
use crate::telemetry::chain;
use crate::telemetry::events::{Event, Severity};

/// How long a deploy waits for the hosts it is placed on. It is durable before.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// How long it waits for other hosts to have heard of it and written it down: some milliseconds.
const KEPT_WITHIN: Duration = Duration::from_secs(2);
/// How long it waits to be placed at all: a plan takes milliseconds, and there may be no room.
const PLACED_WITHIN: Duration = Duration::from_secs(2);

impl Desired {
    /// Serves what was just deployed through this host, and waits a while until those hosts have
    /// its code at hand that it is placed on. `loaded` is its code, where it was made ready before.
    pub(super) async fn serve(
        &self,
        fleet: &Fleet,
        deployment: &Deployment,
        loaded: Option<LoadedDeployment>,
    ) -> Result<Arc<App>, DeployError> {
        let (app, generation) = (deployment.app(), deployment.generation());
        let is_here =
            || fleet.view().ready(app).is_some_and(|ready| ready.contains_key(fleet.me()));
        let followed = match loaded.filter(|_| fleet.is_alone()) {
            Some(loaded) => self.agent.serve(deployment, loaded).await,
            None if is_here() => self.agent.prepare(deployment).await,
            None => self.agent.follow(deployment).await,
        };
        if let Err(error) = followed {
            fleet.note_apart();
            // The ledger has had this deployment before, as after a rollback. When ledger and store are brought
            // together, the ledger counts then, and what the store says is undone: so this has failed.
            let is_new =
                || self.own.ledger.next_generation(app).is_ok_and(|next| next <= generation);
            if fleet.is_alone() && !is_new() {
                return Err(error.into());
            }
            // It is durable by now, and the others serve it: this host tries on by itself, and tells
            // when it does not get on.
            tracing::warn!(%app, %generation, error = chain(&error), "deployed, but not served here yet");
        }
        if fleet.is_alone() {
            return Ok(Arc::new(as_served(deployment)?));
        }
        let is_placed = || fleet.view().assigned_to(app).is_some_and(|hosts| !hosts.is_empty());
        let is_ready = || fleet.view().is_ready_everywhere(app, generation.get());
        if !await_ready(fleet, PLACED_WITHIN, is_placed).await {
            tracing::warn!(%app, %generation, "deployed, but placed nowhere yet");
        } else if !await_ready(fleet, READY_WITHIN, is_ready).await {
            tracing::warn!(%app, %generation, "deployed, but not ready where it is placed yet");
        }
        Ok(Arc::new(as_served(deployment)?))
    }

    /// Waits a while until as many other hosts keep a deployment as have its component: in their ledgers,
    /// from which a store that was lost is filled again. That they do not yet is told.
    pub(super) async fn await_kept(&self, deployment: &Deployment, n_copies: usize) {
        let kept = self.loader.kept_by(deployment, n_copies, KEPT_WITHIN).await;
        if kept.hosts + kept.unsure >= n_copies {
            return;
        }
        let (app, generation) = (deployment.app(), deployment.generation());
        let message = format!(
            "generation {generation} of {app} is in the store, and in the ledgers of {} other hosts \
             instead of {n_copies} so far",
            kept.hosts
        );
        tracing::warn!("{message}");
        self.own.events.push(Event {
            app: Some(app.clone()),
            generation: Some(generation),
            severity: Severity::Warning,
            advice: Some(
                "see that other hosts hear of the store and have room on their disks: \
                 `steerage hosts`, and `steerage events` of each"
                    .to_owned(),
            ),
            ..Event::now("not_kept_elsewhere", message)
        });
    }

    /// Waits a while until those hosts try a deployment that its app is placed on. Returns it as it
    /// would be served.
    pub(super) async fn await_canary(
        &self,
        fleet: &Fleet,
        deployment: &Deployment,
        share: Share,
    ) -> Result<Arc<App>, DeployError> {
        let (app, generation) = (deployment.app(), deployment.generation());
        if fleet.is_alone() {
            if let Err(error) = self.agent.start_canary(deployment, share).await {
                fleet.note_apart();
                tracing::warn!(%app, %generation, error = chain(&error), "on trial, but not tried yet");
            }
            return Ok(Arc::new(as_served(deployment)?));
        }
        let is_tried = || fleet.view().is_canary_everywhere(app, generation.get());
        if !await_ready(fleet, READY_WITHIN, is_tried).await {
            tracing::warn!(%app, %generation, "on trial, but not tried yet where it is placed");
        }
        Ok(Arc::new(as_served(deployment)?))
    }
}

/// Waits at most for a while until the hosts have done what is wanted; whether they have.
async fn await_ready(fleet: &Fleet, within: Duration, is_ready: impl Fn() -> bool) -> bool {
    let mut changes = fleet.changes();
    let ready = async {
        while !is_ready() {
            if changes.changed().await.is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(within, ready).await.is_ok()
}
