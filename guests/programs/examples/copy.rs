//! Copies 8 MiB over and over in single instructions, each as long as a slice of fuel or longer.
//!
//! It tries to hold its thread between two looks at the fuel. `?n=` is how many copies; without it
//! the guest never ends.

use std::hint::black_box;

use guest_programs::{number, reply};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

guest_programs::serve!(copy);

const HALF: usize = 8 << 20;

fn copy(request: IncomingRequest, out: ResponseOutparam) {
    let n_copies = number(&request, "n", u64::MAX);
    let mut memory = vec![1_u8; 2 * HALF];
    for _ in 0..n_copies {
        // Not overlapping, so this is one `memory.copy`.
        black_box(&mut memory).copy_within(..HALF, HALF);
    }
    reply(out, 200, &format!("{n_copies} copies of {HALF} bytes\n"));
}
