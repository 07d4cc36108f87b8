//! The functions of `wasi:io/streams`: for the streams of bodies of `wasi:http` 0.2, which are ours, and
//! for those of `wasmtime-wasi`. Reading hands a piece to the guest as it came, and writing copies from the
//! guest's memory into the body. Does not do the work: the streams do.
//!
//! What a guest writes is looked at in its memory before it is copied: it may be no longer than there is
//! room for it.

use std::future::ready;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use wasmtime::component::{HasData, Linker, LinkerInstance, Resource, ResourceTable, WasmList};
use wasmtime_wasi::p2::bindings::io::streams::{
    self, Host, HostInputStream, HostOutputStream, StreamError as GuestStreamError,
};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, InputStream, OutputStream, StreamError,
    StreamResult, subscribe,
};

use super::entry::{Context, ours};
use super::stream_drops;
use crate::body::Append;
use crate::capsule::Tape;
use crate::sandbox::checked::MOST_PER_HOST_CALL;
use crate::sandbox::guest::Guest;
use crate::sandbox::http02::{BodyInput, BodyOutput};

/// The instance of streams, in the version that `wasmtime-wasi` links.
const STREAMS: &str = "wasi:io/streams@0.2.12";
/// Most bytes of a write that blocks, as the interface has it.
const MOST_BLOCKING: usize = 4096;

type Input = Resource<DynInputStream>;
type Output = Resource<DynOutputStream>;
/// What a function returns that may fail as a stream may.
type Returned<T> = (Result<T, GuestStreamError>,);
/// The same of one that may have to wait.
type Later<'a, T> = Box<dyn Future<Output = wasmtime::Result<Returned<T>>> + Send + 'a>;

/// A table, whose streams may be ours.
struct Streams<'t>(&'t mut ResourceTable);

struct AllStreams;

impl HasData for AllStreams {
    type Data<'a> = Streams<'a>;
}

/// Links these functions, in a linker that allows shadowing.
///
/// # Errors
/// When a function has another type, which would be a bug.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    streams::add_to_linker::<_, AllStreams>(linker, |guest| Streams(guest.resources()))?;
    let mut streams = linker.instance(STREAMS)?;
    stream_drops::link(&mut streams)?;
    link_reads(&mut streams)?;
    link_writes(&mut streams)
}

fn link_reads(streams: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    streams.func_wrap(
        "[method]input-stream.read",
        |mut store: Context<'_>, (stream, most): (Input, u64)| {
            let guest = store.data_mut();
            let tape = guest.tape().cloned();
            if tape.as_ref().and_then(Tape::planned_readiness) == Some(false) {
                return Ok((Ok(Bytes::new()),));
            }
            let table = guest.resources();
            let read = input(table, &stream).and_then(|stream| stream.read(size(most)));
            if let Some(tape) = tape {
                tape.note_readiness(!matches!(&read, Ok(piece) if piece.is_empty()));
            }
            to_guest(table, read)
        },
    )?;
    streams.func_wrap_async(
        "[method]input-stream.blocking-read",
        |mut store: Context<'_>, (stream, most): (Input, u64)| -> Later<'_, Bytes> {
            let most = size(most);
            let table = store.data_mut().resources();
            // A body often has a piece at hand.
            match body_input(table, &stream).map(|stream| stream.read(most)) {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(read) => return Box::new(ready(to_guest(table, read))),
                None => {}
            }
            Box::new(async move {
                let table = &mut store.data_mut().table;
                let read = match input(table, &stream) {
                    Ok(stream) => stream.blocking_read(most).await,
                    Err(error) => Err(error),
                };
                to_guest(table, read)
            })
        },
    )
}

fn link_writes(streams: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    streams.func_wrap(
        "[method]output-stream.write",
        |mut store: Context<'_>, (stream, contents): (Output, WasmList<u8>)| {
            let is_played = store.data().tape().is_some_and(Tape::is_playing);
            let wrote = match body_output(store.data_mut().resources(), &stream) {
                // The guest was told how much room there was in the first run. There may be less now, as the
                // client takes the body at another time, and a write that is refused would be another way.
                Some(body) if is_played => body.append_any(contents.as_le_slice(&store)),
                Some(body) => body.append_all(contents.as_le_slice(&store)),
                None => {
                    let contents = copy(&store, &contents)?;
                    let stream = output(&mut store.data_mut().table, &stream);
                    stream.and_then(|stream| stream.write(contents))
                }
            };
            to_guest(&mut store.data_mut().table, wrote)
        },
    )?;
    streams.func_wrap(
        "[method]output-stream.check-write",
        |mut store: Context<'_>, (stream,): (Output,)| {
            let guest = store.data_mut();
            let room = output(guest.resources(), &stream).and_then(OutputStream::check_write);
            let room = room.map(|room| room as u64);
            let room = match guest.tape() {
                Some(tape) => room.map(|room| tape.write_permit(room)),
                None => room,
            };
            to_guest(&mut guest.table, room)
        },
    )?;
    streams.func_wrap_async(
        "[method]output-stream.blocking-write-and-flush",
        |store: Context<'_>, (stream, contents): (Output, WasmList<u8>)| {
            write_and_wait(store, &stream, &contents)
                .unwrap_or_else(|error| Box::new(ready(Err(error))))
        },
    )
}

