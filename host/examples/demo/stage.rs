//! The host that the demo runs: a child process on free loopback ports with throw-away data.
//! Stops only the process it started, also when the demo fails half-way.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal};

/// A host that does not end within this after SIGTERM is broken; its drain timeout is below.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A running host and where it is reached.
pub(crate) struct Stage {
    child: Child,
    /// Where callers come in.
    pub(crate) apps: String,
    /// Where operators come in.
    pub(crate) admin: String,
    /// Removed when the stage is dropped.
    _data: tempfile::TempDir,
    /// How long the host took to be ready.
    pub(crate) started_in: Duration,
    program: PathBuf,
}

impl Stage {
    /// Starts the host and reads where it listens: it says so once both doors are open.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let program = program()?;
        let data = tempfile::Builder::new()
            .prefix("steerage-demo-")
            .tempdir()
            .context("cannot make a directory for the host's data")?;
        let log = std::fs::File::create(data.path().join("host.log"))
            .context("cannot make the host's log file")?;
        let started_at = Instant::now();
        let mut child = Command::new(&program)
            .args(["host", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--drain-timeout", "2s", "--data"])
            .arg(data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start `{}`", program.display()))?;
        let mut addresses = child
            .stdout
            .take()
            .into_iter()
            .flat_map(|stdout| BufReader::new(stdout).lines().map_while(Result::ok));
        let mut address = |name: &str| {
            let line = addresses.next()?;
            Some(line.strip_prefix(name)?.trim().to_owned())
        };
        let found = address("apps").zip(address("admin"));
        let Some((apps, admin)) = found else {
            drop(child.kill());
            drop(child.wait());
            let log = std::fs::read_to_string(data.path().join("host.log")).unwrap_or_default();
            bail!("the host did not start; it said:\n{log}");
        };
        Ok(Self { child, apps, admin, _data: data, started_in: started_at.elapsed(), program })
    }

    /// Runs a verb of the command line against this host and returns what it printed.
    pub(crate) fn steerage<A: AsRef<OsStr>>(&self, args: &[A]) -> anyhow::Result<String> {
        run(Command::new(&self.program).args(args).env("STEERAGE_ADMIN", &self.admin))
    }

    /// Runs a verb that needs no host.
    pub(crate) fn without_host<A: AsRef<OsStr>>(args: &[A]) -> anyhow::Result<String> {
        run(Command::new(program()?).args(args))
    }

    /// The host's resident memory, where the system tells.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kibibytes * 1024)
    }

    /// Ends the host as an operator would, and says how long that took.
    pub(crate) fn stop(mut self) -> anyhow::Result<Duration> {
        let asked_at = Instant::now();
        self.terminate();
        while asked_at.elapsed() < STOP_LIMIT {
            if let Some(status) = self.child.try_wait().context("cannot wait for the host")? {
                anyhow::ensure!(status.success(), "the host ended with {status}");
                return Ok(asked_at.elapsed());
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        bail!("the host did not end within {STOP_LIMIT:?}")
    }

    fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, Signal::TERM).ok();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // After `stop` both do nothing; otherwise nothing of the demo may stay behind.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .context("cannot run the steerage command")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// The host binary that was built beside this example.
fn program() -> anyhow::Result<PathBuf> {
    let demo = std::env::current_exe().context("cannot find the demo's own binary")?;
    let program = demo
        .parent()
        .and_then(Path::parent)
        .map(|directory| directory.join("steerage"))
        .filter(|program| program.is_file());
    program.context("no `steerage` beside the demo; run it with `make demo`")
}
