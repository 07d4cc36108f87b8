//! Telling the store which code is at hand here, as `core::node::announcer` says.
//! Does not bring code.

use std::num::NonZeroU64;
use std::time::Duration;

use steerage_core::id::{AppName, Generation};
use steerage_core::node::{Announcer, CodeAtHand};

use crate::fleet::keys;
use crate::fleet::record::{self, ReadyRecord};
use crate::member::Member;
use crate::store::{Commit, LeaseId, Write};
use crate::telemetry::chain;

/// Writes what is due, as far as the store takes it; `is_all` says that nothing more will come soon.
pub(super) async fn announce(
    announcer: &mut Announcer,
    member: &Member,
    lease: Option<LeaseId>,
    mut is_all: bool,
    now: impl Fn() -> Duration,
) {
    announcer.note_lease(lease, now());
    loop {
        let batch = announcer.batch(is_all, now());
        if batch.is_empty() {
            return;
        }
        let Some(lease) = lease.filter(|_| !member.fleet.is_cut_off()) else {
            announcer.failed(now());
            return;
        };
        let writes = batch.iter().map(|(app, ready)| write(member, lease, app, *ready));
        let commit = Commit { guards: Vec::new(), writes: writes.collect() };
        if let Err(error) = member.fleet.commit(commit).await {
            tracing::debug!(error = chain(&error), "cannot announce what is ready");
            announcer.failed(now());
            return;
        }
        announcer.written(&batch);
        // Once one is written, what else is due goes along.
        is_all = true;
    }
}

fn write(member: &Member, lease: LeaseId, app: &AppName, ready: Option<CodeAtHand>) -> Write {
    let key = keys::ready(member.fleet.me(), app);
    let Some(CodeAtHand { generation, canary }) = ready else { return Write::Delete(key) };
    let here = member.own.catalog.app(app).filter(|here| here.generation == generation);
    let fingerprint = here.and_then(|here| member.agent.fingerprint(&here));
    let canary = canary.map(Generation::get).and_then(NonZeroU64::new);
    let ready = ReadyRecord { generation: generation.get(), canary, fingerprint };
    Write::Put { key, value: record::encode(&ready), lease: Some(lease) }
}
