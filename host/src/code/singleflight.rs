//! Calls that wait for the same code wait together, and it is loaded once for all of them.
//! Does not load it: whoever comes first does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::{DashMap, Entry};
use steerage_core::id::{AppName, Generation};
use tokio::sync::watch;

use super::Unready;
use crate::catalog::{App, LoadedDeployment};

/// Most apps whose code may be waited for at once.
const MOST: usize = 4096;

/// What came of loading an app's code, once that is known.
pub(super) type Loaded = Option<Result<Arc<LoadedDeployment>, Unready>>;

/// All code that is being loaded.
#[derive(Debug, Default)]
pub(super) struct Singleflight {
    /// Nobody takes two of its locks: who holds an entry asks nothing else of it.
    all: DashMap<(AppName, Generation), watch::Receiver<Loaded>>,
    n_loads: AtomicUsize,
}

/// How a call waits.
pub(super) enum Joined {
    /// With others, or not at all.
    Waiting(watch::Receiver<Loaded>),
    /// As the first, who has to see to it that the code is loaded.
    First(Load, watch::Receiver<Loaded>),
    /// It cannot: too much is being loaded.
    Full,
}

/// Code that is being loaded. Others wait for it until this is dropped, however that happens.
pub(super) struct Load {
    singleflight: Arc<Singleflight>,
    key: (AppName, Generation),
    loaded: watch::Sender<Loaded>,
}

impl Singleflight {
    /// Waits for the code of an app together with all who do.
    pub(super) fn join(self: &Arc<Self>, app: &App) -> Joined {
        let key = (app.name.clone(), app.generation);
        let vacant = match self.all.entry(key.clone()) {
            Entry::Occupied(coming) => return Joined::Waiting(coming.get().clone()),
            Entry::Vacant(vacant) => vacant,
        };
        // It may have come between the look that did not find it and the lock.
        let there = app.deployed().map(Ok);
        let is_there = there.is_some();
        let (loaded, coming) = watch::channel(there);
        if is_there {
            return Joined::Waiting(coming);
        }
        if self.n_loads.fetch_add(1, Ordering::Relaxed) >= MOST {
            self.n_loads.fetch_sub(1, Ordering::Relaxed);
            return Joined::Full;
        }
        vacant.insert(coming.clone());
        Joined::First(Load { singleflight: self.clone(), key, loaded }, coming)
    }
}

impl Load {
    /// Gives all who wait what came of it.
    pub(super) fn tell(&self, loaded: Result<Arc<LoadedDeployment>, Unready>) {
        self.loaded.send_replace(Some(loaded));
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.singleflight.all.remove(&self.key);
        self.singleflight.n_loads.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use steerage_core::id::Digest;

    use super::*;
    use crate::ledger::index::IndexRecord;

    fn app(name: &str) -> App {
        let record = IndexRecord {
            app: name.parse().unwrap(),
            generation: Generation::FIRST,
            digest: Digest::from_bytes([1; 32]),
            version: String::new(),
            routes: Vec::new(),
            kind: "http-0.2".to_owned(),
            size: 1,
            deployed_at: 2,
            fingerprint: None,
        };
        App::new(record).unwrap()
    }

    #[tokio::test]
    async fn only_the_first_loads_and_all_hear_of_it() {
        let singleflight = Arc::<Singleflight>::default();
        let Joined::First(load, mut first) = singleflight.join(&app("a")) else {
            panic!("not the first")
        };
        let Joined::Waiting(mut second) = singleflight.join(&app("a")) else {
            panic!("a second first")
        };
        assert!(matches!(singleflight.join(&app("b")), Joined::First(..)));
        load.tell(Err(Unready::Gone));
        for coming in [&mut first, &mut second] {
            let loaded = coming.wait_for(Option::is_some).await.unwrap();
            assert_eq!(loaded.as_ref().unwrap().as_ref().unwrap_err(), &Unready::Gone);
        }
        drop(load);
        assert!(matches!(singleflight.join(&app("a")), Joined::First(..)));
    }

    #[tokio::test]
    async fn who_waits_for_what_was_given_up_does_not_wait_for_ever() {
        let singleflight = Arc::<Singleflight>::default();
        let Joined::First(load, mut coming) = singleflight.join(&app("a")) else {
            panic!("not first")
        };
        drop(load);
        assert!(coming.wait_for(Option::is_some).await.is_err());
    }

    #[test]
    fn what_is_loaded_at_once_is_bounded() {
        let singleflight = Arc::<Singleflight>::default();
        let all: Vec<Joined> =
            (0..MOST).map(|n| singleflight.join(&app(&format!("a{n}")))).collect();
        assert!(all.iter().all(|joined| matches!(joined, Joined::First(..))));
        assert!(matches!(singleflight.join(&app("b")), Joined::Full));
        assert!(matches!(singleflight.join(&app("a7")), Joined::Waiting(_)));
        drop(all);
        assert!(matches!(singleflight.join(&app("b")), Joined::First(..)));
    }
}
