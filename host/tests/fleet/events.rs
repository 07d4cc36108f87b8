//! What happens to the fleet under load, one function for each, and what must hold then.
//! Does not make load and does not judge: `trial` does both.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use http::Method;
use rustix::process::Signal;
use serde_json::json;

use crate::harness::says;
use crate::trial::{APPS, app, manifest};
use crate::world::{HOSTS, LEASE, MEMBERS, World};

/// Something that happens to a fleet.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: &'static str,
    pub(crate) act: fn(&mut World) -> anyhow::Result<Happened>,
    pub(crate) target: Target,
}

/// What must hold while it happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) failures: Failures,
    /// How long until all is as wanted again.
    pub(crate) restored: Option<Duration>,
}

/// Which requests may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failures {
    /// None at all.
    None,
    /// Those that are not idempotent: nobody can know whether they were carried out.
    Posts,
    /// Besides, those that were under way to the host that was lost, which says nothing any more.
    There,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Happened {
    /// The host it happened to.
    pub(crate) to: Option<usize>,
    /// How long until all was as wanted again.
    pub(crate) restored: Option<Duration>,
    /// Besides.
    pub(crate) note: String,
}

const NONE: Target = Target { failures: Failures::None, restored: None };

/// All of them. Each begins with a fleet at rest, and leaves one that comes to rest by itself.
pub(crate) const EVENTS: [Event; 14] = [
    Event { name: "nothing", act: nothing, target: NONE },
    Event { name: "drain of a host", act: drain, target: NONE },
    Event { name: "rolling update of an app", act: update, target: NONE },
    Event { name: "rolling restart of all hosts", act: restart_all, target: NONE },
    Event {
        name: "kill -9 of a host",
        act: kill,
        target: Target { failures: Failures::Posts, restored: Some(Duration::from_secs(2)) },
    },
    Event {
        name: "SIGSTOP of a host",
        act: freeze,
        target: Target {
            failures: Failures::There,
            restored: Some(LEASE.saturating_add(Duration::from_secs(1))),
        },
    },
    Event {
        name: "cable cut of a host",
        act: cut,
        target: Target {
            failures: Failures::There,
            restored: Some(LEASE.saturating_add(Duration::from_secs(1))),
        },
    },
    Event { name: "one etcd member killed", act: lose_member, target: NONE },
    Event { name: "etcd without a quorum", act: lose_quorum, target: NONE },
    Event { name: "a host restarted without etcd", act: restart_without_store, target: NONE },
    Event { name: "etcd restarted from disk", act: restart_store, target: NONE },
    Event { name: "a host cut off from etcd", act: part_from_store, target: NONE },
    Event {
        name: "two hosts cut off from each other",
        act: part_hosts,
        target: Target { failures: Failures::Posts, restored: None },
    },
    Event {
        name: "kill -9 in the middle of deploys",
        act: kill_in_deploys,
        target: Target { failures: Failures::Posts, restored: None },
    },
];

/// For comparison.
fn nothing(world: &mut World) -> anyhow::Result<Happened> {
    world.pause(Duration::from_secs(2));
    Ok(Happened::default())
}

fn drain(world: &mut World) -> anyhow::Result<Happened> {
    let host = busiest(world, 0)?;
    let began_at = Instant::now();
    world.steerage(via(host), &["drain", HOSTS[host], "--timeout", "20"])?;
    let restored = Some(began_at.elapsed());
    for app in apps() {
        let replicas = world.replicas(via(host), &app)?;
        ensure!(!replicas.states.contains_key(HOSTS[host]), "{app} after the drain: {replicas:?}");
    }
    world.pause(Duration::from_secs(1));
    world.steerage(via(host), &["uncordon", HOSTS[host]])?;
    Ok(Happened { to: Some(host), restored, ..Happened::default() })
}

