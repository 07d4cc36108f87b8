//! What is wrong with hosts: one that is not there, a store that is not heard of, what is nearly used up.
//! Says nothing of apps: those have diagnoses of their own.

use std::time::Duration;

use super::diagnosis::{Diagnosis, Explanation, Remedy};
use super::room::{self, PastUnplaced};
use crate::units::{Bytes, age, many};

/// A certificate that ends within so many days is told.
const SOON: i64 = 2;
/// What is used to so many percent is nearly used up.
const NEARLY: u128 = 90;

/// How a fleet stands, as one of its hosts knows.
#[derive(Clone, Debug, Default)]
pub struct FleetPast {
    /// The host that knows it.
    pub asked: String,
    /// For how long it has heard nothing of the store; nothing while it does.
    pub store_silent: Option<Duration>,
    /// For how long its data folder is gone; nothing while that is there.
    pub folder_gone: Option<Duration>,
    /// Why it is not registered, and what to do about it.
    pub trouble: Option<String>,
    /// For how long nothing is planned, and why; nothing while plans are made.
    pub frozen: Option<(Duration, Option<String>)>,
    /// The hosts, itself included.
    pub hosts: Vec<PastHost>,
    /// Apps of which replicas have no place.
    pub unplaced: Vec<PastUnplaced>,
    /// What hosts tell of themselves that is wrong with them.
    pub told: Vec<PastFinding>,
}

/// What a host tells of itself.
#[derive(Clone, Debug)]
pub struct PastFinding {
    /// What kind it is of, as `disk` or `store_full`.
    pub kind: String,
    /// The host, in a fleet.
    pub host: Option<String>,
    /// What is said of it.
    pub found: Diagnosis,
}

/// How one host stands.
#[derive(Clone, Debug, Default)]
pub struct PastHost {
    /// Its name.
    pub name: String,
    /// `answers`, `silent`, `gone`, `unregistered`, `lost` or `revoked`.
    pub state: String,
    /// Why it does not answer, where that is known.
    pub why: Option<String>,
    /// How long ago it was lost.
    pub lost: Option<Duration>,
    /// Replicas that shall run on it.
    pub replicas: u32,
    /// By how many seconds its clock is ahead of that of who knows this.
    pub clock_ahead: i64,
    /// Whole days until its certificate ends.
    pub certificate_days: Option<i64>,
    /// What is used there, where it says.
    pub used: Option<PastUsage>,
}

/// What is used of what a host has, and how much that is; where there is no bound it is 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct PastUsage {
    /// Bytes of memory that the process holds, and may hold.
    pub memory: (u64, u64),
    /// Instance slots.
    pub slots: (u64, u64),
    /// Calls that wait.
    pub waiting: u32,
}

/// Says what is wrong with the hosts of a fleet.
#[must_use]
pub fn explain_fleet(past: &FleetPast) -> Explanation {
    let troubles = fleet_troubles(past).into_iter().map(|trouble| trouble.found);
    let used_up: Vec<_> = past.hosts.iter().flat_map(used_up).collect();
    // What is used up of a host at this moment is told by that.
    let is_new = |told: &&PastFinding| {
        let is_same = |(host, kind): (&str, &str)| {
            kind == told.kind && told.host.as_ref().is_none_or(|of| of == host)
        };
        !used_up.iter().any(|(host, kind, _)| is_same((host, kind)))
    };
    let told = past.told.iter().filter(is_new).map(|told| told.found.clone());
    let used_up = used_up.iter().map(|(.., found)| found.clone());
    // Replicas of a host that is not there have no place because of that.
    let are_all_there = past.hosts.iter().all(|host| absence(host).is_none());
    let unplaced = room::unplaced(&past.unplaced).filter(|_| are_all_there);
    let diagnoses =
        troubles.chain(told).chain(used_up).chain(unplaced).chain(frozen(past)).collect();
    let n_there = past.hosts.iter().filter(|host| host.state == "answers").count();
    let standing = format!("{n_there} of {} answer", many(past.hosts.len(), "host"));
    Explanation { diagnoses, standing }
}

