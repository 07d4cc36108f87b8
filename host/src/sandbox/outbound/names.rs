//! Name look-ups of guests: by the system's resolver, on threads that nothing else of the host uses.
//! Does not judge what a name resolves to.
//!
//! The system's resolver blocks, for half a minute when a name server is silent, and cannot be
//! stopped. So a look-up has a thread of its own until it ends, also when nobody waits any more, and
//! one app has few of them: its slow names are its own trouble. A runtime's pool for blocking work
//! would be shared with whatever else blocks, such as bringing the code of apps.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use tokio::sync::{Semaphore, oneshot};

/// Look-ups at once, of all apps together.
pub(super) const MOST_THREADS: usize = 64;
/// Look-ups of one app at once.
const MOST_PER_APP: usize = 4;
/// Stack of a look-up's thread: resolvers keep their packets there.
const STACK: usize = 512 << 10;
/// How long what was found is used again. Short, since the system's resolver tells no lifetimes and
/// may have a cache of its own; long enough that a burst of requests asks once.
const KEPT: Duration = Duration::from_secs(5);
/// The same for a name that was not found.
const KEPT_FAILURE: Duration = Duration::from_secs(1);
/// Names of one app that are remembered. Beyond it all are forgotten.
const MOST_NAMES: usize = 256;

/// Parts of an app's maps, each behind a lock of its own: few, since most apps send few requests and each
/// part takes memory.
pub(super) const PARTS: usize = 8;

/// The look-ups of one app.
#[derive(Debug)]
pub(super) struct Names {
    of_all_apps: Arc<Semaphore>,
    of_this_app: Arc<Semaphore>,
    known: DashMap<String, Arc<Name>>,
}

/// A name. Who looks it up holds the lock, so others that want it wait for the answer instead of
/// asking too.
type Name = tokio::sync::Mutex<Option<Known>>;

#[derive(Debug)]
struct Known {
    until: Instant,
    found: Result<Vec<IpAddr>, NotFound>,
}

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotFound(String);

impl Names {
    pub(super) fn new(of_all_apps: Arc<Semaphore>) -> Self {
        let of_this_app = Arc::new(Semaphore::new(MOST_PER_APP));
        Self { of_all_apps, of_this_app, known: DashMap::with_shard_amount(PARTS) }
    }

    /// The addresses of a name; of an address, itself.
    pub(super) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, NotFound> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        let entry = self.entry(name);
        let mut known = entry.lock().await;
        if let Some(known) = &*known
            && Instant::now() < known.until
        {
            return known.found.clone();
        }
        let found = self.look_up(name).await;
        let kept = if found.is_ok() { KEPT } else { KEPT_FAILURE };
        *known = Some(Known { until: Instant::now() + kept, found: found.clone() });
        found
    }

    fn entry(&self, name: &str) -> Arc<Name> {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        // Some more where several come at once.
        if self.known.len() >= MOST_NAMES {
            self.known.clear();
        }
        self.known.entry(name.to_owned()).or_default().clone()
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, NotFound> {
        // Of this app first: who waits here must not keep a place from other apps.
        let own = self.of_this_app.clone().acquire_owned().await;
        let place = self.of_all_apps.clone().acquire_owned().await;
        let (tell, told) = oneshot::channel();
        let asked = name.to_owned();
        let look = move || {
            let _held = (own, place);
            let found = (asked.as_str(), 0).to_socket_addrs();
            // Whoever asked may have given up.
            drop(tell.send(found.map(|found| found.map(|address| address.ip()).collect())));
        };
        let thread = thread::Builder::new().name("lookup".to_owned()).stack_size(STACK);
        thread
            .spawn(look)
            .map_err(|error| NotFound(format!("no thread to look it up: {error}")))?;
        match told.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(NotFound(error.to_string())),
            Err(_) => Err(NotFound("the look-up broke off".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new(Arc::new(Semaphore::new(MOST_THREADS)))
    }

    #[tokio::test]
    async fn addresses_are_their_own_and_names_are_looked_up() {
        let names = names();
        assert_eq!(names.resolve("::1").await, Ok(vec!["::1".parse().unwrap()]));
        let local = names.resolve("localhost").await.unwrap();
        assert!(!local.is_empty() && local.iter().all(IpAddr::is_loopback), "{local:?}");
        assert!(names.resolve("no.such.name.invalid").await.is_err());
    }

    #[tokio::test]
    async fn an_app_whose_look_ups_hang_leaves_places_to_others() {
        let all = Arc::new(Semaphore::new(MOST_THREADS));
        let (hanging, other) = (Names::new(all.clone()), Names::new(all));
        let all_own = hanging
            .of_this_app
            .clone()
            .acquire_many_owned(u32::try_from(MOST_PER_APP).unwrap())
            .await;
        let waits = tokio::time::timeout(Duration::from_millis(50), hanging.resolve("localhost"));
        assert!(waits.await.is_err());
        assert!(other.resolve("localhost").await.is_ok());
        drop(all_own);
        assert!(hanging.resolve("localhost").await.is_ok());
    }

    #[tokio::test]
    async fn few_names_are_remembered() {
        let names = names();
        for number in 0..2 * MOST_NAMES {
            drop(names.entry(&format!("name-{number}")));
        }
        assert!(names.known.len() <= MOST_NAMES);
    }
}
