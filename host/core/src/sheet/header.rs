//! What a column of a spreadsheet holds, by its heading, in whatever words the heading says it.
//! Does not look at cells; a heading it does not understand is left alone, never guessed at.

use super::unit::{self, Unit};
use super::{Resource, Role};

/// What a heading says of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heading {
    pub(super) role: Role,
    /// Where several columns hold the same, the lower rank is read first.
    pub(super) rank: u8,
    pub(super) unit: Option<Unit>,
    /// The amount is that of all replicas together.
    pub(super) is_total: bool,
    /// The amount is an average, which hides peaks.
    pub(super) is_average: bool,
    /// `instance` names a machine or says how many there are; the cells decide.
    pub(super) is_instance: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Cpu,
    Memory,
    /// Measured; the number is the rank among measures.
    Used(u8),
    Average,
    Peak,
    Asked,
    Limit,
    Most,
    Least,
    Machine,
    Instance,
    /// Type, size: of a machine, if beside one.
    Sort,
    Flavour,
    Replicas,
    Count,
    App(u8),
    Zone,
    Environment,
    State,
    Total,
    Id,
    /// Says nothing of its own.
    Filler,
    /// Makes the column one of another thing.
    Other,
    Unknown,
}

const WORDS: [(&str, Word); 28] = [
    ("cpu cpus vcpu vcpus core cores vcore vcores processor processors", Word::Cpu),
    ("millicore millicores mcore mcores millicpu mcpu kerne prozessor", Word::Cpu),
    ("memory mem ram rss memoire mémoire speicher arbeitsspeicher", Word::Memory),
    ("p95 95th 95p pct95", Word::Used(0)),
    ("p99 99th 99p p98 p999", Word::Used(1)),
    ("p90 90th 90p", Word::Used(3)),
    ("used use usage utilization utilisation util actual measured observed", Word::Used(4)),
    ("consumed consumption current live real working verbrauch genutzt utilisé", Word::Used(4)),
    ("p50 median 50th", Word::Used(5)),
    ("avg average mean typical", Word::Average),
    ("peak highest", Word::Peak),
    ("asked ask request requested requests req reserved reservation reservations", Word::Asked),
    ("allocated allocation alloc provisioned assigned required needed demand", Word::Asked),
    ("limit limits quota", Word::Limit),
    ("max maximum", Word::Most),
    ("min minimum", Word::Least),
    ("machine host hostname node nodename server vm rechner maschine serveur", Word::Machine),
    ("instance machines hosts nodes servers vms", Word::Instance),
    ("type kind size class model sort shape", Word::Sort),
    ("flavor flavour sku", Word::Flavour),
    ("replicas replica instances copies pods containers tasks anzahl", Word::Replicas),
    ("count qty quantity number num no nr", Word::Count),
    ("zone az region dc datacenter datacentre site location rack", Word::Zone),
    ("env environment stage namespace umgebung", Word::Environment),
    ("state status power powerstate lifecycle zustand", Word::State),
    ("total sum overall gesamt", Word::Total),
    ("id ids", Word::Id),
    ("the of per in for a each availability today desired running", Word::Filler),
];

/// Names of apps by rank: where a sheet has both an application and a name, the first is the app.
const APPS: [&str; 4] = [
    "app apps application anwendung",
    "service services svc microservice dienst",
    "workload deployment component program",
    "name names pod container job process task",
];

/// Columns about these are of something else, whatever they mention besides.
const OTHERS: &str = "comment comments note notes remark remarks owner team cost costs price \
                      contact email mail url link version date since ticket image arch \
                      throttled throttling rps qps disk storage gpu network time hours hour \
                      seconds free available headroom idle swap credits restarts";

impl Heading {
    /// Reads a heading; `None` where it is not of anything that a plan needs.
    pub(super) fn read(text: &str) -> Option<Self> {
        let tokens = tokens(text);
        let words: Vec<Word> = tokens.iter().map(|token| word(token)).collect();
        let (role, rank) = role(&words)?;
        let unit = match role {
            Role::Asked(resource) | Role::Used(resource) | Role::Capacity(resource) => tokens
                .iter()
                .filter(|token| !matches!(&***token, "cpu" | "cpus" | "processor" | "c"))
                .find_map(|token| unit::named(resource, token)),
            _ => None,
        };
        let has = |word| words.contains(&word);
        let is_total = has(Word::Total) && !matches!(role, Role::Replicas);
        Some(Self {
            role,
            // A sum is a last resort: what one replica takes is not known from it for sure.
            rank: rank + if is_total { 50 } else { 0 },
            unit,
            is_total,
            is_average: has(Word::Average) && matches!(role, Role::Used(_)),
            is_instance: role == Role::Machine && !has(Word::Machine),
        })
    }
}

