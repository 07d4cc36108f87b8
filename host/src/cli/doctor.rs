//! `steerage doctor`: what a host on this machine would be, what the machine lacks for it, and which
//! setting to change to what.
//! Only shows: `core::doctor` judges, `kernel` looks.

use jiff::Timestamp;
use serde::Serialize;
use steerage_core::doctor::doors::{self, AUTHORITY, Outside, Taken, Validity};
use steerage_core::doctor::{self, Condition, Finding};
use steerage_core::expiry::Expiry;
use steerage_core::units::{Bytes, show_duration};

use super::args::Doctor;
use super::screen::{Screen, Tone};
use super::table::Facts;
use super::{host, human};
use crate::api::auth::Token;
use crate::config::Settings;
use crate::identity::Identity;
use crate::kernel::{self, ports};
use crate::ledger;
use crate::telemetry::chain;

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report {
    settings: Effective,
    checks: Vec<Check>,
}

/// The settings in effect, computed ones included.
#[derive(Debug, Serialize)]
struct Effective {
    slots: u32,
    largest_memory_bytes: u64,
    keep_resident_bytes: u64,
    memory_budget_bytes: u64,
    memory_overcommit: f64,
    /// For components and compiled code; nothing where there is no bound.
    disk_components_bytes: Option<u64>,
    mapped_apps: u32,
    idle_apps_s: u64,
    threads: usize,
    slice_fuel: u64,
    queue: u32,
    connections: usize,
}

#[derive(Debug, Serialize)]
struct Check {
    subject: &'static str,
    verdict: &'static str,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trade: Option<String>,
}

/// Runs the verb.
pub(super) fn run(args: &Doctor) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let settings = host::settings(&args.wishes, args.wishes.config.as_deref())?;
    let mut findings = doctor::examine(&kernel::machine(), &settings.wanted());
    findings.extend(doors::examine(&outside(&settings)));
    let n_failed = findings.iter().filter(|finding| finding.verdict == Condition::Fail).count();
    if screen.is_json() {
        let checks = findings.into_iter().map(check).collect();
        screen.json(&Report { settings: effective(&settings), checks })?;
    } else {
        screen.say(&format!("{}\n\n{}", facts(&settings), shown(screen, &findings)))?;
    }
    let failed = human::many(n_failed, "check");
    anyhow::ensure!(n_failed == 0, "a host cannot run well here: {failed} failed");
    Ok(())
}

/// What stands around the host: files that it reads, and who is where it wants to be.
fn outside(settings: &Settings) -> Outside {
    let certificate = settings.tls.as_ref().map(|files| match files.load() {
        Ok(loaded) => {
            let now = Timestamp::now();
            let begins = (loaded.begins > now).then(|| loaded.begins.to_string());
            Ok(Validity { begins, ends: loaded.ends.to_string(), expiry: loaded.expiry(now) })
        }
        Err(error) => Err(chain(&error)),
    });
    let identity = settings.fleet.as_ref().and_then(|fleet| fleet.identity.as_deref());
    let identity = identity.map(|folder| match Identity::load(folder) {
        Ok(identity) => Ok(validities(&identity)),
        Err(error) => Err(chain(&error)),
    });
    let token = settings.token_file.as_deref().map(|path| match Token::read(path) {
        Ok(token) => Ok(token.is_short()),
        Err(error) => Err(chain(&error)),
    });
    let peer = settings.fleet.as_ref().map(|fleet| ("peer", fleet.peer));
    let places = [Some(("listen", settings.listen)), Some(("admin", settings.admin)), peer];
    let taken = places.into_iter().flatten().filter_map(|(key, address)| {
        let holder = ports::holder(address)?;
        Some(Taken { key, address: address.to_string(), holder })
    });
    let is_data_in_use = ledger::is_in_use(&settings.data);
    let data = is_data_in_use.then(|| settings.data.display().to_string());
    Outside { certificate, identity, token, taken: taken.collect(), data_in_use: data }
}

