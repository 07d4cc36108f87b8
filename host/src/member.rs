//! The story of a host in its fleet: it registers, takes what the store tells, catches up with it one
//! app at a time, and reports. Serves on with what it knows when the store is away. A host that is alone has
//! a shorter story (`member/alone.rs`).
//! Does not decide where apps run: placement does.

mod alone;
mod analysis;
mod asking;
mod attendance;
mod certificate;
mod clocks;
mod crashes;
mod history;
mod lease;
mod lineage;
mod mirror;
mod renewal;
mod report;
mod settle;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::agent::{Agent, HostState};
use crate::desired::Desired;
use crate::fleet::Fleet;
use crate::fleet::record::HostRecord;
use crate::forward;
use crate::identity::Identity;
use crate::identity::signing::Signer;
use crate::reload::Reload;
use crate::shutdown::Shutdown;
use crate::store::LeaseId;
use crate::telemetry::events::{Event, Events, Severity};

use self::lease::Registration;
pub use self::report::Memory;

/// How long to wait after the store did not answer, and at most after several times.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What a host says of itself, besides what its doors come to know.
#[derive(Clone, Debug)]
pub struct Member {
    /// Serves what the fleet wants here.
    pub agent: Agent,
    /// Writes what this host finds out of what shall run: which canaries and which apps shall not.
    pub desired: Desired,
    /// What the agent changes, to be looked at.
    pub own: HostState,
    /// What is known of the fleet.
    pub fleet: Fleet,
    /// How this host registers.
    pub record: HostRecord,
    /// How long it counts as there that is not heard of.
    pub ttl: Duration,
    /// By what other hosts know this one, unless they believe anybody.
    pub identity: Option<Identity>,
    /// Signs certificates, where this host was given the authority's key.
    pub signer: Option<Signer>,
    /// How much of its history the store keeps; `None` where this is not ours to say.
    pub history: Option<Duration>,
    /// Whether it is ending.
    pub shutdown: Shutdown,
    /// Asks for the certificate to be read again.
    pub reload: Reload,
}

/// What the parts of the story share.
#[derive(Debug)]
struct Shared {
    member: Member,
    /// The lease under which this host is registered, while it has one.
    lease: watch::Sender<Option<LeaseId>>,
    /// Whether the store is followed: nobody registers in one that is another's.
    follows: watch::Sender<bool>,
    /// Says that something happened to this host's own record.
    own_record: Arc<Notify>,
    settle: settle::Queue,
}

impl Member {
    /// Lives in the fleet until the host has drained; then leaves it. What says to the others that this host
    /// is there, and asks whether they are, runs on `presence`, where nothing else does.
    pub async fn live(self, presence: Handle) {
        let shared = Arc::new(Shared {
            member: self,
            lease: watch::channel(None).0,
            follows: watch::channel(false).0,
            own_record: Arc::default(),
            settle: settle::Queue::default(),
        });
        shared.member.tell_revoked_trouble();
        shared.settle.all(&shared.member);
        let present = presence.spawn(keep_present(shared.registration()));
        // Each on its own: whoever takes long must not keep the others waiting.
        tokio::join!(
            async { drop(present.await) },
            part(&shared, "mirror", |all| async move {
                until_closed(&all.member.shutdown, mirror::mirror(&all)).await;
            }),
            part(&shared, "settle", |all| async move {
                until_closed(&all.member.shutdown, settle::settle(&all)).await;
            }),
            part(&shared, "report", |all| async move {
                until_closed(&all.member.shutdown, report::report(&all)).await;
            }),
            part(&shared, "asking", |all| async move {
                until_closed(&all.member.shutdown, asking::ask(&all.member)).await;
            }),
            part(&shared, "analysis", |all| async move {
                until_closed(&all.member.shutdown, analysis::analyze(&all.member)).await;
            }),
            part(&shared, "crashes", |all| async move {
                until_closed(&all.member.shutdown, crashes::tell(&all)).await;
            }),
            part(&shared, "clocks", |all| async move {
                until_closed(&all.member.shutdown, clocks::watch(&all.member)).await;
            }),
            part(&shared, "certificate", |all| async move {
                until_closed(&all.member.shutdown, certificate::watch(&all.member)).await;
            }),
            part(&shared, "renewal", |all| async move {
                until_closed(&all.member.shutdown, renewal::renew(&all.member)).await;
            }),
            part(&shared, "attendance", |all| async move {
                until_closed(&all.member.shutdown, attendance::watch(&all.member)).await;
            }),
            part(&shared, "history", |all| async move {
                until_closed(&all.member.shutdown, history::keep_short(&all.member)).await;
            }),
            part(&shared, "peers", |all| async move {
                let (fleet, shutdown) = (&all.member.fleet, &all.member.shutdown);
                until_closed(shutdown, mirror::forget_gone(fleet)).await;
            }),
        );
    }

