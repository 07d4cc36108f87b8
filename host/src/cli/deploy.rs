//! `steerage deploy`: sends an app to a host and says how to call it.
//! Uploads and asks; whether a deployment is acceptable is the host's to say.

mod ready;

use std::collections::BTreeMap;

use anyhow::Context as _;
use steerage_core::rollout::{Steps, WatchTime};
use steerage_core::route::{HostPattern, Route, Segment};
use steerage_core::units::show_duration;

use super::app::App;
use super::args::Deploy;
use super::build::Built;
use super::ending::Misused;
use super::screen::{Screen, Tone};
use super::{build, human, remote, replicas};
use crate::api::wire;
use crate::client::Client;
use crate::manifest::Overrides;

/// Runs the verb.
pub(super) async fn run(args: &Deploy) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let apps = match (&args.component, &args.name, &args.route) {
        (Some(component), Some(name), Some(route)) => {
            vec![App::bare(component, name, route, args.host.as_deref())?]
        }
        _ => {
            let given = args.variables.iter().cloned().collect();
            let all = App::read_all(&args.file, &overrides(args, &given))?;
            all.notes.iter().for_each(|note| screen.note(note));
            all.apps
        }
    };
    let client = remote::connect(&args.remote)?;
    // All are built before the first is sent: what cannot be built leaves everything as it was.
    let mut ready = Vec::new();
    for app in apps {
        let built = if args.build {
            build::build(&app, &build::Wish::release(None), screen.tools())?
        } else {
            build::inspect(&app.source())?
        };
        ready.push((app, built));
    }
    for (app, built) in &ready {
        deploy(args, &client, app, built, screen).await?;
    }
    Ok(())
}

/// Sends one app and says how to call it.
async fn deploy(
    args: &Deploy,
    client: &Client,
    app: &App,
    built: &Built,
    screen: Screen,
) -> anyhow::Result<()> {
    let options = DeployOptions {
        canary: canary(args)?,
        auto_promote: args.auto_promote,
        watch: if args.no_watch { Some(WatchTime::NEVER) } else { args.watch },
        change_tenant: args.change_tenant,
    };
    let mut deployed = send(client, app, built, options, screen).await?;
    ready::wait(client, &mut deployed, args.wait, screen).await;
    if screen.is_json() {
        screen.json(&deployed)?;
        return ready::check(client, &deployed).await;
    }
    screen.say(&served(screen, &deployed))?;
    if let Some(placed) = &deployed.replicas {
        screen.say(&indented("replicas: ", &replicas::shown(screen, placed)))?;
        if placed.generation > deployed.generation && deployed.canary.is_none() {
            screen.note(&format!("generation {} has replaced it meanwhile", placed.generation));
        }
    }
    if !deployed.not_offered.is_empty() {
        screen.note(&human::not_offered(&deployed.not_offered));
    }
    if deployed.canary.is_some() {
        let name = &deployed.app;
        if let Some(steps) = canary(args)?.and_then(|steps| told(&steps, args.auto_promote)) {
            screen.hint(&steps)?;
        }
        screen.hint(&format!("`steerage show {name}` tells how it does beside the one served"))?;
        return screen.hint(&format!(
            "`steerage promote {name}` gives it all calls, `steerage rollback {name}` none"
        ));
    }
    match &deployed.watch {
        Some(watch) => screen.hint(&watched(watch))?,
        None if args.watch.is_some() => {
            screen.note("it is not watched: there is no deployment before it to go back to");
        }
        None => {}
    }
    for line in ways_to_call(&app.manifest.routes, &deployed.url) {
        screen.hint(&line)?;
    }
    ready::check(client, &deployed).await
}

/// What the flags say in place of the manifest.
fn overrides<'a>(args: &'a Deploy, variables: &'a BTreeMap<String, String>) -> Overrides<'a> {
    let Deploy { name, route, host, .. } = args;
    let (name, path, host) = (name.as_deref(), route.as_deref(), host.as_deref());
    Overrides { name, path, host, variables: Some(variables) }
}

/// The steps of the canary, each with its time.
fn canary(args: &Deploy) -> anyhow::Result<Option<Steps>> {
    let Some(steps) = &args.canary else { return Ok(None) };
    let timed = args.step.map(|time| steps.with_time(time)).transpose();
    Ok(Some(
        timed
            .map_err(|error| Misused(format!("--step: {error}")))?
            .unwrap_or_else(|| steps.clone()),
    ))
}

/// How an app is to be deployed.
#[derive(Clone, Debug, Default)]
pub(super) struct DeployOptions {
    /// The steps in which it gets calls beside what is served.
    canary: Option<Steps>,
    /// Whether it gets all of them by itself in the end.
    auto_promote: bool,
    /// How long it is watched otherwise, unless the host shall say.
    watch: Option<WatchTime>,
    /// Whether the app may be taken from the tenant that it belongs to.
    change_tenant: bool,
}

impl DeployOptions {
    /// Served at once, and whatever it does: for whoever is still writing it.
    pub(super) fn unwatched() -> Self {
        Self { watch: Some(WatchTime::NEVER), ..Self::default() }
    }
}

