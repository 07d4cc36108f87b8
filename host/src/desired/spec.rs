//! What somebody asks to have deployed, and whether the manifest is the one that was meant: for the app
//! that was named, with the component that was sent, and of the tenant that the app belongs to.
//! Does not know who asks: whoever has the token may ask for everything.

use steerage_core::id::{AppName, Digest};
use steerage_core::manifest::Manifest;
use steerage_core::rollout::{CanaryPlan, WatchTime};

use super::error::DeployError;

/// What is to be deployed.
#[derive(Clone, Debug)]
pub struct DeploySpec {
    /// The app that it is said to be for.
    pub app: AppName,
    /// The manifest's text.
    pub manifest: String,
    /// The component, which is here.
    pub component: Digest,
    /// The share of the calls that it gets beside what is served, and its steps.
    pub canary: Option<CanaryPlan>,
    /// How long it is watched otherwise, and rolled back if it fails where what is served does not; where
    /// nothing is said, as long as the host says.
    pub watch: Option<WatchTime>,
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
