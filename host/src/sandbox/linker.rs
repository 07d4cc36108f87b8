//! The interfaces that a guest can import. Guests get nothing they were not given: no files, no environment of the
//! host, and no sockets but for connections that their manifest allows.
//! Does not know what a store holds for a guest but through it.

mod config;
mod entry;
mod fields;
mod http02;
mod incoming;
mod key_value;
mod name_lookup;
mod otel;
mod outgoing;
mod redis;
mod sockets;
mod sql;
mod stream_drops;
mod streams;
mod stubs;

use wasmtime::Engine;
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::p2::bindings::io;

use super::checked;
use super::engine::Flavor;
use super::guest::{CoreGuest, Guest};

pub(super) use self::stubs::completed;

/// Everything a component can import: WASI 0.2 and, where the engine has async features, 0.3, both
/// with `wasi:http`; `wasi:otel/tracing`; `wasi:config` with the variables of Spin; key-value stores; and SQL databases.
///
/// Files, sockets and name look-ups are linked, since many toolchains import them unasked, but a
/// guest's context holds none, so that using one is an ordinary error in the guest. The exception are
/// connections by TCP of WASI 0.2 to what the manifest names.
///
/// # Errors
/// When two interfaces collide, which would be a bug.
pub(super) fn component_linker(engine: &Engine, flavor: Flavor) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    if flavor == Flavor::Concurrent {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    }
    http02::add_to_linker(&mut linker)?;
    otel::add_to_linker(&mut linker)?;
    config::add_to_linker(&mut linker, flavor)?;
    key_value::add_to_linker(&mut linker)?;
    redis::add_to_linker(&mut linker)?;
    sql::add_to_linker(&mut linker, flavor)?;
    linker.allow_shadowing(true);
    io::error::add_to_linker::<_, Io>(&mut linker, Guest::resources)?;
    io::poll::add_to_linker::<_, Io>(&mut linker, Guest::resources)?;
    streams::add_to_linker(&mut linker)?;
    sockets::add_to_linker(&mut linker)?;
    name_lookup::add_to_linker(&mut linker)?;
    checked::components(&mut linker)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

/// Everything a core module can import: WASI preview 1.
///
/// # Errors
/// When two functions collide, which would be a bug.
pub(super) fn core_linker(engine: &Engine) -> wasmtime::Result<wasmtime::Linker<CoreGuest>> {
    let mut linker = wasmtime::Linker::new(engine);
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, CoreGuest::wasi)?;
    checked::preview1(&mut linker)?;
    Ok(linker)
}

/// The functions of `wasi:io` work on the table alone, so they need no context.
struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}
