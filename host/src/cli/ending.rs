//! How a verb that failed ends: what is printed, and which exit code says it to programs.
//! The codes are part of the command line's contract; `args` documents them in the help.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use serde_json::json;

use super::screen::{self, warn, warn_json};
use crate::client::ClientError;
use crate::config::Wrong;
use crate::manifest::Mistakes;

/// The exit codes of failures. Clap itself ends with 2 for a command line it cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Failed = 1,
    Usage = 2,
    Unreachable = 3,
    Refused = 4,
    NoPlan = 255,
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

/// Settings of a host that cannot be used: exit code 4. Shows every mistake, each with its place.
#[derive(Debug, thiserror::Error)]
#[error("the settings have mistakes:\n{0}")]
pub struct BadConfig(pub Wrong);

/// Marks a command line that parses but makes no sense: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misused(pub String);

/// Marks whatever kept `steerage plan` from a plan: exit code 255, since 1 says that there is one
/// with changes in it.
#[derive(Debug, thiserror::Error)]
#[error("no plan can be made")]
pub struct NoPlan;

/// Marks a plan that was shown and would change something: exit code 1, and nothing more to say.
#[derive(Debug, thiserror::Error)]
#[error("the plan would change something")]
pub struct WouldChange;

/// Marks something that is wrong and was shown: exit code 1, and nothing more to say.
#[derive(Debug, thiserror::Error)]
#[error("something is wrong")]
pub struct IsWrong;

/// Marks a replay that was shown and is not exact: exit code 1, and nothing more to say.
#[derive(Debug, thiserror::Error)]
#[error("the replay is not exact")]
pub struct IsOtherwise;

/// Prints the error with all its causes and chooses the exit code.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    if error.is::<WouldChange>() || error.is::<IsWrong>() || error.is::<IsOtherwise>() {
        return ExitCode::from(1);
    }
    if reader_is_gone(error) {
        return ExitCode::SUCCESS;
    }
    let code = code(error);
    if screen::is_json() {
        // One line, so that a program which reads lines has it whole.
        warn_json(&problem(error, code));
    } else {
        warn(&render(error));
    }
    ExitCode::from(code as u8)
}

/// Prints why a command line cannot be read, or the help that it asked for, and chooses the exit code.
#[must_use]
pub fn misread(error: &clap::Error, words: impl Iterator<Item = OsString>) -> ExitCode {
    if error.use_stderr() && asks_for_json(words) {
        let text = error.render().to_string();
        warn_json(&problem_of(Code::Usage, text.strip_prefix("error: ").unwrap_or(&text)));
    } else {
        // Clap knows where what belongs. Nobody is left to be told that it cannot be printed.
        error.print().ok();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Code::Usage as u8))
}

/// Whether these words ask for JSON, as far as that can be seen of words that make no sense.
fn asks_for_json(words: impl Iterator<Item = OsString>) -> bool {
    let mut before = OsString::new();
    for word in words {
        let is_value = before == "-o" || before == "--output";
        if (is_value && word == "json")
            || ["-ojson", "-o=json", "--output=json"].iter().any(|whole| word == *whole)
        {
            return true;
        }
        before = word;
    }
    false
}

/// The failure as a problem document (RFC 9457): the host's own where the host refused.
fn problem(error: &anyhow::Error, code: Code) -> serde_json::Value {
    let refused = error.chain().find_map(|cause| match cause.downcast_ref() {
        Some(ClientError::Refused(problem)) => serde_json::to_value(problem).ok(),
        _ => None,
    });
    refused.unwrap_or_else(|| {
        let text = render(error);
        problem_of(code, text.strip_prefix("error: ").unwrap_or(&text))
    })
}

fn problem_of(code: Code, detail: &str) -> serde_json::Value {
    let (cause, title) = match code {
        Code::Failed => ("failed", "The command failed"),
        Code::Usage => ("usage", "The command line makes no sense"),
        Code::Unreachable => ("unreachable", "The host could not be reached"),
        Code::Refused => ("refused", "What was sent is not acceptable as it is"),
        Code::NoPlan => ("no_plan", "No plan can be made"),
    };
    let kind = format!("urn:steerage:cause:{cause}");
    json!({ "type": kind, "title": title, "detail": detail.trim_end(), "cause": cause })
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
    for cause in causes(error) {
        // Some libraries repeat their cause in their own message.
        if said.contains(&cause) {
            continue;
        }
        let indented = cause.replace('\n', "\n    ");
        write!(text, "\n  because: {indented}").ok();
        said = cause;
    }
    text
}

