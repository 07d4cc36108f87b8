//! A fleet of real processes: three members of etcd and four hosts, each on a machine of its own, and
//! what an operator does with them. Everything is gone when it is dropped.
//! Does not know what is tried on it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness;
use crate::network::Network;

/// The machines of the store.
pub(crate) const MEMBERS: [&str; 3] = ["e1", "e2", "e3"];
/// The machines of the fleet, which are also the hosts' names.
pub(crate) const HOSTS: [&str; 4] = ["h1", "h2", "h3", "h4"];
/// Where callers are.
const CALLERS: &str = "callers";
const MACHINES: [(&str, u8); 8] = [
    ("e1", 1),
    ("e2", 2),
    ("e3", 3),
    ("h1", 11),
    ("h2", 12),
    ("h3", 13),
    ("h4", 14),
    (CALLERS, 21),
];
/// The lease of a host.
pub(crate) const LEASE: Duration = Duration::from_secs(3);
/// Longest wait for what should come at once; only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at something that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What every admin request carries: the hosts' admin doors are open to other machines.
const TOKEN: &str = "a-token-for-tests-of-the-fleet";

/// A process on a machine, and what it wrote.
#[derive(Debug)]
struct Process {
    machine: &'static str,
    child: Option<Child>,
    log: PathBuf,
}

/// Three members, four hosts, and the callers' machine, which this thread is moved to.
#[derive(Debug)]
pub(crate) struct World {
    members: Vec<Process>,
    hosts: Vec<Process>,
    runtime: tokio::runtime::Runtime,
    program: PathBuf,
    etcd: PathBuf,
    folder: TempDir,
    // Last, so that the processes are gone before their machines are.
    network: Network,
}

/// An app's replicas, as a host tells them.
#[derive(Debug)]
pub(crate) struct Replicas {
    pub(crate) wanted: u64,
    /// The hosts it is placed on or has code on, and the state of it there.
    pub(crate) states: BTreeMap<String, String>,
}

impl Replicas {
    /// The hosts where it is ready.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &str> {
        self.states.iter().filter(|(_, state)| *state == "ready").map(|(host, _)| host.as_str())
    }
}

