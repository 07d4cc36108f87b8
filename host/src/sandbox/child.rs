//! The compiling child process: reads one binary, compiles it, says on stdout what it is.
//! Holds nothing but the compiler, so that stopping it loses nothing.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, Signal};
use steerage_core::units::Bytes;
use wasmtime::Module;
use wasmtime::component::Component;

use super::compiler::Report;
use super::engine::{self, Flavor};
use super::examine::examine;
use super::prepared::prepared;
use super::restore::qualify;
use super::verdict::{GuestKind, Rejection, Shape};

/// What the child is told on its command line.
#[derive(Clone, Debug)]
pub struct Task {
    /// The binary to compile.
    pub wasm: PathBuf,
    /// Where to write the code.
    pub out: PathBuf,
    /// Most address space to use, in bytes; 0 for no limit.
    pub memory: u64,
    /// Address space that the memory of each of its instances will have.
    pub largest_memory: Bytes,
    /// Whether to compile soon rather than to be fast.
    pub is_soon: bool,
    /// Whether to compile it so that its instances can be put back after a call.
    pub is_restoring: bool,
}

/// Compiles and prints a report. The process should exit right after.
///
/// # Errors
/// When a file cannot be read or written, or the compiler does not support this machine.
pub fn compile(task: &Task) -> anyhow::Result<()> {
    confine(task.memory)?;
    let bytes = fs::read(&task.wasm)?;
    let made = match prepared(&bytes) {
        Ok(bytes) => make(&bytes, task)?,
        Err(rejection) => Err(Report::Rejected(rejection)),
    };
    let report = match made {
        Ok((shape, code)) => match write_durably(&task.out, &code) {
            Ok(()) => Report::Compiled(shape),
            Err(error) if is_full(&error) => Report::Full,
            Err(error) => return Err(error.into()),
        },
        Err(report) => report,
    };
    let mut stdout = std::io::stdout().lock();
    serde_json::to_writer(&mut stdout, &report)?;
    stdout.flush()?;
    Ok(())
}

/// Bounded in memory, polite to the guests that run meanwhile, and gone when the host is.
fn confine(memory: u64) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::nice(10)?;
    if memory > 0 {
        // A limit that this process was started with stays where it is lower.
        let before = rustix::process::getrlimit(Resource::As).maximum;
        let memory = before.map_or(memory, |before| before.min(memory));
        let limit = Rlimit { current: Some(memory), maximum: Some(memory) };
        rustix::process::setrlimit(Resource::As, limit)?;
    }
    Ok(())
}

/// The code, or what to report instead.
fn make(bytes: &[u8], task: &Task) -> anyhow::Result<Result<(Shape, Vec<u8>), Report>> {
    let shape = match examine(bytes, task.largest_memory) {
        Ok(shape) => shape,
        Err(rejection) => return Ok(Err(Report::Rejected(rejection))),
    };
    if task.is_restoring {
        let rewritten = match qualify::rewrite(bytes) {
            Ok(rewritten) => rewritten,
            Err(unfit) => return Ok(Err(Report::Unfit(unfit))),
        };
        let engine = engine::compiling(Flavor::Restoring, task.largest_memory, task.is_soon)?;
        let code = match shape.kind {
            GuestKind::CgiModule => engine.precompile_module(&rewritten),
            _ => engine.precompile_component(&rewritten),
        };
        return Ok(code.map(|code| (shape, code)).map_err(|error| invalid(&error)));
    }
    let engine = engine::compiling(shape.flavor, task.largest_memory, task.is_soon)?;
    let code = if shape.kind == GuestKind::CgiModule {
        Module::from_binary(&engine, bytes).and_then(|module| module.serialize())
    } else {
        Component::from_binary(&engine, bytes).and_then(|component| component.serialize())
    };
    Ok(code.map(|code| (shape, code)).map_err(|error| invalid(&error)))
}

fn invalid(error: &wasmtime::Error) -> Report {
    Report::Rejected(Rejection::Invalid { detail: format!("{error:#}") })
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // Whatever the umask is: code that others can write to is not run.
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
