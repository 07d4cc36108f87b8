//! Revoking the certificates of a host, as an operator wants it: who holds one that was made before is no
//! host of the fleet any more. Does not cut anybody: every host does that once it hears of it.

use jiff::Timestamp;
use steerage_core::id::HostName;
use steerage_core::revoked::{BACKDATED, Revocation};

use super::current::TRIES;
use super::{DeployError, Desired, RevokeError};
use crate::agent::now;
use crate::fleet::record::{self, FleetRecordError, RevokedRecord};
use crate::fleet::{Fleet, keys};
use crate::store::{Commit, Guard, StoreError, Write};
use crate::telemetry::events::{Event, Severity};

/// What to do next.
const NEXT: &str = "if it shall come back, make another certificate for it where the authority is, with \
                    `steerage cert renew DIR`, and put its files in place of the old ones";

impl Desired {
    /// Revokes all certificates of a host that were made by now; returns what was done, in a sentence.
    ///
    /// # Errors
    /// [`RevokeError`], or the store does not answer.
    pub async fn revoke(&self, host: &HostName, is_forced: bool) -> Result<String, DeployError> {
        let fleet = self.fleet();
        check(fleet, host, is_forced)?;
        let shown = fleet.view().host(host).and_then(|record| record.certificate.clone());
        let shown = shown.map(|shown| shown.fingerprint);
        let backdated = i64::try_from(BACKDATED.as_secs()).unwrap_or(0);
        // The authority's tool dates certificates back, for hosts whose clocks are late.
        let before = Timestamp::now().as_second() - backdated;
        let said = Revocation { before, certificates: shown.into_iter().collect() };
        self.put_revoked(host, &said).await?;
        Ok(self.tell_revoked(host))
    }

    /// Writes down that certificates of a host are revoked, besides those that are already.
    ///
    /// # Errors
    /// The store does not answer, or what it says of them is changed again and again.
    pub async fn put_revoked(&self, host: &HostName, said: &Revocation) -> Result<(), DeployError> {
        let (fleet, key) = (self.fleet(), keys::revoked(host));
        for _ in 0..TRIES {
            let entry = fleet.get(&key).await?;
            let known = entry.as_ref().map(|it| record::decode::<RevokedRecord>(&key, &it.value));
            let known = match known {
                // Written over, what it says would be lost.
                Some(Err(error @ FleetRecordError::Newer { .. })) => {
                    return Err(DeployError::damaged(error));
                }
                known => known.and_then(Result::ok),
            };
            let mut record = known.unwrap_or_else(|| RevokedRecord::of(said, 0));
            record.before = record.before.max(said.before);
            record.certificates.extend(said.certificates.iter().cloned());
            record.at = now();
            let guard = match &entry {
                Some(entry) => Guard::At(key.clone(), entry.revision),
                None => Guard::Absent(key.clone()),
            };
            let value = record::encode(&record);
            let write = Write::Put { key: key.clone(), value, lease: None };
            match fleet.commit(Commit { guards: vec![guard], writes: vec![write] }).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let why = format!("{key} was changed again and again by others; try again");
        Err(StoreError::Away { why }.into())
    }

    fn tell_revoked(&self, host: &HostName) -> String {
        let message = format!("all certificates of {host} that were made by now are revoked");
        tracing::warn!("{message}");
        self.own.events.push(Event {
            severity: Severity::Warning,
            advice: Some(NEXT.to_owned()),
            ..Event::now("host_revoked", message.clone())
        });
        format!("{message}: no host of the fleet lets {host} in or asks it any more; {NEXT}")
    }
}

fn check(fleet: &Fleet, host: &HostName, is_forced: bool) -> Result<(), RevokeError> {
    if fleet.peers().believed().is_none() {
        return Err(RevokeError::NoCertificates);
    }
    if fleet.revoked().is_full_for(host) {
        return Err(RevokeError::Full);
    }
    if is_forced {
        return Ok(());
    }
    let view = fleet.view();
    let is_lost = || fleet.lost().iter().any(|(lost, _)| lost == host);
    if view.all_hosts().all(|(other, _)| other == host) {
        return Err(RevokeError::Last(host.clone()));
    }
    if host == fleet.me() {
        return Err(RevokeError::Itself(host.clone()));
    }
    if view.host(host).is_none() && fleet.revoked().of(host).is_none() && !is_lost() {
        let known: Vec<_> = view.all_hosts().map(|(name, _)| name.to_string()).collect();
        return Err(RevokeError::Unknown { name: host.clone(), known: known.join(", ") });
    }
    Ok(())
}
