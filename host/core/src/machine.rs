//! What a machine grants a host, as facts, and how large a host fits it.
//! Does not look at the machine: the effects bring the facts.

use crate::mapped::{self, MapRoom};
use crate::units::Bytes;

/// Facts about a machine and about what it grants one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Cores this process may use.
    pub cores: usize,
    /// Memory that the machine has.
    pub memory: Bytes,
    /// Memory that this process's control group may have; `None` where there is no limit.
    pub memory_limit: Option<Bytes>,
    /// Mappings a process may have: `vm.max_map_count`.
    pub mappings: u64,
    /// Files this process may have open, once it has raised its own limit as far as it may.
    pub open_files: u64,
    /// The largest piece of address space that this process can still reserve.
    pub address_space: Bytes,
    /// The limit on this process's address space; `None` where there is none.
    pub address_limit: Option<Bytes>,
    /// Connections that the kernel keeps until a program accepts them: `net.core.somaxconn`.
    pub backlog: u64,
    /// How the kernel answers those who ask for more memory than there is:
    /// `vm.overcommit_memory`, where 2 is strict.
    pub overcommit: u64,
    /// When the kernel gives out memory in pieces of 2 MiB: `always`, `madvise` or `never`.
    pub huge_pages: String,
    /// Whether pages may be swapped out, or nobody knows.
    pub may_swap: bool,
    /// Whether the kernel tells a process which of its pages were written.
    pub tells_written: bool,
    /// The kernel's version.
    pub kernel: (u32, u32),
    /// Whether threads may be made to stand behind others.
    pub may_yield: bool,
}

/// What the operator has said, or nobody, of how instances are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceWishes {
    /// Memory that the host may use, its instances included.
    pub budget: Bytes,
    /// Bytes of each slot's memory that stay with it between two instances.
    pub keep_resident: Bytes,
    /// Address space set aside for each instance's memory.
    pub largest_memory: Bytes,
}

/// Instances at once on a machine with room for all of them.
pub const MOST_DEFAULT_SLOTS: u32 = 12_288;
/// Fewer slots than this are not worth starting a host for.
pub const LEAST_SLOTS: u32 = 16;
/// With this many slots there is no need to make each smaller so that there are more.
const ENOUGH_SLOTS: u32 = 256;
/// Mappings of one live instance, as counted in `/proc/PID/maps`: its stack and the guard page below,
/// which are there from the start, and four pieces of its memory: written, initial, more written, not
/// mapped yet.
pub const MAPPINGS_OF_INSTANCE: u64 = 6;
/// Those of them that are there from the start.
pub const MAPPINGS_OF_STACK: u64 = 2;
/// One part in so many of the mappings is left for apps' code where nobody says how many slots.
const PART_FOR_CODE: u64 = 16;
/// Mappings of one app's code: headers, code, data, and what is around them.
pub const MAPPINGS_OF_CODE: u64 = 4;
/// Mappings of the host itself, with room for libraries, threads and the allocator.
pub const MAPPINGS_OF_HOST: u64 = 1024;
/// Files of the host itself: the store, timers, sockets, compiling children.
pub const FILES_OF_HOST: u64 = 256;
/// Files of operators' connections.
const FILES_OF_OPERATORS: u64 = 100;
/// The least that a live instance holds: one page of a guest.
const LEAST_INSTANCE: Bytes = Bytes::new(64 << 10);
/// Address space of a slot beside its memory: tables and a stack.
const SLOT_EXTRAS: u64 = 4 << 20;
/// The most any guest can address.
pub const MOST_MEMORY: Bytes = Bytes::mebi(4 << 10);
/// The least address space for an instance's memory: below it few programs start.
pub const LEAST_MEMORY: Bytes = Bytes::mebi(1);

/// Sizes of an instance's memory, in MiB, that leave every app its default limit.
const ROOMY: [u64; 6] = [4096, 2048, 1024, 512, 256, 128];
/// Sizes for an address space that is small.
const NARROW: [u64; 4] = [128, 64, 32, 16];

/// Address space behind each instance's memory that is never mapped. Accesses that a guest's code
/// makes a little beyond its memory end there, so they need no check of their own.
#[must_use]
pub fn guard(largest_memory: Bytes) -> Bytes {
    Bytes::new((largest_memory.get() / 32).clamp(64 << 10, 32 << 20))
}