    fn tell_revoked_trouble(&self) {
        let Some(why) = self.fleet.revoked_trouble() else { return };
        let detail = format!("it cannot be read in full whose certificates are revoked: {why}");
        tracing::error!("{detail}");
        let advice =
            "what could be read holds; the rest comes from the store as soon as that answers";
        self.tell("revoked_unreadable", Severity::Error, detail, advice);
    }

    fn tell(&self, kind: &'static str, severity: Severity, detail: String, advice: &str) {
        self.own.events.push(Event {
            severity,
            advice: (!advice.is_empty()).then(|| advice.to_owned()),
            ..Event::now(kind, detail)
        });
    }
}

impl Shared {
    fn registration(&self) -> Registration {
        let Self { member, lease, follows, own_record, .. } = self;
        Registration {
            fleet: member.fleet.with_own_connections(),
            record: member.record.clone(),
            identity: member.identity.clone(),
            ttl: member.ttl,
            events: member.own.events.clone(),
            shutdown: member.shutdown.clone(),
            lease: lease.clone(),
            follows: follows.clone(),
            own_record: own_record.clone(),
        }
    }
}

/// Keeps this host registered, and asks the others whether they are there.
async fn keep_present(registration: Registration) {
    let Registration { fleet, events, shutdown, .. } = &registration;
    let held = || {
        let registration = registration.clone();
        async move { lease::hold(&registration).await }
    };
    let watched = || {
        let (peers, me, shutdown) = (fleet.peers().clone(), fleet.me().clone(), shutdown.clone());
        async move { until_closed(&shutdown, forward::keep_watch(peers, me)).await }
    };
    tokio::join!(supervise("lease", events, held), supervise("probes", events, watched));
}

/// One part of the story, as a task of its own.
async fn part<F>(shared: &Arc<Shared>, name: &'static str, work: fn(Arc<Shared>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let events = &shared.member.own.events;
    supervise(name, events, || work(shared.clone())).await;
}

/// Does work in a task of its own, and begins it again when it panics: a host that answers and whose
/// planner, say, is gone would be worse than none, since nobody takes its place.
pub async fn supervise<F>(name: &'static str, events: &Events, work: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Err(error) = tokio::spawn(work()).await {
        if !error.is_panic() {
            return;
        }
        tracing::error!(name, %error, "a part of the host failed; beginning it again");
        let detail = format!("the part of this host called {name} failed: {error}");
        events.push(Event {
            severity: Severity::Error,
            advice: Some("this is a fault of steerage: report it with the host's log".to_owned()),
            ..Event::now("host_fault", detail)
        });
        tokio::time::sleep(PAUSE.1).await;
    }
}

async fn until_closed(shutdown: &Shutdown, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = shutdown.closed() => {}
    }
}

