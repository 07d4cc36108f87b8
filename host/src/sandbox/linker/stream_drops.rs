//! How guests let go of streams. Does not read or write them: `streams` does.

use wasmtime::component::{
    LinkerInstance, Resource, ResourceTable, ResourceTableError, ResourceType,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use super::entry::Context;
use crate::sandbox::guest::Guest;
use crate::sandbox::http02::{BodyInput, BodyOutput, IncomingBody};

type Input = Resource<DynInputStream>;
type Output = Resource<DynOutputStream>;

/// Makes dropping a stream an ordinary function. That of `wasmtime-wasi` is asynchronous, to wait for
/// streams that work in the background: it costs each call two allocations and a look from its fiber.
/// No stream that a guest can have here does anything in the background.
pub(super) fn link(streams: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let ty = ResourceType::host::<DynInputStream>();
    streams.resource("input-stream", ty, |mut store: Context<'_>, rep| {
        Ok(drop_input(store.data_mut().resources(), rep)?)
    })?;
    let ty = ResourceType::host::<DynOutputStream>();
    streams.resource("output-stream", ty, |mut store: Context<'_>, rep| {
        Ok(drop_output(store.data_mut().resources(), rep)?)
    })
}

pub(super) fn drop_input(table: &mut ResourceTable, rep: u32) -> Result<(), ResourceTableError> {
    let stream: Resource<BodyInput> = Resource::new_own(rep);
    if table.get(&stream).is_err() {
        let stream: Input = Resource::new_own(rep);
        return table.delete(stream).map(drop);
    }
    let stream = table.delete(stream)?;
    let body: Resource<IncomingBody> = Resource::new_borrow(stream.parent());
    table.get_mut(&body)?.take_back(stream);
    Ok(())
}

pub(super) fn drop_output(table: &mut ResourceTable, rep: u32) -> Result<(), ResourceTableError> {
    let stream: Resource<BodyOutput> = Resource::new_own(rep);
    if table.get(&stream).is_ok() {
        return table.delete(stream).map(drop);
    }
    let stream: Output = Resource::new_own(rep);
    table.delete(stream).map(drop)
}
