//! What this host serves right now: one immutable snapshot of routes and apps, swapped whole.
//! An app is light until it is called; `code` loads its code and takes it away again. Decides
//! nothing: the agent does, and publishes here.

mod app;
mod canary;
pub mod crash_log;
mod watched;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use http::HeaderValue;
use imbl::OrdMap;
use steerage_core::id::{AppName, Generation};
use steerage_core::manifest::Manifest;
use steerage_core::objective::Objective;
use steerage_core::route::{Conflict, Route, RouteTable};
use steerage_core::unrouted::{FormerRoute, FormerRoutes};

pub use self::app::{App, BadApp};
pub use self::canary::{Count, RunningCanary};
pub use self::watched::{Replaced, WatchedDeployment};
use crate::admission::Gate;
use crate::budget::Account;
use crate::flow::Flow;
use crate::meter;
use crate::sandbox::module::InstanceTemplate;
use crate::seal::SealedSecrets;
use crate::telemetry::calls::Calls;
use crate::telemetry::logs::AppLog;
use crate::telemetry::metrics::AppMeter;
use crate::telemetry::problems::AppProblems;

/// What outlives an app's deployments: its right to run, its numbers, its last words.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The right to run calls.
    pub gate: Arc<Gate>,
    /// Its part in the sharing of the CPU.
    pub flow: Arc<Flow>,
    /// What its instances hold of the host's memory.
    pub memory: Arc<Account>,
    /// Its counters.
    pub meter: Arc<AppMeter>,
    /// Its last calls.
    pub calls: Arc<Calls>,
    /// Its log lines.
    pub log: Arc<AppLog>,
    /// Whether it does worse than it may.
    pub problems: Arc<AppProblems>,
}

/// One deployment, ready to be called.
#[derive(Debug)]
pub struct LoadedDeployment {
    /// The app.
    pub app: AppName,
    /// Which of its deployments this is.
    pub generation: Generation,
    /// Its code, linked.
    pub prepared: InstanceTemplate,
    /// What it shares with the app's other deployments.
    pub state: AppState,
    /// What it promises its callers.
    objective: Objective,
    /// The sealed secrets that its environment was made of, where it has any.
    secrets: Option<SecretsSeen>,
    /// Whether it is on trial.
    is_canary: bool,
    /// Whether the crash log watches it.
    is_watched: AtomicBool,
    /// Whether the crash log says that calls of it run.
    is_written: AtomicBool,
}

/// Which secrets a deployment's environment was made of.
#[derive(Clone, Debug)]
pub struct SecretsSeen {
    /// How many changes of secrets this host had heard of by then.
    pub epoch: u64,
    /// As they are sealed.
    pub sealed: Arc<SealedSecrets>,
}

/// Where a route leads.
#[derive(Clone, Debug)]
pub struct RouteTarget {
    /// The app.
    pub app: Arc<App>,
    /// Which of its routes this is.
    place: usize,
}

/// Everything that is served, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// All routes of all apps.
    pub routes: RouteTable<RouteTarget>,
    /// All apps.
    pub apps: OrdMap<AppName, Arc<App>>,
}

/// The current snapshot. A call that began on an old one ends on it.
#[derive(Debug, Default)]
pub struct Catalog {
    current: ArcSwap<Snapshot>,
    /// Held by whoever makes the next snapshot.
    next: Mutex<()>,
    /// Deployments that are not called any more, since they took hosts down.
    quarantine: ArcSwap<BTreeMap<AppName, Generation>>,
    /// Routes that apps had. Taken after `next` by who publishes, and alone by who reads; it is held for a
    /// few comparisons, never while something else is waited for.
    former: Mutex<FormerRoutes>,
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

    /// The app of this name.
    #[must_use]
    pub fn app(&self, name: &AppName) -> Option<Arc<App>> {
        self.current.load().apps.get(name).cloned()
    }

    /// Checks that an app could have these routes, without giving them.
    ///
    /// # Errors
    /// Another app has one of them.
    pub fn check(&self, manifest: &Manifest) -> Result<(), Conflict> {
        let snapshot = self.current.load();
        for wanted in &manifest.routes {
            if let Some(there) = snapshot.routes.get(wanted)
                && there.owner != manifest.name
            {
                let (route, owner) = (there.route.clone(), there.owner.clone());
                return Err(Conflict { wanted: wanted.clone(), route, owner });
            }
        }
        Ok(())
    }

    /// Publishes an app in place of the one of its name, which is returned.
    ///
    /// # Errors
    /// Another app has one of its routes; nothing has changed then.
    pub fn publish(&self, app: Arc<App>) -> Result<Option<Arc<App>>, Conflict> {
        self.publish_all(vec![app]).pop().unwrap_or(Ok(None))
    }

    /// Publishes apps in one snapshot, each in place of the one of its name, which is returned, or an error
    /// where another app has one of its routes: for that one nothing has changed. What is returned stands in
    /// the order of the apps.
    pub fn publish_all(&self, apps: Vec<Arc<App>>) -> Vec<Result<Option<Arc<App>>, Conflict>> {
        let _turn = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut snapshot = Snapshot::clone(&self.current.load());
        let put: Vec<_> = apps.iter().map(|app| snapshot.put(app.clone())).collect();
        if put.iter().any(Result::is_ok) {
            self.current.store(Arc::new(snapshot));
        }
        for (app, replaced) in apps.iter().zip(&put) {
            let Ok(replaced) = replaced else { continue };
            let served = app.routes();
            if let Some(replaced) = replaced {
                self.note_former(replaced, |route| served.contains(route));
            }
            let mut former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
            served.iter().for_each(|route| former.forget(route));
        }
        put
    }

