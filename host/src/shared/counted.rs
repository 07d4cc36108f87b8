//! Locks and atomics that are counted where they are used. Does not count them itself.

use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::count::{self, SharedUse};

/// A lock that threads of several cores take.
#[derive(Debug, Default)]
pub struct Locked<T>(Mutex<T>);

/// An atomic, or several, that threads of several cores write.
#[derive(Debug, Default)]
pub struct Shared<A>(A);

/// An atomic that can be read without writing it.
pub trait Readable {
    /// What is read.
    type Value;

    /// What it is.
    fn load(&self, order: Ordering) -> Self::Value;
}

impl<T> Locked<T> {
    /// A lock around this.
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Takes the lock. A panic of who held it before does not matter: no holder leaves halves behind.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        count::note(SharedUse::Lock, 1);
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Locked<T> {
    /// The same where threads of one core take it nearly always, and this is one of them: then it is on this
    /// core's lines.
    #[track_caller]
    pub fn lock_own(&self) -> MutexGuard<'_, T> {
        count::note(SharedUse::OwnLock, 1);
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A> Shared<A> {
    /// An atomic, or several, that begin as this.
    pub const fn new(atomic: A) -> Self {
        Self(atomic)
    }

    /// To read what it has several of.
    pub fn get(&self) -> &A {
        &self.0
    }

    /// To write it.
    #[track_caller]
    pub fn write(&self) -> &A {
        self.write_all(1)
    }

    /// To write it where threads of one core do nearly always and others read it seldom, and this is one of them.
    #[track_caller]
    pub fn write_own(&self) -> &A {
        count::note(SharedUse::OwnWrite, 1);
        &self.0
    }

    /// To write so many that it has.
    #[track_caller]
    pub fn write_all(&self, n_writes: u64) -> &A {
        count::note(SharedUse::Write, n_writes);
        &self.0
    }
}

impl<A: Readable> Shared<A> {
    /// Reads it, which takes it from nobody.
    pub fn load(&self, order: Ordering) -> A::Value {
        self.0.load(order)
    }
}

macro_rules! readable {
    ($($atomic:ident $value:ident),*) => {
        $(impl Readable for $atomic {
            type Value = $value;

            fn load(&self, order: Ordering) -> $value {
                $atomic::load(self, order)
            }
        })*
    };
}

readable!(AtomicBool bool, AtomicI64 i64, AtomicU8 u8, AtomicU32 u32, AtomicU64 u64, AtomicUsize usize);
