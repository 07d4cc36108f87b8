//! Examining a binary before any code is made of it: whether it is valid, uses only what the engines
//! have, imports only what the host has, exports something that can be called, and fits the pool.
//! All refusals that can be known beforehand are made here, since compiling takes seconds.
//! Does not compile and does not know an app's limits.

use std::fmt;

use steerage_core::units::Bytes;
use wasmparser::component_types::ComponentEntityType;
use wasmparser::types::{EntityType, Types};
use wasmparser::{CompositeInnerType, Validator, WasmFeatures};

use super::engine::{
    self, Flavor, MOST_CORE_INSTANCES, MOST_MEMORIES, MOST_TABLES, TABLE_ELEMENTS,
};
use super::needs::Needs;
use super::restore::qualify;
use super::sections::Sections;
use super::verdict::{self, GuestKind, Rejection, Shape};

/// Proposals that binaries are met with and that no engine here has, and what can be done.
const PROPOSALS: [(WasmFeatures, &str); 12] = [
    (WasmFeatures::THREADS, "threads (shared memory and atomics)"),
    (WasmFeatures::SHARED_EVERYTHING_THREADS, "shared-everything-threads"),
    (WasmFeatures::MEMORY64, "memory64; build for wasm32"),
    (WasmFeatures::RELAXED_SIMD, "relaxed SIMD; build without -mrelaxed-simd or +relaxed-simd"),
    (
        WasmFeatures::LEGACY_EXCEPTIONS,
        "legacy exceptions; build with -mllvm -wasm-use-legacy-eh=false for the standard form",
    ),
    (WasmFeatures::STACK_SWITCHING, "stack switching"),
    (WasmFeatures::WIDE_ARITHMETIC, "wide arithmetic"),
    (WasmFeatures::CUSTOM_PAGE_SIZES, "custom page sizes"),
    (WasmFeatures::MEMORY_CONTROL, "memory control"),
    (WasmFeatures::CM64, "64-bit components"),
    (WasmFeatures::CM_GC, "components with garbage collection"),
    (WasmFeatures::CM_THREADING, "threads of components"),
];

/// Most functions that stand for what the host does not have, each interface counted as one more: some ten times
/// what the SDK imports that imports most.
const MOST_STUBS: u64 = 10_000;

/// Finds out what a binary is and what it needs.
///
/// # Errors
/// Why this host cannot run it, whatever an app's limits.
pub fn examine(bytes: &[u8], largest_memory: Bytes) -> Result<Shape, Rejection> {
    let is_component = verdict::is_component(bytes)?;
    let (types, mut flavor) = validate(bytes)?;
    let sections = Sections::read(bytes).map_err(|error| invalid(&error))?;
    let not_offered = if is_component { verdict::not_offered(&sections) } else { Vec::new() };
    check_stubs(&types, &not_offered)?;
    let kind = if is_component {
        verdict::kind_of_component(&sections)?
    } else {
        check_start(&types, verdict::kind_of_module(&sections)?)?
    };
    // What uses none of the async features itself may still be given some by what it imports.
    if sections.imports.iter().any(|import| import.name.contains("@0.3.")) && is_component {
        flavor = Flavor::Concurrent;
    }
    let needs = Needs::of(&sections).map_err(|_| Rejection::TooMany {
        what: "core instances".to_owned(),
        value: u64::from(MOST_CORE_INSTANCES),
        is_more: true,
        limit: u64::from(MOST_CORE_INSTANCES),
    })?;
    check_room(&needs, largest_memory)?;
    let mut shape = Shape { kind, flavor, needs, unfit: None, not_offered };
    shape.unfit = qualify::examine(bytes, &shape);
    Ok(shape)
}

/// Validates for the engine without async features, and where those are missing for the other.
fn validate(bytes: &[u8]) -> Result<(Types, Flavor), Rejection> {
    let valid = |features| Validator::new_with_features(features).validate_all(bytes);
    if let Ok(types) = valid(engine::features(Flavor::Plain)) {
        return Ok((types, Flavor::Plain));
    }
    let error = match valid(engine::features(Flavor::Concurrent)) {
        Ok(types) => return Ok((types, Flavor::Concurrent)),
        // What is said of the more able engine is what is truly missing.
        Err(error) => error,
    };
    let missing = match error.missing_wasm_feature() {
        Some(missing) => missing,
        // Not every check says which proposal it is about. Then one is missed without which the
        // binary is invalid, and with which it is not.
        None if valid(WasmFeatures::all()).is_ok() => {
            let flags = PROPOSALS.iter().map(|(flag, _)| *flag);
            let is_needed = |flag: &WasmFeatures| valid(WasmFeatures::all() - *flag).is_err();
            flags.filter(is_needed).fold(WasmFeatures::empty(), |all, flag| all | flag)
        }
        None => return Err(invalid(&error)),
    };
    let named = PROPOSALS.iter().filter(|(flag, _)| missing.intersects(*flag));
    let proposals = named.map(|(_, name)| (*name).to_owned()).collect();
    Err(Rejection::Unsupported { proposals, detail: error.to_string() })
}

