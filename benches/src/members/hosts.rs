//! The members: real hosts as processes of their own, and what they say and use together.
//! Does not know what is done with them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::load::pause;
use crate::plain::{Plain, fetch};
use crate::server::Server;

/// Threads that ask hosts at once, or start them.
const AT_ONCE: usize = 4;
/// Longest wait for what hosts shall come to.
const PATIENCE: Duration = Duration::from_secs(900);
/// What is as small as a host lets it be: these hosts run one guest of 128 KiB now and then.
const SMALL: [&str; 12] = [
    "--slots",
    "16",
    "--largest-memory",
    "16MiB",
    "--mapped-apps",
    "16",
    "--threads",
    "1",
    "--telemetry-memory",
    "4MiB",
    "--log",
    "warn,steerage=info",
];

/// How all members are started.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) program: PathBuf,
    pub(crate) folder: PathBuf,
    /// Where etcd is.
    pub(crate) store: SocketAddr,
    /// How much of etcd's history is kept.
    pub(crate) history: String,
}

/// One that runs.
pub(crate) struct Member {
    pub(crate) name: String,
    server: Server,
    admin: SocketAddr,
}

/// All that run.
pub(crate) struct Members {
    pub(crate) settings: Settings,
    pub(crate) all: Vec<Member>,
}

impl Member {
    /// Starts one, which has what its folder holds of an earlier time.
    fn start(settings: &Settings, number: usize) -> Result<Self> {
        let Settings { program, folder, store, history } = settings;
        let name = &format!("m{number:03}");
        let [listen, admin, peer] = doors(number)?;
        let log = folder.join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(program);
        command
            .args(["host", "--listen", &listen.to_string(), "--admin", &admin.to_string()])
            .args(["--peer", &peer.to_string(), "--insecure-peers", "true", "--name", name])
            .args(["--store", &format!("etcd://{store}"), "--store-history", history])
            // One that packs would have all of them on a few: they do nothing.
            .args(["--placement", "spread"])
            .arg("--data")
            .arg(folder.join(name))
            .arg("--cache")
            .arg(folder.join("cache"))
            .args(SMALL)
            .stdout(log.try_clone()?)
            .stderr(log);
        let server = Server::start_as_said(command, listen)?;
        Ok(Self { name: name.to_owned(), server, admin })
    }

