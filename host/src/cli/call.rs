//! `steerage call`: one call, how it ended, where its time went and what it printed.
//! Knows what hosts keep of it, which is not much for long: metrics and logs are the place for more.

use std::cmp::Reverse;
use std::time::Duration;

use anyhow::{Context as _, bail};
use steerage_core::id::CallIdPrefix;
use steerage_core::spent::Phase;

use super::args::Call;
use super::screen::Screen;
use super::table::Facts;
use super::visible::visible;
use super::{human, remote, sources};
use crate::api::wire;
use crate::client::Client;

/// Lines and events of the app among which those of the call are looked for.
const LOOKED_THROUGH: u32 = 1000;
/// Columns of the bar that a call's whole time takes.
const BAR: u64 = 40;

/// Runs the verb.
pub(super) async fn run(args: &Call) -> anyhow::Result<()> {
    let (screen, client) = (Screen::new(args.print), remote::connect(&args.remote)?);
    show(screen, &client, args.id, args.of.host.as_deref()).await
}

/// Shows the call whose id begins so.
pub(super) async fn show(
    screen: Screen,
    client: &Client,
    id: CallIdPrefix,
    host: Option<&str>,
) -> anyhow::Result<()> {
    let cannot = || format!("cannot look for the call {id}");
    let found = client.calls_of_id(id, host).await.with_context(cannot)?;
    if screen.is_json() {
        return screen.json(&found);
    }
    sources::tell(screen, found.sources.as_ref());
    let call = match &*found.calls {
        [] => bail!(
            "no call {id} is kept; hosts keep the last calls of each app: see `steerage calls APP`",
        ),
        [call] => call,
        several => {
            let ids: Vec<_> = several.iter().map(|call| &*call.id).collect();
            bail!("{} calls begin with {}: {}", several.len(), id, ids.join(" "));
        }
    };
    let lines = client.logs(&call.app, LOOKED_THROUGH, host).await.with_context(cannot)?.lines;
    let events = client.events(Some(&call.app), LOOKED_THROUGH, host);
    let events = events.await.with_context(cannot)?.events;
    let of_call = |id: &str| id == call.id;
    let lines: Vec<_> = lines.into_iter().filter(|line| of_call(&line.call)).collect();
    let event = events.iter().find(|event| event.call.as_deref().is_some_and(of_call));
    screen.say(&facts(call, &lines, event, human::now()))
}

fn facts(
    call: &wire::Call,
    lines: &[wire::LogLine],
    event: Option<&wire::Event>,
    now: u64,
) -> String {
    let mut facts = Facts::default();
    facts.add("call", &*call.id);
    let with_body = match call.request_bytes {
        0 => String::new(),
        bytes => format!(", with {} of body", human::bytes(bytes)),
    };
    let from = call.client.as_ref().map(|client| format!(", from {client}")).unwrap_or_default();
    facts.add("request", visible(&format!("{} {}{with_body}{from}", call.method, call.path)));
    facts.add("app", format!("{}, generation {}", call.app, call.generation));
    facts.add("host", call.host.clone().unwrap_or_default());
    facts.add(
        "began",
        format!("{}, {} ago", human::clock_of(call.at, now), human::since(call.at, now)),
    );
    facts.add("ended", format!("{}, status {}", call.cause, call.status));
    if let Some(event) = event {
        facts.add("because", visible(&event.message));
        facts.add(
            "at",
            event.evidence.get("backtrace").map(|frames| shown(frames)).unwrap_or_default(),
        );
        facts.add("next", event.advice.clone().unwrap_or_default());
    }
    facts.add("took", human::duration(Duration::from_micros(call.duration_us)));
    facts.add("time", bars(call));
    let failed_by = call.failed_by.as_ref().filter(|wait| call.waited_for.as_ref() != Some(wait));
    let waits: Vec<String> = call.waited_for.iter().chain(failed_by).map(asked).collect();
    facts.add("asked", waits.join("\n"));
    facts.add(
        "used",
        format!(
            "{} fuel, {} of CPU, {} of memory",
            human::count(call.fuel),
            human::duration(Duration::from_micros(call.cpu_us)),
            human::bytes(call.memory_bytes)
        ),
    );
    facts.add("answer", human::bytes(call.response_bytes));
    facts.add(
        "replay",
        call.capsule.as_deref().map(|fate| replay(&call.id, fate)).unwrap_or_default(),
    );
    facts.add(
        "printed",
        lines.iter().map(|line| visible(&line.text)).collect::<Vec<_>>().join("\n"),
    );
    facts.render()
}

