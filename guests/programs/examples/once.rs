//! Takes as many requests as `TAKES` says, 1 where it says nothing, and answers no other: as guests
//! do that are made for one request.
//!
//! It traps instead where `HOW` says so.

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};

use guest_programs::reply;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

guest_programs::serve!(once);

static CALLS: AtomicU64 = AtomicU64::new(0);

fn once(_request: IncomingRequest, out: ResponseOutparam) {
    let takes = env::var("TAKES").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    if CALLS.fetch_add(1, Ordering::Relaxed) < takes {
        return reply(out, 200, "taken\n");
    }
    assert_ne!(env::var("HOW").as_deref(), Ok("trap"), "no more");
}
