//! How a host that is alone is built: a fleet of one, with the store of its data folder.
//! Holds no logic of any part.

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
use crate::store::Store;

/// Its fleet.
pub(super) fn fleet(data: &Path) -> Result<Fleet, StartError> {
    let store = Store::embedded(data).map_err(StartError::Store)?;
    Fleet::alone(store, data).map_err(StartError::Store)
}

/// Its part in that.
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
        history: None,
        reload: reload.clone(),
        shutdown: shutdown.clone(),
    }
}
