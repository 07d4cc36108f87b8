//! Waits, as a service does that asks another: asleep in the host, not busy.
//!
//! `?ms=` is how long before the answer. `/drip?n=&ms=` answers at once and sends `n` chunks, one
//! every `ms`.

use guest_programs::{Answer, number, path, reply};
use wasip2::{
    clocks::monotonic_clock,
    http::types::{IncomingRequest, ResponseOutparam},
};

guest_programs::serve!(slow);

fn slow(request: IncomingRequest, out: ResponseOutparam) {
    let ms = number(&request, "ms", 100);
    if path(&request).ends_with("/drip") {
        drip(out, number(&request, "n", 10), ms);
    } else {
        sleep(ms);
        reply(out, 200, &format!("waited {ms} ms\n"));
    }
}

fn drip(out: ResponseOutparam, n_chunks: u64, ms: u64) {
    let answer = Answer::start(out, 200, &[("content-type", "text/plain")]);
    for chunk in 1..=n_chunks {
        sleep(ms);
        if !answer.send(format!("chunk {chunk}\n").as_bytes()) {
            return;
        }
    }
    answer.finish(None);
}

fn sleep(ms: u64) {
    monotonic_clock::subscribe_duration(ms.saturating_mul(1_000_000)).block();
}
