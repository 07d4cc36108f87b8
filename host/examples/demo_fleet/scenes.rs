//! The demo's story, scene by scene: what is done, what came of it, why it matters.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http::Method;
use steerage::api::wire::Replicas;
use steerage::cli::human;
use steerage::cli::table::Table;

use super::load::{Ask, Load, Record, longest_gap};
use super::stage::{HOSTS, Stage, until};

/// The apps: an example's name, what it is asked, and how the answer begins.
const APPS: [(&str, &str, &str); 2] = [("hello", "/hello", "Hello"), ("api", API, "{")];
const API: &str = "/api/game/x---o----";
/// Replicas of each.
const REPLICAS: u32 = 2;
/// Load before something happens, and after it is over.
const MARGIN: Duration = Duration::from_secs(1);

/// Plays the whole demo.
pub(crate) async fn play() -> anyhow::Result<()> {
    let repository = repository()?;
    title("Steerage: many hosts as one");

    heading("1. Two example apps, built from source");
    let mut stage = Stage::build()?;
    build_examples(&stage, &repository)?;

    heading("2. A store and three hosts");
    start(&mut stage).await?;

    heading("3. Deployed once");
    deploy(&stage, &repository).await?;
    show_replicas(&stage).await?;
    say(
        "\n  Placement chose the hosts: apart from each other, in two zones. Every host answers for\n  \
         every app, itself or through the host next to it.",
    );

    heading("4. A host is killed under load");
    kill(&mut stage).await?;

    heading("5. It comes back, and another one is emptied under load");
    drain(&mut stage).await?;

    heading("6. The end");
    let took = stage.stop()?;
    say(&format!("  SIGTERM: all hosts ended in {}.", human::duration(took)));
    say("  Their data was thrown away; nothing of the demo is left.");
    Ok(())
}

fn build_examples(stage: &Stage, repository: &Path) -> anyhow::Result<()> {
    for (app, ..) in APPS {
        let started_at = Instant::now();
        let (manifest, target) = (manifest(repository, app), repository.join("target/guests"));
        stage.run(&[
            "build".as_ref(),
            "-f".as_ref(),
            manifest.as_os_str(),
            "--target-dir".as_ref(),
            target.as_os_str(),
        ])?;
        say(&format!("  {app:8} {:>7}", human::duration(started_at.elapsed())));
    }
    Ok(())
}

async fn start(stage: &mut Stage) -> anyhow::Result<()> {
    stage.certify()?;
    say("  $ steerage cert init; steerage cert issue ada      ... and so on");
    say(
        "  The fleet's own authority, and a certificate for each host: without one a host gets nothing.\n",
    );
    for (name, _) in HOSTS {
        stage.start(name)?;
    }
    wait_for_hosts(stage, HOSTS[0].0).await?;
    say(&format!(
        "  $ steerage host --store etcd://{} --name ada --zone east --identity DIR ...\n",
        stage.store
    ));
    show(stage, &["hosts"])?;
    say("\n  The store holds what is wanted, and who is there. Components go from host to host.");
    Ok(())
}

