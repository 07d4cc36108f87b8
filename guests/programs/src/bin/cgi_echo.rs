//! The CGI counterpart of `echo`: environment as lines, an empty line, then standard input.
//!
//! In the query, `status=` sets the status, `exit=` the exit code after the answer; the path info
//! `/panic` panics before it and `/silent` prints nothing at all.

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
};

fn main() -> ExitCode {
    match env::var("PATH_INFO").as_deref() {
        Ok("/panic") => panic!("this guest traps on purpose"),
        Ok("/silent") => return ExitCode::SUCCESS,
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

fn query(name: &str) -> Option<String> {
    let query = env::var("QUERY_STRING").ok()?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}
