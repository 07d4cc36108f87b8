//! The compiling child process: reads one binary, compiles it, says on stdout what it is.
//! Holds nothing but the compiler, so that stopping it loses nothing.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, Signal};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::compiler::Report;
use super::engine;
use super::verdict::{self, Rejection, Shape};

/// What the child is told on its command line.
#[derive(Clone, Debug)]
pub struct Task {
    /// The binary to compile.
    pub wasm: PathBuf,
    /// Where to write the code.
    pub out: PathBuf,
    /// Most address space to use, in bytes; 0 for no limit.
    pub memory: u64,
}

/// Compiles and prints a report. The process should exit right after.
///
/// # Errors
/// When a file cannot be read or written, or the compiler does not support this machine.
pub fn compile(task: &Task) -> anyhow::Result<()> {
    confine(task.memory)?;
    let bytes = fs::read(&task.wasm)?;
    let report = match examine(&engine::compiling()?, &bytes) {
        Ok((shape, code)) => {
            write_durably(&task.out, &code)?;
            Report::Compiled(shape)
        }
        Err(rejection) => Report::Rejected(rejection),
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
        let limit = Rlimit { current: Some(memory), maximum: Some(memory) };
        rustix::process::setrlimit(Resource::As, limit)?;
    }
    Ok(())
}

fn examine(engine: &Engine, bytes: &[u8]) -> Result<(Shape, Vec<u8>), Rejection> {
    let invalid = |error: wasmtime::Error| Rejection::Invalid { detail: format!("{error:#}") };
    if verdict::is_component(bytes)? {
        let component = Component::from_binary(engine, bytes).map_err(invalid)?;
        let shape = verdict::of_component(engine, &component)?;
        Ok((shape, component.serialize().map_err(invalid)?))
    } else {
        let module = Module::from_binary(engine, bytes).map_err(invalid)?;
        let shape = verdict::of_module(&module)?;
        Ok((shape, module.serialize().map_err(invalid)?))
    }
}

fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
