//! A fleet of a few real hosts over a real etcd on loopback, for tests that need no network of their
//! own; what is lost when machines and cables fail, `tests/fleet` shows.

use serde_json::{Value, json};

use crate::etcd::Etcd;
use crate::harness::{Host, manifest, prints};

/// Running hosts, in the order of their names: `h1`, `h2` and so on, each a zone of its own.
pub(crate) struct Fleet {
    pub(crate) hosts: Vec<Host>,
    pub(crate) etcd: Etcd,
}

impl Fleet {
    /// So many hosts that all answer each other; `None` where etcd is not installed.
    pub(crate) async fn start(n_hosts: usize) -> Option<Self> {
        Self::start_with(n_hosts, &[]).await
    }

    /// The same, each host with more flags.
    pub(crate) async fn start_with(n_hosts: usize, flags: &[&str]) -> Option<Self> {
        let etcd = Etcd::start(1)?;
        // A host ends that cannot reach the store at its start.
        drop(etcd.store().await);
        let names = (1..=n_hosts).map(|number| format!("h{number}"));
        let hosts = names.map(|name| Host::with(&Self::flags(&etcd.url(), &name, flags))).collect();
        let fleet = Self { hosts, etcd };
        for host in &fleet.hosts {
            fleet.answers(host, n_hosts).await;
        }
        Some(fleet)
    }

    /// Two hosts that serve `web` at `/web/`, of which the first was called three times and the second twice.
    pub(crate) async fn called(flags: &[&str]) -> Option<Self> {
        let fleet = Self::start_with(2, flags).await?;
        let text = manifest("web", "/web/...", "[replicas]\nmin = 2\nmax = 2");
        fleet.first().deploy(&prints("Content-Type: text/plain\\n\\nok"), &text).await;
        fleet.ready_on("web", 2).await;
        for (host, n_calls) in fleet.hosts.iter().zip([3, 2]) {
            for _ in 0..n_calls {
                assert_eq!(host.get("/web/").await.text(), "ok");
            }
        }
        Some(fleet)
    }

    /// How a host of this name joins.
    pub(crate) fn flags<'w>(store: &'w str, name: &'w str, more: &[&'w str]) -> Vec<&'w str> {
        let flags = ["--store", store, "--name", name, "--zone", name];
        let peers = ["--peer", "127.0.0.1:0", "--insecure-peers", "true"];
        [&flags[..], &peers[..], more].concat()
    }

    /// Waits until a host sees so many that answer.
    pub(crate) async fn answers(&self, host: &Host, n_hosts: usize) {
        host.until("fleet that answers", || async {
            let hosts = host.admin("GET", "/v1/hosts", "").await.json();
            let all = hosts["hosts"].as_array()?;
            let n_answer = all.iter().filter(|host| host["state"] == "answers").count();
            (n_answer == n_hosts).then_some(())
        })
        .await;
    }

    /// The host that plans.
    pub(crate) fn first(&self) -> &Host {
        &self.hosts[0]
    }

    /// Says what may happen to a host.
    pub(crate) async fn stand(&self, host: &str, standing: &str) {
        let body = json!({ "standing": standing }).to_string();
        let path = format!("/v1/hosts/{host}/standing");
        let reply = self.first().admin("PUT", &path, body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    /// Where an app is ready, once it is ready on so many hosts and placed nowhere else.
    pub(crate) async fn ready_on(&self, app: &str, n_hosts: usize) -> Vec<String> {
        let path = format!("/v1/apps/{app}/replicas");
        self.first()
            .until("number of ready replicas", || async {
                let replicas = self.first().admin("GET", &path, "").await.json();
                let hosts = replicas["hosts"].as_array()?;
                let ready: Vec<String> = hosts
                    .iter()
                    .filter(|replica| replica["state"] == "ready")
                    .map(|replica| replica["host"].as_str().unwrap().to_owned())
                    .collect();
                (ready.len() == n_hosts && hosts.len() == n_hosts).then_some(ready)
            })
            .await
    }

    /// Waits until every host answers with this: hosts hear of a deployment one after the other.
    pub(crate) async fn all_answer(&self, path: &str, text: &str) {
        for host in &self.hosts {
            host.until("answer of every host", || async {
                let reply = host.get(path).await;
                (reply.status == 200).then(|| assert_eq!(reply.text(), text))
            })
            .await;
        }
    }

    /// The first event of this kind on a host.
    pub(crate) async fn event(&self, host: &Host, kind: &str) -> Value {
        host.until(kind, || async {
            let events = host.admin("GET", "/v1/events?limit=1000", "").await.json();
            let events = events["events"].as_array()?.clone();
            events.into_iter().find(|event| event["kind"] == kind)
        })
        .await
    }
}
