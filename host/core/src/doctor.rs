//! Judges whether a machine can carry the host that an operator wants: what stands in the way,
//! which setting to change to what, and what that costs and buys.
//! Does not look at the machine and changes nothing: facts and wishes are arguments.

mod disk;
pub mod doors;
mod finding;

pub use self::finding::{Condition, Finding, Trouble};
use self::finding::{bad, ok, rounded, warn};
use crate::machine::{FILES_OF_HOST, LEAST_SLOTS, MAPPINGS_OF_CODE, MOST_MEMORY, Machine};
use crate::mapped;
use crate::units::Bytes;

/// How large the host is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedSize {
    /// Instances at once.
    pub slots: u32,
    /// Address space for the memory of each.
    pub largest_memory: Bytes,
    /// Apps at once with mapped code.
    pub mapped: u32,
    /// Connections of clients at once.
    pub connections: usize,
    /// Memory that the host may use, its instances included.
    pub budget: Bytes,
    /// Threads that run guests.
    pub threads: usize,
    /// Connections kept by the kernel until they are accepted.
    pub backlog: u64,
    /// Free space where deployments are kept; `None` where it cannot be told.
    pub disk: Option<Bytes>,
    /// What components take there, and the most that they and their compiled code may; `None` where there
    /// is no bound.
    pub components: Option<(Bytes, Bytes)>,
}

/// What others than the host need: the kernel and its buffers, a compiling child.
const MEMORY_OF_OTHERS: Bytes = Bytes::mebi(64);
/// The first kernel that tells which pages of a memory were written, without looking at each.
const SCANNING_KERNEL: (u32, u32) = (6, 7);

/// Looks at everything, in an order for reading.
#[must_use]
pub fn examine(machine: &Machine, wanted: &WantedSize) -> Vec<Finding> {
    vec![
        mappings(machine, wanted),
        open_files(machine, wanted),
        address_space(machine, wanted),
        memory(machine, wanted),
        overcommit(machine),
        huge_pages(machine),
        cores(machine, wanted),
        niceness(machine),
        backlog(machine, wanted),
        kernel(machine),
        swap(machine),
        written_pages(machine),
        disk::free(wanted.disk),
        disk::components(wanted.components),
    ]
}

fn mappings(machine: &Machine, wanted: &WantedSize) -> Finding {
    let needed = Machine::mappings_for(wanted.slots, wanted.mapped);
    let least = MAPPINGS_OF_CODE * u64::from(mapped::LEAST);
    let subject = "vm.max_map_count";
    // The fewest mapped apps are taken for granted when the default is computed.
    if needed <= machine.mappings.saturating_add(least) {
        return ok(subject, machine.mappings);
    }
    let enough = needed.next_power_of_two();
    warn(
        subject,
        machine.mappings,
        Trouble {
            why: format!(
                "{} instances and {} apps with mapped code need about {needed} mappings; without them \
             calls are refused before the slots are used up",
                wanted.slots, wanted.mapped
            ),
            change: format!("sysctl -w vm.max_map_count={enough}"),
            trade: "some 200 bytes of kernel memory for each mapping that is in use".to_owned(),
        },
    )
}

fn open_files(machine: &Machine, wanted: &WantedSize) -> Finding {
    let needed = (wanted.connections as u64)
        .saturating_add(u64::from(wanted.mapped))
        .saturating_add(FILES_OF_HOST);
    let subject = "open files (ulimit -Hn)";
    if needed <= machine.open_files {
        return ok(subject, machine.open_files);
    }
    let enough = needed.next_power_of_two();
    let trouble = Trouble {
        why: format!(
            "{} connections and {} apps with mapped code need {needed}; beyond the limit \
             connections wait and deploys fail",
            wanted.connections, wanted.mapped
        ),
        change: format!("ulimit -Hn {enough}, or LimitNOFILE={enough} in the systemd unit"),
        trade: "nothing until they are open".to_owned(),
    };
    let verdict =
        if machine.open_files < FILES_OF_HOST { Condition::Fail } else { Condition::Warn };
    bad(verdict, subject, machine.open_files, trouble)
}

