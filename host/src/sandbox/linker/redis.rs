//! `fermyon:spin/redis` 2.0.0, by which SDKs of Spin 2 and 3 ask Redis and Valkey. What a guest says is looked at
//! where it has it, and copied once it is known to be short enough.
//! Does not connect: outbound connections do.

use steerage_core::capsule::CapsuleFate;
use steerage_core::spent::Phase;
use wasmtime::component::{
    ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType, WasmList, WasmStr,
};

use super::entry::{Context, dropped};
use crate::call::WaitedFor;
use crate::sandbox::guest::Guest;
use crate::sandbox::outbound::{MOST_REDIS_BYTES, RedisConnection, RedisFailure, RedisReply};

const REDIS: &str = "fermyon:spin/redis@2.0.0";
/// The longest address.
const LONGEST_ADDRESS: usize = 4096;
/// What an argument takes besides its bytes.
const BESIDE: usize = 48;

/// What a guest has opened; empty while a command is under way, and after one that failed.
struct OpenedRedis(Option<RedisConnection>);

type RedisHandle = Resource<OpenedRedis>;
/// A function of a command's reply.
type OfReply<T> = fn(RedisReply) -> Result<T, RedisError>;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum RedisError {
    #[component(name = "invalid-address")]
    InvalidAddress,
    #[component(name = "too-many-connections")]
    TooManyConnections,
    #[component(name = "type-error")]
    TypeError,
    #[component(name = "other")]
    Other(String),
}

#[derive(ComponentType, Lift)]
#[component(variant)]
enum RedisParameter {
    #[component(name = "int64")]
    Int64(i64),
    #[component(name = "binary")]
    Binary(WasmList<u8>),
}

#[derive(ComponentType, Lower)]
#[component(variant)]
enum RedisResult {
    #[component(name = "nil")]
    Nil,
    #[component(name = "status")]
    Status(String),
    #[component(name = "int64")]
    Int64(i64),
    #[component(name = "binary")]
    Binary(Vec<u8>),
}

impl From<RedisFailure> for RedisError {
    fn from(failure: RedisFailure) -> Self {
        match failure {
            RedisFailure::Address => Self::InvalidAddress,
            RedisFailure::TooMany => Self::TooManyConnections,
            RedisFailure::Other(text) => Self::Other(text),
        }
    }
}

/// A command and its arguments, or what is wrong with them.
struct RedisCommand {
    parts: Vec<Vec<u8>>,
    n_bytes: usize,
}

impl RedisCommand {
    fn new(name: &[u8]) -> Self {
        Self { parts: Vec::new(), n_bytes: 0 }.with(name)
    }

    /// Adds an argument. What is too long is not copied.
    fn with(mut self, argument: &[u8]) -> Self {
        self.n_bytes = self.n_bytes.saturating_add(argument.len() + BESIDE);
        if self.n_bytes <= MOST_REDIS_BYTES {
            self.parts.push(argument.to_vec());
        }
        self
    }

    fn with_texts(self, store: &Context<'_>, texts: &[WasmStr]) -> wasmtime::Result<Self> {
        texts.iter().try_fold(self, |all, text| Ok(all.with(text.to_str(store)?.as_bytes())))
    }
}

/// Links it.
///
/// # Errors
/// When a function is there already, which would be a bug.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut types = linker.instance(REDIS)?;
    types.resource("connection", ResourceType::host::<OpenedRedis>(), dropped::<OpenedRedis>)?;
    types.func_wrap_async(
        "[static]connection.open",
        |mut store: Context<'_>, (address,): (WasmStr,)| {
            Box::new(async move {
                let opened = open(&mut store, &address).await?;
                Ok((match opened {
                    Ok(connection) => {
                        Ok(store.data_mut().resources().push(OpenedRedis(Some(connection)))?)
                    }
                    Err(error) => Err(error),
                },))
            })
        },
    )?;
    of_key(&mut types, "get", b"GET", value)?;
    of_key(&mut types, "incr", b"INCR", number)?;
    of_key(&mut types, "smembers", b"SMEMBERS", texts)?;
    of_pair(&mut types, "set", b"SET")?;
    of_pair(&mut types, "publish", b"PUBLISH")?;
    of_members(&mut types, "sadd", b"SADD")?;
    of_members(&mut types, "srem", b"SREM")?;
    types.func_wrap_async(
        "[method]connection.del",
        |mut store: Context<'_>, (handle, keys): (RedisHandle, Vec<WasmStr>)| {
            Box::new(async move {
                let command = RedisCommand::new(b"DEL").with_texts(&store, &keys)?;
                ask(&mut store, &handle, command, count).await
            })
        },
    )?;
    types.func_wrap_async("[method]connection.execute", execute)
}

