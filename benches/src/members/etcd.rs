//! One etcd as a process of its own, and what it says of itself: how much it has sent, how large it is,
//! how many messages it was asked.
//! Does not know what is kept in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::load::pause;
use crate::plain::fetch;
use crate::server::free_address;

/// Where Debian, its users and its containers have it.
const PROGRAMS: [&str; 3] = ["/usr/bin/etcd", "/usr/sbin/etcd", "/usr/local/bin/etcd"];
/// Longest wait for an answer after a start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// More than the default of 2 GiB, as `docs/scale.md` has it for a hundred thousand apps.
const QUOTA: &str = "--quota-backend-bytes=8589934592";

/// A running etcd; ended when dropped.
pub(crate) struct Etcd {
    child: Option<Child>,
    program: PathBuf,
    folder: PathBuf,
    /// Where clients come in.
    pub(crate) client: SocketAddr,
    peer: SocketAddr,
}

/// What etcd says of itself; numbers of one name are added.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) at: Instant,
    values: BTreeMap<String, f64>,
}

impl Etcd {
    /// Starts one with its data in this folder, which need not be empty.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let program = PROGRAMS.into_iter().map(PathBuf::from).find(|path| path.exists());
        let program = program.context("etcd is missing: apt-get install etcd-server")?;
        let (client, peer) = (free_address()?, free_address()?);
        let folder = folder.to_owned();
        let mut etcd = Self { child: None, program, folder, client, peer };
        etcd.run()?;
        Ok(etcd)
    }

    /// Starts it on its data, and waits until it answers.
    pub(crate) fn run(&mut self) -> Result<()> {
        let Self { program, folder, client, peer, .. } = &*self;
        let log = File::options().create(true).append(true).open(folder.join("etcd.log"))?;
        let child = Command::new(program)
            .arg("--name=m0")
            .arg(format!("--data-dir={}", folder.join("etcd").display()))
            .arg(format!("--listen-client-urls=http://{client}"))
            .arg(format!("--advertise-client-urls=http://{client}"))
            .arg(format!("--listen-peer-urls=http://{peer}"))
            .arg(format!("--initial-advertise-peer-urls=http://{peer}"))
            .arg(format!("--initial-cluster=m0=http://{peer}"))
            .arg(QUOTA)
            .env_clear()
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start etcd")?;
        self.child = Some(child);
        let started_at = Instant::now();
        while !self.is_well() {
            if started_at.elapsed() > START_TIMEOUT {
                bail!("etcd does not answer; see {}", self.folder.join("etcd.log").display());
            }
            pause(Duration::from_millis(5));
        }
        Ok(())
    }

    fn is_well(&self) -> bool {
        fetch(self.client, "/health").is_ok_and(|said| said.contains("\"true\""))
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Lets it stand still, or go on.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("etcd does not run")?;
        kill_process(Pid::from_child(child), signal)?;
        Ok(())
    }

    pub(crate) fn metrics(&self) -> Result<Metrics> {
        let text = fetch(self.client, "/metrics").context("etcd's metrics")?;
        let mut values: BTreeMap<String, f64> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let name = name.split('{').next().unwrap_or(name);
            if let Ok(value) = value.parse::<f64>() {
                *values.entry(name.to_owned()).or_default() += value;
            }
        }
        Ok(Metrics { at: Instant::now(), values })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.kill());
    }
}

impl Metrics {
    fn value(&self, name: &str) -> f64 {
        self.values.get(name).copied().unwrap_or_default()
    }

    /// Bytes that it has sent to clients.
    pub(crate) fn sent(&self) -> f64 {
        self.value("etcd_network_client_grpc_sent_bytes_total")
    }

    /// Messages that clients have sent: requests, and what goes over streams, such as beats of leases.
    pub(crate) fn n_asked(&self) -> f64 {
        self.value("grpc_server_msg_received_total")
    }

    /// Messages that it has sent to clients.
    pub(crate) fn n_told(&self) -> f64 {
        self.value("grpc_server_msg_sent_total")
    }

    /// Bytes of its file that are in use.
    pub(crate) fn in_use(&self) -> f64 {
        self.value("etcd_mvcc_db_total_size_in_use_in_bytes")
    }

    /// Processor time that it has used, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.value("process_cpu_seconds_total")
    }

    /// How much of something came a second since earlier.
    pub(crate) fn rate(&self, before: &Self, of: impl Fn(&Self) -> f64) -> f64 {
        let time = self.at.duration_since(before.at).as_secs_f64();
        (of(self) - of(before)) / time.max(1e-9)
    }
}
