//! The Wasmtime engines of this process: what code is compiled for and the pools instances live in.
//! Does not know components, calls or limits of an app.
//!
//! There are three. The component model's async features make Wasmtime keep a record of tasks around
//! every call into a guest and out of it, which each small call would pay for; so what does
//! not use them, nearly all there is, runs on an engine without. And instances that are put back after a
//! call live in memories of our own (`restore`), which no pool of Wasmtime's has.

use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use steerage_core::machine::{self, LEAST_SLOTS};
use steerage_core::units::Bytes;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    WasmFeatures,
};

use super::restore::memory::Creator;
use crate::telemetry::profiles;

/// Bytes of each table kept resident and reset by copying instead of being unmapped.
const TABLE_KEEP_RESIDENT: usize = 64 << 10;
/// Most elements of one table: generous, since engines compiled to Wasm have large ones.
pub const TABLE_ELEMENTS: usize = 65_536;
/// Most core instances of one component. One that was adapted from preview 1 has four, a Python
/// program with its libraries some thirty; each is memory of the host that nobody is charged for.
pub const MOST_CORE_INSTANCES: u32 = 40;
/// Most memories of one module, or of one component with all that it is composed of.
pub const MOST_MEMORIES: u32 = 4;
/// Most tables of one module, or of one component with all that it is composed of.
pub const MOST_TABLES: u32 = 8;
/// Tables that a slot has beside its one memory.
const TABLES_PER_SLOT: u32 = 2;
/// One slot in so many, and a hundred at least, keeps the memory image of the component that had it
/// last. With a hundred, a call of one of a thousand apps in turn cost 3.6 times a call of one app, and
/// 2.0 times with so many (`benches many`). As many slots as are computed from the host's memory fit in
/// it with what stays resident of each, so this is an eighth of that; an operator may ask for more.
const WARM_PART: u32 = 8;
/// The least number of such slots, which is Wasmtime's own.
const LEAST_WARM: u32 = 100;
/// Most frames recorded of a trap's backtrace.
const BACKTRACE_FRAMES: usize = 32;

/// Where instances live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// How many may live at once.
    pub slots: Slots,
    /// Bytes of each memory kept resident and reset by copying instead of being unmapped.
    ///
    /// Unmapping costs a TLB shoot-down on every core; a small guest should dirty less than this.
    pub keep_resident: Bytes,
    /// Address space for each instance's memory: the most that any app's limit may be.
    pub largest_memory: Bytes,
    /// Whether pages may be swapped out, or nobody knows.
    pub may_swap: bool,
}

/// How many instances may live at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// What an operator asked for: as many or none.
    Exactly(u32),
    /// What was computed: fewer where the address space has no room after all.
    AtMost(u32),
}

impl Slots {
    /// The number, if it fits.
    #[must_use]
    pub fn most(self) -> u32 {
        let (Self::Exactly(slots) | Self::AtMost(slots)) = self;
        slots
    }
}

/// Has this thread what it needs to run guests. To be called when it starts: later the instances may
/// have taken all address space, and who cannot be given it then ends the process.
pub fn ready_thread() {
    Engine::tls_eager_initialize();
    // After Wasmtime has given the thread a stack for signals.
    profiles::sample_here();
}

/// Which of the engines code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flavor {
    /// Without the component model's async features.
    Plain,
    /// With them.
    Concurrent,
    /// Without them, for instances that are put back after a call; such code was rewritten for it.
    Restoring,
}

/// Why the engine could not be built.
#[derive(Debug, thiserror::Error)]
#[error(
    "the instance pool does not fit this machine's address space and mappings, even with {slots} slots"
)]
pub struct EngineError {
    slots: u32,
    #[source]
    source: wasmtime::Error,
}

/// What guests may be made of. Each proposal is code of the compiler that a guest can reach, so there
/// is what toolchains for WASI make, and no more.
///
/// Tail calls are made by clang for `musttail` and by the compilers of functional languages; exceptions
/// by wasi-sdk for C++ and setjmp; objects that are collected by those of Kotlin, Dart and Scheme, and
/// they need typed function references. Several memories are what linkers that merge modules make.
/// Not there: memory64, since no interface of WASI takes such addresses; threads, since their memory
/// outlives its instance; relaxed SIMD, since its results differ between machines, and replicas of an
/// app should not.
#[must_use]
pub fn features(flavor: Flavor) -> WasmFeatures {
    let mut features = WasmFeatures::WASM3 | WasmFeatures::GC_TYPES | WasmFeatures::COMPONENT_MODEL;
    features -= WasmFeatures::MEMORY64 | WasmFeatures::THREADS | WasmFeatures::RELAXED_SIMD;
    features.set(WasmFeatures::CM_ASYNC, flavor == Flavor::Concurrent);
    features
}