/// What lies below the error itself. Of what a network library says only the last word counts:
/// the layers above it name themselves and nothing else.
fn causes(error: &anyhow::Error) -> Vec<String> {
    let mut causes = Vec::new();
    for cause in error.chain().skip(1) {
        causes.push(cause.to_string());
        if let Some(ClientError::Unreachable { .. }) = cause.downcast_ref() {
            causes.push(error.root_cause().to_string());
            break;
        }
    }
    causes
}

fn code(error: &anyhow::Error) -> Code {
    // It is a context around its cause, which only the error as a whole knows.
    if error.is::<NoPlan>() {
        return Code::NoPlan;
    }
    for cause in error.chain() {
        if cause.is::<Refused>() || cause.is::<BadManifest>() || cause.is::<BadConfig>() {
            return Code::Refused;
        }
        if cause.is::<Misused>() {
            return Code::Usage;
        }
        if let Some(error) = cause.downcast_ref::<ClientError>() {
            return client_code(error);
        }
    }
    Code::Failed
}

fn client_code(error: &ClientError) -> Code {
    match error {
        ClientError::Unreachable { .. } | ClientError::NotAdmin { .. } => Code::Unreachable,
        ClientError::Refused(problem) if problem.status < 500 => Code::Refused,
        ClientError::BadUrl { .. } | ClientError::BadToken => Code::Usage,
        ClientError::Refused(_)
        | ClientError::File { .. }
        | ClientError::Write { .. }
        | ClientError::Broken { .. } => Code::Failed,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use expect_test::expect;

    use super::*;
    use crate::api::wire::Problem;

    fn problem(status: u16) -> ClientError {
        ClientError::Refused(Box::new(Problem {
            kind: "urn:steerage:cause:route_conflict".to_owned(),
            title: "Conflict".to_owned(),
            status,
            detail: "route /hello is owned by app greet".to_owned(),
            cause: "route_conflict".to_owned(),
            mistakes: Vec::new(),
            owner: None,
            route: None,
        }))
    }

    fn failed(error: impl std::error::Error + Send + Sync + 'static) -> anyhow::Error {
        Err::<(), _>(error).context("cannot deploy hello to http://127.0.0.1:8081").unwrap_err()
    }

    #[test]
    fn a_program_can_tell_whose_turn_it_is() {
        let url = "http://127.0.0.1:8081".to_owned();
        let unreachable = ClientError::Unreachable { url: url.clone(), source: "gone".into() };
        assert_eq!(code(&failed(unreachable)), Code::Unreachable);
        assert_eq!(code(&failed(problem(409))), Code::Refused);
        assert_eq!(code(&failed(problem(503))), Code::Failed);
        assert_eq!(code(&failed(ClientError::BadUrl { url })), Code::Usage);
        assert_eq!(code(&failed(Refused(String::new()))), Code::Refused);
        assert_eq!(code(&failed(io::Error::other("disk"))), Code::Failed);
        assert_eq!(code(&failed(Refused(String::new())).context(NoPlan)), Code::NoPlan);
    }

    #[test]
    fn causes_stand_below_what_they_caused() {
        expect![[r#"
            error: cannot deploy hello to http://127.0.0.1:8081
              because: route /hello is owned by app greet"#]]
        .assert_eq(&render(&failed(problem(409))));
        let refused = io::Error::other(io::Error::other("connection refused"));
        let url = "http://127.0.0.1:8081".to_owned();
        let unreachable = ClientError::Unreachable { url, source: Box::new(refused) };
        expect![[r#"
            error: cannot deploy hello to http://127.0.0.1:8081
              because: is a host running at http://127.0.0.1:8081? start one with `steerage host`
              because: connection refused"#]]
        .assert_eq(&render(&failed(unreachable)));
    }
}
