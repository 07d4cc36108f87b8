//! All of a ledger as lines of JSON, and a ledger made of such lines: what a backup holds of it. Lines
//! outlive the database's format, and what is damaged does not come along.
//! Does not know where the lines are kept.
//!
//! One line says how far an app's numbers went and which deployment is served; as many as it says
//! follow, each a deployment as the ledger has it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use steerage_core::id::{AppName, Digest, Generation};

use super::record::{DeploymentRecord, damaged};
use super::{Ledger, LedgerError};
use crate::telemetry::chain;

/// The version written by this host.
const VERSION: u32 = 1;
/// Apps written in one transaction: some megabytes.
const BATCH: usize = 1_000;

/// One app.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line {
    v: u32,
    app: String,
    /// The highest generation it ever had, also where it was removed.
    last: u64,
    /// The generation that is served.
    current: Option<u64>,
    /// How many deployments follow.
    deployments: usize,
}

/// What a dump holds.
#[derive(Debug, Default)]
pub struct Dumped {
    /// Apps that are served.
    pub n_apps: usize,
    /// Deployments of theirs.
    pub n_deployments: usize,
    /// The components that they need.
    pub needs: BTreeMap<Digest, AppName>,
    /// What could not be read, and why.
    pub left_out: Vec<String>,
}

/// Why a ledger could not be written as lines, or made of them.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The lines cannot be written or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line makes no sense.
    #[error("line {line} makes no sense: {why}")]
    Line {
        /// Which, from 1 on.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

/// One app, read.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) app: AppName,
    pub(super) last: Generation,
    pub(super) current: Option<Generation>,
    pub(super) records: Vec<DeploymentRecord>,
}

impl Ledger {
    /// Writes all that the ledger holds. It must not be changed meanwhile: each app is read by itself.
    ///
    /// # Errors
    /// See [`DumpError`]. What is damaged is left out and told.
    pub fn dump(&self, out: &mut impl Write) -> Result<Dumped, DumpError> {
        let (mut dumped, mut apps) = (Dumped::default(), BTreeMap::new());
        self.each_current(|name, record| match record {
            Ok(record) => drop(apps.insert(record.app, (Some(record.generation), None))),
            Err(error) => dumped.left_out.push(format!("app {name}: {}", chain(&error))),
        })?;
        match self.last_of_all() {
            Ok(all) => {
                for (app, last) in all {
                    apps.entry(app).or_insert((None, None)).1 = Some(last);
                }
            }
            Err(error) if error.is_damage() => {
                dumped.left_out.push(format!("numbers of removed apps: {}", chain(&error)));
            }
            Err(error) => return Err(error.into()),
        }
        for (app, (current, last)) in apps {
            let records =
                current.map_or_else(Vec::new, |current| self.readable(&app, current, &mut dumped));
            let newest = records.iter().map(|record| record.generation).max();
            let Some(last) = last.max(newest).max(current) else { continue };
            let is_there =
                |current: &Generation| records.iter().any(|record| record.generation == *current);
            let line = Line {
                v: VERSION,
                app: app.to_string(),
                last: last.get(),
                current: current.filter(is_there).map(Generation::get),
                deployments: records.len(),
            };
            dumped.n_apps += usize::from(line.current.is_some());
            dumped.n_deployments += records.len();
            write_line(out, &serde_json::to_vec(&line).map_err(io::Error::from)?)?;
            for record in records {
                dumped.needs.insert(record.digest, app.clone());
                let bytes = record.encode().map_err(|error| io::Error::other(chain(&error)))?;
                write_line(out, &bytes)?;
            }
        }
        Ok(dumped)
    }

    /// The deployments of an app, or at least the one that is served.
    fn readable(
        &self,
        app: &AppName,
        current: Generation,
        dumped: &mut Dumped,
    ) -> Vec<DeploymentRecord> {
        let error = match self.history(app) {
            Ok(records) => return records,
            Err(error) => error,
        };
        let told = |what: &str| format!("{what} of {app}: {}", chain(&error));
        match self.deployment(app, current) {
            Ok(Some(record)) => {
                dumped.left_out.push(told("earlier deployments"));
                vec![record]
            }
            _ => {
                dumped.left_out.push(told("all deployments"));
                Vec::new()
            }
        }
    }

    /// Takes what a dump holds into an empty ledger. Numbers go on so far beyond those of the dump:
    /// some may have been given after it was made.
    ///
    /// # Errors
    /// See [`DumpError`].
    pub fn load(&self, lines: impl BufRead, ahead: u64) -> Result<(), DumpError> {
        let (mut reader, mut batch) = (Lines { lines: lines.split(b'\n'), n_read: 0 }, Vec::new());
        while let Some(mut app) = reader.next_app()? {
            let last = app.last.get().saturating_add(ahead);
            app.last = Generation::new(last).unwrap_or(app.last);
            batch.push(app);
            if batch.len() == BATCH {
                self.take(&std::mem::take(&mut batch))?;
            }
        }
        Ok(self.take(&batch)?)
    }

    fn take(&self, apps: &[Loaded]) -> Result<(), LedgerError> {
        self.write(|tables| apps.iter().try_for_each(|app| tables.load(app)))
    }
}

fn write_line(out: &mut impl Write, line: &[u8]) -> io::Result<()> {
    out.write_all(line)?;
    out.write_all(b"\n")
}

struct Lines<R> {
    lines: io::Split<R>,
    n_read: usize,
}

impl<R: BufRead> Lines<R> {
    fn next_app(&mut self) -> Result<Option<Loaded>, DumpError> {
        let Some(line) = self.next_line()? else { return Ok(None) };
        let line: Line = serde_json::from_slice(&line).map_err(|error| self.bad(error))?;
        if line.v > VERSION {
            let why = format!("version {} was written by a newer steerage", line.v);
            return Err(self.bad(why));
        }
        let app: AppName = line.app.parse().map_err(|error| self.bad(error))?;
        let number = |number| Generation::new(number).ok_or_else(|| self.bad("generation 0"));
        let (last, current) = (number(line.last)?, line.current.map(number).transpose()?);
        let mut records = Vec::new();
        for _ in 0..line.deployments {
            let line = self.next_line()?.ok_or_else(|| self.bad("a deployment is missing"))?;
            let record =
                DeploymentRecord::decode(&line).map_err(|error| self.bad(chain(&error)))?;
            if record.app != app || record.generation > last {
                return Err(self.bad(damaged(format!("it is no deployment of {app}"))));
            }
            records.push(record);
        }
        if current.is_some_and(|current| records.iter().all(|record| record.generation != current))
        {
            return Err(self.bad(format!("the deployment of {app} that is served is missing")));
        }
        Ok(Some(Loaded { app, last, current, records }))
    }

    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.n_read += 1;
        self.lines.next().transpose()
    }

    fn bad(&self, why: impl ToString) -> DumpError {
        DumpError::Line { line: self.n_read, why: why.to_string() }
    }
}