    /// Routes that apps of this host had since it was started, the last ones.
    #[must_use]
    pub fn former_routes(&self) -> Vec<FormerRoute> {
        self.former.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn note_former(&self, app: &App, is_kept: impl Fn(&Route) -> bool) {
        let went: Vec<_> = app.routes().into_iter().filter(|route| !is_kept(route)).collect();
        if went.is_empty() {
            return;
        }
        let mut former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        let until = meter::milliseconds_since_epoch(Instant::now());
        for route in went {
            former.note(FormerRoute { route, app: app.name.clone(), until });
        }
    }

    /// Takes an app out and returns it, if there was one.
    pub fn withdraw(&self, app: &AppName) -> Option<Arc<App>> {
        let _turn = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut snapshot = Snapshot::clone(&self.current.load());
        let withdrawn = snapshot.withdraw(app)?;
        self.current.store(Arc::new(snapshot));
        self.note_former(&withdrawn, |_| false);
        Some(withdrawn)
    }

    /// Whether this deployment is quarantined.
    #[must_use]
    pub fn is_quarantined(&self, app: &AppName, generation: Generation) -> bool {
        let quarantine = self.quarantine.load();
        // There is hardly ever one, and this is asked for each call.
        !quarantine.is_empty() && quarantine.get(app) == Some(&generation)
    }

    /// The deployments that are served and quarantined.
    #[must_use]
    pub fn quarantined(&self) -> Vec<(AppName, Generation)> {
        let is_served = |app: &AppName, generation: Generation| {
            self.app(app).is_some_and(|app| app.generation == generation)
        };
        let all = self.quarantine.load();
        let served = all.iter().filter(|(app, generation)| is_served(app, **generation));
        served.map(|(app, generation)| (app.clone(), *generation)).collect()
    }

    /// Quarantines a deployment of an app, or none of its deployments; whether that is news.
    pub fn set_quarantine(&self, app: &AppName, generation: Option<Generation>) -> bool {
        if self.quarantine.load().get(app).copied() == generation {
            return false;
        }
        let _turn = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut quarantine = BTreeMap::clone(&self.quarantine.load());
        match generation {
            Some(generation) => quarantine.insert(app.clone(), generation),
            None => quarantine.remove(app),
        };
        self.quarantine.store(Arc::new(quarantine));
        true
    }

    /// Publishes everything at once: for a start.
    pub fn replace(&self, snapshot: Snapshot) {
        let _turn = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        self.current.store(Arc::new(snapshot));
    }
}

impl Snapshot {
    /// Adds an app with its routes.
    ///
    /// # Errors
    /// Another app has one of them; nothing has changed then.
    pub fn add(&mut self, app: Arc<App>) -> Result<(), Conflict> {
        let routes = app.routes();
        for (place, route) in routes.iter().enumerate() {
            let target = RouteTarget { app: app.clone(), place };
            if let Err(conflict) = self.routes.insert(route, &app.name, target) {
                for added in routes.iter().take(place) {
                    self.routes.remove(added);
                }
                return Err(conflict);
            }
        }
        self.apps.insert(app.name.clone(), app);
        Ok(())
    }

    /// Puts an app in place of the one of its name, which is returned.
    fn put(&mut self, app: Arc<App>) -> Result<Option<Arc<App>>, Conflict> {
        let replaced = self.withdraw(&app.name);
        let Err(conflict) = self.add(app) else { return Ok(replaced) };
        if let Some(replaced) = replaced {
            // It had these routes a moment ago, and nobody has taken them since.
            self.add(replaced)?;
        }
        Err(conflict)
    }

    fn withdraw(&mut self, app: &AppName) -> Option<Arc<App>> {
        let app = self.apps.remove(app)?;
        for route in app.routes() {
            self.routes.remove(&route);
        }
        Some(app)
    }
}

impl LoadedDeployment {
    /// A deployment whose code is linked.
    #[must_use]
    pub fn new(
        app: AppName,
        generation: Generation,
        prepared: InstanceTemplate,
        state: AppState,
    ) -> Self {
        let (is_watched, is_written) = Default::default();
        let is_canary = false;
        let objective = Objective::default();
        Self {
            app,
            generation,
            prepared,
            state,
            objective,
            secrets: None,
            is_canary,
            is_watched,
            is_written,
        }
    }

    /// The same, whose environment was made of these.
    #[must_use]
    pub fn with_secrets(self, secrets: Option<SecretsSeen>) -> Self {
        Self { secrets, ..self }
    }

    /// The secrets that its environment was made of, where it has any.
    #[must_use]
    pub fn secrets(&self) -> Option<&SecretsSeen> {
        self.secrets.as_ref()
    }

    /// The same, which promises this.
    #[must_use]
    pub fn promising(self, objective: Objective) -> Self {
        Self { objective, ..self }
    }

    /// What it promises its callers.
    #[must_use]
    pub fn objective(&self) -> &Objective {
        &self.objective
    }

    /// Tells its limits and what it promises where they are read of the app, whose calls it gets.
    pub fn tell_limits(&self) {
        self.state.problems.note_deployment(self.generation, &self.objective);
        let memory = self.prepared.limits().memory.get();
        self.state.meter.memory_limit.store(memory, Ordering::Relaxed);
    }
}

impl RouteTarget {
    /// The route as the manifest has it, to tell the guest.
    #[must_use]
    pub fn route(&self) -> HeaderValue {
        self.app.shown_route(self.place)
    }
}

#[cfg(test)]
mod tests;
