//! Which components have instances that can be put back, as far as it shows in their bytes.
//! Does not say what is found out later, when an instance is made.

use steerage_core::units::Bytes;
use wasmparser::{Parser, Validator};

use super::core_module::unreadable;
use super::unfit::Unfit;
use super::{component, core_module};
use crate::sandbox::engine::{self, Flavor, MOST_CORE_INSTANCES};
use crate::sandbox::verdict::{GuestKind, Shape};

/// Stands for all that decides what a rewritten component is. To be raised whenever that changes, so
/// that no code is used that was compiled of another.
pub(in crate::sandbox) const VERSION: u32 = 4;
/// Most bytes of all memories at start: they are kept once more, and read when an instance is made.
const MOST_AT_START: Bytes = Bytes::mebi(64);

/// What stands in the way of restoring instances of this binary, as far as it shows in its bytes.
pub(in crate::sandbox) fn examine(bytes: &[u8], shape: &Shape) -> Option<Unfit> {
    let needs = &shape.needs;
    if shape.kind == GuestKind::Http03 {
        return Some(Unfit::Kind(shape.kind.to_string()));
    }
    if needs.is_collected {
        return Some(Unfit::Collected);
    }
    if needs.least_memory > MOST_AT_START.get() {
        return Some(Unfit::Large { bytes: needs.least_memory, limit: MOST_AT_START.get() });
    }
    if shape.kind == GuestKind::CgiModule {
        return core_module::rewritten(bytes).err();
    }
    let rewritten = match component::rewritten(bytes) {
        Ok(rewritten) => rewritten,
        Err(unfit) => return Some(unfit),
    };
    let (added, limit) = (rewritten.n_added as u64, u64::from(MOST_CORE_INSTANCES));
    let is_too_many = needs.core_instances.saturating_add(added) > limit;
    is_too_many.then_some(Unfit::CoreInstances { count: needs.core_instances, added, limit })
}

/// The component or core module by which its instances can be put back.
///
/// # Errors
/// What stands in the way.
pub(in crate::sandbox) fn rewrite(bytes: &[u8]) -> Result<Vec<u8>, Unfit> {
    let rewritten = if Parser::is_core_wasm(bytes) {
        core_module::rewritten(bytes)?.unwrap_or_else(|| bytes.to_vec())
    } else {
        component::rewritten(bytes)?.bytes
    };
    // It is not to be found out by the compiler that what adds to it has a mistake.
    let mut validator = Validator::new_with_features(engine::features(Flavor::Plain));
    validator.validate_all(&rewritten).map_err(unreadable)?;
    Ok(rewritten)
}
