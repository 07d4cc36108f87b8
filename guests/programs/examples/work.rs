//! Computes, and always the same for the same `?n=`: the measure for fuel and for fair shares.
//!
//! It does not allocate in its loop and calls the host only to answer.

use guest_programs::{number, reply};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

guest_programs::serve!(work);

fn work(request: IncomingRequest, out: ResponseOutparam) {
    let n_rounds = number(&request, "n", 1000);
    // A generator whose every step needs the one before, so that no compiler can skip any.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..n_rounds {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    reply(out, 200, &format!("{n_rounds} rounds: {state:016x}\n"));
}