fn update(world: &mut World) -> anyhow::Result<Happened> {
    let name = app(1);
    let began_at = Instant::now();
    let said = world.deploy(1, &says(&format!("{name} updated")), &manifest(&name))?;
    ensure!(said.is_success(), "{said:?}");
    let acknowledged = began_at.elapsed();
    for (host, at) in HOSTS.iter().enumerate() {
        world.until(&format!("update at {at}"), || {
            let said = world.get(host, &format!("/{name}"))?;
            ensure!(said.text.contains("updated"), "{said:?}");
            Ok(())
        })?;
    }
    let restored = Some(began_at.elapsed());
    world.pause(Duration::from_secs(1));
    let note = format!("acknowledged after {} ms", acknowledged.as_millis());
    Ok(Happened { to: None, restored, note })
}

fn restart_all(world: &mut World) -> anyhow::Result<Happened> {
    for (host, name) in HOSTS.iter().enumerate() {
        world.signal(host, Signal::TERM)?;
        let status = world.wait_for_end(host)?;
        ensure!(status.success(), "{name} ended with {status}");
        world.start_host(host)?;
        world.settle(&apps())?;
    }
    Ok(Happened::default())
}

fn kill(world: &mut World) -> anyhow::Result<Happened> {
    let host = busiest(world, 0)?;
    let began_at = Instant::now();
    world.kill_host(host)?;
    let restored = Some(restored(world, host, began_at)?);
    world.pause(Duration::from_secs(1));
    world.start_host(host)?;
    world.settle(&apps())?;
    Ok(Happened { to: Some(host), restored, ..Happened::default() })
}

fn freeze(world: &mut World) -> anyhow::Result<Happened> {
    let host = busiest(world, 1)?;
    let began_at = Instant::now();
    world.signal(host, Signal::STOP)?;
    let came_back = restored(world, host, began_at);
    world.pause(Duration::from_secs(1));
    world.signal(host, Signal::CONT)?;
    let restored = Some(came_back?);
    world.settle(&apps())?;
    Ok(Happened { to: Some(host), restored, ..Happened::default() })
}

fn cut(world: &mut World) -> anyhow::Result<Happened> {
    let host = busiest(world, 2)?;
    let began_at = Instant::now();
    world.network().cut(HOSTS[host])?;
    let came_back = restored(world, host, began_at);
    world.pause(Duration::from_secs(1));
    world.network().mend(HOSTS[host])?;
    let restored = Some(came_back?);
    world.settle(&apps())?;
    Ok(Happened { to: Some(host), restored, ..Happened::default() })
}

fn lose_member(world: &mut World) -> anyhow::Result<Happened> {
    let leader = world.leader()?;
    world.kill_member(leader)?;
    // Two of three decide, once they have agreed on a leader.
    let accepted = change_accepted(world)?;
    world.pause(Duration::from_secs(2));
    world.start_member(leader)?;
    world.wait_for_member(leader)?;
    let note = format!("it led; changes accepted again after {} ms", accepted.as_millis());
    Ok(Happened { note, ..Happened::default() })
}

/// A host that starts without the store knows what it knew.
fn restart_without_store(world: &mut World) -> anyhow::Result<Happened> {
    let host = busiest(world, 2)?;
    world.kill_member(0)?;
    world.kill_member(1)?;
    world.pause(Duration::from_secs(1));
    world.signal(host, Signal::TERM)?;
    let status = world.wait_for_end(host)?;
    ensure!(status.success(), "{} ended with {status}", HOSTS[host]);
    let began_at = Instant::now();
    world.start_host(host)?;
    for app in apps() {
        world.until(&format!("{app} at {}", HOSTS[host]), || {
            let said = world.get(host, &format!("/{app}"))?;
            ensure!(said.is_success(), "{said:?}");
            Ok(())
        })?;
    }
    let restored = Some(began_at.elapsed());
    world.pause(Duration::from_secs(1));
    world.start_member(0)?;
    world.start_member(1)?;
    world.settle(&apps())?;
    Ok(Happened { to: Some(host), restored, ..Happened::default() })
}

