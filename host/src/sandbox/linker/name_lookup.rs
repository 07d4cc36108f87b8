//! `wasi:sockets/ip-name-lookup`: names that the manifest allows connections to, looked up by the threads that look
//! up names of requests. Does not say which names those are.
//!
//! The functions of `wasmtime-wasi` look up any name or none, and a name is a message to whoever answers for it.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker};
use std::vec;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::sandbox::guest::Guest;
use crate::sandbox::outbound::NoAddress;

/// The interface, in the version that `wasmtime-wasi` links.
const LOOK_UP: &str = "wasi:sockets/ip-name-lookup@0.2.12";

/// What a look-up found, or will find.
enum LookUp {
    Pending(Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, NoAddress>> + Send>>),
    Found(vec::IntoIter<IpAddr>),
    Failed(NoAddress),
}

/// Links the functions, in a linker that allows shadowing.
///
/// # Errors
/// When a function has another type, which would be a bug.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(LOOK_UP)?;
    interface.resource(
        "resolve-address-stream",
        ResourceType::host::<LookUp>(),
        |mut store: StoreContextMut<'_, Guest>, index| {
            store.data_mut().resources().delete(Resource::<LookUp>::new_own(index))?;
            Ok(())
        },
    )?;
    interface.func_wrap("resolve-addresses", begin)?;
    interface.func_wrap("[method]resolve-address-stream.resolve-next-address", next)?;
    interface.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store: StoreContextMut<'_, Guest>, (look_up,): (Resource<LookUp>,)| {
            Ok((subscribe(store.data_mut().resources(), look_up)?,) as (Resource<DynPollable>,))
        },
    )
}

type Begun = Result<Resource<LookUp>, ErrorCode>;

fn begin(
    mut store: StoreContextMut<'_, Guest>,
    (network, name): (Resource<Network>, String),
) -> wasmtime::Result<(Begun,)> {
    let guest = store.data_mut();
    // The network is what gives the right to ask, so it must be one.
    guest.resources().get(&network)?;
    let Some(doorway) = guest.use_doorway() else { return Ok((Err(ErrorCode::AccessDenied),)) };
    let mut look_up = LookUp::Pending(Box::pin(doorway.look_up(name)));
    // What is refused is refused at once.
    if let Poll::Ready(Err(error)) = look_up.poll(&mut TaskContext::from_waker(Waker::noop())) {
        return Ok((Err(error),));
    }
    Ok((Ok(guest.resources().push(look_up)?),))
}

type Next = Result<Option<IpAddress>, ErrorCode>;

fn next(
    mut store: StoreContextMut<'_, Guest>,
    (look_up,): (Resource<LookUp>,),
) -> wasmtime::Result<(Next,)> {
    let look_up = store.data_mut().resources().get_mut(&look_up)?;
    Ok((match look_up.poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Pending => Err(ErrorCode::WouldBlock),
        Poll::Ready(Err(error)) => Err(error),
        Poll::Ready(Ok(found)) => Ok(found.next().map(IpAddress::from)),
    },))
}

impl LookUp {
    fn poll(
        &mut self,
        context: &mut TaskContext<'_>,
    ) -> Poll<Result<&mut vec::IntoIter<IpAddr>, ErrorCode>> {
        if let Self::Pending(pending) = self {
            let Poll::Ready(ended) = pending.as_mut().poll(context) else { return Poll::Pending };
            *self = ended.map_or_else(Self::Failed, |found| Self::Found(found.into_iter()));
        }
        Poll::Ready(match self {
            Self::Found(found) => Ok(found),
            Self::Failed(NoAddress::NotAllowed) => Err(ErrorCode::AccessDenied),
            Self::Failed(NoAddress::Unresolved) | Self::Pending(_) => {
                Err(ErrorCode::NameUnresolvable)
            }
        })
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LookUp {
    async fn ready(&mut self) {
        std::future::poll_fn(|context| self.poll(context).map(drop)).await;
    }
}