async fn deploy(stage: &Stage, repository: &Path) -> anyhow::Result<()> {
    let (via, _) = HOSTS[0];
    let mut table = Table::new(&["", ">READY AFTER"]);
    for (app, ..) in APPS {
        let started_at = Instant::now();
        let manifest = manifest(repository, app);
        stage.steerage(via, &["deploy".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
        let took = human::duration(started_at.elapsed());
        table.row([format!("$ steerage deploy -f examples/{app}/steerage.toml"), took]);
        let started_at = Instant::now();
        stage.steerage(via, &words(&["scale", app, &REPLICAS.to_string()]))?;
        wait_for_replicas(stage, via, app, None).await?;
        let took = human::duration(started_at.elapsed());
        table.row([format!("$ steerage scale {app} {REPLICAS}"), took]);
    }
    say(&indent(&table.render()));
    say("");
    Ok(())
}

async fn kill(stage: &mut Stage) -> anyhow::Result<()> {
    let victim = busiest(stage).await?;
    let via = other_than(&[&victim])?;
    let load = begin_load(stage)?;
    tokio::time::sleep(MARGIN).await;
    let killed_at = Instant::now();
    stage.kill(&victim)?;
    for (app, ..) in APPS {
        wait_for_replicas(stage, via, app, Some(&victim)).await?;
    }
    let restored = killed_at.elapsed();
    tokio::time::sleep(MARGIN).await;
    let records = load.stop()?;
    say(&format!(
        "  kill -9 {victim}, which had most replicas, while callers ask all three hosts in turn.\n"
    ));
    tell(&records)?;
    say(&format!(
        "  All replicas were back, on the hosts left, after {}.\n",
        human::duration(restored)
    ));
    show_replicas(stage).await?;
    stage.start(&victim)
}

async fn drain(stage: &mut Stage) -> anyhow::Result<()> {
    let via = HOSTS[0].0;
    wait_for_hosts(stage, via).await?;
    let emptied = busiest(stage).await?;
    let load = begin_load(stage)?;
    tokio::time::sleep(MARGIN).await;
    let began_at = Instant::now();
    stage.steerage(via, &words(&["drain", &emptied]))?;
    let took = human::duration(began_at.elapsed());
    tokio::time::sleep(MARGIN).await;
    let records = load.stop()?;
    say(&format!("  $ steerage drain {emptied}      empty after {took}\n"));
    tell(&records)?;
    show(stage, &["hosts"])?;
    say(&format!(
        "\n  {emptied} is empty and can be switched off; `steerage uncordon {emptied}` opens it again."
    ));
    Ok(())
}

/// Says what callers noticed, and fails if it was more than they should.
fn tell(records: &[Record]) -> anyhow::Result<()> {
    let failed: Vec<_> = records.iter().filter_map(|record| record.failure.as_deref()).collect();
    let n_again = records.iter().filter(|record| record.is_retried).count();
    let slowest = records.iter().map(|record| record.took).max().unwrap_or_default();
    let mut table =
        Table::new(&[">REQUESTS", ">FAILED", ">SENT AGAIN", ">LONGEST GAP", ">SLOWEST"]);
    table.row([
        records.len().to_string(),
        failed.len().to_string(),
        n_again.to_string(),
        human::duration(longest_gap(records)),
        human::duration(slowest),
    ]);
    say(&indent(&table.render()));
    say("");
    let first = failed.first().copied().unwrap_or_default();
    ensure!(failed.is_empty(), "{} requests failed, the first: {first}", failed.len());
    if n_again > 0 {
        say(&format!(
            "  Of all requests, {n_again} found their connection broken and went to another host, as\n  \
             load balancers do."
        ));
    }
    Ok(())
}

fn begin_load(stage: &Stage) -> anyhow::Result<Load> {
    let asks = APPS.map(|(_, path, begins)| Ask {
        method: Method::GET,
        path: path.to_owned(),
        begins: begins.to_owned(),
    });
    Ok(Load::start(stage.doors()?, asks.into()))
}

/// Waits until this host hears of the store and of all others.
async fn wait_for_hosts(stage: &Stage, via: &str) -> anyhow::Result<()> {
    let client = stage.client(via)?;
    until("fleet", async || {
        let told = client.hosts().await?;
        let n_well = told.hosts.iter().filter(|host| host.state == "answers").count();
        Ok((told.store_answers && n_well == HOSTS.len()).then_some(()))
    })
    .await
}

/// Waits until an app has its replicas elsewhere than on this host, if one is named.
async fn wait_for_replicas(
    stage: &Stage,
    via: &str,
    app: &str,
    lost: Option<&str>,
) -> anyhow::Result<()> {
    let client = stage.client(via)?;
    until("replicas elsewhere", async || {
        let told = client.replicas(app).await?;
        let is_there = |replica: &&_| is_ready(replica) && Some(&*replica.host) != lost;
        let n_ready = told.hosts.iter().filter(is_there).count();
        Ok((n_ready >= REPLICAS as usize).then_some(()))
    })
    .await
}

fn is_ready(replica: &steerage::api::wire::Replica) -> bool {
    replica.state == "ready"
}

async fn replicas(stage: &Stage) -> anyhow::Result<Vec<Replicas>> {
    let mut all = Vec::new();
    for (app, ..) in APPS {
        let mut told = Err(anyhow::anyhow!("no host answers"));
        for (name, _) in HOSTS {
            told = stage.client(name)?.replicas(app).await.context("no word of replicas");
            if told.is_ok() {
                break;
            }
        }
        all.push(told?);
    }
    Ok(all)
}

async fn show_replicas(stage: &Stage) -> anyhow::Result<()> {
    let mut table = Table::new(&["APP", "READY ON"]);
    for told in replicas(stage).await? {
        let ready = told.hosts.iter().filter(|replica| is_ready(replica));
        let names: Vec<&str> = ready.map(|replica| replica.host.as_str()).collect();
        table.row([told.app, names.join(", ")]);
    }
    say(&indent(&table.render()));
    Ok(())
}

/// The host with most replicas.
async fn busiest(stage: &Stage) -> anyhow::Result<String> {
    let all = replicas(stage).await?;
    let count = |name: &str| {
        let replicas = all.iter().flat_map(|app| &app.hosts);
        replicas.filter(|replica| replica.host == name && is_ready(replica)).count()
    };
    let busiest = HOSTS.iter().map(|(name, _)| *name).max_by_key(|name| count(name));
    busiest.map(str::to_owned).context("no hosts")
}

fn other_than(names: &[&str]) -> anyhow::Result<&'static str> {
    let other = HOSTS.iter().map(|(name, _)| *name).find(|name| !names.contains(name));
    other.context("no other host")
}

fn show(stage: &Stage, args: &[&str]) -> anyhow::Result<()> {
    let shown = stage.steerage(HOSTS[0].0, &words(args))?;
    say(&format!("  $ steerage {}", args.join(" ")));
    say(&indent(&shown));
    Ok(())
}

fn words<'w>(words: &'w [&'w str]) -> Vec<&'w OsStr> {
    words.iter().map(OsStr::new).collect()
}

fn repository() -> anyhow::Result<PathBuf> {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    host.parent().map(Path::to_path_buf).context("the source tree is gone")
}

fn manifest(repository: &Path, app: &str) -> PathBuf {
    repository.join("examples").join(app).join("steerage.toml")
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
