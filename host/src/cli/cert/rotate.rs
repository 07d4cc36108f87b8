//! `steerage cert rotate`: another authority takes the place of the fleet's, in three steps, each for all
//! hosts before the next one begins: they believe both, they show certificates of the new one, they believe
//! the new one alone. Each step looks at what is there, so that the same command goes on where it ended.
//! Copies no files to other machines: it says which have to be where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::super::args::{CertRenew, CertRotate, CertTrust};
use super::super::ending::Refused;
use super::super::remote;
use super::super::screen::Screen;
use super::{named, renew, trust};
use crate::api::wire;
use crate::client::Client;
use crate::identity::{CA, CERTIFICATE, Identity, KEY, fingerprint};
use crate::pem;

/// How often it looks how far the hosts are.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Hosts that read the files in these folders show them sooner than this; others have to be given them.
const SOON: Duration = Duration::from_secs(10);

/// What all hosts are to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// They believe both authorities.
    Trust,
    /// They show certificates of the new one.
    Renew,
    /// They do not believe the old one any more.
    Distrust,
}

/// The two authorities, by their fingerprints.
struct Authorities {
    old: String,
    new: String,
}

/// Rotates.
pub(super) async fn rotate(args: &CertRotate) -> anyhow::Result<()> {
    let authorities = Authorities { old: authority(&args.dir)?, new: authority(&args.new)? };
    if authorities.old == authorities.new {
        let why = format!("{} and {} are one authority", args.dir.display(), args.new.display());
        return Err(Refused(why).into());
    }
    super::Authority::read(&args.new)?.check_days(args.days)?;
    let mut folders = BTreeMap::new();
    for folder in &args.folders {
        folders.insert(named(&folder.join(CERTIFICATE))?.0.to_string(), folder.clone());
    }
    let (screen, client) = (Screen::plain(args.quiet), remote::connect(&args.remote)?);
    complete(&hosts(&client).await?, &folders)?;
    let new = args.new.display();
    for step in [Step::Trust, Step::Renew, Step::Distrust] {
        if step == Step::Renew {
            screen.hint(&format!(
                "where hosts have --authority-key, put {new}/ca.key in place of that file now: they would \
                 go on signing with the old one"
            ))?;
        }
        take(step, args, (&folders, &authorities), (screen, &client)).await?;
    }
    let lost = hosts(&client).await?.into_iter().filter(is_lost);
    let lost: Vec<String> = lost.map(|host| host.host).collect();
    if !lost.is_empty() {
        screen.hint(&format!(
            "not there: {}; copy their folders to them before they start again",
            lost.join(", ")
        ))?;
    }
    screen.hint(&format!(
        "done: all hosts that are there show certificates of the authority in {new}/, and believe no other\n\nnext:\n  \
         keep {new}/ in the place of {}/, which is of no use any more",
        args.dir.display()
    ))
}

