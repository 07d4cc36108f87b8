//! The handles that a guest keeps after a call: found by their numbers, and taken out of its table with
//! the types that they have, without a destructor: what they stand for goes with the host's own table, in
//! which every child goes with its parent.
//! Does not put back anything else.

use futures_util::FutureExt as _;
use wasmtime::Store;
use wasmtime::component::Type;
use wasmtime::component::{ComponentNamedList, Instance, Lift, Lower};
use wasmtime::component::{ResourceAny, ResourceType, TypedFunc};
use wasmtime_wasi::p2::bindings::{cli, filesystem, io, sockets};
use wasmtime_wasi_http::RequestOptions;

use super::helper::{self, MOST_HANDLES, export_of};
use super::learned::Learned;
use super::outcome::{Lost, NotMade, failed};
use super::step::{Step, is_left_out};
use super::unfit::Unfit;
use crate::call::ResponseSender;
use crate::sandbox::guest::Guest;
use crate::sandbox::http02;

/// How often one instance may try a type that a handle has not: Wasmtime keeps some dozen bytes for each
/// call that returned what it should not.
const MOST_WRONG: u32 = 1_000;

/// What finds and takes the handles of one instance, in each of its parts: every component that it is
/// composed of has a table of its own.
pub(super) struct Handles {
    parts: Vec<Part>,
    n_wrong: u32,
}

/// What finds and takes the handles of one part.
struct Part {
    free: TypedFunc<(u32,), (u64,)>,
    free_many: TypedFunc<(u32,), (u64,)>,
    word: TypedFunc<(u32,), (u64,)>,
    finish: TypedFunc<(u32, u32), ()>,
    takes: Vec<Take>,
}

/// Takes handles of one type of the host.
struct Take {
    function: TypedFunc<(u32,), (ResourceAny,)>,
    /// Has the host's own table of the component model forget what was taken.
    forget: Forget,
}

/// A bit for each number, the lowest of the first for number 1.
type Free = [u64; (MOST_HANDLES / helper::BITS) as usize];

type Forget = fn(ResourceAny, &mut Store<Guest>) -> wasmtime::Result<()>;

/// All types of resources that the host has, as Wasmtime knows them.
fn known() -> [(ResourceType, Forget); 25] {
    fn of<T: 'static>() -> (ResourceType, Forget) {
        let forget: Forget = |taken, store| taken.try_into_resource::<T>(store).map(drop);
        (ResourceType::host::<T>(), forget)
    }
    [
        of::<io::error::Error>(),
        of::<io::poll::Pollable>(),
        of::<io::streams::InputStream>(),
        of::<io::streams::OutputStream>(),
        of::<http02::Fields>(),
        of::<http02::IncomingRequest>(),
        of::<http02::OutgoingRequest>(),
        of::<RequestOptions>(),
        of::<ResponseSender>(),
        of::<http02::IncomingResponse>(),
        of::<http02::IncomingBody>(),
        of::<http02::FutureTrailers>(),
        of::<http02::OutgoingResponse>(),
        of::<http02::OutgoingBody>(),
        of::<http02::FutureResponse>(),
        of::<cli::terminal_input::TerminalInput>(),
        of::<cli::terminal_output::TerminalOutput>(),
        of::<filesystem::types::Descriptor>(),
        of::<filesystem::types::DirectoryEntryStream>(),
        of::<sockets::network::Network>(),
        of::<sockets::tcp::TcpSocket>(),
        of::<sockets::udp::UdpSocket>(),
        of::<sockets::udp::IncomingDatagramStream>(),
        of::<sockets::udp::OutgoingDatagramStream>(),
        of::<sockets::ip_name_lookup::ResolveAddressStream>(),
    ]
}

impl Handles {
    /// Saves the globals, too, as one function does both.
    ///
    /// # Errors
    /// There are handles already, or a type is not known.
    pub(super) fn of(store: &mut Store<Guest>, instance: &Instance) -> Result<Self, NotMade> {
        let known = known();
        let mut parts = Vec::new();
        while let Some(init) = {
            let init = export_of(parts.len(), helper::INIT);
            instance.get_typed_func::<(), (u32,)>(&mut *store, &init).ok()
        } {
            parts.push(Part::of(store, instance, parts.len(), &known)?);
            let first = init.call_async(&mut *store, ()).now_or_never();
            let (first,) = first.ok_or_else(|| failed("it waits"))?.map_err(failed)?;
            if first != 1 {
                return Err(NotMade::Unfit(Unfit::HoldsAtStart));
            }
        }
        if parts.is_empty() {
            return Err(failed("it does not export what it was given"));
        }
        if !store.data_mut().table.is_empty() {
            return Err(NotMade::Unfit(Unfit::HoldsAtStart));
        }
        Ok(Self { parts, n_wrong: 0 })
    }

