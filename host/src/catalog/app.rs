//! One app as a host holds it while nobody calls it: some hundred bytes, made from the ledger's index.
//! Does not load its code: `code` does, and leaves it here for the calls to take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use steerage_core::canary::Side;
use steerage_core::id::{AppName, Digest, Generation};
use steerage_core::route::Route;

use super::{AppState, Count, LoadedDeployment, Replaced, RunningCanary, WatchedDeployment};
use crate::ledger::index::IndexRecord;
use crate::ledger::record::Fingerprint;
use crate::sandbox::verdict::GuestKind;

/// One deployment of an app that is served, whether its code is mapped or not.
#[derive(Debug)]
pub struct App {
    /// Its name.
    pub name: AppName,
    /// Which of its deployments this is.
    pub generation: Generation,
    /// The component.
    pub digest: Digest,
    /// Which kind of guest it is.
    pub kind: GuestKind,
    /// The developer's own version of it.
    pub version: Box<str>,
    /// Bytes of the component as it was uploaded.
    pub size: u64,
    /// When it was deployed, in milliseconds since the epoch.
    pub deployed_at: u64,
    /// What tells this deployment from another of its number, where the index says.
    pub fingerprint: Option<Fingerprint>,
    /// Its routes as the manifest has them, each in the form in which guests are told.
    routes: Box<[HeaderValue]>,
    /// Its code with what belongs to it, while it is mapped.
    deployed: ArcSwapOption<LoadedDeployment>,
    /// Made at its first call.
    state: OnceLock<Box<AppState>>,
    /// The canary beside it.
    canary: ArcSwapOption<RunningCanary>,
    /// The watch over it.
    watch: ArcSwapOption<WatchedDeployment>,
    /// What it replaced here, if that was called.
    replaced: Option<Box<Replaced>>,
    /// When it was called last, on the clock of `code`.
    used_at: AtomicU64,
}

/// Why an app cannot be served as the ledger has it.
#[derive(Debug, thiserror::Error)]
pub enum BadApp {
    /// This host does not know such guests.
    #[error("it is a guest of the unknown kind {0:?}")]
    Kind(String),
    /// This host does not understand one of its routes.
    #[error("its route {0:?} is none")]
    Route(String),
}

impl App {
    /// The app that the index describes, without code.
    ///
    /// # Errors
    /// This host does not understand the description.
    pub fn new(record: IndexRecord) -> Result<Self, BadApp> {
        let Some(kind) = GuestKind::named(&record.kind) else {
            return Err(BadApp::Kind(record.kind));
        };
        let mut routes = Vec::with_capacity(record.routes.len());
        for route in record.routes {
            match HeaderValue::from_str(&route) {
                Ok(shown) if route.parse::<Route>().is_ok() => routes.push(shown),
                _ => return Err(BadApp::Route(route)),
            }
        }
        Ok(Self {
            name: record.app,
            generation: record.generation,
            digest: record.digest,
            kind,
            version: record.version.into(),
            size: record.size,
            deployed_at: record.deployed_at,
            fingerprint: record.fingerprint,
            routes: routes.into(),
            deployed: ArcSwapOption::empty(),
            canary: ArcSwapOption::empty(),
            watch: ArcSwapOption::empty(),
            replaced: None,
            state: OnceLock::new(),
            used_at: AtomicU64::new(0),
        })
    }

    /// The same app with its code mapped, in place of `before`, the same app as it was.
    #[must_use]
    pub fn ready(self, deployed: Arc<LoadedDeployment>) -> Self {
        let state = OnceLock::from(Box::new(deployed.state.clone()));
        Self { deployed: ArcSwapOption::new(Some(deployed)), state, ..self }
    }

    /// The same app with what `before`, its earlier deployment, keeps.
    #[must_use]
    pub fn with_state_of(self, before: &Self) -> Self {
        let state = before.state.get().cloned().map_or_else(OnceLock::new, OnceLock::from);
        Self { state, ..self }
    }

    /// The same app, which replaces `before`: what that one did lately is kept to compare with, and where it
    /// is the same deployment, it is watched on.
    #[must_use]
    pub fn replacing(self, before: Option<&Self>) -> Self {
        let Some(before) = before else { return self };
        if before.generation == self.generation {
            let watch = ArcSwapOption::new(before.watch.load_full());
            return Self { watch, replaced: before.replaced.clone(), ..self };
        }
        let replaced = before.state().map(|state| Replaced {
            generation: before.generation,
            did: state.meter.take_recent(),
        });
        Self { replaced: replaced.map(Box::new), ..self }
    }

    /// Watches it for so long, as one that replaced this deployment, or not any more. A watch that goes on
    /// counts on.
    pub fn set_watch(&self, wanted: Option<(Generation, Duration)>) {
        let Some((replaced, left)) = wanted else {
            if self.watch.load().is_some() {
                self.watch.store(None);
            }
            return;
        };
        if self.watch.load().is_none() {
            let before = self.replaced.as_ref().filter(|before| before.generation == replaced);
            let watch =
                WatchedDeployment::new(self.generation, left, before.map(|before| before.did));
            self.watch.store(Some(Arc::new(watch)));
        }
    }

