//! The signal and the timers that send it.
//! Does not read the stack: `stack` does.

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::{io, mem, ptr};

use super::{note, stack};

/// Told once: the handler stays for as long as the process.
static INSTALLED: OnceLock<Result<(), c_int>> = OnceLock::new();
/// That somebody else handles SIGPROF.
const TAKEN: c_int = libc::EBUSY;

/// Has the process handle SIGPROF.
pub(super) fn install() -> io::Result<()> {
    let installed = INSTALLED.get_or_init(|| {
        set_handler().map_err(|error| error.raw_os_error().unwrap_or(libc::EINVAL))
    });
    installed.map_err(|code| match code {
        TAKEN => io::Error::other("somebody else in this process handles SIGPROF"),
        code => io::Error::from_raw_os_error(code),
    })
}

fn checked(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[expect(unsafe_code, reason = "system calls")]
fn set_handler() -> io::Result<()> {
    // SAFETY: all zeros are a value of this type: no flags, no signals blocked, no handler.
    let mut before: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: without a new handler the call only writes the one of now to a place of this type.
    checked(unsafe { libc::sigaction(libc::SIGPROF, ptr::null(), &raw mut before) })?;
    if before.sa_sigaction != libc::SIG_DFL && before.sa_sigaction != libc::SIG_IGN {
        return Err(io::Error::from_raw_os_error(TAKEN));
    }
    // SAFETY: as above.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = handle;
    action.sa_sigaction = handler as libc::sighandler_t;
    // System calls go on after it. A guest's stack may be small, so the handler has the thread's other one, which
    // the standard library and Wasmtime give to each thread.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the handler has the form that SA_SIGINFO asks for, and does only what a handler may: see `note`.
    checked(unsafe { libc::sigaction(libc::SIGPROF, &raw const action, ptr::null_mut()) })
}

extern "C" fn handle(_signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    #[expect(unsafe_code, reason = "errno belongs to what was interrupted")]
    // SAFETY: the place of this thread's errno is always readable.
    let errno = unsafe { *libc::__errno_location() };
    #[expect(unsafe_code, reason = "the kernel gives a pointer")]
    // SAFETY: with SA_SIGINFO the second argument of a handler is of this type, and there while the handler runs.
    let code = unsafe { info.as_ref() }.map(|info| info.si_code);
    // Whoever sends SIGPROF to the process by hand is not a timer.
    if code == Some(libc::SI_TIMER)
        && let Some(registers) = stack::registers(context)
    {
        note(registers);
    }
    #[expect(unsafe_code, reason = "errno belongs to what was interrupted")]
    // SAFETY: and writable.
    unsafe {
        *libc::__errno_location() = errno;
    }
}

/// Sends SIGPROF to the thread that made it, by the CPU time that this thread takes.
#[derive(Debug)]
pub(super) struct ThreadTimer(libc::timer_t);

/// How many times more than once a timer of this thread had run out when its signal came.
pub(super) fn overrun(timer: libc::timer_t) -> u64 {
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: the call takes a number and may be made in a handler (POSIX, signal-safety).
    let overrun = unsafe { libc::timer_getoverrun(timer) };
    u64::try_from(overrun).unwrap_or(0)
}

impl ThreadTimer {
    pub(super) fn id(&self) -> libc::timer_t {
        self.0
    }

    #[expect(unsafe_code, reason = "system calls")]
    pub(super) fn start(per_second: u32) -> io::Result<Self> {
        if !(1..=1000).contains(&per_second) {
            let message = format!("{per_second} samples a second: between 1 and 1000 are possible");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        // SAFETY: all zeros are a value of this type.
        let mut event: libc::sigevent = unsafe { mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGPROF;
        // SAFETY: the call has no arguments and cannot fail.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        let mut timer: libc::timer_t = ptr::null_mut();
        let clock = libc::CLOCK_THREAD_CPUTIME_ID;
        // SAFETY: both places are of the types that the call reads and writes.
        checked(unsafe { libc::timer_create(clock, &raw mut event, &raw mut timer) })?;
        let timer = Self(timer);
        let nanoseconds = 1_000_000_000 / i64::from(per_second);
        let every = libc::timespec {
            tv_sec: nanoseconds / 1_000_000_000,
            tv_nsec: nanoseconds % 1_000_000_000,
        };
        let when = libc::itimerspec { it_interval: every, it_value: every };
        // SAFETY: the timer was made above, and the time lies in a place of the type that is read.
        checked(unsafe { libc::timer_settime(timer.0, 0, &raw const when, ptr::null_mut()) })?;
        Ok(timer)
    }
}

impl Drop for ThreadTimer {
    #[expect(unsafe_code, reason = "a system call")]
    fn drop(&mut self) {
        // SAFETY: the timer was made by `start` and is deleted only here. A signal that was sent before is handled
        // before the call returns, since it is one of this thread.
        unsafe { libc::timer_delete(self.0) };
    }
}
