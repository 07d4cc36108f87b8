//! The composition root: builds every part once, bottom up, and takes them down in order.
//! Does not parse command lines and holds no logic of any part.

mod alone;
mod disk;
mod doors;
mod files;
mod fleet;
mod guests;
mod outward;
mod problems;
mod profile;
mod running;
mod runtimes;
mod started;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use steerage_core::id::HostName;
use steerage_core::place::Policy;
use tokio::runtime::Runtime;

pub use self::disk::keep_private;
use self::files::Files;
pub use self::running::{AtReload, Host, Signals};
use self::watch::{MemoryWatch, Watched};
use crate::admission::{Admission, CallBounds};
use crate::agent::{Agent, ApplyError, HostState};
use crate::api::auth::AuthError;
use crate::api::sessions::OpenSessions;
use crate::api::{self, ApiState, CertificateSources};
use crate::blobs::{self, BlobError, Blobs};
use crate::budget::Memory;
use crate::catalog::crash_log::CrashLog;
use crate::code::{Loader, LoaderParts};
pub use crate::config::Settings;
use crate::cpu::Cpu;
use crate::desired::Desired;
use crate::history::History;
use crate::identity::IdentityError;
use crate::ingress::{self, Ingress, Who};
use crate::kernel::{self, ports};
use crate::ledger::{Ledger, LedgerError};
use crate::listener::descriptors::Descriptors;
use crate::listener::tls::TlsError;
use crate::reload::Reload;
use crate::request::{CallContext, Hops, PeerApiSlot};
use crate::sandbox::module::SandboxError;
use crate::seal::BadSecretsKey;
use crate::shutdown::Shutdown;
use crate::store::StoreError;
use crate::telemetry::Telemetry;
use crate::telemetry::events::Events;

/// Files open beside connections and code, with room to spare.
const FILES: u64 = 1000;

