//! What the kernel grants this process, and taking all of it that can be had.
//! Decides nothing: `core::machine` says what it is enough for.

pub mod arenas;
mod groups;
pub mod ports;

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use steerage_core::machine::Machine;
use steerage_core::units::Bytes;

/// What Linux allows unless told otherwise, for systems that do not say.
const DEFAULT_MAX_MAP_COUNT: u64 = 65_530;
/// Where addresses of programs end on machines with four levels of page tables.
const END_OF_ADDRESSES: u64 = 1 << 47;

/// Looks at the machine.
#[must_use]
pub fn machine() -> Machine {
    let address_limit = getrlimit(Resource::As).current.map(Bytes::new);
    Machine {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory: memory(),
        memory_limit: groups::memory_limit(Path::new("/")),
        mappings: max_map_count(),
        open_files: open_files(),
        address_space: address_space(address_limit),
        address_limit,
        backlog: number("/proc/sys/net/core/somaxconn").unwrap_or(u64::MAX),
        overcommit: number("/proc/sys/vm/overcommit_memory").unwrap_or(0),
        huge_pages: huge_pages(&read("/sys/kernel/mm/transparent_hugepage/enabled")),
        may_swap: may_swap(fs::read_to_string("/proc/swaps").ok().as_deref()),
        tells_written: tells_written(),
        kernel: version(&read("/proc/sys/kernel/osrelease")),
        may_yield: rustix::process::nice(0).is_ok(),
    }
}

/// How many mappings a process may have.
#[must_use]
pub fn max_map_count() -> u64 {
    number("/proc/sys/vm/max_map_count").unwrap_or(DEFAULT_MAX_MAP_COUNT)
}

/// How many files this process may have open, once [`raise_open_files`] was called.
#[must_use]
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Raises the number of files this process may have open as far as it may: each connection and each
/// app with mapped code takes one, and shells start processes with as few as 1024. Makes the
/// kernel's table large enough for `n_files` of them: with threads, each doubling later stops
/// whoever opens a file for some 15 ms. So to be called before there are threads.
pub fn raise_open_files(n_files: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let last = i32::try_from(n_files.min(open_files()).saturating_sub(1)).unwrap_or(i32::MAX);
    if let Ok(file) = File::open("/dev/null") {
        // A file of a high number makes the table grow, and it stays so.
        drop(fcntl_dupfd_cloexec(&file, last));
    }
}

/// Free space for this user where `path` is or will be; `None` where it cannot be told.
#[must_use]
pub fn free_disk(path: &Path) -> Option<Bytes> {
    let there = path.ancestors().find(|folder| folder.exists());
    // A relative path ends in the empty one, which stands for here.
    let status = rustix::fs::statvfs(there.unwrap_or_else(|| Path::new("."))).ok()?;
    Some(Bytes::new(status.f_bavail.saturating_mul(status.f_frsize)))
}

/// How much is used of the file system on which a folder is, and of how much, as `df` counts: what is kept for the
/// administrator is neither used nor to be had. `None` where it does not say.
#[must_use]
pub fn used_disk(path: &Path) -> Option<(Bytes, Bytes)> {
    let status = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| Bytes::new(blocks.saturating_mul(status.f_frsize));
    let used = bytes(status.f_blocks.saturating_sub(status.f_bfree));
    (status.f_blocks > 0).then(|| (used, used.saturating_add(bytes(status.f_bavail))))
}

/// How large the file system is on which a folder is, or will be; `None` where it does not say.
#[must_use]
pub fn disk_size(path: &Path) -> Option<Bytes> {
    let there = path.ancestors().find(|folder| folder.exists());
    let status = rustix::fs::statvfs(there.unwrap_or_else(|| Path::new("."))).ok()?;
    // Some over a network say nothing.
    (status.f_blocks > 0).then(|| Bytes::new(status.f_blocks.saturating_mul(status.f_frsize)))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn number(path: &str) -> Option<u64> {
    read(path).trim().parse().ok()
}

/// The number behind a name in lines of `Name:   12 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1 << 10)
}

fn memory() -> Bytes {
    let total = kilobytes(&read("/proc/meminfo"), "MemTotal");
    // Without /proc there is nothing to go by; a gibibyte does no harm.
    Bytes::new(total.unwrap_or(1 << 30))
}

/// The machine's own name, in lower case; empty where it has none.
#[must_use]
pub fn machine_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_ascii_lowercase()
}

