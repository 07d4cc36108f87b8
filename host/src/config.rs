//! What an operator wants, from the command line, the environment and a file, checked against the
//! machine and against itself: `Settings` that a host can start with, or every mistake at once.
//! Does not open files, start anything or know clap: `cli` does.
//!
//! A flag goes before its environment variable, that before the file, and the file before the
//! default. What is wrong is told wherever it stands, overridden or not.

mod check;
mod fleet;
mod knobs;
mod otlp;
mod receivers;
mod said;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use steerage_core::disk::DiskBound;
use steerage_core::doctor::WantedSize;
use steerage_core::id::TenantName;
use steerage_core::key_value::DEFAULT_QUOTA;
use steerage_core::limits::LimitsPolicy;
use steerage_core::machine::{InstanceWishes, Machine};
use steerage_core::network::Network;
use steerage_core::outbound::PrivateNetworks;
use steerage_core::rollout::WatchTime;
use steerage_core::sql;
use steerage_core::units::{Bytes, Fuel, Weight};

pub use self::fleet::FleetSettings;
pub use self::knobs::{KNOBS, Knob};
pub use self::said::WrongFlag;
use crate::blobs::{self, Blobs};
use crate::budget::MemorySettings;
use crate::code::MappedSettings;
use crate::cpu::CpuSettings;
use crate::document::Mistakes;
use crate::history::HistorySettings;
use crate::kernel;
use crate::listener::{sockets, tls};
use crate::notify::NotifySettings;
use crate::otlp::OtlpSettings;
use crate::sandbox::engine::{PoolSettings, Slots};
use crate::seal::SecretsKeyFrom;
use crate::telemetry::access::AccessTarget;
use crate::telemetry::profiles;

/// Everything a host can be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where callers come in; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where operators come in; port 0 takes a free one.
    pub admin: SocketAddr,
    /// Where deployments and components are kept.
    pub data: PathBuf,
    /// Where compiled code is kept; below `data` unless given, and never cleaned up where it is.
    pub cache: Option<PathBuf>,
    /// A file with the token that operators must show.
    pub token_file: Option<PathBuf>,
    /// Where the key for secrets comes from.
    pub secrets_key: SecretsKeyFrom,
    /// Certificate and key for callers; plain text without.
    pub tls: Option<tls::Files>,
    /// What the host writes into its own log, as `tracing` reads it.
    pub log: String,
    /// How the host writes its own log.
    pub log_format: LogFormat,
    /// Where a line for each call goes.
    pub access_log: Option<AccessTarget>,
    /// How long calls may go on once the host was told to end.
    pub drain_timeout: Duration,
    /// How long callers are still let in once the host was told to end, so that those who choose hosts
    /// see that it is not ready before it is gone.
    pub lame_duck: Duration,
    /// Most connections of callers at once.
    pub connections: usize,
    /// The program that compiles: this binary, unless a test says otherwise.
    pub compiler: PathBuf,
    /// Longest time to compile one component.
    pub compile_timeout: Duration,
    /// Most memory to compile one component.
    pub compile_memory: Bytes,
    /// Largest component taken.
    pub max_component: Bytes,
    /// What the keys and values of one app may take.
    pub kv_quota: Bytes,
    /// What one SQL database may take.
    pub sql_quota: Bytes,
    /// How long a deployment is watched that took the place of another.
    pub watch: WatchTime,
    /// What components and compiled code may take of the disk.
    pub disk: DiskBound,
    /// How much is kept of what apps did, minute by minute.
    pub history: HistorySettings,
    /// How often guests are sampled for their profiles, for each second of CPU time of a thread.
    pub profile_frequency: u32,
    /// Longest wait for a request's head.
    pub head_timeout: Duration,
    /// Longest wait for a client that neither sends nor reads.
    pub idle_timeout: Duration,
    /// Where proxies are that are believed when they say whom a request comes from.
    pub trusted_proxies: Vec<Network>,
    /// What the host may use of the machine's memory.
    pub memory: MemorySettings,
    /// What may be kept of what happened to apps.
    pub telemetry: Bytes,
    /// Where instances live.
    pub pool: PoolSettings,
    /// Apps whose code is mapped.
    pub mapped: MappedSettings,
    /// How the CPU is shared.
    pub cpu: CpuSettings,
    /// Most calls waiting at once, of all apps together.
    pub queue: u32,
    /// What apps may use.
    pub limits: LimitsPolicy,
    /// Networks that are not public and that apps may reach whose manifest names them.
    pub outbound_private: PrivateNetworks,
    /// Who is told what is wrong.
    pub notify: NotifySettings,
    /// Who is told about calls.
    pub otlp: OtlpSettings,
    /// Shares of tenants; one that is not among them weighs 1.
    pub tenants: BTreeMap<TenantName, Weight>,
    /// The fleet it belongs to; `None` for a host on its own.
    pub fleet: Option<FleetSettings>,
    /// Whether one app has the host to itself and answers under every name: `steerage up` only.
    pub is_for_one_app: bool,
    /// Whether code is compiled soon rather than to be fast: `steerage up` without `--release` only.
    pub is_compiled_soon: bool,
}

