//! `steerage ps` and `steerage show`: what a host serves, and one app with all its sides.
//! Only arranges what the host tells.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::args::{Ps, Show};
use super::screen::Screen;
use super::table::{Facts, Table};
use super::{destinations, history, human, promote, remote, replicas, sources};
use crate::api::wire;

/// Lists the apps.
pub(super) async fn ps(args: &Ps) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let apps = client.apps(args.of.host.as_deref()).await.context("cannot list the apps")?;
    if screen.is_json() {
        return screen.json(&apps);
    }
    if apps.apps.is_empty() {
        return screen.hint("no apps yet; `steerage deploy` sends one");
    }
    screen.say(&apps_table(&apps.apps, human::now(), screen.n_columns()))?;
    sources::tell(screen, apps.sources.as_ref());
    Ok(())
}

/// Shows one app.
pub(super) async fn show(args: &Show) -> anyhow::Result<()> {
    if let Some(since) = args.since {
        return history::of_app(args, since).await;
    }
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let app = client.app(&args.app, args.of.host.as_deref()).await;
    let app = app.with_context(|| format!("cannot show {}", args.app))?;
    let asked = client.destinations(&args.app, args.of.host.as_deref()).await;
    // A host of an earlier version does not tell, and what it tells of the app is shown all the same.
    let asked = asked.map(|asked| asked.destinations).unwrap_or_default();
    if screen.is_json() {
        return screen.json(&Shown { app: &app, destinations: &asked });
    }
    sources::tell(screen, app.sources.as_ref());
    let now = human::now();
    let deployments = deployments_table(&app.deployments, now);
    screen.say(&format!("{}\n\n{deployments}", facts(screen, &app, now)))?;
    if !asked.is_empty() {
        screen.say(&format!("\n{}", destinations::table(&asked, now, screen.n_columns())))?;
    }
    match promote::shown(&app, now) {
        Some(canary) => screen.say(&format!("\n{canary}")),
        None => Ok(()),
    }
}

/// An app as JSON: what the API says of it, and of whom it asked.
#[derive(Serialize)]
struct Shown<'s> {
    #[serde(flatten)]
    app: &'s wire::AppDetail,
    destinations: &'s [wire::Destination],
}

/// Columns of the list of apps that a narrow terminal does without, the first first.
const LEAST: [&str; 8] = ["PEAK", "VERSION", "RUNNING", "P50", "GEN", "AGE", "P99", "ROUTES"];

fn apps_table(apps: &[wire::AppSummary], now: u64, width: Option<usize>) -> String {
    let mut columns = vec![
        "APP", ">GEN", "VERSION", ">AGE", ">CALLS", ">FAILED", ">5XX", ">REFUSED", ">P50", ">P95",
        ">P99", ">RUNNING", ">PEAK", "ROUTES",
    ];
    // Most of the time there is none.
    let has_rollouts = apps.iter().any(|app| app.rollout.is_some());
    if has_rollouts {
        columns.push("ROLLOUT");
    }
    let mut table = Table::new(&columns);
    for app in apps {
        let rollout = has_rollouts.then(|| app.rollout.clone().unwrap_or_default());
        let [p50, p95, p99] = human::percentiles(&app.latency);
        let cells = [
            app.app.clone(),
            app.generation.to_string(),
            app.version.clone(),
            human::since(app.deployed_at, now),
            human::count(app.calls),
            human::count(app.failed),
            human::count(app.errors),
            human::count(app.refused),
            p50,
            p95,
            p99,
            app.running.to_string(),
            human::bytes(app.memory_peak_bytes),
            first_routes(&app.routes),
        ];
        table.row(cells.into_iter().chain(rollout));
    }
    table.fit(width, &LEAST);
    table.render()
}

/// As many routes as a line of a list bears; `show` has them all.
fn first_routes(routes: &[String]) -> String {
    match routes {
        [first, second, rest @ ..] if !rest.is_empty() => {
            format!("{first} {second} and {} more", rest.len())
        }
        few => few.join(" "),
    }
}

