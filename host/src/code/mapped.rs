//! Which apps have their code mapped, and room for more. Whose goes is `core::mapped`'s decision.
//! Does not map anything: `code` does, and drops what is taken away here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steerage_core::id::AppName;
use steerage_core::mapped::{self, MappedApp};

use crate::catalog::{App, Catalog, LoadedDeployment};

/// How much code may be mapped, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedSettings {
    /// The most apps at once whose code is mapped. Each takes some mappings, an open file, and some
    /// ten KiB; one call in a while of an app beyond these costs a map.
    pub most: u32,
    /// How long an app keeps its mapped code, and its instances that wait for another call, without
    /// being called.
    pub idle: Duration,
}

/// The apps whose code is mapped.
#[derive(Debug)]
pub(super) struct Mapped {
    most: u32,
    apps: Mutex<BTreeMap<AppName, Arc<App>>>,
}

impl Mapped {
    pub(super) fn new(most: u32) -> Self {
        Self { most: most.max(1), apps: Mutex::default() }
    }

    pub(super) fn all(&self) -> Vec<Arc<App>> {
        self.apps().values().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.apps().len()
    }

    /// Takes away code until there is room for one more. Returns what is yet to be dropped, and
    /// whether there is room: calls may run in all of it.
    pub(super) fn make_room(&self) -> (Vec<Arc<LoadedDeployment>>, bool) {
        let mut apps = self.apps();
        let n_over = mapped::batch(apps.len(), self.most);
        if n_over == 0 {
            return (Vec::new(), true);
        }
        let all: Vec<Arc<App>> = apps.values().cloned().collect();
        let standing =
            |app: &Arc<App>| MappedApp { used_at: app.used_at(), is_busy: app.is_busy() };
        let standings: Vec<MappedApp> = all.iter().map(standing).collect();
        let gone = mapped::oldest(&standings, n_over);
        let unmapped = gone.iter().filter_map(|place| all.get(*place));
        let unmapped = unmapped.filter_map(|app| take_out(&mut apps, app)).collect();
        (unmapped, apps.len() < self.most as usize)
    }

    /// Leaves code with its app, unless another deployment has taken its place meanwhile.
    pub(super) fn keep(&self, catalog: &Catalog, app: &Arc<App>, deployed: Arc<LoadedDeployment>) {
        let mut apps = self.apps();
        let is_served = catalog.load().apps.get(&app.name).is_some_and(|now| Arc::ptr_eq(now, app));
        if is_served {
            app.map(deployed);
            apps.insert(app.name.clone(), app.clone());
        }
    }

    /// Notes an app that was published with its code mapped.
    pub(super) fn note(&self, app: &Arc<App>) {
        self.apps().insert(app.name.clone(), app.clone());
    }

    /// Takes away the code of an app that is served no longer.
    pub(super) fn forget(&self, app: &Arc<App>) -> Option<Arc<LoadedDeployment>> {
        let mut apps = self.apps();
        if apps.get(&app.name).is_some_and(|there| Arc::ptr_eq(there, app)) {
            apps.remove(&app.name);
        }
        drop(apps);
        app.unmap()
    }

    /// Takes away the code that nobody has called since `since`; returns it, and what is left.
    pub(super) fn unmap_idle(&self, since: u64) -> (Vec<Arc<LoadedDeployment>>, Vec<Arc<App>>) {
        let mut apps = self.apps();
        let all: Vec<Arc<App>> = apps.values().cloned().collect();
        let (old, left): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|app| app.used_at() < since && !app.is_busy());
        (old.iter().filter_map(|app| take_out(&mut apps, app)).collect(), left)
    }

    fn apps(&self) -> MutexGuard<'_, BTreeMap<AppName, Arc<App>>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take_out(apps: &mut BTreeMap<AppName, Arc<App>>, app: &App) -> Option<Arc<LoadedDeployment>> {
    apps.remove(&app.name);
    app.unmap()
}
