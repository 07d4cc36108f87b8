//! What every call needs of its host, and what is noted of those that reach no app.
//! Does not know the order of a call's stages.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use http::Response;
use steerage_core::id::CallId;
use steerage_core::network::Network;
use steerage_core::outcome::Outcome;
use steerage_core::unrouted::Unrouted;

use super::hops::Hops;
use super::peer_api::PeerApiSlot;
use crate::admission::Admission;
use crate::blobs::Blobs;
use crate::catalog::Catalog;
use crate::catalog::crash_log::CrashLog;
use crate::code::Loader;
use crate::cpu::Cpu;
use crate::fleet::Fleet;
use crate::identity::signing::Signer;
use crate::meter;
use crate::otlp::CollectorExporters;
use crate::respond::{self, ResponseBody};
use crate::shutdown::Shutdown;
use crate::telemetry::access::AccessLog;
use crate::telemetry::events::Events;

/// What every call needs of the host.
#[derive(Debug)]
pub struct CallContext {
    /// What is served.
    pub catalog: Arc<Catalog>,
    /// Where the code is of what is served.
    pub loader: Loader,
    /// Which apps have calls running, for the run after a crash.
    pub crash_log: CrashLog,
    /// Components, for other hosts of the fleet.
    pub blobs: Blobs,
    /// Who may run.
    pub admission: Admission,
    /// Where, and when.
    pub cpu: Cpu,
    /// Where failures are told.
    pub events: Arc<Events>,
    /// Where each call is a line, if anywhere.
    pub access_log: Option<Arc<AccessLog>>,
    /// Where calls become spans, and metrics are told, if anywhere.
    pub collector: CollectorExporters,
    /// Whether the host is ending.
    pub shutdown: Shutdown,
    /// Calls refused before an app was found and ready for them.
    pub unrouted: AtomicU64,
    /// What those of them asked for that found no route. Nobody waits for this lock: of two at once one is
    /// not counted.
    pub without_route: Mutex<Unrouted>,
    /// The other hosts, if there are any.
    pub fleet: Option<Fleet>,
    /// Calls that were passed on.
    pub hops: Hops,
    /// What other hosts are told of what this one knows.
    pub peer_api: PeerApiSlot,
    /// Signs the certificates of other hosts, where this one was given the authority's key.
    pub signer: Option<Signer>,
    /// Whether one app has the host to itself, as in `steerage up`: it answers under every name.
    pub is_for_one_app: bool,
    /// Where proxies are that are believed when they say whom a request comes from.
    pub trusted_proxies: Vec<Network>,
}

impl CallContext {
    pub(super) fn note_without_route(&self, at: Instant, host: &str, path: &str) {
        if let Ok(mut without_route) = self.without_route.try_lock() {
            without_route.note(meter::milliseconds_since_epoch(at), host, path);
        }
    }

    pub(super) fn turn_away(&self, id: CallId, outcome: Outcome) -> Response<ResponseBody> {
        self.unrouted.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(call_id = %id, cause = outcome.cause(), "turned away");
        respond::problem(&outcome, id)
    }
}
