//! One instance that can be put back: making it, and putting it back.
//! Does not call the guest's handler and does not keep instances: `service` and `idle` do.

use std::io;
use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::FutureExt as _;
use steerage_core::id::CallId;
use steerage_core::units::{Bytes, Fuel};
use wasmtime::component::Instance;
use wasmtime::{Engine, Store};
use wasmtime_wasi_http::p2::bindings::{Proxy, ProxyPre};

use super::handles::Handles;
use super::learned::Learned;
use super::memory::{self, Image, Region};
use super::outcome::{Lost, NotMade, failed, no_room};
use super::pages::Written;
use super::unfit::Unfit;
use crate::sandbox::guest::{Guest, ServiceParts};
use crate::sandbox::reservation::Reservation;
use crate::sandbox::{instance, pace};

/// Fuel for putting back globals and handles: many times what it takes, and soon over.
const FUEL: u64 = 1_000_000;
/// Fuel for making an instance: some tens of milliseconds of a thread that only makes them.
const START_FUEL: Fuel = Fuel::new(500_000_000);
/// One in so many instances that were put back is looked at as a whole, where no debug build looks at
/// all of them.
const LOOK_EVERY: u64 = if cfg!(debug_assertions) { 1 } else { 1024 };

/// The linked code of the rewritten component.
pub(super) struct Code {
    pub(super) engine: Engine,
    pub(super) pre: ProxyPre<Guest>,
    /// What its instances begin with, as long as there are any.
    snapshot: Mutex<Weak<Snapshot>>,
}

/// What the memories of an instance hold before its first call, in the order they are made.
struct Snapshot {
    images: Vec<Image>,
}

/// What is needed to put an instance back. To be dropped after its store.
pub(in crate::sandbox) struct Restorer {
    memories: Vec<(Arc<Region>, Written)>,
    snapshot: Arc<Snapshot>,
    handles: Handles,
    /// What it had reserved when it was made.
    began_with: Bytes,
    /// Whether pages may have been written that are not known.
    has_faulted: bool,
    n_restored: u64,
    /// Counts this one among those that live.
    _places: (Place, Place),
}

/// Counts one of what there may be a number of, for as long as it lives.
pub(super) struct Place(Arc<AtomicU32>);

impl Code {
    pub(super) fn new(engine: Engine, pre: ProxyPre<Guest>) -> Self {
        Self { engine, pre, snapshot: Mutex::default() }
    }

