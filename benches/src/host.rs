//! Our own host as a server under measurement: apps are deployed to it, its metrics are read.
//! Goes through the command line and the API, as anybody would.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::load::{self, Plan};
use crate::plain::Plain;
use crate::server::{Server, free_address};

/// A running host.
pub(crate) struct Host {
    pub(crate) server: Server,
    pub(crate) admin: SocketAddr,
    program: PathBuf,
    data: PathBuf,
    _folder: Option<TempDir>,
}

/// What to deploy.
#[derive(Clone, Debug)]
pub(crate) struct App<'a> {
    pub(crate) name: &'a str,
    /// The path of the component.
    pub(crate) source: &'a str,
    /// More tables of the manifest.
    pub(crate) more: &'a str,
}

impl App<'_> {
    /// The path it is served at.
    pub(crate) fn path(&self) -> String {
        format!("/{}/", self.name)
    }

    /// The text of its manifest.
    pub(crate) fn manifest(&self) -> String {
        let Self { name, source, more } = self;
        format!(
            "name = {name:?}\nversion = \"1.0.0\"\nsource = {source:?}\n{more}\n\
             [[route]]\npath = \"/{name}/...\"\n"
        )
    }
}

impl Host {
    /// Starts a host without apps; `command` is its program and what is to stand before its flags.
    pub(crate) fn start(program: &Path, command: Command, flags: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let host = Self::on(program, command, folder.path(), flags)?;
        Ok(Self { _folder: Some(folder), ..host })
    }

    /// The same, on a data folder that outlives it.
    pub(crate) fn on(
        program: &Path,
        mut command: Command,
        data: &Path,
        flags: &[&str],
    ) -> Result<Self> {
        let (listen, admin) = (free_address()?, free_address()?);
        command
            .args(["host", "--listen", &listen.to_string(), "--admin", &admin.to_string()])
            .arg("--data")
            .arg(data)
            .args(flags);
        let server = Server::start(command, listen)?;
        Ok(Self {
            server,
            admin,
            program: program.to_owned(),
            data: data.to_owned(),
            _folder: None,
        })
    }

    /// Where apps are called.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Deploys an app at `/its-name/...`.
    pub(crate) fn deploy(&self, app: &App<'_>) -> Result<()> {
        let manifest = self.data.join("deploying.toml");
        std::fs::write(&manifest, app.manifest())?;
        let deploy = |more: &[&str]| {
            Command::new(&self.program)
                .args(["deploy", "-q", "--admin", &format!("http://{}", self.admin), "-f"])
                .arg(&manifest)
                .args(more)
                .stdout(Stdio::null())
                .status()
                .context("cannot start the command line")
        };
        // The flag is for an app that had another owner in an earlier part of a bench; hosts of earlier
        // commits do not know it.
        if !deploy(&[])?.success() && !deploy(&["--change-tenant"])?.success() {
            bail!("cannot deploy {}", app.name);
        }
        Ok(())
    }

    /// CPU time that the guests of each of these apps have used, in the calls that ended.
    pub(crate) fn guest_cpu(&self, apps: &[&str]) -> Result<Vec<Duration>> {
        let metrics = self.read("/metrics")?;
        let cpu_of = |app: &&str| {
            let start = format!("guest_cpu_seconds_total{{app=\"{app}\"}} ");
            let seconds = metrics.lines().find_map(|line| line.strip_prefix(&start));
            let seconds = seconds.with_context(|| format!("no {start}in /metrics"))?;
            Ok(Duration::from_secs_f64(seconds.parse()?))
        };
        apps.iter().map(cpu_of).collect()
    }

    /// Calls of an app whose instances were put back afterwards.
    pub(crate) fn n_restored(&self, app: &str) -> Result<u64> {
        let metrics = self.read("/metrics")?;
        let start = format!("instances_restored_total{{app=\"{app}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&start));
        count.map_or(Ok(0), |count| Ok(count.parse()?))
    }

    /// How often what all cores share was used, by kind and place in the source. Nothing where the build
    /// does not count.
    pub(crate) fn uses_of_shared(&self) -> Result<BTreeMap<(String, String), f64>> {
        let line = |line: &str| {
            let (labels, count) = line.strip_prefix("shared_uses_total{")?.split_once("} ")?;
            let (kind, at) = labels.split_once(',')?;
            let value = |label: &str| label.split('"').nth(1).map(str::to_owned);
            Some(((value(kind)?, value(at)?), count.trim().parse().ok()?))
        };
        Ok(self.read("/metrics")?.lines().filter_map(line).collect())
    }

    /// How many rounds the guest `work` must do for a call of it to take this much CPU time.
    pub(crate) fn rounds_of_work(&self, app: &str, cpu: Duration) -> Result<u64> {
        const ROUNDS: u32 = 200_000;
        let cpu_of_app = || Ok::<_, anyhow::Error>(self.guest_cpu(&[app])?.into_iter().sum());
        let before: Duration = cpu_of_app()?;
        let plan = Plan::closed(self.address(), &format!("/{app}/?n={ROUNDS}"), 1);
        let tally = load::press_well(plan, Duration::from_millis(100), Duration::from_millis(400))?;
        let used: Duration = cpu_of_app()?.saturating_sub(before);
        // The calls of the warm-up are in `used` but not in the tally; they are a fifth.
        let n_calls = u32::try_from(tally.n(200))?.saturating_mul(5) / 4;
        let of_one = used / n_calls.max(1);
        let rounds = f64::from(ROUNDS) * cpu.as_secs_f64() / of_one.as_secs_f64().max(1e-9);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no fractions")]
        Ok((rounds as u64).max(1))
    }

    /// What the host says of itself.
    pub(crate) fn state(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.read("/v1/host")?)?)
    }

    fn read(&self, path: &str) -> Result<String> {
        let (status, text) = Plain::connect(self.admin)?.ask("GET", path, b"")?;
        if status != 200 {
            bail!("{path}: {text}");
        }
        let (_, body) = text.split_once("\r\n\r\n").context("half an answer")?;
        Ok(body.to_owned())
    }
}
