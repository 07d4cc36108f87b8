//! Writes `?n=` lines to standard output and as many to standard error, each `?width=` bytes wide
//! at least.
//!
//! The lines carry their number, so that a test sees which were dropped.

use guest_programs::{number, reply};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

guest_programs::serve!(logger);

fn logger(request: IncomingRequest, out: ResponseOutparam) {
    let n_lines = number(&request, "n", 1);
    let width = usize::try_from(number(&request, "width", 0)).expect("a width");
    for line in 1..=n_lines {
        println!("{:.<width$}", format!("out {line} "));
        eprintln!("{:.<width$}", format!("err {line} "));
    }
    reply(out, 200, &format!("{n_lines} lines\n"));
}
