//! Deploys to a fleet: one after the other, each until all members serve it; and very many, for what
//! the store keeps of them.
//! Goes through the control API of hosts, as anybody would.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use serde_json::json;
use steerage_core::id::Digest;

use super::{Fleet, app_name, etcd};
use crate::load::pause;
use crate::plain::Plain;
use crate::report::{Report, Target};

/// Connections that deploy at once, each to another host.
const N_DEPLOYING: usize = 4;
/// Apps that are deployed again and again: the store keeps 20 deployments of each.
const N_AGAIN: usize = 25;

/// Refuses what is no success.
pub(super) fn expect_success((status, text): (u16, String)) -> Result<()> {
    if status / 100 != 2 {
        bail!("{text}");
    }
    Ok(())
}

/// Deploys an app at `/its-name/...`, and waits until it is ready where it is placed.
pub(super) fn deploy(api: &mut Plain, component: &Digest, name: &str) -> Result<()> {
    let manifest = format!(
        "name = {name:?}\nversion = \"1.0.0\"\nsource = \"none\"\n\n[[route]]\npath = \"/{name}/...\"\n"
    );
    let request = json!({
        "manifest": manifest, "component": component.to_string(), "watch": "never",
    });
    let (path, body) = (format!("/v1/apps/{name}/deployments"), serde_json::to_vec(&request)?);
    expect_success(api.ask("POST", &path, &body)?).with_context(|| format!("deploying {name}"))
}

/// Deploys new apps, each through another member, and takes the time until all serve it.
pub(super) fn one_by_one(
    fleet: &Fleet,
    (n_deploys, rate): (usize, f64),
    report: &mut Report,
) -> Result<()> {
    let mut acknowledged = Histogram::<u64>::new(3)?;
    let mut everywhere = Histogram::<u64>::new(3)?;
    let (before, used) = (fleet.etcd.metrics()?, fleet.members.cpu_time()?);
    for (number, member) in fleet.members.all.iter().cycle().take(n_deploys).enumerate() {
        let (name, began_at) = (format!("new-{number:07}"), Instant::now());
        deploy(&mut member.api()?, &fleet.component, &name)?;
        acknowledged.record(micros(began_at.elapsed()))?;
        fleet.members.serve_everywhere(&name)?;
        everywhere.record(micros(began_at.elapsed()))?;
        pause(Duration::from_secs_f64(1.0 / rate).saturating_sub(began_at.elapsed()));
    }
    let after = fleet.etcd.metrics()?;
    let used = fleet.members.cpu_time()?.saturating_sub(used).as_secs_f64();
    let (time, n_members) =
        (after.at.duration_since(before.at).as_secs_f64(), fleet.members.all.len());
    let egress = after.rate(&before, etcd::Metrics::sent) / 1e6;
    let measured = format!("sent by etcd, {:.1} deploys a second", n_deploys as f64 / time);
    report.goal(&measured, egress, "MB/s", Target::AtMost(2.0));
    let seconds =
        |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
    let p99 = seconds(&everywhere, 0.99);
    report.goal("deploy to serving everywhere, p99", p99, "s", Target::AtMost(1.0));
    report.detail("deploy_acknowledged_s", quantiles(&acknowledged));
    report.detail("deploy_everywhere_s", quantiles(&everywhere));
    report.detail(
        "bytes_sent_by_etcd_per_deploy",
        json!((after.sent() - before.sent()) / n_deploys as f64),
    );
    report.detail(
        "cpu_of_a_member_with_deploys_percent",
        json!(used / time / n_members as f64 * 100.0),
    );
    Ok(())
}

/// Deploys apps that are there again and again, as fast as it goes, and looks at what the store keeps once
/// half of that was done, and at the end.
pub(super) fn month(fleet: &Fleet, n_deploys: usize, report: &mut Report) -> Result<()> {
    let half = n_deploys / 2;
    // As many deployments are kept from then on as before.
    let mut kept = Vec::new();
    let (began_at, before) = (Instant::now(), fleet.etcd.metrics()?);
    for n_deploys in [half, n_deploys - half] {
        again_and_again(fleet, n_deploys)?;
        kept.push(compacted(fleet)?);
    }
    let sent = fleet.etcd.metrics()?.sent() - before.sent();
    let [first, last] = *kept.as_slice() else { bail!("two halves") };
    let n_apps = fleet.store.count("desired/apps/")? as f64;
    report.goal(
        "etcd's bytes of an app, before",
        before.in_use() / n_apps,
        "B",
        Target::AtMost(600.0),
    );
    report.goal("etcd's bytes of an app, after a month", last / n_apps, "B", Target::AtMost(600.0));
    report.goal(
        "growth over the second half of it",
        (last / first - 1.0) * 100.0,
        "%",
        Target::AtMost(1.0),
    );
    report.detail("month_deploys", json!(n_deploys));
    report.detail("month_s", json!(began_at.elapsed().as_secs_f64()));
    report.detail("month_in_use_bytes", json!([before.in_use(), first, last]));
    report.detail("month_sent_by_etcd_bytes", json!(sent));
    Ok(())
}

fn again_and_again(fleet: &Fleet, n_deploys: usize) -> Result<()> {
    let next = AtomicUsize::new(0);
    let work = |place: usize| -> Result<()> {
        let member = fleet.members.all.get(place % fleet.members.all.len()).context("no member")?;
        let mut api = member.api()?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= n_deploys {
                return Ok(());
            }
            // Two that deploy one app at once would refuse one another.
            let app = number / N_DEPLOYING % N_AGAIN * N_DEPLOYING + place;
            deploy(&mut api, &fleet.component, &app_name(app))?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..N_DEPLOYING).map(|place| scope.spawn(move || work(place))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| anyhow::Error::msg("a thread panicked"))?
        })
    })
}

/// Waits until the store's history is compacted, and says what is in use then.
fn compacted(fleet: &Fleet) -> Result<f64> {
    fleet.settle()?;
    let mut least = f64::INFINITY;
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_secs(15) {
        let now = fleet.etcd.metrics()?.in_use();
        if now < least {
            (least, since) = (now, Instant::now());
        }
        pause(Duration::from_millis(500));
    }
    Ok(least)
}

fn quantiles(histogram: &Histogram<u64>) -> serde_json::Value {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
    json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": histogram.max() as f64 / 1e6 })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
