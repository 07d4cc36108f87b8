//! How a host that is alone is built: a fleet of one, with the store of its data folder.
//! Holds no logic of any part.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::StartError;
use crate::agent::{Agent, HostState};
use crate::config::Settings;
use crate::desired::Desired;
use crate::fleet::Fleet;
use crate::fleet::record::HostRecord;
use crate::kernel;
use crate::member::Member;
use crate::reload::Reload;
use crate::shutdown::Shutdown;
use crate::store::{self, Store, StoreError};
use crate::telemetry::events::{Event, Severity};

/// What a damaged store is called once another one is in its place.
const DAMAGED: &str = "store.redb.damaged";

/// The fleet of one host; and the reason, if its store was damaged and is made anew. The ledger holds nearly
/// all that was in it, and must be served.
pub(super) fn fleet(data: &Path) -> Result<(Fleet, Option<String>), StartError> {
    let (store, damage) = match Store::embedded(data) {
        Err(StoreError::Damaged { what }) => {
            let (from, to) = (store::embedded_path(data), data.join(DAMAGED));
            let moved = fs::rename(&from, &to);
            moved.map_err(|source| StartError::Data { path: from, source })?;
            (Store::embedded(data), Some(format!("{what}; it is {} now", to.display())))
        }
        opened => (opened, None),
    };
    Ok((Fleet::alone(store.map_err(StartError::Store)?, data), damage))
}

/// That its store was damaged.
pub(super) fn store_damaged(what: &str) -> Event {
    let message = format!("the store of this host is made anew of its ledger: {what}");
    tracing::error!("{message}");
    let advice = "check the disk; say again what was said of apps besides, such as `steerage scale` and their secrets";
    Event {
        severity: Severity::Error,
        advice: Some(advice.to_owned()),
        ..Event::now("store_damaged", message)
    }
}

/// The member that follows the store of a host that is alone.
pub(super) fn member(
    host: &Settings,
    (listen, admin): (SocketAddr, SocketAddr),
    (agent, desired, own): (Agent, Desired, HostState),
    (shutdown, reload): (&Shutdown, &Reload),
) -> Member {
    let fleet = desired.fleet().clone();
    let cores = u64::try_from(kernel::machine().cores).unwrap_or(u64::MAX);
    let record = HostRecord {
        id: String::new(),
        run: fleet.run(),
        // Nobody calls it there.
        address: listen,
        listen,
        admin,
        zone: "default".to_owned(),
        labels: Default::default(),
        cpu_m: cores.saturating_mul(1000),
        memory: host.memory.budget.get(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        certificate: None,
        believes: Default::default(),
        tells_use: true,
        signs: false,
    };
    fleet.describe(record.clone());
    Member {
        agent,
        desired,
        own,
        fleet,
        record,
        ttl: Duration::ZERO,
        identity: None,
        signer: None,
        history: None,
        reload: reload.clone(),
        shutdown: shutdown.clone(),
    }
}