fn invalid(error: &dyn fmt::Display) -> Rejection {
    Rejection::Invalid { detail: error.to_string() }
}

/// The function that a program starts with takes nothing and gives nothing.
fn check_start(types: &Types, kind: GuestKind) -> Result<GuestKind, Rejection> {
    let types = types.as_ref();
    let mut exports = types.core_exports().into_iter().flatten();
    let start = exports.find_map(|(name, ty)| match ty {
        EntityType::Func(id) | EntityType::FuncExact(id) if name == "_start" => Some(id),
        _ => None,
    });
    let Some(id) = start else { return Ok(kind) };
    let Some(ty) = types.get(id) else { return Ok(kind) };
    let CompositeInnerType::Func(function) = &ty.composite_type.inner else { return Ok(kind) };
    let (n_parameters, n_results) = (function.params().len(), function.results().len());
    if n_parameters == 0 && n_results == 0 {
        return Ok(kind);
    }
    Err(Rejection::WrongStart { n_parameters, n_results })
}

/// What stands for functions that the host does not have is the host's memory, which no app is charged for.
fn check_stubs(types: &Types, interfaces: &[String]) -> Result<(), Rejection> {
    let types = types.as_ref();
    let functions = |name: &String| match types.component_item_for_import(name)?.ty {
        ComponentEntityType::Instance(id) => Some(types.get(id)?.exports.len()),
        _ => Some(1),
    };
    let n_functions: usize = interfaces.iter().filter_map(functions).sum();
    let value = n_functions.saturating_add(interfaces.len()) as u64;
    if value <= MOST_STUBS {
        return Ok(());
    }
    let what = "functions and interfaces that this host does not offer".to_owned();
    Err(Rejection::TooMany { what, value, is_more: false, limit: MOST_STUBS })
}

fn check_room(needs: &Needs, largest_memory: Bytes) -> Result<(), Rejection> {
    let counts = [
        ("core instances", needs.core_instances, u64::from(MOST_CORE_INSTANCES)),
        ("memories", needs.memories, u64::from(MOST_MEMORIES)),
        ("tables", needs.tables, u64::from(MOST_TABLES)),
    ];
    for (what, value, limit) in counts {
        if value > limit {
            let what = what.to_owned();
            return Err(Rejection::TooMany { what, value, is_more: false, limit });
        }
    }
    if needs.largest_table > TABLE_ELEMENTS as u64 {
        let (elements, limit) = (needs.largest_table, TABLE_ELEMENTS as u64);
        return Err(Rejection::LargeTable { elements, limit });
    }
    if needs.largest_memory > largest_memory.get() {
        let (bytes, limit) = (needs.largest_memory, largest_memory.get());
        return Err(Rejection::LargeMemory { bytes, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::Changes;

    /// Fuzzed: whatever a binary is, there is a verdict, and it is the same when asked again.
    #[test]
    fn fuzzed_binaries_get_one_verdict() {
        let seeds = [
            std::fs::read(steerage_guests::HELLO).unwrap(),
            wat::parse_str("(module (memory (export \"memory\") 1) (func (export \"_start\")))")
                .unwrap(),
        ];
        let verdict = |bytes: &[u8]| {
            let examined = examine(bytes, Bytes::mebi(64));
            examined.map(|shape| format!("{shape:?}")).map_err(|rejection| rejection.to_string())
        };
        bolero::check!().with_type::<(bool, Changes)>().for_each(|(is_first, changes)| {
            let bytes = changes.made_to(&seeds[usize::from(*is_first)]);
            let said = verdict(&bytes);
            assert_eq!(said, verdict(&bytes));
            assert!(said.is_ok() || said.is_err_and(|reason| !reason.is_empty()));
        });
    }
}
