//! `steerage drain`: everything on a host goes elsewhere, and what has nowhere to go is said at once.
//! Only asks and arranges what it is told; the host that is asked plans.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::args::Drain;
use super::screen::{Screen, Tone};
use super::{human, remote};
use crate::api::wire;
use crate::client::{Client, ClientError, Supposed};

/// How often it looks how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Sends everything elsewhere, and waits until it is there.
pub(super) async fn drain(args: &Drain) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let stuck = stuck(&client, &args.host).await.with_context(|| failed(args))?;
    tell(screen, &stuck);
    if !stuck.is_empty() && !args.force {
        anyhow::bail!(
            "{} was not drained: {} on it {} nowhere to go; add a host or make room, or say --force: \
             what has room goes then, and the rest stays",
            args.host,
            human::many(stuck.len(), "replica"),
            if stuck.len() == 1 { "has" } else { "have" }
        );
    }
    let host = client.set_standing(&args.host, "draining").await.with_context(|| failed(args))?;
    if args.no_wait {
        if screen.is_json() {
            return screen.json(&host);
        }
        let name = screen.paint(Tone::Strong, &args.host);
        return screen.say(&format!("{name} is draining; `steerage hosts` tells how far it is"));
    }
    let host = wait_until_empty(screen, &client, args).await?;
    if screen.is_json() {
        return screen.json(&host);
    }
    let name = screen.paint(Tone::Strong, &args.host);
    screen.say(&format!("{name} is empty; it can be stopped, or opened again with uncordon"))
}

fn failed(args: &Drain) -> String {
    format!("cannot drain {}", args.host)
}

/// What would stay on a host that is drained, or does, since it has no room elsewhere.
async fn stuck(client: &Client, host: &str) -> Result<Vec<wire::Unplaced>, ClientError> {
    let drained = Supposed { drained: vec![host.to_owned()], ..Supposed::default() };
    let plan = match client.plan(&drained).await {
        // A host of an earlier version cannot say it beforehand, and one that was lost has nothing.
        Err(ClientError::Refused(problem)) if matches!(problem.status, 400 | 404) => {
            return Ok(Vec::new());
        }
        planned => planned?,
    };
    let stays = |app: &wire::Unplaced| app.stays_on.iter().any(|on| on == host);
    Ok(plan.unplaced.into_iter().filter(stays).collect())
}

fn tell(screen: Screen, stuck: &[wire::Unplaced]) {
    for app in stuck {
        screen.note(&format!("{} has nowhere to go: {}", app.app, app.lacks));
    }
}

async fn wait_until_empty(
    screen: Screen,
    client: &Client,
    args: &Drain,
) -> anyhow::Result<wire::HostSummary> {
    let until = Instant::now() + Duration::from_secs(args.timeout);
    let progress = screen.spinner("waiting for its replicas to start elsewhere");
    let (mut is_told, mut n_looks) = (false, 0);
    loop {
        let hosts = client.hosts().await.context("cannot see how far it is")?;
        if let Some(frozen) = hosts.frozen.as_ref().filter(|_| !is_told) {
            screen.note(&human::frozen(frozen));
            is_told = true;
        }
        let Some(host) = hosts.hosts.into_iter().find(|host| host.host == args.host) else {
            anyhow::bail!("{} has left the fleet", args.host);
        };
        if host.replicas == 0 && host.ready == 0 && host.standing == "draining" {
            progress.finish_and_clear();
            return Ok(host);
        }
        n_looks += 1;
        // A plan is more work than a look.
        if n_looks % 8 == 2 {
            // One that cannot be had is no reason to end: it is looked again.
            let stuck = stuck(client, &args.host).await.unwrap_or_default();
            let n_stuck = u32::try_from(stuck.len()).unwrap_or(u32::MAX);
            if n_stuck > 0 && host.replicas == n_stuck && host.ready <= n_stuck {
                progress.finish_and_clear();
                let apps: Vec<&str> = stuck.iter().map(|app| &*app.app).collect();
                anyhow::bail!(
                    "{} keeps what has nowhere to go: {}; the rest has gone, and nothing new comes",
                    args.host,
                    apps.join(", ")
                );
            }
        }
        progress.set_message(format!(
            "{} left, {} still ready",
            human::many(host.replicas, "replica"),
            host.ready
        ));
        anyhow::ensure!(
            Instant::now() < until,
            "{} still has {} after {} s; `steerage plan` says what has no room elsewhere",
            args.host,
            human::many(host.replicas.max(host.ready), "replica"),
            args.timeout
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
