//! Takes memory until it is refused, and then aborts, as an allocation that fails does.
//!
//! Every page is written, so that the host really pays for it. Tables cannot be grown from Rust;
//! a module in WAT does that.

use std::{arch::wasm32, hint::black_box};

use wasip2::http::types::{IncomingRequest, ResponseOutparam};

guest_programs::serve!(hog);

const PAGES_A_STEP: usize = 16;

fn hog(_request: IncomingRequest, _out: ResponseOutparam) {
    loop {
        let mut pages = Vec::<u8>::new();
        // The allocator aborts the program when the host refuses to grow the memory.
        pages.resize(PAGES_A_STEP * 64 * 1024, 1);
        black_box(pages.as_mut_ptr());
        std::mem::forget(pages);
        black_box(wasm32::memory_size(0));
    }
}
