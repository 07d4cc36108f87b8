//! All memories of one instance: what they hold before the first call, and putting them back to it.
//! Does not put back anything else.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::memory::{Image, Region};
use super::outcome::{Lost, NotMade, no_room};
use super::pages::Written;
use super::step::{Step, is_left_out};
use super::unfit::Unfit;

/// One in so many instances that were put back is looked at as a whole, where no debug build looks at
/// all of them.
const LOOK_EVERY: u64 = if cfg!(debug_assertions) { 1 } else { 1024 };

/// What all instances of a component begin with, as long as there are any.
#[derive(Default)]
pub(super) struct Beginning(Mutex<Weak<Snapshot>>);

/// What the memories of an instance hold before its first call, in the order they are made.
struct Snapshot {
    images: Vec<Image>,
}

/// The memories of one instance, which lie on a snapshot. To be dropped after its store.
pub(super) struct Memories {
    memories: Vec<(Arc<Region>, Written)>,
    snapshot: Arc<Snapshot>,
    /// Whether pages may have been written that are not known.
    has_faulted: bool,
    n_restored: u64,
}

impl Beginning {
    /// The snapshot that others have made, or one of these memories, which must hold the same.
    fn of(&self, memories: &[Arc<Region>]) -> Result<Arc<Snapshot>, NotMade> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

impl Memories {
    /// Has them lie on what all instances of the component begin with.
    ///
    /// # Errors
    /// They hold something else, the system has no room, or the kernel does not tell what is written.
    pub(super) fn lay(memories: Vec<Arc<Region>>, beginning: &Beginning) -> Result<Self, NotMade> {
        let snapshot = beginning.of(&memories)?;
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
        Ok(Self { memories: lying, snapshot, has_faulted: false, n_restored: 0 })
    }

    /// Takes note of whether pages may have been written that are not known.
    pub(super) fn note_faulted(&mut self, has_faulted: bool) {
        self.has_faulted |= has_faulted && !is_left_out(Step::Faults);
    }

    /// Puts back what they hold, and their size as the host knows it. No guest may run.
    ///
    /// # Errors
    /// The system does not do its part.
    pub(super) fn put_back(&mut self) -> Result<(), Lost> {
        let n_memories = if is_left_out(Step::OtherMemories) { 1 } else { self.memories.len() };
        let memories = self.memories.iter_mut().zip(&self.snapshot.images).take(n_memories);
        for ((memory, written), image) in memories {
            // Without a fault no page became a copy that was none, so what is known is all.
            if self.has_faulted && !is_left_out(Step::Look) {
                written.look(memory.addresses(image.size()))?;
            }
            memory.restore(image, written)?;
        }
        self.has_faulted = false;
        Ok(())
    }

    /// Checks now and then that all of them are as they were, once everything was put back.
    ///
    /// # Errors
    /// They are not.
    pub(super) fn check(&mut self) -> Result<(), Lost> {
        self.n_restored += 1;
        let is_time = self.n_restored.is_multiple_of(LOOK_EVERY) && !is_left_out(Step::Compare);
        let mut memories = self.memories.iter().zip(&self.snapshot.images);
        if is_time && !memories.all(|((memory, _), image)| memory.equals(image)) {
            return Err(Lost::Differs);
        }
        Ok(())
    }
}
