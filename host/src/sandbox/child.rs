//! The compiling child process: reads one binary, compiles it, says on stdout what it is.
//! Holds nothing but the compiler, so that stopping it loses nothing.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, Signal};
use steerage_core::units::Bytes;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::compiler::Report;
use super::engine::{self, Flavor};
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
    /// Address space that the memory of each of its instances will have.
    pub largest_memory: Bytes,
}

/// Compiles and prints a report. The process should exit right after.
///
/// # Errors
/// When a file cannot be read or written, or the compiler does not support this machine.
pub fn compile(task: &Task) -> anyhow::Result<()> {
    confine(task.memory)?;
    let bytes = fs::read(&task.wasm)?;
    let report = match examine(&bytes, task.largest_memory)? {
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
        // A limit that this process was started with stays where it is lower.
        let before = rustix::process::getrlimit(Resource::As).maximum;
        let memory = before.map_or(memory, |before| before.min(memory));
        let limit = Rlimit { current: Some(memory), maximum: Some(memory) };
        rustix::process::setrlimit(Resource::As, limit)?;
    }
    Ok(())
}

fn examine(
    bytes: &[u8],
    largest_memory: Bytes,
) -> anyhow::Result<Result<(Shape, Vec<u8>), Rejection>> {
    let engine = engine::compiling(Flavor::Plain, largest_memory)?;
    match verdict::is_component(bytes) {
        Ok(true) => {}
        Ok(false) => return Ok(compile_module(&engine, bytes)),
        Err(rejection) => return Ok(Err(rejection)),
    }
    // What needs the other engine is found invalid before any code is made.
    if let Ok(component) = Component::from_binary(&engine, bytes)
        && !verdict::imports_concurrent(&engine, &component)
    {
        return Ok(finish_component(&engine, Flavor::Plain, &component));
    }
    let engine = engine::compiling(Flavor::Concurrent, largest_memory)?;
    let compiled = Component::from_binary(&engine, bytes).map_err(|error| invalid(&error));
    Ok(compiled.and_then(|code| finish_component(&engine, Flavor::Concurrent, &code)))
}

fn finish_component(
    engine: &Engine,
    flavor: Flavor,
    component: &Component,
) -> Result<(Shape, Vec<u8>), Rejection> {
    let shape = verdict::of_component(engine, flavor, component)?;
    Ok((shape, component.serialize().map_err(|error| invalid(&error))?))
}

fn compile_module(engine: &Engine, bytes: &[u8]) -> Result<(Shape, Vec<u8>), Rejection> {
    let module = Module::from_binary(engine, bytes).map_err(|error| invalid(&error))?;
    let shape = verdict::of_module(&module)?;
    Ok((shape, module.serialize().map_err(|error| invalid(&error))?))
}

fn invalid(error: &wasmtime::Error) -> Rejection {
    Rejection::Invalid { detail: format!("{error:#}") }
}

fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
