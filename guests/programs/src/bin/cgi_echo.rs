//! The CGI counterpart of `echo`: environment as lines, an empty line, then standard input.
//!
//! In the query, `status=` sets the status, `exit=` the exit code after the answer; the path info
//! `/panic` panics before it, `/dice` after work that no two runs do alike, and `/silent` prints nothing at all.

use std::{
    env,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    hint::black_box,
    io::{self, Write as _},
    process::ExitCode,
    time::{Instant, UNIX_EPOCH},
};

fn main() -> ExitCode {
    match env::var("PATH_INFO").as_deref() {
        Ok("/panic") => panic!("this guest traps on purpose"),
        Ok("/silent") => return ExitCode::SUCCESS,
        Ok("/dice") => dice(),
        _ => {}
    }
    let mut out = io::stdout().lock();
    if let Some(status) = query("status") {
        writeln!(out, "Status: {status}").expect("standard output");
    }
    writeln!(out, "Content-Type: text/plain; charset=utf-8\n").expect("standard output");
    let mut variables: Vec<_> = env::vars().collect();
    variables.sort();
    for (name, value) in variables {
        writeln!(out, "{name}={value}").expect("standard output");
    }
    writeln!(out).expect("standard output");
    io::copy(&mut io::stdin().lock(), &mut out).expect("standard input");
    out.flush().expect("standard output");
    ExitCode::from(query("exit").and_then(|code| code.parse().ok()).unwrap_or(0))
}

/// Panics after work that depends on clocks, random numbers and standard input.
fn dice() {
    let mut seed = RandomState::new().build_hasher();
    seed.write_u128(UNIX_EPOCH.elapsed().expect("a clock").as_nanos());
    io::copy(&mut io::stdin().lock(), &mut io::sink()).expect("standard input");
    let began_at = Instant::now();
    seed.write_u128(began_at.elapsed().as_nanos());
    let n_rounds = seed.finish() % 50_000;
    let sum = (0..n_rounds).fold(0_u64, |sum, round| black_box(sum.rotate_left(3) ^ round));
    panic!("{sum} after {n_rounds} rounds");
}

fn query(name: &str) -> Option<String> {
    let query = env::var("QUERY_STRING").ok()?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}
