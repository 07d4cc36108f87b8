//! One instance of a component that can be put back: making it, and putting it back.
//! Does not call the guest and does not keep instances: `service`, `program` and `idle` do.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt as _;
use steerage_core::units::{Bytes, Fuel};
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Engine, Store};

use super::handles::Handles;
use super::learned::Learned;
use super::memories::{Beginning, Memories};
use super::memory;
use super::outcome::{Lost, NotMade, failed, no_room};
use super::step::{Step, is_left_out};
use super::unfit::Unfit;
use crate::call::CallIds;
use crate::sandbox::guest::{Guest, ServiceParts};
use crate::sandbox::linked::Pre;
use crate::sandbox::pace::Watched;
use crate::sandbox::reservation::Reservation;
use crate::sandbox::{instance, pace, profiled};
use crate::telemetry::profiles::MappedCode;

/// Fuel for putting back globals and handles: many times what it takes, and soon over.
const FUEL: u64 = 1_000_000;
/// Fuel for making an instance: some tens of milliseconds of a thread that only makes them.
const START_FUEL: Fuel = Fuel::new(500_000_000);

/// The linked code of what was rewritten.
pub(super) struct Code {
    pub(super) engine: Engine,
    pub(super) pre: Pre,
    pub(super) beginning: Beginning,
    _mapped: MappedCode,
}

/// What is needed to put an instance back. To be dropped after its store.
pub(in crate::sandbox) struct Restorer {
    memories: Memories,
    handles: Handles,
    /// What it had reserved when it was made.
    began_with: Bytes,
    _places: Places,
}

/// Counts one of what there may be a number of, for as long as it lives.
pub(super) struct Place(Arc<AtomicU32>);

/// The places of one instance: among those of its app, and among those of the host.
pub(super) type Places = (Place, Place);

impl Code {
    pub(super) fn new(engine: Engine, pre: Pre) -> Self {
        let _mapped = profiled::mapped(&pre);
        Self { engine, pre, beginning: Beginning::default(), _mapped }
    }
}

impl Place {
    /// Takes one, unless there are as many as there may be.
    pub(super) fn take(counter: &Arc<AtomicU32>, most: u32) -> Option<Self> {
        let more = |count| (count < most).then_some(count + 1);
        let (order, on_failure) = (Ordering::Relaxed, Ordering::Relaxed);
        counter.fetch_update(order, on_failure, more).ok()?;
        Some(Self(counter.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes an instance that can be put back. It is made in one go on this thread, which takes
/// milliseconds where memories are large.
pub(super) fn make(
    code: &Code,
    pre: &InstancePre<Guest>,
    parts: &ServiceParts,
    reservation: Arc<Reservation>,
    places: Places,
) -> Result<(Store<Guest>, Instance, Restorer), NotMade> {
    // Nothing is printed under this name: what prints at its start is not restored.
    let guest = parts.guest(CallIds::NONE, reservation);
    let mut store = Store::new(&code.engine, guest);
    store.limiter(|guest| &mut guest.limiter);
    begin(&mut store)?;
    let (made, memories) = memory::collect(|| pre.instantiate_async(&mut store).now_or_never());
    let instance = made_alone(made, store.data().has_called_host())?;
    ready_to_put_back(&mut store).map_err(failed)?;
    let handles = Handles::of(&mut store, &instance)?;
    let memories = Memories::lay(memories, &code.beginning)?;
    let began_with = store.data().limiter.used();
    store.data_mut().set_may_rest(true);
    Ok((store, instance, Restorer { memories, handles, began_with, _places: places }))
}

/// Gives a store what it may use while an instance is made, in one slice. What the app's calls may take
/// says nothing here: data is copied by code that takes fuel, which instances of the pool need not.
pub(super) fn begin<T: Watched>(store: &mut Store<T>) -> Result<(), NotMade> {
    store.data_mut().set_may_rest(false);
    pace::keep(store);
    instance::start(store, START_FUEL, Fuel::new(u64::MAX)).map_err(failed)
}

/// What was made, where it began without anybody's help and in time.
pub(super) fn made_alone<I>(
    made: Option<wasmtime::Result<I>>,
    has_called_host: bool,
) -> Result<I, NotMade> {
    // Asked first: whoever asks may have to wait for an answer, and may fail for it.
    if has_called_host {
        return Err(NotMade::Unfit(Unfit::AsksAtStart));
    }
    let is_long =
        |error: &wasmtime::Error| matches!(error.downcast_ref(), Some(wasmtime::Trap::OutOfFuel));
    match made {
        None => Err(NotMade::Unfit(Unfit::LongStart)),
        Some(Err(error)) if is_long(&error) => Err(NotMade::Unfit(Unfit::LongStart)),
        Some(Err(error)) if error.is::<wasmtime::Trap>() => {
            Err(NotMade::Failed(format!("an instance of it cannot be made: {error:#}")))
        }
        Some(made) => made.map_err(no_room),
    }
}

/// Gives a store what it may use while its instance is put back: in one go, however much of its slice the
/// call has used.
pub(super) fn ready_to_put_back<T: Watched>(store: &mut Store<T>) -> wasmtime::Result<()> {
    store.set_fuel(FUEL)?;
    store.fuel_async_yield_interval(None)?;
    store.data_mut().set_may_rest(false);
    Ok(())
}

impl Restorer {
    /// Takes note of whether pages may have been written that are not known.
    pub(in crate::sandbox) fn note_faulted(&mut self, has_faulted: bool) {
        self.memories.note_faulted(has_faulted);
    }

    /// Puts the instance back, with `guest` for what the host keeps for it. The store is to be dropped
    /// where that fails.
    ///
    /// # Errors
    /// See [`Lost`].
    pub(in crate::sandbox) fn restore(
        &mut self,
        store: &mut Store<Guest>,
        guest: Guest,
        learned: &Learned,
    ) -> Result<(), Lost> {
        self.memories.put_back()?;
        ready_to_put_back(store).map_err(|error| Lost::Failed(error.to_string()))?;
        self.handles.put_back(store, learned)?;
        // All that the host holds for the call goes with it, as if the whole instance was dropped.
        let mut before = mem::replace(store.data_mut(), guest);
        // What the memories have reserved goes on, and nothing else.
        let limiter = &mut store.data_mut().limiter;
        mem::swap(limiter, &mut before.limiter);
        if !is_left_out(Step::Limiter) {
            limiter.start_over(self.began_with);
        }
        #[cfg(test)]
        store.data_mut().keep_what_is_left_out(&mut before);
        self.memories.check()
    }
}
