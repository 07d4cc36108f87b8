//! Servers under measurement: started as processes of their own, and how much CPU time they used.
//! Ends only what it started.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::load::pause;

/// Longest wait for a server to listen.
const START_TIMEOUT: Duration = Duration::from_secs(600);

/// A server that has used less than a twentieth of this much CPU time in this time has little to do.
const QUIET: Duration = Duration::from_secs(1);

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From its start until it listened, to a millisecond.
    pub(crate) start_time: Duration,
}

impl Server {
    /// Starts a command that will listen on `address`, and waits until it does.
    pub(crate) fn start(mut command: Command, address: SocketAddr) -> Result<Self> {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self::start_as_said(command, address)
    }

    /// The same for a command that says where it writes to.
    pub(crate) fn start_as_said(mut command: Command, address: SocketAddr) -> Result<Self> {
        let shown = format!("{command:?}");
        let started_at = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start {shown}"))?;
        let mut server = Self { child, address, start_time: Duration::ZERO };
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{shown} ended with {status}");
            }
            if started_at.elapsed() > START_TIMEOUT {
                bail!("{shown} does not listen on {address}");
            }
            // Not busily: that would take a core from the server.
            pause(Duration::from_millis(1));
        }
        server.start_time = started_at.elapsed();
        Ok(server)
    }

    /// Bytes of memory that are the process's own: not files, not shared.
    pub(crate) fn memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kibibytes.context("no RssAnon in /proc/PID/status")?.parse::<u64>()? << 10)
    }

    /// Page faults of the process so far, those that read a disk included.
    pub(crate) fn faults(&self) -> Result<u64> {
        let fields = self.stat()?;
        // Fields 10 and 12 of proc(5).
        Ok(field(&fields, 7)? + field(&fields, 9)?)
    }

    /// Waits until the process has little to do.
    pub(crate) fn settle(&self) -> Result<()> {
        let mut used = self.cpu_time()?;
        loop {
            pause(QUIET);
            let now = self.cpu_time()?;
            if now.saturating_sub(used) < QUIET / 20 {
                return Ok(());
            }
            used = now;
        }
    }

    /// Mappings of the process's address space.
    pub(crate) fn mappings(&self) -> Result<u64> {
        let path = format!("/proc/{}/maps", self.child.id());
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        Ok(u64::try_from(text.lines().count())?)
    }

    /// CPU time the process has used so far, all threads together.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let fields = self.stat()?;
        // Fields 14 and 15 of proc(5), in ticks of 10 ms.
        Ok(Duration::from_millis((field(&fields, 11)? + field(&fields, 12)?) * 10))
    }

    /// What the kernel says of the process behind its name: the third field of proc(5) and on.
    fn stat(&self) -> Result<Vec<String>> {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        // The name may hold spaces; fields count from behind its closing parenthesis.
        let (_, rest) = text.rsplit_once(')').context("an unknown format of /proc/PID/stat")?;
        Ok(rest.split_whitespace().map(str::to_owned).collect())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn field(fields: &[String], index: usize) -> Result<u64> {
    Ok(fields.get(index).context("a short /proc/PID/stat")?.parse()?)
}

/// A loopback address nobody listens on.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// The release build of the host, built now if need be.
pub(crate) fn steerage() -> Result<PathBuf> {
    // Together with this crate, so that both use one build of the host and of what is below it.
    build(&["-p", "steerage", "-p", "benches"], &[])?;
    let this = std::env::current_exe()?;
    Ok(this.with_file_name("steerage"))
}

/// A build that counts what calls do to what all cores share, in a folder of its own: it is none to measure
/// time of, so nothing is optimised across crates.
pub(crate) fn counting() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/counting");
    let shown = folder.to_string_lossy().into_owned();
    let arguments = ["-p", "steerage", "--features", "count-shared", "--target-dir", &shown];
    let profile =
        [("CARGO_PROFILE_RELEASE_LTO", "off"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")];
    build(&arguments, &profile)?;
    Ok(folder.join("release/steerage"))
}

fn build(arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release"]).args(arguments).envs(environment.iter().copied());
    // What `cargo run` says of this crate would make build scripts think that theirs has changed.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    let status = command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .status()
        .context("cannot start cargo to build the host")?;
    if !status.success() {
        bail!("the host does not build");
    }
    Ok(())
}
