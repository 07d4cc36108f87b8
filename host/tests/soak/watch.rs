//! The host seen from outside: what its process holds, and what it counts.
//! Judges nothing but whether everything was given back.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::harness::{Host, PATIENCE};

/// A running host as the kernel sees it.
#[derive(Clone, Debug)]
pub(crate) struct Process(u32);

/// What a host holds that serves nobody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    pub(crate) memory: u64,
    pub(crate) threads: u64,
    pub(crate) files: u64,
}

impl Process {
    pub(crate) fn of(host: &Host) -> Self {
        Self(host.pid())
    }

    fn field(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn memory(&self) -> u64 {
        self.field("RssAnon:") << 10
    }

    /// The most memory seen until then, and how often it was looked at.
    pub(crate) async fn most_until(self, until: Instant) -> (u64, u64) {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        let (mut most, mut n_samples) = (0, 0);
        while Instant::now() < until {
            tick.tick().await;
            most = most.max(self.memory());
            n_samples += 1;
        }
        (most, n_samples)
    }

    fn holds(&self) -> Settled {
        let files = self.files().values().sum();
        Settled { memory: self.memory(), threads: self.field("Threads:"), files }
    }

    /// How many file descriptors it has of each kind or path.
    fn files(&self) -> BTreeMap<String, u64> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(format!("/proc/{}/fd", self.0)).unwrap() {
            // One that was closed meanwhile has no target.
            let Ok(target) = std::fs::read_link(entry.unwrap().path()) else { continue };
            let target = target.to_string_lossy();
            let kind = if target.starts_with("socket:") { "socket" } else { &*target };
            *files.entry(kind.to_owned()).or_default() += 1;
        }
        files
    }
}

impl fmt::Display for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory, threads, files } = self;
        write!(f, "{} KiB, {threads} threads, {files} files", memory >> 10)
    }
}

/// Waits until everything is given back; with `before`, threads and files as well.
pub(crate) async fn settled(host: &Host, process: &Process, before: Option<&Settled>) -> Settled {
    let since = Instant::now();
    loop {
        // The question first: the connection that asks is one of the files, and the host may have
        // closed an idle one before.
        let mut held = gauges(&host.admin("GET", "/metrics", "").await.text());
        let now = process.holds();
        if let Some(before) = before {
            held.extend((now.threads > before.threads).then(|| format!("{now}")));
            held.extend(
                (now.files > before.files).then(|| format!("{now}: {:?}", process.files())),
            );
        }
        if held.is_empty() {
            return now;
        }
        assert!(since.elapsed() < PATIENCE, "still held: {held:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Everything that must be 0 when nobody has called for a while, and is not.
fn gauges(metrics: &str) -> Vec<String> {
    const ZERO: [&str; 6] = [
        "apps_mapped ",
        "http_server_active_requests{",
        "http_server_waiting_requests{",
        "guest_memory_in_use_bytes{",
        "pool_slots_used ",
        "http_server_connections ",
    ];
    for gauge in ZERO {
        assert!(metrics.contains(&format!("\n{gauge}")), "no {gauge} in {metrics}");
    }
    let held = |line: &&str| ZERO.iter().any(|gauge| line.starts_with(gauge));
    let lines = metrics.lines().filter(held).filter(|line| !line.ends_with(" 0"));
    lines.map(str::to_owned).collect()
}

/// How the calls of each app have ended.
pub(crate) async fn causes(host: &Host) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut causes: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for line in host.admin("GET", "/metrics", "").await.text().lines() {
        let Some(rest) = line.strip_prefix("guest_calls_total{app=\"") else { continue };
        let mut parts = rest.split('"');
        let (app, cause) = (parts.next().unwrap().to_owned(), parts.nth(1).unwrap().to_owned());
        let count: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        causes.entry(app).or_default().insert(cause, count);
    }
    causes
}
