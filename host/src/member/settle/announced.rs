//! Telling the store which code is at hand here, as `core::node::announcer` says.
//! Does not bring code.

use steerage_core::id::{AppName, Generation};
use steerage_core::node::CodeAtHand;

use super::{Member, Settling};
use crate::fleet::keys;
use crate::fleet::record::{self, ReadyRecord};
use crate::store::{Commit, LeaseId, Write};
use crate::telemetry::chain;

/// Writes what is due, as far as the store takes it.
pub(super) async fn announce(all: &mut Settling, member: &Member, lease: Option<LeaseId>) {
    all.announcer.note_lease(lease, all.now());
    let mut is_all = all.reconciler.is_idle();
    loop {
        let batch = all.announcer.batch(is_all, all.now());
        if batch.is_empty() {
            return;
        }
        let Some(lease) = lease.filter(|_| !member.fleet.is_cut_off()) else {
            all.announcer.failed(all.now());
            return;
        };
        let writes = batch.iter().map(|(app, ready)| write(member, lease, app, *ready));
        let commit = Commit { guards: Vec::new(), writes: writes.collect() };
        if let Err(error) = member.fleet.commit(commit).await {
            tracing::debug!(error = chain(&error), "cannot announce what is ready");
            all.announcer.failed(all.now());
            return;
        }
        all.announcer.written(&batch);
        // Once one is written, what else is due goes along.
        is_all = true;
    }
}

fn write(member: &Member, lease: LeaseId, app: &AppName, ready: Option<CodeAtHand>) -> Write {
    let key = keys::ready(member.fleet.me(), app);
    let Some(CodeAtHand { generation, canary }) = ready else { return Write::Delete(key) };
    let here = member.own.catalog.app(app).filter(|here| here.generation == generation);
    let fingerprint = here.and_then(|here| member.agent.fingerprint(&here));
    let fingerprint = fingerprint.map(|fingerprint| fingerprint.to_string());
    let canary = canary.map(Generation::get);
    let ready = ReadyRecord { generation: generation.get(), canary, fingerprint };
    Write::Put { key, value: record::encode(&ready), lease: Some(lease) }
}
