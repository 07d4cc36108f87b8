//! `steerage backup` and `steerage restore`: all that a host keeps, in one file, and a data folder made
//! of it.
//! Only fetches and arranges: what a backup is, and whether it is whole, `crate::backup` knows.

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use super::args::{Backup, Restore};
use super::ending::Refused;
use super::screen::{Screen, Tone};
use super::{human, remote};
use crate::backup::{self, AHEAD, BackupError, BackupManifest};
use crate::serve;

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Told<'t> {
    file: String,
    bytes: u64,
    #[serde(flatten)]
    manifest: &'t BackupManifest,
}

/// Takes a backup of a host that runs.
pub(super) async fn backup(args: &Backup) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let file = &args.file;
    let shown = file.display();
    if file.exists() {
        return Err(
            Refused(format!("{shown} is there already: say another name, or remove it")).into()
        );
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Nobody takes for a backup what is not whole, or reads the secrets in it; made so by `tempfile`.
    let part = tempfile::Builder::new().prefix(".backup-").tempfile_in(folder);
    let mut part = part.with_context(|| format!("cannot write into {}", folder.display()))?;
    let client = remote::connect(&args.remote)?;
    let bar = screen.bar("fetching", 0);
    let path = part.path().to_owned();
    let fetched = client.backup(&mut part, &path, |n_bytes, total| {
        bar.set_length(total);
        bar.set_position(n_bytes);
    });
    let bytes = fetched.await.with_context(|| format!("cannot back up {}", client.url()))?;
    bar.finish_and_clear();
    part.as_file().sync_all().with_context(|| format!("cannot write {shown}"))?;
    let manifest =
        backup::check(&path).context("what came is no backup to rely on: take it again")?;
    part.persist_noclobber(file).with_context(|| format!("cannot write {shown}"))?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("cannot write into {}", folder.display()))?;
    if screen.is_json() {
        screen.json(&Told { file: shown.to_string(), bytes, manifest: &manifest })?;
    } else {
        let name = screen.paint(Tone::Strong, &shown.to_string());
        screen.say(&format!("{name} holds {}, {}", contents(&manifest), human::bytes(bytes)))?;
        screen.hint("keep it as private as the host: [env] is in it in plain text")?;
        screen.hint(&format!("`steerage restore {shown} --data DIR` makes a data folder of it"))?;
    }
    tell_left_out(screen, &manifest);
    match manifest.left_out.len() {
        0 => Ok(()),
        // What there is stays, and whoever has it taken at night must hear that it is not all.
        n_missing => anyhow::bail!(
            "{shown} lacks {} that the host cannot read: deploy those apps again, then take another",
            human::many(n_missing, "part")
        ),
    }
}

/// Makes a data folder of a backup.
pub(super) fn restore(args: &Restore) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    serve::keep_private();
    let (file, data) = (args.file.display(), args.data.display());
    let bytes = args.file.metadata().map_or(0, |file| file.len());
    let bar = screen.bar("restoring", bytes);
    let restored = backup::restore(&args.file, &args.data, |n_bytes| bar.set_position(n_bytes));
    let manifest = restored.map_err(|error| match error {
        BackupError::NotEmpty { .. }
        | BackupError::NotBackup { .. }
        | BackupError::Newer { .. } => Refused(error.to_string()).into(),
        error => anyhow::Error::new(error).context(format!("cannot restore {file}")),
    })?;
    bar.finish_and_clear();
    if screen.is_json() {
        screen.json(&Told { file: file.to_string(), bytes, manifest: &manifest })?;
    } else {
        screen.say(&format!("{data} holds {}", contents(&manifest)))?;
        screen.hint(&format!("`steerage host --data {data}` serves it"))?;
        screen.hint(&format!(
            "generations go on {AHEAD} later, since some may have been given after the backup"
        ))?;
    }
    tell_left_out(screen, &manifest);
    Ok(())
}

fn contents(manifest: &BackupManifest) -> String {
    format!(
        "{} with {} and {}",
        human::many(manifest.apps, "app"),
        human::many(manifest.deployments, "deployment"),
        human::many(manifest.components.len(), "component"),
    )
}

fn tell_left_out(screen: Screen, manifest: &BackupManifest) {
    for what in &manifest.left_out {
        screen.note(&format!("not in it, since the host cannot read it: {what}"));
    }
}
