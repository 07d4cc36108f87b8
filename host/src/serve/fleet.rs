//! How a host joins its fleet: the parts that only a host of a fleet has, built once.
//! Holds no logic of any part.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tokio::runtime::Runtime;

use super::StartError;
use crate::agent::{Agent, HostState};
use crate::config::{FleetSettings, Settings};
use crate::desired::Desired;
use crate::fleet::Fleet;
use crate::fleet::record::HostRecord;
use crate::forward::Peers;
use crate::identity::Identity;
use crate::identity::signing::Signer;
use crate::ingress::PeerDoor;
use crate::kernel;
use crate::listener::Tls;
use crate::member::{self, Member};
use crate::placement::{self, PlanSettings};
use crate::reload::Reload;
use crate::shutdown::Shutdown;
use crate::store::Store;

/// The file with what tells this data folder from all others.
const ID: &str = "host-id";
/// The file with what was known of the fleet.
const COPY: &str = "fleet.json";

/// What was built.
pub(super) struct Joined {
    pub(super) fleet: Fleet,
    pub(super) door: PeerDoor,
    pub(super) identity: Option<Identity>,
    /// Signs for others, where this host was given the authority's key.
    pub(super) signer: Option<Signer>,
    settings: FleetSettings,
    id: String,
}

/// The doors of this host, once they are open.
pub(super) struct Doors {
    pub(super) listen: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) peers: SocketAddr,
}

/// Builds what comes before the doors.
pub(super) fn join(
    settings: &FleetSettings,
    data: &Path,
    control: &Runtime,
) -> Result<Joined, StartError> {
    let identity = settings.identity.as_deref().map(Identity::load).transpose()?;
    if let Some(identity) = &identity
        && *identity.name() != settings.name
    {
        let (said, certified) = (settings.name.clone(), identity.name().clone());
        return Err(StartError::OtherIdentity { said, certified });
    }
    let signer = settings.authority_key.as_deref().zip(identity.as_ref());
    let signer = signer.map(|(key, identity)| Signer::open(key, identity)).transpose()?;
    if identity.is_none() {
        tracing::warn!("other hosts are believed without certificates: only for trying out");
    }
    let store = control.block_on(Store::open(&settings.store)).map_err(StartError::Store)?;
    let peers = Peers::new(identity.as_ref().map(Identity::outgoing));
    let fleet = Fleet::new(settings.name.clone(), store, peers, data.join(COPY));
    fleet.lineage().believe(identity.as_ref().map(Identity::authorities).unwrap_or_default());
    let id = host_id(data).map_err(|source| StartError::Data { path: data.join(ID), source })?;
    Ok(Joined {
        fleet,
        door: PeerDoor { listen: settings.peer, tls: identity.as_ref().map(peer_tls) },
        identity,
        signer,
        settings: settings.clone(),
        id,
    })
}

impl Joined {
    /// Starts what goes on until the host ends.
    pub(super) fn start(
        self,
        host: &Settings,
        doors: &Doors,
        (agent, desired, own): (Agent, Desired, HostState),
        (shutdown, reload): (&Shutdown, &Reload),
        (control, presence): (&Runtime, &Runtime),
    ) {
        let settings = self.settings;
        let cores = u64::try_from(kernel::machine().cores).unwrap_or(u64::MAX);
        let record = HostRecord {
            id: self.id,
            run: self.fleet.run(),
            address: member::reachable(doors.peers, settings.peer_address),
            listen: doors.listen,
            admin: doors.admin,
            zone: settings.zone,
            labels: settings.labels,
            cpu_m: cores.saturating_mul(1000),
            memory: host.memory.budget.get(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            certificate: None,
            believes: BTreeSet::new(),
            tells_use: true,
            signs: self.signer.is_some(),
        };
        let fleet = self.fleet;
        let plan = PlanSettings {
            headroom: settings.headroom,
            patience: settings.lease,
            consolidate: settings.consolidate,
            grace: settings.grace,
            move_rate: settings.move_rate,
            scale_down: settings.scale_down,
            policy: settings.policy,
        };
        let events = own.events.clone();
        let member = Member {
            agent,
            desired,
            own,
            fleet: fleet.clone(),
            record,
            ttl: settings.lease,
            identity: self.identity,
            signer: self.signer,
            history: settings.history,
            reload: reload.clone(),
            shutdown: shutdown.clone(),
        };
        control.spawn(member.live(presence.handle().clone()));
        let shutdown = shutdown.clone();
        control.spawn(async move {
            let planning =
                || placement::keep_planning(fleet.clone(), plan, events.clone(), shutdown.clone());
            member::supervise("planner", &events, planning).await;
        });
    }
}

/// How other hosts come in.
fn peer_tls(identity: &Identity) -> Tls {
    Tls { config: identity.server(), believed: Some(identity.believed().clone()) }
}

/// What tells this data folder from all others, made at the first start.
fn host_id(data: &Path) -> io::Result<String> {
    let path = data.join(ID);
    match fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let id = format!("{:032x}", fastrand::u128(..));
    fs::write(&path, &id)?;
    fs::File::open(&path)?.sync_all()?;
    Ok(id)
}