/// A function of a key alone.
fn of_key<T: ComponentType + Lower + Send + Sync + 'static>(
    types: &mut LinkerInstance<'_, Guest>,
    function: &str,
    command: &'static [u8],
    read: OfReply<T>,
) -> wasmtime::Result<()> {
    types.func_wrap_async(
        &format!("[method]connection.{function}"),
        move |mut store: Context<'_>, (handle, key): (RedisHandle, WasmStr)| {
            Box::new(async move {
                let command = RedisCommand::new(command).with_texts(&store, &[key])?;
                ask(&mut store, &handle, command, read).await
            })
        },
    )
}

/// A function of a key, or a channel, and a payload.
fn of_pair(
    types: &mut LinkerInstance<'_, Guest>,
    function: &str,
    command: &'static [u8],
) -> wasmtime::Result<()> {
    types.func_wrap_async(
        &format!("[method]connection.{function}"),
        move |mut store: Context<'_>,
              (handle, key, value): (RedisHandle, WasmStr, WasmList<u8>)| {
            Box::new(async move {
                let command = RedisCommand::new(command).with_texts(&store, &[key])?;
                let command = command.with(value.as_le_slice(&store));
                ask(&mut store, &handle, command, |_| Ok(())).await
            })
        },
    )
}

/// A function of a set and members of it.
fn of_members(
    types: &mut LinkerInstance<'_, Guest>,
    function: &str,
    command: &'static [u8],
) -> wasmtime::Result<()> {
    types.func_wrap_async(
        &format!("[method]connection.{function}"),
        move |mut store: Context<'_>,
              (handle, key, members): (RedisHandle, WasmStr, Vec<WasmStr>)| {
            Box::new(async move {
                let command = RedisCommand::new(command).with_texts(&store, &[key])?;
                let command = command.with_texts(&store, &members)?;
                ask(&mut store, &handle, command, count).await
            })
        },
    )
}

type Executed = (Result<Vec<RedisResult>, RedisError>,);

fn execute<'a>(
    mut store: Context<'a>,
    (handle, name, arguments): (RedisHandle, WasmStr, Vec<RedisParameter>),
) -> Box<dyn Future<Output = wasmtime::Result<Executed>> + Send + 'a> {
    Box::new(async move {
        let mut command = RedisCommand::new(name.to_str(&store)?.as_bytes());
        for argument in &arguments {
            command = match argument {
                RedisParameter::Int64(number) => command.with(number.to_string().as_bytes()),
                RedisParameter::Binary(bytes) => command.with(bytes.as_le_slice(&store)),
            };
        }
        ask(&mut store, &handle, command, |reply| {
            let mut all = Vec::new();
            flatten(reply, &mut all)?;
            Ok(all)
        })
        .await
    })
}

async fn open(
    store: &mut Context<'_>,
    address: &WasmStr,
) -> wasmtime::Result<Result<RedisConnection, RedisError>> {
    let address = {
        let text = address.to_str(&*store)?;
        if text.len() > LONGEST_ADDRESS {
            return Ok(Err(RedisError::InvalidAddress));
        }
        text.into_owned()
    };
    let guest = store.data_mut();
    guest.look();
    if let Some(tape) = guest.tape() {
        tape.note_unwritten(CapsuleFate::UsedSocket);
    }
    let _waited_for = waited_for(guest);
    let opened = guest.outbound.redis().open(address);
    Ok(opened.await.map_err(RedisError::from))
}