    /// The watch over it, unless its time is over.
    #[must_use]
    pub fn watch(&self) -> Option<Arc<WatchedDeployment>> {
        let watch = self.watch.load_full()?;
        if watch.is_over() {
            self.watch.store(None);
            return None;
        }
        Some(watch)
    }

    /// What its canary did beside it, or it did itself while it is watched beside the one before it: of
    /// which deployment, what the old one did, and what that one did.
    #[must_use]
    pub fn evidence(&self) -> Option<(Generation, Side, Side)> {
        if let Some(canary) = self.canary() {
            return Some((canary.generation(), canary.old.read(), canary.canary.read()));
        }
        let watch = self.watch()?;
        let (old, new) = watch.read();
        Some((watch.generation(), old, new))
    }

    /// Its code, if it is mapped.
    #[must_use]
    pub fn deployed(&self) -> Option<Arc<LoadedDeployment>> {
        self.deployed.load_full()
    }

    /// The deployment that a call is for, and where the call is counted: the canary where
    /// `draw`, a number below `Share::WHOLE`, is in its share; otherwise its own code, if that is
    /// mapped.
    pub fn pick(
        &self,
        draw: impl FnOnce() -> u32,
    ) -> (Option<Arc<LoadedDeployment>>, Option<Arc<Count>>) {
        match &*self.canary.load() {
            None => (self.deployed(), self.watch.load().as_ref().map(|watch| watch.count())),
            Some(canary) if canary.takes(draw()) => {
                (Some(canary.deployed.clone()), Some(canary.canary.clone()))
            }
            Some(canary) => (self.deployed(), Some(canary.old.clone())),
        }
    }

    /// The canary beside it.
    #[must_use]
    pub fn canary(&self) -> Option<Arc<RunningCanary>> {
        self.canary.load_full()
    }

    /// Puts a deployment on canary, or none; returns the one that was.
    pub fn set_canary(&self, canary: Option<Arc<RunningCanary>>) -> Option<Arc<RunningCanary>> {
        self.canary.swap(canary)
    }

    /// What it keeps from one deployment to the next, unless it has never been called.
    #[must_use]
    pub fn state(&self) -> Option<&AppState> {
        self.state.get().map(AsRef::as_ref)
    }

    /// The same, made if there is none.
    pub fn state_or(&self, make: impl FnOnce() -> AppState) -> &AppState {
        self.state.get_or_init(|| Box::new(make()))
    }

    /// Where it answers.
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        self.route_texts().filter_map(|text| text.parse().ok()).collect()
    }

    /// The same as texts.
    pub fn route_texts(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().filter_map(|shown| shown.to_str().ok())
    }

    pub(super) fn shown_route(&self, place: usize) -> HeaderValue {
        self.routes.get(place).cloned().unwrap_or(HeaderValue::from_static("?"))
    }

    /// Notes that it is called at this time. Written only when it has changed, since all threads
    /// read what lies beside it.
    pub fn touch(&self, now: u64) {
        if self.used_at.load(Ordering::Relaxed) != now {
            self.used_at.store(now, Ordering::Relaxed);
        }
    }

    /// When it was called last, on the clock that [`App::touch`] is told.
    #[must_use]
    pub fn used_at(&self) -> u64 {
        self.used_at.load(Ordering::Relaxed)
    }

    /// Whether calls of it run: whoever else holds its mapped code counts as one.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        // One is what this app holds itself.
        self.deployed.load().as_ref().is_some_and(|deployed| Arc::strong_count(deployed) > 1)
    }

    /// Gives it its code.
    pub fn map(&self, deployed: Arc<LoadedDeployment>) {
        self.deployed.store(Some(deployed));
    }

    /// Takes its code away, and returns it; calls that run keep theirs to their end.
    pub fn unmap(&self) -> Option<Arc<LoadedDeployment>> {
        self.deployed.swap(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> IndexRecord {
        IndexRecord {
            app: "shop".parse().unwrap(),
            generation: Generation::FIRST,
            digest: Digest::from_bytes([1; 32]),
            version: "1.0".to_owned(),
            routes: vec!["a.b/c/:d".to_owned(), "/x/...".to_owned()],
            kind: "http-0.2".to_owned(),
            size: 1,
            deployed_at: 2,
            fingerprint: None,
        }
    }

    #[test]
    fn an_app_knows_its_routes_without_a_manifest() {
        let app = App::new(record()).unwrap();
        assert_eq!(app.route_texts().collect::<Vec<_>>(), ["a.b/c/:d", "/x/..."]);
        assert_eq!(app.routes().len(), 2);
        assert_eq!(app.shown_route(1), "/x/...");
        assert!(app.deployed().is_none() && app.state().is_none() && !app.is_busy());
    }

    #[test]
    fn what_this_host_does_not_understand_is_refused() {
        let error = App::new(IndexRecord { kind: "tcp-9".to_owned(), ..record() }).unwrap_err();
        assert_eq!(error.to_string(), "it is a guest of the unknown kind \"tcp-9\"");
        let error = App::new(IndexRecord { routes: vec!["x".to_owned()], ..record() }).unwrap_err();
        assert_eq!(error.to_string(), "its route \"x\" is none");
    }
}
