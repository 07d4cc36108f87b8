//! Host functions whose work grows with a list that the guest hands over: the length of the list is
//! looked at first. Does not do the work: `wasmtime-wasi` does.

use steerage_core::units::Bytes;
use wasmtime::component::{self, Resource, ResourceTable};
use wasmtime::{Caller, Extern, Linker, StoreContextMut};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self, WasiSnapshotPreview1};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::io::poll::{Host, HostPollable};
use wiggle::GuestMemory;

use super::guest::{CoreGuest, Guest};
use crate::capsule::Tape;

/// Most bytes one call of a host function may bring along: they are the host's memory, which the
/// guest's own limit does not count, and the host's time. Sixteen pieces of a body.
pub(super) const MOST_PER_HOST_CALL: usize = 1 << 20;
/// What wasmtime takes in of one call of a component. More than what is worked on: of a key-value store's value that
/// is too large for it the guest is told its length, and it is not copied for that.
pub(super) const HOST_CALL_FUEL: usize = 2 * MOST_PER_HOST_CALL + (128 << 10);
/// Most bytes a program may read or write at once, as programs do that print a whole file: they are
/// not copied, and the guest yields between pieces of them.
const MOST_AT_ONCE: Bytes = Bytes::mebi(16);
/// Most buffers of one read or write: `IOV_MAX` of Linux.
const MOST_BUFFERS: u32 = 1024;
/// Most events waited for at once: each is a timer or a stream, and all are looked at whenever one
/// comes.
const MOST_EVENTS: u32 = 1024;
/// What a program is told of a list that is longer: `errno::inval`.
const INVALID: i32 = 28;

type Guests<'c> = Caller<'c, CoreGuest>;
type Four = (i32, i32, i32, i32);

const PREVIEW1: &str = "wasi_snapshot_preview1";

/// Links a function of preview 1 behind a check of its third argument, which counts what it works on,
/// and with a bound on the bytes it takes in.
macro_rules! checked {
    ($linker:ident, $function:ident, $most:expr, $bytes:expr) => {
        $linker.func_wrap_async(
            PREVIEW1,
            stringify!($function),
            |mut caller: Guests<'_>, (first, second, n, out): Four| {
                Box::new(async move {
                    if n.cast_unsigned() > $most {
                        return Ok(INVALID);
                    }
                    let (mut memory, wasi) = parts(&mut caller)?;
                    wasi.set_hostcall_fuel($bytes);
                    wasi_snapshot_preview1::$function(wasi, &mut memory, first, second, n, out)
                        .await
                })
            },
        )?
    };
}

/// Puts checks before the functions of preview 1.
///
/// # Errors
/// When a function has another type, which would be a bug.
pub(super) fn preview1(linker: &mut Linker<CoreGuest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    checked!(linker, fd_read, MOST_BUFFERS, MOST_AT_ONCE.as_usize());
    checked!(linker, fd_write, MOST_BUFFERS, MOST_AT_ONCE.as_usize());
    checked!(linker, poll_oneoff, MOST_EVENTS, MOST_PER_HOST_CALL);
    linker.allow_shadowing(false);
    Ok(())
}

/// Puts checks before the functions that components import, in a linker that allows shadowing.
///
/// # Errors
/// When a function has another type, which would be a bug.
pub(super) fn components(linker: &mut component::Linker<Guest>) -> wasmtime::Result<()> {
    linker.instance("wasi:io/poll@0.2.12")?.func_wrap_async(
        "poll",
        |mut store: StoreContextMut<'_, Guest>, (asked,): (Vec<Resource<DynPollable>>,)| {
            Box::new(async move {
                if asked.len() > MOST_EVENTS as usize {
                    let n = asked.len();
                    wasmtime::bail!(
                        "{n} pollables in one `poll`, where {MOST_EVENTS} are the most"
                    );
                }
                let tape = store.data().tape().cloned();
                let table = &mut store.data_mut().table;
                let Some(tape) = tape else { return Ok((Host::poll(table, asked).await?,)) };
                if let Some(planned) = tape.planned_poll(asked.len()) {
                    return Ok((poll_again(table, &tape, asked, planned).await?,));
                }
                let ready = Host::poll(table, asked).await?;
                tape.note_poll(&ready);
                Ok((ready,))
            })
        },
    )?;
    linker.instance("wasi:io/poll@0.2.12")?.func_wrap_async(
        "[method]pollable.ready",
        |mut store: StoreContextMut<'_, Guest>, (asked,): (Resource<DynPollable>,)| {
            Box::new(async move {
                let tape = store.data().tape().cloned();
                if let Some(planned) = tape.as_ref().and_then(Tape::planned_readiness) {
                    return Ok((planned,));
                }
                let is_ready = store.data_mut().table.ready(asked).await?;
                if let Some(tape) = tape {
                    tape.note_readiness(is_ready);
                }
                Ok((is_ready,))
            })
        },
    )?;
    Ok(())
}

/// Waits for what was ready when the call ran first. A mended component may wait for other things in its place,
/// which may never be ready: then it is told what is ready now, as from then on.
async fn poll_again(
    table: &mut ResourceTable,
    tape: &Tape,
    asked: Vec<Resource<DynPollable>>,
    planned: Vec<u32>,
) -> wasmtime::Result<Vec<u32>> {
    let at =
        |place: &u32| asked.get(*place as usize).map(|asked| Resource::new_borrow(asked.rep()));
    let awaited: Vec<Resource<DynPollable>> = planned.iter().filter_map(at).collect();
    let ready = Host::poll(table, asked).await?;
    let all_awaited = async {
        for awaited in awaited {
            table.block(awaited).await?;
        }
        wasmtime::Result::Ok(())
    };
    match tokio::time::timeout(tape.awaited_for(), all_awaited).await {
        Ok(awaited) => awaited.map(|()| planned),
        Err(_) => {
            tape.forget_polls();
            Ok(ready)
        }
    }
}

fn parts<'a>(
    caller: &'a mut Caller<'_, CoreGuest>,
) -> wasmtime::Result<(GuestMemory<'a>, &'a mut WasiP1Ctx)> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        wasmtime::bail!("missing required memory export");
    };
    let (memory, guest) = memory.data_and_store_mut(caller);
    Ok((GuestMemory::Unshared(memory), guest.wasi()))
}
