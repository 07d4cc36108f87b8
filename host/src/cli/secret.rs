//! `steerage secret`: the secrets of apps, set and deleted from outside, and the key that a host seals them with.
//! Takes no value from the command line, which others see and shells remember, and shows none.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};

use anyhow::Context as _;
use steerage_core::manifest::LARGEST_SECRET;

use super::args::{Secret, SecretDelete, SecretList, SecretSet, SecretVerb};
use super::ending::Misused;
use super::screen::Screen;
use super::table::Table;
use super::{human, remote};
use crate::seal;

/// What one end of line takes at most.
const END_OF_LINE: usize = 2;

/// Runs the verb.
pub(super) async fn run(args: &Secret) -> anyhow::Result<()> {
    match &args.verb {
        SecretVerb::Set(args) => set(args).await,
        SecretVerb::List(args) => list(args).await,
        SecretVerb::Delete(args) => delete(args).await,
        SecretVerb::Key => {
            let key = seal::new_key().context("cannot make a key")?;
            let print = super::args::Print { output: super::args::Format::Table, quiet: false };
            Screen::new(print).say(key.trim_end())
        }
    }
}

async fn set(args: &SecretSet) -> anyhow::Result<()> {
    let (screen, of) = (Screen::new(args.of.print), &args.of);
    let client = remote::connect(&of.remote)?;
    let value = match &args.from_file {
        Some(path) => {
            let shown = path.display();
            let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
            read(file).with_context(|| format!("cannot read {shown}"))?
        }
        None => from_stdin(&of.name)?,
    };
    let done = client.set_secret(&of.app, &of.name, value).await;
    let done = done.with_context(|| format!("cannot set secret {} of {}", of.name, of.app))?;
    if screen.is_json() {
        return screen.json(&done);
    }
    let what = match done.used {
        true => "new calls get it",
        false => "no deployment that is served uses it yet",
    };
    screen.say(&format!(
        "secret {} of {} is set, version {}: {what}",
        done.name, of.app, done.version
    ))
}

/// What is typed where nobody sees it, or piped in.
fn from_stdin(name: &str) -> anyhow::Result<Vec<u8>> {
    if io::stdin().is_terminal() {
        let term = console::Term::stderr();
        term.write_str(&format!("{name}: ")).context("cannot ask for the value")?;
        return Ok(term.read_secure_line().context("cannot read the value")?.into_bytes());
    }
    let mut value = read(io::stdin().lock()).context("cannot read the value from stdin")?;
    // `echo` writes one that nobody means.
    if value.pop_if(|last| *last == b'\n').is_some() {
        value.pop_if(|last| *last == b'\r');
    }
    if value.is_empty() {
        let text = "stdin holds no value: pipe it in, or say --from-file FILE";
        return Err(Misused(text.to_owned()).into());
    }
    Ok(value)
}

/// All of it, or a byte more than any secret has.
fn read(from: impl Read) -> io::Result<Vec<u8>> {
    let most = LARGEST_SECRET + END_OF_LINE + 1;
    let mut value = Vec::new();
    from.take(u64::try_from(most).unwrap_or(u64::MAX)).read_to_end(&mut value)?;
    Ok(value)
}

async fn list(args: &SecretList) -> anyhow::Result<()> {
    let (screen, client) = (Screen::new(args.print), remote::connect(&args.remote)?);
    let secrets = client.secrets(&args.app).await;
    let secrets = secrets.with_context(|| format!("cannot list the secrets of {}", args.app))?;
    if screen.is_json() {
        return screen.json(&secrets);
    }
    let mut table = Table::new(&["NAME", "VERSION", "SET", "USED", "KEY"]);
    for secret in &secrets.secrets {
        let set = secret.set_at.map_or_else(|| "not set".to_owned(), human::clock);
        let version = secret.version.map_or_else(|| "-".to_owned(), |it| it.to_string());
        let key = match (&secret.key, secret.opens) {
            (Some(key), Some(false)) => format!("{key} (not this host's)"),
            (Some(key), _) => key.clone(),
            (None, _) => "-".to_owned(),
        };
        let used = if secret.used { "yes" } else { "no" };
        table.row([secret.name.clone(), version, set, used.to_owned(), key]);
    }
    screen.say(&table.render())
}

async fn delete(args: &SecretDelete) -> anyhow::Result<()> {
    let (screen, of) = (Screen::new(args.of.print), &args.of);
    let client = remote::connect(&of.remote)?;
    let done = client.delete_secret(&of.app, &of.name).await;
    done.with_context(|| format!("cannot delete secret {} of {}", of.name, of.app))?;
    if screen.is_json() {
        return screen.json(&serde_json::json!({ "deleted": of.name }));
    }
    screen.hint("it is not there any more")
}