fn write_and_wait<'s>(
    mut store: Context<'s>,
    stream: &Output,
    contents: &WasmList<u8>,
) -> wasmtime::Result<Later<'s, ()>> {
    if contents.len() > MOST_BLOCKING {
        let n_bytes = contents.len();
        wasmtime::bail!(
            "{n_bytes} bytes in one blocking write, where {MOST_BLOCKING} are the most"
        );
    }
    let wrote = match body_output(store.data_mut().resources(), stream) {
        Some(body) => body.append(contents.as_le_slice(&store)),
        None => Ok(Append::NoRoom(0)),
    };
    let left = match wrote {
        Ok(Append::Done { is_full: false, .. }) => return Ok(Box::new(AllWritten)),
        Ok(Append::Done { is_full: true, .. }) => None,
        Ok(Append::NoRoom(_)) => Some(copy(&store, contents)?),
        Err(error) => {
            let told = to_guest(&mut store.data_mut().table, Err(error));
            return Ok(Box::new(ready(told)));
        }
    };
    let stream: Output = ours(stream);
    Ok(Box::new(async move {
        let table = &mut store.data_mut().table;
        let wrote = match (output(table, &stream), left) {
            (Ok(stream), Some(left)) => stream.blocking_write_and_flush(left).await,
            (Ok(stream), None) => {
                stream.ready().await;
                Ok(())
            }
            (Err(error), _) => Err(error),
        };
        to_guest(table, wrote)
    }))
}

/// What a guest writes to a stream that is not ours.
fn copy(store: &Context<'_>, contents: &WasmList<u8>) -> wasmtime::Result<Bytes> {
    let n_bytes = contents.len();
    if n_bytes > MOST_PER_HOST_CALL {
        wasmtime::bail!("{n_bytes} bytes in one write, where {MOST_PER_HOST_CALL} are the most");
    }
    Ok(Bytes::copy_from_slice(contents.as_le_slice(store)))
}

/// As a guest is told it, unless it ends the guest.
fn to_guest<T>(
    table: &mut ResourceTable,
    result: StreamResult<T>,
) -> wasmtime::Result<Returned<T>> {
    match result {
        Ok(done) => Ok((Ok(done),)),
        Err(error) => Ok((Err(table.convert_stream_error(error)?),)),
    }
}

fn size(most: u64) -> usize {
    usize::try_from(most).unwrap_or(usize::MAX)
}

fn body_input<'t>(table: &'t mut ResourceTable, stream: &Input) -> Option<&'t mut BodyInput> {
    table.get_mut(&ours(stream)).ok()
}

fn body_output(table: &mut ResourceTable, stream: &Output) -> Option<BodyOutput> {
    table.get::<BodyOutput>(&ours(stream)).ok().cloned()
}

fn input<'t>(
    table: &'t mut ResourceTable,
    stream: &Input,
) -> StreamResult<&'t mut dyn InputStream> {
    let body: Resource<BodyInput> = ours(stream);
    // Asked twice: what is borrowed to be returned is borrowed on the other way as well.
    if table.get(&body).is_ok() {
        return Ok(table.get_mut(&body)?);
    }
    Ok(&mut **table.get_mut(stream)?)
}

fn output<'t>(
    table: &'t mut ResourceTable,
    stream: &Output,
) -> StreamResult<&'t mut dyn OutputStream> {
    let body: Resource<BodyOutput> = ours(stream);
    if table.get(&body).is_ok() {
        return Ok(table.get_mut(&body)?);
    }
    Ok(&mut **table.get_mut(stream)?)
}

/// A write that is done. Has no size, so that boxing it allocates nothing.
struct AllWritten;

impl Future for AllWritten {
    type Output = wasmtime::Result<Returned<()>>;