/// Which start of the machine this is; empty where the kernel does not say.
#[must_use]
pub fn boot_id() -> String {
    read("/proc/sys/kernel/random/boot_id").trim().to_owned()
}

/// CPU time of this process, all its threads together.
#[must_use]
pub fn process_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Memory of this process that is in RAM now, mapped files included.
#[must_use]
pub fn resident_memory() -> Bytes {
    Bytes::new(kilobytes(&read("/proc/self/status"), "VmRSS").unwrap_or(0))
}

/// Memory of this process that only it can give back: the kernel can drop what is backed by files.
#[must_use]
pub fn anonymous_memory() -> Bytes {
    Bytes::new(kilobytes(&read("/proc/self/status"), "RssAnon").unwrap_or(0))
}

/// The largest piece that can still be reserved: the largest hole between mappings, and no more
/// than the limit leaves.
fn address_space(limit: Option<Bytes>) -> Bytes {
    let hole = Bytes::new(largest_hole(&read("/proc/self/maps")));
    let used = Bytes::new(kilobytes(&read("/proc/self/status"), "VmSize").unwrap_or(0));
    limit.map_or(hole, |limit| hole.min(limit.saturating_sub(used)))
}

fn largest_hole(maps: &str) -> u64 {
    let (mut end_before, mut largest) = (0, 0);
    let here = |text: &str| u64::from_str_radix(text, 16).ok();
    for line in maps.lines() {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let Some((start, end)) = range.and_then(|(a, b)| Some((here(a)?, here(b)?))) else {
            continue;
        };
        if start < END_OF_ADDRESSES {
            largest = largest.max(start.saturating_sub(end_before));
            end_before = end;
        }
    }
    largest.max(END_OF_ADDRESSES.saturating_sub(end_before))
}

/// The chosen word of `always [madvise] never`.
fn huge_pages(text: &str) -> String {
    let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or("never", |(chosen, _)| chosen).to_owned()
}

/// Whether there is a line below the heading. Where nothing can be read, there may be swap.
fn may_swap(swaps: Option<&str>) -> bool {
    swaps.is_none_or(|swaps| swaps.lines().skip(1).any(|line| !line.trim().is_empty()))
}

/// Whether an entry of a page can be read, of which there is one for each.
fn tells_written() -> bool {
    use std::io::Read as _;
    File::open("/proc/self/pagemap").is_ok_and(|mut file| file.read_exact(&mut [0; 8]).is_ok())
}

fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse().ok()).unwrap_or(0);
    (next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_hole_is_found_wherever_it_is() {
        let maps = "1000-2000 r-xp 0 0 0 /bin/a\n5000-6000 rw-p 0 0 0\n\
                    7fffffffe000-7ffffffff000 rw-p 0 0 0 [stack]\n\
                    ffffffffff600000-ffffffffff601000 --xp 0 0 0 [vsyscall]\n";
        assert_eq!(largest_hole(maps), 0x7fff_ffff_e000 - 0x6000);
        assert_eq!(largest_hole(""), END_OF_ADDRESSES);
    }

    #[test]
    fn what_the_kernel_prints_is_read() {
        assert_eq!(version("6.18.44-fc-v669"), (6, 18));
        assert_eq!(version("5.4"), (5, 4));
        assert_eq!(huge_pages("always [madvise] never\n"), "madvise");
        assert_eq!(kilobytes("MemFree: 1 kB\nMemTotal:  24 kB\n", "MemTotal"), Some(24 << 10));
        assert_eq!(kilobytes("", "MemTotal"), None);
        let heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert!(!may_swap(Some(heading)));
        assert!(may_swap(Some(&format!("{heading}/swapfile file 1024 0 -2\n"))));
        assert!(may_swap(None), "nobody knows");
    }

    #[test]
    fn this_machine_has_what_every_machine_has() {
        let machine = machine();
        assert!(machine.cores > 0 && machine.memory > Bytes::mebi(64));
        assert!(machine.address_space > Bytes::mebi(1 << 10));
        assert!(machine.kernel > (2, 6));
        assert!(Bytes::ZERO < anonymous_memory() && anonymous_memory() < resident_memory());
        assert!(free_disk(Path::new("not/there/yet")).is_some());
        let (used, whole) = used_disk(Path::new(".")).unwrap();
        let free = free_disk(Path::new(".")).unwrap();
        // Others write meanwhile.
        let rest = whole.saturating_sub(used).get();
        assert!(
            used < whole && rest.abs_diff(free.get()) < 1 << 30,
            "{used:?} of {whole:?}, {free:?}"
        );
    }
}
