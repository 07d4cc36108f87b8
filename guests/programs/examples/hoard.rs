//! Takes resources of the host until it is refused: each set of headers is memory that the guest's
//! own limit does not count.
//!
//! `?n=` holds that many and answers.

use guest_programs::{number, reply};
use wasip2::http::types::{Fields, IncomingRequest, ResponseOutparam};

guest_programs::serve!(hoard);

fn hoard(request: IncomingRequest, out: ResponseOutparam) {
    let most = number(&request, "n", u64::MAX);
    let mut held = Vec::new();
    while (held.len() as u64) < most {
        let fields = Fields::new();
        fields.append("held", &[b'x'; 256]).expect("a valid header");
        held.push(fields);
    }
    reply(out, 200, &format!("{} held\n", held.len()));
}
