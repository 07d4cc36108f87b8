//! `steerage promote`, and how a canary is shown: its figures beside those of the deployment that it
//! shall replace, and what its next step waits for. Judges nothing.

use std::time::Duration;

use anyhow::Context as _;

use super::args::Promote;
use super::screen::{Screen, Tone};
use super::table::Table;
use super::{human, remote};
use crate::api::wire;

/// Gives the deployment on trial all calls, or has it wait or go on with its steps.
pub(super) async fn run(args: &Promote) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    if args.pause || args.resume {
        let doing = if args.pause { "pause" } else { "resume" };
        let paused = client.pause_canary(&args.app, args.pause).await;
        paused.with_context(|| format!("cannot {doing} a canary of {}", args.app))?;
        if screen.is_json() {
            return screen.json(&serde_json::json!({ "app": args.app, "paused": args.pause }));
        }
        let app = screen.paint(Tone::Strong, &args.app);
        return screen.say(&match args.pause {
            true => {
                let resume = format!("`steerage promote {} --resume`", args.app);
                format!("the canary of {app} takes no step until {resume}")
            }
            false => format!("the canary of {app} goes on with its steps"),
        });
    }
    let deployed = client
        .promote(&args.app)
        .await
        .with_context(|| format!("cannot promote a canary of {}", args.app))?;
    if screen.is_json() {
        return screen.json(&deployed);
    }
    let app = screen.paint(Tone::Strong, &args.app);
    screen.say(&format!("{app} is served as generation {}", deployed.generation))
}

/// What there is to say of a trial of an app; nothing where there was none.
pub(super) fn shown(detail: &wire::AppDetail, now: u64) -> Option<String> {
    let Some(canary) = &detail.canary else {
        let watch = detail.watch.as_ref().map(|watch| watched(watch, now));
        return watch.or_else(|| Some(rolled_back(detail.taken_back.as_ref()?, now)));
    };
    let verdict = match &*canary.verdict {
        "too_early" => "too few calls yet to say how it does".to_owned(),
        "fine" => format!("within what is allowed, {}", allowed(canary)),
        _ => "it does worse and is being rolled back".to_owned(),
    };
    let mut table = Table::new(&["CANARY", ">GEN", ">CALLS", ">FAILED", ">P50", ">P95"]);
    let share = format!("on trial, {}", canary.share);
    for (name, generation, side) in [
        ("served".to_owned(), detail.summary.generation, &canary.old),
        (share, canary.generation, &canary.canary),
    ] {
        table.row([
            name,
            generation.to_string(),
            human::count(side.calls),
            human::count(side.failed),
            human::duration(Duration::from_micros(side.p50_us)),
            human::duration(Duration::from_micros(side.p95_us)),
        ]);
    }
    Some(format!(
        "{}\nfor {}, on {} of {}: {verdict}{}",
        table.render(),
        human::since(canary.since, now),
        canary.trying,
        human::many(canary.hosts, "host"),
        next_step(&detail.summary.app, canary, now)
    ))
}

fn rolled_back(taken: &wire::TakenBack, now: u64) -> String {
    let (generation, ago) = (taken.generation, human::since(taken.at, now));
    let what = if taken.had_all { "generation" } else { "canary generation" };
    format!("{what} {generation} was rolled back {ago} ago: {}", taken.why)
}

/// What there is to say of a deployment that is watched.
fn watched(watch: &wire::Watch, now: u64) -> String {
    let wire::Watch { generation, replaced, until, old, new } = watch;
    format!(
        "generation {generation} is watched for {} more: {} of its {} failed, and {} of the last {} of \
         generation {replaced}, which is served again if that gets worse",
        human::since(now, *until),
        human::count(new.failed),
        human::many(new.calls, "call"),
        human::count(old.failed),
        human::many(old.calls, "call"),
    )
}

/// At which step a canary is, and what the next one waits for; nothing where it has none.
fn next_step(app: &str, canary: &wire::Canary, now: u64) -> String {
    let n_steps = u32::try_from(canary.steps.len()).unwrap_or(u32::MAX);
    if n_steps == 0 {
        return String::new();
    }
    let after = canary.steps.get(usize::try_from(canary.step).unwrap_or(usize::MAX));
    let next = match after {
        Some(step) => format!("{} of the calls", step.share),
        None => "all calls".to_owned(),
    };
    let why = match canary.waits_for.as_deref() {
        None => format!("{next} now"),
        Some("time") => {
            let due_at = canary.due_at.unwrap_or(now);
            format!("{next} in {} at the earliest", human::since(now, due_at))
        }
        Some("calls") => {
            let calls = human::many(canary.lacks_calls, "call");
            format!("{next} after {calls} more: too few so far to say how it does")
        }
        Some("resume") => format!("paused until `steerage promote {app} --resume`"),
        _ => format!("until `steerage promote {app}` or `steerage rollback {app}`"),
    };
    format!("\nstep {} of {n_steps}: {why}", canary.step)
}