/// What became of its capsule.
fn replay(id: &str, fate: &str) -> String {
    match fate {
        "kept" => format!("steerage replay {}", id.get(..8).unwrap_or(id)),
        "quota_reached" => {
            "it left no capsule: four calls failed in the same way before it".to_owned()
        }
        "too_large" => {
            "it left no capsule: what its guest was told takes more than 64 KiB".to_owned()
        }
        "too_many_secrets" => {
            "it left no capsule: more values in it or in [env] are secret than are looked for"
                .to_owned()
        }
        "encoded" => "it left no capsule: a body has a content-encoding, so that no secret can be \
                      found in it"
            .to_owned(),
        "reused" => {
            "it left no capsule: [instance] reuse has instances serve more than one call".to_owned()
        }
        "used_store" => {
            "it left no capsule: its guest used a key-value store or a database, which a replay does not have"
                .to_owned()
        }
        other => format!("it left no capsule: {other}"),
    }
}

/// Whom it waited for of those that it asked.
fn asked(wait: &wire::WaitedFor) -> String {
    let waited = human::duration(Duration::from_micros(wait.waited_us));
    let to = visible(&wait.destination);
    match &wait.wrong {
        Some(wrong) => format!("{to}, which failed ({wrong}) after {waited}"),
        None => format!("{to}, and waited {waited} for it"),
    }
}

/// Each line made harmless: a guest names its own functions.
fn shown(lines: &str) -> String {
    lines.lines().map(visible).collect::<Vec<_>>().join("\n")
}

/// A line and a bar for each phase that took any time, what took most first.
fn bars(call: &wire::Call) -> String {
    let whole = call.time_us.values().sum::<u64>().max(1);
    let mut each: Vec<_> = call.time_us.iter().collect();
    each.sort_by_key(|(_, us)| Reverse(**us));
    let width = each.iter().map(|(phase, _)| phase.len()).max().unwrap_or(0);
    let lines = each.into_iter().map(|(phase, us)| {
        let length = us.saturating_mul(BAR).div_ceil(whole);
        let bar = "#".repeat(usize::try_from(length).unwrap_or(0));
        let known = Phase::ALL.iter().find(|known| known.code() == phase);
        let meaning = known.map_or("", |known| known.meaning());
        let took = human::duration(Duration::from_micros(*us));
        let percent = us.saturating_mul(100) / whole;
        format!("{phase:width$}  {took:>9}  {percent:>3}%  {bar:40}  {meaning}")
            .trim_end()
            .to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_call_is_shown_with_where_its_time_went_and_what_it_printed() {
        let call = wire::Call {
            id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
            app: "shop".to_owned(),
            at: 1_790_000_000_000,
            generation: 3,
            method: "GET".to_owned(),
            path: "/cart".to_owned(),
            status: 504,
            cause: "timed_out".to_owned(),
            failed: true,
            duration_us: 2_000_000,
            time_us: [("guest", 20_000), ("outbound", 1_960_000), ("host", 20_000)]
                .map(|(phase, us)| (phase.to_owned(), us))
                .into(),
            failed_by: None,
            waited_for: Some(wire::WaitedFor {
                destination: "api.example.com:443".to_owned(),
                waited_us: 1_950_000,
                wrong: Some("timed_out".to_owned()),
            }),
            fuel: 1_200_000,
            memory_bytes: 3 << 20,
            cpu_us: 20_000,
            instantiate_us: 0,
            request_bytes: 2048,
            response_bytes: 120,
            client: Some("10.0.0.7".to_owned()),
            capsule: Some("kept".to_owned()),
            host: Some("ada".to_owned()),
        };
        let line = wire::LogLine {
            at: call.at,
            app: "shop".to_owned(),
            generation: 3,
            call: call.id.clone(),
            stream: wire::Stream::Stdout,
            text: "asking for prices\u{1b}[2J".to_owned(),
            host: None,
        };
        let event = wire::Event {
            id: 1,
            first_at: call.at,
            at: call.at,
            kind: "timed_out".to_owned(),
            severity: wire::Severity::Warning,
            app: Some("shop".to_owned()),
            generation: Some(3),
            call: Some(call.id.clone()),
            message: "its time was over after 2s".to_owned(),
            evidence: Default::default(),
            advice: Some("find what the call waited for".to_owned()),
            count: 1,
            host: None,
        };
        expect![[r#"
            call     0af7651916cd43dd8448eb211c80319c
            request  GET /cart, with 2.0 KiB of body, from 10.0.0.7
            app      shop, generation 3
            host     ada
            began    14:13:20.000Z, 1m30s ago
            ended    timed_out, status 504
            because  its time was over after 2s
            next     find what the call waited for
            took     2.0 s
            time     outbound      1.9 s   98%  ########################################  waited for an outbound request
                     guest       20.0 ms    1%  #                                         ran
                     host        20.0 ms    1%  #                                         was handled by the host
            asked    api.example.com:443, which failed (timed_out) after 1.9 s
            used     1.2M fuel, 20.0 ms of CPU, 3.0 MiB of memory
            answer   120 B
            replay   steerage replay 0af76519
            printed  asking for prices\u{1b}[2J"#]].assert_eq(&facts(&call, &[line], Some(&event), call.at + 90_000));
    }
}
