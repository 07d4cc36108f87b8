//! The story of a host in its fleet: it registers, takes what the store tells, catches up with it one
//! app at a time, and reports. Serves on with what it knows when the store is away.
//! Does not decide where apps run: placement does.

mod attendance;
mod certificate;
mod clocks;
mod crashes;
mod history;
mod judge;
mod lease;
mod lineage;
mod mirror;
mod report;
mod settle;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::agent::{Agent, HostState};
use crate::desired::Desired;
use crate::fleet::Fleet;
use crate::fleet::record::HostRecord;
use crate::forward;
use crate::identity::Identity;
use crate::reload::Reload;
use crate::shutdown::Shutdown;
use crate::store::LeaseId;
use crate::telemetry::events::{Event, Events, Severity};

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
    own_record: Notify,
    settle: settle::Queue,
}

impl Member {
    /// Lives in the fleet until the host has drained; then leaves it.
    pub async fn live(self) {
        let shared = Arc::new(Shared {
            member: self,
            lease: watch::channel(None).0,
            follows: watch::channel(false).0,
            own_record: Notify::new(),
            settle: settle::Queue::default(),
        });
        shared.settle.all(&shared.member);
        // Each on its own: whoever takes long must not keep the lease from being kept alive.
        tokio::join!(
            part(&shared, "lease", |all| async move { lease::hold(&all).await }),
            part(&shared, "mirror", |all| async move {
                until_closed(&all.member.shutdown, mirror::mirror(&all)).await;
            }),
            part(&shared, "settle", |all| async move {
                until_closed(&all.member.shutdown, settle::settle(&all)).await;
            }),
            part(&shared, "report", |all| async move {
                until_closed(&all.member.shutdown, report::report(&all)).await;
            }),
            part(&shared, "judge", |all| async move {
                until_closed(&all.member.shutdown, judge::judge(&all.member)).await;
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
            part(&shared, "attendance", |all| async move {
                until_closed(&all.member.shutdown, attendance::watch(&all.member)).await;
            }),
            part(&shared, "history", |all| async move {
                until_closed(&all.member.shutdown, history::keep_short(&all.member)).await;
            }),
            part(&shared, "peers", |all| async move {
                let (fleet, shutdown) = (&all.member.fleet, &all.member.shutdown);
                until_closed(shutdown, mirror::forget_silent(fleet)).await;
            }),
            part(&shared, "probes", |all| async move {
                let peers = all.member.fleet.peers().clone();
                until_closed(&all.member.shutdown, forward::keep_watch(peers)).await;
            }),
        );
    }

    fn tell(&self, kind: &'static str, severity: Severity, detail: String, advice: &str) {
        self.own.events.push(Event {
            severity,
            advice: (!advice.is_empty()).then(|| advice.to_owned()),
            ..Event::now(kind, detail)
        });
    }
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

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
