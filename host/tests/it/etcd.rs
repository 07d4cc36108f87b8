//! Real etcd on ports of its own, for tests: one member or a few, which can be killed, stopped and
//! started again on their data. Tests are skipped with a message where etcd is not installed.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use steerage::store::{EtcdSettings, Store, StoreError, StoreSettings};
use tempfile::TempDir;

use crate::harness::PATIENCE;
use crate::watchdog::{Watched, watch};

const PROGRAMS: [&str; 3] = ["/usr/bin/etcd", "/usr/sbin/etcd", "/usr/local/bin/etcd"];

/// Some members that know each other; gone with their data when this is dropped.
pub(crate) struct Etcd {
    members: Vec<Member>,
    flags: Vec<String>,
    folder: TempDir,
}

struct Member {
    address: IpAddr,
    client: u16,
    peer: u16,
    child: Option<(Child, Arc<Watched>)>,
}

/// Where etcd is, if it is installed; says so if not.
fn program() -> Option<PathBuf> {
    let found = PROGRAMS.into_iter().map(PathBuf::from).find(|path| path.exists());
    if found.is_none() {
        eprintln!(
            "SKIPPED: this test needs etcd: `make setup` installs it as root, or `apt-get install \
             etcd-server`"
        );
    }
    found
}

/// A loopback address that no other etcd of the tests has: on one that all share, a port that a member
/// leaves to come back to could be given to somebody else meanwhile.
fn own_address() -> IpAddr {
    static N_GIVEN: AtomicU32 = AtomicU32::new(0);
    let [.., third, fourth] = std::process::id().to_be_bytes();
    let given = N_GIVEN.fetch_add(1, Ordering::Relaxed) % 250 + 1;
    IpAddr::from([127, third.max(1), fourth, u8::try_from(given).unwrap()])
}

impl Etcd {
    /// Starts so many members; `None` where etcd is not installed.
    pub(crate) fn start(n_members: usize) -> Option<Self> {
        Self::start_with(n_members, "http", &[])
    }

    /// The same, with more flags, and clients spoken with by this scheme.
    pub(crate) fn start_with(n_members: usize, scheme: &str, flags: &[String]) -> Option<Self> {
        program()?;
        // What stands in a certificate is the usual address.
        let address = if scheme == "https" { IpAddr::from([127, 0, 0, 1]) } else { own_address() };
        // All are held until all are known, so that none is given twice.
        let held: Vec<TcpListener> =
            (0..2 * n_members).map(|_| TcpListener::bind((address, 0)).unwrap()).collect();
        let ports: Vec<u16> = held.iter().map(|it| it.local_addr().unwrap().port()).collect();
        drop(held);
        let members = ports.chunks(2).map(|ports| Member {
            address,
            client: ports[0],
            peer: ports[1],
            child: None,
        });
        let flags = flags.iter().cloned().chain([format!("scheme={scheme}")]).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut etcd = Self { members: members.collect(), flags, folder };
        (0..n_members).for_each(|member| etcd.run(member));
        Some(etcd)
    }

    /// Starts a member that is not running, on its data.
    pub(crate) fn run(&mut self, member: usize) {
        let scheme = self.flags.last().unwrap().strip_prefix("scheme=").unwrap();
        let cluster = self.members.iter().enumerate();
        let cluster = cluster.map(|(n, one)| format!("m{n}=http://{}:{}", one.address, one.peer));
        let cluster = cluster.collect::<Vec<_>>().join(",");
        let Member { address, client, peer, .. } = self.members[member];
        let log = std::fs::File::create(self.folder.path().join(format!("log{member}"))).unwrap();
        let child = Command::new(program().unwrap())
            .arg(format!("--name=m{member}"))
            .arg(format!("--data-dir={}", self.folder.path().join(format!("m{member}")).display()))
            .arg(format!("--listen-client-urls={scheme}://{address}:{client}"))
            .arg(format!("--advertise-client-urls={scheme}://{address}:{client}"))
            .arg(format!("--listen-peer-urls=http://{address}:{peer}"))
            .arg(format!("--initial-advertise-peer-urls=http://{address}:{peer}"))
            .arg(format!("--initial-cluster={cluster}"))
            .args(&self.flags[..self.flags.len() - 1])
            .env_clear()
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let watched = watch(&child, format!("etcd on port {client}"));
        self.members[member].child = Some((child, watched));
    }

    /// Ends a member as `kill -9` does.
    pub(crate) fn kill(&mut self, member: usize) {
        if let Some((mut child, _watched)) = self.members[member].child.take() {
            drop(child.kill());
            child.wait().unwrap();
        }
    }

    /// Lets a member stand still, or go on.
    pub(crate) fn signal(&self, member: usize, signal: Signal) {
        let (child, _) = self.members[member].child.as_ref().unwrap();
        kill_process(Pid::from_child(child), signal).unwrap();
        // The kernel stops one thread after the other, and until then they answer.
        while signal == Signal::STOP && !stands_still(child.id()) {
            std::thread::yield_now();
        }
    }

    /// `HOST:PORT` of a member.
    pub(crate) fn address(&self, member: usize) -> String {
        format!("{}:{}", self.members[member].address, self.members[member].client)
    }

    /// `HOST:PORT` of all members, with commas between, as `--store` takes them.
    pub(crate) fn addresses(&self) -> String {
        let all: Vec<String> = (0..self.members.len()).map(|member| self.address(member)).collect();
        all.join(",")
    }

    /// What `--store` says for it.
    pub(crate) fn url(&self) -> String {
        format!("etcd://{}", self.addresses())
    }

    /// How to reach it.
    pub(crate) fn settings(&self) -> EtcdSettings {
        settings(&self.url())
    }

    /// The store in it, once it answers.
    pub(crate) async fn store(&self) -> Store {
        let store = open(&self.url()).await.unwrap();
        self.answers(&store).await;
        store
    }

    /// How many requests a member was sent so far, those over streams not counted one by one.
    pub(crate) fn n_requests(&self, member: usize) -> u64 {
        let mut stream = TcpStream::connect(self.address(member)).unwrap();
        // In this version of HTTP the end of the connection ends the answer.
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let counts = text.lines().filter(|line| line.starts_with("grpc_server_started_total{"));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Waits until it answers.
    pub(crate) async fn answers(&self, store: &Store) {
        let since = Instant::now();
        while let Err(error) = store.get("").await {
            let log = || std::fs::read_to_string(self.folder.path().join("log0")).unwrap();
            assert!(matches!(error, StoreError::Away { .. }), "{error}");
            assert!(since.elapsed() < PATIENCE, "{error}\n{}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|member| self.kill(member));
    }
}

/// Whether all threads of a process are stopped.
fn stands_still(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.flatten().all(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    })
}

/// What the text says of etcd.
pub(crate) fn settings(url: &str) -> EtcdSettings {
    match StoreSettings::parse(url).unwrap() {
        StoreSettings::Etcd(settings) => settings,
        StoreSettings::Embedded(_) => panic!("{url} is not etcd"),
    }
}

/// The store that the text says.
pub(crate) async fn open(url: &str) -> Result<Store, StoreError> {
    Store::open(&StoreSettings::parse(url).unwrap()).await
}