fn facts(screen: Screen, detail: &wire::AppDetail, now: u64) -> String {
    let (app, limits) = (&detail.summary, &detail.limits);
    let mut facts = Facts::default();
    facts.add("app", &*app.app);
    facts.add("tenant", &*detail.tenant);
    facts.add("about", detail.description.clone().unwrap_or_default());
    facts.add("version", &*app.version);
    facts.add(
        "deployment",
        format!("generation {}, {} ago", app.generation, human::since(app.deployed_at, now)),
    );
    facts.add(
        "component",
        format!(
            "{}, {}, {}",
            human::short_digest(&app.component),
            human::bytes(app.size_bytes),
            app.kind
        ),
    );
    facts.add("routes", app.routes.join("\n"));
    if let Some(replicas) = &detail.replicas {
        facts.add("replicas", replicas::shown(screen, replicas));
        facts.add("placed", replicas::placed(replicas, now));
    }
    facts.add(
        "limits",
        format!(
            "memory {}, fuel {}, timeout {}\nconcurrency {}, queue {}\nrequest body {}, response \
             body {}",
            limits.memory,
            human::count(limits.fuel),
            limits.timeout,
            limits.concurrency,
            limits.queue,
            limits.request_body,
            limits.response_body
        ),
    );
    facts.add("weight", detail.weight.to_string());
    let latency = detail.latency_objective.iter().map(|latency| format!(", {latency}"));
    facts.add(
        "objective",
        format!("{} answered well{}", detail.success_objective, latency.collect::<String>()),
    );
    facts.add("instances", instances(detail.reuse, &detail.instances));
    facts.add("environment", detail.env.join(" "));
    facts.add("may call", detail.allowed_outbound_hosts.join("\n"));
    facts.add("stores", detail.key_value_stores.join(" "));
    facts.add("databases", detail.sqlite_databases.join(" "));
    // Each host counts its own.
    let on = match detail.sources.as_ref().map(|sources| &*sources.hosts) {
        Some([one]) => format!("on {one}: "),
        Some(hosts) => format!("on {}: ", human::many(hosts.len(), "host")),
        None => String::new(),
    };
    facts.add(
        "calls",
        format!(
            "{on}{}, of which {} failed, {} were answered 5xx, {} refused; {} running, {} waiting",
            human::count(app.calls),
            human::count(app.failed),
            human::count(app.errors),
            human::count(app.refused),
            app.running,
            app.waiting
        ),
    );
    if let Some([p50, p95, p99]) = app.latency.percentiles().map(|each| each.map(human::duration)) {
        facts.add("took", format!("{p50} at the median, 95% within {p95}, 99% within {p99}"));
    }
    facts.add("not offered", detail.not_offered.join("\n"));
    facts.add(
        "used",
        format!(
            "{} fuel, {} of CPU, at most {} at once",
            human::count(app.fuel),
            human::duration(Duration::try_from_secs_f64(app.cpu_seconds).unwrap_or_default()),
            human::bytes(app.memory_peak_bytes)
        ),
    );
    facts.render()
}

fn instances(n_calls: u32, instances: &wire::Instances) -> String {
    match (n_calls, instances.made, &instances.in_the_way) {
        (2.., ..) => format!("each serves up to {n_calls} calls"),
        (_, wire::Made::Restored, _) => "fresh for each call, restored".to_owned(),
        (_, _, None) => "fresh for each call, new".to_owned(),
        (_, _, Some(why)) => format!("fresh for each call, new\nnot restored: {why}"),
    }
}