fn address_space(machine: &Machine, wanted: &WantedSize) -> Finding {
    let subject = "address space (ulimit -v)";
    let found = match machine.address_limit {
        Some(limit) => {
            let (limit, free) = (rounded(limit), rounded(machine.address_space));
            format!("{limit}, of which {free} can still be reserved")
        }
        None => format!("no limit, {} can be reserved at once", rounded(machine.address_space)),
    };
    let most = machine.slots_in_address_space(wanted.largest_memory);
    let change = "ulimit -v unlimited, or LimitAS=infinity in the systemd unit".to_owned();
    if most < wanted.slots.max(LEAST_SLOTS) {
        let why = format!(
            "{} instances of {} do not fit: {most} do",
            wanted.slots, wanted.largest_memory
        );
        let trade = "nothing: address space that is not used costs nothing".to_owned();
        return bad(Condition::Fail, subject, found, Trouble { why, change, trade });
    }
    if machine.address_limit.is_some() && wanted.largest_memory < MOST_MEMORY {
        return warn(
            subject,
            found,
            Trouble {
                why: format!(
                    "each instance gets {} of address space instead of {MOST_MEMORY}, so its memory \
                 ends there and its code checks each access",
                    wanted.largest_memory
                ),
                change,
                trade:
                    "nothing; code that works on its memory runs up to 14 % faster without checks"
                        .to_owned(),
            },
        );
    }
    ok(subject, found)
}

fn memory(machine: &Machine, wanted: &WantedSize) -> Finding {
    let usable = machine.usable_memory();
    let found = match machine.memory_limit.filter(|limit| *limit < machine.memory) {
        Some(limit) => {
            format!("{} of {}, by its control group", rounded(limit), rounded(machine.memory))
        }
        None => rounded(machine.memory).to_string(),
    };
    let left = usable.saturating_sub(wanted.budget);
    if left >= MEMORY_OF_OTHERS {
        return ok("memory", found);
    }
    let most = rounded(usable.saturating_sub(MEMORY_OF_OTHERS));
    warn(
        "memory",
        found,
        Trouble {
            why: format!(
                "[memory] budget = {} leaves {} for the kernel and compiling children, so the \
                 kernel may end the host",
                rounded(wanted.budget),
                rounded(left)
            ),
            change: format!("[memory] budget = \"{most}\" or less"),
            trade: "fewer instances at once, and a host that lives".to_owned(),
        },
    )
}

fn overcommit(machine: &Machine) -> Finding {
    let subject = "vm.overcommit_memory";
    if machine.overcommit != 2 {
        return ok(subject, machine.overcommit);
    }
    warn(
        subject,
        machine.overcommit,
        Trouble {
            why:
                "the kernel sets memory aside for each stack and memory in full, used or not, and \
              refuses instances while there is memory left"
                    .to_owned(),
            change: "sysctl -w vm.overcommit_memory=0".to_owned(),
            trade:
                "other programs may be promised more than there is; the host keeps to its budget"
                    .to_owned(),
        },
    )
}

fn huge_pages(machine: &Machine) -> Finding {
    let subject = "transparent huge pages";
    if machine.huge_pages != "always" {
        return ok(subject, &machine.huge_pages);
    }
    warn(subject, &machine.huge_pages, Trouble {
        why: "an instance that touches a page may be given 2 MiB, so fewer fit than the budget says"
            .to_owned(),
        change: "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled".to_owned(),
        trade: "programs that relied on them unasked may slow down".to_owned(),
    })
}