/// Why a host did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error("cannot use the data folder {path}")]
    Data {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There are components, and no ledger that says what they are for.
    #[error(
        "the ledger {path} is missing or empty, and {blobs} holds components: nothing was changed; \
         make the data folder anew of a backup (`steerage restore`), or move {blobs} and {store} away as well \
         to start with nothing deployed"
    )]
    LedgerLost {
        /// Where the ledger should be.
        path: PathBuf,
        /// Where the components are.
        blobs: PathBuf,
        /// Where the store of a host that is alone is.
        store: PathBuf,
    },
    /// The key for secrets cannot be used.
    #[error(transparent)]
    SecretsKey(#[from] BadSecretsKey),
    /// A backup was being restored there.
    #[error(
        "a restore into {data} did not end, and nothing is served of half a backup: run `steerage \
         restore` again, or empty the folder to start with nothing deployed"
    )]
    HalfRestored {
        /// The data folder.
        data: PathBuf,
    },
    /// The fleet's store cannot be used.
    #[error("cannot use the fleet's store")]
    Store(#[source] StoreError),
    /// The certificates of the fleet cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The certificate is another host's.
    #[error(
        "the certificate is for host {certified}, and this one is named {said}: issue one for {said}, or start it with --name {certified}"
    )]
    OtherIdentity {
        /// The name that was said.
        said: HostName,
        /// The name in the certificate.
        certified: HostName,
    },
    /// The components cannot be used.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// Guests cannot be run.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// What was deployed cannot be read.
    #[error("cannot read what was deployed")]
    Restore(#[from] ApplyError),
    /// The admin listener would be open to strangers, or its token cannot be read.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The certificate for callers cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Somebody else listens on an address.
    #[error(
        "cannot listen on {address} for {who}: it is taken by {holder}; choose another address with \
         {flag}"
    )]
    Taken {
        /// The address.
        address: SocketAddr,
        /// Who would have come in there.
        who: &'static str,
        /// Who listens there.
        holder: String,
        /// The flag by which another address is given.
        flag: &'static str,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {who}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Who would have come in there.
        who: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The webhook's secret, a collector's certificate, or the access log cannot be used.
    #[error("{why}")]
    Outward {
        /// Why.
        why: String,
    },
    /// The system refused threads or signals.
    #[error("the system refused threads or signals")]
    System(#[source] io::Error),
}

/// Starts a host. When this returns, what was deployed before is served and both doors are open.
///
/// # Errors
/// See [`StartError`].
#[expect(clippy::too_many_lines, reason = "each part once, in order")]
pub fn start(settings: Settings) -> Result<Host, StartError> {
    let started_at = Instant::now();
    // What is on the disk from before this is an earlier run's. The doors open much later.
    let since = SystemTime::now();
    kernel::raise_open_files(settings.connections as u64 + u64::from(settings.mapped.most) + FILES);
    let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (files, tls) = Files::read(&settings)?;
    let secrets_key = settings.secrets_key.read()?;
    let reload = Reload::default();
    disk::prepare(&settings.data)?;
    let ledger = Ledger::open(&settings.data)?;
    let control = runtimes::control().map_err(StartError::System)?;
    // Before there are instances, which may take all address space.
    let guests = profile::guests(&settings, &control).map_err(StartError::System)?;
    let sandbox = guests::sandbox(&settings, n_cores)?;
    let room = CallBounds { slots: sandbox.slots(), queue: settings.queue };
    let admission = Admission::new(room, settings.tenants.clone());
    let cpu = Cpu::new(&guests, settings.tenants.clone());
    let joined = join(&settings, &control)?;
    let presence = joined.as_ref().map(|_| runtimes::presence()).transpose();
    let presence = presence.map_err(StartError::System)?;
    let hosts = joined.as_ref().and_then(|joined| joined.identity.clone());
    let others = joined.as_ref().map(|joined| joined.fleet.clone());
    let (fleet, damage) = match &others {
        Some(others) => (others.clone(), None),
        None => alone::fleet(&settings.data)?,
    };
    // Until its ledger and its store were compared.
    let turn = fleet.turn_blocking();
    let own = host_state(&settings, ledger)?;
    let telemetry =
        Arc::new(Telemetry::new(settings.telemetry, own.events.clone(), settings.history.is_on()));
    let parts = LoaderParts {
        sandbox: sandbox.clone(),
        admission: admission.clone(),
        cpu: cpu.clone(),
        memory: Memory::new(settings.memory, settings.tenants.clone()),
        ledger: own.ledger.clone(),
        blobs: own.blobs.clone(),
        catalog: own.catalog.clone(),
        telemetry: telemetry.clone(),
        events: own.events.clone(),
        limits: own.limits.clone(),
        peers: others.as_ref().map(|fleet| fleet.peers().clone()),
        max_component: settings.max_component,
        disk: settings.disk_bound(),
        kept: guests::kept(&settings),
        fleet: fleet.clone(),
        secrets_key,
    };
    let memory = parts.memory.clone();
    let loader = Loader::new(parts, settings.mapped);
    let events = own.events.clone();
    let agent = Agent::new(loader.clone(), own.clone(), fleet.clone());
    let n_restored = agent.restore()?;
    agent.look_at_crashes();
    let desired = Desired::new(agent.clone(), loader.clone(), own.clone(), fleet.clone())
        .watching(settings.watch);
    let shutdown = Shutdown::default();
    let outward = outward::Outward::start(&settings, &events, &reload, &control)?;
    outward.tell_lines_of(&telemetry);
    let context = Arc::new(CallContext {
        catalog: own.catalog.clone(),
        loader: loader.clone(),
        crash_log: own.crash_log.clone(),
        blobs: own.blobs.clone(),
        admission,
        cpu,
        events: events.clone(),
        access_log: outward.access_log.clone(),
        collector: outward.collector.clone(),
        shutdown: shutdown.clone(),
        unrouted: AtomicU64::new(0),
        without_route: Mutex::default(),
        fleet: others,
        hops: Hops::default(),
        peer_api: PeerApiSlot::default(),
        signer: joined.as_ref().and_then(|joined| joined.signer.clone()),
        is_for_one_app: settings.is_for_one_app,
        trusted_proxies: settings.trusted_proxies.clone(),
    });
    let operators = runtimes::operators().map_err(StartError::System)?;
    let history = History::start(settings.history, &settings.data, &own.catalog, &events);
    let (history, history_thread) = history.map_err(StartError::System)?.unzip();
    let (admin, admin_socket) = open_admin(settings.admin, &operators)?;
    let descriptors = doors::descriptors(&events);
    let door = doors::ingress(&settings, n_cores, joined.as_ref().map(|it| it.door.clone()));
    let ingress = open_ingress(door, tls, &context, &descriptors)?;
    control.spawn(problems::watch(&telemetry, &context, &ingress.callers, &settings));
    sandbox.set_doors(doors::own_doors(&settings, admin, ingress.peers));
    if let (Some(joined), Some(presence), Some(peers)) = (joined, &presence, ingress.peers) {
        let doors = fleet::Doors { listen: ingress.listen, admin, peers };
        joined.start(
            &settings,
            &doors,
            (agent.clone(), desired.clone(), own.clone()),
            (&shutdown, &reload),
            (&control, presence),
        );
    }
    if let Some(turn) = turn {
        let doors = (ingress.listen, admin);
        let parts = (agent.clone(), desired.clone(), own.clone());
        let member = alone::member(&settings, doors, parts, (&shutdown, &reload));
        control.spawn(member.live_alone(turn, since));
    } else {
        control.spawn(agent.clone().sweep(since));
    }
    control.spawn(loader.clone().evict_idle());
    control.spawn(loader.clone().keep_within_bound());
    let token = files.token.clone();
    let certificates = CertificateSources { callers: files.certificates.clone(), hosts };
    files.follow(&reload, &events, &control);
    control.spawn(disk::watch(own.ledger.clone(), events.clone()));
    let state = ApiState {
        agent,
        desired,
        own: own.clone(),
        memory: memory.clone(),
        telemetry: telemetry.clone(),
        context,
        connections: ingress.callers.n_open(),
        mistaken: ingress.callers.mistaken(),
        token,
        sessions: OpenSessions::default(),
        max_component: settings.max_component,
        listen: ingress.listen,
        is_tls: settings.tls.is_some(),
        admin,
        most_mapped: settings.mapped.most,
        certificates,
        headroom: settings.fleet.as_ref().map_or(0, |fleet| fleet.headroom),
        policy: settings.fleet.as_ref().map_or_else(Policy::default, |fleet| fleet.policy),
        started_at,
        backups: Arc::default(),
        history,
        notifier: outward.notifier.clone(),
    };
    operators.spawn(api::serve(admin_socket, doors::operators(&settings), descriptors, state));
    let watched = Watched { loader, sandbox, memory, telemetry, events: events.clone() };
    let memory_watch = MemoryWatch::start(watched).map_err(StartError::System)?;
    damage.iter().for_each(|what| events.push(alone::store_damaged(what)));
    events.push(started::event(own.crash_log.last_run(), n_restored));
    Ok(Host {
        listen: ingress.listen,
        admin,
        is_tls: settings.tls.is_some(),
        n_restored,
        shutdown,
        reload,
        drain_timeout: settings.drain_timeout,
        lame_duck: settings.lame_duck,
        is_in_fleet: settings.fleet.is_some(),
        control,
        presence,
        operators,
        memory_watch,
        history: history_thread,
        guests,
        ingress,
        outward,
        events,
        crash_log: own.crash_log,
    })
}

fn open_admin(
    address: SocketAddr,
    operators: &Runtime,
) -> Result<(SocketAddr, tokio::net::TcpListener), StartError> {
    let bound = operators.block_on(tokio::net::TcpListener::bind(address));
    let socket = bound.map_err(|source| refused(address, ("operators", "--admin"), source))?;
    let address = socket.local_addr().map_err(StartError::System)?;
    Ok((address, socket))
}

fn open_ingress(
    door: ingress::Settings,
    tls: Option<Arc<rustls::ServerConfig>>,
    context: &Arc<CallContext>,
    descriptors: &Arc<Descriptors>,
) -> Result<Ingress, StartError> {
    let (listen, peers) = (door.listen, door.peers.as_ref().map(|door| door.listen));
    let opened = Ingress::open(door, tls, context.clone(), descriptors);
    opened.map_err(|(who, source)| match (who, peers) {
        (Who::Peers, Some(peers)) => refused(peers, ("other hosts", "--peer"), source),
        _ => refused(listen, ("callers", "--listen"), source),
    })
}

/// The other hosts, where there shall be any.
fn join(settings: &Settings, control: &Runtime) -> Result<Option<fleet::Joined>, StartError> {
    let joined = settings.fleet.as_ref();
    joined.map(|fleet| fleet::join(fleet, &settings.data, control)).transpose()
}

/// What the host has on its disk, and what it serves of that.
fn host_state(settings: &Settings, ledger: Ledger) -> Result<HostState, StartError> {
    Ok(HostState {
        ledger,
        blobs: Blobs::open(&settings.data.join(blobs::FOLDER))?,
        catalog: Arc::default(),
        events: Events::open(&settings.data).map_err(StartError::System)?,
        limits: Arc::new(settings.limits.clone()),
        crash_log: CrashLog::open(&settings.data)
            .map_err(|source| StartError::Data { path: settings.data.clone(), source })?,
    })
}

fn refused(
    address: SocketAddr,
    (who, flag): (&'static str, &'static str),
    source: io::Error,
) -> StartError {
    if source.kind() != io::ErrorKind::AddrInUse {
        return StartError::Listen { address, who, source };
    }
    let holder = ports::holder(address).unwrap_or_else(|| "another program".to_owned());
    StartError::Taken { address, who, holder, flag }
}