fn role(words: &[Word]) -> Option<(Role, u8)> {
    let has = |word| words.contains(&word);
    if words.is_empty() || has(Word::Other) && !has(Word::Cpu) && !has(Word::Memory) {
        return None;
    }
    let is_of_machine = has(Word::Machine) || has(Word::Instance);
    match (has(Word::Cpu), has(Word::Memory)) {
        (true, true) => return None,
        (true, false) => return amount(words, Resource::Cpu),
        (false, true) => return amount(words, Resource::Memory),
        (false, false) => {}
    }
    if has(Word::State) {
        let of_state = |word: &Word| {
            matches!(word, Word::State | Word::Machine | Word::Instance | Word::App(_))
        };
        return is_named(words, of_state).then_some((Role::State, 0));
    }
    if has(Word::Flavour) || is_of_machine && has(Word::Sort) {
        return Some((Role::Kind, 0));
    }
    if has(Word::Replicas) || has(Word::Count) {
        let counts = |word: &Word| {
            matches!(word, Word::Count | Word::Filler | Word::Instance | Word::Machine)
        };
        let is_count = has(Word::Replicas) || words.iter().all(counts);
        let rank = 2 * u8::from(has(Word::Most)) + 3 * u8::from(has(Word::Least));
        return is_count.then_some((Role::Replicas, rank));
    }
    // These hold names, so a heading that says anything else besides is of something else.
    let app = |word: &Word| if let Word::App(rank) = word { Some(*rank) } else { None };
    if is_of_machine {
        let of_machine =
            |word: &Word| matches!(word, Word::Machine | Word::Instance | Word::Used(4));
        return is_named(words, of_machine)
            .then_some((Role::Machine, u8::from(!has(Word::Machine))));
    }
    if has(Word::Zone) {
        return is_named(words, |word| *word == Word::Zone).then_some((Role::Zone, 0));
    }
    if has(Word::Environment) {
        return is_named(words, |word| *word == Word::Environment)
            .then_some((Role::Environment, 0));
    }
    let rank = words.iter().filter_map(app).min()? + 4 * u8::from(has(Word::Id));
    is_named(words, |word| matches!(word, Word::App(_))).then_some((Role::App, rank))
}

/// Whether all words are of one kind, but for some that say nothing.
fn is_named(words: &[Word], kin: fn(&Word) -> bool) -> bool {
    let says_nothing = |word: &Word| matches!(word, Word::Filler | Word::Id | Word::App(3));
    words.iter().all(|word| kin(word) || says_nothing(word))
}

/// The role of a column of amounts.
fn amount(words: &[Word], resource: Resource) -> Option<(Role, u8)> {
    let has = |word| words.contains(&word);
    if has(Word::Other) || resource == Resource::Cpu && has(Word::Sort) && !has(Word::Machine) {
        return None;
    }
    let measure = words
        .iter()
        .filter_map(|word| if let Word::Used(rank) = word { Some(*rank) } else { None })
        .min();
    let is_measured = measure.is_some() || has(Word::Average) || has(Word::Peak);
    if has(Word::Machine) {
        // How busy a machine is says nothing of one app on it.
        return (!is_measured).then_some((Role::Capacity(resource), 0));
    }
    if is_measured {
        let rank = match measure {
            // Too little memory ends an app, too little cpu slows it down: so the peak of the one.
            _ if has(Word::Peak) || has(Word::Most) => match resource {
                Resource::Cpu => 2,
                Resource::Memory => 0,
            },
            _ if has(Word::Average) => 9,
            Some(rank) => rank + 1,
            None => 5,
        };
        return Some((Role::Used(resource), rank));
    }
    let rank = match () {
        () if has(Word::Asked) => 0,
        () if has(Word::Limit) || has(Word::Most) => 3,
        () if has(Word::Least) => 2,
        () => 1,
    };
    Some((Role::Asked(resource), rank))
}

/// The words of a heading in lower case; `memoryMiB` and `mem_gb` have two, `%` is one.
fn tokens(text: &str) -> Vec<String> {
    let text = text.replace("vCPU", "vcpu").replace("iB", "ib");
    let mut tokens = vec![String::new()];
    let mut was_lower = false;
    for letter in text.chars() {
        let starts_word = letter.is_uppercase() && was_lower;
        if letter == '%' {
            tokens.extend(["percent".to_owned(), String::new()]);
        } else if !letter.is_alphanumeric() || starts_word {
            tokens.push(String::new());
        }
        if let (true, Some(last)) = (letter.is_alphanumeric(), tokens.last_mut()) {
            last.extend(letter.to_lowercase());
        }
        was_lower = letter.is_lowercase() || letter.is_ascii_digit();
    }
    tokens.into_iter().filter(|token| !token.is_empty()).flat_map(parted).collect()
}

/// `cpuusage` as its two words, where both are known and the whole is not.
fn parted(token: String) -> Vec<String> {
    if known(&token).is_some() {
        return vec![token];
    }
    let parts = token.char_indices().skip(2).find_map(|(at, _)| {
        let (first, second) = token.split_at_checked(at)?;
        let is_unit = unit::named(Resource::Memory, second).is_some() && second.len() > 1
            || matches!(second, "milli" | "pct" | "percent");
        (known(first).is_some() && (known(second).is_some() || is_unit))
            .then(|| vec![first.to_owned(), second.to_owned()])
    });
    parts.unwrap_or_else(|| vec![token])
}

