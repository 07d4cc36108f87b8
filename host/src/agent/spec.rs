//! What somebody asks to have deployed, and whether the manifest is the one that was meant: for the app
//! that was named, with the component that was sent, and of the tenant that the app belongs to.
//! Does not know who asks: whoever has the token may ask for everything.

use steerage_core::canary::Share;
use steerage_core::id::{AppName, Digest, TenantName};
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
    pub may_change_tenant: bool,
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
    /// Refuses a manifest that says another tenant than that of the deployment that is served.
    ///
    /// # Errors
    /// [`DeployError::OtherTenant`].
    pub(super) async fn check_tenant(&self, wanted: &Manifest) -> Result<(), DeployError> {
        match self.tenant_of(&wanted.name).await {
            Some(owner) if owner != wanted.tenant => {
                let (app, tenant) = (wanted.name.clone(), wanted.tenant.clone());
                Err(DeployError::OtherTenant { app, owner, tenant })
            }
            _ => Ok(()),
        }
    }

    /// Whose the app is that is served. `None` also where its record cannot be read: to deploy the app
    /// again is what mends that.
    async fn tenant_of(&self, app: &AppName) -> Option<TenantName> {
        let generation = self.parts().catalog.app(app)?.generation;
        let record = match &self.fleet {
            Some(fleet) => self.recall(fleet, app, generation).await.ok()?,
            None => self.parts().ledger.deployment(app, generation).ok()??,
        };
        let read = manifest::reread(&record.manifest, &self.parts().limits);
        read.ok().map(|manifest| manifest.tenant)
    }
}
