//! The composition root: builds every part once, bottom up, and takes them down in order.
//! Does not parse command lines and holds no logic of any part.

mod fleet;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime};

use steerage_core::id::HostName;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast;

use self::watch::MemoryWatch;
use crate::agent::{Agent, DeployError};
use crate::api::auth::{AuthError, Token};
use crate::api::{self, ApiState};
use crate::blobs::{BlobError, Blobs};
use crate::budget::Memory;
use crate::catalog::shelf::{Parts, Shelf};
pub use crate::config::Settings;
use crate::fleet::Fleet;
use crate::identity::IdentityError;
use crate::ingress::{self, Ingress};
use crate::kernel;
use crate::ledger::{Ledger, LedgerError};
use crate::priority;
use crate::request::{Front, Hops};
use crate::sandbox::module::{Sandbox, SandboxError};
use crate::sandbox::outbound::{Egress, OwnDoors};
use crate::sandbox::{compiler, engine};
use crate::schedule::{GuestThreads, Room, Schedule};
use crate::shutdown::Shutdown;
use crate::store::{StoreError, StoreSettings};
use crate::telemetry::events::{Event, Events};

/// Files open beside connections and code, with room to spare.
const FILES: u64 = 1000;
/// How long a host of a fleet that is ending still lets callers in: as long as it takes load balancers
/// to look at its health.
const LAME_DUCK: Duration = Duration::from_secs(1);
/// Most bytes of a request's head.
const HEAD_SIZE: usize = 64 << 10;

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
    Restore(#[from] DeployError),
    /// The admin listener would be open to strangers, or its token cannot be read.
    #[error(transparent)]
    Auth(#[from] AuthError),
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
    /// The system refused threads or signals.
    #[error("the system refused threads or signals")]
    System(#[source] io::Error),
}

/// A host that runs.
#[derive(Debug)]
pub struct Host {
    /// Where callers come in.
    pub listen: SocketAddr,
    /// Where operators come in.
    pub admin: SocketAddr,
    /// Whether callers speak TLS.
    pub is_tls: bool,
    /// Apps served again from an earlier run.
    pub n_restored: usize,
    shutdown: Shutdown,
    drain_timeout: Duration,
    control: Runtime,
    memory_watch: MemoryWatch,
    guests: GuestThreads,
    ingress: Ingress,
    events: Arc<Events>,
}

/// Starts a host. When this returns, what was deployed before is served and both doors are open.
///
/// # Errors
/// See [`StartError`].
pub fn start(settings: Settings) -> Result<Host, StartError> {
    let started_at = Instant::now();
    // What is on the disk from before this is an earlier run's. The doors open much later.
    let since = SystemTime::now();
    kernel::raise_open_files(settings.connections as u64 + u64::from(settings.mapped.most) + FILES);
    let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
    let token = settings.token_file.as_deref().map(Token::read).transpose()?;
    api::auth::check_listen(settings.admin, token.as_ref())?;
    make_dir(&settings.data)?;
    let ledger = Ledger::open(&settings.data)?;
    // Before there are instances, which may take all address space.
    let guests = GuestThreads::start_ready(settings.cpu.threads, engine::ready_thread)
        .map_err(StartError::System)?;
    let sandbox = sandbox(&settings, n_cores)?;
    let room = Room { slots: sandbox.slots(), queue: settings.queue };
    let schedule = Schedule::new(&guests, room, settings.tenants.clone());
    let control = control_runtime().map_err(StartError::System)?;
    let joined = settings.fleet.as_ref();
    let joined = joined.map(|fleet| fleet::join(fleet, &settings.data, &control)).transpose()?;
    let fleet = joined.as_ref().map(|joined| joined.fleet.clone());
    let parts = parts(&settings, sandbox, schedule.clone(), ledger, fleet.as_ref())?;
    let (catalog, events) = (parts.catalog.clone(), parts.events.clone());
    let shelf = Shelf::new(parts, settings.mapped);
    let agent = Agent::new(shelf.clone(), fleet.clone());
    let n_restored = agent.restore()?;
    let shutdown = Shutdown::default();
    let front = Arc::new(Front {
        catalog,
        shelf: shelf.clone(),
        schedule,
        events: events.clone(),
        shutdown: shutdown.clone(),
        unrouted: AtomicU64::new(0),
        fleet,
        hops: Hops::default(),
        is_for_one_app: settings.is_for_one_app,
        trusted_proxies: settings.trusted_proxies.clone(),
    });
    let admin_socket = control
        .block_on(tokio::net::TcpListener::bind(settings.admin))
        .map_err(|source| refused(settings.admin, "operators", source))?;
    let admin = admin_socket.local_addr().map_err(StartError::System)?;
    let mut door = ingress_settings(&settings, n_cores);
    door.peers = joined.as_ref().map(|joined| joined.door.clone());
    let ingress = Ingress::open(door, front.clone())
        .map_err(|source| refused(settings.listen, "callers", source))?;
    shelf.parts().sandbox.set_doors(own_doors(&settings, admin, ingress.peers));
    control.spawn(agent.clone().sweep(since));
    if let (Some(joined), Some(peers)) = (joined, ingress.peers) {
        let doors = fleet::Doors { listen: ingress.listen, admin, peers };
        joined.start(&settings, &doors, agent.clone(), &shutdown, &control);
    }
    control.spawn(shelf.clone().keep_tidy());
    let state = ApiState {
        agent,
        front,
        connections: ingress.connections.clone(),
        token,
        max_component: settings.max_component,
        listen: ingress.listen,
        is_tls: settings.tls.is_some(),
        admin,
        most_mapped: settings.mapped.most,
        headroom: settings.fleet.as_ref().map_or(0, |fleet| fleet.headroom),
        started_at,
        under_way: api::UnderWay::default(),
    };
    control.spawn(api::serve(admin_socket, state));
    let memory_watch = MemoryWatch::start(shelf).map_err(StartError::System)?;
    events.push(Event::now("started", format!("serving {n_restored} apps from before")));
    Ok(Host {
        listen: ingress.listen,
        admin,
        is_tls: settings.tls.is_some(),
        n_restored,
        shutdown,
        drain_timeout: settings.drain_timeout,
        control,
        memory_watch,
        guests,
        ingress,
        events,
    })
}

/// What runs guests.
fn sandbox(settings: &Settings, n_cores: usize) -> Result<Sandbox, SandboxError> {
    let egress = Egress::new(settings.outbound_private.clone(), kernel::open_files());
    let compiler = compiler_settings(settings, n_cores);
    Sandbox::start(settings.pool, settings.cpu.slice, compiler, egress)
}

/// Where no guest may go, whatever the settings open.
fn own_doors(settings: &Settings, admin: SocketAddr, peer: Option<SocketAddr>) -> OwnDoors {
    let store = match settings.fleet.as_ref().map(|fleet| &fleet.store) {
        Some(StoreSettings::Etcd(etcd)) => etcd.members.clone(),
        Some(StoreSettings::Embedded(_)) | None => Vec::new(),
    };
    OwnDoors { admin, peer, store }
}

/// What apps are served with.
fn parts(
    settings: &Settings,
    sandbox: Sandbox,
    schedule: Schedule,
    ledger: Ledger,
    fleet: Option<&Fleet>,
) -> Result<Parts, StartError> {
    Ok(Parts {
        sandbox,
        schedule,
        memory: Memory::new(settings.memory),
        ledger,
        blobs: Blobs::open(&settings.data.join("blobs"))?,
        catalog: Arc::default(),
        logs: Arc::default(),
        calls: Arc::default(),
        events: Arc::default(),
        limits: settings.limits.clone(),
        peers: fleet.map(|fleet| fleet.peers().clone()),
        max_component: settings.max_component,
    })
}

impl Host {
    /// Failures from now on that events only count, each by itself.
    #[must_use]
    pub fn follow_repeats(&self) -> broadcast::Receiver<Event> {
        self.events.follow_repeats()
    }

    /// Serves until SIGTERM or SIGINT, then ends in order. A second signal ends at once; `false`
    /// then, and when calls were broken off because their time was over.
    ///
    /// # Errors
    /// The system refuses signal handlers.
    pub fn run_until_signal(self) -> io::Result<bool> {
        let calm = self.control.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("ending: no new calls, finishing those that run");
            self.events.push(Event::now("stopping", "the host was told to end".to_owned()));
            self.shutdown.begin();
            io::Result::Ok(tokio::select! {
                drained = self.shutdown.drained(self.drain_timeout) => drained,
                _ = terminate.recv() => false,
                _ = interrupt.recv() => false,
            })
        })?;
        self.take_down();
        Ok(calm)
    }

    /// Ends in order, waiting for calls at most as long as the settings say.
    pub fn stop(self) {
        self.shutdown.begin();
        self.control.block_on(self.shutdown.drained(self.drain_timeout));
        self.take_down();
    }

    fn take_down(self) {
        // Guests first: their timers stand on the clocks of the ingress threads.
        self.guests.join();
        self.shutdown.close();
        self.ingress.join();
        self.memory_watch.join();
        self.control.shutdown_background();
    }
}

