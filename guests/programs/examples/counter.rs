//! Counts the calls this instance has served: 1 each time unless instances are reused.
//!
//! It keeps nothing anywhere else, but `?leak=` bytes of each call for good.

use std::sync::atomic::{AtomicU64, Ordering};

use guest_programs::{number, reply};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

guest_programs::serve!(counter);

static CALLS: AtomicU64 = AtomicU64::new(0);

fn counter(request: IncomingRequest, out: ResponseOutparam) {
    let n_calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    let leak = number(&request, "leak", 0) as usize;
    std::mem::forget(std::hint::black_box(vec![1_u8; leak]));
    reply(out, 200, &format!("{n_calls}\n"));
}
