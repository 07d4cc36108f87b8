//! Reads the words of a command line, and says what was meant by those it cannot read.
//! Does not guess on its own account: a verb of another tool is named, never run.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Error, Parser as _};

use super::Cli;

/// What other tools call our verbs.
const ELSEWHERE: [(&str, &[&str]); 9] = [
    ("new", &["init", "create", "generate"]),
    ("up", &["dev", "watch", "serve", "run", "start"]),
    ("validate", &["check", "lint"]),
    ("deploy", &["apply", "push", "publish", "update"]),
    ("ps", &["list", "ls", "apps", "status"]),
    ("show", &["describe", "inspect", "get", "info"]),
    ("logs", &["log", "tail"]),
    ("remove", &["rm", "delete", "del", "destroy", "undeploy", "uninstall"]),
    ("host", &["server", "daemon", "agent", "node"]),
];

/// The command line, or an error that clap can print and end with.
///
/// # Errors
///
/// Whatever clap refuses; a call for help is one of these.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, Box<Error>> {
    let words: Vec<OsString> = words.into_iter().collect();
    Cli::try_parse_from(&words).map_err(|error| Box::new(explain(error, &words)))
}

fn explain(mut error: Error, words: &[OsString]) -> Error {
    let mut command = Cli::command();
    command.build();
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
        && let Some(verb) = verb_for(word)
    {
        let about = command.find_subcommand(verb).and_then(clap::Command::get_about);
        let about = about.map(|about| format!(": {about}")).unwrap_or_default();
        let text = format!(
            "unrecognized subcommand '{word}'; what it does elsewhere is `steerage {verb}`{about}\n"
        );
        return Error::raw(ErrorKind::InvalidSubcommand, text).with_cmd(&command);
    }
    // Clap's own usage line names what came from the environment as if it had to be typed.
    if error.get(ContextKind::Usage).is_some() {
        let usage = verb_of(&command, words).render_usage();
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    }
    error
}

fn verb_for(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    ELSEWHERE.iter().find_map(|(verb, others)| others.contains(&&*word).then_some(*verb))
}

/// The verb that the words name, with the verbs below it.
fn verb_of(command: &clap::Command, words: &[OsString]) -> clap::Command {
    let mut verb = command;
    for word in words.iter().skip(1) {
        let Some(below) = verb.find_subcommand(word) else { break };
        verb = below;
    }
    verb.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &str) -> String {
        let words = line.split_whitespace().map(OsString::from);
        parse(words).unwrap_err().to_string()
    }

    #[test]
    fn verbs_of_other_tools_are_told_ours() {
        for (word, verb) in [("list", "ps"), ("ls", "ps"), ("rm", "remove"), ("LIST", "ps")] {
            let said = refusal(&format!("steerage {word}"));
            assert!(said.contains(&format!("`steerage {verb}`")), "{said}");
            assert!(!said.contains("validate"), "{said}");
        }
        // What is near to one of ours is told so by clap.
        assert!(refusal("steerage deplyo").contains("'deploy'"));
        let command = Cli::command();
        for (verb, others) in ELSEWHERE {
            assert!(command.find_subcommand(verb).is_some(), "{verb}");
            for other in others {
                assert!(command.find_subcommand(other).is_none(), "{other} is a verb of ours");
            }
        }
    }

    #[test]
    fn the_usage_names_what_must_be_typed() {
        let said = refusal("steerage logs --admin http://127.0.0.1:1");
        assert!(said.contains("Usage: steerage logs [OPTIONS] <APP>"), "{said}");
        let said = refusal("steerage cert issue --nonsense");
        assert!(said.contains("Usage: steerage cert issue "), "{said}");
    }
}
