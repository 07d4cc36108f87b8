//! What the functions that a guest calls share: the store as they have it, and entries of its table.
//! Does not know any of them.

use wasmtime::StoreContextMut;
use wasmtime::component::{Resource, ResourceTable};

use crate::sandbox::guest::Guest;

/// A store, as a function of the host has it.
pub(super) type Context<'c> = StoreContextMut<'c, Guest>;

/// The same entry of the table, as what it is there.
pub(super) fn ours<T: 'static, U: 'static>(handle: &Resource<U>) -> Resource<T> {
    Resource::new_own(handle.rep())
}

/// A guest lets go of a resource of which nothing is to be done but to drop it.
pub(super) fn dropped<T: Send + 'static>(
    mut store: Context<'_>,
    number: u32,
) -> wasmtime::Result<()> {
    let entry: Resource<T> = Resource::new_own(number);
    store.data_mut().resources().delete(entry)?;
    Ok(())
}

/// Whether there is something for which a guest looks without waiting. Where that is written down or said again,
/// by the tape; it is not asked otherwise, since whoever takes it finds out.
pub(super) fn looks_for(
    guest: &mut Guest,
    is_there: impl FnOnce(&mut ResourceTable) -> wasmtime::Result<bool>,
) -> wasmtime::Result<bool> {
    let Some(tape) = guest.tape().cloned() else { return Ok(true) };
    match tape.planned_readiness() {
        Some(planned) => Ok(planned),
        None => {
            let is_there = is_there(guest.resources())?;
            tape.note_readiness(is_there);
            Ok(is_there)
        }
    }
}
