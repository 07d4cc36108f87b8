//! A large fleet on one machine: real hosts as processes of their own, on one real etcd, with as many
//! apps as fit the memory. What the store sends, what being a member costs, and how long changes take.
//! All apps but one are copies of that one's records, and have its component, so that its code is compiled
//! once and kept once. Hosts speak plain text to each other.

mod deploys;
mod etcd;
mod hosts;
mod loss;
mod store;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use steerage_core::id::Digest;

use self::etcd::Etcd;
use self::hosts::{Members, Settings};
use self::store::Store;
use crate::apps::Template;
use crate::load::pause;
use crate::report::{Report, Target};

/// What a member takes without apps, and for each of them, in bytes: measured, and rounded up.
const MEMBER: u64 = 60 << 20;
const APP_OF_MEMBER: u64 = 2500;
/// So many members for each core: one uses 0.8 % at rest, and several times that when others come and go.
/// With twice as many they have no time to answer each other, lose their leases, and ask each other more.
const MEMBERS_OF_CORE: usize = 25;
/// Longest wait for the fleet to have nothing to do.
const PATIENCE: Duration = Duration::from_secs(900);
/// It has nothing to do when it has changed nothing in the store for so long.
const QUIET: Duration = Duration::from_secs(4);

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// How many hosts
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    members: usize,
    /// Also where there are more of them than the processors bear
    #[arg(long)]
    crowded: bool,
    /// How many apps
    #[arg(long, value_name = "COUNT", default_value_t = 5_000)]
    apps: usize,
    /// Seconds that are measured of a fleet that has nothing to do
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// New apps that are deployed one after the other
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    deploys: usize,
    /// How many of them begin in a second, at most
    #[arg(long, default_value_t = 2.0)]
    rate: f64,
    /// Deploys as fast as they go of apps that are there, for what etcd keeps of them
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    month: usize,
    /// Seconds that etcd is away
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    away: u64,
    /// Stop etcd while it is away with SIGSTOP, instead of ending and starting it
    #[arg(long)]
    stand_still: bool,
    /// How much of etcd's history the fleet keeps; the month is as short as this is
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    history: String,
    /// Keep the logs and the data here; must not be there yet
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Also write the results as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A fleet under measurement.
struct Fleet {
    members: Members,
    store: Store,
    etcd: Etcd,
    /// The component of all apps.
    component: Digest,
}

pub(crate) fn run(program: &Path, arguments: &Arguments) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let kept = arguments.keep.as_deref();
    let folder = kept.unwrap_or_else(|| folder.path());
    ensure!(kept.is_none_or(|kept| !kept.exists()), "{} is there already", folder.display());
    check_cores(arguments)?;
    check_memory(arguments)?;
    let mut report = Report::new("members");
    let mut fleet = build(program, folder, arguments, &mut report)?;
    rest(&fleet, arguments, &mut report)?;
    deploys::one_by_one(&fleet, (arguments.deploys, arguments.rate), &mut report)?;
    join(&mut fleet, arguments, &mut report)?;
    loss::of_hosts(&mut fleet, &mut report)?;
    fleet.settle()?;
    deploys::month(&fleet, arguments.month, &mut report)?;
    fleet.settle()?;
    loss::of_store(&mut fleet, (arguments.away, arguments.stand_still), &mut report)?;
    report.finish(arguments.json.as_deref())
}

/// Refuses more members than have time to answer each other.
fn check_cores(arguments: &Arguments) -> Result<()> {
    let n_cores = std::thread::available_parallelism()?.get();
    let (n_members, most) = (arguments.members, n_cores * MEMBERS_OF_CORE);
    ensure!(
        arguments.crowded || n_members <= most,
        "{n_cores} cores bear {most} members, and {n_members} are to be started: say --crowded to see \
         what comes of it"
    );
    Ok(())
}

/// Refuses what does not fit the memory that is free.
fn check_memory(arguments: &Arguments) -> Result<()> {
    let (n_members, n_apps) = (arguments.members as u64, arguments.apps as u64);
    let needed = n_members * (MEMBER + n_apps * APP_OF_MEMBER);
    let text = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let free = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let free = free.context("no MemAvailable in /proc/meminfo")? << 10;
    if needed > free {
        let most = (free / n_members.max(1)).saturating_sub(MEMBER) / APP_OF_MEMBER;
        bail!(
            "{n_members} members with {n_apps} apps need some {} MiB and {} MiB are free: with {most} \
             apps, or fewer members, they fit",
            needed >> 20,
            free >> 20
        );
    }
    Ok(())
}

