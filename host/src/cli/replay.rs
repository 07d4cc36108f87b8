//! `steerage replay`: a call that failed, run again on this machine with all that its guest was told.
//! Fetches what that takes and shows what came of it; `crate::replay` runs it.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use steerage_core::capsule::{Difference, Ending};
use steerage_core::id::{CallIdPrefix, Digest};

use super::app::App;
use super::args::Replay;
use super::ending::IsOtherwise;
use super::host::this_program;
use super::screen::Screen;
use super::table::Table;
use super::visible::visible;
use super::{human, remote, sources};
use crate::api::wire::Sources;
use crate::capsule::{Capsule, CapsuleEnding};
use crate::client::Client;
use crate::replay::{self, Replayed, Settings};

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct ReplayReport<'t> {
    call: &'t str,
    exact: bool,
    differs: Vec<&'static str>,
    /// Values in the capsule that were replaced.
    redacted: usize,
    unknown_env: &'t [String],
    other_component: bool,
    then: &'t CapsuleEnding,
    now: &'t CapsuleEnding,
    message: &'t str,
    printed: &'t [String],
}

/// Runs the verb.
pub(super) async fn run(args: &Replay) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let folder = tempfile::tempdir().context("cannot make a folder for compiled code")?;
    let client = remote::connect(&args.remote)?;
    let bytes = match (&args.capsule, args.id) {
        (Some(path), _) => {
            fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?
        }
        (None, Some(id)) => fetch(screen, &client, id, args.of.host.as_deref()).await?,
        (None, None) => bail!("say which call, or which file has its capsule"),
    };
    if let Some(path) = &args.save {
        save(path, &bytes).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    let capsule = Capsule::open(&bytes)?;
    let component = component(args, &client, &capsule).await?;
    let is_other = digest(&component).to_string() != capsule.component;
    // What a developer builds meanwhile is not what runs.
    let wasm = folder.path().join("component.wasm");
    fs::write(&wasm, component).context("cannot write the component")?;
    let env = match &args.file {
        Some(file) => App::read(file)?.env(),
        None => BTreeMap::new(),
    };
    let settings = Settings { program: this_program()?, folder: folder.path().join("code"), env };
    let replayed = replay::replay(&capsule, &wasm, &settings).await;
    let replayed = replayed.with_context(|| format!("cannot replay the call {}", capsule.call))?;
    show(screen, &capsule, &replayed, is_other)
}

/// Writes the capsule for nobody else to read: what a client sent is in it.
fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // A file that was there keeps its mode otherwise. A device, as /dev/stdout, is not ours to close to others.
    if file.metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    file.write_all(bytes)
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// The capsule of the one call whose id begins so.
async fn fetch(
    screen: Screen,
    client: &Client,
    id: CallIdPrefix,
    host: Option<&str>,
) -> anyhow::Result<Vec<u8>> {
    let found = client.capsules(id, host).await;
    let found = found.with_context(|| format!("cannot fetch the capsule of the call {id}"))?;
    sources::tell(screen, found.sources.as_ref());
    match &*found.capsules {
        [] => bail!(none_kept(id, found.sources.as_ref())),
        [capsule] => Ok(serde_json::to_vec(capsule)?),
        several => {
            bail!("{} calls that begin with {id} left a capsule: say more of it", several.len())
        }
    }
}

/// What is known where no host has told of a capsule: a host that did not answer may keep one.
fn none_kept(id: CallIdPrefix, sources: Option<&Sources>) -> String {
    let what_is_known = if sources.is_some_and(|sources| !sources.unanswered.is_empty()) {
        format!("of the hosts that answered, none keeps a capsule of a call {id}")
    } else {
        format!("no capsule of a call {id} is kept: none was left, or it gave way to a newer one")
    };
    format!(
        "{what_is_known}; apps say failures = true in [capture] of their manifest to have failing calls \
         leave one; `steerage call {id}` says what became of it"
    )
}

