//! Running guests: what is compiled, one instance per call, and limits that hold.
//! Does not know tenants, queues, routes or how an outcome is shown to a client.

pub mod captured;
pub mod cgi;
mod checked;
pub mod child;
pub mod compiler;
mod context;
mod database;
pub mod ending;
pub mod engine;
pub mod examine;
pub mod guest;
mod held;
pub mod http;
mod http02;
mod idle;
pub mod instance;
pub mod limiter;
mod linked;
mod linker;
pub mod load_error;
pub mod module;
pub mod needs;
mod offered;
pub mod outbound;
mod pace;
pub mod prepared;
mod profiled;
mod program;
mod recorded_error;
pub mod released;
mod replay;
pub mod reservation;
pub mod restore;
mod reuse;
pub mod sections;
mod service;
pub mod stdio;
mod taped;
mod trust;
pub mod verdict;

/// Most bytes a guest hands over in one piece of a body.
///
/// Two pieces may wait for a slow client, so this bounds what a call can hold outside its memory.
pub const BODY_CHUNK: usize = crate::body::CHUNK;
