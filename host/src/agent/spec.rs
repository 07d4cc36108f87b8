//! What somebody asks to have deployed, and whether the manifest is the one that was meant: for the app
//! that was named, with the component that was sent, and of the tenant that the app belongs to.
//! Does not know who asks: whoever has the token may ask for everything.

use steerage_core::canary::Share;
use steerage_core::id::{AppName, Digest, Generation, TenantName};
use steerage_core::manifest::Manifest;

use super::{Agent, DeployError};
use crate::manifest;

/// What is to be deployed.
#[derive(Clone, Debug)]
pub struct DeploySpec {
    /// The app that it is said to be for.
    pub app: AppName,
    /// The manifest's text.
    pub manifest: String,
    /// The component, which is here.
    pub component: Digest,
    /// The share of the calls that it gets beside what is served.
    pub canary: Option<Share>,
    /// Whether the app may be taken from the tenant that it belongs to.
    pub change_tenant: bool,
}

impl DeploySpec {
    /// Compares what was asked for with what the manifest says.
    ///
    /// # Errors
    /// The manifest is for another app, or wants another component.
    pub(super) fn check(&self, manifest: &Manifest) -> Result<(), DeployError> {
        if self.app != manifest.name {
            let (manifest, asked) = (manifest.name.clone(), self.app.clone());
            return Err(DeployError::OtherApp { manifest, asked });
        }
        match manifest.sha256 {
            Some(wanted) if wanted != self.component => {
                Err(DeployError::OtherComponent { wanted, found: self.component })
            }
            _ => Ok(()),
        }
    }
}

impl Agent {
    /// Refuses a manifest that says another tenant than that of the deployment of this number, which is
    /// the one that is served. To be asked where the deployment is decided: another may be deployed
    /// until then.
    ///
    /// # Errors
    /// [`DeployError::OtherTenant`].
    pub(super) async fn check_tenant(
        &self,
        spec: &DeploySpec,
        wanted: &Manifest,
        served: Option<Generation>,
    ) -> Result<(), DeployError> {
        let Some(served) = served.filter(|_| !spec.change_tenant) else { return Ok(()) };
        match self.tenant_of(&wanted.name, served).await {
            Some(owner) if owner != wanted.tenant => {
                let (app, tenant) = (wanted.name.clone(), wanted.tenant.clone());
                Err(DeployError::OtherTenant { app, owner, tenant })
            }
            _ => Ok(()),
        }
    }

    /// Whose a deployment is. `None` also where its record cannot be read: to deploy the app again is
    /// what mends that.
    async fn tenant_of(&self, app: &AppName, generation: Generation) -> Option<TenantName> {
        let record = match &self.fleet {
            Some(fleet) => self.recall(fleet, app, generation).await.ok()?,
            None => self.own.ledger.deployment(app, generation).ok()??,
        };
        let read = manifest::reread(&record.manifest, &self.own.limits);
        read.ok().map(|manifest| manifest.tenant)
    }
}