    /// Where apps are called.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.server.address
    }

    pub(crate) fn api(&self) -> Result<Plain> {
        Plain::connect(self.admin)
    }

    /// Waits until it knows all apps of its fleet.
    fn wait_until_ready(&self) -> Result<()> {
        let began_at = Instant::now();
        while fetch(self.admin, "/readyz").is_err() {
            ensure!(began_at.elapsed() < PATIENCE, "{} does not come to be ready", self.name);
            pause(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Whether it has heard of the store in the last seconds, and its lease was kept alive in them.
    fn is_in_touch(&self) -> Result<bool> {
        let metrics = fetch(self.admin, "/metrics")?;
        let value = |name: &str| {
            let value = metrics.lines().find_map(|line| line.strip_prefix(name));
            value.and_then(|value| value.trim().parse::<f64>().ok())
        };
        let is_young = |name: &str| value(name).is_some_and(|age| age < YOUNG.as_secs_f64());
        let answers = value("fleet_store_answers ") == Some(1.0);
        Ok(answers && is_young("fleet_lease_age_seconds ") && is_young("fleet_view_age_seconds "))
    }
}

/// Where a member listens for callers, operators and other hosts. Each has an address of its own: on one
/// for all, a port that is free now is that of some connection a moment later.
fn doors(number: usize) -> Result<[SocketAddr; 3]> {
    let run = u8::try_from(std::process::id() % 250)?;
    let (high, low) = (u8::try_from(number / 250)?, u8::try_from(number % 250)?);
    let address = IpAddr::from([127, high + 1, run + 1, low + 1]);
    Ok([8080, 8081, 8082].map(|port| SocketAddr::new(address, port)))
}

/// A lease of 3 s is kept alive each second, and a watch that is silent says so each second.
const YOUNG: Duration = Duration::from_millis(2500);

impl Members {
    /// Starts so many more, some at once; returns when all of them know all apps.
    pub(crate) fn add(&mut self, n_members: usize) -> Result<()> {
        let first = self.all.len();
        let numbers: Vec<usize> = (first..first + n_members).collect();
        let settings = &self.settings;
        let started = in_threads(&numbers, |number| {
            let member = Member::start(settings, *number)?;
            member.wait_until_ready()?;
            if (number + 1).is_multiple_of(25) {
                eprintln!("{} members are ready", number + 1);
            }
            Ok(member)
        })?;
        self.all.extend(started);
        Ok(())
    }

    /// Starts one more, and says how long it took to know all apps.
    pub(crate) fn add_one(&mut self) -> Result<Duration> {
        let began_at = Instant::now();
        let member = Member::start(&self.settings, self.all.len())?;
        member.wait_until_ready()?;
        self.all.push(member);
        Ok(began_at.elapsed())
    }

    /// Ends one at once, and says which and when.
    pub(crate) fn kill(&mut self, number: usize) -> Instant {
        let killed_at = Instant::now();
        drop(self.all.remove(number));
        killed_at
    }

    pub(crate) fn first(&self) -> Result<&Member> {
        self.all.first().context("no member runs")
    }

    /// Bytes of memory that are the processes' own, on average.
    pub(crate) fn memory_each(&self) -> Result<f64> {
        let all = self.all.iter().map(|member| member.server.memory());
        let all: u64 = all.sum::<Result<u64>>()?;
        Ok(all as f64 / self.all.len().max(1) as f64)
    }

    /// Processor time that all have used so far.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        self.all.iter().map(|member| member.server.cpu_time()).sum()
    }

    /// The same of the one that came last.
    pub(crate) fn last_cpu_time(&self) -> Result<Duration> {
        self.all.last().context("no member runs")?.server.cpu_time()
    }

    /// Waits until each answers calls of an app with 200; when the last did so. Who has is not asked again.
    pub(crate) fn serve_everywhere(&self, app: &str) -> Result<()> {
        let path = format!("/{app}/");
        let asked: Result<Vec<()>> = in_threads(&self.all, |member| {
            let began_at = Instant::now();
            let mut caller = Plain::connect(member.listen())?;
            loop {
                let (status, text) = caller.ask("GET", &path, b"")?;
                if status == 200 {
                    return Ok(());
                }
                if began_at.elapsed() > PATIENCE {
                    bail!("{} does not serve {app}: {text}", member.name);
                }
                pause(Duration::from_millis(2));
            }
        });
        asked.map(drop)
    }

    /// Waits until all have heard of the store and kept their leases, after it was away; how long the
    /// first and the last took to be seen so. Looked at in turn, so with an error of one look at all.
    pub(crate) fn wait_until_in_touch(&self) -> Result<(Duration, Duration)> {
        let began_at = Instant::now();
        let mut away: BTreeSet<usize> = (0..self.all.len()).collect();
        let mut first = None;
        while !away.is_empty() {
            ensure!(began_at.elapsed() < PATIENCE, "{} members stay away", away.len());
            let asked: Vec<usize> = away.iter().copied().collect();
            let back = in_threads(&asked, |number| {
                let member = self.all.get(*number).context("no such member")?;
                Ok(member.is_in_touch()?.then_some(*number))
            })?;
            for number in back.into_iter().flatten() {
                away.remove(&number);
                first.get_or_insert_with(|| began_at.elapsed());
            }
        }
        Ok((first.unwrap_or_default(), began_at.elapsed()))
    }
}

/// Does work for each, some at once; what came of it in their order.
fn in_threads<T, W, R>(all: &[T], work: W) -> Result<Vec<R>>
where
    T: Sync,
    W: Fn(&T) -> Result<R> + Sync,
    R: Send,
{
    let next = AtomicUsize::new(0);
    let some = || -> Result<Vec<(usize, R)>> {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(place) else { return Ok(done) };
            done.push((place, work(one)?));
        }
    };
    let done: Result<Vec<Vec<_>>> = std::thread::scope(|scope| {
        let threads = [(); AT_ONCE].map(|()| scope.spawn(some));
        let ended = threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::Error::msg("a thread panicked"))?);
        ended.collect()
    });
    let mut done: Vec<(usize, R)> = done?.into_iter().flatten().collect();
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, what)| what).collect())
}

/// Makes an empty folder for members and their store.
pub(crate) fn prepare(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder.join("cache"))?;
    Ok(())
}