/// What compiled code depends on. The compiling child and the running host must agree on it.
fn code_config(flavor: Flavor, largest_memory: Bytes) -> Config {
    let is_concurrent = flavor == Flavor::Concurrent;
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .concurrency_support(is_concurrent)
        .wasm_features(features(flavor), true)
        .wasm_features(features(flavor).complement(), false)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES))
        // Where a memory has less than all a guest can address, its code checks each access.
        .memory_reservation(largest_memory.get())
        .memory_guard_size(machine::guard(largest_memory).get())
        // Only native debuggers need it, and it makes compiled code larger.
        .native_unwind_info(false);
    if flavor == Flavor::Restoring {
        // Wasmtime can lay such an image under memories of its own only.
        config.memory_init_cow(false);
    }
    config
}

/// An engine that only compiles: no pool, so that it costs no address space. `is_soon` leaves out what
/// makes code fast, which is most of the time; such code takes as much fuel, and every engine runs it.
///
/// # Errors
/// When the compiler does not support this machine.
pub fn compiling(flavor: Flavor, largest_memory: Bytes, is_soon: bool) -> wasmtime::Result<Engine> {
    let mut config = code_config(flavor, largest_memory);
    if is_soon {
        config.cranelift_opt_level(OptLevel::None);
    }
    Engine::new(&config)
}

/// The engine that runs guests; the second value says how many slots it has.
///
/// # Errors
/// When the slots that were asked for do not fit the address space, or where none were asked for not
/// even a handful.
pub fn running(flavor: Flavor, settings: &PoolSettings) -> Result<(Engine, u32), EngineError> {
    let mut slots = settings.slots.most().max(LEAST_SLOTS);
    let least = match settings.slots {
        Slots::Exactly(slots) => slots,
        Slots::AtMost(_) => LEAST_SLOTS,
    };
    loop {
        let mut config = code_config(flavor, settings.largest_memory);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(settings, slots)));
        match Engine::new(&config) {
            Ok(engine) => return Ok((engine, slots)),
            Err(source) if slots / 2 < least => return Err(EngineError { slots, source }),
            Err(_) => slots /= 2,
        }
    }
}

/// The engine for instances that are restored. It has no pool and no slots.
///
/// # Errors
/// When Wasmtime does not support this machine.
pub(super) fn restoring(largest_memory: Bytes) -> wasmtime::Result<Engine> {
    let mut config = code_config(Flavor::Restoring, largest_memory);
    config
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .with_host_memory(Arc::new(Creator));
    Engine::new(&config)
}

/// How many slots one instance with so many memories and tables takes.
#[must_use]
pub fn slots_for(n_memories: u32, n_tables: u32) -> u32 {
    n_memories.max(n_tables.div_ceil(TABLES_PER_SLOT)).max(1)
}

/// What the pool of an engine keeps resident of instances that are gone.
#[must_use]
pub(super) fn kept(engine: &Engine) -> Bytes {
    let bytes = engine.pooling_allocator_metrics().map_or(0, |pool| {
        pool.unused_memory_bytes_resident().saturating_add(pool.unused_table_bytes_resident())
    });
    Bytes::new(bytes as u64)
}

fn pool(settings: &PoolSettings, slots: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    // A component adapted from preview 1 has one memory and two tables: a slot. Of core instances
    // the pool keeps a number only, so there are enough for every component that is let in.
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(MOST_CORE_INSTANCES))
        .total_memories(slots)
        .total_tables(slots.saturating_mul(TABLES_PER_SLOT))
        .total_stacks(slots)
        .max_unused_warm_slots((slots / WARM_PART).max(LEAST_WARM))
        .max_core_instances_per_component(MOST_CORE_INSTANCES)
        .max_memories_per_component(MOST_MEMORIES)
        .max_tables_per_component(MOST_TABLES)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .max_memories_per_module(MOST_MEMORIES)
        .max_tables_per_module(MOST_TABLES)
        // What is collected lies in a memory of its own, counted and bounded like the others; one for
        // each store that has such objects.
        .total_gc_heaps(slots)
        .max_memory_size(settings.largest_memory.as_usize())
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(settings.keep_resident.as_usize())
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        // Wasmtime 48 resets the written pages that are present. One that was swapped out would be left
        // as the last call of that slot left it, for the next call to read.
        .pagemap_scan(if settings.may_swap { Enabled::No } else { Enabled::Auto });
    pool
}

#[cfg(test)]
mod tests {
    use wasmtime::{Linker, Module, Store};

    use super::*;

    #[test]
    fn what_stays_of_an_instance_that_is_gone_is_known() {
        let settings = PoolSettings {
            slots: Slots::AtMost(LEAST_SLOTS),
            keep_resident: Bytes::new(256 << 10),
            largest_memory: Bytes::mebi(16),
            may_swap: false,
        };
        let (engine, _) = running(Flavor::Plain, &settings).unwrap();
        let text = "(module (memory 4) (func $start (memory.fill (i32.const 0) (i32.const 1) \
            (i32.const 262144))) (start $start))";
        let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
        assert_eq!(kept(&engine), Bytes::ZERO);
        let mut store = Store::new(&engine, ());
        store.set_fuel(10_000_000).unwrap();
        Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        assert_eq!(kept(&engine), Bytes::ZERO, "it is in use");
        drop(store);
        // With pages that the kernel tells of, those that were written; without, all that may stay.
        assert!(kept(&engine) > Bytes::ZERO && kept(&engine) <= settings.keep_resident);
    }
}
