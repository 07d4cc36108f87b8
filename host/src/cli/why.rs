//! `steerage why`: what is wrong with an app, a host, a route or a call, or with the hosts and any app, and what
//! to do about it.
//! Judges nothing: the host does.

use std::cmp::Reverse;

use anyhow::Context as _;
use steerage_core::id::CallIdPrefix;

use super::args::Why;
use super::ending::IsWrong;
use super::screen::{Screen, Tone};
use super::visible::visible;
use super::{call, remote, sources};
use crate::api::wire;
use crate::client::{Client, ClientError};

/// As many apps are looked at where none is named: those with the most failures.
const LOOKED_AT: usize = 20;
/// The same of those that were deployed last, and of those that take longest.
const LOOKED_AT_OF_NEW: usize = 10;

/// Runs the verb; fails without a word of its own where something is wrong.
pub(super) async fn run(args: &Why) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let host = args.of.host.as_deref();
    let told = match args.of_what.as_deref() {
        None => of_all(&client, host).await?,
        Some(route) if route.contains('/') => {
            let why = client.why_route(route, host).await;
            vec![why.with_context(|| format!("cannot say what is wrong with {route}"))?]
        }
        Some(name) => match of_name(&client, name, host).await? {
            Named::AppOrHost(why) => vec![why],
            Named::Call(id) => return call::show(screen, &client, id, host).await,
        },
    };
    let is_wrong = told.iter().any(|why| !(why.diagnoses.is_empty() && why.unrouted.is_empty()));
    if screen.is_json() {
        screen.json(&told)?;
    } else {
        tell(screen, args, &told)?;
    }
    if is_wrong { Err(IsWrong.into()) } else { Ok(()) }
}

/// Tells the hosts, the apps with something wrong, and last the routes: an app that fails is worse than callers
/// who ask for what there is not.
fn tell(screen: Screen, args: &Why, told: &[wire::Why]) -> anyhow::Result<()> {
    sources::tell(screen, told.first().and_then(|why| why.sources.as_ref()));
    // Where nothing was named, those that are well are not.
    let named = args.of_what.as_deref();
    for why in told.iter().filter(|why| named.is_some() || !why.diagnoses.is_empty()) {
        let shown = shown(why, named, screen);
        if !shown.is_empty() {
            screen.say(&shown)?;
        }
    }
    for diagnosis in told.iter().flat_map(|why| &why.unrouted) {
        screen.say(&lines(diagnosis, screen).join("\n"))?;
    }
    let is_well = |why: &wire::Why| why.diagnoses.is_empty() && why.unrouted.is_empty();
    if named.is_none() && told.iter().all(is_well) {
        let hosts = told.first().map_or("", |why| &why.standing);
        screen.say(&format!(
            "{}: {hosts}, and of the apps that were looked at none fails among its last calls",
            screen.paint(Tone::Good, "nothing is wrong")
        ))?;
    }
    Ok(())
}

/// What is wrong with the hosts, and with apps that it may be worth asking about.
async fn of_all(client: &Client, host: Option<&str>) -> anyhow::Result<Vec<wire::Why>> {
    let of_fleet = client.why_fleet(host).await;
    let mut told = vec![of_fleet.context("cannot say what is wrong with the hosts")?];
    for app in suspects(client, host).await? {
        match client.why(&app, host).await {
            Ok(why) => told.push(why),
            // It was removed since they were listed.
            Err(error) if is_unknown(&error) => {}
            Err(error) => {
                let error = anyhow::Error::from(error);
                return Err(error.context(format!("cannot say what is wrong with {app}")));
            }
        }
    }
    Ok(told)
}

/// What has a name that was given.
enum Named {
    AppOrHost(wire::Why),
    Call(CallIdPrefix),
}

