//! Publishing apps with their code, or without it, and taking them away.
//! Does not decide what is published: the agent does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use steerage_core::id::{AppName, Digest};
use steerage_core::manifest::Manifest;
use steerage_core::route::Conflict;

use super::{Inner, Loader};
use crate::catalog::{App, AppState, LoadedDeployment};

impl Loader {
    /// Publishes a deployment that was made ready, in place of the app's earlier one.
    ///
    /// # Errors
    /// Another app has one of its routes; nothing has changed then.
    pub fn publish(&self, app: App, deployed: LoadedDeployment) -> Result<Arc<App>, Conflict> {
        let Inner { parts, mapped, .. } = &*self.inner;
        // It is mapped already, so where calls run in all others it is one too many for a while.
        self.drop_in_background(mapped.make_room().0);
        let before = parts.catalog.app(&app.name);
        let deployed = Arc::new(deployed);
        let app = app.replacing(before.as_deref()).ready(deployed.clone());
        let app = Arc::new(app);
        app.touch(self.clock(Instant::now()));
        let replaced = parts.catalog.publish(app.clone())?;
        // Not before: one that cannot be published leaves the one before it served.
        deployed.tell_limits();
        mapped.note(&app);
        self.retire(replaced);
        if self.is_overtaken(&deployed) {
            // A secret was set since it was made ready: its first call has it made ready again.
            self.drop_in_background(mapped.forget(&app));
        }
        Ok(app)
    }

    /// Publishes an app whose code is not loaded now, in place of its earlier deployment, with what
    /// that one keeps.
    ///
    /// # Errors
    /// Another app has one of its routes; nothing has changed then.
    pub fn publish_light(&self, app: App) -> Result<(), Conflict> {
        let parts = self.parts();
        let app = match parts.catalog.app(&app.name) {
            Some(before) => app.replacing(Some(&before)).with_state_of(&before),
            None => app,
        };
        self.retire(parts.catalog.publish(Arc::new(app))?);
        Ok(())
    }

    /// The same for many apps, which are published together: a snapshot for each of a hundred thousand would
    /// copy parts of all routes as often. Returns which could not be published and why.
    #[must_use]
    pub fn publish_all_light(&self, apps: Vec<App>) -> BTreeMap<AppName, Conflict> {
        let mut refused = BTreeMap::new();
        let (mut new, catalog) = (Vec::new(), &self.parts().catalog);
        for app in apps {
            // What is served goes on at once with what it has counted. It may give up a route that a new
            // one takes, so it comes first.
            let (name, is_served) = (app.name.clone(), catalog.app(&app.name).is_some());
            if !is_served {
                new.push(Arc::new(app));
            } else if let Err(conflict) = self.publish_light(app) {
                refused.insert(name, conflict);
            }
        }
        for (app, published) in new.iter().zip(catalog.publish_all(new.clone())) {
            match published {
                Ok(replaced) => self.retire(replaced),
                Err(conflict) => drop(refused.insert(app.name.clone(), conflict)),
            }
        }
        refused
    }

    /// Stops serving an app, if it is served.
    pub fn withdraw(&self, name: &AppName) {
        self.retire(self.parts().catalog.withdraw(name));
        self.parts().telemetry.remove(name);
    }

    /// Gives an app its part of the CPU, of memory and of slots anew.
    pub fn reshape(&self, state: &AppState, manifest: &Manifest) {
        let (parts, tenant, weight) = (self.parts(), &manifest.tenant, manifest.weight);
        parts.memory.reshape(&state.memory, tenant, weight);
        parts.cpu.reshape(&state.flow, tenant, weight);
        parts.admission.reshape(&state.gate, &manifest.limits, tenant, weight);
    }

    /// Removes compiled code that has been there since before `since` and is not needed; returns how
    /// many files.
    pub fn sweep(&self, since: SystemTime, is_needed: impl FnMut(&Digest) -> bool) -> usize {
        self.parts().sandbox.compiler().sweep(since, is_needed)
    }

    /// Interfaces that a component imports and this host does not have, where it has been compiled here.
    #[must_use]
    pub fn not_offered(&self, digest: Digest) -> Vec<String> {
        let compiled = self.parts().sandbox.compiler().cached(digest);
        compiled.map(|compiled| compiled.shape.not_offered).unwrap_or_default()
    }

    /// Removes the compiled code of a component that is not needed any more.
    pub fn forget(&self, digest: Digest) {
        self.parts().sandbox.compiler().forget(digest);
    }

    /// Drops the code of an app that is served no longer.
    fn retire(&self, app: Option<Arc<App>>) {
        let Some(app) = app else { return };
        let canary = app.set_canary(None).map(|canary| canary.deployed.clone());
        self.drop_in_background(self.inner.mapped.forget(&app).into_iter().chain(canary));
    }
}