/// How the host writes its own log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line an event.
    #[default]
    Text,
    /// One JSON object an event.
    Json,
}

/// A file with settings, as it was read.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name, for messages.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// Everything that is wrong with what an operator wants; never nothing.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// On the command line or in the environment.
    pub flags: Vec<WrongFlag>,
    /// In the file of this name.
    pub file: Option<(String, Mistakes)>,
}

/// 80 % of the machine's memory: the rest is for the kernel, its buffers, compiling children and other
/// programs.
const BUDGET_PERCENT: u64 = 80;
/// 50 %: the ledger, the system and other programs have the rest.
const DISK_PERCENT: u64 = 50;
/// Most instances hold half of what they reserved, so twice as many fit; the budget still holds.
const OVERCOMMIT: f64 = 2.0;
/// 256 KiB: what a small guest dirties, stack and heap; resetting it costs less than giving it back.
const KEEP_RESIDENT: Bytes = Bytes::new(256 << 10);
/// 5 minutes: an app that is called now and then stays mapped between two calls of a person.
const IDLE_APPS: Duration = Duration::from_secs(300);
/// 200,000: 22 microseconds of a loop that only counts (measured), more where an instruction of the
/// guest takes more than one of the processor.
const SLICE: Fuel = Fuel::new(200_000);
/// 10,000 each: an idle connection costs 39 KiB (measured), so some hundred MiB in all.
const CONNECTIONS: usize = 10_000;
const QUEUE: u32 = 10_000;
/// 1 s: as often as load balancers look at a host's health.
const LAME_DUCK: Duration = Duration::from_secs(1);

/// State changes, and nothing for each call.
const DEFAULT_LOG: &str = "info";

/// Most telemetry by default: the counters of 100,000 apps that were called, and 32 MiB of their last calls
/// and log lines.
const TELEMETRY: Bytes = Bytes::mebi(128);

impl Settings {
    /// Settings with every default, for a host on this machine that keeps its data in `data` and
    /// compiles with `compiler`.
    #[must_use]
    pub fn new(data: PathBuf, compiler: PathBuf) -> Self {
        Self::fitting(&kernel::machine(), data, compiler)
    }

