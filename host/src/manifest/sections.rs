//! The keys of a manifest, and how each becomes a part of [`Manifest`].
//! Does not know how TOML is parsed or places are found.

mod capture;
mod placement;
mod spin;
mod variables;

use std::num::NonZeroU32;
use std::time::Duration;

use steerage_core::id::{DatabaseLabel, StoreLabel};
use steerage_core::limits::{Limits, LimitsPolicy, MAX_CONCURRENCY, MAX_QUEUE};
use steerage_core::manifest::{self, Broken, Build, Instance, MAX_REUSE, Manifest};
use steerage_core::objective::Objective;
use steerage_core::outbound::AllowedHost;
use steerage_core::route::{HostPattern, Route};
use steerage_core::units::{BadUnit, Weight, parse_duration};
use toml::de::DeTable;

use crate::document::{self, Entry, Findings, Section};

/// Every section and its keys; the first is the top of the file.
pub(super) const KEYS: [(&str, &[&str]); 13] = [
    (
        "",
        &[
            "name",
            "tenant",
            "version",
            "description",
            "source",
            "sha256",
            "route",
            "limits",
            "instance",
            "share",
            "variables",
            "env",
            "allowed_outbound_hosts",
            "key_value_stores",
            "sqlite_databases",
            "replicas",
            "resources",
            "placement",
            "objective",
            "capture",
            "build",
            "spin",
        ],
    ),
    ("route", &["host", "path"]),
    (
        "limits",
        &["memory", "fuel", "timeout", "concurrency", "queue", "request_body", "response_body"],
    ),
    ("instance", &["reuse", "fresh", "max_age", "max_growth"]),
    ("share", &["weight"]),
    ("variables", &["default", "required", "secret", "description"]),
    ("replicas", &["min", "max"]),
    ("resources", &["cpu", "memory"]),
    ("placement", &["labels", "apart_from", "zones", "priority"]),
    ("objective", &["success", "latency"]),
    ("capture", &["failures", "redact"]),
    ("build", &["command", "watch"]),
    ("spin", &["components"]),
];

