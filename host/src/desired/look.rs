//! What is wanted and where it stands, as whoever asks sees it. A fleet has a view at hand; that of a host
//! that is alone is made of its store and of what it serves, for this one look.
//! Shows; changes nothing.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use steerage_core::id::AppName;

use super::{DeployError, Desired};
use crate::fleet::View;
use crate::fleet::record::{CanaryUse, ReadyRecord, UseRecord};

impl Desired {
    /// Everything. On a host that is alone this reads all that its store says of apps.
    ///
    /// # Errors
    /// The store of a host that is alone cannot be read.
    pub async fn look(&self) -> Result<Arc<View>, DeployError> {
        self.look_at_some(None).await
    }

    /// What is about these apps, and about the fleet as a whole; there may be more in it.
    ///
    /// # Errors
    /// The store of a host that is alone cannot be read.
    pub async fn look_at(&self, apps: &[AppName]) -> Result<Arc<View>, DeployError> {
        self.look_at_some(Some(apps)).await
    }

    /// The same for whoever tells more where it is known, and something true without: of a host that is alone
    /// and whose store cannot be read, as on a full disk, nothing is known.
    pub async fn look_if_readable(&self, apps: &[AppName]) -> Arc<View> {
        self.look_at(apps).await.unwrap_or_default()
    }

    async fn look_at_some(&self, apps: Option<&[AppName]>) -> Result<Arc<View>, DeployError> {
        if !self.fleet.is_alone() {
            return Ok(self.fleet.view());
        }
        let mut view = self.fleet.view_alone(apps).await?;
        let me = self.fleet.me().clone();
        let (served, mut canaries) = (self.own.catalog.snapshot(), BTreeMap::new());
        let apps: Vec<_> =
            view.apps().filter_map(|(app, _)| served.apps.get(app)).cloned().collect();
        for app in apps {
            let canary = app.canary();
            let at_hand = ReadyRecord {
                fingerprint: app.fingerprint,
                generation: app.generation.get(),
                canary: canary
                    .as_ref()
                    .and_then(|canary| NonZeroU64::new(canary.generation().get())),
            };
            view.put_ready(&app.name, [(me.clone(), at_hand)].into_iter().collect());
            if let Some((generation, old, new)) = app.evidence() {
                let used = CanaryUse::of(generation.get(), &old, &new);
                canaries.insert(app.name.to_string(), used);
            }
        }
        if !canaries.is_empty() {
            let used = UseRecord { canaries, ..UseRecord::default() };
            view.usage.insert(me, [(0_u32, Arc::new(used))].into_iter().collect());
        }
        Ok(Arc::new(view))
    }
}
