//! Traps three functions deep, under names a test can look for in the backtrace.
//!
//! `/after-head` starts the response first; `/unreachable` traps without a panic message.

use std::hint::black_box;

use guest_programs::{Answer, path};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

guest_programs::serve!(trap);

fn trap(request: IncomingRequest, out: ResponseOutparam) {
    let path = path(&request);
    let answer = path.ends_with("/after-head").then(|| Answer::start(out, 200, &[]));
    if let Some(answer) = &answer {
        answer.send(b"started\n");
    }
    outer_function(path.ends_with("/unreachable"));
    black_box(());
}

#[inline(never)]
fn outer_function(silent: bool) {
    middle_function(black_box(silent));
    black_box(());
}

#[inline(never)]
fn middle_function(silent: bool) {
    innermost_function(black_box(silent));
    black_box(());
}

#[inline(never)]
fn innermost_function(silent: bool) {
    if black_box(silent) {
        std::arch::wasm32::unreachable();
    }
    panic!("this guest traps on purpose");
}
