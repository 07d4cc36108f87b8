//! Replicas that no host has a place for, what they lack, and what would give them a place.
//! Places nothing.

use super::diagnosis::{Diagnosis, Remedy};
use crate::id::AppName;
use crate::place::Lacks;
use crate::units::many;

/// Apps that are named; the rest are counted.
const NAMED: usize = 3;

/// An app of which some replicas have no place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastUnplaced {
    /// The app.
    pub app: AppName,
    /// Replicas without a place.
    pub replicas: u32,
    /// Replicas that have one.
    pub placed: u32,
    /// Why no host takes them.
    pub lacks: Lacks,
    /// A cordoned host that would take one, if it were open again.
    pub would_take: Option<String>,
}

/// What is told of them.
pub(super) fn unplaced(apps: &[PastUnplaced]) -> Option<Diagnosis> {
    // One that is not served anywhere is worse than one that is served by fewer.
    let worst = apps.iter().max_by_key(|app| (app.placed == 0, app.replicas))?;
    let n_replicas = apps.iter().map(|app| app.replicas as usize).sum::<usize>();
    let has = if n_replicas == 1 { "has" } else { "have" };
    let replicas = many(n_replicas, "replica");
    let claim = match apps {
        [only] => format!("{replicas} of {} {has} no place", only.app),
        _ => format!("{replicas} of {} have no place: {}", many(apps.len(), "app"), named(apps)),
    };
    let PastUnplaced { app, placed, lacks, .. } = worst;
    let has_one = if *placed == 0 {
        format!("no host is meant to run {app}")
    } else {
        format!(
            "{} of {app} {} one",
            many(*placed, "replica"),
            if *placed == 1 { "has" } else { "have" }
        )
    };
    let evidence = vec![format!("{app}: {lacks}"), has_one];
    Some(Diagnosis { claim, evidence, remedy: Some(remedy(worst)) })
}

fn named(apps: &[PastUnplaced]) -> String {
    let names: Vec<&str> = apps.iter().take(NAMED).map(|app| app.app.as_str()).collect();
    let more = apps.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

/// What takes the least to give a replica a place.
fn remedy(worst: &PastUnplaced) -> Remedy {
    let PastUnplaced { app, placed, lacks, would_take, .. } = worst;
    let look = |text: String, command: &str| Remedy {
        text,
        command: Some(command.to_owned()),
        changes: false,
    };
    if let Some(host) = would_take {
        return Remedy {
            text: format!("let {host} take replicas again, once what it was cordoned for is over"),
            command: Some(format!("steerage uncordon {host}")),
            changes: true,
        };
    }
    if lacks.short_of_cpu + lacks.short_of_memory > 0 {
        let text = format!(
            "add hosts, or let apps reserve less in [resources]: `steerage advise {app}` says what it needs"
        );
        return look(text, "steerage plan");
    }
    if lacks.taken + lacks.zone > 0 && *placed > 0 {
        return Remedy {
            text: "add hosts, or ask for as many replicas as there are places for: that takes the place of \
                   [replicas] until a deployment says otherwise"
                .to_owned(),
            command: Some(format!("steerage scale {app} {placed}")),
            changes: true,
        };
    }
    if lacks.unlabelled > 0 {
        let text =
            "give a host the labels that [placement] asks for, with --labels, or ask for others";
        return look(text.to_owned(), "steerage hosts");
    }
    look("add hosts, or ask for less in [placement]".to_owned(), "steerage plan")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Room;
    use crate::units::{Bytes, Cpu};

    fn app(
        name: &str,
        replicas: u32,
        placed: u32,
        change: impl FnOnce(&mut Lacks),
    ) -> PastUnplaced {
        let mut lacks = Lacks {
            needs: Room { cpu: Cpu::milli(10), memory: Bytes::new(16 << 20) },
            hosts: 2,
            ..Lacks::default()
        };
        change(&mut lacks);
        let app = name.parse().unwrap();
        PastUnplaced { app, replicas, placed, lacks, would_take: None }
    }

    fn told(apps: &[PastUnplaced]) -> (String, Option<String>) {
        let found = unplaced(apps).unwrap();
        (found.claim, found.remedy.unwrap().command)
    }

    #[test]
    fn where_all_have_a_place_nothing_is_told() {
        assert_eq!(unplaced(&[]), None);
    }

    #[test]
    fn the_remedy_is_by_what_hosts_lack() {
        let command = |change: fn(&mut Lacks), placed| told(&[app("web", 1, placed, change)]).1;
        let would_take = Some("h2".to_owned());
        let closed = PastUnplaced { would_take, ..app("web", 1, 0, |lacks| lacks.closed = 2) };
        assert_eq!(told(&[closed]).1.as_deref(), Some("steerage uncordon h2"));
        // What a drain is for is not undone for nothing.
        let in_vain = command(|lacks| lacks.closed = 2, 0);
        assert_eq!(in_vain.as_deref(), Some("steerage plan"));
        let short = command(|lacks| (lacks.closed, lacks.short_of_memory) = (1, 1), 0);
        assert_eq!(short.as_deref(), Some("steerage plan"));
        let taken = command(|lacks| lacks.taken = 2, 2);
        assert_eq!(taken.as_deref(), Some("steerage scale web 2"));
        let unlabelled = command(|lacks| lacks.unlabelled = 2, 0);
        assert_eq!(unlabelled.as_deref(), Some("steerage hosts"));
    }

    #[test]
    fn of_many_the_worst_is_explained_and_a_few_are_named() {
        let closed = |lacks: &mut Lacks| lacks.closed = 2;
        let mut apps: Vec<_> = ["a", "b", "c", "d"].map(|name| app(name, 2, 1, closed)).into();
        apps.push(app("e", 1, 0, closed));
        let found = unplaced(&apps).unwrap();
        assert_eq!(found.claim, "9 replicas of 5 apps have no place: a, b, c and 2 more");
        assert!(found.evidence[0].starts_with("e: needs 10m cpu"), "{:?}", found.evidence);
        assert_eq!(found.evidence[1], "no host is meant to run e");
        assert_eq!(told(&apps[..1]).0, "2 replicas of a have no place");
    }
}
