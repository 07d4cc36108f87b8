//! Never ends and never calls the host, so that only the host can stop it.
//!
//! `/after-head` sends the response's head and one chunk first.

use std::hint::black_box;

use guest_programs::{Answer, path};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

guest_programs::serve!(spin);

fn spin(request: IncomingRequest, out: ResponseOutparam) {
    let answer = (path(&request).ends_with("/after-head")).then(|| Answer::start(out, 200, &[]));
    if let Some(answer) = &answer {
        answer.send(b"started\n");
    }
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}