impl FleetPast {
    /// What of it is of one host alone.
    pub fn keep_only(&mut self, host: &str) {
        self.hosts.retain(|known| known.name == host);
        self.unplaced.clear();
        self.frozen = None;
        if self.asked != host {
            (self.store_silent, self.folder_gone, self.trouble) = (None, None, None);
        }
    }
}

/// Something that is wrong with a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTrouble {
    /// What kind: `folder`, `registration`, `store`, `host`, `certificate` or `clock`.
    pub kind: &'static str,
    /// The host.
    pub host: String,
    /// What is said of it.
    pub found: Diagnosis,
}

impl HostTrouble {
    /// The kind of a host whose data folder is gone, of which each host knows its own only.
    pub const FOLDER: &str = "folder";
}

/// What is wrong with hosts beside what is nearly used up and what was asked for.
#[must_use]
pub fn fleet_troubles(past: &FleetPast) -> Vec<HostTrouble> {
    let mut troubles = Vec::new();
    let mut add = |kind, host: &str, found: Option<Diagnosis>| {
        let host = host.to_owned();
        troubles.extend(found.map(|found| HostTrouble { kind, host, found }));
    };
    add(HostTrouble::FOLDER, &past.asked, folder(past));
    add("registration", &past.asked, registration(past));
    add("store", &past.asked, store(past));
    // That the store does not know this host is what its registration says.
    let is_told = |host: &&PastHost| past.trouble.is_some() && host.name == past.asked;
    for host in past.hosts.iter().filter(|host| !is_told(host)) {
        add("host", &host.name, absence(host));
    }
    for host in &past.hosts {
        add("certificate", &host.name, certificate(host));
    }
    for host in &past.hosts {
        add("clock", &host.name, clock(past, host));
    }
    troubles
}

fn folder(past: &FleetPast) -> Option<Diagnosis> {
    let gone = past.folder_gone?;
    Some(Diagnosis {
        claim: format!("the data folder of {} is gone", past.asked),
        evidence: vec![
            format!("it was removed, or something else has its name, for {} by now", age(gone.as_secs())),
            "apps run on from memory; after a restart there is none of them, and what is deployed now is \
             not kept"
                .to_owned(),
        ],
        remedy: Some(only_text(
            "bring the folder back, as by mounting its volume, before this host is restarted; or restore a \
             backup into a new one",
        )),
    })
}

fn registration(past: &FleetPast) -> Option<Diagnosis> {
    let trouble = past.trouble.as_ref()?;
    let evidence = vec![
        trouble.clone(),
        "it serves what it knows; no replicas come to it meanwhile".to_owned(),
    ];
    Some(Diagnosis {
        claim: format!("{} has no place in its fleet", past.asked),
        evidence,
        remedy: Some(looks(
            "do as its trouble says; its events tell since when",
            "steerage events",
        )),
    })
}

fn store(past: &FleetPast) -> Option<Diagnosis> {
    let silent = past.store_silent?;
    Some(Diagnosis {
        claim: format!("{} has not heard of the store for {}", past.asked, age(silent.as_secs())),
        evidence: vec![
            "apps are served with what was known last; changes are refused, and what is lost meanwhile \
             starts nowhere else"
                .to_owned(),
        ],
        remedy: Some(Remedy {
            text: "see that etcd runs, has a leader and room, and that this host reaches it; the event \
                   store_away has its last words"
                .to_owned(),
            command: Some("steerage events".to_owned()),
            changes: false,
        }),
    })
}

fn absence(host: &PastHost) -> Option<Diagnosis> {
    let PastHost { name, state, why, lost, replicas, .. } = host;
    let (claim, text) = match &**state {
        "lost" => {
            let ago = lost.map(|lost| format!(" {} ago", age(lost.as_secs()))).unwrap_or_default();
            (
                format!("{name} was lost{ago}, and has not come back"),
                "start it again; or let it be, if it was taken away for good: it is forgotten after a day",
            )
        }
        "silent" | "gone" => (
            format!("{name} does not answer"),
            "see whether its machine and its process run, and whether the hosts reach each other",
        ),
        "unregistered" => (
            format!("{name} answers, and the store has lost it"),
            "see what it says itself, with `steerage hosts` there: it may not reach the store",
        ),
        // That was asked for.
        _ => return None,
    };
    let mut evidence: Vec<String> = why.iter().cloned().collect();
    if *replicas > 0 && state != "lost" {
        evidence.push(format!("{} shall run on it", many(*replicas, "replica")));
    }
    let remedy = Remedy {
        text: text.to_owned(),
        command: Some("steerage hosts".to_owned()),
        changes: false,
    };
    Some(Diagnosis { claim, evidence, remedy: Some(remedy) })
}