/// A guest that waits for a server, until this is dropped.
fn waited_for(guest: &Guest) -> Option<WaitedFor> {
    let time = guest.outbound.time().cloned();
    time.map(|time| {
        let mut waited_for = WaitedFor::new(time, Phase::Outbound);
        waited_for.set(true);
        waited_for
    })
}

/// Tells a guest what `read` makes of the server's reply to a command.
async fn ask<T>(
    store: &mut Context<'_>,
    handle: &RedisHandle,
    command: RedisCommand,
    read: OfReply<T>,
) -> wasmtime::Result<(Result<T, RedisError>,)> {
    let guest = store.data_mut();
    let taken = guest.resources().get_mut(handle)?.0.take();
    let Some(mut connection) = taken else {
        return Ok((Err(other("the connection has failed, or is in use")),));
    };
    if command.n_bytes > MOST_REDIS_BYTES {
        guest.resources().get_mut(handle)?.0 = Some(connection);
        return Ok((Err(other("the command is longer than 4 MiB, the most that is sent")),));
    }
    let waited_for = waited_for(guest);
    let parts: Vec<&[u8]> = command.parts.iter().map(Vec::as_slice).collect();
    let reply = connection.ask(&parts).await;
    drop(waited_for);
    let guest = store.data_mut();
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => return Ok((Err(other(&format!("the connection has failed: {error}"))),)),
    };
    // What is held here is in no resource.
    guest.holds_more(weight(&reply));
    guest.resources().get_mut(handle)?.0 = Some(connection);
    Ok((match reply {
        RedisReply::Error(text) if is_of_type(&text) => Err(RedisError::TypeError),
        RedisReply::Error(text) => Err(RedisError::Other(text)),
        reply => read(reply),
    },))
}

fn weight(reply: &RedisReply) -> usize {
    let beside = match reply {
        RedisReply::Nil | RedisReply::Int(_) => 0,
        RedisReply::Status(text) | RedisReply::Error(text) => text.len(),
        RedisReply::Bytes(bytes) => bytes.len(),
        RedisReply::List(all) => all.iter().map(weight).sum(),
    };
    beside + BESIDE
}

/// Whether a server says that a key holds something else than was thought.
fn is_of_type(error: &str) -> bool {
    error.starts_with("WRONGTYPE") || error.contains("not an integer")
}

fn other(text: &str) -> RedisError {
    RedisError::Other(text.to_owned())
}

fn value(reply: RedisReply) -> Result<Option<Vec<u8>>, RedisError> {
    match reply {
        RedisReply::Nil => Ok(None),
        RedisReply::Bytes(bytes) => Ok(Some(bytes)),
        _ => Err(RedisError::TypeError),
    }
}

fn number(reply: RedisReply) -> Result<i64, RedisError> {
    match reply {
        RedisReply::Int(number) => Ok(number),
        _ => Err(RedisError::TypeError),
    }
}

fn count(reply: RedisReply) -> Result<u32, RedisError> {
    number(reply)?.try_into().map_err(|_| RedisError::TypeError)
}

fn texts(reply: RedisReply) -> Result<Vec<String>, RedisError> {
    let RedisReply::List(all) = reply else { return Err(RedisError::TypeError) };
    let text = |reply| match reply {
        RedisReply::Bytes(bytes) => String::from_utf8(bytes).map_err(|_| RedisError::TypeError),
        _ => Err(RedisError::TypeError),
    };
    all.into_iter().map(text).collect()
}

/// What is in lists of a reply, one after the other, as Spin has it.
fn flatten(reply: RedisReply, all: &mut Vec<RedisResult>) -> Result<(), RedisError> {
    all.push(match reply {
        RedisReply::Nil => RedisResult::Nil,
        RedisReply::Status(text) => RedisResult::Status(text),
        RedisReply::Int(number) => RedisResult::Int64(number),
        RedisReply::Bytes(bytes) => RedisResult::Binary(bytes),
        RedisReply::Error(text) => return Err(RedisError::Other(text)),
        RedisReply::List(parts) => {
            return parts.into_iter().try_for_each(|part| flatten(part, all));
        }
    });
    Ok(())
}