fn lose_quorum(world: &mut World) -> anyhow::Result<Happened> {
    let lost_at = Instant::now();
    world.kill_member(1)?;
    world.kill_member(2)?;
    world.pause(Duration::from_secs(2));
    let refused = changes_refused(world)?;
    world.pause(without_quorum().saturating_sub(lost_at.elapsed()));
    world.start_member(1)?;
    world.start_member(2)?;
    let back_at = Instant::now();
    change_accepted(world)?;
    let restored = Some(back_at.elapsed());
    let note = format!("changes refused within {} ms", refused.as_millis());
    Ok(Happened { to: None, restored, note })
}

fn restart_store(world: &mut World) -> anyhow::Result<Happened> {
    for member in 0..MEMBERS.len() {
        world.kill_member(member)?;
    }
    world.pause(Duration::from_secs(1));
    for member in 0..MEMBERS.len() {
        world.start_member(member)?;
    }
    let back_at = Instant::now();
    change_accepted(world)?;
    Ok(Happened { restored: Some(back_at.elapsed()), ..Happened::default() })
}

fn part_from_store(world: &mut World) -> anyhow::Result<Happened> {
    let host = busiest(world, 3)?;
    world.network().part(HOSTS[host], &MEMBERS)?;
    // Longer than its lease: the others take what it had.
    world.pause(LEASE + Duration::from_secs(3));
    let name = app(3);
    let began_at = Instant::now();
    let said = world.deploy(via(host), &says(&format!("{name} updated")), &manifest(&name))?;
    ensure!(said.is_success(), "{said:?}");
    let note = format!("a deploy elsewhere took {} ms", began_at.elapsed().as_millis());
    let answers = apps().iter().map(|app| world.get(host, &format!("/{app}"))).collect::<Vec<_>>();
    let change = world.admin(host, Method::PUT, &scale_path(&app(2)), scale_body(2));
    world.network().join(HOSTS[host], &MEMBERS)?;
    for answer in answers {
        let answer = answer?;
        ensure!(answer.is_success(), "{} answers {answer:?}", HOSTS[host]);
    }
    let change = change?;
    ensure!(change.status == 503, "a change through {}: {change:?}", HOSTS[host]);
    world.settle(&apps())?;
    // What it knew meanwhile is not what is wanted now.
    world.until(&format!("update at {}", HOSTS[host]), || {
        let said = world.get(host, &format!("/{name}"))?;
        ensure!(said.text.contains("updated"), "{said:?}");
        Ok(())
    })?;
    Ok(Happened { to: Some(host), note, ..Happened::default() })
}

fn part_hosts(world: &mut World) -> anyhow::Result<Happened> {
    world.network().part(HOSTS[0], &[HOSTS[1]])?;
    world.pause(LEASE + Duration::from_secs(1));
    world.network().join(HOSTS[0], &[HOSTS[1]])?;
    world.settle(&apps())?;
    Ok(Happened::default())
}

/// A process that is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Host(usize),
    Member(usize),
}

/// The host that deploys go through.
const DOOR: usize = 3;
/// Who is killed, in turn: mostly the host that is asked, and some that take part.
const VICTIMS: [Victim; 6] = [
    Victim::Host(DOOR),
    Victim::Host(0),
    Victim::Host(DOOR),
    Victim::Member(0),
    Victim::Host(DOOR),
    Victim::Host(1),
];

