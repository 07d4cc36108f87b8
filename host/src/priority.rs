//! What the kernel is told of our threads: those that read and write are to be prompt, those that
//! compute for guests step back for them. Does not start threads; each asks for itself.

use rustix::process::nice;

/// How far below the I/O threads the guest threads stand, so that a busy guest cannot starve the
/// threads that read requests and write responses.
const GUEST_NICENESS: i32 = 3;
/// The slice the I/O threads ask for, in nanoseconds: the least there is. The kernel's scheduler
/// (EEVDF, from Linux 6.12 on) lets a thread that asks for less than the running one go first when
/// it wakes, instead of making it wait for the other's slice of some milliseconds.
const PROMPT_SLICE: u64 = 100_000;

/// Makes the thread that calls this step back for prompt ones.
pub fn patient() {
    // Where this is refused guests run at the same priority, which costs only latency.
    if let Err(error) = nice(GUEST_NICENESS) {
        tracing::debug!(%error, "guest threads run at the priority of the others");
    }
}

/// Makes the thread that calls this wake promptly though others are busy. Older kernels ignore it.
#[expect(unsafe_code, reason = "the system call has no safe wrapper")]
pub fn prompt() {
    let attributes = libc::sched_attr {
        size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0),
        sched_policy: libc::SCHED_OTHER.unsigned_abs(),
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: PROMPT_SLICE,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads `size` bytes of a struct that lives through the call, and changes
    // nothing but the scheduling of this thread.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if result != 0 {
        let error = std::io::Error::last_os_error();
        tracing::debug!(%error, "I/O threads are scheduled like any other");
    }
}
