//! Fails after work that depends on all that it is told: random numbers, clocks, the head and the body of its
//! request, and with `port=` and `other=` what `http://127.0.0.1:PORT/` answers. No two runs do alike.
//!
//! `how=` says in which way it fails: `panic`, `loop`, `nothing`, `status`, `hog` or, without failing, `ok`. With
//! `MENDED` in its environment it asks and waits in another order, as a mended component may.

use std::hint::black_box;

use guest_programs::{Answer, number, query};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingRequest, ResponseOutparam, Scheme,
};
use wasip2::io::poll::poll;
use wasip2::io::streams::StreamError;
use wasip2::random::{insecure, insecure_seed, random};

guest_programs::serve!(dice);

/// All that was told so far, as one number.
struct Mix(u64);

impl Mix {
    fn add(&mut self, told: u64) {
        self.0 = (self.0 ^ told).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    }

    fn bytes(&mut self, told: &[u8]) {
        told.iter().for_each(|byte| self.add(u64::from(*byte)));
    }
}

fn dice(request: IncomingRequest, out: ResponseOutparam) {
    let mut mix = Mix(random::get_random_u64());
    mix.bytes(&random::get_random_bytes(5));
    mix.add(insecure::get_insecure_random_u64());
    mix.add(insecure_seed::insecure_seed().0);
    for (name, value) in request.headers().entries() {
        mix.bytes(name.as_bytes());
        mix.bytes(&value);
    }
    mix.bytes(std::env::var("DICE").unwrap_or_default().as_bytes());
    let is_mended = std::env::var("MENDED").is_ok_and(|mended| mended == "yes");
    body(&mut mix, request.consume().expect("the first body"), is_mended);
    let mut ports = ["port", "other"].map(|name| number(&request, name, 0));
    if is_mended {
        ports.reverse();
    }
    for port in ports.into_iter().filter(|port| *port > 0) {
        ask(&mut mix, port, is_mended);
    }
    let now = wall_clock::now();
    mix.add(now.seconds ^ u64::from(now.nanoseconds));
    mix.add(monotonic_clock::now());
    let n_rounds = mix.0 % 20_000;
    for round in 0..n_rounds {
        mix.add(black_box(round));
    }
    match query(&request, "how").as_deref().unwrap_or_default() {
        "loop" => loop {
            mix.add(black_box(1));
        },
        "nothing" => drop(out),
        how @ ("status" | "ok") => {
            let answer = Answer::start(out, if how == "ok" { 200 } else { 503 }, &[]);
            answer.send(mix.0.to_string().as_bytes());
            answer.finish(None);
        }
        "hog" => {
            let mut held: Vec<Vec<u8>> = Vec::new();
            loop {
                held.push(black_box(vec![1; 1 << 20]));
            }
        }
        _ if mix.0.is_multiple_of(2) => even_side(mix.0),
        _ => odd_side(mix.0),
    }
}

/// Looks before it waits, and waits for a clock as well, as runtimes of async programs do.
fn body(mix: &mut Mix, body: IncomingBody, is_mended: bool) {
    let input = body.stream().expect("the first stream");
    loop {
        let timer = monotonic_clock::subscribe_duration(300_000_000_000);
        let there = input.subscribe();
        mix.add(u64::from(there.ready()));
        let both = if is_mended { [&there, &timer] } else { [&timer, &there] };
        for ready in poll(&both) {
            mix.add(u64::from(ready));
        }
        match input.read(1000) {
            Ok(piece) => {
                mix.add(piece.len() as u64);
                mix.bytes(&piece);
            }
            Err(StreamError::Closed) => return,
            Err(StreamError::LastOperationFailed(_)) => return mix.add(7),
        }
    }
}

fn ask(mix: &mut Mix, port: u64, is_mended: bool) {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(&format!("127.0.0.1:{port}"))).expect("an authority");
    let sent = request.body().expect("the first body");
    let Ok(future) = outgoing_handler::handle(request, None) else { return mix.add(1) };
    OutgoingBody::finish(sent, None).expect("a body");
    let response = loop {
        match future.get() {
            Some(response) => break response.expect("it is taken once"),
            None => {
                mix.add(2);
                future.subscribe().block();
            }
        }
    };
    let Ok(response) = response else { return mix.add(3) };
    mix.add(u64::from(response.status()));
    for (name, value) in response.headers().entries() {
        println!("{port}: {name}: {}", String::from_utf8_lossy(&value));
        mix.bytes(name.as_bytes());
        mix.bytes(&value);
    }
    body(mix, response.consume().expect("the first body"), is_mended);
}

#[inline(never)]
fn even_side(number: u64) {
    panic!("{} is even", black_box(number));
}

#[inline(never)]
fn odd_side(number: u64) {
    panic!("{} is odd", black_box(number));
}
