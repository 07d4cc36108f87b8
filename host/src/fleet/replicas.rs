//! Who can answer for an app. Does not choose among them: `request::proxy` does, call by call.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};

use steerage_core::id::HostName;

use super::Fleet;
use crate::forward::Peer;

/// Who can answer for an app.
#[derive(Debug, Default)]
pub struct Replicas {
    /// Whether this host is one of them.
    pub is_here: bool,
    /// The others.
    pub elsewhere: Vec<Arc<Peer>>,
}

/// Sets of hosts that apps are on. Apps on the same hosts share what is kept of them: there are many apps and
/// few sets of hosts. What no app uses any more goes.
#[derive(Debug, Default)]
pub(super) struct KnownReplicas {
    /// By a hash of the hosts, which two sets may have in common: names as keys would cost more than the sets.
    sets: HashMap<u64, Weak<Replicas>>,
    /// How many sets there may be before those that no app uses are looked for.
    most: usize,
}

impl KnownReplicas {
    /// Forgets the sets with one of these hosts, since it may be another run of it; all where none are named.
    pub(super) fn forget(&mut self, changed: Option<&BTreeSet<HostName>>) {
        let Some(changed) = changed else { return self.sets.clear() };
        if !changed.is_empty() {
            let is_known = |set: &Replicas| {
                let mut others = set.elsewhere.iter();
                !others.any(|peer| changed.contains(&peer.name))
            };
            self.sets.retain(|_, set| set.upgrade().is_some_and(|set| is_known(&set)));
        }
    }

    /// The set of these hosts, of which `me` is this one; made by `make` where it is not known.
    pub(super) fn of(
        &mut self,
        hosts: &[&HostName],
        me: &HostName,
        make: impl FnOnce() -> Replicas,
    ) -> Arc<Replicas> {
        let mut hasher = DefaultHasher::new();
        hosts.hash(&mut hasher);
        let key = hasher.finish();
        let known = self.sets.get(&key).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.is_of(hosts, me)) {
            return known;
        }
        if self.sets.len() >= self.most {
            self.sets.retain(|_, set| set.strong_count() > 0);
            self.most = self.sets.len() * 2 + 16;
        }
        let replicas = Arc::new(make());
        self.sets.insert(key, Arc::downgrade(&replicas));
        replicas
    }
}

impl Replicas {
    fn is_of(&self, hosts: &[&HostName], me: &HostName) -> bool {
        let others = hosts.iter().copied().filter(|host| *host != me);
        self.is_here == hosts.contains(&me)
            && others.eq(self.elsewhere.iter().map(|peer| &peer.name))
    }
}

impl Fleet {
    pub(super) fn replicas_on(&self, hosts: &[&HostName]) -> Replicas {
        let mut replicas = Replicas::default();
        for host in hosts {
            if **host == self.inner.me {
                replicas.is_here = true;
            } else {
                replicas.elsewhere.extend(self.inner.peers.named(host));
            }
        }
        replicas
    }
}

#[cfg(test)]
mod tests {
    use steerage_core::id::AppName;

    use super::*;
    use crate::forward::Peers;
    use crate::store::{Change, Revision, Store, StoreSettings};

    fn host(name: &str, run: u64) -> Change {
        let record = serde_json::json!({
            "v": 1, "id": name, "run": run, "address": "127.0.0.1:1", "listen": "127.0.0.1:2",
            "admin": "127.0.0.1:3", "zone": "z", "cpu_m": 1000, "memory": 1, "version": "1"
        });
        put(&format!("observed/hosts/{name}"), &record)
    }

    fn put(key: &str, value: &serde_json::Value) -> Change {
        let value = Some(value.to_string().into_bytes());
        Change { key: key.to_owned(), value, revision: Revision(1) }
    }

    /// An app, and the host that has it.
    fn app(name: &str, on: &str) -> [Change; 3] {
        let wanted = serde_json::json!({ "v": 1, "generation": 1, "min": 1, "max": 1 });
        let assigned = serde_json::json!({ "v": 1, "hosts": [on] });
        [
            put(&format!("desired/apps/{name}"), &wanted),
            put(&format!("assigned/{name}"), &assigned),
            put(
                &format!("observed/ready/{on}/{name}"),
                &serde_json::json!({ "v": 1, "generation": 1 }),
            ),
        ]
    }

    #[tokio::test]
    async fn a_host_that_changes_is_news_for_the_apps_on_it_only() {
        let folder = tempfile::tempdir().unwrap();
        let settings = StoreSettings::Embedded(folder.path().to_owned());
        let (store, me) = (Store::open(&settings).await.unwrap(), "h1".parse().unwrap());
        let fleet = Fleet::new(me, store, Peers::new(None), folder.path().join("copy"));
        fleet.apply(&[host("h2", 1), host("h3", 1)]);
        fleet.apply(&[app("two", "h2"), app("three", "h3")].concat());
        fleet.apply(&app("other", "h3"));
        let replicas = |app: &str| fleet.replicas(&app.parse::<AppName>().unwrap()).unwrap();
        let runs = |app: &str| {
            let replicas = replicas(app);
            replicas.elsewhere.iter().map(|peer| peer.run).collect::<Vec<_>>()
        };
        let (two, three) = (replicas("two"), replicas("three"));
        assert!(Arc::ptr_eq(&three, &replicas("other")), "what came later shares nothing");
        // It was started anew.
        fleet.apply(&[host("h2", 2)]);
        assert_eq!((runs("two"), runs("three")), (vec![2], vec![1]));
        assert!(!Arc::ptr_eq(&two, &replicas("two")));
        assert!(Arc::ptr_eq(&three, &replicas("three")), "the whole table was made anew");
    }
}
