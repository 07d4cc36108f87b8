//! One instance of a core module that can be put back. It has no handles: what a program of preview 1
//! holds of the host is in the host's own table, which goes with each call.
//! Does not call the program and does not keep instances: `program` and `idle` do.

use std::mem;
use std::sync::Arc;

use futures_util::FutureExt as _;
use steerage_core::units::Bytes;
use wasmtime::{Instance, InstancePre, Store, TypedFunc};

use super::core_module::{RESTORE, SAVE};
use super::live::{Code, Places, begin, made_alone, ready_to_put_back};
use super::memories::Memories;
use super::memory;
use super::outcome::{Lost, NotMade, failed};
use crate::call::CallIds;
use crate::sandbox::guest::{CoreGuest, ServiceParts};
use crate::sandbox::pace::Watched as _;
use crate::sandbox::reservation::Reservation;

/// What is needed to put an instance back. To be dropped after its store.
pub(in crate::sandbox) struct ModuleRestorer {
    memories: Memories,
    /// Puts back its globals and what its code knows of the size of its memories; `None` where it has
    /// neither.
    restore: Option<TypedFunc<(), ()>>,
    /// What it had reserved when it was made.
    began_with: Bytes,
    _places: Places,
}

/// Makes an instance that can be put back; see `live::make`.
pub(super) fn make(
    code: &Code,
    pre: &InstancePre<CoreGuest>,
    parts: &ServiceParts,
    reservation: Arc<Reservation>,
    places: Places,
) -> Result<(Store<CoreGuest>, Instance, ModuleRestorer), NotMade> {
    let mut store = Store::new(&code.engine, parts.core_guest(CallIds::NONE, reservation));
    store.limiter(|guest| &mut guest.limiter);
    begin(&mut store)?;
    let (made, memories) = memory::collect(|| pre.instantiate_async(&mut store).now_or_never());
    let instance = made_alone(made, store.data().has_called_host())?;
    ready_to_put_back(&mut store).map_err(failed)?;
    if let Ok(save) = instance.get_typed_func::<(), ()>(&mut store, SAVE) {
        let saved = save.call_async(&mut store, ()).now_or_never();
        saved.ok_or_else(|| failed("it waits"))?.map_err(failed)?;
    }
    let restore = instance.get_typed_func(&mut store, RESTORE).ok();
    let memories = Memories::lay(memories, &code.beginning)?;
    let began_with = store.data().limiter.used();
    store.data_mut().set_may_rest(true);
    Ok((store, instance, ModuleRestorer { memories, restore, began_with, _places: places }))
}

impl ModuleRestorer {
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
        store: &mut Store<CoreGuest>,
        guest: CoreGuest,
    ) -> Result<(), Lost> {
        self.memories.put_back()?;
        let failed = |error: wasmtime::Error| Lost::Failed(error.root_cause().to_string());
        ready_to_put_back(store).map_err(failed)?;
        if let Some(restore) = &self.restore {
            let restored = restore.call_async(&mut *store, ()).now_or_never();
            restored.ok_or_else(|| Lost::Failed("it waits".to_owned()))?.map_err(failed)?;
        }
        // All that the host holds for the call goes with it, as if the whole instance was dropped.
        let mut before = mem::replace(store.data_mut(), guest);
        // What the memories have reserved goes on, and nothing else.
        let limiter = &mut store.data_mut().limiter;
        mem::swap(limiter, &mut before.limiter);
        limiter.start_over(self.began_with);
        self.memories.check()
    }
}