/// Deploys of one app, during each of which a process is killed: at moments from the beginning of a
/// deploy to as long after its end. A deploy that was not acknowledged may have been done: whole, or
/// not at all.
fn kill_in_deploys(world: &mut World) -> anyhow::Result<Happened> {
    let name = "probe";
    let mut last = "probe 0".to_owned();
    let said = world.deploy(DOOR, &says("probe before"), &manifest(name))?;
    ensure!(said.is_success(), "{said:?}");
    let began_at = Instant::now();
    let said = world.deploy(DOOR, &says(&last), &manifest(name))?;
    ensure!(said.is_success(), "{said:?}");
    let usual = began_at.elapsed();
    let n_deploys: u32 = crate::setting("STEERAGE_FLEET_DEPLOYS").unwrap_or(6);
    let (mut n_acknowledged, mut n_found) = (0, 0);
    for (round, victim) in (1..=n_deploys).zip(VICTIMS.into_iter().cycle()) {
        let text = format!("probe {round}");
        let after = usual.mul_f64(2.0 * f64::from(round) / f64::from(n_deploys));
        let is_acknowledged = killed_deploy(world, victim, &text, after)?;
        let found = probe(world, name, victim)?;
        let what = format!("{victim:?} was killed {after:?} after the deploy of {text} began");
        ensure!(found == text || found == last, "neither {last} nor {text}: {found}; {what}");
        ensure!(found == text || !is_acknowledged, "acknowledged, but lost: {found}; {what}");
        n_acknowledged += u32::from(is_acknowledged);
        n_found += u32::from(found == text);
        last = found;
        match victim {
            Victim::Host(host) => world.start_host(host)?,
            Victim::Member(member) => {
                world.start_member(member)?;
                world.wait_for_member(member)?;
            }
        }
        world.settle(&apps())?;
        // A host that comes back learns what became of it.
        for (host, at) in HOSTS.iter().enumerate() {
            world.until(&format!("{last} at {at}; {what}"), || {
                let said = world.get(host, "/probe")?;
                ensure!(said.is_success() && said.text == last, "{said:?}");
                Ok(())
            })?;
        }
    }
    leftovers(world)?;
    let said = world.admin(0, Method::DELETE, &format!("/v1/apps/{name}"), "")?;
    ensure!(said.is_success(), "{said:?}");
    let note = format!("{n_deploys} deploys, {n_acknowledged} acknowledged, {n_found} survived");
    Ok(Happened { note, ..Happened::default() })
}

/// Whether the deploy was acknowledged, although a process was killed.
fn killed_deploy(
    world: &mut World,
    victim: Victim,
    text: &str,
    after: Duration,
) -> anyhow::Result<bool> {
    let (wasm, manifest) = (says(text), manifest("probe"));
    let pid = match victim {
        Victim::Host(host) => world.pid(host)?,
        Victim::Member(member) => world.pid_of_member(member)?,
    };
    let killer = std::thread::spawn(move || {
        std::thread::park_timeout(after);
        rustix::process::kill_process(pid, Signal::KILL)
    });
    // The connection breaks when the host is gone.
    let said = world.deploy(DOOR, &wasm, &manifest);
    killer.join().map_err(|_| anyhow::anyhow!("the killer panicked"))??;
    match victim {
        Victim::Host(host) => world.kill_host(host)?,
        Victim::Member(member) => world.kill_member(member)?,
    }
    Ok(said.is_ok_and(|said| said.is_success()))
}

/// What the probe says at every host that is there, once they agree.
fn probe(world: &World, name: &str, victim: Victim) -> anyhow::Result<String> {
    let lost = match victim {
        Victim::Host(host) => Some(host),
        Victim::Member(_) => None,
    };
    let other = lost.map_or(0, via);
    let path = format!("/{name}");
    world.until("one answer of the probe", || {
        let mut texts = Vec::new();
        for (host, name) in HOSTS.iter().enumerate().filter(|(host, _)| Some(*host) != lost) {
            let said = world.get(host, &path)?;
            ensure!(said.is_success(), "{name}: {said:?}");
            texts.push(said.text);
        }
        let first = texts.first().cloned().context("no hosts")?;
        ensure!(texts.iter().all(|text| *text == first), "{texts:?}");
        // And it is the one that is wanted, at all replicas that are wanted.
        let replicas = world.replicas(other, name)?;
        let lost = lost.map(|host| HOSTS[host]);
        let n_ready = replicas.ready().filter(|ready| Some(*ready) != lost).count();
        ensure!(n_ready as u64 >= replicas.wanted, "{replicas:?}");
        Ok(first)
    })
}