/// Two may be busy for long, with a view and an operator's list, and one is left.
const CONTROL_THREADS: usize = 3;

/// Where operators are served and a host keeps its place in its fleet, beside the threads of callers
/// and guests. More than one: reading a store of a hundred thousand apps anew, or a list of all of
/// them, takes a second in which the lease of this host must be kept alive and its probes answered.
fn control_runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .on_thread_start(priority::prompt)
        .enable_all()
        .build()
}

fn make_dir(path: &std::path::Path) -> Result<(), StartError> {
    std::fs::create_dir_all(path)
        .map_err(|source| StartError::Data { path: path.to_owned(), source })
}

fn refused(address: SocketAddr, who: &'static str, source: io::Error) -> StartError {
    StartError::Listen { address, who, source }
}

fn compiler_settings(settings: &Settings, n_cores: usize) -> compiler::Settings {
    compiler::Settings {
        program: settings.compiler.clone(),
        cache: settings.cache.clone().unwrap_or_else(|| settings.data.join("code")),
        is_shared: settings.cache.is_some(),
        timeout: settings.compile_timeout,
        memory: settings.compile_memory,
        largest_memory: settings.pool.largest_memory,
        parallel: n_cores.div_ceil(2),
    }
}

fn ingress_settings(settings: &Settings, n_cores: usize) -> ingress::Settings {
    ingress::Settings {
        listen: settings.listen,
        n_threads: n_cores,
        n_connections: settings.connections,
        head_timeout: settings.head_timeout,
        idle_timeout: settings.idle_timeout,
        head_size: HEAD_SIZE,
        tls: settings.tls.clone(),
        peers: None,
        lame_duck: match settings.fleet {
            Some(_) => LAME_DUCK.min(settings.drain_timeout / 2),
            None => Duration::ZERO,
        },
    }
}