impl Machine {
    /// The memory this process can have.
    #[must_use]
    pub fn usable_memory(&self) -> Bytes {
        self.memory_limit.map_or(self.memory, |limit| limit.min(self.memory))
    }

    /// How many slots of this size the address space can hold, with nothing left over.
    #[must_use]
    pub fn slots_in_address_space(&self, largest_memory: Bytes) -> u32 {
        fitting(self.address_space.get(), slot(largest_memory))
    }

    /// How many slots there are mappings for when a host starts. Fewer instances than that can live
    /// at once: a live one needs more than a stack.
    #[must_use]
    pub fn slots_in_mappings(&self) -> u32 {
        fitting(self.mappings.saturating_sub(MAPPINGS_OF_HOST), MAPPINGS_OF_STACK)
    }

    /// The value for `vm.max_map_count` with which these instances and apps with mapped code have what
    /// they need.
    #[must_use]
    pub fn mappings_for(slots: u32, mapped: u32) -> u64 {
        let instances = u64::from(slots).saturating_mul(MAPPINGS_OF_INSTANCE);
        let code = u64::from(mapped).saturating_mul(MAPPINGS_OF_CODE);
        MAPPINGS_OF_HOST.saturating_add(instances).saturating_add(code)
    }

    /// The address space for each instance's memory, unless the operator says otherwise: as much as
    /// any guest can address, which saves its code the checks, and less where that would leave room
    /// for a few instances only.
    #[must_use]
    pub fn default_largest_memory(&self) -> Bytes {
        let first = |sizes: &[u64], enough| {
            let fits = |size: &Bytes| fitting(self.share().get(), slot(*size)) >= enough;
            sizes.iter().map(|mebi| Bytes::mebi(*mebi)).find(fits)
        };
        let narrow = || first(&NARROW, LEAST_SLOTS);
        first(&ROOMY, ENOUGH_SLOTS).or_else(narrow).unwrap_or(Bytes::mebi(16))
    }

    /// How many instances may live at once, unless the operator says otherwise: as many as memory,
    /// mappings and address space all have room for.
    #[must_use]
    pub fn default_slots(&self, shape: &InstanceWishes) -> u32 {
        let held = LEAST_INSTANCE.saturating_add(shape.keep_resident);
        let mappings = self.mappings.saturating_sub(MAPPINGS_OF_HOST);
        let mappings = mappings - mappings / PART_FOR_CODE;
        MOST_DEFAULT_SLOTS
            .min(fitting(mappings, MAPPINGS_OF_INSTANCE))
            .min(fitting(self.share().get(), slot(shape.largest_memory)))
            .min(fitting(shape.budget.get(), held.get()))
            .max(LEAST_SLOTS)
    }

    /// How many apps may have their code mapped beside these instances and connections, unless the
    /// operator says otherwise.
    #[must_use]
    pub fn default_mapped(&self, slots: u32, connections: usize) -> u32 {
        mapped::most(&MapRoom {
            mappings: self.mappings,
            files: self.open_files,
            memory: self.usable_memory().get(),
            slots,
            connections: connections as u64,
        })
    }

    /// The address space that instances may take. Where it is limited, the host itself needs a good
    /// part; where it is not, there is a second pool for guests with async features.
    fn share(&self) -> Bytes {
        let all = self.address_space.get();
        Bytes::new(if self.address_limit.is_some() { all / 2 } else { all / 4 * 3 })
    }
}

/// For how many of the connections that are wanted there are files, beside those of the host itself,
/// of operators and of apps with mapped code. Never none, and half of the files at least.
#[must_use]
pub fn connections_in(open_files: u64, wanted: usize, mapped: u32) -> usize {
    let others = FILES_OF_HOST + FILES_OF_OPERATORS + u64::from(mapped);
    let room = open_files.saturating_sub(others.min(open_files / 2)).max(1);
    wanted.min(usize::try_from(room).unwrap_or(usize::MAX))
}

fn slot(largest_memory: Bytes) -> u64 {
    largest_memory.saturating_add(guard(largest_memory)).get().saturating_add(SLOT_EXTRAS)
}

