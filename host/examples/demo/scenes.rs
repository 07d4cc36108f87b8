//! The demo's story, scene by scene: what is done, what came of it, why it matters.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;
use steerage::cli::human;
use steerage::cli::table::Table;

use super::cast::{CRIMES, EXAMPLES, Example, HOSTILE, LOOP, VICTIM, VICTIM_ASK};
use super::stage::Stage;
use super::web::{Answer, Ask, Web};

/// How many callers the hostile app gets at once, and how long.
const ATTACKERS: usize = 4;
const ATTACK: Duration = Duration::from_secs(2);
/// Of a backtrace, the innermost frames tell the story.
const FRAMES_SHOWN: usize = 4;
/// A call is accounted for within moments of its end.
const SETTLED: Duration = Duration::from_secs(10);

/// Plays the whole demo.
pub(crate) async fn play(stays: bool) -> anyhow::Result<()> {
    let repository = repository()?;
    title("Steerage: many sandboxed services in one process");

    heading("1. Example apps, built from source");
    build_examples(&repository)?;

    heading("2. One host");
    let stage = Stage::start()?;
    say(&format!("  apps   {}\n  admin  {}", stage.apps, stage.admin));
    say(&format!(
        "  Ready after {}. One process, no container; all its data is in one directory.",
        human::duration(stage.started_in)
    ));

    heading("3. Deployments");
    deploy_examples(&stage, &repository)?;

    heading("4. What each call cost");
    let web = Web::new(&stage.apps);
    call_examples(&stage, &web).await?;

    heading("5. An app that misbehaves");
    misbehave(&stage, &web).await?;

    heading("6. A neighbour under attack");
    attack(&stage, &web).await?;

    if stays {
        heading("The host stays until you press Ctrl-C");
        say(&format!("  curl {}/hello", stage.apps));
        say(&format!("  target/debug/steerage ps --admin {}", stage.admin));
        tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    }

    heading("7. The end");
    end(stage)
}

fn build_examples(repository: &Path) -> anyhow::Result<()> {
    // A first build compiles the guests' standard library where no ready one can be had, which
    // takes a minute: each app is told when it is done.
    for example in EXAMPLES {
        let started_at = Instant::now();
        let built = Stage::without_host(&[
            "build".as_ref(),
            "-f".as_ref(),
            manifest(repository, example).as_os_str(),
            "--target-dir".as_ref(),
            repository.join("target/guests").as_os_str(),
            "-o".as_ref(),
            "json".as_ref(),
        ])?;
        let size = human::bytes(number(&json(&built)?, "size_bytes"));
        let took = human::duration(started_at.elapsed());
        say(&format!("  {:11} {:38} {size:>9}  {took:>7}", example.name, example.about));
    }
    Ok(())
}

fn deploy_examples(stage: &Stage, repository: &Path) -> anyhow::Result<()> {
    let mut table = Table::new(&["APP", "ROUTES", ">DEPLOYED IN"]);
    for example in EXAMPLES {
        let started_at = Instant::now();
        let manifest = manifest(repository, example);
        let deployed = json(&stage.steerage(&[
            "deploy".as_ref(),
            "-f".as_ref(),
            manifest.as_os_str(),
            "-o".as_ref(),
            "json".as_ref(),
        ])?)?;
        let routes = items(&deployed, "routes").iter();
        let routes: Vec<_> = routes.filter_map(Value::as_str).collect();
        let took = human::duration(started_at.elapsed());
        table.row([example.name.to_owned(), routes.join(" "), took]);
    }
    say("  $ steerage deploy -f examples/hello/steerage.toml      ... and so on\n");
    say(&indent(&table.render()));
    say("\n  Compiled once and kept; a restart, even after kill -9, serves them again.");
    say(&format!("  While the demo runs: curl {}/hello", stage.apps));
    Ok(())
}

async fn call_examples(stage: &Stage, web: &Web) -> anyhow::Result<()> {
    let mut table = Table::new(&["CALL", ">STATUS", ">FUEL", ">MEMORY", ">CPU", ">TIME"]);
    for example in EXAMPLES {
        let mut earlier = String::new();
        for ask in example.asks {
            let answer = web.send(*ask).await?;
            let cost = last_call(stage, example.name, &earlier)?;
            text(&cost, "id").clone_into(&mut earlier);
            table.row([
                ask.to_text(),
                answer.status.as_u16().to_string(),
                human::count(number(&cost, "fuel")),
                human::bytes(number(&cost, "memory_bytes")),
                human::duration(Duration::from_micros(number(&cost, "cpu_us"))),
                human::duration(answer.took),
            ]);
        }
    }
    say(&indent(&table.render()));
    say("\n  Fuel counts instructions: the same call costs the same on every machine.");
    if let Some(resident) = stage.resident_bytes() {
        say(&format!("  The host, with all apps, holds {} of memory.", human::bytes(resident)));
    }
    Ok(())
}

async fn misbehave(stage: &Stage, web: &Web) -> anyhow::Result<()> {
    let mut first = None;
    let mut earlier = String::new();
    let mut table =
        Table::new(&["WHAT IT DOES", ">STATUS", "CALLER SEES", "CAUSE", ">STOPPED AFTER"]);
    for (crime, ask) in CRIMES {
        let answer = web.send(*ask).await?;
        let call = last_call(stage, HOSTILE, &earlier)?;
        text(&call, "id").clone_into(&mut earlier);
        let seen = if answer.is_cut { "a stream that is cut" } else { "a problem document" };
        table.row([
            (*crime).to_owned(),
            answer.status.as_u16().to_string(),
            seen.to_owned(),
            text(&call, "cause").to_owned(),
            human::duration(answer.took),
        ]);
        first.get_or_insert(answer.body);
    }
    say(&indent(&table.render()));
    say("\n  Each was held to the limits in its manifest. A caller gets a problem document:\n");
    let problem = json(&first.unwrap_or_default())?;
    say(&indent(&indent(&serde_json::to_string_pretty(&problem)?)));
    say("\n  Its developer gets the evidence, and what to do:\n");
    let events = stage.steerage(&["events", HOSTILE, "-o", "json"])?;
    let is_panic = |line: &&str| line.contains("\"trapped\"");
    if let Some(event) = events.lines().rev().find(is_panic) {
        say(&indent(&indent(&event_text(&json(event)?))));
    }
    Ok(())
}