fn word(token: &str) -> Word {
    let is_unit = [Resource::Memory, Resource::Cpu]
        .into_iter()
        .any(|resource| unit::named(resource, token).is_some());
    let unit = is_unit.then_some(Word::Filler);
    known(token).or(unit).unwrap_or(Word::Unknown)
}

fn known(token: &str) -> Option<Word> {
    let lists = |names: &str| names.split_whitespace().any(|name| name == token);
    // `name` says nothing beside other words, and is the app's where there are none.
    let app = (0..).zip(APPS).find(|(_, names)| lists(names)).map(|(rank, _)| Word::App(rank));
    let word = WORDS.iter().find(|(names, _)| lists(names)).map(|(_, word)| *word);
    let other = lists_other(token).then_some(Word::Other);
    app.or(word).or(other)
}

fn lists_other(token: &str) -> bool {
    OTHERS.split_whitespace().any(|name| name == token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet::unit::{CORES, GIB, MIB, MILLICORES};

    const CPU: Resource = Resource::Cpu;
    const MEMORY: Resource = Resource::Memory;

    #[test]
    fn headings_say_the_same_in_many_words() {
        for (role, headings) in [
            (Role::App, "app|App Name|service|service_name|Application|APPLICATION|name|appName"),
            (Role::Asked(CPU), "cpu|CPU request|cpu_request|vCPU|vcpus|cores|millicores|cpu_milli"),
            (Role::Asked(CPU), "cpuRequest|requested cores|CPU (reserved)|cpu limit|# vCPUs"),
            (Role::Asked(MEMORY), "memory|mem|RAM|memory (MiB)|mem_gb|memory\n(MiB)|memoryMiB"),
            (Role::Asked(MEMORY), "memory_mib|ram_limit|mem requested [GB]|memRequest"),
            (Role::Used(CPU), "used_cpu|cpu_usage|cpu_p95|avg cpu %|CPU used|cpuusage|p99 cpu (m)"),
            (Role::Used(MEMORY), "used_mem|memory usage|mem p95|peak RAM (MiB)|RSS used MB"),
            (Role::Replicas, "replicas|instances|count|Replica Count|# instances|pods|qty"),
            (Role::Replicas, "no. of instances|desired count|instance count|number of pods"),
            (Role::Machine, "machine|host|Host Name|hostname|node|VM|server|vm_name|current host"),
            (Role::Kind, "machine type|instance_type|kind of machine|VM size|flavor|node type"),
            (Role::Capacity(CPU), "node cpu|machine_cpus|VM cores"),
            (Role::Capacity(MEMORY), "host RAM (GiB)|server memory"),
            (Role::Zone, "zone|AZ|availability zone|region"),
            (Role::Environment, "env|Environment|namespace|stage"),
            (Role::State, "State|status|Instance state|power state|VM status|PowerState"),
        ] {
            for heading in headings.split('|') {
                let read = Heading::read(heading).map(|heading| heading.role);
                assert_eq!(read, Some(role), "{heading}");
            }
        }
    }

    #[test]
    fn headings_of_other_things_are_left_alone() {
        for heading in [
            "",
            "#",
            "owner",
            "service owner",
            "app owner",
            "cost",
            "host cost",
            "notes",
            "cpu model",
            "cpu/memory",
            "server cpu usage %",
            "cost status",
            "last deploy",
            "GPU",
            "disk (GB)",
            "type",
            "memory cost",
            "machine notes",
            "app version",
            "date",
            "€",
        ] {
            assert_eq!(Heading::read(heading), None, "{heading}");
        }
    }

    #[test]
    fn units_stand_in_headings() {
        for (heading, unit) in [
            ("memory (MiB)", Some(MIB)),
            ("memoryMiB", Some(MIB)),
            ("mem_gib", Some(GIB)),
            ("Mem [Gi]", Some(GIB)),
            ("mem_gb", Some(Unit::Times(1_000_000_000, 1))),
            ("memory", None),
            ("cpu", None),
            ("cpu (m)", Some(MILLICORES)),
            ("millicores", Some(MILLICORES)),
            ("cpu_milli", Some(MILLICORES)),
            ("cpu cores", Some(CORES)),
            ("vCPU", Some(CORES)),
            ("avg cpu %", Some(Unit::Percent)),
        ] {
            assert_eq!(Heading::read(heading).unwrap().unit, unit, "{heading}");
        }
    }

    #[test]
    fn of_columns_with_the_same_the_better_one_has_the_lower_rank() {
        for ordered in [
            &["app", "service", "name"][..],
            &["cpu request", "cpu", "cpu limit", "total cpu"],
            &["cpu p95", "cpu p99", "peak cpu usage", "cpu usage", "avg cpu"],
            &["peak memory", "mem p95", "mem usage", "avg mem"],
            &["replicas", "max replicas", "min replicas"],
        ] {
            let ranks: Vec<u8> =
                ordered.iter().map(|heading| Heading::read(heading).unwrap().rank).collect();
            assert!(ranks.is_sorted(), "{ordered:?}: {ranks:?}");
        }
    }
}