fn fitting(room: u64, each: u64) -> u32 {
    let n_fitting = room.checked_div(each).unwrap_or(u64::MAX);
    u32::try_from(n_fitting).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A server as they come.
    pub(crate) fn server() -> Machine {
        Machine {
            cores: 8,
            memory: Bytes::mebi(24 << 10),
            memory_limit: None,
            mappings: 65_530,
            open_files: 1 << 20,
            address_space: Bytes::mebi(86 << 20),
            address_limit: None,
            backlog: 4096,
            overcommit: 0,
            huge_pages: "madvise".to_owned(),
            may_swap: false,
            tells_written: true,
            kernel: (6, 12),
            may_yield: true,
        }
    }

    fn shape(machine: &Machine) -> InstanceWishes {
        InstanceWishes {
            budget: Bytes::new(machine.usable_memory().get() / 5 * 4),
            keep_resident: Bytes::new(256 << 10),
            largest_memory: machine.default_largest_memory(),
        }
    }

    fn fit(machine: &Machine) -> (Bytes, u32) {
        let shape = shape(machine);
        (shape.largest_memory, machine.default_slots(&shape))
    }

    #[test]
    fn a_server_has_all_slots_and_whole_memories() {
        assert_eq!(fit(&server()), (Bytes::mebi(4096), 10_079));
        assert_eq!(server().default_mapped(10_079, 10_000), 1_008);
        let raised = Machine { mappings: 262_144, ..server() };
        assert_eq!(fit(&raised), (Bytes::mebi(4096), MOST_DEFAULT_SLOTS));
    }

    #[test]
    fn a_small_machine_has_the_slots_its_memory_bears() {
        let small = Machine { memory: Bytes::mebi(512), ..server() };
        assert_eq!(fit(&small), (Bytes::mebi(4096), 1_310));
        let contained = Machine { memory_limit: Some(Bytes::mebi(512)), ..server() };
        assert_eq!(fit(&contained), fit(&small));
        let unlimited = Machine { memory_limit: Some(Bytes::new(u64::MAX)), ..server() };
        assert_eq!(fit(&unlimited), fit(&server()));
    }

    #[test]
    fn in_a_small_address_space_memories_shrink_before_there_are_too_few() {
        let limited = |gibi: u64| {
            let space = Bytes::mebi(gibi << 10);
            fit(&Machine { address_space: space, address_limit: Some(space), ..server() })
        };
        assert_eq!(limited(4096), (Bytes::mebi(4096), 507));
        assert_eq!(limited(1024), (Bytes::mebi(1024), 494));
        assert_eq!(limited(16), (Bytes::mebi(128), 60));
        assert_eq!(limited(4), (Bytes::mebi(64), 29));
        assert_eq!(limited(1), (Bytes::mebi(16), 24));
    }

    #[test]
    fn connections_leave_files_for_the_rest() {
        assert_eq!(connections_in(1 << 20, 10_000, 1_008), 10_000);
        assert_eq!(connections_in(4096, 10_000, 256), 4096 - 256 - 100 - 256);
        assert_eq!(connections_in(256, 10_000, 256), 128);
        assert_eq!(connections_in(80, 10_000, 64), 40);
        assert_eq!(connections_in(256, 20, 64), 20);
        assert_eq!(connections_in(0, 10, 64), 1);
    }

    #[test]
    fn few_mappings_bound_the_slots_and_then_the_apps() {
        let few = Machine { mappings: 10_000, ..server() };
        assert_eq!(fit(&few).1, 1_402);
        assert_eq!(few.default_mapped(1_402, 10_000), 141);
        assert_eq!(few.default_mapped(1_496, 10_000), mapped::LEAST);
    }

    proptest! {
        #[test]
        fn whatever_fits_does_not_exceed_the_machine(
            memory in 64_u64..1 << 20,
            mappings in 2_000_u64..1 << 22,
            space in 1_u64..1 << 27,
            is_limited: bool,
        ) {
            let space = Bytes::mebi(space);
            let machine = Machine {
                memory: Bytes::mebi(memory),
                mappings,
                address_space: space,
                address_limit: is_limited.then_some(space),
                ..server()
            };
            let (largest, slots) = fit(&machine);
            prop_assert!(slots >= LEAST_SLOTS);
            prop_assert!(slots == LEAST_SLOTS || slots <= machine.slots_in_mappings());
            prop_assert!(slots == LEAST_SLOTS || slots < machine.slots_in_address_space(largest));
        }
    }
}
