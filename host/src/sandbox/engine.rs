//! The Wasmtime engines of this process: what code is compiled for and the pools instances live in.
//! Does not know components, calls or limits of an app.
//!
//! There are two. The component model's async features make Wasmtime keep a record of tasks around
//! every call into a guest and out of it, which costs a small call a tenth of its time; so what does
//! not use them, nearly all there is, runs on an engine without.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Bytes of each memory kept resident and reset by copying instead of being unmapped.
///
/// Unmapping costs a TLB shoot-down on every core; a small guest should dirty less than this (not measured).
const MEMORY_KEEP_RESIDENT: usize = 256 << 10;
/// The same for tables.
const TABLE_KEEP_RESIDENT: usize = 64 << 10;
/// Most elements of one table: generous, since engines compiled to Wasm have large ones.
const TABLE_ELEMENTS: usize = 65_536;
/// Most frames recorded of a trap's backtrace.
const BACKTRACE_FRAMES: usize = 32;
/// Fewer slots than this are not worth starting a host for.
const LEAST_SLOTS: u32 = 16;

/// How many instances may live at once, unless the operator says otherwise.
pub const DEFAULT_SLOTS: u32 = 4096;

/// Which of the two engines code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flavor {
    /// Without the component model's async features.
    Plain,
    /// With them.
    Concurrent,
}

/// Why the engine could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the instance pool does not fit this machine's address space, even with {slots} slots")]
pub struct EngineError {
    slots: u32,
    #[source]
    source: wasmtime::Error,
}

/// What compiled code depends on. The compiling child and the running host must agree on it.
fn code_config(flavor: Flavor) -> Config {
    let is_concurrent = flavor == Flavor::Concurrent;
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .concurrency_support(is_concurrent)
        .wasm_component_model_async(is_concurrent)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES))
        // Only native debuggers need it, and it makes compiled code larger.
        .native_unwind_info(false);
    config
}

/// An engine that only compiles: no pool, so that it costs no address space.
///
/// # Errors
/// When the compiler does not support this machine.
pub fn compiling(flavor: Flavor) -> wasmtime::Result<Engine> {
    Engine::new(&code_config(flavor))
}

/// The engine that runs guests, with room for `slots` instances at once.
///
/// Takes fewer slots, halving, when the address space has no room; the second value says how many.
///
/// # Errors
/// When not even a handful of slots fits.
pub fn running(flavor: Flavor, slots: u32) -> Result<(Engine, u32), EngineError> {
    let mut slots = slots.max(LEAST_SLOTS);
    loop {
        let mut config = code_config(flavor);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
        match Engine::new(&config) {
            Ok(engine) => return Ok((engine, slots)),
            Err(source) if slots / 2 < LEAST_SLOTS => return Err(EngineError { slots, source }),
            Err(_) => slots /= 2,
        }
    }
}

fn pool(slots: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    // A component adapted from preview 1 is four core instances with one memory and two tables.
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(4))
        .total_memories(slots)
        .total_tables(slots.saturating_mul(2))
        .total_stacks(slots)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .max_memories_per_module(8)
        .max_tables_per_module(8)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    pool
}
