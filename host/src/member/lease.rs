//! Being there: one lease, under which everything stands that this host alone writes, so that all of
//! it goes when the host does.
//! Does not write what it is about.

use std::time::Duration;

use super::{Member, Shared, pause};
use crate::fleet::keys;
use crate::fleet::record::{self, HostRecord};
use crate::store::{Commit, Guard, Lease, StoreError, Write};
use crate::telemetry::chain;
use crate::telemetry::events::Severity;

/// The lease is kept alive this often in its time.
const BEATS: u32 = 3;

/// Registers and stays registered until the host ends; then leaves at once.
pub(super) async fn hold(shared: &Shared) {
    let Shared { member, lease: told, .. } = shared;
    let mut n_failures = 0;
    while !member.shutdown.has_begun() {
        match register(member).await {
            Ok(lease) => {
                n_failures = 0;
                told.send_replace(Some(lease.id()));
                // What others announced under an earlier lease of this host is gone with it.
                shared.settle.all(member);
                beat(member, lease).await;
                told.send_replace(None);
            }
            Err(error) => {
                complain(member, &error, n_failures);
                n_failures += 1;
                tokio::select! {
                    () = tokio::time::sleep(pause(n_failures)) => {}
                    () = member.shutdown.begun() => {}
                }
            }
        }
    }
}

/// Keeps the lease alive until it is lost, or gives it back when the host ends.
async fn beat(member: &Member, mut lease: Lease) {
    let every = lease.ttl().min(member.ttl) / BEATS;
    let mut heard_at = tokio::time::Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = member.shutdown.begun() => {
                // So that the others do not wait for it to run out.
                drop(tokio::time::timeout(Duration::from_secs(2), lease.revoke()).await);
                return;
            }
        }
        match lease.keep_alive().await {
            Ok(_) => heard_at = tokio::time::Instant::now(),
            Err(StoreError::LeaseLost) => {
                tracing::warn!("the lease of this host has run out; registering again");
                return;
            }
            // It may live on in the store: a leader that comes anew gives all leases their full time.
            Err(error) => {
                let silent_ms = u64::try_from(heard_at.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::debug!(silent_ms, error = chain(&error), "cannot keep the lease alive");
            }
        }
    }
}

async fn register(member: &Member) -> Result<Lease, StoreError> {
    let store = member.fleet.store();
    let key = keys::host(member.fleet.me());
    let guard = match store.get(&key).await? {
        None => Guard::Absent(key.clone()),
        Some(entry) => {
            let other: HostRecord = record::decode(&key, &entry.value)
                .map_err(|error| StoreError::Damaged { what: error.to_string() })?;
            if other.id != member.record.id {
                return Err(StoreError::Damaged { what: two_of_a_name(member, &other) });
            }
            // An earlier run on the same data: it is over, since the data lets in one only.
            Guard::At(key.clone(), entry.revision)
        }
    };
    let lease = store.grant(member.ttl).await?;
    let value = record::encode(&member.record);
    let write = Write::Put { key, value, lease: Some(lease.id()) };
    store.commit(Commit { guards: vec![guard], writes: vec![write] }).await?;
    tracing::info!(name = %member.fleet.me(), peer = %member.record.address, "registered in the fleet");
    Ok(lease)
}

fn two_of_a_name(member: &Member, other: &HostRecord) -> String {
    format!(
        "another host named {} is registered, from {} in zone {}: give this one another --name, or \
         stop that one",
        member.fleet.me(),
        other.address,
        other.zone
    )
}

/// Tells what is wrong, once and not at every try.
fn complain(member: &Member, error: &StoreError, n_failures: u32) {
    if n_failures == 0 {
        tracing::error!(error = chain(error), "cannot register in the fleet; trying on");
        let advice = "see `steerage hosts` on another host, and the store's own log";
        member.tell("not_registered", Severity::Error, chain(error), advice);
    }
}
