//! Which pages of a memory were written since it was laid on its image.
//! Does not put them back.
//!
//! In a private mapping of a file, a page that is there and not the file's was copied when it was
//! written. A page that the system has swapped out counts as written: only copies are swapped out, the
//! file's own pages are forgotten and brought again. So what is looked for is: present or swapped, and
//! not of the file (PAGEMAP_SCAN, Linux 6.7; /proc/PID/pagemap before; see the kernel's
//! Documentation/admin-guide/mm/pagemap.rst).
//!
//! The image's own pages are of a memfd, which the system may swap out as well; but what it takes out of
//! the page cache is no entry of this process's tables any more, so they are not found. And were they
//! found, they would be copied once too often and be right.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use super::step::{Step, is_left_out};

/// Bytes of a page. Larger ones would be found as several of these, which is as good.
const PAGE: usize = 4096;
/// Runs of pages asked for at once.
const MOST_RUNS: usize = 1024;
/// Pages asked for at once where the kernel cannot scan.
const ENTRIES: usize = 512;

/// Bytes of a memory, as offsets: whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Run {
    /// What of it lies below `size`.
    pub(super) fn within(self, size: usize) -> Self {
        Self { start: self.start.min(size), end: self.end.min(size) }
    }
}

/// The pages that were written, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Written {
    runs: Vec<Run>,
    bytes: usize,
}

impl Written {
    /// Looks at all pages at these addresses.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub(super) fn look(&mut self, addresses: Range<usize>) -> io::Result<()> {
        self.forget();
        let start = addresses.start;
        each_written(addresses, |run| {
            self.add(Run { start: run.start - start, end: run.end - start });
        })
    }

    fn add(&mut self, run: Run) {
        self.bytes += run.end - run.start;
        match self.runs.last_mut() {
            Some(last) if last.end == run.start => last.end = run.end,
            _ => self.runs.push(run),
        }
    }

    /// There are none any more.
    pub(super) fn forget(&mut self) {
        self.runs.clear();
        self.bytes = 0;
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// How many page faults this thread has had. While the number stays the same, no page that was the
/// file's has become a copy: the first write to one is a fault, minor or major.
#[expect(unsafe_code, reason = "the system call has no safe wrapper")]
pub(super) fn faults_of_thread() -> Option<i64> {
    // SAFETY: all bytes zero is a value of this plain struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes into a struct that lives through the call.
    let result = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    (result == 0).then(|| usage.ru_minflt.wrapping_add(usage.ru_majflt))
}

thread_local! {
    /// What the counter of this thread said last.
    static LAST_FAULTS: Cell<Option<i64>> = const { Cell::new(None) };
}

/// Whether this thread may have had a page fault since it was asked this the last time. One system call
/// tells, where two would tell it of a shorter time: between two calls in restored instances a thread that
/// is warm has none.
fn may_have_faulted() -> bool {
    let now = faults_of_thread();
    let before = LAST_FAULTS.replace(now);
    // Nothing known is not nothing written.
    now.is_none() || now != before
}

/// Runs a guest and takes note of whether the threads that polled it may have had page faults meanwhile.
/// Only they write into its memory.
pub(in crate::sandbox) struct FaultWatch<'a, F> {
    guest: Pin<&'a mut F>,
    /// Where that is noted; nowhere for a guest of which nobody wants to know.
    has_faulted: Option<&'a mut bool>,
}

impl<'a, F> FaultWatch<'a, F> {
    pub(in crate::sandbox) fn new(
        guest: Pin<&'a mut F>,
        has_faulted: Option<&'a mut bool>,
    ) -> Self {
        Self { guest, has_faulted }
    }
}