/// Fails if the store holds deployments that nobody wants, or claims without an app.
fn leftovers(world: &World) -> anyhow::Result<()> {
    let keys = world.wait(async {
        let members: Vec<_> = world.store().iter().map(|ip| format!("{ip}:2379")).collect();
        let mut store = etcd_client::Client::connect(members, None).await?;
        let all = etcd_client::GetOptions::new().with_prefix();
        let read = store.get("/steerage/desired/", Some(all)).await?;
        let read = read.kvs().iter().map(|kv| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(kv.key()), text(kv.value()))
        });
        anyhow::Ok(read.collect::<Vec<_>>())
    })?;
    let has = |key: &str| keys.iter().any(|(known, _)| known == key);
    for (key, value) in &keys {
        let rest = key.trim_start_matches("/steerage/desired/");
        if let Some(deployment) = rest.strip_prefix("deployments/") {
            let (app, generation) = deployment.split_once('/').context("a generation")?;
            let last = format!("/steerage/desired/last/{app}");
            let last = keys.iter().find(|(key, _)| *key == last).context("a last generation")?;
            let (generation, last): (u64, u64) = (generation.parse()?, last.1.parse()?);
            ensure!(generation <= last, "{key} was never acknowledged: the last one is {last}");
            ensure!(has(&format!("/steerage/desired/apps/{app}")), "{key} belongs to no app");
        } else if rest.starts_with("routes/") {
            ensure!(has(&format!("/steerage/desired/apps/{value}")), "{key} belongs to no app");
        }
    }
    Ok(())
}

/// How long the store is without a quorum.
fn without_quorum() -> Duration {
    Duration::from_secs(crate::setting("STEERAGE_FLEET_QUORUM_SECONDS").unwrap_or(5).into())
}

/// Fails unless every host refuses a change, clearly and soon; says how long the slowest took.
fn changes_refused(world: &World) -> anyhow::Result<Duration> {
    let mut slowest = Duration::ZERO;
    for (host, name) in HOSTS.iter().enumerate() {
        let began_at = Instant::now();
        let said = world.admin(host, Method::PUT, &scale_path(&app(2)), scale_body(2))?;
        ensure!(said.status == 503, "{name} without a quorum: {said:?}");
        ensure!(said.text.contains("store"), "this does not say why: {said:?}");
        slowest = slowest.max(began_at.elapsed());
    }
    Ok(slowest)
}

/// How long until a change is accepted through every host.
fn change_accepted(world: &World) -> anyhow::Result<Duration> {
    let began_at = Instant::now();
    for (host, name) in HOSTS.iter().enumerate() {
        world.until(&format!("change through {name}"), || {
            let said = world.admin(host, Method::PUT, &scale_path(&app(2)), scale_body(2))?;
            ensure!(said.is_success(), "{said:?}");
            Ok(())
        })?;
    }
    Ok(began_at.elapsed())
}

fn scale_path(app: &str) -> String {
    format!("/v1/apps/{app}/scale")
}

fn scale_body(replicas: u32) -> String {
    json!({ "replicas": replicas }).to_string()
}

/// How long until every app has all its replicas elsewhere than on this host.
fn restored(world: &World, lost: usize, since: Instant) -> anyhow::Result<Duration> {
    let other = via(lost);
    for app in apps() {
        world.until(&format!("{app} elsewhere"), || {
            let replicas = world.replicas(other, &app)?;
            let n_ready = replicas.ready().filter(|ready| *ready != HOSTS[lost]).count();
            ensure!(n_ready as u64 >= replicas.wanted, "{replicas:?}");
            Ok(())
        })?;
    }
    Ok(since.elapsed())
}

/// The host with most replicas; of those with as many, the first from this one on.
fn busiest(world: &World, from: usize) -> anyhow::Result<usize> {
    let mut counts = [0_usize; HOSTS.len()];
    for app in apps() {
        for ready in world.replicas(0, &app)?.ready() {
            let Some(host) = HOSTS.iter().position(|name| *name == ready) else {
                bail!("{app} is on a host named {ready}");
            };
            counts[host] += 1;
        }
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    ensure!(most > 0, "no host has any replica");
    let order = (0..HOSTS.len()).map(|step| (from + step) % HOSTS.len());
    order.into_iter().find(|host| counts[*host] == most).context("no host")
}

/// A host to ask about another one.
fn via(host: usize) -> usize {
    (host + 1) % HOSTS.len()
}

fn apps() -> Vec<String> {
    (0..APPS).map(app).collect()
}
