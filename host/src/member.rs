//! The story of a host in its fleet: it registers, takes what the store tells, catches up with it one
//! app at a time, and reports. Serves on with what it knows when the store is away.
//! Does not decide where apps run: placement does.

mod clocks;
mod judge;
mod lease;
mod mirror;
mod report;
mod settle;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::agent::Agent;
use crate::fleet::Fleet;
use crate::fleet::record::HostRecord;
use crate::forward;
use crate::shutdown::Shutdown;
use crate::store::LeaseId;
use crate::telemetry::events::{Event, Severity};

pub use self::report::Memory;

/// How long to wait after the store did not answer, and at most after several times.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What a host says of itself, besides what its doors come to know.
#[derive(Clone, Debug)]
pub struct Member {
    /// Carries out what the fleet wants here.
    pub agent: Agent,
    /// What is known of the fleet.
    pub fleet: Fleet,
    /// How this host registers.
    pub record: HostRecord,
    /// How long it counts as there that is not heard of.
    pub ttl: Duration,
    /// Whether it is ending.
    pub shutdown: Shutdown,
}

/// What the parts of the story share.
#[derive(Debug)]
struct Shared {
    member: Member,
    /// The lease under which this host is registered, while it has one.
    lease: watch::Sender<Option<LeaseId>>,
    settle: settle::Queue,
}

impl Member {
    /// Lives in the fleet until the host has drained; then leaves it.
    pub async fn live(self) {
        let shared = Arc::new(Shared {
            member: self,
            lease: watch::channel(None).0,
            settle: settle::Queue::default(),
        });
        shared.settle.all(&shared.member);
        let member = &shared.member;
        tokio::join!(
            lease::hold(&shared),
            until_closed(&member.shutdown, mirror::mirror(&shared)),
            until_closed(&member.shutdown, settle::settle(&shared)),
            until_closed(&member.shutdown, report::report(&shared)),
            until_closed(&member.shutdown, judge::judge(member)),
            until_closed(&member.shutdown, clocks::watch(member)),
            until_closed(&member.shutdown, mirror::forget_silent(&member.fleet)),
            until_closed(&member.shutdown, forward::keep_watch(member.fleet.peers().clone())),
        );
    }

    fn tell(&self, kind: &'static str, severity: Severity, detail: String, advice: &str) {
        self.agent.parts().events.push(Event {
            severity,
            advice: (!advice.is_empty()).then(|| advice.to_owned()),
            ..Event::now(kind, detail)
        });
    }
}

async fn until_closed(shutdown: &Shutdown, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = shutdown.closed() => {}
    }
}

/// The pause after so many failures in a row.
fn pause(n_failures: u32) -> Duration {
    let (shortest, longest) = PAUSE;
    shortest.saturating_mul(1 << n_failures.min(6)).min(longest)
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
