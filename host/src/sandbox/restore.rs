//! Fresh sandboxes by restoration: an instance that has served a call is put back, bit by bit, to what
//! it was before its first call, and serves the next one. To a guest that is the same as a new instance.
//! Does not decide who may run and does not serve: `service` does.
//!
//! What a call can leave in an instance: its memories (`memory`, `pages`), its mutable globals
//! (`core_module`), its handles (`handles`, `helper`), what the host keeps for it (`live`). There is
//! nothing else: a component whose code could change a table or a segment is not restored (`component`
//! looks). Whatever does not add up costs that instance: it is dropped, and another is made.

mod component;
mod core_module;
pub(super) mod deployment;
mod handles;
mod helper;
mod learned;
pub(super) mod live;
pub(super) mod maker;
pub(super) mod memory;
pub(super) mod outcome;
pub(super) mod pages;
pub(super) mod qualify;
pub mod unfit;

#[cfg(test)]
mod differential;
#[cfg(test)]
mod tests;