/// The component that is to be run.
async fn component(args: &Replay, client: &Client, capsule: &Capsule) -> anyhow::Result<Vec<u8>> {
    if let Some(path) = &args.component {
        return fs::read(path).with_context(|| format!("cannot read `{}`", path.display()));
    }
    let bytes = client.component(&capsule.component).await.with_context(|| {
        format!(
            "cannot fetch the component {} that served the call: give its file with --component",
            capsule.component
        )
    })?;
    let found = digest(&bytes).to_string();
    if found != capsule.component {
        bail!("the host gave the component {found} where {} was asked for", capsule.component);
    }
    Ok(bytes.to_vec())
}

fn show(
    screen: Screen,
    capsule: &Capsule,
    replayed: &Replayed,
    is_other: bool,
) -> anyhow::Result<()> {
    let differs = Ending::from(&capsule.ending).differences(&Ending::from(&replayed.ending));
    if screen.is_json() {
        screen.json(&ReplayReport {
            call: &capsule.call,
            exact: differs.is_empty(),
            differs: differs.iter().map(|what| what.code()).collect(),
            redacted: capsule.redacted,
            unknown_env: &replayed.unknown_env,
            other_component: is_other,
            then: &capsule.ending,
            now: &replayed.ending,
            message: &replayed.message,
            printed: &replayed.printed,
        })?;
    } else {
        screen.say(&text(capsule, replayed, &differs))?;
    }
    if differs.is_empty() { Ok(()) } else { Err(IsOtherwise.into()) }
}

fn text(capsule: &Capsule, replayed: &Replayed, differs: &[Difference]) -> String {
    let (then, now) = (&capsule.ending, &replayed.ending);
    let mut table = Table::new(&["", "THEN", "NOW"]);
    let mut row = |name: &str, of: &dyn Fn(&CapsuleEnding) -> String| {
        table.row([name.to_owned(), of(then), of(now)]);
    };
    row("cause", &|ending| ending.cause.clone());
    if then.status != 0 || now.status != 0 {
        row("status", &|ending| ending.status.to_string());
    }
    // The innermost frame alone says little, as it is the same function for all panics of a language.
    let number = Ending::from(then).first_other_frame(&now.into()).unwrap_or(0);
    let name = if number == 0 { "frame".to_owned() } else { format!("frame {}", number + 1) };
    row(&name, &|ending| {
        let frame = ending.frames.get(number);
        frame.map_or_else(|| "-".to_owned(), |frame| visible(frame).into_owned())
    });
    row("fuel", &|ending| ending.fuel.to_string());
    let mut lines = vec![table.render()];
    if differs.is_empty() {
        lines.push("exact: equal cause, equal frames, equal fuel".to_owned());
    } else {
        let differs: Vec<_> = differs.iter().map(|what| what.code()).collect();
        lines.push(format!("not exact: {} differs", differs.join(", ")));
    }
    if capsule.redacted > 0 {
        let values = human::many(capsule.redacted, "value");
        lines.push(format!("{values} in the capsule stand in the place of secrets"));
    }
    if !replayed.unknown_env.is_empty() {
        lines.push(format!(
            "the value of {} is not known: give the app's manifest with --file",
            replayed.unknown_env.join(", ")
        ));
    }
    lines.extend(replayed.printed.iter().map(|line| format!("printed: {}", visible(line))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::wire::Unanswered;

    #[test]
    fn a_host_that_did_not_answer_may_keep_a_capsule() {
        let gone = Unanswered { host: "h2".to_owned(), why: "it does not answer".to_owned() };
        let of = |unanswered| Sources { hosts: vec!["h1".to_owned()], unanswered };
        let id = "3f9a20c1".parse().unwrap();
        let said = none_kept(id, Some(&of(vec![gone])));
        assert!(said.starts_with("of the hosts that answered, none keeps"), "{said}");
        for sources in [None, Some(of(Vec::new()))] {
            let said = none_kept(id, sources.as_ref());
            assert!(said.starts_with("no capsule of a call 3f9a20c1 is kept: none"), "{said}");
        }
    }
}
