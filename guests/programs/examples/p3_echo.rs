//! `echo` as a `wasi:http` 0.3 service: the head in the headers of the answer, the body streamed
//! back with its trailers.
//!
//! `/spin` and `/trap` misbehave as their namesakes do, before the answer, and `/dice` panics after work that no two
//! runs do alike. In the query, `status=` sets
//! the status and `length=` a `Content-Length`, whether or not it is true.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::hint::black_box;
use std::time::{Instant, UNIX_EPOCH};

use wasip3::{
    http::types::{ErrorCode, Request, Response},
    http_compat::{http_from_wasi_request, http_into_wasi_response},
};

struct Echo;

impl wasip3::exports::http::handler::Guest for Echo {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let request = http_from_wasi_request(request)?;
        match request.uri().path() {
            path if path.ends_with("/spin") => spin(),
            path if path.ends_with("/dice") => dice(&request),
            path if path.ends_with("/trap") => panic!("this guest traps on purpose"),
            _ => {}
        }
        let query = request.uri().query().unwrap_or_default().to_owned();
        let said = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        let mut response = http::Response::builder();
        if let Some(status) = said("status") {
            response = response.status(&*status);
        }
        if let Some(length) = said("length") {
            response = response.header("content-length", length);
        }
        let response = response
            .header("x-steerage-refused", "host_full")
            .header("content-type", "application/octet-stream")
            .header("x-echo-method", request.method().as_str())
            .header("x-echo-uri", request.uri().to_string())
            .body(request.into_body())
            .expect("a valid head");
        http_into_wasi_response(response)
    }
}

/// Panics after work that depends on clocks, random numbers and the head.
fn dice<B>(request: &http::Request<B>) -> ! {
    let mut seed = RandomState::new().build_hasher();
    seed.write_u128(UNIX_EPOCH.elapsed().expect("a clock").as_nanos());
    let began_at = Instant::now();
    for (name, value) in request.headers() {
        seed.write(name.as_str().as_bytes());
        seed.write(value.as_bytes());
    }
    seed.write_u128(began_at.elapsed().as_nanos());
    let n_rounds = seed.finish() % 50_000;
    let sum = (0..n_rounds).fold(0_u64, |sum, round| black_box(sum.rotate_left(3) ^ round));
    panic!("{sum} after {n_rounds} rounds");
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

wasip3::http::service::export!(Echo);
