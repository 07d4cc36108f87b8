//! `steerage promote`, and how a canary is shown: its figures beside those of the deployment that it
//! shall replace. Judges nothing.

use std::time::Duration;

use anyhow::Context as _;

use super::args::OneApp;
use super::screen::{Screen, Tone};
use super::table::Table;
use super::{human, remote};
use crate::api::wire;

/// Gives the deployment on trial all calls.
pub(super) async fn run(args: &OneApp) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
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
        return detail.taken_back.as_ref().map(|taken| {
            format!(
                "canary generation {} was rolled back {} ago: {}",
                taken.generation,
                human::since(taken.at, now),
                taken.why
            )
        });
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
        "{}\nfor {}, on {} of {}: {verdict}",
        table.render(),
        human::since(canary.since, now),
        canary.trying,
        human::many(canary.hosts, "host")
    ))
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
        };
        check(
            Some(canary),
            None,
            expect![[r#"
            CANARY        GEN  CALLS  FAILED     P50     P95
            served          3  19.0k       3  900 us  4.1 ms
            on trial, 5%    4   1.0k       0  900 us  4.1 ms
            for 3m10s, on 2 of 3 hosts: within what is allowed, which is up to 1.02 % failed (0.00 %) and a P95 of 24.1 ms (4.1 ms); fuel and memory are not judged"#]],
        );
        let taken_back = wire::TakenBack { generation: 4, why: "it fails".to_owned(), at: 170_000 };
        check(
            None,
            Some(taken_back),
            expect!["canary generation 4 was rolled back 30s ago: it fails"],
        );
    }
}
