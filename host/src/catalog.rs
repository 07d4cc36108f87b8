//! What this host serves right now: one immutable snapshot of routes and deployments, swapped whole.
//! Does not compile, store or decide: the agent does, and publishes here.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use http::HeaderValue;
use imbl::OrdMap;
use steerage_core::id::{AppName, Digest, Generation};
use steerage_core::manifest::Manifest;
use steerage_core::route::{Conflict, RouteTable};

use crate::budget::Account;
use crate::sandbox::module::Prepared;
use crate::schedule::Gate;
use crate::telemetry::calls::Calls;
use crate::telemetry::logs::AppLog;
use crate::telemetry::metrics::AppMeter;

/// What outlives an app's deployments: its right to run, its numbers, its last words.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The right to run calls.
    pub gate: Arc<Gate>,
    /// What its instances hold of the host's memory.
    pub memory: Arc<Account>,
    /// Its counters.
    pub meter: Arc<AppMeter>,
    /// Its last calls.
    pub calls: Arc<Calls>,
    /// Its log lines.
    pub log: Arc<AppLog>,
}

/// One deployment, ready to be called.
#[derive(Debug)]
pub struct Deployed {
    /// The app.
    pub app: AppName,
    /// Which of its deployments this is.
    pub generation: Generation,
    /// The component.
    pub digest: Digest,
    /// When it was deployed, in milliseconds since the epoch.
    pub deployed_at: u64,
    /// Bytes of the component as it was uploaded.
    pub size: u64,
    /// The manifest it was deployed with.
    pub manifest: Manifest,
    /// That manifest as the developer wrote it.
    pub manifest_text: String,
    /// Its code, linked.
    pub prepared: Prepared,
    /// What it shares with the app's other deployments.
    pub state: AppState,
}

/// Where a route leads.
#[derive(Clone, Debug)]
pub struct Target {
    /// The deployment.
    pub deployed: Arc<Deployed>,
    /// The route as the manifest has it, to tell the guest.
    pub route: HeaderValue,
}

/// Everything that is served, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// All routes of all apps.
    pub routes: RouteTable<Target>,
    /// All apps.
    pub apps: OrdMap<AppName, Arc<Deployed>>,
}

/// The current snapshot. A call that began on an old one ends on it.
#[derive(Debug, Default)]
pub struct Catalog {
    current: ArcSwap<Snapshot>,
    /// Held by whoever makes the next snapshot.
    next: Mutex<()>,
}

impl Catalog {
    /// The snapshot of this moment.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The snapshot of this moment, to keep.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Checks that an app could have these routes, without giving them.
    ///
    /// # Errors
    /// Another app has one of them.
    pub fn check(&self, manifest: &Manifest) -> Result<(), Conflict> {
        let mut snapshot = Snapshot::clone(&self.current.load());
        snapshot.withdraw(&manifest.name);
        for route in &manifest.routes {
            // Only the route's place matters here, and any target tells as much.
            if let Some((_, other)) = snapshot.apps.get_min() {
                let target =
                    Target { deployed: other.clone(), route: HeaderValue::from_static("") };
                snapshot.routes.insert(route, &manifest.name, target)?;
            }
        }
        Ok(())
    }

    /// Publishes a deployment in place of the app's earlier one.
    ///
    /// # Errors
    /// Another app has one of its routes; nothing has changed then.
    pub fn publish(&self, deployed: Deployed) -> Result<Arc<Deployed>, Conflict> {
        let _turn = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut snapshot = Snapshot::clone(&self.current.load());
        snapshot.withdraw(&deployed.app);
        let deployed = Arc::new(deployed);
        for route in &deployed.manifest.routes {
            let shown =
                HeaderValue::from_str(&route.to_string()).unwrap_or(HeaderValue::from_static("?"));
            let target = Target { deployed: deployed.clone(), route: shown };
            snapshot.routes.insert(route, &deployed.app, target)?;
        }
        snapshot.apps.insert(deployed.app.clone(), deployed.clone());
        self.current.store(Arc::new(snapshot));
        Ok(deployed)
    }

    /// Takes an app out. `false` when there was none.
    pub fn withdraw(&self, app: &AppName) -> bool {
        let _turn = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut snapshot = Snapshot::clone(&self.current.load());
        let was_there = snapshot.withdraw(app);
        self.current.store(Arc::new(snapshot));
        was_there
    }
}

impl Snapshot {
    fn withdraw(&mut self, app: &AppName) -> bool {
        let Some(deployed) = self.apps.remove(app) else { return false };
        for route in &deployed.manifest.routes {
            self.routes.remove(route);
        }
        true
    }
}