    /// Puts back globals, the size of memories, and the tables of handles, which must be without any that
    /// the host knows nothing of.
    ///
    /// # Errors
    /// See [`Lost`].
    pub(super) fn put_back(
        &mut self,
        store: &mut Store<Guest>,
        learned: &Learned,
    ) -> Result<(), Lost> {
        // Each handle was one of a resource of its own in the host's table, and the guest's table gives
        // out a number for the first time only when all below are taken. So this number never was, in
        // no part: what lends handles to another part is not restored (`component`).
        let most = store.data_mut().most_resources();
        let n_handles = u32::try_from(most).ok().map(|most| most.saturating_add(1));
        let n_handles = n_handles.filter(|number| *number <= MOST_HANDLES);
        let n_handles = n_handles.ok_or(Lost::TooManyHandles { most })?;
        let n_parts = if is_left_out(Step::OtherParts) { 1 } else { self.parts.len() };
        let mut n_missing = 0;
        for part in self.parts.iter().take(n_parts) {
            let free = part.free(store, n_handles)?;
            let n_of_part = n_handles - free.iter().map(|bits| bits.count_ones()).sum::<u32>();
            part.take_all(store, &free, n_handles, (learned, &mut self.n_wrong))?;
            n_missing += n_of_part as usize;
            if n_of_part > 0 && !is_left_out(Step::FreeHandles) {
                call(store, &part.finish, (n_handles, n_of_part))?;
            }
        }
        if store.data_mut().n_resources() != n_missing {
            return Err(Lost::Resources);
        }
        Ok(())
    }
}

impl Part {
    fn of(
        store: &mut Store<Guest>,
        instance: &Instance,
        part: usize,
        known: &[(ResourceType, Forget)],
    ) -> Result<Self, NotMade> {
        let name = |function: &str| export_of(part, function);
        let many = name(helper::FREE_MANY);
        let free = instance.get_typed_func(&mut *store, name(helper::FREE)).map_err(failed)?;
        let free_many = instance.get_typed_func(&mut *store, &many).map_err(failed)?;
        let word = instance.get_typed_func(&mut *store, name(helper::WORD)).map_err(failed)?;
        let finish = instance.get_typed_func(&mut *store, name(helper::FINISH)).map_err(failed)?;
        let mut takes = Vec::new();
        for n in 0.. {
            let name = name(&helper::take_of(n));
            let Ok(function) = instance.get_typed_func(&mut *store, &name) else { break };
            takes.push(Take { forget: forget_of(store, &function, known)?, function });
        }
        Ok(Self { free, free_many, word, finish, takes })
    }

    /// Takes the handles out of the table that are not free.
    fn take_all(
        &self,
        store: &mut Store<Guest>,
        free: &Free,
        n_handles: u32,
        (learned, n_wrong): (&Learned, &mut u32),
    ) -> Result<(), Lost> {
        let is_missing = |number: &u32| {
            let (word, bit) = ((number - 1) / helper::BITS, (number - 1) % helper::BITS);
            free.get(word as usize).is_some_and(|bits| bits >> bit & 1 == 0)
        };
        for handle in (1..=n_handles).filter(is_missing) {
            if is_left_out(Step::TakeHandles) {
                break;
            }
            self.take(store, handle, learned, n_wrong)?;
        }
        Ok(())
    }

    /// Takes handles until this number comes; a bit says of each whether it was free. Where all were, they
    /// are again.
    fn free(&self, store: &mut Store<Guest>, n_handles: u32) -> Result<Free, Lost> {
        let mut free = Free::default();
        let odd = || Lost::Failed("its handles are not numbered as they should be".to_owned());
        if n_handles <= helper::FEW_HANDLES {
            let (bits,) = call(store, &self.free, (n_handles,))?;
            if bits & helper::TOO_MANY != 0 {
                return Err(odd());
            }
            *free.first_mut().ok_or_else(odd)? = bits;
            return Ok(free);
        }
        let (n_got,) = call(store, &self.free_many, (n_handles,))?;
        if n_got & helper::TOO_MANY != 0 {
            return Err(odd());
        }
        for (word, bits) in (0..).zip(&mut free) {
            (*bits,) = call(store, &self.word, (word,))?;
        }
        Ok(free)
    }

    fn take(
        &self,
        store: &mut Store<Guest>,
        handle: u32,
        learned: &Learned,
        n_wrong: &mut u32,
    ) -> Result<(), Lost> {
        let mut why = "there is no type".to_owned();
        for ty in learned.order(handle, self.takes.len()) {
            let Some(Take { function, forget }) = self.takes.get(ty) else { continue };
            // One that has another type stays where it is: it is Wasmtime that refuses to return it to
            // the host, and no code of the instance that traps.
            match call(store, function, (handle,)) {
                Ok((taken,)) => {
                    if !is_left_out(Step::ForgetHandles) {
                        forget(taken, store).map_err(|error| Lost::Failed(error.to_string()))?;
                    }
                    learned.note(handle, ty);
                    return Ok(());
                }
                Err(error) => why = error.to_string(),
            }
            *n_wrong += 1;
            if *n_wrong > MOST_WRONG {
                return Err(Lost::WornOut);
            }
        }
        Err(Lost::Handle { handle, why })
    }
}

fn forget_of(
    store: &Store<Guest>,
    function: &TypedFunc<(u32,), (ResourceAny,)>,
    known: &[(ResourceType, Forget)],
) -> Result<Forget, NotMade> {
    let ty = function.func().ty(store);
    let returned = ty.results().next();
    let found = known.iter().find(|(known, _)| returned == Some(Type::Own(*known)));
    found.map(|(_, forget)| *forget).ok_or(NotMade::Unfit(Unfit::OwnResources))
}

/// Calls code that puts something back, which has no reason to wait for anything.
fn call<P, R>(
    store: &mut Store<Guest>,
    function: &TypedFunc<P, R>,
    parameters: P,
) -> Result<R, Lost>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    let called = function.call_async(store, parameters).now_or_never();
    let returned = called.ok_or_else(|| Lost::Failed("it waits".to_owned()))?;
    returned.map_err(|error| Lost::Failed(error.root_cause().to_string()))
}