/// What is wrong with an app; or where there is none of that name, with a host, or with a call whose id begins
/// so.
async fn of_name(client: &Client, name: &str, host: Option<&str>) -> anyhow::Result<Named> {
    let error = match client.why(name, host).await {
        Ok(why) => return Ok(Named::AppOrHost(why)),
        Err(error) => error,
    };
    if is_unknown(&error) {
        let known = client.hosts().await;
        if known.is_ok_and(|known| known.hosts.iter().any(|known| known.host == name)) {
            let why = client.why_fleet(Some(name)).await;
            let why = why.with_context(|| format!("cannot say what is wrong with {name}"))?;
            return Ok(Named::AppOrHost(why));
        }
        if let Ok(id) = name.parse::<CallIdPrefix>()
            && client.calls_of_id(id, host).await.is_ok_and(|found| !found.calls.is_empty())
        {
            return Ok(Named::Call(id));
        }
    }
    let error = anyhow::Error::from(error);
    Err(error.context(format!("cannot say what is wrong with {name}")))
}

/// Whether there is no such app, or none can have such a name, as with most ids.
fn is_unknown(error: &ClientError) -> bool {
    let causes = ["not_found", "bad_request"];
    matches!(error, ClientError::Refused(problem) if causes.contains(&&*problem.cause))
}

/// The apps that something went wrong with, those with the most failures first; and those that were deployed
/// last or take longest, which may do worse than before without failing.
async fn suspects(client: &Client, host: Option<&str>) -> anyhow::Result<Vec<String>> {
    let mut apps = client.apps(host).await.context("cannot list the apps")?.apps;
    apps.retain(|app| app.calls + app.refused > 0);
    let n_wrong = |app: &wire::AppSummary| app.failed + app.errors + app.refused;
    let mut suspects: Vec<String> = Vec::new();
    let mut add = |app: &wire::AppSummary| {
        if !suspects.contains(&app.app) {
            suspects.push(app.app.clone());
        }
    };
    apps.sort_by_key(|app| Reverse(n_wrong(app)));
    apps.iter().filter(|app| n_wrong(app) > 0).take(LOOKED_AT).for_each(&mut add);
    // Neither fails, so no counter tells of them.
    apps.sort_by_key(|app| Reverse(app.deployed_at));
    apps.iter().take(LOOKED_AT_OF_NEW).for_each(&mut add);
    apps.sort_by_key(|app| Reverse(app.latency.p95_us));
    apps.iter().take(LOOKED_AT_OF_NEW).for_each(&mut add);
    Ok(suspects)
}

fn shown(why: &wire::Why, named: Option<&str>, screen: Screen) -> String {
    if why.diagnoses.is_empty() && !why.unrouted.is_empty() {
        return String::new();
    }
    if why.diagnoses.is_empty() {
        let well = screen.paint(Tone::Good, "nothing is wrong");
        let what = why.app.as_deref().or(named).unwrap_or_default();
        return format!("{}: {well}: {}", visible(what), visible(&why.standing));
    }
    let mut lines = Vec::new();
    for diagnosis in &why.diagnoses {
        lines.extend(self::lines(diagnosis, screen));
    }
    lines.push(format!("{:>9}  {}", "overall", visible(&why.standing)));
    lines.join("\n")
}

/// A claim, its evidence and its remedy.
fn lines(diagnosis: &wire::Diagnosis, screen: Screen) -> Vec<String> {
    let claim = screen.paint(Tone::Bad, &visible(&diagnosis.claim));
    let remedy = diagnosis.remedy.as_ref().into_iter().flat_map(next);
    [claim].into_iter().chain(because(&diagnosis.evidence)).chain(remedy).collect()
}

/// The evidence for a claim, a line each.
pub(super) fn because(evidence: &[String]) -> impl Iterator<Item = String> {
    evidence.iter().enumerate().map(|(number, line)| {
        let word = if number == 0 { "because" } else { "" };
        // A guest may have a say in it: no line of it stands where a remedy does.
        format!("{word:>9}  {}", visible(line).replace('\n', " "))
    })
}

/// What to do, and a command for it where there is one.
pub(super) fn next(remedy: &wire::Remedy) -> Vec<String> {
    let mut lines = vec![format!("{:>9}  {}", "next", visible(&remedy.text))];
    if let Some(command) = &remedy.command {
        let note = if remedy.changes { "changes something; may be wrong" } else { "only looks" };
        lines.push(format!("{:>9}  $ {}    ({note})", "", visible(command)));
    }
    lines
}