/// Takes a step with each folder that has not, and waits until all hosts have.
async fn take(
    step: Step,
    args: &CertRotate,
    (folders, authorities): (&BTreeMap<String, PathBuf>, &Authorities),
    (screen, client): (Screen, &Client),
) -> anyhow::Result<()> {
    let began_at = Instant::now();
    let mut is_told = false;
    screen.hint(&format!("{} of 3: {}", step as usize + 1, step.says()))?;
    loop {
        for folder in folders.values() {
            // Also one that a host has renewed meanwhile, with the old authority.
            step.prepare(folder, args, authorities)?;
        }
        let hosts = hosts(client).await?;
        // One that is lost is given its files, and says nothing.
        let there = hosts.iter().filter(|host| !is_lost(host));
        let left: Vec<&wire::HostSummary> =
            there.filter(|host| !step.is_done(host, authorities)).collect();
        if left.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = left.iter().map(|host| &*host.host).collect();
        let files = step.files().join(" and ");
        if !is_told && began_at.elapsed() >= SOON {
            is_told = true;
            let copies = left.iter().filter_map(|host| {
                let folder = folders.get(&host.host)?.display();
                Some(format!("\n  {files} of {folder}/ to the folder that {} reads", host.host))
            });
            let copies: String = copies.collect();
            screen.hint(&format!(
                "waiting for {}; where hosts read their files elsewhere, copy{copies}",
                names.join(", ")
            ))?;
        }
        anyhow::ensure!(
            began_at.elapsed() < Duration::from_secs(args.timeout),
            "{} did not get there within {} s: {}; see `steerage events` there, and say the same again to \
             go on",
            names.join(", "),
            args.timeout,
            step.says()
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Step {
    fn says(self) -> &'static str {
        match self {
            Self::Trust => "all hosts believe both authorities",
            Self::Renew => "all hosts show certificates of the new one",
            Self::Distrust => "no host believes the old one",
        }
    }

    /// The files that it changes.
    fn files(self) -> &'static [&'static str] {
        match self {
            Self::Trust | Self::Distrust => &[CA],
            Self::Renew => &[KEY, CERTIFICATE],
        }
    }

    /// Changes a host's files, if they are not so yet.
    fn prepare(
        self,
        folder: &Path,
        args: &CertRotate,
        authorities: &Authorities,
    ) -> anyhow::Result<()> {
        let renewal = CertRenew {
            folder: folder.to_owned(),
            dir: args.new.clone(),
            days: args.days,
            quiet: true,
        };
        let load = || {
            Identity::load(folder)
                .with_context(|| format!("cannot use the files in {}", folder.display()))
        };
        let identity = match load() {
            // Where this was ended between two files, key and certificate do not belong together.
            Err(error) if renew(&renewal).is_err() => return Err(error),
            Err(_) => load()?,
            Ok(identity) => identity,
        };
        let change =
            |dir: &Path| CertTrust { folder: folder.to_owned(), dir: dir.to_owned(), quiet: true };
        match self {
            Self::Trust if !identity.authorities().contains(&authorities.new) => {
                trust::trust(&change(&args.new))
            }
            Self::Renew if identity.certificate().authority != authorities.new => renew(&renewal),
            Self::Distrust if identity.authorities().contains(&authorities.old) => {
                trust::distrust(&change(&args.dir))
            }
            _ => Ok(()),
        }
    }

    /// Whether a host has come so far, as it says itself.
    fn is_done(self, host: &wire::HostSummary, authorities: &Authorities) -> bool {
        let Some(shown) = &host.certificate else { return false };
        match self {
            Self::Trust => shown.believes.contains(&authorities.new),
            Self::Renew => shown.authority == authorities.new,
            Self::Distrust => !shown.believes.contains(&authorities.old),
        }
    }
}

/// The fingerprint of the authority in a folder.
fn authority(folder: &Path) -> Result<String, Refused> {
    let path = folder.join(CA);
    let refused = |why: &dyn std::fmt::Display| {
        let make = format!("`steerage cert init --dir {}` makes an authority", folder.display());
        Refused(format!("cannot use {}: {why}; {make}", path.display()))
    };
    let text = std::fs::read(&path).map_err(|error| refused(&error))?;
    let all = pem::certificates(&text).map_err(|why| refused(&why))?;
    match &all[..] {
        [one] => Ok(fingerprint(one)),
        _ => Err(Refused(format!("{} holds more than one authority", path.display()))),
    }
}

/// The hosts that count: also one that is lost, which may come back.
async fn hosts(client: &Client) -> anyhow::Result<Vec<wire::HostSummary>> {
    let hosts = client.hosts().await.context("cannot see how far the hosts are")?;
    Ok(hosts.hosts.into_iter().filter(|host| host.state != "revoked").collect())
}

fn is_lost(host: &wire::HostSummary) -> bool {
    host.state == "lost"
}

/// Looks whether there is a folder for each host: one that is left out would be a stranger afterwards.
fn complete(
    hosts: &[wire::HostSummary],
    folders: &BTreeMap<String, PathBuf>,
) -> Result<(), Refused> {
    if hosts.iter().all(|host| host.certificate.is_none()) {
        let why = "no host shows a certificate: it is alone, or runs with --insecure-peers";
        return Err(Refused(why.to_owned()));
    }
    let names: BTreeSet<&str> = hosts.iter().map(|host| &*host.host).collect();
    let left: Vec<&str> = names.into_iter().filter(|name| !folders.contains_key(*name)).collect();
    if left.is_empty() {
        return Ok(());
    }
    Err(Refused(format!(
        "no folder is given for {}: a host that is left out would be a stranger to the others at the end; for \
         one that does not come back: `steerage fleet revoke HOST`",
        left.join(", ")
    )))
}