    /// The same for a machine that is given.
    fn fitting(machine: &Machine, data: PathBuf, compiler: PathBuf) -> Self {
        let largest_memory = machine.default_largest_memory();
        let mut settings = Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 8081)),
            data,
            cache: None,
            token_file: None,
            secrets_key: SecretsKeyFrom::default(),
            tls: None,
            log: DEFAULT_LOG.to_owned(),
            log_format: LogFormat::Text,
            access_log: None,
            drain_timeout: Duration::from_secs(30),
            lame_duck: LAME_DUCK,
            connections: CONNECTIONS,
            compiler,
            compile_timeout: Duration::from_secs(60),
            compile_memory: Bytes::mebi(4 << 10),
            max_component: Bytes::mebi(100),
            kv_quota: DEFAULT_QUOTA,
            sql_quota: sql::DEFAULT_QUOTA,
            watch: WatchTime::STATED,
            disk: DiskBound::Percent(DISK_PERCENT),
            history: HistorySettings::DEFAULT,
            profile_frequency: profiles::FREQUENCY,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            trusted_proxies: Vec::new(),
            memory: MemorySettings {
                budget: machine.usable_memory().percent(BUDGET_PERCENT),
                overcommit: OVERCOMMIT,
            },
            telemetry: Bytes::ZERO,
            pool: PoolSettings {
                slots: Slots::AtMost(0),
                keep_resident: KEEP_RESIDENT,
                largest_memory,
                may_swap: machine.may_swap,
            },
            mapped: MappedSettings { most: 0, idle: IDLE_APPS },
            cpu: CpuSettings { slice: SLICE, threads: machine.cores },
            queue: QUEUE,
            limits: LimitsPolicy::default(),
            outbound_private: PrivateNetworks::default(),
            notify: NotifySettings::default(),
            otlp: OtlpSettings::default(),
            tenants: BTreeMap::new(),
            fleet: None,
            is_for_one_app: false,
            is_compiled_soon: false,
        };
        settings.telemetry = settings.default_telemetry();
        settings.limits.maximum.memory = largest_memory;
        settings.limits.default = settings.limits.default.at_most(&settings.limits.maximum);
        settings.fit(machine);
        settings
    }

    /// An eighth of the memory budget, and no more than is enough for 100,000 apps.
    fn default_telemetry(&self) -> Bytes {
        Bytes::new((self.memory.budget.get() / 8).min(TELEMETRY.get()))
    }

    /// Computes what depends on other settings.
    fn fit(&mut self, machine: &Machine) {
        let shape = InstanceWishes {
            budget: self.memory.budget,
            keep_resident: self.pool.keep_resident,
            largest_memory: self.pool.largest_memory,
        };
        if let Slots::AtMost(slots) = &mut self.pool.slots {
            *slots = machine.default_slots(&shape);
        }
        self.mapped.most = machine.default_mapped(self.pool.slots.most(), self.connections);
    }

    /// Reads what an operator said, and checks that a host can be so.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(
        flags: &[(&'static str, String)],
        file: Option<&File>,
        machine: &Machine,
        compiler: PathBuf,
    ) -> Result<Self, Wrong> {
        check::read(flags, file, machine, compiler, &|_| Vec::new())
    }

    /// The same, and `look` says what is wrong with the files that the settings name, by their keys.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(
        flags: &[(&'static str, String)],
        file: Option<&File>,
        machine: &Machine,
        compiler: PathBuf,
        look: &dyn Fn(&Self) -> Vec<(&'static str, String)>,
    ) -> Result<Self, Wrong> {
        check::read(flags, file, machine, compiler, look)
    }

    /// How large the host is to be, for those who judge the machine.
    #[must_use]
    pub fn wanted(&self) -> WantedSize {
        WantedSize {
            slots: self.pool.slots.most(),
            largest_memory: self.pool.largest_memory,
            mapped: self.mapped.most,
            connections: self.connections,
            budget: self.memory.budget,
            threads: self.cpu.threads,
            backlog: sockets::BACKLOG.unsigned_abs().into(),
            disk: kernel::free_disk(&self.data),
            components: self
                .disk_bound()
                .map(|bound| (Blobs::bytes_in(&self.data.join(blobs::FOLDER)), bound)),
        }
    }

    /// What components and compiled code may take on this machine; `None` for no bound.
    #[must_use]
    pub fn disk_bound(&self) -> Option<Bytes> {
        self.disk.on(kernel::disk_size(&self.data))
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = self.flags.iter().map(ToString::to_string);
        let file = self.file.iter().map(|(name, mistakes)| mistakes.display(name).to_string());
        f.write_str(&flags.chain(file).collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for Wrong {}

impl fmt::Display for WrongFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let knob = KNOBS.iter().find(|knob| knob.flag == self.flag);
        match knob {
            Some(knob) => write!(f, "--{} ({}): {}", knob.flag, knob.env, self.message),
            None => write!(f, "{}: {}", self.flag, self.message),
        }
    }
}

#[cfg(test)]
mod tests;
