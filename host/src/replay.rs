//! Runs a failed call again on this machine, in the same sandbox, with all that its capsule says its guest was
//! told. Needs no host: compiles the component into a folder of its own, and sends nothing to anybody.
//! Does not fetch capsules and does not show what came of it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use steerage_core::id::{AppName, BadAppName, CallId, Digest, Generation, TenantName};
use steerage_core::limits::Limits;
use steerage_core::manifest::{Capture, Instance};
use steerage_core::outbound::PrivateNetworks;
use steerage_core::outcome::Outcome;
use steerage_core::units::{Bytes, Fuel, Weight};

use crate::budget::{Memory, MemorySettings};
use crate::call::{Call, CallSide, Usage};
use crate::capsule::{Capsule, CapsuleEnding, Tape};
use crate::respond::guest;
use crate::sandbox::captured::BadRequestHead;
use crate::sandbox::compiler::{self, CompileError};
use crate::sandbox::engine::{PoolSettings, Slots};
use crate::sandbox::instance::GuestRequest;
use crate::sandbox::load_error::LoadError;
use crate::sandbox::module::{InstanceTemplate, Sandbox, SandboxError, Spec};
use crate::sandbox::outbound::{ConnectionCharge, Denials, Egress};
use crate::telemetry::Telemetry;
use crate::telemetry::logs::AppLog;
use crate::telemetry::profiles::Profiles;

/// What compiling may take on a developer's machine.
const COMPILE_WITHIN: Duration = Duration::from_secs(300);
const COMPILE_MEMORY: Bytes = Bytes::mebi(4 << 10);
/// As a host has it; it does not matter to what a guest does.
const SLICE: Fuel = Fuel::new(200_000);
/// The largest memory that a manifest may ask for.
const LARGEST_MEMORY: Bytes = Bytes::mebi(4 << 10);
/// Lines that are kept of what the guest prints.
const MOST_LINES: usize = 1000;
/// After its time a guest is given so long to be stopped.
const GRACE: Duration = Duration::from_secs(10);

/// What a replay is made with.
#[derive(Debug)]
pub struct Settings {
    /// This program, which is also the compiler.
    pub program: PathBuf,
    /// A folder for compiled code.
    pub folder: PathBuf,
    /// The values of the environment, where they are known.
    pub env: BTreeMap<String, String>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// How it ended.
    pub ending: CapsuleEnding,
    /// What was wrong, in one line.
    pub message: String,
    /// What the guest printed.
    pub printed: Vec<String>,
    /// Names of the environment whose values are not known: others of the same length stood for them.
    pub unknown_env: Vec<String>,
}

