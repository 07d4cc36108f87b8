//! How the doors of a host stand, from its settings and from what the kernel grants.
//! Opens none.

use std::net::SocketAddr;
use std::sync::Arc;

use steerage_core::machine;

use crate::config::Settings;
use crate::ingress::{self, PeerDoor};
use crate::kernel;
use crate::listener;
use crate::listener::descriptors::Descriptors;
use crate::listener::patience::ClientTimeouts;
use crate::sandbox::outbound::OwnDoors;
use crate::store::StoreSettings;
use crate::telemetry::events::{Event, Events, Severity};

/// Most bytes of a request's head.
const HEAD_SIZE: usize = 64 << 10;
/// Of the host's memory, one part in so many may be answers that clients do not take.
const PART_UNTAKEN: u64 = 16;
/// The least that may be.
const LEAST_UNTAKEN: u64 = 16 << 20;
/// Connections of operators at once: people, scrapers, followers of logs.
const OPERATORS: usize = 100;
/// Files kept for operators when the process may open no more.
const FILES_KEPT: usize = 8;

/// How many connections of callers there are files for; says so when they are fewer than wanted.
fn connections(settings: &Settings) -> usize {
    let (wanted, limit) = (settings.connections, kernel::open_files());
    let granted = machine::connections_in(limit, wanted, settings.mapped.most);
    if granted < wanted {
        tracing::warn!(
            wanted,
            granted,
            limit,
            "fewer connections than --connections says: this process may open {limit} files; raise \
             the limit (ulimit -Hn, or LimitNOFILE in the systemd unit)"
        );
    }
    granted
}

/// Who is told when the process is out of files.
pub(super) fn descriptors(events: &Arc<Events>) -> Arc<Descriptors> {
    let events = events.clone();
    Descriptors::new(kernel::open_files(), move |message| {
        tracing::warn!("{message}");
        let advice = "raise the limit of open files, or lower --connections".to_owned();
        events.push(Event {
            severity: Severity::Error,
            advice: Some(advice),
            ..Event::now("out_of_files", message.to_owned())
        });
    })
}

/// The doors of callers and of other hosts.
pub(super) fn ingress(
    settings: &Settings,
    n_threads: usize,
    peers: Option<PeerDoor>,
) -> ingress::Settings {
    let door = door(settings, connections(settings));
    ingress::Settings { listen: settings.listen, n_threads, door, peers }
}

/// The operators' door.
pub(super) fn operators(settings: &Settings) -> listener::Settings {
    listener::Settings { n_files_kept: FILES_KEPT, ..door(settings, OPERATORS) }
}

fn door(settings: &Settings, n_connections: usize) -> listener::Settings {
    listener::Settings {
        n_connections,
        limits: ClientTimeouts { head: settings.head_timeout, idle: settings.idle_timeout },
        head_size: HEAD_SIZE,
        n_untaken: (settings.memory.budget.get() / PART_UNTAKEN).max(LEAST_UNTAKEN),
        ends_idle: true,
        windows: None,
        n_files_kept: 0,
        mistaken: Arc::default(),
    }
}

/// Where no guest may go, whatever the settings open.
pub(super) fn own_doors(
    settings: &Settings,
    admin: SocketAddr,
    peer: Option<SocketAddr>,
) -> OwnDoors {
    let store = match settings.fleet.as_ref().map(|fleet| &fleet.store) {
        Some(StoreSettings::Etcd(etcd)) => etcd.members.clone(),
        Some(StoreSettings::Embedded(_)) | None => Vec::new(),
    };
    OwnDoors { admin, peer, store }
}
