//! How often this thread took the lock of a run queue, and wrote what all cores share of them.
//! For tests only: what a call costs when there are many cores cannot be measured on two.

use std::cell::Cell;

thread_local! {
    static N_LOCKS: Cell<u32> = const { Cell::new(0) };
    static N_SHARED_WRITES: Cell<u32> = const { Cell::new(0) };
}

pub(super) fn lock() {
    N_LOCKS.set(N_LOCKS.get() + 1);
}

pub(super) fn shared_write() {
    N_SHARED_WRITES.set(N_SHARED_WRITES.get() + 1);
}

/// Both since the last look: locks, and writes.
pub(super) fn take() -> (u32, u32) {
    (N_LOCKS.take(), N_SHARED_WRITES.take())
}