fn cores(machine: &Machine, wanted: &WantedSize) -> Finding {
    if wanted.threads <= machine.cores {
        return ok("cores", machine.cores);
    }
    warn(
        "cores",
        machine.cores,
        Trouble {
            why: format!("{} guest threads share them, so slices last longer", wanted.threads),
            change: format!("[cpu] threads = {}", machine.cores),
            trade: "nothing: more threads than cores only wait for each other".to_owned(),
        },
    )
}

fn niceness(machine: &Machine) -> Finding {
    if machine.may_yield {
        return ok("nice levels", "may be changed");
    }
    warn(
        "nice levels",
        "may not be changed",
        Trouble {
            why:
                "guests run at the priority of the threads that read and answer requests, so busy \
              guests make everybody wait longer"
                    .to_owned(),
            change: "allow setpriority in the sandbox or seccomp profile that the host runs in"
                .to_owned(),
            trade: "nothing".to_owned(),
        },
    )
}

fn backlog(machine: &Machine, wanted: &WantedSize) -> Finding {
    let subject = "net.core.somaxconn";
    if machine.backlog >= wanted.backlog {
        return ok(subject, machine.backlog);
    }
    warn(
        subject,
        machine.backlog,
        Trouble {
            why: format!(
                "of {} clients that connect at once the kernel lets {} wait; the others try again a \
             second later",
                wanted.backlog, machine.backlog
            ),
            change: format!("sysctl -w net.core.somaxconn={}", wanted.backlog.next_power_of_two()),
            trade: "a few hundred bytes for each connection that waits".to_owned(),
        },
    )
}

fn kernel(machine: &Machine) -> Finding {
    let (major, minor) = machine.kernel;
    let found = format!("{major}.{minor}");
    if machine.kernel >= SCANNING_KERNEL {
        return ok("kernel", found);
    }
    let (major, minor) = SCANNING_KERNEL;
    warn(
        "kernel",
        found,
        Trouble {
            why:
                "it cannot tell which pages of a memory were written, so all that is kept resident \
              is reset after each call"
                    .to_owned(),
            change: format!(
                "run Linux {major}.{minor} or later, or lower [instances] keep_resident"
            ),
            trade: "small calls get cheaper".to_owned(),
        },
    )
}

fn swap(machine: &Machine) -> Finding {
    if !machine.may_swap {
        return ok("swap", "off");
    }
    warn(
        "swap",
        "on",
        Trouble {
            why: "which pages a call has written in a new instance is not asked of the kernel then, since \
                  Wasmtime would miss those that were swapped out: all that is kept is reset after it"
                .to_owned(),
            change: "swapoff -a".to_owned(),
            trade: "small calls get cheaper, and the budget is all the memory there is".to_owned(),
        },
    )
}