/// How long hosts believe each other.
fn validities(identity: &Identity) -> Vec<(&'static str, Validity)> {
    let now = Timestamp::now();
    let until = |ends: Timestamp| {
        let expiry = Expiry::of(ends.as_second().saturating_sub(now.as_second()));
        Validity { begins: None, ends: ends.to_string(), expiry }
    };
    let authorities = identity.authority_ends();
    let own = [("certificate for hosts", until(identity.ends()))];
    own.into_iter().chain(authorities.values().map(|ends| (AUTHORITY, until(*ends)))).collect()
}

fn effective(settings: &Settings) -> Effective {
    Effective {
        slots: settings.pool.slots.most(),
        largest_memory_bytes: settings.pool.largest_memory.get(),
        keep_resident_bytes: settings.pool.keep_resident.get(),
        memory_budget_bytes: settings.memory.budget.get(),
        memory_overcommit: settings.memory.overcommit,
        disk_components_bytes: settings.disk_bound().map(Bytes::get),
        mapped_apps: settings.mapped.most,
        idle_apps_s: settings.mapped.idle.as_secs(),
        threads: settings.cpu.threads,
        slice_fuel: settings.cpu.slice.get(),
        queue: settings.queue,
        connections: settings.connections,
    }
}

fn facts(settings: &Settings) -> String {
    let Settings { memory, pool, mapped, cpu, limits, .. } = settings;
    let mut facts = Facts::default();
    facts.add(
        "instances",
        format!(
            "{} at once, each with up to {} of memory, {} kept between two",
            pool.slots.most(),
            pool.largest_memory,
            pool.keep_resident
        ),
    );
    facts.add(
        "memory",
        format!(
            "{} for the host; its instances may reserve {} times that",
            Bytes::mebi(memory.budget.get() >> 20),
            memory.overcommit
        ),
    );
    let disk = match settings.disk_bound() {
        Some(bound) => format!("{} for components and compiled code", bound.about()),
        None => "no bound for components and compiled code".to_owned(),
    };
    facts.add("disk", disk);
    let idle = show_duration(mapped.idle);
    facts.add("apps", format!("{} with mapped code, unmapped after {idle}", mapped.most));
    facts.add("cpu", format!("{} guest threads, slices of {} fuel", cpu.threads, cpu.slice));
    facts.add(
        "doors",
        format!("{} connections, {} calls waiting", settings.connections, settings.queue),
    );
    let (default, maximum) = (&limits.default, &limits.maximum);
    facts.add(
        "an app",
        format!(
            "gets {} and {}, {} calls at once; may ask for {} and {}, {} calls at once",
            default.memory,
            show_duration(default.timeout),
            default.concurrency,
            maximum.memory,
            show_duration(maximum.timeout),
            maximum.concurrency
        ),
    );
    facts.render()
}

/// One line a check, and below it what is wrong and what to do.
fn shown(screen: Screen, findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.subject.len()).max().unwrap_or(0);
    let lines = findings.iter().map(|finding| {
        let word = match finding.verdict {
            Condition::Ok => screen.paint(Tone::Good, "ok  "),
            Condition::Warn => screen.paint(Tone::Strong, "warn"),
            Condition::Fail => screen.paint(Tone::Bad, "fail"),
        };
        let mut text = format!("{word}  {:width$}  {}", finding.subject, finding.found);
        if let Some(trouble) = &finding.trouble {
            for (name, said) in
                [("why", &trouble.why), ("change", &trouble.change), ("costs", &trouble.trade)]
            {
                text.push_str(&format!("\n      {name:6}  {said}"));
            }
        }
        text
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn check(finding: Finding) -> Check {
    let (why, change, trade) = match finding.trouble {
        Some(trouble) => (Some(trouble.why), Some(trouble.change), Some(trouble.trade)),
        None => (None, None, None),
    };
    let verdict = match finding.verdict {
        Condition::Ok => "ok",
        Condition::Warn => "warn",
        Condition::Fail => "fail",
    };
    Check { subject: finding.subject, verdict, found: finding.found, why, change, trade }
}