/// What is nearly used up of a host: its name, what that is, and what is said of it.
fn used_up(host: &PastHost) -> Vec<(String, &'static str, Diagnosis)> {
    let Some(used) = host.used else { return Vec::new() };
    let name = &host.name;
    let bytes = |(used, of): (u64, u64)| {
        format!("{} of {}", Bytes::new(used).about(), Bytes::new(of).about())
    };
    let mut found = Vec::new();
    if is_nearly(used.memory) {
        let of_memory = Diagnosis {
            claim: format!("the memory of {name} is nearly used up"),
            evidence: vec![format!("its process holds {}", bytes(used.memory))],
            remedy: Some(remedy_of_lack("memory")),
        };
        found.push((name.clone(), "memory", of_memory));
    }
    if is_nearly(used.slots) {
        let (n_used, of) = used.slots;
        let mut evidence = vec![format!("{n_used} of {of} instance slots are in use")];
        if used.waiting > 0 {
            evidence.push(format!("{} for one", many_wait(used.waiting)));
        }
        let of_slots = Diagnosis {
            claim: format!("{name} has hardly any room for another instance"),
            evidence,
            remedy: Some(remedy_of_lack("slots")),
        };
        found.push((name.clone(), "slots", of_slots));
    }
    found
}

/// What to do about something of which a host has too little: `memory`, `slots`, `connections`, `disk` or `open
/// files`.
#[must_use]
pub fn remedy_of_lack(what: &str) -> Remedy {
    match what {
        "memory" => looks(
            "see which apps hold it; give the host more with --memory-budget, or add hosts",
            "steerage top --sort memory --once",
        ),
        "slots" => looks(
            "see which apps hold them; raise the host's --slots, or add hosts",
            "steerage top --once",
        ),
        "disk" => only_text(
            "make room where the data folder is; bound what components and code take with \
             --disk-components, and what history takes with --history-disk",
        ),
        "connections" => looks(
            "see which apps take long to answer; raise --connections, and the limit of open files with it \
             (ulimit -n)",
            "steerage top --once",
        ),
        _ => only_text("raise the limit of open files (ulimit -n), or lower --connections"),
    }
}

/// That the certificate which a host shows to callers has ended or does within a day, by the whole days until then.
#[must_use]
pub fn certificate_of_callers(host: &str, days: i64) -> Option<Diagnosis> {
    if days > 0 {
        return None;
    }
    let claim = ends(&format!("the certificate that {host} shows to callers"), days);
    let evidence = vec!["callers who check it refuse to connect afterwards".to_owned()];
    let text = "renew it, and put its files where --tls-cert and --tls-key say; the host reads them by itself \
                within a minute";
    Some(Diagnosis { claim, evidence, remedy: Some(only_text(text)) })
}

fn ends(whose: &str, days: i64) -> String {
    match days {
        ..0 => format!("{whose} has ended"),
        0 => format!("{whose} ends within a day"),
        _ => format!("{whose} ends in {}", many(days, "day")),
    }
}

fn certificate(host: &PastHost) -> Option<Diagnosis> {
    let days = host.certificate_days.filter(|days| *days <= SOON && host.state == "answers")?;
    let claim = ends(&format!("the certificate of {}", host.name), days);
    let evidence = vec!["other hosts do not believe it afterwards".to_owned()];
    let text = "renew it where the authority's key is, with `steerage cert renew FOLDER --dir AUTHORITY`, and \
                put its files in place; the host reads them by itself";
    Some(Diagnosis { claim, evidence, remedy: Some(only_text(text)) })
}

