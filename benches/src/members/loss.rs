//! What a fleet loses: a host, the host that plans, and its store for a while.
//! Judges nothing: says how long it took.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::json;

use super::Fleet;
use super::etcd::{Etcd, Metrics};
use crate::load::pause;
use crate::report::{Report, Target};

/// Longest wait for a plan.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often etcd is looked at that comes back.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Kills a host that does not plan, and the one that plans, and takes the times until all that they had
/// is placed anew.
pub(super) fn of_hosts(fleet: &mut Fleet, report: &mut Report) -> Result<()> {
    let n_members = fleet.members.all.len();
    for (what, number) in [("a host", n_members / 2), ("the host that plans", 0)] {
        let name = fleet.members.all.get(number).context("no such member")?.name.clone();
        let apps = fleet.store.placed_on(&name)?;
        let n_apps = apps.len();
        let mut killed_at = Instant::now();
        let members = &mut fleet.members;
        let kill = || {
            killed_at = members.kill(number);
            Ok(())
        };
        let placed = fleet.store.placed_after(apps, PATIENCE, kill)?;
        let after =
            |at: Option<&(Instant, String)>| at.map(|(at, _)| (*at - killed_at).as_secs_f64());
        let measured = format!("loss of {what} to the new plan");
        match after(placed.last()).filter(|_| placed.len() == n_apps) {
            Some(time) => report.goal(&measured, time, "s", Target::AtMost(0.2)),
            None => {
                let why = format!("{} of {n_apps} apps in {PATIENCE:?}", placed.len());
                report.not_measured(&measured, &why, Target::AtMost(0.2));
            }
        }
        let first = after(placed.first());
        report.detail(
            &format!("loss_of_{what}").replace(' ', "_"),
            json!({ "apps": n_apps, "first_s": first }),
        );
        fleet.settle()?;
    }
    Ok(())
}

/// Takes the store away and brings it back.
pub(super) fn of_store(
    fleet: &mut Fleet,
    (seconds, stands_still): (u64, bool),
    report: &mut Report,
) -> Result<()> {
    if stands_still {
        fleet.etcd.signal(Signal::STOP)?;
    } else {
        fleet.etcd.kill()?;
    }
    pause(Duration::from_secs(seconds));
    let began_at = Instant::now();
    if stands_still {
        fleet.etcd.signal(Signal::CONT)?;
    } else {
        fleet.etcd.run()?;
    }
    let started = began_at.elapsed();
    let is_over = AtomicBool::new(false);
    let (back, seen) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| looks(&fleet.etcd, &is_over));
        let back = fleet.members.wait_until_in_touch();
        if back.is_ok() {
            // What they do once they are back belongs to it.
            pause(Duration::from_secs(5));
        }
        is_over.store(true, Ordering::Relaxed);
        let seen = looking.join().map_err(|_| anyhow::Error::msg("a thread panicked"))?;
        anyhow::Ok((back?, seen?))
    })?;
    let (first, last) = back;
    let measured = format!("all hosts back after etcd was away for {seconds} s");
    report.goal(&measured, last.as_secs_f64(), "s", Target::AtMost(5.0));
    let pairs: Vec<[&Metrics; 2]> = seen
        .windows(2)
        .filter_map(|pair| pair.iter().collect::<Vec<_>>().try_into().ok())
        .collect();
    let most = |of: fn(&Metrics) -> f64| {
        pairs.iter().map(|[one, other]| other.rate(one, of)).fold(0.0, f64::max)
    };
    let [Some(start), Some(end)] = [seen.first(), seen.last()] else {
        bail!("etcd was never seen")
    };
    report.detail(
        "back",
        json!({
            "etcd_started_s": started.as_secs_f64(),
            "first_s": first.as_secs_f64(),
            "last_s": last.as_secs_f64(),
            "asked": end.n_asked() - start.n_asked(),
            "told": end.n_told() - start.n_told(),
            "sent_bytes": end.sent() - start.sent(),
            "most_asked_per_s": most(Metrics::n_asked),
            "most_sent_bytes_per_s": most(Metrics::sent),
            "cpu_of_etcd_s": end.cpu() - start.cpu(),
        }),
    );
    Ok(())
}

fn looks(etcd: &Etcd, is_over: &AtomicBool) -> Result<Vec<Metrics>> {
    let mut seen = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        seen.push(etcd.metrics()?);
        pause(LOOK_EVERY);
    }
    Ok(seen)
}
