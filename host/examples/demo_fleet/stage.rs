//! What the demo runs: one member of etcd and three hosts, child processes on free loopback ports
//! with throw-away data. Stops only what it started, also when the demo fails half-way.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal};
use steerage::client::Client;

/// The hosts' names, and the zone of each.
pub(crate) const HOSTS: [(&str, &str); 3] = [("ada", "east"), ("ben", "east"), ("cleo", "west")];
/// A process that does not end within this after SIGTERM is broken.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Nothing of the demo takes longer on a machine that works.
const PATIENCE: Duration = Duration::from_secs(30);

/// The store and the fleet.
pub(crate) struct Stage {
    program: PathBuf,
    /// Where the store answers.
    pub(crate) store: SocketAddr,
    hosts: Vec<Host>,
    _store: Running,
    /// Removed when the stage is dropped, after all that runs in it has ended.
    folder: tempfile::TempDir,
}

/// A host, running or not.
struct Host {
    name: &'static str,
    running: Option<Running>,
    /// Where callers come in.
    apps: String,
    /// Where operators come in.
    admin: String,
}

/// A child that ends with this.
struct Running(Child);

impl Stage {
    /// Starts the store and makes the fleet's certificates; no host runs yet.
    pub(crate) fn build() -> anyhow::Result<Self> {
        let program = program()?;
        let etcd = etcd()?;
        let folder = tempfile::Builder::new()
            .prefix("steerage-demo-")
            .tempdir()
            .context("cannot make a directory for the fleet's data")?;
        let (store, peers) = (free_port()?, free_port()?);
        let (clients_url, peers_url) = (format!("http://{store}"), format!("http://{peers}"));
        let log = File::create(folder.path().join("etcd.log")).context("no log for etcd")?;
        let child = Command::new(&etcd)
            .args(["--name", "demo", "--logger", "zap", "--data-dir"])
            .arg(folder.path().join("etcd"))
            .args(["--listen-client-urls", &clients_url, "--advertise-client-urls", &clients_url])
            .args(["--listen-peer-urls", &peers_url])
            .args(["--initial-advertise-peer-urls", &peers_url])
            .args(["--initial-cluster", &format!("demo={peers_url}")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("no log for etcd")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start `{}`", etcd.display()))?;
        let running = Running(child);
        let host =
            |(name, _)| Host { name, running: None, apps: String::new(), admin: String::new() };
        let hosts = HOSTS.map(host).into();
        Ok(Self { program, store, hosts, _store: running, folder })
    }

    /// Makes the fleet's own authority, and a certificate for each host.
    pub(crate) fn certify(&self) -> anyhow::Result<()> {
        let authority = self.folder.path().join("authority");
        self.run(&["cert".as_ref(), "init".as_ref(), "--dir".as_ref(), authority.as_os_str()])?;
        for (name, _) in HOSTS {
            self.run(&[
                "cert".as_ref(),
                "issue".as_ref(),
                name.as_ref(),
                "--address".as_ref(),
                "127.0.0.1".as_ref(),
                "--dir".as_ref(),
                authority.as_os_str(),
                "--out".as_ref(),
                self.identity(name).as_os_str(),
            ])?;
        }
        Ok(())
    }

    fn identity(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.identity"))
    }

    /// Starts a host with what it has on its disk; returns once its doors are open.
    pub(crate) fn start(&mut self, name: &str) -> anyhow::Result<()> {
        let (_, zone) = HOSTS.into_iter().find(|(known, _)| *known == name).context("no host")?;
        let log_path = self.folder.path().join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(&log_path);
        let mut child = Command::new(&self.program)
            .args(["host", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--peer", "127.0.0.1:0", "--drain-timeout", "5s", "--data"])
            .arg(self.folder.path().join(name))
            .args(["--store", &format!("etcd://{}", self.store)])
            .args(["--name", name, "--zone", zone, "--identity"])
            .arg(self.identity(name))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.context("no log for a host")?)
            .spawn()
            .with_context(|| format!("cannot start `{}`", self.program.display()))?;
        let stdout = child.stdout.take();
        let running = Running(child);
        let mut lines = stdout
            .into_iter()
            .flat_map(|stdout| BufReader::new(stdout).lines().map_while(Result::ok));
        let mut address = |name: &str| {
            let line = lines.next()?;
            Some(line.strip_prefix(name)?.trim().to_owned())
        };
        let Some((apps, admin)) = address("apps").zip(address("admin")) else {
            let log = std::fs::read_to_string(&log_path).unwrap_or_default();
            bail!("{name} did not start; it said:\n{log}");
        };
        let host = self.hosts.iter_mut().find(|host| host.name == name).context("no host")?;
        (host.running, host.apps, host.admin) = (Some(running), apps, admin);
        Ok(())
    }

    /// Kills a host: it has no time for anything.
    pub(crate) fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let host = self.hosts.iter_mut().find(|host| host.name == name).context("no host")?;
        // Dropping a child kills it and waits for its end.
        drop(host.running.take());
        Ok(())
    }

    /// Where callers reach all hosts that run, and those that did.
    pub(crate) fn doors(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let door = |host: &Host| {
            let address = host.apps.trim_start_matches("http://").trim_end_matches('/');
            address.parse().with_context(|| format!("`{address}` is no address"))
        };
        self.hosts.iter().map(door).collect()
    }

    /// The control API of a host.
    pub(crate) fn client(&self, name: &str) -> anyhow::Result<Client> {
        Client::new(&self.host(name)?.admin, None).context("no client for a host")
    }

    /// Runs a verb of the command line against a host and returns what it printed.
    pub(crate) fn steerage(&self, host: &str, args: &[&OsStr]) -> anyhow::Result<String> {
        let admin = &self.host(host)?.admin;
        run(Command::new(&self.program).args(args).env("STEERAGE_ADMIN", admin))
    }

    /// Runs a verb that needs no host.
    pub(crate) fn run(&self, args: &[&OsStr]) -> anyhow::Result<String> {
        run(Command::new(&self.program).args(args))
    }

    fn host(&self, name: &str) -> anyhow::Result<&Host> {
        self.hosts.iter().find(|host| host.name == name).context("no host of this name")
    }

    /// Ends all hosts as an operator would, and then the store; says how long the hosts took.
    pub(crate) fn stop(mut self) -> anyhow::Result<Duration> {
        let asked_at = Instant::now();
        for host in &self.hosts {
            if let Some(running) = &host.running {
                running.signal(Signal::TERM);
            }
        }
        for host in &mut self.hosts {
            let Some(running) = &mut host.running else { continue };
            while running.0.try_wait().context("cannot wait for a host")?.is_none() {
                ensure!(asked_at.elapsed() < STOP_LIMIT, "{} does not end", host.name);
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
        Ok(asked_at.elapsed())
    }
}

impl Running {
    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, signal).ok();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After an end in order both do nothing; otherwise nothing of the demo may stay behind.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Looks again and again until there is something to see.
pub(crate) async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        let seen = look().await;
        if let Ok(Some(seen)) = seen {
            return Ok(seen);
        }
        if Instant::now() > until {
            return match seen {
                Ok(_) => bail!("no {what} within {PATIENCE:?}"),
                Err(error) => Err(error.context(format!("no {what} within {PATIENCE:?}"))),
            };
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
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

/// A port that nobody has; taken again a moment later by whoever is told.
fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?;
    listener.local_addr().context("no free port")
}

/// The host binary that was built beside this example.
fn program() -> anyhow::Result<PathBuf> {
    let demo = std::env::current_exe().context("cannot find the demo's own binary")?;
    let program = demo
        .parent()
        .and_then(Path::parent)
        .map(|directory| directory.join("steerage"))
        .filter(|program| program.is_file());
    program.context("no `steerage` beside the demo; run it with `make demo-fleet`")
}

/// The store's program, installed where that can be done.
fn etcd() -> anyhow::Result<PathBuf> {
    if let Some(etcd) = in_path("etcd") {
        return Ok(etcd);
    }
    if rustix::process::geteuid().is_root() && in_path("apt-get").is_some() {
        println!("  etcd is missing: apt-get install etcd-server");
        run(Command::new("apt-get").args(["update", "-q"]))?;
        let words = ["install", "-y", "-q", "--no-install-recommends", "etcd-server"];
        run(Command::new("apt-get").args(words).env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    in_path("etcd").context("a fleet needs etcd: on Debian, apt-get install etcd-server")
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}
