//! From what was said to settings: how each value is written, its bounds, and what must fit what.
//! Does not know where a value was said: `said` does.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use steerage_core::disk::DiskBound;
use steerage_core::limits::{Limits, Violation};
use steerage_core::machine::{LEAST_MEMORY, LEAST_SLOTS, MOST_MEMORY, Machine};
use steerage_core::network::Network;
use steerage_core::outbound::PrivateNetworks;
use steerage_core::units::{Bytes, Fuel, parse_duration, show_duration};
use tracing_subscriber::EnvFilter;

use super::said::Said;
use super::{DEFAULT_LOG, File, LogFormat, Settings, Slots, Wrong};
use crate::document::{self, Findings, Section};
use crate::history::HistorySettings;
use crate::listener::tls;
use crate::seal::SecretsKeyFrom;
use crate::telemetry::access::AccessTarget;
use crate::telemetry::profiles;

/// The least budget: some instances of a small guest.
const LEAST_BUDGET: Bytes = Bytes::mebi(16);
/// Less holds no component of any size with its compiled code.
const LEAST_DISK: Bytes = Bytes::mebi(1);
/// Less would not hold an hour of some apps.
const LEAST_HISTORY: Bytes = Bytes::mebi(1);
/// Less would hold the counters of few apps.
const LEAST_TELEMETRY: Bytes = Bytes::mebi(1);
/// Beyond it the budget would be a formality.
const MOST_OVERCOMMIT: f64 = 100.0;
/// A slice this short is spent on looking who else waits; with one so long nobody else gets a turn.
const SLICES: (Fuel, Fuel) = (Fuel::new(10_000), Fuel::new(100_000_000));
/// More threads than this no machine has cores for.
const MOST_THREADS: usize = 1024;
/// Past a million of anything the kernel's own limits are long passed.
const MANY: u32 = 1_000_000;
/// The shortest wait that can be told from none.
const SHORTEST: Duration = Duration::from_millis(1);
/// A day: longer is never.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Reads everything; see [`Settings::read`].
pub(super) fn read(
    flags: &[(&'static str, String)],
    file: Option<&File>,
    machine: &Machine,
    compiler: PathBuf,
    look: &dyn Fn(&Settings) -> Vec<(&'static str, String)>,
) -> Result<Settings, Wrong> {
    let mut wrong_flags = Vec::new();
    let text = file.map_or("", |file| file.text.as_str());
    let read = document::read(text, |table, findings: &mut Findings<'_>| {
        let mut said = Said::gather(flags, Section::top(table), findings, &mut wrong_flags);
        let settings = settings(&mut said, machine, compiler);
        for (key, message) in look(&settings) {
            said.wrong(key, message);
        }
        Some(settings)
    });
    match (read, file) {
        (Ok(settings), _) if wrong_flags.is_empty() => Ok(settings),
        (Err(mistakes), Some(file)) => {
            Err(Wrong { flags: wrong_flags, file: Some((file.name.clone(), mistakes)) })
        }
        // Nothing can be wrong with a file that is not there.
        _ => Err(Wrong { flags: wrong_flags, file: None }),
    }
}

fn settings(said: &mut Said<'_, '_>, machine: &Machine, compiler: PathBuf) -> Settings {
    let mut settings = Settings::fitting(machine, PathBuf::from("steerage-data"), compiler);
    doors(said, &mut settings);
    let is_duration = |text: &str| duration(text, SHORTEST, LONGEST);
    said.set("drain_timeout", &mut settings.drain_timeout, parse_duration);
    said.set("lame_duck", &mut settings.lame_duck, parse_duration);
    said.set("head_timeout", &mut settings.head_timeout, is_duration);
    said.set("idle_timeout", &mut settings.idle_timeout, is_duration);
    said.set("compile_timeout", &mut settings.compile_timeout, is_duration);
    said.set("compile_memory", &mut settings.compile_memory, Bytes::parse);
    said.set("max_component", &mut settings.max_component, Bytes::parse);
    said.set("kv_quota", &mut settings.kv_quota, Bytes::parse);
    said.set("sql_quota", &mut settings.sql_quota, Bytes::parse);
    said.set("watch", &mut settings.watch, str::parse);
    said.set("disk.components", &mut settings.disk, disk);
    history(said, &mut settings.history);
    said.set("profile_frequency", &mut settings.profile_frequency, |text| {
        count(text, 0, profiles::MOST_FREQUENCY)
    });
    let memory = &mut settings.memory;
    said.set("memory.budget", &mut memory.budget, |text| budget(text, machine.usable_memory()));
    said.set("memory.overcommit", &mut memory.overcommit, overcommit);
    let budget = memory.budget;
    settings.telemetry = settings.default_telemetry();
    said.set("memory.telemetry", &mut settings.telemetry, |text| {
        within(Bytes::parse(text).map_err(told)?, LEAST_TELEMETRY, Bytes::new(budget.get() / 2))
    });
    pool(said, &mut settings, machine);
    said.set("connections", &mut settings.connections, |text| {
        count(text, 1, MANY).map(|count| count as usize)
    });
    settings.fit(machine);
    let mapped = &mut settings.mapped;
    said.set("apps.mapped", &mut mapped.most, |text| count(text, 1, MANY));
    said.set("apps.idle", &mut mapped.idle, is_duration);
    said.set("cpu.slice", &mut settings.cpu.slice, |text| {
        within(Fuel::parse(text).map_err(told)?, SLICES.0, SLICES.1)
    });
    said.set("cpu.threads", &mut settings.cpu.threads, |text| {
        whole(text).and_then(|threads| within(threads, 1, MOST_THREADS))
    });
    said.set("queue.most", &mut settings.queue, |text| count(text, 0, MANY));
    said.set("outbound.private", &mut settings.outbound_private, PrivateNetworks::parse);
    settings.notify = super::receivers::read(said);
    settings.otlp = super::otlp::read(said);
    limits(said, &mut settings);
    settings.tenants = said.tenants();
    settings.fleet = super::fleet::read(said, &settings);
    apart(said, &settings);
    settings
}

/// No two doors can be in one place.
fn apart(said: &mut Said<'_, '_>, settings: &Settings) {
    let peer = settings.fleet.as_ref().map(|fleet| ("fleet.peer", fleet.peer));
    let mut doors = vec![("listen", settings.listen)];
    for (key, address) in [Some(("admin", settings.admin)), peer].into_iter().flatten() {
        if let Some((other, there)) = doors.iter().find(|(_, there)| overlap(*there, address)) {
            said.wrong(key, format!("is {address}, where {other} = {there} listens already"));
        }
        doors.push((key, address));
    }
}

fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port()
        && one.port() != 0
        && (ip == other_ip || ip.is_unspecified() || other_ip.is_unspecified())
}

fn doors(said: &mut Said<'_, '_>, settings: &mut Settings) {
    let path = |text: &str| {
        if text.is_empty() { Err("is empty: expected a path") } else { Ok(PathBuf::from(text)) }
    };
    said.set("listen", &mut settings.listen, address);
    said.set("admin", &mut settings.admin, address);
    said.set("data", &mut settings.data, path);
    said.set("log", &mut settings.log, |text| match EnvFilter::builder().parse(text) {
        Ok(_) if text.trim().is_empty() => Ok(DEFAULT_LOG.to_owned()),
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "{text:?} is no filter: expected a level (error, warn, info, debug, trace) or a list like \
             info,steerage=debug ({error})"
        )),
    });
    said.set("log_format", &mut settings.log_format, |text| match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("{other:?} is no format: expected text or json")),
    });
    settings.access_log = said.take("access_log", AccessTarget::parse);
    said.set("trusted_proxies", &mut settings.trusted_proxies, Network::parse_list);
    settings.cache = said.take("cache", path);
    settings.token_file = said.take("token_file", path);
    if let Some(file) = said.take("secrets_key", path) {
        settings.secrets_key = SecretsKeyFrom::File(file);
    }
    settings.tls = match (said.take("tls_cert", path), said.take("tls_key", path)) {
        (Some(certificate), Some(key)) => Some(tls::Files { certificate, key }),
        _ => None,
    };
    match (said.has("tls_cert"), said.has("tls_key")) {
        (true, false) => said.wrong("tls_cert", "needs its key too: tls_key".to_owned()),
        (false, true) => said.wrong("tls_key", "needs its certificate too: tls_cert".to_owned()),
        _ => {}
    }
}

