//! Being there: one lease, under which everything stands that this host alone writes, so that all of
//! it goes when the host does.
//! Does not write what it is about.

use std::net::SocketAddr;
use std::time::Duration;

use steerage_core::id::HostName;

use super::{Member, Shared, pause};
use crate::fleet::keys;
use crate::fleet::record::{self, HostRecord, RecordError};
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
                member.fleet.note_trouble(None);
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

/// Why a host is not registered.
#[derive(Debug, thiserror::Error)]
enum Unregistered {
    /// Somebody else has its name.
    #[error("another host named {name} is registered, from {address} in zone {zone}")]
    NameTaken {
        /// The name.
        name: HostName,
        /// Where other hosts reach the other one.
        address: SocketAddr,
        /// Where that is.
        zone: String,
    },
    /// The other's record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

async fn register(member: &Member) -> Result<Lease, Unregistered> {
    let store = member.fleet.store();
    let key = keys::host(member.fleet.me());
    let guard = match store.get(&key).await? {
        None => Guard::Absent(key.clone()),
        Some(entry) => {
            let other: HostRecord = record::decode(&key, &entry.value)?;
            if other.id != member.record.id {
                let (name, zone) = (member.fleet.me().clone(), other.zone);
                return Err(Unregistered::NameTaken { name, address: other.address, zone });
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

/// Tells what is wrong, once and not at every try.
fn complain(member: &Member, error: &Unregistered, n_failures: u32) {
    let trouble = format!("it is not registered in the fleet: {}", chain(error));
    let advice = match error {
        Unregistered::NameTaken { .. } => {
            "give this host another --name, or stop the other one; what had the name before and is \
             gone loses it with its lease"
        }
        Unregistered::Record(_) => "update this host, or stop the one that wrote the record",
        Unregistered::Store(_) => "see that the store runs, in its own log; this host tries on",
    };
    member.fleet.note_trouble(Some(format!("{trouble}; {advice}")));
    if n_failures == 0 {
        tracing::error!(error = chain(error), advice, "cannot register in the fleet; trying on");
        member.tell("not_registered", Severity::Error, trouble, advice);
    }
}
