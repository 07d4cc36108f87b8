//! Units of processors and memory as people write them in a cell or a heading.
//! Does not read numbers; binary units are those with an `i`, as everywhere in Steerage.

use super::Resource;
use super::number::Number;

/// What one of a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// A hundredth of something else.
    Percent,
    /// A part of something else: 1 is all of it.
    Fraction,
    /// So many thousandths of a core or bytes, as a fraction.
    Times(u64, u64),
}

pub(super) const CORES: Unit = Unit::Times(1000, 1);
pub(super) const MILLICORES: Unit = Unit::Times(1, 1);
pub(super) const BYTES: Unit = Unit::Times(1, 1);
pub(super) const MIB: Unit = Unit::Times(1 << 20, 1);
pub(super) const GIB: Unit = Unit::Times(1 << 30, 1);

const CPU: [(&str, Unit); 4] = [
    ("cpu cpus vcpu vcpus core cores vcore vcores c processor processors thread threads", CORES),
    ("m milli millis mcpu millicpu millicpus mcore mcores millicore millicores", MILLICORES),
    ("u micro microcores", Unit::Times(1, 1_000)),
    ("n nano nanocores", Unit::Times(1, 1_000_000)),
];

const MEMORY: [(&str, Unit); 9] = [
    ("b byte bytes", BYTES),
    ("k kb kbyte kbytes kilobytes ko", Unit::Times(1_000, 1)),
    ("ki kib kibibytes", Unit::Times(1 << 10, 1)),
    ("m mb mbyte mbytes meg megs megabyte megabytes mo", Unit::Times(1_000_000, 1)),
    ("mi mib mebibyte mebibytes", MIB),
    ("g gb gbyte gbytes gig gigs gigabyte gigabytes go", Unit::Times(1_000_000_000, 1)),
    ("gi gib gibibyte gibibytes", GIB),
    ("t tb terabyte terabytes to", Unit::Times(1_000_000_000_000, 1)),
    ("ti tib tebibytes", Unit::Times(1 << 40, 1)),
];

/// The unit of this name, in whatever case.
pub(super) fn named(resource: Resource, name: &str) -> Option<Unit> {
    let name = name.trim_end_matches('.').to_lowercase();
    if matches!(&*name, "%" | "percent" | "pct" | "prozent") {
        return Some(Unit::Percent);
    }
    let units = match resource {
        Resource::Cpu => &CPU[..],
        Resource::Memory => &MEMORY[..],
    };
    units
        .iter()
        .find_map(|(names, unit)| names.split(' ').any(|known| known == name).then_some(*unit))
}

/// What bare numbers of a column are most likely in, by the one in their middle: no column is of
/// apps that take 25 cores each, or less than 32 MiB, or more than a million of them.
pub(super) fn guessed(resource: Resource, numbers: &mut [Number]) -> Unit {
    numbers.sort_unstable();
    let Some(&middle) = numbers.get(numbers.len() / 2) else {
        return match resource {
            Resource::Cpu => CORES,
            Resource::Memory => MIB,
        };
    };
    match resource {
        Resource::Cpu if middle < Number::whole(25) => CORES,
        Resource::Cpu => MILLICORES,
        Resource::Memory if middle < Number::whole(32) => GIB,
        Resource::Memory if middle < Number::whole(1_000_000) => MIB,
        Resource::Memory => BYTES,
    }
}

/// The unit's name in messages.
pub(super) fn shown(resource: Resource, unit: Unit) -> &'static str {
    match (resource, unit) {
        (_, Unit::Percent | Unit::Fraction) => "shares",
        (Resource::Cpu, CORES) => "cores",
        (Resource::Cpu, _) => "thousandths of a core",
        (_, MIB) => "MiB",
        (_, GIB) => "GiB",
        _ => "bytes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_go_by_many_names() {
        for (resource, name, unit) in [
            (Resource::Cpu, "m", MILLICORES),
            (Resource::Cpu, "vCPU", CORES),
            (Resource::Cpu, "%", Unit::Percent),
            (Resource::Memory, "m", Unit::Times(1_000_000, 1)),
            (Resource::Memory, "Mi", MIB),
            (Resource::Memory, "GiB", GIB),
        ] {
            assert_eq!(named(resource, name), Some(unit), "{name}");
        }
        assert_eq!(named(Resource::Memory, "MHz"), None);
    }

    #[test]
    fn bare_numbers_are_taken_for_what_apps_ask_for() {
        let guess = |resource, numbers: &[u64]| {
            guessed(resource, &mut numbers.iter().copied().map(Number::whole).collect::<Vec<_>>())
        };
        assert_eq!(guess(Resource::Cpu, &[1, 2, 64]), CORES);
        assert_eq!(guess(Resource::Cpu, &[250, 500, 1]), MILLICORES);
        assert_eq!(guess(Resource::Memory, &[1, 2, 512]), GIB);
        assert_eq!(guess(Resource::Memory, &[256, 512, 4]), MIB);
        assert_eq!(guess(Resource::Memory, &[268_435_456]), BYTES);
    }
}
