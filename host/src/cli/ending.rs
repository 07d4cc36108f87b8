//! How a verb that failed ends: what is printed, and which exit code says it to programs.
//! The codes are part of the command line's contract; `args` documents them in the help.

use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use super::screen::warn;
use crate::client;
use crate::manifest::Mistakes;

/// The exit codes of failures. Clap itself ends with 2 for a command line it cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Failed = 1,
    Usage = 2,
    Unreachable = 3,
    Refused = 4,
}

/// Marks a failure that is the user's to mend in what they sent: exit code 4.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// A manifest that cannot be used: exit code 4. Shows every mistake, each with its place.
#[derive(Debug, thiserror::Error)]
#[error("the manifest has mistakes:\n{}", .mistakes.display(.file))]
pub struct BadManifest {
    /// The file, as the user named it.
    pub file: String,
    /// What is wrong in it.
    pub mistakes: Mistakes,
}

/// Marks a command line that parses but makes no sense: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misused(pub String);

/// Prints the error with all its causes and chooses the exit code.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    if reader_is_gone(error) {
        return ExitCode::SUCCESS;
    }
    warn(&render(error));
    ExitCode::from(code(error) as u8)
}

/// `steerage logs app | head` ends when `head` does; that is not a failure.
fn reader_is_gone(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

pub(super) fn render(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}");
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Some libraries repeat their cause in their own message.
        if said.contains(&cause) {
            continue;
        }
        let indented = cause.replace('\n', "\n    ");
        write!(text, "\n  because: {indented}").ok();
        said = cause;
    }
    if let Some(advice) = advice(error) {
        write!(text, "\n  next: {advice}").ok();
    }
    text
}

fn code(error: &anyhow::Error) -> Code {
    for cause in error.chain() {
        if cause.is::<Refused>() || cause.is::<BadManifest>() {
            return Code::Refused;
        }
        if cause.is::<Misused>() {
            return Code::Usage;
        }
        if let Some(error) = cause.downcast_ref::<client::Error>() {
            return client_code(error);
        }
    }
    Code::Failed
}

fn client_code(error: &client::Error) -> Code {
    match error {
        client::Error::Unreachable { .. } => Code::Unreachable,
        client::Error::Refused(problem) if problem.status < 500 => Code::Refused,
        _ => Code::Failed,
    }
}

/// What to do next, where the message itself does not say.
fn advice(error: &anyhow::Error) -> Option<&'static str> {
    match code(error) {
        Code::Unreachable => {
            Some("start a host with `steerage host`, or name another with --admin URL")
        }
        _ => None,
    }
}
