//! What a guest says of its own failure: the lines that it printed, and where it was.
//! Judges nothing.

use super::diagnosis::PRINTED;
use super::{AppPast, PastCall};
use crate::excerpt::excerpt;

/// Lines that are told of a call. Python ends a traceback with what was wrong, Rust says where and then what:
/// the last two lines have both.
const LINES: usize = 2;
/// Bytes of a line that are told.
const LONGEST: usize = 200;
/// Frames that are told.
const FRAMES: usize = 3;
/// How functions begin that are not an app's own but of the library of its language. A panic ends in these,
/// whatever is wrong.
const OF_LIBRARY: [&str; 8] =
    ["std::", "core::", "alloc::", "<std::", "<core::", "<alloc::", "__", "dlmalloc::"];
/// The same of functions without a path: an app's own may only begin like one.
const LIBRARY: [&str; 6] =
    ["abort", "exit", "_start", "rust_panic", "rust_begin_unwind", "panic_fmt"];

/// What the last of these calls printed that printed anything.
pub(super) fn by(past: &AppPast, these: &[&PastCall]) -> Option<String> {
    let of = |call: &PastCall| -> Vec<&str> {
        let all = || past.lines.iter().filter(move |line| line.call == call.id);
        let has_errors = all().any(|line| line.is_error);
        let told = all().filter(|line| line.is_error || !has_errors);
        let told = told.map(|line| line.text.trim()).filter(|text| is_telling(text));
        let mut last: Vec<&str> = told.rev().take(LINES).collect();
        last.reverse();
        last
    };
    let lines = these.iter().rev().map(|call| of(call)).find(|lines| !lines.is_empty())?;
    let lines: Vec<String> = lines.into_iter().map(|line| excerpt(LONGEST, line)).collect();
    Some(format!("{PRINTED}{}", lines.join(" / ")))
}

/// Whether a line is more than what each panic of a Rust guest ends with.
fn is_telling(text: &str) -> bool {
    !text.is_empty() && !text.starts_with("note: run with `RUST_BACKTRACE")
}

/// Where the guest was, its own functions first.
pub(super) fn frames(frames: &[String]) -> Option<String> {
    let is_own = |frame: &String| {
        let is_in_library = OF_LIBRARY.iter().any(|start| frame.starts_with(start));
        !is_in_library && !LIBRARY.contains(&frame.as_str())
    };
    let from_own = frames.iter().position(is_own).unwrap_or(0);
    let told: Vec<&str> = frames.iter().skip(from_own).take(FRAMES).map(String::as_str).collect();
    (!told.is_empty()).then(|| format!("the guest was in {}", told.join(", called by ")))
}