/// An event's message, evidence and advice, a long backtrace cut short.
fn event_text(event: &Value) -> String {
    let mut lines = vec![format!("{}: {}", text(event, "kind"), text(event, "message"))];
    for (name, value) in event.get("evidence").and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let mut shown = value.lines().map(str::trim);
        lines.push(format!("  {name}: {}", shown.next().unwrap_or_default()));
        lines.extend(shown.take(FRAMES_SHOWN).map(|line| format!("    {line}")));
    }
    lines.push(format!("  next: {}", text(event, "advice")));
    lines.join("\n")
}

/// What one caller of the victim saw.
struct Seen {
    n_calls_per_second: f64,
    slowest: Duration,
    middle: Duration,
}

async fn attack(stage: &Stage, web: &Web) -> anyhow::Result<()> {
    say(&format!(
        "  One caller calls {VICTIM} over and over, first alone, then while {ATTACKERS} others keep \
         the\n  endless loop of {HOSTILE} going.\n"
    ));
    let alone = call_for(web, VICTIM_ASK, ATTACK).await?;
    let until = Instant::now() + ATTACK;
    let attackers: Vec<_> = (0..ATTACKERS)
        .map(|_| {
            let web = web.clone();
            tokio::spawn(async move {
                let mut n_stopped = 0_u64;
                while Instant::now() < until {
                    n_stopped += u64::from(web.send(LOOP).await.is_ok());
                }
                n_stopped
            })
        })
        .collect();
    let beside = call_for(web, VICTIM_ASK, ATTACK).await?;
    let mut n_stopped = 0;
    for attacker in attackers {
        n_stopped += attacker.await.context("an attacker failed")?;
    }
    let mut table = Table::new(&["", ">CALLS/S", ">MEDIAN", ">SLOWEST"]);
    for (when, seen) in [("alone", alone), ("under attack", beside)] {
        table.row([
            when.to_owned(),
            format!("{:.0}", seen.n_calls_per_second),
            human::duration(seen.middle),
            human::duration(seen.slowest),
        ]);
    }
    say(&indent(&table.render()));
    say(&format!(
        "\n  {n_stopped} endless loops were stopped meanwhile, and no call of {VICTIM} failed."
    ));
    if let Some(resident) = stage.resident_bytes() {
        say(&format!("  The host holds {} of memory after it.", human::bytes(resident)));
    }
    Ok(())
}

/// Calls one after the other for so long.
async fn call_for(web: &Web, ask: Ask, limit: Duration) -> anyhow::Result<Seen> {
    let started_at = Instant::now();
    let mut times = Vec::new();
    while started_at.elapsed() < limit {
        let Answer { status, body, took, .. } = web.send(ask).await?;
        anyhow::ensure!(status.is_success(), "{} was answered {status}: {body}", ask.to_text());
        times.push(took);
    }
    let elapsed = started_at.elapsed();
    times.sort();
    Ok(Seen {
        n_calls_per_second: times.len() as f64 / elapsed.as_secs_f64(),
        middle: times.get(times.len() / 2).copied().unwrap_or_default(),
        slowest: times.last().copied().unwrap_or_default(),
    })
}

/// The app's last call, as the host accounts for it. That is settled a moment after the last byte
/// of the response, so a call that is not there yet is asked for again.
fn last_call(stage: &Stage, app: &str, earlier: &str) -> anyhow::Result<Value> {
    let asked_at = Instant::now();
    loop {
        let calls = json(&stage.steerage(&["calls", app, "-n", "1", "-o", "json"])?)?;
        match items(&calls, "calls").last() {
            Some(call) if text(call, "id") != earlier => return Ok(call.clone()),
            _ => anyhow::ensure!(asked_at.elapsed() < SETTLED, "no account of a call of {app}"),
        }
    }
}

fn end(stage: Stage) -> anyhow::Result<()> {
    let took = stage.stop()?;
    say(&format!(
        "  SIGTERM: running calls finished, the host ended in {}.",
        human::duration(took)
    ));
    say("  Its data was thrown away; nothing of the demo is left.");
    heading("How to go on");
    say("  cargo install --path host       the `steerage` command\n  \
           steerage new mine && cd mine    an app of your own\n  \
           steerage up                     builds, serves and reloads it on http://127.0.0.1:3000\n  \
           steerage host                   a host that keeps what you deploy\n  \
           make demo STAY=1                this, but the host stays until you press Ctrl-C\n  \
           README.md                       five minutes, the manifest, limits and failures");
    Ok(())
}

fn repository() -> anyhow::Result<PathBuf> {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    host.parent().map(Path::to_path_buf).context("the source tree is gone")
}

fn manifest(repository: &Path, example: &Example) -> PathBuf {
    repository.join("examples").join(example.name).join("steerage.toml")
}

fn json(text: &str) -> anyhow::Result<Value> {
    serde_json::from_str(text).with_context(|| format!("this should be JSON: {text}"))
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn title(text: &str) {
    say(&format!("\n{text}\n{}", "=".repeat(text.len())));
}

fn heading(text: &str) {
    say(&format!("\n{text}\n"));
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn say(text: &str) {
    println!("{text}");
}