fn deployments_table(deployments: &[wire::Deployment], now: u64) -> String {
    let mut table = Table::new(&[">GEN", "VERSION", ">AGE", "COMPONENT", ">SIZE", ""]);
    for deployment in deployments {
        table.row([
            deployment.generation.to_string(),
            deployment.version.clone().unwrap_or_default(),
            human::since(deployment.deployed_at, now),
            human::short_digest(&deployment.component).to_owned(),
            human::bytes(deployment.size_bytes),
            if deployment.current { "served".to_owned() } else { String::new() },
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn summary(app: &str, routes: &[&str], calls: u64) -> wire::AppSummary {
        wire::AppSummary {
            app: app.to_owned(),
            generation: 3,
            version: "1.0.0".to_owned(),
            kind: "http".to_owned(),
            component: DIGEST.to_owned(),
            size_bytes: 80_000,
            deployed_at: 10_000,
            routes: routes.iter().map(|&route| route.to_owned()).collect(),
            calls,
            failed: calls / 5_000,
            errors: 0,
            refused: 0,
            latency: latency(calls),
            running: 1,
            waiting: 0,
            fuel: calls * 10_000,
            cpu_seconds: 1.5,
            memory_peak_bytes: 1_200_000,
            rollout: None,
        }
    }

    /// Of so many calls a tenth took 100 to 250 ms, the others 1 to 2.5.
    fn latency(calls: u64) -> wire::Latency {
        let mut counts = vec![0; 18];
        (counts[4], counts[10]) = (calls - calls / 10, calls / 10);
        wire::Latency::of(counts)
    }

    #[test]
    fn apps_are_listed_one_a_line() {
        let apps = [
            summary("hello", &["/hello"], 0),
            summary("shop", &["shop.example.com/...", "/a", "/b"], 12_345),
        ];
        expect![[r#"
            APP    GEN  VERSION    AGE  CALLS  FAILED  5XX  REFUSED     P50     P95     P99  RUNNING     PEAK  ROUTES
            hello    3  1.0.0    3m10s      0       0    0        0                                1  1.1 MiB  /hello
            shop     3  1.0.0    3m10s  12.3k       2    0        0  1.8 ms  175 ms  235 ms        1  1.1 MiB  shop.example.com/... /a and 1 more"#]].assert_eq(&apps_table(&apps, 200_000, None));
        expect![[r#"
            APP    CALLS  FAILED  5XX  REFUSED     P95  ROUTES
            hello      0       0    0        0          /hello
            shop   12.3k       2    0        0  175 ms  shop.example.com/... /a and 1 more"#]]
        .assert_eq(&apps_table(&apps, 200_000, Some(80)));
    }

    #[test]
    fn an_app_is_shown_with_all_its_sides() {
        let detail = wire::AppDetail {
            summary: summary("shop", &["shop.example.com/...", "/a"], 12_345),
            tenant: "default".to_owned(),
            description: None,
            limits: wire::Limits {
                memory: "128MiB".to_owned(),
                memory_bytes: 128 << 20,
                fuel: 5_000_000_000,
                timeout: "30s".to_owned(),
                timeout_ms: 30_000,
                concurrency: 100,
                queue: 1_000,
                request_body: "10MiB".to_owned(),
                request_body_bytes: 10 << 20,
                response_body: "100MiB".to_owned(),
                response_body_bytes: 100 << 20,
            },
            reuse: 1,
            success_objective: "99.9%".to_owned(),
            latency_objective: Some("200ms at p99".to_owned()),
            instances: wire::Instances {
                made: wire::Made::New,
                in_the_way: Some("it makes resources of its own".to_owned()),
            },
            not_offered: Vec::new(),
            weight: 1,
            env: Vec::new(),
            allowed_outbound_hosts: vec!["https://api.example.com".to_owned()],
            key_value_stores: vec!["default".to_owned()],
            sqlite_databases: vec!["default".to_owned()],
            manifest: String::new(),
            deployments: Vec::new(),
            canary: None,
            taken_back: None,
            watch: None,
            replicas: None,
            sources: None,
        };
        expect![[r#"
            app         shop
            tenant      default
            version     1.0.0
            deployment  generation 3, 3m10s ago
            component   9f86d081884c, 78.1 KiB, http
            routes      shop.example.com/...
                        /a
            limits      memory 128MiB, fuel 5.0G, timeout 30s
                        concurrency 100, queue 1000
                        request body 10MiB, response body 100MiB
            weight      1
            objective   99.9% answered well, 200ms at p99
            instances   fresh for each call, new
                        not restored: it makes resources of its own
            may call    https://api.example.com
            stores      default
            databases   default
            calls       12.3k, of which 2 failed, 0 were answered 5xx, 0 refused; 1 running, 0 waiting
            took        1.8 ms at the median, 95% within 175 ms, 99% within 235 ms
            used        123M fuel, 1.5 s of CPU, at most 1.1 MiB at once"#]]
        .assert_eq(&facts(Screen::plain(false), &detail, 200_000));
    }

    #[test]
    fn deployments_say_which_is_served() {
        let deployment = |generation, current| wire::Deployment {
            generation,
            version: Some("1.0.0".to_owned()),
            component: DIGEST.to_owned(),
            kind: "http".to_owned(),
            size_bytes: 80_000,
            deployed_at: 10_000,
            current,
        };
        let deployments = [deployment(2, true), deployment(1, false)];
        expect![[r#"
            GEN  VERSION    AGE  COMPONENT         SIZE
              2  1.0.0    3m10s  9f86d081884c  78.1 KiB  served
              1  1.0.0    3m10s  9f86d081884c  78.1 KiB"#]]
        .assert_eq(&deployments_table(&deployments, 200_000));
    }
}