/// What a host said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Said {
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("no JSON: {}", self.text))
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there can be no fleet here; `None` where there can.
pub(crate) fn missing() -> Option<String> {
    if program("etcd").is_none() {
        return Some("etcd is missing: apt-get install etcd-server".to_owned());
    }
    for (name, package) in [("ip", "iproute2"), ("setpriv", "util-linux")] {
        if program(name).is_none() {
            return Some(format!("`{name}` is missing: apt-get install {package}"));
        }
    }
    crate::network::missing()
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

impl World {
    /// Starts everything and waits until all hosts know each other.
    pub(crate) fn build() -> anyhow::Result<Self> {
        let network = Network::build(&MACHINES)?;
        network.enter(CALLERS)?;
        let folder = tempfile::Builder::new().prefix("steerage-fleet-").tempdir()?;
        // A copy, so that a build beside this run does not replace the program half-way.
        let program_here = folder.path().join("steerage");
        fs::copy(env!("CARGO_BIN_EXE_steerage"), &program_here).context("no program to test")?;
        fs::write(folder.path().join("token"), TOKEN)?;
        let process = |machine: &&'static str| {
            let log = folder.path().join(format!("{machine}.log"));
            Process { machine, child: None, log }
        };
        let mut world = Self {
            members: MEMBERS.iter().map(process).collect(),
            hosts: HOSTS.iter().map(process).collect(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            program: program_here,
            etcd: program("etcd").context("no etcd")?,
            folder,
            network,
        };
        world.certify()?;
        for member in 0..MEMBERS.len() {
            world.start_member(member)?;
        }
        for member in 0..MEMBERS.len() {
            world.wait_for_member(member)?;
        }
        for host in 0..HOSTS.len() {
            world.start_host(host)?;
        }
        world.settle(&[])?;
        Ok(world)
    }

    /// Makes an authority for this fleet, and a certificate for each host.
    fn certify(&self) -> anyhow::Result<()> {
        let authority = self.folder.path().join("authority");
        self.verb(&["cert".as_ref(), "init".as_ref(), "--dir".as_ref(), authority.as_ref()])?;
        for host in HOSTS {
            let identity = self.identity(host);
            let address = self.network.address(host).to_string();
            self.verb(&[
                "cert".as_ref(),
                "issue".as_ref(),
                host.as_ref(),
                "--address".as_ref(),
                address.as_ref(),
                "--dir".as_ref(),
                authority.as_ref(),
                "--out".as_ref(),
                identity.as_ref(),
            ])?;
        }
        Ok(())
    }

    fn identity(&self, host: &str) -> PathBuf {
        self.folder.path().join(format!("{host}.identity"))
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Starts a member with what it has on its disk.
    pub(crate) fn start_member(&mut self, member: usize) -> anyhow::Result<()> {
        let name = MEMBERS[member];
        let url = |name: &str, port| format!("http://{}:{port}", self.network.address(name));
        let all = MEMBERS.map(|name| format!("{name}={}", url(name, 2380))).join(",");
        let mut command = self.network.command(name, &self.etcd);
        command
            .args(["--name", name, "--data-dir"])
            .arg(self.folder.path().join(name))
            .args(["--listen-client-urls", &url(name, 2379)])
            .args(["--advertise-client-urls", &url(name, 2379)])
            .args(["--listen-peer-urls", &url(name, 2380)])
            .args(["--initial-advertise-peer-urls", &url(name, 2380)])
            .args(["--initial-cluster", &all, "--logger", "zap"]);
        self.members[member].start(command)
    }

    /// Waits until the member takes part in a quorum.
    pub(crate) fn wait_for_member(&self, member: usize) -> anyhow::Result<()> {
        let address = SocketAddr::new(self.network.address(MEMBERS[member]), 2379);
        self.until(&format!("{} with a quorum", MEMBERS[member]), || {
            let said = self.fetch(address, Method::GET, "/health", Bytes::new())?;
            ensure!(said.text.contains("\"true\""), "{}", said.text);
            Ok(())
        })
    }

    /// Ends a member at once.
    pub(crate) fn kill_member(&mut self, member: usize) -> anyhow::Result<()> {
        self.members[member].kill()
    }

    /// Starts a host with what it has on its disk. It is not waited for.
    pub(crate) fn start_host(&mut self, host: usize) -> anyhow::Result<()> {
        let name = HOSTS[host];
        let address = self.network.address(name);
        let store = MEMBERS.map(|name| format!("{}:2379", self.network.address(name))).join(",");
        let zone = if host < 2 { "east" } else { "west" };
        let at = |port| SocketAddr::new(address, port).to_string();
        let log = std::env::var("STEERAGE_FLEET_LOG").unwrap_or_else(|_| "info".to_owned());
        let mut command = self.network.command(name, &self.program);
        command
            .args(["host", "--listen", &at(8080), "--admin", &at(8081), "--peer", &at(8082)])
            .arg("--data")
            .arg(self.folder.path().join(name))
            .arg("--token-file")
            .arg(self.folder.path().join("token"))
            .args(["--store", &format!("etcd://{store}"), "--insecure-store", "true"])
            .args(["--name", name, "--zone", zone])
            .args(["--lease", &format!("{}s", LEASE.as_secs()), "--memory-budget", "1GiB"])
            .arg("--identity")
            .arg(self.identity(name))
            .env("RUST_LOG", log)
            .env("NO_COLOR", "1");
        self.hosts[host].start(command)
    }

    /// Ends a host at once.
    pub(crate) fn kill_host(&mut self, host: usize) -> anyhow::Result<()> {
        self.hosts[host].kill()
    }

    /// Sends a host a signal.
    pub(crate) fn signal(&self, host: usize, signal: Signal) -> anyhow::Result<()> {
        self.hosts[host].signal(signal)
    }

    /// A host's process.
    pub(crate) fn pid(&self, host: usize) -> anyhow::Result<Pid> {
        self.hosts[host].pid()
    }

    /// The process of a member.
    pub(crate) fn pid_of_member(&self, member: usize) -> anyhow::Result<Pid> {
        self.members[member].pid()
    }

    /// Waits for a host's own end.
    pub(crate) fn wait_for_end(&mut self, host: usize) -> anyhow::Result<ExitStatus> {
        self.hosts[host].wait()
    }

    /// Where callers reach the hosts.
    pub(crate) fn doors(&self) -> Vec<SocketAddr> {
        HOSTS.map(|name| SocketAddr::new(self.network.address(name), 8080)).to_vec()
    }

    /// Asks a host's control API.
    pub(crate) fn admin(
        &self,
        host: usize,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Said> {
        let address = SocketAddr::new(self.network.address(HOSTS[host]), 8081);
        self.fetch(address, method, path, body.into())
    }

    /// Asks a host for one of its apps, as a caller does.
    pub(crate) fn get(&self, host: usize, path: &str) -> anyhow::Result<Said> {
        let address = SocketAddr::new(self.network.address(HOSTS[host]), 8080);
        self.fetch(address, Method::GET, path, Bytes::new())
    }

    fn fetch(
        &self,
        address: SocketAddr,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Said> {
        let what = format!("{method} {path} at {address}");
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "fleet")
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let asked = async {
            let stream = tokio::net::TcpStream::connect(address).await?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            drop(tokio::spawn(connection));
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await?.to_bytes();
            Ok(Said { status, text: String::from_utf8_lossy(&body).into_owned() })
        };
        let asked = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
        let said: anyhow::Result<Said> = asked.with_context(|| format!("no answer to {what}"))?;
        said.context(what)
    }

    /// Runs the command line on a host of the fleet; it must work.
    pub(crate) fn steerage(&self, host: usize, words: &[&str]) -> anyhow::Result<String> {
        let admin = format!("http://{}:8081", self.network.address(HOSTS[host]));
        let token = self.folder.path().join("token");
        let words = words.iter().map(AsRef::as_ref).chain([
            "--admin".as_ref(),
            admin.as_ref(),
            "--token-file".as_ref(),
            token.as_os_str(),
        ]);
        self.verb(&words.collect::<Vec<&std::ffi::OsStr>>())
    }

    fn verb(&self, words: &[&std::ffi::OsStr]) -> anyhow::Result<String> {
        let output = Command::new(&self.program).args(words).env("NO_COLOR", "1").output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        ensure!(
            output.status.success(),
            "steerage {words:?}: {} {}",
            output.status,
            text(&output.stderr)
        );
        Ok(text(&output.stdout))
    }

    /// Deploys through one host.
    pub(crate) fn deploy(&self, host: usize, wasm: &[u8], manifest: &str) -> anyhow::Result<Said> {
        let digest = self.upload(host, wasm)?;
        self.deploy_uploaded(host, &digest, manifest)
    }

    /// Takes a component to a host; returns its digest.
    pub(crate) fn upload(&self, host: usize, wasm: &[u8]) -> anyhow::Result<String> {
        let digest = harness::digest(wasm);
        let put = self.admin(host, Method::PUT, &format!("/v1/blobs/{digest}"), wasm.to_vec())?;
        ensure!(put.is_success(), "upload through {}: {put:?}", HOSTS[host]);
        Ok(digest)
    }

    pub(crate) fn deploy_uploaded(
        &self,
        host: usize,
        digest: &str,
        manifest: &str,
    ) -> anyhow::Result<Said> {
        let name = manifest.lines().find_map(|line| line.strip_prefix("name = "));
        let name = name.context("a manifest with a name")?.trim_matches('"');
        let body = json!({ "manifest": manifest, "component": digest }).to_string();
        self.admin(host, Method::POST, &format!("/v1/apps/{name}/deployments"), body)
    }

    /// Where an app runs, as one host knows it.
    pub(crate) fn replicas(&self, host: usize, app: &str) -> anyhow::Result<Replicas> {
        let said = self.admin(host, Method::GET, &format!("/v1/apps/{app}/replicas"), "")?;
        ensure!(said.is_success(), "{said:?}");
        let told = said.json()?;
        let states = told["hosts"].as_array().into_iter().flatten().map(|replica| {
            let text = |name: &str| replica[name].as_str().unwrap_or_default().to_owned();
            (text("host"), text("state"))
        });
        Ok(Replicas {
            wanted: told["wanted"].as_u64().unwrap_or_default(),
            states: states.collect(),
        })
    }

    /// Waits until the fleet is at rest: all hosts answer each other, hear of the store, and have
    /// every replica of these apps at hand.
    pub(crate) fn settle(&self, apps: &[String]) -> anyhow::Result<()> {
        for (host, name) in HOSTS.iter().enumerate() {
            self.until(&format!("rest at {name}"), || {
                let said = self.admin(host, Method::GET, "/v1/hosts", "")?;
                ensure!(said.is_success(), "{said:?}");
                let told = said.json()?;
                ensure!(told["store_answers"] == true, "it does not hear of the store");
                let hosts = told["hosts"].as_array().map_or(&[][..], Vec::as_slice);
                ensure!(hosts.len() == HOSTS.len(), "it knows {} hosts", hosts.len());
                for other in hosts {
                    let is_well = other["state"] == "answers" && other["standing"] == "open";
                    ensure!(is_well, "{other}");
                }
                for app in apps {
                    let replicas = self.replicas(host, app)?;
                    let n_ready = replicas.ready().count();
                    let is_whole =
                        n_ready as u64 == replicas.wanted && replicas.states.len() == n_ready;
                    ensure!(is_whole, "{app}: {replicas:?}");
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Tries again until it works, at most [`PATIENCE`].
    pub(crate) fn until<T>(
        &self,
        what: &str,
        mut look: impl FnMut() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let until = Instant::now() + PATIENCE;
        loop {
            match look() {
                Ok(found) => return Ok(found),
                Err(error) if Instant::now() > until => {
                    return Err(error.context(format!("no {what} in {PATIENCE:?}")));
                }
                Err(_) => self.pause(LOOK_EVERY),
            }
        }
    }

    /// Lets time pass.
    pub(crate) fn pause(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Copies what all processes wrote to a folder.
    pub(crate) fn keep_logs(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        for process in self.members.iter().chain(&self.hosts) {
            if process.log.exists() {
                fs::copy(&process.log, folder.join(format!("{}.log", process.machine)))?;
            }
        }
        Ok(())
    }

    /// The addresses of the store's clients.
    pub(crate) fn store(&self) -> Vec<IpAddr> {
        MEMBERS.map(|name| self.network.address(name)).to_vec()
    }

    /// The member that leads.
    pub(crate) fn leader(&self) -> anyhow::Result<usize> {
        for (member, name) in MEMBERS.iter().enumerate() {
            let address = format!("{}:2379", self.network.address(name));
            let leads = self.wait(async {
                let mut store = etcd_client::Client::connect([address], None).await?;
                let status = store.status().await?;
                let id = status.header().context("a status without a header")?.member_id();
                anyhow::Ok(status.leader() == id)
            })?;
            if leads {
                return Ok(member);
            }
        }
        bail!("no member leads")
    }

    /// Runs something that waits.
    pub(crate) fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }
}

impl Process {
    fn start(&mut self, mut command: Command) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        command.stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {}", self.machine))?;
        self.child = Some(child);
        Ok(())
    }

    fn pid(&self) -> anyhow::Result<Pid> {
        let Some(child) = &self.child else { bail!("{} does not run", self.machine) };
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        pid.context("a process without a number")
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let mut child = self.child.take().with_context(|| format!("no {}", self.machine))?;
        Ok(child.wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.kill());
    }
}
