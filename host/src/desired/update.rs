//! What operators want of an app besides its deployment, and of a host.
//! Does not place anything: placement sees it in the store.

use steerage_core::id::{AppName, HostName};

use super::current::{Current, TRIES};
use super::{DeployError, Desired};
use crate::fleet::keys;
use crate::fleet::record::{self, AppRecord, HostSpec};
use crate::store::{Commit, Write};

impl Desired {
    /// Wants so many replicas of an app, whatever its manifest says.
    ///
    /// # Errors
    /// There is no such app, or the store does not answer.
    pub async fn scale(&self, app: &AppName, replicas: u32) -> Result<(), DeployError> {
        self.update(app, |record| record.scaled = Some(replicas)).await.map(drop)
    }

    /// Changes what is wanted of an app besides its deployment.
    ///
    /// # Errors
    /// There is no such app, or the store does not answer.
    pub(super) async fn update(
        &self,
        app: &AppName,
        change: impl Fn(&mut AppRecord),
    ) -> Result<AppRecord, DeployError> {
        let fleet = &self.fleet;
        let _turn = fleet.turn().await;
        for _ in 0..TRIES {
            let current = Current::read(fleet, app).await?;
            let Some(mut record) = current.record.clone() else {
                return Err(DeployError::NoApp(app.clone()));
            };
            change(&mut record);
            let commit = current.commit(app, &record);
            if self.change(fleet, app, (&current, &record), commit).await?.is_some() {
                return Ok(record);
            }
        }
        Err(DeployError::overtaken(app))
    }

    /// Says what is wanted of a host; with `None` nothing is, and anything may be placed there.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn set_host(
        &self,
        host: &HostName,
        spec: Option<HostSpec>,
    ) -> Result<(), DeployError> {
        let key = keys::host_wanted(host);
        let write = match spec {
            Some(spec) => Write::Put { key, value: record::encode(&spec), lease: None },
            None => Write::Delete(key),
        };
        let commit = Commit { guards: Vec::new(), writes: vec![write] };
        self.fleet.commit(commit).await?;
        Ok(())
    }
}