/// How near it is to what is taken for worse. Processor and memory are not looked at.
fn allowed(canary: &wire::Canary) -> String {
    let calls = canary.canary.calls.max(1);
    let failed = {
        let hundredths = u128::from(canary.canary.failed) * 10_000 / u128::from(calls);
        format!("{}.{:02} %", hundredths / 100, hundredths % 100)
    };
    let p95 = |micros| human::duration(Duration::from_micros(micros));
    format!(
        "which is up to {:.2} % failed ({failed}) and a P95 of {} ({}); fuel and memory are not judged",
        canary.allowed_failed_percent,
        p95(canary.allowed_p95_us),
        p95(canary.canary.p95_us),
    )
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(canary: Option<wire::Canary>, taken_back: Option<wire::TakenBack>, shows: Expect) {
        let detail = serde_json::json!({
            "app": "shop", "generation": 3, "version": "1", "kind": "http", "component": "",
            "size_bytes": 0, "deployed_at": 0, "routes": [], "calls": 0, "failed": 0,
            "running": 0, "waiting": 0, "fuel": 0, "cpu_seconds": 0.0, "memory_peak_bytes": 0,
            "tenant": "default", "description": null, "reuse": 1, "weight": 1, "env": [],
            "allowed_outbound_hosts": [], "manifest": "", "deployments": [],
            "limits": {
                "memory": "", "memory_bytes": 0, "fuel": 0, "timeout": "", "timeout_ms": 0,
                "concurrency": 0, "queue": 0, "request_body": "", "request_body_bytes": 0,
                "response_body": "", "response_body_bytes": 0,
            },
        });
        // What an older host says has neither.
        let detail: wire::AppDetail = serde_json::from_value(detail).unwrap();
        let detail = wire::AppDetail { canary, taken_back, ..detail };
        shows.assert_eq(&shown(&detail, 200_000).unwrap_or_default());
    }

    #[test]
    fn both_sides_stand_beside_each_other() {
        check(None, None, expect![""]);
        let side = |calls, failed| wire::CanarySide { calls, failed, p50_us: 900, p95_us: 4_100 };
        let canary = wire::Canary {
            generation: 4,
            share: "5%".to_owned(),
            share_percent: 5.0,
            since: 10_000,
            trying: 2,
            hosts: 3,
            verdict: "fine".to_owned(),
            allowed_failed_percent: 1.02,
            allowed_p95_us: 24_100,
            old: side(19_000, 3),
            canary: side(1_000, 0),
            steps: Vec::new(),
            step: 0,
            waits_for: Some("promote".to_owned()),
            due_at: None,
            lacks_calls: 0,
            auto_promote: false,
        };
        let step = |share: &str| wire::CanaryStep { share: share.to_owned(), time_ms: 300_000 };
        let mut stepped =
            wire::Canary { steps: vec![step("5%"), step("25%")], step: 1, ..canary.clone() };
        for (waits_for, due_at, lacks_calls, says) in [
            (
                Some("time"),
                Some(290_000),
                0,
                "step 1 of 2: 25% of the calls in 1m30s at the earliest",
            ),
            (Some("calls"), None, 7, "step 1 of 2: 25% of the calls after 7 calls more:"),
            (Some("resume"), None, 0, "step 1 of 2: paused until `steerage promote shop --resume`"),
            (None, None, 0, "step 1 of 2: 25% of the calls now"),
        ] {
            stepped.waits_for = waits_for.map(str::to_owned);
            (stepped.due_at, stepped.lacks_calls) = (due_at, lacks_calls);
            let told = next_step("shop", &stepped, 200_000);
            assert!(told.trim().starts_with(says), "{told}");
        }
        check(
            Some(canary),
            None,
            expect![[r#"
            CANARY        GEN  CALLS  FAILED     P50     P95
            served          3  19.0k       3  900 us  4.1 ms
            on trial, 5%    4   1.0k       0  900 us  4.1 ms
            for 3m10s, on 2 of 3 hosts: within what is allowed, which is up to 1.02 % failed (0.00 %) and a P95 of 24.1 ms (4.1 ms); fuel and memory are not judged"#]],
        );
        let why = "it fails".to_owned();
        let taken_back = wire::TakenBack { generation: 4, why, at: 170_000, had_all: false };
        assert!(rolled_back(&taken_back, 0).starts_with("canary generation 4"));
        let had_all = wire::TakenBack { had_all: true, ..taken_back.clone() };
        assert!(rolled_back(&had_all, 0).starts_with("generation 4 was rolled back"));
        let watch = wire::Watch {
            generation: 4,
            replaced: 3,
            until: 260_000,
            old: side(800, 1),
            new: side(1, 0),
        };
        assert_eq!(
            watched(&watch, 200_000),
            "generation 4 is watched for 1m more: 0 of its 1 call failed, and 1 of the last 800 calls \
             of generation 3, which is served again if that gets worse"
        );
        check(
            None,
            Some(taken_back),
            expect!["canary generation 4 was rolled back 30s ago: it fails"],
        );
    }
}
