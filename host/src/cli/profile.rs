//! `steerage profile`: where the guests of an app spend their CPU time.
//! Samples nothing: hosts do, all the time.

mod pprof;

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use steerage_core::profile::{Profile, flame_graph, shares};
use steerage_core::units::{ago, many};

use super::args::{Profile as Args, ProfileFormat};
use super::screen::Screen;
use super::table::Table;
use super::{human, remote, sources};
use crate::api::wire::{AppProfile, DeploymentProfile};

/// Runs the verb.
pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let told = client.profile(&args.app, args.of.host.as_deref()).await;
    let told = told.with_context(|| format!("cannot read the profile of {}", args.app))?;
    if screen.is_json() {
        return screen.json(&told);
    }
    sources::tell(screen, told.sources.as_ref());
    if told.lost > 0 {
        let lost = told.lost;
        screen.note(&format!(
            "{lost} samples of all apps were lost: the host had no time to take them"
        ));
    }
    let deployment = of_generation(args, &told, args.generation)?;
    let before = args.diff.map(|generation| of_generation(args, &told, Some(generation)));
    let before = before.transpose()?;
    let (profile, before_read) = (deployment.read(), before.map(DeploymentProfile::read));
    if before.is_some() && matches!(args.format, ProfileFormat::Pprof | ProfileFormat::Folded) {
        bail!(
            "--diff is shown as text or svg: write both generations, and compare them with pprof"
        );
    }
    let title = title(&args.app, deployment, before);
    let bytes = match args.format {
        ProfileFormat::Text if args.out.is_none() => {
            return screen
                .say(&format!("{title}\n\n{}", table(args, &profile, before_read.as_ref())));
        }
        ProfileFormat::Text => {
            format!("{title}\n\n{}\n", table(args, &profile, before_read.as_ref())).into_bytes()
        }
        ProfileFormat::Svg => flame_graph(&title, &profile, before_read.as_ref()).into_bytes(),
        ProfileFormat::Folded => folded(&profile).into_bytes(),
        ProfileFormat::Pprof => pprof::encode(&profile, told.per_second),
    };
    let Some(out) = &args.out else {
        let mut stdout = io::stdout().lock();
        if args.format == ProfileFormat::Pprof && stdout.is_terminal() {
            bail!("a terminal cannot show pprof: say where to write it with --out, or pipe it");
        }
        return stdout.write_all(&bytes).context("cannot write to stdout");
    };
    fs::write(out, bytes).with_context(|| format!("cannot write {}", out.display()))?;
    screen.hint(&format!("wrote {}", out.display()))
}

/// The profile of a generation, or of the last one.
fn of_generation<'t>(
    args: &Args,
    told: &'t AppProfile,
    wanted: Option<u64>,
) -> anyhow::Result<&'t DeploymentProfile> {
    let mut found = told.deployments.iter().rev();
    let found = match wanted {
        Some(wanted) => found.find(|deployment| deployment.generation == wanted),
        None => found.next(),
    };
    if let Some(found) = found {
        return Ok(found);
    }
    let app = &args.app;
    let known: Vec<String> =
        told.deployments.iter().map(|deployment| deployment.generation.to_string()).collect();
    match (wanted, &*known) {
        (_, []) if told.per_second == 0 => {
            bail!("there are no profiles on this host: it was started with --profile-frequency 0")
        }
        (_, []) => bail!(
            "there is no profile of {app} yet: a thread is sampled {} times for each second of CPU \
             time, and {app} has used less lately",
            told.per_second
        ),
        (wanted, known) => bail!(
            "there is no profile of generation {} of {app}: there is one of {}",
            wanted.unwrap_or_default(),
            known.join(" and ")
        ),
    }
}

fn title(app: &str, of: &DeploymentProfile, before: Option<&DeploymentProfile>) -> String {
    let now = human::now();
    let told = |of: &DeploymentProfile| {
        let (since, until) = (ago(now, of.since), ago(now, of.until));
        let samples = many(usize::try_from(of.samples).unwrap_or(usize::MAX), "sample");
        format!("generation {}, {samples} from {since} to {until} ago", of.generation)
    };
    match before {
        Some(before) => format!("CPU time of {app}: {}, against {}", told(of), told(before)),
        None => format!("CPU time of {app}: {}", told(of)),
    }
}

/// The functions with most, and with a profile of before those that changed most.
fn table(args: &Args, profile: &Profile, before: Option<&Profile>) -> String {
    let all = shares(profile, before);
    let percent = |part: f64| format!("{:.1}%", part * 100.0);
    let change = |part: f64| format!("{:+.1}", part * 100.0);
    let columns: &[&str] = match before {
        Some(_) => &[">SELF", ">CHANGE", ">TOTAL", ">CHANGE", "FUNCTION"],
        None => &[">SELF", ">TOTAL", "FUNCTION"],
    };
    let mut table = Table::new(columns);
    for share in all.iter().take(args.lines as usize) {
        let name = super::visible::visible(&share.name);
        table.row(match share.grown {
            Some((own, whole)) => vec![
                percent(share.own),
                change(own),
                percent(share.whole),
                change(whole),
                name.into_owned(),
            ],
            None => vec![percent(share.own), percent(share.whole), name.into_owned()],
        });
    }
    let mut text = table.render();
    let n_more = all.len().saturating_sub(args.lines as usize);
    if n_more > 0 {
        text.push_str(&format!("\n\n{n_more} functions more: -n {} shows all", all.len()));
    }
    if profile.n_left_out() > 0 {
        let n_left_out = profile.n_left_out();
        text.push_str(&format!("\n\n{n_left_out} samples were in other stacks than are kept"));
    }
    text
}

/// A line for each stack, as flame graph tools read it. They take a semicolon for the next function.
fn folded(profile: &Profile) -> String {
    let line = |(stack, number): (Vec<&str>, u64)| {
        let clean = |name: &str| name.replace(';', ":").replace(char::is_control, " ");
        let names: Vec<String> = stack.into_iter().map(clean).collect();
        format!("{} {number}\n", names.join(";"))
    };
    profile.whole().map(line).collect()
}
