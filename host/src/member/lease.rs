//! Being there: one lease, under which everything stands that this host alone writes, so that all of
//! it goes when the host does. Of two hosts with one name, or with one data folder, one is there.
//! Does not write what it is about. Knows neither apps nor disk: whatever takes its time with them must
//! not keep the lease waiting, so this has a thread and connections of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use steerage_core::id::HostName;
use tokio::sync::{Notify, watch};

use super::pause;
use crate::fleet::record::{self, CertificateRecord, FleetRecordError, HostRecord};
use crate::fleet::{Fleet, keys};
use crate::identity::Identity;
use crate::shutdown::Shutdown;
use crate::store::{Commit, Guard, Lease, LeaseId, StoreError, Write};
use crate::telemetry::chain;
use crate::telemetry::events::{Event, Events, Severity};

/// The lease is kept alive this often in its time.
const BEATS: u32 = 3;
/// How long a host may take to answer that is asked whether it lives.
const ASK_WITHIN: Duration = Duration::from_millis(750);
/// What to do about a lease that has run out.
const LEASE_LOST: &str = "see whether this host's machine was paused, swaps or is overloaded, and whether \
                          the store was away; its replicas may run elsewhere by now";
/// After so many tries a host that does not answer on the address of an earlier run is told of: each
/// takes up to two seconds, so its lease is over by then unless it lives.
const COPY_TRIES: u32 = 4;

/// All that it takes to be registered.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    /// The fleet, over connections that nobody else asks over.
    pub(super) fleet: Fleet,
    /// How this host registers, but for its certificate.
    pub(super) record: HostRecord,
    /// By what other hosts know this one, unless they believe anybody.
    pub(super) identity: Option<Identity>,
    /// How long it counts as there that is not heard of.
    pub(super) ttl: Duration,
    pub(super) events: Arc<Events>,
    pub(super) shutdown: Shutdown,
    /// The lease under which this host is registered, while it has one.
    pub(super) lease: watch::Sender<Option<LeaseId>>,
    /// Whether the store is followed: nobody registers in one that is another's.
    pub(super) follows: watch::Sender<bool>,
    /// Says that something happened to this host's own record.
    pub(super) own_record: Arc<Notify>,
}

