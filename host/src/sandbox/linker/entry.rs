//! What the functions that a guest calls share: the store as they have it, and entries of its table.
//! Does not know any of them.

use wasmtime::StoreContextMut;
use wasmtime::component::Resource;

use crate::sandbox::guest::Guest;

/// A store, as a function of the host has it.
pub(super) type Context<'c> = StoreContextMut<'c, Guest>;

/// The same entry of the table, as what it is there.
pub(super) fn ours<T: 'static, U: 'static>(handle: &Resource<U>) -> Resource<T> {
    Resource::new_own(handle.rep())
}
