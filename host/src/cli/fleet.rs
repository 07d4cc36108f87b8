//! `steerage fleet`: saying which store a host follows, after that was lost or restored, whether its
//! fleet is planned, and whose certificates are believed.
//! Decides nothing: the host knows whether it can be done.

use anyhow::Context as _;

use super::args::{Fleet, FleetChange, FleetVerb};
use super::screen::{Screen, Tone};
use super::table::Table;
use super::{human, remote};
use crate::api::wire;

/// Runs the verb.
pub(super) async fn run(args: &Fleet) -> anyhow::Result<()> {
    let (verb, change, what) = match &args.verb {
        FleetVerb::Import(change) => ("import", change, "cannot put apps into the store"),
        FleetVerb::Adopt(change) => ("adopt", change, "cannot follow the store"),
        FleetVerb::Freeze(freeze) => ("freeze", &freeze.change, "cannot stop the planner"),
        FleetVerb::Thaw(change) => ("thaw", change, "cannot have plans made again"),
        FleetVerb::Revoke(revoke) => ("revoke", &revoke.change, "cannot revoke certificates"),
        FleetVerb::Authorities(change) => return authorities(change).await,
    };
    let screen = Screen::new(change.print);
    let client = remote::connect(&change.remote)?;
    let changed = match &args.verb {
        FleetVerb::Freeze(freeze) => client.freeze(freeze.why.as_deref()).await,
        FleetVerb::Revoke(revoke) => client.revoke(&revoke.host, revoke.force).await,
        _ => client.change_fleet(verb).await,
    };
    let changed = changed.context(what)?;
    if screen.is_json() {
        screen.json(&changed)?;
    } else {
        let apps = changed.apps.iter().map(|app| format!("\n  {app}")).collect::<String>();
        let left = changed.left_out.iter();
        let left = left
            .map(|(app, why)| format!("\n  {} {app}: {why}", screen.paint(Tone::Bad, "left out")));
        screen.say(&format!("{}{apps}{}", changed.done, left.collect::<String>()))?;
    }
    let n_left = changed.left_out.len();
    anyhow::ensure!(
        n_left == 0,
        "the store does not know {} of this host",
        human::many(n_left, "app")
    );
    Ok(())
}

/// Enough of a fingerprint to tell it from another one.
const SHORT: usize = 16;

/// Shows how far the fleet is with its authorities.
async fn authorities(args: &FleetChange) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let hosts = client.hosts().await.context("cannot list the hosts")?;
    if screen.is_json() {
        return screen.json(&hosts);
    }
    screen.say(&table(&hosts))?;
    screen.hint(&next(&hosts))
}

fn short(fingerprint: &str) -> &str {
    fingerprint.get(..SHORT).unwrap_or(fingerprint)
}

fn table(hosts: &wire::Hosts) -> String {
    let mut table = Table::new(&["HOST", "STATE", "CERTIFICATE OF", ">DAYS LEFT", "BELIEVES"]);
    for host in &hosts.hosts {
        let cells = host.certificate.as_ref().map(|shown| {
            let believes: Vec<&str> = shown.believes.iter().map(|one| short(one)).collect();
            (short(&shown.authority).to_owned(), shown.days_left.to_string(), believes.join(", "))
        });
        let (of, days, believes) = cells.unwrap_or_default();
        table.row([host.host.clone(), host.state.clone(), of, days, believes]);
    }
    table.render()
}

/// The next step of a change of authorities.
fn next(hosts: &wire::Hosts) -> String {
    let here = || hosts.hosts.iter().filter(|it| it.is_there());
    let shown: Vec<_> = here().filter_map(|it| it.certificate.as_ref()).collect();
    let silent = here().filter(|it| it.certificate.is_none()).map(|it| it.host.as_str());
    let silent: Vec<&str> = silent.collect();
    let mut all: Vec<&str> = shown.iter().flat_map(|it| &it.believes).map(|it| &**it).collect();
    all.sort_unstable();
    all.dedup();
    let is_shown = |one: &&str| shown.iter().any(|it| it.authority == *one);
    let is_believed = |one: &&str| shown.iter().all(|it| it.believes.iter().any(|it| it == *one));
    let unused: Vec<&str> = all.iter().filter(|one| !is_shown(one)).map(|one| short(one)).collect();
    let unbelieved: Vec<&str> =
        all.iter().filter(|one| !is_believed(one)).map(|one| short(one)).collect();
    match (all.len(), unbelieved.is_empty(), unused.is_empty()) {
        (0, ..) => {
            "no host shows a certificate: it is alone, or runs with --insecure-peers".to_owned()
        }
        _ if !silent.is_empty() => format!(
            "{} do not say whom they believe, as hosts of an earlier version: change no authority before \
             they do",
            silent.join(", ")
        ),
        (1, ..) => "one authority, which all believe".to_owned(),
        (_, false, _) => format!(
            "{} is not believed by all: `steerage cert trust DIR --dir AUTHORITY` for the others, or \
             `steerage cert distrust` for the rest",
            unbelieved.join(", ")
        ),
        (_, true, false) => format!(
            "all believe {} of which nobody shows a certificate: `steerage cert renew DIR --dir NEW` for \
             each host if it is the new one, `steerage cert distrust DIR --dir OLD` if it is the old one",
            unused.join(", ")
        ),
        (_, true, true) => {
            "certificates of more than one authority are shown: renew the others, one \
                            host after the other, with `steerage cert renew DIR --dir NEW`"
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A host with the authority of its certificate, if it shows one, and those that it believes.
    fn host(name: &str, state: &str, of: Option<(&str, &[&str])>) -> wire::HostSummary {
        let certificate = of.map(|(authority, believes)| {
            json!({ "authority": authority, "days_left": 9, "believes": believes })
        });
        serde_json::from_value(json!({
            "host": name, "zone": "z", "labels": {}, "listen": "", "address": "", "admin": null,
            "standing": "open", "state": state, "why": null, "lost_seconds": null, "replicas": 0,
            "ready": 0, "cpu_millicores": 0, "cpu_used_millicores": 0, "memory_bytes": 0,
            "memory_used_bytes": 0, "clock_ahead_seconds": 0, "version": "1",
            "certificate": certificate
        }))
        .unwrap()
    }

    #[test]
    fn each_state_of_a_change_of_authorities_has_its_next_step() {
        let both: &[&str] = &["old", "new"];
        let of = |authority, believes| host("h1", "answers", Some((authority, believes)));
        for (hosts, says) in [
            (vec![host("h1", "answers", None)], "no host shows a certificate"),
            (vec![of("old", &["old"])], "one authority"),
            (vec![of("old", both), host("h2", "answers", None)], "h2 do not say"),
            (vec![of("old", both), host("h2", "lost", None)], "all believe new"),
            (vec![of("old", both), of("old", &["old"])], "new is not believed by all"),
            (vec![of("old", both), of("old", both)], "all believe new"),
            (vec![of("old", both), of("new", both)], "certificates of more than one authority"),
            (vec![of("new", both), of("new", both)], "all believe old"),
        ] {
            let hosts = wire::Hosts {
                asked: "h1".to_owned(),
                store_answers: true,
                store_silent_seconds: None,
                trouble: None,
                frozen: None,
                hosts,
            };
            let said = next(&hosts);
            assert!(said.contains(says), "{says:?}: {said}");
        }
    }
}