/// Registers and stays registered until the host ends; then leaves at once.
pub(super) async fn hold(member: &Registration) {
    let (mut n_failures, mut was_registered) = (0, false);
    let mut follows = member.follows.subscribe();
    while !member.shutdown.has_begun() {
        // Where the store is another's, this host has no place in it.
        tokio::select! {
            () = becomes(&mut follows, true) => {}
            () = member.shutdown.begun() => return,
        }
        match register(member, was_registered).await {
            Ok(lease) => {
                (n_failures, was_registered) = (0, true);
                member.fleet.note_trouble(None);
                member.lease.send_replace(Some(lease.id()));
                beat(member, lease).await;
                // Whoever has ended it and why: this host has no place in the store until it has another, and
                // what it has heard may be overtaken by then.
                member.fleet.doubt();
                member.lease.send_replace(None);
                member.fleet.note_lease_kept(None);
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

/// Keeps the lease alive until it is lost, or gives it back when the host ends, has no place in the
/// store any more, or finds that its record is not its own.
async fn beat(member: &Registration, mut lease: Lease) {
    let every = lease.ttl().min(member.ttl) / BEATS;
    let mut written = member.record_now();
    let mut heard_at = tokio::time::Instant::now();
    let mut follows = member.follows.subscribe();
    loop {
        let is_over = tokio::select! {
            () = tokio::time::sleep(every) => false,
            () = member.shutdown.begun() => true,
            () = becomes(&mut follows, false) => true,
            () = member.own_record.notified() => has_lost_record(member).await,
        };
        if is_over {
            // So that the others do not wait for it to run out.
            drop(tokio::time::timeout(Duration::from_secs(2), lease.revoke()).await);
            return;
        }
        let now = member.record_now();
        if now != written && write_again(member, &now, lease.id()).await {
            written = now;
        }
        let asked_at = tokio::time::Instant::now();
        match lease.keep_alive().await {
            Ok(_) => {
                heard_at = tokio::time::Instant::now();
                member.fleet.note_lease_kept(Some(heard_at - asked_at));
            }
            Err(StoreError::LeaseLost) => {
                // It was away for longer than others wait.
                let detail = "the lease of this host has run out; it registers again".to_owned();
                tracing::warn!("{detail}");
                member.tell("lease_lost", Severity::Warning, detail, LEASE_LOST);
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

/// Waits until the store is followed, or is not.
async fn becomes(follows: &mut watch::Receiver<bool>, wanted: bool) {
    drop(follows.wait_for(|follows| *follows == wanted).await);
}

/// Whether this host's record in the store is not its own any more, which is told. What was heard of
/// it may be of the record before.
async fn has_lost_record(member: &Registration) -> bool {
    if member.is_revoked() {
        return true;
    }
    let key = keys::host(member.fleet.me());
    let Ok(entry) = member.fleet.get(&key).await else { return false };
    let how = match entry.map(|entry| record::decode::<HostRecord>(&key, &entry.value)) {
        None => "has vanished".to_owned(),
        Some(Err(error)) => format!("was overwritten: {error}"),
        Some(Ok(other)) if (&other.id, other.run) == (&member.record.id, member.record.run) => {
            return false;
        }
        Some(Ok(other)) => format!("was overwritten by a host at {}", other.address),
    };
    let message = format!("the record of this host in the store {how}; registering again");
    tracing::warn!("{message}");
    let advice = "if nobody deleted or wrote it by hand, see that no other host runs on a copy of this \
                  one's data folder, or under its name";
    member.tell("record_lost", Severity::Warning, message, advice);
    true
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
    /// A host on a copy of its data folder lives.
    #[error(
        "another host runs on a copy of this host's data folder, and is registered as {name} from \
         {address}"
    )]
    Copy {
        /// The name.
        name: HostName,
        /// Where other hosts reach the other one.
        address: SocketAddr,
    },
    /// The others do not believe it any more.
    #[error("the certificate of {name} is revoked: no other host of the fleet believes it")]
    Revoked {
        /// Its name.
        name: HostName,
    },
    /// The other's record cannot be read.
    #[error(transparent)]
    Record(#[from] FleetRecordError),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

async fn register(member: &Registration, was_registered: bool) -> Result<Lease, Unregistered> {
    if member.is_revoked() {
        return Err(Unregistered::Revoked { name: member.fleet.me().clone() });
    }
    let store = member.fleet.store();
    let key = keys::host(member.fleet.me());
    let guard = match member.fleet.get(&key).await? {
        None => Guard::Absent(key.clone()),
        Some(entry) => {
            match record::decode::<HostRecord>(&key, &entry.value) {
                Ok(other) => check_other(member, other).await?,
                // Somebody has written over what this host had written in this run.
                Err(FleetRecordError::Damaged { .. }) if was_registered => {}
                Err(error) => return Err(error.into()),
            }
            Guard::At(key.clone(), entry.revision)
        }
    };
    let lease = store.grant(member.ttl).await?;
    let value = record::encode(&member.record_now());
    let write = Write::Put { key, value, lease: Some(lease.id()) };
    member.fleet.commit(Commit { guards: vec![guard], writes: vec![write] }).await?;
    tracing::info!(name = %member.fleet.me(), peer = %member.record.address, "registered in the fleet");
    Ok(lease)
}

/// Writes this host's record again, which is registered; whether that was done.
async fn write_again(member: &Registration, now: &HostRecord, lease: LeaseId) -> bool {
    let key = keys::host(member.fleet.me());
    let Ok(Some(entry)) = member.fleet.get(&key).await else { return false };
    let is_own = record::decode::<HostRecord>(&key, &entry.value)
        .is_ok_and(|own| (&own.id, own.run) == (&now.id, now.run));
    let guards = vec![Guard::At(key.clone(), entry.revision)];
    let writes = vec![Write::Put { key, value: record::encode(now), lease: Some(lease) }];
    is_own && member.fleet.commit(Commit { guards, writes }).await.is_ok()
}

/// Whether the place of a host that is registered under this one's name can be taken: it is an earlier
/// run on the same data, and over. The data folder lets in one process only, but a copy of it does not
/// know of the original; so whoever may live is asked, or its lease waited for.
async fn check_other(member: &Registration, other: HostRecord) -> Result<(), Unregistered> {
    let (name, address) = (member.fleet.me().clone(), other.address);
    if other.id != member.record.id {
        return Err(Unregistered::NameTaken { name, address, zone: other.zone });
    }
    // Nobody else can have the door that this run has open.
    if other.run == member.record.run || address == member.record.address {
        return Ok(());
    }
    let connected = tokio::net::TcpStream::connect(address);
    match tokio::time::timeout(ASK_WITHIN, connected).await {
        // Its machine says that nobody listens there.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        _ => Err(Unregistered::Copy { name, address }),
    }
}

impl Registration {
    /// How this host registers now.
    fn record_now(&self) -> HostRecord {
        let Some(identity) = &self.identity else { return self.record.clone() };
        let shown = identity.certificate();
        HostRecord {
            certificate: Some(CertificateRecord {
                fingerprint: shown.facts.fingerprint,
                authority: shown.authority,
                begins: shown.facts.begins,
                ends: shown.ends.as_second(),
            }),
            believes: identity.authorities(),
            ..self.record.clone()
        }
    }

    /// Whether the certificate is revoked that this host shows.
    fn is_revoked(&self) -> bool {
        let shown = self.identity.as_ref().map(Identity::certificate);
        shown.is_some_and(|shown| self.fleet.revoked().covers(&shown.facts))
    }

    fn tell(&self, kind: &'static str, severity: Severity, detail: String, advice: &str) {
        let advice = Some(advice.to_owned());
        self.events.push(Event { severity, advice, ..Event::now(kind, detail) });
    }
}

/// Tells what is wrong, once and not at every try.
fn complain(member: &Registration, error: &Unregistered, n_failures: u32) {
    let trouble = format!("it is not registered in the fleet: {}", chain(error));
    let advice = match error {
        Unregistered::NameTaken { .. } => {
            "give this host another --name, or stop the other one; what had the name before and is \
             gone loses it with its lease"
        }
        Unregistered::Copy { .. } => {
            "stop one of the two; to make this one a host of its own, stop it, delete the file host-id \
             in its --data folder, and give it a --name and a certificate of its own"
        }
        Unregistered::Revoked { .. } => {
            "it serves its own callers on; where it shall come back, make another certificate for it \
             where the authority is, with `steerage cert renew DIR`, and put its files in place of these"
        }
        Unregistered::Record(_) => "update this host, or stop the one that wrote the record",
        Unregistered::Store(error) => error.advice(),
    };
    member.fleet.note_trouble(Some(format!("{trouble}; {advice}")));
    // An earlier run of this host may have ended without giving its place back: that takes a lease.
    let may_be_over = matches!(error, Unregistered::Copy { .. });
    if n_failures == if may_be_over { COPY_TRIES } else { 0 } {
        tracing::error!(error = chain(error), advice, "cannot register in the fleet; trying on");
        member.tell("not_registered", Severity::Error, trouble, advice);
    }
}