fn written_pages(machine: &Machine) -> Finding {
    let subject = "written pages (/proc/self/pagemap)";
    if machine.tells_written {
        return ok(subject, "told");
    }
    warn(
        subject,
        "not told",
        Trouble {
            why: "no instance can be restored, so each call gets a new one".to_owned(),
            change: "mount /proc, on a kernel with CONFIG_PROC_PAGE_MONITOR".to_owned(),
            trade: "calls of apps that are called often get several times cheaper".to_owned(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::tests::server;

    fn wanted() -> WantedSize {
        WantedSize {
            slots: 10_079,
            largest_memory: MOST_MEMORY,
            mapped: 1_008,
            connections: 10_000,
            budget: Bytes::mebi(19 << 10),
            threads: 8,
            backlog: 1024,
            disk: Some(Bytes::mebi(50 << 10)),
            components: Some((Bytes::mebi(900), Bytes::mebi(1024))),
        }
    }

    /// What is not well, as `verdict subject: change`.
    fn troubles(machine: &Machine, wanted: &WantedSize) -> Vec<String> {
        let findings = examine(machine, wanted);
        let troubles = findings.iter().filter_map(|finding| {
            let trouble = finding.trouble.as_ref()?;
            Some(format!("{:?} {}: {}", finding.verdict, finding.subject, trouble.change))
        });
        troubles.collect()
    }

    #[track_caller]
    fn check(machine: &Machine, wanted: &WantedSize, expected: &str) {
        assert_eq!(troubles(machine, wanted), [expected]);
    }

    #[test]
    fn a_server_with_the_defaults_is_well() {
        assert_eq!(troubles(&server(), &wanted()), [""; 0]);
    }

    #[test]
    fn more_instances_than_mappings_is_a_warning_with_the_value_to_set() {
        let many = WantedSize { slots: 50_000, largest_memory: Bytes::mebi(1 << 10), ..wanted() };
        check(&server(), &many, "Warn vm.max_map_count: sysctl -w vm.max_map_count=524288");
        let some = WantedSize { slots: 12_288, ..wanted() };
        check(&server(), &some, "Warn vm.max_map_count: sysctl -w vm.max_map_count=131072");
    }

    #[test]
    fn the_fewest_mapped_apps_need_no_more_mappings() {
        let full = WantedSize { slots: 10_751, mapped: mapped::LEAST, ..wanted() };
        assert_eq!(troubles(&server(), &full), [""; 0]);
    }

    #[test]
    fn components_near_their_bound_are_told_with_a_larger_one() {
        let much =
            WantedSize { components: Some((Bytes::mebi(922), Bytes::mebi(1024))), ..wanted() };
        let change = "[disk] components = \"2GiB\", or remove apps that are not needed";
        check(&server(), &much, &format!("Warn components in the data folder: {change}"));
        let unbound = WantedSize { components: None, ..wanted() };
        assert_eq!(troubles(&server(), &unbound), [""; 0]);
    }

    #[test]
    fn files_are_needed_for_connections_and_code() {
        let few = Machine { open_files: 4096, ..server() };
        let change = "Warn open files (ulimit -Hn): ulimit -Hn 16384, or LimitNOFILE=16384 in the \
                      systemd unit";
        check(&few, &wanted(), change);
    }

    #[test]
    fn a_pool_beyond_the_address_space_fails() {
        let change = "Fail address space (ulimit -v): ulimit -v unlimited, or LimitAS=infinity in \
                      the systemd unit";
        let small = Machine { address_space: Bytes::mebi(1 << 20), ..server() };
        check(&small, &wanted(), change);
        let space = Bytes::mebi(8 << 10);
        let limited = Machine { address_space: space, address_limit: Some(space), ..server() };
        let few = WantedSize { slots: 29, largest_memory: Bytes::mebi(128), ..wanted() };
        check(&limited, &few, &change.replace("Fail", "Warn"));
    }

    #[test]
    fn a_budget_that_leaves_nothing_for_the_host_is_told() {
        let all = WantedSize { budget: server().memory, ..wanted() };
        check(&server(), &all, "Warn memory: [memory] budget = \"24512MiB\" or less");
    }

    #[test]
    fn kernel_settings_are_named_with_their_values() {
        let odd = Machine {
            backlog: 128,
            overcommit: 2,
            huge_pages: "always".to_owned(),
            kernel: (5, 15),
            may_swap: true,
            tells_written: false,
            may_yield: false,
            ..server()
        };
        let busy = WantedSize { threads: 16, disk: Some(Bytes::mebi(1)), ..wanted() };
        let told = troubles(&odd, &busy).join("\n");
        for part in [
            "Warn net.core.somaxconn: sysctl -w net.core.somaxconn=1024",
            "Warn vm.overcommit_memory: sysctl -w vm.overcommit_memory=0",
            "Warn transparent huge pages: echo madvise",
            "Warn kernel: run Linux 6.7 or later",
            "Warn swap: swapoff -a",
            "Warn written pages (/proc/self/pagemap): mount /proc",
            "Warn nice levels: allow setpriority",
            "Warn cores: [cpu] threads = 8",
            "Fail free disk of the data folder: free space there",
        ] {
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
    }
}