/// Reads the whole file; `None` where something that has no default is wrong or missing.
pub(super) fn manifest(
    table: &DeTable<'_>,
    policy: &LimitsPolicy,
    findings: &mut Findings<'_>,
) -> Option<Manifest> {
    let top = Section::top(table);
    refuse_unknown(&top, "", findings);
    let name = top.need("name", r#"name = "my-app""#, findings).and_then(|e| e.parsed(findings));
    let tenant = top.get("tenant").and_then(|entry| entry.parsed(findings)).unwrap_or_default();
    let source = top
        .need("source", r#"source = "app.wasm""#, findings)
        .and_then(|entry| checked_text(&entry, manifest::check_source, findings));
    let version = top
        .get("version")
        .and_then(|entry| checked_text(&entry, manifest::check_version, findings))
        .unwrap_or_else(|| manifest::DEFAULT_VERSION.to_owned());
    let description = top
        .get("description")
        .and_then(|entry| checked_text(&entry, manifest::check_description, findings));
    let sha256 = top.get("sha256").and_then(|entry| entry.parsed(findings));
    let routes = routes(&top, findings);
    let limits = limits(&top, policy, findings);
    let instance = instance(&top, findings);
    let weight = weight(&top, findings);
    let variables = variables::Variables::read(&top, findings);
    let (env, secret_env) = variables.env(&top, findings);
    let allowed_outbound_hosts = allowed_hosts(&top, &variables, findings);
    let key_value_stores = stores(&top, findings);
    let sqlite_databases = databases(&top, findings);
    let placement = placement::read(&top, findings);
    let objective = objective(&top, findings);
    let capture = capture::read(&top, findings);
    let build = build(&top, findings);
    let spin = spin::read(&top, findings);
    Some(Manifest {
        name: name?,
        tenant,
        version,
        description,
        source: source?,
        sha256,
        routes: routes?,
        limits,
        instance,
        weight,
        env,
        secret_env,
        variables: variables.declared,
        allowed_outbound_hosts,
        key_value_stores,
        sqlite_databases,
        placement,
        objective,
        capture,
        build,
        spin,
    })
}

pub(super) fn refuse_unknown(section: &Section<'_, '_>, name: &str, findings: &mut Findings<'_>) {
    document::refuse_unknown(section, name, &KEYS, findings);
}

fn checked_text(
    entry: &Entry<'_, '_>,
    check: impl Fn(&str) -> Option<Broken>,
    findings: &mut Findings<'_>,
) -> Option<String> {
    let text = entry.text(findings)?;
    entry.noted(check(text).map_or(Ok(()), Err), findings)?;
    Some(text.to_owned())
}

fn routes(top: &Section<'_, '_>, findings: &mut Findings<'_>) -> Option<Vec<Route>> {
    const EXPECTED: &str = "[[route]] tables, each with a path";
    let entry = top.need("route", r#"[[route]] and below it path = "/...""#, findings)?;
    let tables = entry.list(EXPECTED, findings)?;
    if tables.is_empty() {
        entry.noted::<()>(Err(Broken::NoRoute), findings);
    }
    if let Some(broken) = manifest::check_route_count(tables.len()) {
        entry.noted::<()>(Err(broken), findings);
    }
    let mut routes = Vec::new();
    let mut entries = Vec::new();
    for table in tables {
        let Some(section) = table.section(EXPECTED, findings) else { continue };
        if let Some(route) = route(&section, findings) {
            routes.push(route);
            entries.push(table);
        }
    }
    for (place, duplicate) in manifest::duplicates(&routes) {
        if let Some(entry) = entries.get(place) {
            entry.noted::<()>(Err(duplicate), findings);
        }
    }
    Some(routes)
}

fn route(section: &Section<'_, '_>, findings: &mut Findings<'_>) -> Option<Route> {
    refuse_unknown(section, "route", findings);
    let path = section.need("path", r#"path = "/...""#, findings);
    let path = path.and_then(|entry| entry.parsed(findings));
    let host = match section.get("host") {
        Some(entry) => entry.parsed(findings),
        None => Some(HostPattern::Any),
    };
    Some(Route { host: host?, path: path? })
}

fn limits(top: &Section<'_, '_>, policy: &LimitsPolicy, findings: &mut Findings<'_>) -> Limits {
    let mut limits = policy.default.clone();
    let Some(section) = top.section("limits", findings) else { return limits };
    refuse_unknown(&section, "limits", findings);
    // What cannot be read keeps its default, which breaks no bound, so it is reported once.
    set(&mut limits.memory, section.get("memory").and_then(|e| e.amount(findings)));
    set(&mut limits.fuel, section.get("fuel").and_then(|e| e.amount(findings)));
    set(&mut limits.timeout, section.get("timeout").and_then(|e| duration(&e, findings)));
    let concurrency = section.get("concurrency");
    let concurrency = concurrency.and_then(|e| e.count(1..=MAX_CONCURRENCY, findings));
    set(&mut limits.concurrency, concurrency.and_then(NonZeroU32::new));
    set(&mut limits.queue, section.get("queue").and_then(|e| e.count(0..=MAX_QUEUE, findings)));
    set(&mut limits.request_body, section.get("request_body").and_then(|e| e.amount(findings)));
    set(&mut limits.response_body, section.get("response_body").and_then(|e| e.amount(findings)));
    for violation in limits.check_within(&policy.maximum) {
        if let Some(entry) = section.get(violation.key) {
            entry.noted::<()>(Err(violation), findings);
        }
    }
    limits
}

pub(super) fn set<T>(limit: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *limit = value;
    }
}

fn duration(entry: &Entry<'_, '_>, findings: &mut Findings<'_>) -> Option<Duration> {
    /// Lets a duration be read like the other amounts.
    struct Written(Duration);

    impl std::str::FromStr for Written {
        type Err = BadUnit;

        fn from_str(text: &str) -> Result<Self, Self::Err> {
            parse_duration(text).map(Self)
        }
    }

    entry.amount(findings).map(|Written(duration)| duration)
}

fn instance(top: &Section<'_, '_>, findings: &mut Findings<'_>) -> Instance {
    let mut instance = Instance::default();
    if let Some(section) = top.section("instance", findings) {
        refuse_unknown(&section, "instance", findings);
        let reuse = section.get("reuse").and_then(|entry| entry.count(1..=MAX_REUSE, findings));
        set(&mut instance.reuse, reuse.and_then(NonZeroU32::new));
        set(&mut instance.fresh, section.get("fresh").and_then(|entry| entry.parsed(findings)));
        let max_age = section.get("max_age").and_then(|entry| duration(&entry, findings));
        set(&mut instance.max_age, max_age);
        let max_growth = section.get("max_growth").and_then(|entry| entry.amount(findings));
        set(&mut instance.max_growth, max_growth);
    }
    instance
}

fn objective(top: &Section<'_, '_>, findings: &mut Findings<'_>) -> Objective {
    let mut objective = Objective::default();
    if let Some(section) = top.section("objective", findings) {
        refuse_unknown(&section, "objective", findings);
        let success = section.get("success").and_then(|entry| entry.parsed(findings));
        set(&mut objective.success, success);
        objective.latency = section.get("latency").and_then(|entry| entry.parsed(findings));
    }
    objective
}

fn weight(top: &Section<'_, '_>, findings: &mut Findings<'_>) -> Weight {
    let section = top.section("share", findings);
    if let Some(section) = &section {
        refuse_unknown(section, "share", findings);
    }
    let weight = section.and_then(|section| section.get("weight"));
    let weight = weight.and_then(|entry| entry.count(1..=Weight::MAX, findings));
    weight.and_then(|weight| Weight::new(weight).ok()).unwrap_or_default()
}

/// Notes variables that requests set.
pub(super) fn refuse_env_of_requests(table: &DeTable<'_>, findings: &mut Findings<'_>) {
    // That it is a table is noted where it is read.
    let mut unnoted = Findings::new("");
    let Some(section) = Section::top(table).section("env", &mut unnoted) else { return };
    for (name, key_at, entry) in section.entries() {
        if let Some(broken) = manifest::check_env_of_requests(name) {
            findings.wrong(key_at, &entry.key, broken);
        }
    }
}

fn allowed_hosts(
    top: &Section<'_, '_>,
    variables: &variables::Variables,
    findings: &mut Findings<'_>,
) -> Vec<AllowedHost> {
    let entry = top.get("allowed_outbound_hosts");
    let hosts = entry.and_then(|entry| entry.list("an array of strings", findings));
    let mut allowed = Vec::new();
    for entry in hosts.unwrap_or_default() {
        let Some(text) = variables.shown(&entry, findings) else { continue };
        allowed.extend(entry.noted(AllowedHost::parse(&text), findings));
    }
    allowed
}

fn stores(top: &Section<'_, '_>, findings: &mut Findings<'_>) -> Vec<StoreLabel> {
    let Some(entry) = top.get("key_value_stores") else { return Vec::new() };
    let labels = entry.list("an array of labels", findings).unwrap_or_default();
    if let Some(broken) = manifest::check_store_count(labels.len()) {
        entry.noted::<()>(Err(broken), findings);
    }
    labels.iter().filter_map(|label| label.parsed(findings)).collect()
}

fn databases(top: &Section<'_, '_>, findings: &mut Findings<'_>) -> Vec<DatabaseLabel> {
    let Some(entry) = top.get("sqlite_databases") else { return Vec::new() };
    let labels = entry.list("an array of labels", findings).unwrap_or_default();
    if let Some(broken) = manifest::check_database_count(labels.len()) {
        entry.noted::<()>(Err(broken), findings);
    }
    labels.iter().filter_map(|label| label.parsed(findings)).collect()
}

fn build(top: &Section<'_, '_>, findings: &mut Findings<'_>) -> Build {
    let Some(section) = top.section("build", findings) else { return Build::default() };
    refuse_unknown(&section, "build", findings);
    let watch = section.get("watch");
    let command = match &watch {
        Some(_) => section.get("command"),
        None => section.need("command", r#"command = "cargo build""#, findings),
    };
    let command = command.and_then(|entry| checked_text(&entry, manifest::check_build, findings));
    let watch = watch.and_then(|entry| entry.list("an array of paths", findings));
    let watch = watch.unwrap_or_default();
    let paths = watch.iter().filter_map(|e| checked_text(e, manifest::check_watch, findings));
    Build { command, watch: paths.collect() }
}