    fn poll(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok((Ok(()),)))
    }
}

impl Host for Streams<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<GuestStreamError> {
        self.0.convert_stream_error(error)
    }
}

impl HostInputStream for Streams<'_> {
    async fn drop(&mut self, stream: Input) -> wasmtime::Result<()> {
        Ok(stream_drops::drop_input(self.0, stream.rep())?)
    }

    fn read(&mut self, stream: Input, most: u64) -> StreamResult<Vec<u8>> {
        Ok(input(self.0, &stream)?.read(size(most))?.into())
    }

    async fn blocking_read(&mut self, stream: Input, most: u64) -> StreamResult<Vec<u8>> {
        Ok(input(self.0, &stream)?.blocking_read(size(most)).await?.into())
    }

    fn skip(&mut self, stream: Input, most: u64) -> StreamResult<u64> {
        Ok(input(self.0, &stream)?.skip(size(most))? as u64)
    }

    async fn blocking_skip(&mut self, stream: Input, most: u64) -> StreamResult<u64> {
        Ok(input(self.0, &stream)?.blocking_skip(size(most)).await? as u64)
    }

    fn subscribe(&mut self, stream: Input) -> wasmtime::Result<Resource<DynPollable>> {
        let body: Resource<BodyInput> = Resource::new_borrow(stream.rep());
        if self.0.get(&body).is_ok() {
            return subscribe(self.0, body);
        }
        subscribe(self.0, stream)
    }
}

impl HostOutputStream for Streams<'_> {
    async fn drop(&mut self, stream: Output) -> wasmtime::Result<()> {
        Ok(stream_drops::drop_output(self.0, stream.rep())?)
    }

    fn check_write(&mut self, stream: Output) -> StreamResult<u64> {
        Ok(output(self.0, &stream)?.check_write()? as u64)
    }

    fn write(&mut self, stream: Output, contents: Vec<u8>) -> StreamResult<()> {
        output(self.0, &stream)?.write(contents.into())
    }

    async fn blocking_write_and_flush(
        &mut self,
        stream: Output,
        contents: Vec<u8>,
    ) -> StreamResult<()> {
        output(self.0, &stream)?.blocking_write_and_flush(contents.into()).await
    }

    fn write_zeroes(&mut self, stream: Output, n_zeroes: u64) -> StreamResult<()> {
        output(self.0, &stream)?.write_zeroes(size(n_zeroes))
    }

    async fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Output,
        n_zeroes: u64,
    ) -> StreamResult<()> {
        if n_zeroes > MOST_BLOCKING as u64 {
            let error = format!(
                "{n_zeroes} zeroes in one blocking write, where {MOST_BLOCKING} are the most"
            );
            return Err(StreamError::trap(&error));
        }
        let zeroes = Bytes::from_static(&[0; MOST_BLOCKING]).slice(..size(n_zeroes));
        output(self.0, &stream)?.blocking_write_and_flush(zeroes).await
    }

    fn flush(&mut self, stream: Output) -> StreamResult<()> {
        output(self.0, &stream)?.flush()
    }

    async fn blocking_flush(&mut self, stream: Output) -> StreamResult<()> {
        let stream = output(self.0, &stream)?;
        stream.flush()?;
        stream.write_ready().await.map(drop)
    }

    fn subscribe(&mut self, stream: Output) -> wasmtime::Result<Resource<DynPollable>> {
        let body: Resource<BodyOutput> = Resource::new_borrow(stream.rep());
        if self.0.get(&body).is_ok() {
            return subscribe(self.0, body);
        }
        subscribe(self.0, stream)
    }

    fn splice(&mut self, to: Output, from: Input, most: u64) -> StreamResult<u64> {
        let most = size(most).min(output(self.0, &to)?.check_write()?);
        if most == 0 {
            return Ok(0);
        }
        let piece = input(self.0, &from)?.read(most)?;
        let n_bytes = piece.len() as u64;
        if n_bytes > 0 {
            output(self.0, &to)?.write(piece)?;
        }
        Ok(n_bytes)
    }

    async fn blocking_splice(&mut self, to: Output, from: Input, most: u64) -> StreamResult<u64> {
        let most = size(most).min(output(self.0, &to)?.write_ready().await?);
        if most == 0 {
            return Ok(0);
        }
        let piece = input(self.0, &from)?.blocking_read(most).await?;
        let n_bytes = piece.len() as u64;
        if n_bytes > 0 {
            output(self.0, &to)?.blocking_write_and_flush(piece).await?;
        }
        Ok(n_bytes)
    }
}
