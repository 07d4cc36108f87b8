//! What a host keeps of its view on its own disk, so that it can start and serve without the store:
//! who the others are and where apps run. Deployments themselves are in the ledger.
//! Loses nothing that matters when it is damaged: the store knows better.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::record::{AppRecord, AppUse, AssignedRecord, HostRecord, ReadyRecord};
use super::view::View;
use crate::store::Revision;

#[derive(Default, Deserialize, Serialize)]
struct Saved {
    apps: BTreeMap<String, AppRecord>,
    assigned: BTreeMap<String, AssignedRecord>,
    hosts: BTreeMap<String, HostRecord>,
    ready: BTreeMap<String, BTreeMap<String, ReadyRecord>>,
    #[serde(default)]
    used: BTreeMap<String, AppUse>,
    /// How far the store was.
    #[serde(default)]
    revision: u64,
}

/// What was known, and at which revision; nothing where there is no file or none that can be read.
pub(super) fn read(path: &Path) -> (View, u64) {
    let saved: Saved = match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "the copy of the fleet is damaged");
            Saved::default()
        }),
        Err(_) => Saved::default(),
    };
    let none = Revision::OF_COPY;
    let mut view = View::of_copy();
    // Hosts first: whatever else names them shares their names.
    for (host, record) in saved.hosts {
        if let Ok(host) = host.parse() {
            view.detached.insert(host, Arc::new(record));
        }
    }
    for (app, record) in saved.apps {
        if let Ok(app) = app.parse() {
            view.put_app(&app, Some(record), none);
        }
    }
    for (app, record) in saved.assigned {
        if let Ok(app) = app.parse() {
            view.put_assigned(&app, Some((record.assigned(), none)));
        }
    }
    for (app, hosts) in saved.ready {
        let hosts = hosts.into_iter().filter_map(|(host, ready)| Some((host.parse().ok()?, ready)));
        if let Ok(app) = app.parse() {
            view.put_ready(&app, hosts.collect());
        }
    }
    for (app, used) in saved.used {
        if let Ok(app) = app.parse() {
            view.remembered.insert(app, used);
        }
    }
    (view, saved.revision)
}

/// Writes what is known, whole or not at all.
pub(super) fn write(path: &Path, view: &View, revision: u64) {
    let text = |name: &dyn std::fmt::Display| name.to_string();
    let saved = Saved {
        revision,
        used: view.last_known_use().iter().map(|(app, used)| (text(app), *used)).collect(),
        apps: view.apps().map(|(app, record)| (text(app), record.clone())).collect(),
        assigned: view
            .all_assigned()
            .map(|(app, assigned)| (text(app), AssignedRecord::of(assigned.iter())))
            .collect(),
        hosts: view.all_hosts().map(|(host, record)| (text(host), (**record).clone())).collect(),
        ready: view
            .all_ready()
            .map(|(app, hosts)| {
                let hosts = hosts.iter().map(|(host, ready)| (text(host), ready.clone()));
                (text(app), hosts.collect())
            })
            .collect(),
    };
    if let Err(error) = write_whole(path, |file| Ok(serde_json::to_writer(file, &saved)?)) {
        tracing::warn!(path = %path.display(), %error, "cannot keep a copy of the fleet");
    }
}

/// Writes a file whole or not at all, and waits for the disk.
pub(super) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut fs::File>) -> io::Result<()>,
) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    // JSON is written token by token.
    let mut writer = BufWriter::new(file.as_file_mut());
    write(&mut writer)?;
    writer.flush()?;
    drop(writer);
    file.as_file().sync_all()?;
    file.persist(path)?;
    fs::File::open(folder)?.sync_all()
}