/// Starts etcd and one host, puts the apps into the store, and starts the other hosts, which learn of them
/// as hosts do that join. Only then is planned, once.
fn build(
    program: &Path,
    folder: &Path,
    arguments: &Arguments,
    report: &mut Report,
) -> Result<Fleet> {
    hosts::prepare(folder)?;
    let etcd = Etcd::start(folder)?;
    let settings = Settings {
        program: program.to_owned(),
        folder: folder.to_owned(),
        store: etcd.client,
        history: arguments.history.clone(),
    };
    let mut members = Members { settings, all: Vec::new() };
    members.add(1)?;
    let store = Store::connect(etcd.client)?;
    let wasm = Template::tiny(Duration::ZERO)?.wasm;
    let sha: [u8; 32] = Sha256::digest(&wasm).into();
    let component = Digest::from_bytes(sha);
    let mut api = members.first()?.api()?;
    let upload = format!("/v1/blobs/{component}");
    deploys::expect_success(api.ask("PUT", &upload, &wasm)?)?;
    let mut fleet = Fleet { members, store, etcd, component };
    deploys::deploy(&mut api, &component, &app_name(0))?;
    // Alone it would have all of them.
    deploys::expect_success(api.ask("POST", "/v1/fleet/freeze", b"{}")?)?;
    let names: Vec<String> = (1..arguments.apps).map(app_name).collect();
    fleet.store.copy_app(&app_name(0), sha, &names)?;
    eprintln!("{} apps are in the store", arguments.apps);
    let began_at = Instant::now();
    fleet.members.add(arguments.members.saturating_sub(1))?;
    let joined = began_at.elapsed();
    eprintln!("{} members are ready after {joined:.0?}", arguments.members);
    fleet.settle()?;
    let all: BTreeSet<String> = names.into_iter().collect();
    let began_at = Instant::now();
    let thaw = || deploys::expect_success(api.ask("POST", "/v1/fleet/thaw", b"{}")?);
    let placed = fleet.store.placed_after(all, PATIENCE, thaw)?;
    let planned = placed.last().map_or(Duration::ZERO, |(at, _)| *at - began_at);
    while fleet.store.count("observed/ready/")? < arguments.apps as u64 {
        ensure!(began_at.elapsed() < PATIENCE, "apps do not come to be ready");
        pause(Duration::from_millis(200));
    }
    let ready = began_at.elapsed();
    eprintln!("all apps are placed after {planned:.1?} and ready after {ready:.1?}");
    fleet.settle()?;
    report.detail("join_of_all_s", json!(joined.as_secs_f64()));
    report.detail("first_plan_s", json!(planned.as_secs_f64()));
    report.detail("all_ready_s", json!(ready.as_secs_f64()));
    Ok(fleet)
}

/// What is used while nothing is done.
fn rest(fleet: &Fleet, arguments: &Arguments, report: &mut Report) -> Result<()> {
    let (before, used) = (fleet.etcd.metrics()?, fleet.members.cpu_time()?);
    pause(Duration::from_secs(arguments.seconds.max(1)));
    let (after, used) = (fleet.etcd.metrics()?, fleet.members.cpu_time()?.saturating_sub(used));
    let time = after.at.duration_since(before.at).as_secs_f64();
    let egress = after.rate(&before, etcd::Metrics::sent) / 1e6;
    report.goal("sent by etcd, at rest", egress, "MB/s", Target::AtMost(2.0));
    let each = used.as_secs_f64() / time / fleet.members.all.len() as f64 * 100.0;
    report.goal("CPU of a member, at rest", each, "% of a core", Target::AtMost(3.0));
    report
        .detail("asked_of_etcd_at_rest_per_s", json!(after.rate(&before, etcd::Metrics::n_asked)));
    report.detail(
        "cpu_of_etcd_at_rest_percent",
        json!(after.rate(&before, etcd::Metrics::cpu) * 100.0),
    );
    report.detail("members", json!(fleet.members.all.len()));
    report.detail("apps", json!(arguments.apps));
    report
        .detail("memory_of_a_member_mib", json!(fleet.members.memory_each()? / f64::from(1 << 20)));
    report.detail("bytes_of_an_app_in_etcd", json!(after.in_use() / arguments.apps as f64));
    Ok(())
}

/// One host more, which knows of no app yet.
fn join(fleet: &mut Fleet, arguments: &Arguments, report: &mut Report) -> Result<()> {
    let (before, used) = (fleet.etcd.metrics()?, fleet.members.cpu_time()?);
    let took = fleet.members.add_one()?;
    let (after, own) = (fleet.etcd.metrics()?, fleet.members.last_cpu_time()?);
    let others = fleet.members.cpu_time()?.saturating_sub(used).saturating_sub(own);
    let measured = format!("a new host of {} apps: start to ready", arguments.apps);
    report.goal(&measured, took.as_secs_f64(), "s", Target::AtMost(5.0));
    report.detail(
        "join",
        json!({
            "cpu_s": own.as_secs_f64(),
            "cpu_of_all_others_s": others.as_secs_f64(),
            "cpu_of_etcd_s": after.cpu() - before.cpu(),
            "asked": after.n_asked() - before.n_asked(),
            "sent_bytes": after.sent() - before.sent(),
        }),
    );
    fleet.settle()
}

impl Fleet {
    /// Waits until nothing changes any more.
    fn settle(&self) -> Result<()> {
        let began_at = Instant::now();
        let (mut revision, mut since) = (self.store.revision()?, Instant::now());
        while since.elapsed() < QUIET {
            ensure!(began_at.elapsed() < PATIENCE, "the fleet does not come to rest");
            pause(Duration::from_millis(200));
            let now = self.store.revision()?;
            if now != revision {
                (revision, since) = (now, Instant::now());
            }
        }
        Ok(())
    }
}

fn app_name(number: usize) -> String {
    format!("app-{number:07}")
}