/// Why a call cannot be run again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// What stands in the capsule is not what a host writes there.
    #[error("the capsule has a name that is none")]
    Name(#[from] BadAppName),
    /// Its request is none.
    #[error(transparent)]
    Request(#[from] BadRequestHead),
    /// There is no room here for a sandbox.
    #[error("cannot make a sandbox")]
    Sandbox(#[from] SandboxError),
    /// The component cannot be compiled.
    #[error("cannot compile the component")]
    Compile(#[from] CompileError),
    /// The component cannot be run with the capsule's limits.
    #[error("cannot run the component")]
    Load(#[from] LoadError),
    /// The component cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Runs the call of a capsule again, with this component.
///
/// # Errors
/// See [`ReplayError`].
pub async fn replay(
    capsule: &Capsule,
    wasm: &Path,
    settings: &Settings,
) -> Result<Replayed, ReplayError> {
    let app: AppName = capsule.app.parse()?;
    let telemetry = Telemetry::new(Bytes::mebi(16), Arc::default(), false);
    let log = telemetry.logs.app(&app);
    let (env, unknown_env) = env(capsule, &settings.env);
    let prepared = prepare(capsule, wasm, settings, (app, &telemetry, &log, env)).await?;
    let (outcome, usage, status) = run(capsule, prepared).await?;
    let ending = CapsuleEnding {
        cause: outcome.cause().to_owned(),
        status: if outcome == Outcome::Answered { status } else { 0 },
        frames: outcome.backtrace().to_vec(),
        fuel: usage.fuel.get(),
    };
    let printed = log.tail(MOST_LINES).into_iter().map(|line| line.text.to_string()).collect();
    Ok(Replayed { ending, message: outcome.to_string(), printed, unknown_env })
}

/// The component, compiled and linked.
async fn prepare(
    capsule: &Capsule,
    wasm: &Path,
    settings: &Settings,
    (app, telemetry, log, env): (AppName, &Telemetry, &Arc<AppLog>, Vec<(String, String)>),
) -> Result<InstanceTemplate, ReplayError> {
    let compiler = compiler::Settings {
        program: settings.program.clone(),
        cache: settings.folder.clone(),
        is_shared: false,
        timeout: COMPILE_WITHIN,
        memory: COMPILE_MEMORY,
        largest_memory: LARGEST_MEMORY,
        is_soon: true,
        parallel: 1,
    };
    let pool = PoolSettings {
        slots: Slots::AtMost(16),
        keep_resident: Bytes::ZERO,
        largest_memory: LARGEST_MEMORY,
        may_swap: true,
    };
    // Nothing is sent: what came of the guest's requests is in the capsule. And nobody says where doors are, so
    // nothing could be.
    let egress = Egress::new(PrivateNetworks::default(), 64);
    let sandbox = Sandbox::start(pool, SLICE, compiler, egress)?;
    let bytes = tokio::fs::read(wasm).await;
    let bytes = bytes.map_err(|source| ReplayError::Read { path: wasm.to_owned(), source })?;
    let digest = Digest::from_bytes(Sha256::digest(&bytes).into());
    let compiled = sandbox.compile(digest, wasm).await?;
    let memory = Memory::new(
        MemorySettings { budget: Bytes::mebi(16 << 10), overcommit: 2.0 },
        BTreeMap::new(),
    );
    let generation = Generation::new(capsule.generation).unwrap_or(Generation::FIRST);
    let meter = telemetry.meters.meter();
    let denied = meter.outbound_denied.clone();
    let destinations = telemetry.calls.ring(&app).destinations.clone();
    let spec = Spec {
        generation,
        limits: limits(capsule),
        env,
        secrets: Vec::new(),
        instance: Instance { reuse: NonZeroU32::MIN, ..Instance::default() },
        allowed_outbound_hosts: Vec::new(),
        stores: None,
        spin: None,
        databases: None,
        capture: Capture::default(),
        log: log.clone(),
        meter,
        profile: Arc::<Profiles>::default().scope(&app, generation),
        memory: memory.account(&TenantName::default(), Weight::DEFAULT),
        denials: Denials::new(app, generation, denied, Arc::default()),
        destinations,
        charge: ConnectionCharge::to(|_| ()),
    };
    Ok(sandbox.load(&compiled, wasm.to_owned(), spec)?)
}

async fn run(
    capsule: &Capsule,
    prepared: InstanceTemplate,
) -> Result<(Outcome, Usage, u16), ReplayError> {
    let limits = prepared.limits().clone();
    let deadline = tokio::time::Instant::now() + limits.timeout;
    let call = Arc::new(Call::new(CallId::from_u128(0), Instant::now(), ()));
    let tape = Tape::playing(capsule.recording.clone(), limits.timeout);
    let call: Arc<Call> = call;
    let request = GuestRequest::played(&capsule.request, &tape, &call, deadline)?;
    let is_head = request.request.method() == Method::HEAD;
    let side = CallSide::of(call.clone());
    let guest = {
        let call = call.clone();
        async move { prepared.run(&call, request).await }
    };
    let client = async {
        // As a host does that answers a client, whose client takes all at once.
        if let Some(Ok(response)) = call.answered().await {
            call.set_status(response.status().as_u16());
            match guest::answer(response, is_head, &side, limits.response_body) {
                Ok(reply) => drop(reply.into_body().collect().await),
                Err(outcome) => call.cut(outcome),
            }
        }
        call.over().await;
    };
    let both = async { tokio::join!(guest, client) };
    drop(tokio::time::timeout_at(deadline + GRACE, both).await);
    let (outcome, usage) = call
        .ended()
        .unwrap_or_else(|| (Outcome::TimedOut { limit: limits.timeout }, Usage::default()));
    Ok((outcome, usage, call.status()))
}

fn limits(capsule: &Capsule) -> Limits {
    let of = &capsule.limits;
    Limits {
        memory: Bytes::new(of.memory),
        fuel: Fuel::new(of.fuel),
        timeout: Duration::from_millis(of.timeout_ms),
        request_body: Bytes::new(of.request_body),
        response_body: Bytes::new(of.response_body),
        ..Limits::default()
    }
}

/// The environment: values that are known, and others of the same length where they are not; with the names of
/// those.
fn env(
    capsule: &Capsule,
    known: &BTreeMap<String, String>,
) -> (Vec<(String, String)>, Vec<String>) {
    let mut unknown = Vec::new();
    let each = capsule.env.iter().map(|of| {
        let value = known.get(&of.name).cloned().unwrap_or_else(|| {
            unknown.push(of.name.clone());
            "x".repeat(of.value_bytes)
        });
        (of.name.clone(), value)
    });
    (each.collect(), unknown)
}
