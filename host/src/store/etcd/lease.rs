//! Leases of etcd: granted, kept alive, given back.
//! Does not keep them alive by itself: whoever holds one does.

use std::time::Duration;

use super::super::{LeaseId, StoreError};
use super::{Etcd, unsigned};

#[derive(Debug)]
pub(in super::super) struct EtcdLease {
    id: i64,
    etcd: Etcd,
}

impl Etcd {
    pub(in super::super) async fn grant(
        &self,
        seconds: u32,
    ) -> Result<(LeaseId, Duration, EtcdLease), StoreError> {
        let asked = self.ask(|client| async move {
            client.lease_client().grant(i64::from(seconds), None).await
        });
        let granted = asked.await?;
        let ttl = Duration::from_secs(unsigned(granted.ttl()));
        let id = granted.id();
        Ok((LeaseId(id), ttl, EtcdLease { id, etcd: self.clone() }))
    }
}

impl EtcdLease {
    pub(in super::super) async fn keep_alive(&self) -> Result<(), StoreError> {
        let id = self.id;
        // It waits for the first answer itself, and refuses one that says that no time is left.
        let asked =
            self.etcd.ask(|client| async move { client.lease_client().keep_alive(id).await });
        asked.await.map(drop)
    }

    pub(in super::super) async fn revoke(self) -> Result<(), StoreError> {
        let id = self.id;
        let asked = self.etcd.ask(|client| async move { client.lease_client().revoke(id).await });
        match asked.await {
            Ok(_) | Err(StoreError::LeaseLost) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
