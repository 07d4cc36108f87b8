//! The runtimes beside the threads of callers and guests: whoever may be busy for long has one that
//! nobody depends on who may not. Starts nothing on them.

use std::io;

use tokio::runtime::{Builder, Runtime};

use crate::priority;

/// One may be busy for long, with a view of a hundred thousand apps, and one is left.
const CONTROL_THREADS: usize = 2;
/// One may be busy for long, with a list of as many, and one is left.
const OPERATORS_THREADS: usize = 2;

/// Where a host follows its fleet. More than one thread: reading a store of a hundred thousand apps anew
/// takes a second.
pub(super) fn control() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .on_thread_start(priority::prompt)
        .enable_all()
        .build()
}

/// Where a host says that it is there and asks whether others are: its lease and its probes, and nothing
/// else. A slow disk, a large view or a plan that takes seconds may hold up every thread of the control
/// runtime, and must cost neither this host its place nor, in its eyes, the others theirs.
pub(super) fn presence() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("presence")
        .on_thread_start(priority::prompt)
        .enable_all()
        .build()
}

/// Where operators are served: whatever they ask for, and however often, takes no time from what keeps
/// the host in its fleet.
pub(super) fn operators() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(OPERATORS_THREADS)
        .thread_name("operators")
        .enable_all()
        .build()
}