impl<F: Future> Future for FaultWatch<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { guest, has_faulted } = &mut *self;
        let Some(has_faulted) = has_faulted else { return guest.as_mut().poll(context) };
        let polled = guest.as_mut().poll(context);
        **has_faulted |= may_have_faulted();
        polled
    }
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg` of linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    n_regions: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

const PAGEMAP_SCAN: libc::c_ulong = 0xc060_6610;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;

/// Of an entry of pagemap: the page is present, swapped out, a page of a file.
const ENTRY_PRESENT: u64 = 1 << 63;
const ENTRY_SWAPPED: u64 = 1 << 62;
const ENTRY_FILE: u64 = 1 << 61;

/// The process's map of pages: one file for all threads, which have the same pages. A file for each thread
/// would make the number of files the host has open depend on how many threads ever restored.
static PAGEMAP: OnceLock<File> = OnceLock::new();
/// Whether the kernel knows the scan: not before it was refused once. Nothing else depends on it, so that
/// no order is needed.
static CAN_SCAN: AtomicBool = AtomicBool::new(true);

thread_local! {
    /// Where the kernel writes what it found.
    static REGIONS: RefCell<Vec<PageRegion>> = const { RefCell::new(Vec::new()) };
}

fn each_written(addresses: Range<usize>, mut found: impl FnMut(Run)) -> io::Result<()> {
    if is_left_out(Step::Pagemap) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let pagemap = match PAGEMAP.get() {
        Some(pagemap) => pagemap,
        None => {
            let pagemap = File::open("/proc/self/pagemap")?;
            PAGEMAP.get_or_init(|| pagemap)
        }
    };
    if CAN_SCAN.load(Ordering::Relaxed) && !is_left_out(Step::Scan) {
        match scan(pagemap, addresses.clone(), &mut found) {
            // Kernels before 6.7. Nothing was found yet then.
            Err(error) if error.raw_os_error() == Some(libc::ENOTTY) => {
                CAN_SCAN.store(false, Ordering::Relaxed);
            }
            result => return result,
        }
    }
    read(pagemap, addresses, found)
}

fn scan(pagemap: &File, addresses: Range<usize>, found: &mut impl FnMut(Run)) -> io::Result<()> {
    REGIONS.with_borrow_mut(|regions| {
        if regions.is_empty() {
            regions.resize(MOST_RUNS, PageRegion::default());
        }
        let (mut start, end) = (addresses.start as u64, addresses.end as u64);
        while start < end {
            let mut argument = ScanArgument {
                size: size_of::<ScanArgument>() as u64,
                start,
                end,
                regions: regions.as_mut_ptr().addr() as u64,
                n_regions: regions.len() as u64,
                category_inverted: PAGE_IS_FILE,
                category_mask: PAGE_IS_FILE,
                category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                return_mask: PAGE_IS_PRESENT,
                ..ScanArgument::default()
            };
            // SAFETY: the kernel writes into the argument, and so many regions into the list that it
            // names; both live through the call.
            #[expect(unsafe_code, reason = "the system call has no safe wrapper")]
            let n_found =
                unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN, &raw mut argument) };
            let Ok(n_found) = usize::try_from(n_found) else {
                return Err(io::Error::last_os_error());
            };
            for region in regions.iter().take(n_found) {
                found(Run { start: address(region.start), end: address(region.end) });
            }
            if argument.walk_end <= start {
                return Err(io::Error::other("a scan of pages does not go on"));
            }
            start = argument.walk_end;
        }
        Ok(())
    })
}

fn read(pagemap: &File, addresses: Range<usize>, mut found: impl FnMut(Run)) -> io::Result<()> {
    let mut bytes = [0; 8 * ENTRIES];
    let mut page = addresses.start / PAGE;
    let end = addresses.end.div_ceil(PAGE);
    while page < end {
        let n_pages = (end - page).min(ENTRIES);
        let entries = bytes.get_mut(..8 * n_pages).unwrap_or_default();
        pagemap.read_exact_at(entries, 8 * page as u64)?;
        for entry in entries.as_chunks::<8>().0 {
            if is_written(u64::from_ne_bytes(*entry)) {
                found(Run { start: page * PAGE, end: (page + 1) * PAGE });
            }
            page += 1;
        }
    }
    Ok(())
}

fn is_written(entry: u64) -> bool {
    entry & (ENTRY_PRESENT | ENTRY_SWAPPED) != 0 && entry & ENTRY_FILE == 0
}

/// Addresses are as wide as words where this runs.
fn address(address: u64) -> usize {
    usize::try_from(address).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_was_swapped_out_counts_as_written() {
        assert!(is_written(ENTRY_PRESENT) && is_written(ENTRY_SWAPPED));
        assert!(!is_written(ENTRY_PRESENT | ENTRY_FILE) && !is_written(ENTRY_SWAPPED | ENTRY_FILE));
        assert!(!is_written(0) && !is_written(ENTRY_FILE));
    }

    #[test]
    fn pages_side_by_side_are_one_run() {
        let mut written = Written::default();
        for start in [0, 1, 3] {
            written.add(Run { start: start * PAGE, end: (start + 1) * PAGE });
        }
        let runs = [Run { start: 0, end: 2 * PAGE }, Run { start: 3 * PAGE, end: 4 * PAGE }];
        assert_eq!((written.runs(), written.bytes()), (runs.as_slice(), 3 * PAGE));
    }
}