    /// The snapshot that others have made, or one of these memories, which must hold the same.
    fn snapshot(&self, memories: &[Arc<Region>]) -> Result<Arc<Snapshot>, NotMade> {
        let mut known = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = known.upgrade() {
            let images = &snapshot.images;
            let is_same = images.len() == memories.len()
                && images.iter().zip(memories).all(|(image, memory)| memory.equals(image));
            return if is_same { Ok(snapshot) } else { Err(NotMade::Unfit(Unfit::Differs)) };
        }
        let images = memories.iter().map(|memory| Image::of(memory));
        let images = images.collect::<io::Result<_>>().map_err(no_room)?;
        let snapshot = Arc::new(Snapshot { images });
        *known = Arc::downgrade(&snapshot);
        Ok(snapshot)
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
    parts: &ServiceParts,
    reservation: Arc<Reservation>,
    places: (Place, Place),
) -> Result<(Store<Guest>, Proxy, Restorer), NotMade> {
    // Nothing is printed under this name: what prints at its start is not restored.
    let guest = parts.guest(CallId::from_u128(0), reservation);
    let mut store = Store::new(&code.engine, guest);
    store.data_mut().set_may_rest(false);
    store.limiter(|guest| &mut guest.limiter);
    pace::keep(&mut store);
    // In one slice. What the app's calls may take says nothing here: data is copied by code that takes fuel,
    // which instances of the pool need not.
    instance::start(&mut store, START_FUEL, Fuel::new(u64::MAX)).map_err(failed)?;
    let (made, memories) =
        memory::collect(|| code.pre.instance_pre().instantiate_async(&mut store).now_or_never());
    // Asked first: whoever asks may have to wait for an answer, and may fail for it.
    if store.data().has_called_host() {
        return Err(NotMade::Unfit(Unfit::AsksAtStart));
    }
    let is_long =
        |error: &wasmtime::Error| matches!(error.downcast_ref(), Some(wasmtime::Trap::OutOfFuel));
    let instance = match made {
        None => return Err(NotMade::Unfit(Unfit::LongStart)),
        Some(Err(error)) if is_long(&error) => return Err(NotMade::Unfit(Unfit::LongStart)),
        Some(Err(error)) if error.is::<wasmtime::Trap>() => {
            let why = format!("an instance of it cannot be made: {error:#}");
            return Err(NotMade::Unfit(Unfit::Host(why)));
        }
        Some(made) => made.map_err(no_room)?,
    };
    let proxy = Proxy::new(&mut store, &instance).map_err(failed)?;
    let restorer = prepare(&mut store, &instance, memories, code, places)?;
    store.data_mut().set_may_rest(true);
    Ok((store, proxy, restorer))
}

fn prepare(
    store: &mut Store<Guest>,
    instance: &Instance,
    memories: Vec<Arc<Region>>,
    code: &Code,
    places: (Place, Place),
) -> Result<Restorer, NotMade> {
    store.set_fuel(FUEL).map_err(failed)?;
    store.fuel_async_yield_interval(None).map_err(failed)?;
    let handles = Handles::of(store, instance)?;
    let snapshot = code.snapshot(&memories)?;
    let mut lying = Vec::with_capacity(memories.len());
    for (memory, image) in memories.into_iter().zip(&snapshot.images) {
        memory.lie_on(image).map_err(no_room)?;
        // Found out here where the kernel does not tell: none is written yet.
        let mut written = Written::default();
        written.look(memory.addresses(image.size())).map_err(|error| {
            let why = format!("the kernel does not tell which pages were written: {error}");
            NotMade::Unfit(Unfit::Host(why))
        })?;
        lying.push((memory, written));
    }
    Ok(Restorer {
        memories: lying,
        snapshot,
        handles,
        began_with: store.data().limiter.used(),
        has_faulted: false,
        n_restored: 0,
        _places: places,
    })
}

impl Restorer {
    /// Takes note of whether pages may have been written that are not known.
    pub(in crate::sandbox) fn note_faulted(&mut self, has_faulted: bool) {
        self.has_faulted |= has_faulted;
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
        self.restore_memories()?;
        let failed = |error: wasmtime::Error| Lost::Failed(error.to_string());
        store.set_fuel(FUEL).map_err(failed)?;
        store.fuel_async_yield_interval(None).map_err(failed)?;
        // In one go, however much of its slice the call has used.
        store.data_mut().set_may_rest(false);
        self.handles.put_back(store, learned)?;
        // All that the host holds for the call goes with it, as if the whole instance was dropped.
        let mut before = mem::replace(store.data_mut(), guest);
        // What the memories have reserved goes on, and nothing else.
        let limiter = &mut store.data_mut().limiter;
        mem::swap(limiter, &mut before.limiter);
        limiter.start_over(self.began_with);
        self.n_restored += 1;
        if self.n_restored.is_multiple_of(LOOK_EVERY) && !self.is_as_it_was() {
            return Err(Lost::Differs);
        }
        Ok(())
    }

    fn restore_memories(&mut self) -> Result<(), Lost> {
        for ((memory, written), image) in self.memories.iter_mut().zip(&self.snapshot.images) {
            // Without a fault no page became a copy that was none, so what is known is all.
            if self.has_faulted {
                written.look(memory.addresses(image.size()))?;
            }
            memory.restore(image, written)?;
        }
        self.has_faulted = false;
        Ok(())
    }

    fn is_as_it_was(&self) -> bool {
        let memories = self.memories.iter().zip(&self.snapshot.images);
        memories.into_iter().all(|((memory, _), image)| memory.equals(image))
    }
}