fn history(said: &mut Said<'_, '_>, history: &mut HistorySettings) {
    said.set("history.disk", &mut history.bound, |text| {
        match Bytes::parse(text).map_err(told)? {
            Bytes::ZERO => Ok(Bytes::ZERO),
            bound => within(bound, LEAST_HISTORY, Bytes::new(u64::MAX))
                .map_err(|wrong| format!("{wrong}, or 0 for no history")),
        }
    });
    let (least, most) = HistorySettings::EVERY;
    said.set("history.write", &mut history.every, |text| duration(text, least, most));
}

fn pool(said: &mut Said<'_, '_>, settings: &mut Settings, machine: &Machine) {
    let pool = &mut settings.pool;
    said.set("instances.keep_resident", &mut pool.keep_resident, |text| {
        within(Bytes::parse(text).map_err(told)?, Bytes::ZERO, MOST_MEMORY)
    });
    said.set("instances.largest_memory", &mut pool.largest_memory, |text| {
        within(Bytes::parse(text).map_err(told)?, LEAST_MEMORY, MOST_MEMORY)
    });
    let Some(slots) = said.take("instances.slots", |text| count(text, LEAST_SLOTS, u32::MAX))
    else {
        return;
    };
    pool.slots = Slots::Exactly(slots);
    let most = machine.slots_in_address_space(pool.largest_memory);
    let with_stacks = machine.slots_in_mappings();
    let why = if slots > most {
        let each = pool.largest_memory;
        format!("the address space has room for {most} with {each} each; lower largest_memory")
    } else if slots > with_stacks {
        let enough = Machine::mappings_for(slots, 0).next_power_of_two();
        format!(
            "vm.max_map_count = {} has room for {with_stacks}; sysctl -w vm.max_map_count={enough}",
            machine.mappings
        )
    } else {
        return;
    };
    said.wrong("instances.slots", format!("is {slots}: {why}"));
}

