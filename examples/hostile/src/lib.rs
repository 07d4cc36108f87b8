//! Everything a tenant should not do to a host, one path each.
//!
//! It harms nobody: that is what it shows.

use std::{hint::black_box, io::Write as _};

use steerage_sdk::{Body, Error, Response, Result, Uri, handler};

#[handler]
fn serve(uri: Uri) -> Result {
    match uri.path() {
        "/hostile/loop" => spin(),
        "/hostile/memory" => hoard(),
        "/hostile/recursion" => Ok(Response::new(format!("{}\n", recurse(0)).into())),
        "/hostile/panic" => panic!("this app panics on purpose"),
        "/hostile/late-loop" => Ok(Response::new(Body::stream(|sink| {
            sink.write_all(b"so far so good\n")?;
            sink.flush()?;
            spin()
        }))),
        "/hostile/flood" => Ok(Response::new(Body::stream(|sink| {
            loop {
                sink.write_all(&[b'~'; 4096])?;
            }
        }))),
        "/hostile" => {
            Ok(Response::new("loop, late-loop, memory, recursion, panic, flood\n".into()))
        }
        path => Err(Error::not_found(format!("{path} is not how this app misbehaves\n"))),
    }
}

/// Never ends and never calls the host.
fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Takes memory until there is none.
fn hoard() -> Result {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Runs out of stack.
#[expect(unconditional_recursion, reason = "that is what this path is for")]
fn recurse(depth: u64) -> u64 {
    black_box(recurse(black_box(depth + 1))) + 1
}