/// The pause after so many failures in a row: half of what it may be and a part of the other half by
/// chance. All hosts of a fleet lose the store in the same moment, and must not all come back in one.
fn pause(n_failures: u32) -> Duration {
    let (shortest, longest) = PAUSE;
    let most = shortest.saturating_mul(1 << n_failures.min(6)).min(longest);
    most.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Where other hosts reach this one.
#[must_use]
pub fn reachable(listens: SocketAddr, said: Option<SocketAddr>) -> SocketAddr {
    match said {
        Some(said) if said.port() == 0 => SocketAddr::new(said.ip(), listens.port()),
        Some(said) => said,
        None => listens,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use steerage_core::liveness::Liveness;
    use tokio::net::TcpListener;
    use tokio::runtime::Runtime;

    use super::*;
    use crate::fleet::record;
    use crate::forward::Peers;
    use crate::store::{Change, Commit, Revision, Store, StoreSettings, Write};

    #[tokio::test(start_paused = true)]
    async fn what_panics_is_told_and_begun_again() {
        let (events, n_runs) = (Events::default(), Arc::new(AtomicUsize::new(0)));
        let run = || {
            let n_runs = n_runs.clone();
            async move { assert!(n_runs.fetch_add(1, Ordering::SeqCst) > 1, "not yet") }
        };
        supervise("test", &events, run).await;
        assert_eq!(n_runs.load(Ordering::SeqCst), 3);
        let told = events.recent(None, 10);
        assert!(
            !told.is_empty() && told.iter().all(|event| event.kind == "host_fault"),
            "{told:?}"
        );
    }

    /// Another host, which answers until it is dropped.
    fn witness() -> (SocketAddr, Runtime) {
        let runtime = runtime(1);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = service_fn(|_: Request<Incoming>| {
                    std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
                });
                let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(async move {
                    drop(http.serve_connection(TokioIo::new(stream), answer).await);
                });
            }
        });
        (address, runtime)
    }

    fn runtime(n_threads: usize) -> Runtime {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(n_threads).enable_all().build().unwrap()
    }

    fn host_record(name: &str, (address, run): (SocketAddr, u64)) -> HostRecord {
        let record = serde_json::json!({
            "id": name, "run": run, "address": address, "listen": "127.0.0.1:2",
            "admin": "127.0.0.1:3", "zone": name, "cpu_m": 1000, "memory": 1, "version": "1"
        });
        serde_json::from_value(record).unwrap()
    }

    /// Both threads of the control runtime stand still, as with a disk that does, until this is dropped.
    fn stall(control: &Runtime) -> Vec<std::sync::mpsc::SyncSender<()>> {
        let stalled = Arc::new(std::sync::Barrier::new(3));
        let threads = (0..2).map(|_| {
            let (ends, waits) = std::sync::mpsc::sync_channel(1);
            let stalled = stalled.clone();
            control.spawn(async move {
                stalled.wait();
                waits.recv().ok();
            });
            ends
        });
        let threads = threads.collect();
        stalled.wait();
        threads
    }

    #[test]
    fn a_control_runtime_that_stands_still_costs_no_host_its_place() {
        let ttl = Duration::from_secs(3);
        let (control, presence, clock) = (runtime(2), runtime(1), runtime(1));
        let folder = tempfile::tempdir().unwrap();
        let settings = StoreSettings::Embedded(folder.path().to_owned());
        let store = clock.block_on(Store::open(&settings)).unwrap();
        let (me, copy) = ("h1".parse().unwrap(), folder.path().join("copy"));
        let fleet = Fleet::new(me, store.clone(), Peers::new(None), copy);
        let (address, other) = witness();
        let value = Some(record::encode(&host_record("h2", (address, 7))));
        let h2 = Change { key: "observed/hosts/h2".to_owned(), value, revision: Revision(1) };
        fleet.apply(&[h2]);
        fleet.note_cut_off(false);
        let registration = Registration {
            record: host_record("h1", (([127, 0, 0, 1], 1).into(), fleet.run())),
            identity: None,
            fleet: fleet.clone(),
            ttl,
            events: Arc::default(),
            shutdown: Shutdown::default(),
            lease: watch::Sender::new(None),
            follows: watch::Sender::new(true),
            own_record: Arc::default(),
        };
        let mut leases = registration.lease.subscribe();
        // As the host does: begun from there, and run elsewhere.
        control.block_on(async { drop(presence.spawn(keep_present(registration))) });
        let lease = *clock.block_on(leases.wait_for(Option::is_some)).unwrap();
        let before = clock.block_on(store.get("observed/hosts/h1")).unwrap();
        assert!(before.is_some());

        let stalled = stall(&control);
        let has_run = control.spawn(async {});
        let past_the_lease = ttl + Duration::from_secs(1);
        clock.block_on(async { tokio::time::sleep(past_the_lease).await });
        assert!(!has_run.is_finished(), "the control runtime does not stand still");
        // The same registration under the same lease, which lives.
        assert_eq!(clock.block_on(store.get("observed/hosts/h1")).unwrap(), before);
        let (key, value) = ("observed/ready/h1/app".to_owned(), Vec::new());
        let write = Write::Put { key, value, lease };
        let commit = Commit { guards: Vec::new(), writes: vec![write] };
        clock.block_on(store.commit(commit)).unwrap();
        // In its eyes the other one is there, and is not when that has gone.
        let peer = fleet.peers().named(&"h2".parse().unwrap()).unwrap();
        assert_eq!(peer.liveness(), Liveness::Ready);
        let mut changes = fleet.peers().changes();
        drop(other);
        while peer.liveness() == Liveness::Ready {
            clock.block_on(changes.changed()).unwrap();
        }
        assert_eq!(peer.liveness(), Liveness::Suspect);
        drop(stalled);
        clock.block_on(has_run).unwrap();
    }

    #[test]
    fn pauses_grow_to_a_bound_and_are_not_the_same_for_all() {
        for n_failures in 0..40 {
            let most = PAUSE.0.saturating_mul(1 << n_failures.min(6)).min(PAUSE.1);
            let pauses: Vec<Duration> = (0..50).map(|_| pause(n_failures)).collect();
            assert!(pauses.iter().all(|pause| *pause >= most / 2 && *pause <= most), "{pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        }
    }
}