fn limits(said: &mut Said<'_, '_>, settings: &mut Settings) {
    let most = Limits { memory: settings.pool.largest_memory, ..Limits::MOST };
    let maximum = limits_of(said, "maximum", most.clone());
    let default = limits_of(said, "default", Limits::default().at_most(&maximum));
    let wrong = maximum.check_within(&most);
    let mut wrong_default = default.check_within(&maximum);
    // A maximum that is wrong says nothing about the default.
    wrong_default.retain(|violation| wrong.iter().all(|other| other.key != violation.key));
    for (section, violations) in [("maximum", wrong), ("default", wrong_default)] {
        for Violation { key, value, bound } in violations {
            let message = format!("is {value}: {bound} is allowed");
            said.wrong(&format!("limits.{section}.{key}"), message);
        }
    }
    settings.limits.maximum = maximum;
    settings.limits.default = default;
}

fn limits_of(said: &mut Said<'_, '_>, section: &str, mut limits: Limits) -> Limits {
    let key = |name: &str| format!("limits.{section}.{name}");
    said.set(&key("memory"), &mut limits.memory, Bytes::parse);
    said.set(&key("fuel"), &mut limits.fuel, Fuel::parse);
    said.set(&key("timeout"), &mut limits.timeout, parse_duration);
    said.set(&key("concurrency"), &mut limits.concurrency, whole);
    said.set(&key("queue"), &mut limits.queue, whole);
    said.set(&key("request_body"), &mut limits.request_body, Bytes::parse);
    said.set(&key("response_body"), &mut limits.response_body, Bytes::parse);
    limits
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no address: expected IP:PORT, such as 127.0.0.1:8080"))
}

/// A size, or a part of the machine's memory such as `80%`.
fn budget(text: &str, memory: Bytes) -> Result<Bytes, String> {
    let budget = match text.strip_suffix('%') {
        Some(percent) => {
            let percent = whole::<u64>(percent.trim())?;
            memory.percent(bounded(percent, 1, 100, |percent| format!("{percent}%"))?)
        }
        None => Bytes::parse(text).map_err(told)?,
    };
    if budget > memory {
        return Err(format!("is {budget}: this machine has {}", Bytes::mebi(memory.get() >> 20)));
    }
    within(budget, LEAST_BUDGET, memory)
}

/// A size, or a part of the file system such as `50%`.
fn disk(text: &str) -> Result<DiskBound, String> {
    let Some(percent) = text.strip_suffix('%') else {
        let bytes = Bytes::parse(text).map_err(told)?;
        return within(bytes, LEAST_DISK, Bytes::new(u64::MAX)).map(DiskBound::Size);
    };
    let percent = whole::<u64>(percent.trim())?;
    bounded(percent, 1, 100, |percent| format!("{percent}%")).map(DiskBound::Percent)
}

fn overcommit(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if (1.0..=MOST_OVERCOMMIT).contains(&factor) => Ok(factor),
        Ok(factor) => Err(format!("is {factor}: 1.0 to {MOST_OVERCOMMIT:.1} is allowed")),
        Err(_) => Err(format!("{text:?} is no factor: expected a number such as 2.0")),
    }
}

fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let duration = parse_duration(text).map_err(told)?;
    bounded(duration, least, most, |duration| show_duration(*duration))
}

fn count(text: &str, least: u32, most: u32) -> Result<u32, String> {
    whole(text).and_then(|count| within(count, least, most))
}

fn whole<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number that can be used here"))
}

fn within<V: PartialOrd + fmt::Display>(value: V, least: V, most: V) -> Result<V, String> {
    bounded(value, least, most, V::to_string)
}

pub(super) fn bounded<V: PartialOrd>(
    value: V,
    least: V,
    most: V,
    show: impl Fn(&V) -> String,
) -> Result<V, String> {
    if value < least {
        Err(format!("is {}: at least {} is allowed", show(&value), show(&least)))
    } else if value > most {
        Err(format!("is {}: at most {} is allowed", show(&value), show(&most)))
    } else {
        Ok(value)
    }
}

fn told(error: impl fmt::Display) -> String {
    error.to_string()
}
