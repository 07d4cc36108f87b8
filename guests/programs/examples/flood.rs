//! Sends a body that never ends, as fast as the host takes it.
//!
//! It stops only when the host says that nobody reads.

use guest_programs::Answer;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

guest_programs::serve!(flood);

fn flood(_request: IncomingRequest, out: ResponseOutparam) {
    let answer = Answer::start(out, 200, &[("content-type", "application/octet-stream")]);
    let chunk = [b'~'; 4096];
    while answer.send(&chunk) {}
}
