//! Where threads are, some times for each second of CPU time that they take, by a timer and a signal of their own.
//! Does not know what lies at an address: whoever takes the samples does.
//!
//! The kernel interrupts a thread by SIGPROF (timer_create(2) with SIGEV_THREAD_ID). What runs then may hold any lock
//! and be in the middle of any allocation. So the handler takes no lock, allocates nothing, and reads the stack by a
//! system call that fails where nothing is mapped, instead of by a load that would end the process.

mod ring;
mod signal;
mod stack;

use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering, compiler_fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, ptr};

use self::ring::Ring;
pub use self::ring::Sample;

/// What the handler finds on its thread. It has no destructor and is there from the beginning, so that reading it in
/// a handler runs no code of the thread's start or end.
struct Here {
    ring: AtomicPtr<Ring>,
    timer: AtomicPtr<c_void>,
    /// For whom the thread works; 0 for nobody.
    scope: AtomicU64,
}

thread_local! {
    static HERE: Here =
        const {
            Here {
                ring: AtomicPtr::new(ptr::null_mut()),
                timer: AtomicPtr::new(ptr::null_mut()),
                scope: AtomicU64::new(0),
            }
        };
}

/// The samples of all threads.
static RINGS: Mutex<Vec<Arc<Ring>>> = Mutex::new(Vec::new());

fn rings() -> MutexGuard<'static, Vec<Arc<Ring>>> {
    RINGS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has this thread sampled until it is dropped.
#[derive(Debug)]
pub struct SampledThread {
    /// Dropped first: from then on no signal comes.
    timer: Option<signal::ThreadTimer>,
    ring: Arc<Ring>,
    /// It is of this thread.
    _here: PhantomData<*const ()>,
}

impl SampledThread {
    /// Samples this thread so many times for each second of CPU time that it takes, 1 to 1,000.
    ///
    /// # Errors
    /// Where SIGPROF is in use already, this thread is sampled already, or the kernel refuses a timer.
    pub fn start(per_second: u32) -> io::Result<Self> {
        if HERE.with(|here| !here.ring.load(Ordering::Relaxed).is_null()) {
            return Err(io::Error::other("this thread is sampled already"));
        }
        signal::install()?;
        let ring = Arc::new(Ring::default());
        let timer = signal::ThreadTimer::start(per_second)?;
        HERE.with(|here| {
            here.timer.store(timer.id(), Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            here.ring.store(Arc::as_ptr(&ring).cast_mut(), Ordering::Relaxed);
        });
        rings().push(ring.clone());
        Ok(Self { timer: Some(timer), ring, _here: PhantomData })
    }
}

impl Drop for SampledThread {
    fn drop(&mut self) {
        self.timer = None;
        HERE.with(|here| here.ring.store(ptr::null_mut(), Ordering::Relaxed));
        compiler_fence(Ordering::SeqCst);
        self.ring.close();
    }
}

/// Does something for somebody on this thread; what runs meanwhile is theirs. 0 is nobody, whose samples are not kept.
pub fn within<R>(scope: u64, run: impl FnOnce() -> R) -> R {
    /// Puts back who it was before, also when what runs panics.
    struct Before(u64);

    impl Drop for Before {
        fn drop(&mut self) {
            HERE.with(|here| here.scope.store(self.0, Ordering::Relaxed));
        }
    }

    let _before = HERE.with(|here| {
        let before = Before(here.scope.load(Ordering::Relaxed));
        here.scope.store(scope, Ordering::Relaxed);
        before
    });
    run()
}

/// Takes all samples that are there, of all threads.
pub fn take(mut take: impl FnMut(&Sample)) {
    let mut rings = rings();
    rings.retain(|ring| {
        // Read first: what is put in before it is closed is taken once more.
        let is_closed = ring.is_closed();
        ring.take(&mut take);
        !is_closed
    });
}

/// Samples that were lost since nobody took them in time, also those of threads that have ended.
#[must_use]
pub fn n_lost() -> u64 {
    ring::n_lost()
}

/// Called on the interrupted thread with its registers.
fn note(registers: stack::Registers) {
    HERE.with(|here| {
        let scope = here.scope.load(Ordering::Relaxed);
        let ring = here.ring.load(Ordering::Relaxed);
        if scope == 0 || ring.is_null() {
            return;
        }
        #[expect(unsafe_code, reason = "a handler cannot count references")]
        // SAFETY: the pointer is of the ring that the `SampledThread` of this thread holds, which takes the pointer
        // back on this thread before it lets go of the ring. A handler runs on this thread between two
        // instructions of it, so it sees the pointer only while the ring is held.
        let ring = unsafe { &*ring };
        let weight = 1 + signal::overrun(here.timer.load(Ordering::Relaxed));
        ring.put((scope, weight), |frames| stack::walk(registers, frames));
    });
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::thread;

    use super::*;

    /// CPU time of this thread, in nanoseconds.
    fn cpu_time() -> i64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: the place is writable and of the type that the call writes.
        let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        assert_eq!(result, 0);
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    }

    #[inline(never)]
    fn burn(nanoseconds: i64) {
        let until = cpu_time() + nanoseconds;
        while cpu_time() < until {
            for n in 0..100_000_u32 {
                black_box(n);
            }
        }
    }

    #[test]
    fn a_second_of_cpu_time_gives_its_samples_to_whom_it_was_for() {
        let busy = thread::spawn(|| {
            let _sampled = SampledThread::start(20).unwrap();
            assert!(SampledThread::start(20).is_err(), "it is sampled already");
            burn(300_000_000);
            within(7, || {
                burn(1_000_000_000);
                within(8, || burn(1_000_000_000));
            });
        });
        busy.join().unwrap();
        let mut found = [0; 9];
        let mut deepest = 0;
        take(|sample| {
            found[usize::try_from(sample.scope).unwrap()] += sample.weight;
            deepest = deepest.max(sample.frames().len());
        });
        // The kernel looks at the time some hundreds of times in a second, and later where others keep the core.
        assert!((36..=44).contains(&(found[7] + found[8])), "{found:?}");
        assert!(found[7] >= 15 && found[8] >= 15, "{found:?}");
        assert_eq!(found[0], 0, "nobody's");
        assert!(deepest >= 1);
        take(|sample| panic!("taken twice: {sample:?}"));
        assert!(rings().is_empty(), "the thread has ended");
    }
}