fn clock(past: &FleetPast, host: &PastHost) -> Option<Diagnosis> {
    if host.clock_ahead == 0 {
        return None;
    }
    let gap = age(host.clock_ahead.unsigned_abs());
    let way = if host.clock_ahead > 0 { "ahead of" } else { "behind" };
    Some(Diagnosis {
        claim: format!("the clock of {} is {gap} {way} that of {}", host.name, past.asked),
        evidence: vec!["times of events and calls of the two do not fit together".to_owned()],
        remedy: Some(only_text("set both clocks by the network: see chronyd or systemd-timesyncd")),
    })
}

fn frozen(past: &FleetPast) -> Option<Diagnosis> {
    let (since, why) = past.frozen.as_ref()?;
    let because = why.as_ref().map_or_else(String::new, |why| format!(", since {why:?}"));
    Some(Diagnosis {
        claim: format!("nothing is planned, for {} by now", age(since.as_secs())),
        evidence: vec![format!("an operator has frozen the fleet{because}")],
        remedy: Some(Remedy {
            text: "let it go on once that is over".to_owned(),
            command: Some("steerage fleet thaw".to_owned()),
            changes: true,
        }),
    })
}

fn is_nearly((used, of): (u64, u64)) -> bool {
    of > 0 && u128::from(used) * 100 >= u128::from(of) * NEARLY
}

fn many_wait(number: u32) -> String {
    let calls = many(number, "call");
    if number == 1 { format!("{calls} waits") } else { format!("{calls} wait") }
}

fn looks(text: &str, command: &str) -> Remedy {
    Remedy { text: text.to_owned(), command: Some(command.to_owned()), changes: false }
}

fn only_text(text: &str) -> Remedy {
    Remedy { text: text.to_owned(), command: None, changes: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> PastHost {
        PastHost { name: name.to_owned(), state: "answers".to_owned(), ..PastHost::default() }
    }

    fn of(hosts: Vec<PastHost>) -> FleetPast {
        FleetPast { asked: "h1".to_owned(), hosts, ..FleetPast::default() }
    }

    fn claims(past: &FleetPast) -> Vec<String> {
        explain_fleet(past).diagnoses.into_iter().map(|found| found.claim).collect()
    }

    #[test]
    fn of_hosts_that_are_well_nothing_is_wrong() {
        let used = PastUsage { memory: (80, 100), slots: (0, 50), waiting: 0 };
        let well = PastHost { used: Some(used), certificate_days: Some(30), ..host("h1") };
        let revoked = PastHost { state: "revoked".to_owned(), ..host("h3") };
        let told = explain_fleet(&of(vec![well, revoked]));
        assert_eq!((told.diagnoses, &*told.standing), (Vec::new(), "1 of 2 hosts answer"));
    }

    #[test]
    fn each_trouble_of_a_host_is_told() {
        let used = PastUsage { memory: (95, 100), slots: (9, 10), waiting: 2 };
        let lost = Some(Duration::from_millis(61_900));
        let hosts = vec![
            PastHost { used: Some(used), certificate_days: Some(1), ..host("h1") },
            PastHost { state: "silent".to_owned(), replicas: 2, ..host("h2") },
            PastHost { state: "lost".to_owned(), lost, ..host("h3") },
            PastHost { clock_ahead: -600, ..host("h4") },
        ];
        let past = FleetPast {
            store_silent: Some(Duration::from_secs(120)),
            trouble: Some("it is not registered: the store is empty; see --store".to_owned()),
            frozen: Some((Duration::from_secs(60), Some("a move of racks".to_owned()))),
            ..of(hosts)
        };
        assert_eq!(
            claims(&past),
            [
                "h1 has no place in its fleet",
                "h1 has not heard of the store for 2m",
                "h2 does not answer",
                "h3 was lost 1m1s ago, and has not come back",
                "the certificate of h1 ends in 1 day",
                "the clock of h4 is 10m behind that of h1",
                "the memory of h1 is nearly used up",
                "h1 has hardly any room for another instance",
                "nothing is planned, for 1m by now",
            ]
        );
        let told = explain_fleet(&past).diagnoses;
        assert_eq!(told[0].evidence[0], "it is not registered: the store is empty; see --store");
        assert_eq!(told[2].evidence, ["2 replicas shall run on it"]);
        assert_eq!(told[7].evidence[1], "2 calls wait for one");
    }
}
