//! The samples of one thread: put in by its signal handler, taken out by one other thread at a time.
//! Takes no lock and allocates nothing where samples are put in.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Frames of a sample, the innermost first: those further out are left out.
pub(crate) const MOST_FRAMES: usize = 64;
/// Samples that are kept until they are taken: three seconds' worth at 19 for each second.
const ROOM: usize = 64;

/// Where a thread was.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// For whom it worked.
    pub scope: u64,
    /// How many times the timer had run out: more than once where others kept the core at that moment.
    pub weight: u64,
    frames: [u64; MOST_FRAMES],
    n_frames: usize,
}

impl Sample {
    /// The addresses of the instruction and of those after the calls around it, the innermost first.
    #[must_use]
    pub fn frames(&self) -> &[u64] {
        self.frames.get(..self.n_frames).unwrap_or_default()
    }

    /// Whether there may have been more frames further out.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.n_frames == MOST_FRAMES
    }
}

/// Samples of all threads that had no room.
static N_LOST: AtomicU64 = AtomicU64::new(0);

pub(crate) fn n_lost() -> u64 {
    N_LOST.load(Ordering::Relaxed)
}

/// As a sample, written and read without a lock.
#[derive(Debug)]
struct Slot {
    scope: AtomicU64,
    weight: AtomicU64,
    n_frames: AtomicUsize,
    frames: [AtomicU64; MOST_FRAMES],
}

/// A queue of one writer and one reader. The writer is a handler on the thread: it is never interrupted by itself,
/// since a signal is blocked while its handler runs.
#[derive(Debug)]
pub(crate) struct Ring {
    slots: Box<[Slot]>,
    /// How many were put in; written by the writer. Its release shows the reader the slot.
    n_put: AtomicUsize,
    /// How many were taken; written by the reader. Its release gives the slot back to the writer.
    n_taken: AtomicUsize,
    is_closed: AtomicBool,
}

impl Default for Ring {
    fn default() -> Self {
        let slot = |_| Slot {
            scope: AtomicU64::new(0),
            weight: AtomicU64::new(0),
            n_frames: AtomicUsize::new(0),
            frames: [const { AtomicU64::new(0) }; MOST_FRAMES],
        };
        Self {
            slots: (0..ROOM).map(slot).collect(),
            n_put: AtomicUsize::new(0),
            n_taken: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
        }
    }
}

impl Ring {
    /// Puts a sample in; `walk` fills in the frames and says how many.
    pub(crate) fn put(
        &self,
        (scope, weight): (u64, u64),
        walk: impl FnOnce(&[AtomicU64]) -> usize,
    ) {
        let n_put = self.n_put.load(Ordering::Relaxed);
        let n_here = n_put.wrapping_sub(self.n_taken.load(Ordering::Acquire));
        let Some(slot) = self.slots.get(n_put % ROOM).filter(|_| n_here < ROOM) else {
            N_LOST.fetch_add(weight, Ordering::Relaxed);
            return;
        };
        // Straight to where they stay: a handler may have a stack of eight KiB.
        let n_frames = walk(&slot.frames).min(MOST_FRAMES);
        slot.scope.store(scope, Ordering::Relaxed);
        slot.weight.store(weight, Ordering::Relaxed);
        slot.n_frames.store(n_frames, Ordering::Relaxed);
        self.n_put.store(n_put.wrapping_add(1), Ordering::Release);
    }

    /// Takes out all that is there. One thread at a time may do this.
    pub(crate) fn take(&self, mut take: impl FnMut(&Sample)) {
        let n_put = self.n_put.load(Ordering::Acquire);
        let mut n_taken = self.n_taken.load(Ordering::Relaxed);
        while n_taken != n_put {
            if let Some(slot) = self.slots.get(n_taken % ROOM) {
                let mut sample = Sample {
                    scope: slot.scope.load(Ordering::Relaxed),
                    weight: slot.weight.load(Ordering::Relaxed),
                    frames: [0; MOST_FRAMES],
                    n_frames: slot.n_frames.load(Ordering::Relaxed),
                };
                for (frame, place) in sample.frames.iter_mut().zip(&slot.frames) {
                    *frame = place.load(Ordering::Relaxed);
                }
                take(&sample);
            }
            n_taken = n_taken.wrapping_add(1);
            self.n_taken.store(n_taken, Ordering::Release);
        }
    }

    /// Nothing is put in any more.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_taken_once_and_what_has_no_room_is_counted() {
        let ring = Ring::default();
        for round in 0..5 {
            for n in 0..ROOM + 3 {
                ring.put((n as u64, 2), |frames| {
                    frames[0].store(100 + n as u64, Ordering::Relaxed);
                    1 + n % MOST_FRAMES
                });
            }
            let mut taken = Vec::new();
            ring.take(|sample| {
                taken.push((
                    sample.scope,
                    sample.weight,
                    sample.frames()[0],
                    sample.frames().len(),
                ));
            });
            let expected: Vec<_> =
                (0..ROOM).map(|n| (n as u64, 2, 100 + n as u64, 1 + n % MOST_FRAMES)).collect();
            assert_eq!(taken, expected);
            assert!(n_lost() >= 2 * 3 * (round + 1), "others may lose some, too");
        }
    }
}
