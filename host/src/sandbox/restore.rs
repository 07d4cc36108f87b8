//! Fresh sandboxes by restoration: an instance that has served a call is put back, bit by bit, to what
//! it was before its first call, and serves the next one. To a guest that is the same as a new instance.
//! Does not decide who may run and does not serve: `service` does.
//!
//! What a call can leave in an instance: its memories (`memory`, `pages`), its mutable globals
//! (`core_module`), its handles (`handles`, `helper`), what the host keeps for it (`live`, `live_module`).
//! There is nothing else: what has code that could change a table or a segment is not restored
//! (`component` and `core_module` look). Whatever does not add up costs that instance: it is dropped, and
//! another is made.

mod additions;
mod component;
mod core_module;
pub(super) mod deployment;
mod handles;
mod helper;
pub(super) mod learned;
pub(super) mod live;
pub(super) mod live_module;
pub(super) mod maker;
mod memories;
pub(super) mod memory;
pub(super) mod outcome;
pub(super) mod pages;
pub(super) mod qualify;
pub(super) mod step;
pub mod unfit;

#[cfg(test)]
mod differential;
#[cfg(test)]
mod tests;
