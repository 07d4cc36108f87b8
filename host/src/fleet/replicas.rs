//! Who can answer for an app. Does not choose among them: `request::proxy` does, call by call.

use std::sync::Arc;

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
        let replicas = |app: &str| fleet.replicas(&app.parse::<AppName>().unwrap()).unwrap();
        let runs = |app: &str| {
            let replicas = replicas(app);
            replicas.elsewhere.iter().map(|peer| peer.run).collect::<Vec<_>>()
        };
        let (two, three) = (replicas("two"), replicas("three"));
        // It was started anew.
        fleet.apply(&[host("h2", 2)]);
        assert_eq!((runs("two"), runs("three")), (vec![2], vec![1]));
        assert!(!Arc::ptr_eq(&two, &replicas("two")));
        assert!(Arc::ptr_eq(&three, &replicas("three")), "the whole table was made anew");
    }
}