/// Uploads the component unless the host has it, and has it deployed.
pub(super) async fn send(
    client: &Client,
    app: &App,
    built: &Built,
    options: DeployOptions,
    screen: Screen,
) -> anyhow::Result<wire::Deployed> {
    let name = &app.manifest.name;
    let source = &built.path;
    let bar = screen.bar("uploading", built.bytes);
    client
        .upload(&built.digest, source, |n_bytes| bar.set_position(n_bytes))
        .await
        .with_context(|| format!("cannot upload `{}` to {}", source.display(), client.url()))?;
    bar.finish_and_clear();
    let spinner = screen.spinner("compiling");
    let request = wire::DeployRequest {
        manifest: app.text.clone(),
        component: built.digest.to_string(),
        canary: options.canary.map(|steps| steps.to_string()),
        auto_promote: options.auto_promote,
        watch: options.watch.map(|watch| watch.to_string()),
        change_tenant: options.change_tenant,
    };
    let deployed = client
        .deploy(name.as_str(), &request)
        .await
        .with_context(|| format!("cannot deploy {name} to {}", client.url()))?;
    spinner.finish_and_clear();
    Ok(deployed)
}

/// A text of some lines behind a word, all of them indented.
fn indented(word: &str, text: &str) -> String {
    format!("  {word}{}", text.replace('\n', "\n    "))
}

fn served(screen: Screen, deployed: &wire::Deployed) -> String {
    if let Some(share) = &deployed.canary {
        let app = screen.paint(Tone::Strong, &deployed.app);
        return format!("{share} of the calls of {app} go to generation {}", deployed.generation);
    }
    format!(
        "{} is served as generation {}",
        screen.paint(Tone::Strong, &deployed.app),
        deployed.generation,
    )
}

/// That a deployment is watched, and until when.
fn watched(watch: &wire::Watch) -> String {
    format!(
        "  watched until {}: it goes back to generation {} by itself if it fails where that one did not \
         (--no-watch)",
        human::clock(watch.until),
        watch.replaced
    )
}

/// What comes after the first step of a canary; nothing where nothing does.
fn told(steps: &Steps, promotes: bool) -> Option<String> {
    let plan = steps.plan(promotes);
    let (_, after) = plan.steps.split_first()?;
    let mut times = plan.steps.iter().map(|step| show_duration(step.time));
    let mut text: Vec<String> = after
        .iter()
        .zip(times.by_ref())
        .map(|(step, time)| format!("{} after {time}", step.share))
        .collect();
    match times.next() {
        Some(time) if promotes => text.push(format!("all of them after {time}")),
        _ if text.is_empty() => return None,
        _ => {}
    }
    Some(format!("then {}, each if it does no worse on enough calls", text.join(", ")))
}

/// The URLs of the app's routes, and one line to try it with.
pub(super) fn ways_to_call(routes: &[Route], apps_url: &str) -> Vec<String> {
    let apps_url = apps_url.trim_end_matches('/');
    let mut lines: Vec<_> = routes
        .iter()
        .map(|route| match way_to(route, apps_url) {
            (url, Some(host)) => format!("  {url} for host {host}"),
            (url, None) => format!("  {url}"),
        })
        .collect();
    if let Some(route) = routes.first() {
        let (url, host) = way_to(route, apps_url);
        let header = host.map(|host| format!("-H 'Host: {host}' ")).unwrap_or_default();
        lines.push(format!("try: curl {header}{url}"));
    }
    lines
}

/// A URL that the route answers at, and the host name that must be said where the URL does not.
fn way_to(route: &Route, apps_url: &str) -> (String, Option<String>) {
    let path = example_path(route);
    let Some(host) = host_of(&route.host) else { return (format!("{apps_url}{path}"), None) };
    // Curl and browsers know that these names are this machine, without asking anybody (RFC 6761).
    let local = apps_url.strip_prefix("http://127.0.0.1").filter(|_| host.ends_with(".localhost"));
    match local {
        Some(port) => (format!("http://{host}{port}{path}"), None),
        None => (format!("{apps_url}{path}"), Some(host)),
    }
}

/// A host name that the pattern matches, if it does not match every one.
fn host_of(pattern: &HostPattern) -> Option<String> {
    match pattern {
        HostPattern::Any => None,
        HostPattern::Exact(name) => Some(name.to_string()),
        HostPattern::Suffix(name) => Some(format!("any.{name}")),
    }
}

/// A path that the route matches: each parameter filled with its own name.
fn example_path(route: &Route) -> String {
    let mut path = String::new();
    for segment in route.path.segments() {
        path.push('/');
        path.push_str(match segment {
            Segment::Literal(text) | Segment::Param(text) => text,
        });
    }
    if path.is_empty() || route.path.has_rest() {
        path.push('/');
    }
    path
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(routes: &[&str], expect: Expect) {
        let routes: Vec<Route> = routes.iter().map(|route| route.parse().unwrap()).collect();
        expect.assert_eq(&ways_to_call(&routes, "http://127.0.0.1:8080/").join("\n"));
    }

    #[test]
    fn patterns_become_urls_that_match_them() {
        check(
            &["/", "/orders/:id", "/files/..."],
            expect![[r#"
              http://127.0.0.1:8080/
              http://127.0.0.1:8080/orders/id
              http://127.0.0.1:8080/files/
            try: curl http://127.0.0.1:8080/"#]],
        );
    }

    #[test]
    fn a_host_becomes_a_header() {
        check(
            &["shop.example.com/cart", "*.example.org/..."],
            expect![[r#"
              http://127.0.0.1:8080/cart for host shop.example.com
              http://127.0.0.1:8080/ for host any.example.org
            try: curl -H 'Host: shop.example.com' http://127.0.0.1:8080/cart"#]],
        );
        check(
            &["shop.localhost/...", "*.localhost/cart"],
            expect![[r#"
              http://shop.localhost:8080/
              http://any.localhost:8080/cart
            try: curl http://shop.localhost:8080/"#]],
        );
    }
}
