//! Linear memories of instances that are restored: where they are, and how they are put back.
//! Does not know which pages were written: `pages` finds that out.
//!
//! A memory's first bytes are a private mapping of the file that holds what all instances of a component
//! begin with, so a page that is not the file's was written. What it grew by is anonymous and given
//! back to the system.

use std::cell::RefCell;
use std::ffi::c_void;
use std::io;
use std::os::fd::OwnedFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{self, Advice, MapFlags, MprotectFlags, ProtFlags};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

use super::pages::{Run, Written};
use super::step::{Step, is_left_out};

/// Most written bytes of a memory that are copied back one by one. More are given back to the system,
/// which brings them anew as they are asked for: pages that few calls write would be copied after all.
pub(super) const MOST_COPIED: usize = 4 << 20;

/// One linear memory: its address space and what is accessible of it, from the first byte on.
///
/// Shared by Wasmtime, which has it grow, and by whoever restores it, while no guest runs.
#[derive(Debug)]
pub(super) struct Region {
    base: NonNull<u8>,
    /// Bytes of address space, the guard behind the memory included.
    mapped: usize,
    /// Bytes it may grow to.
    capacity: usize,
    /// Bytes that are accessible: what `memory.size` tells. Read and written by whoever has the store
    /// only, so no order is needed.
    size: AtomicUsize,
}

/// What one memory of a component holds before the first call.
#[derive(Debug)]
pub(super) struct Image {
    file: OwnedFd,
    /// The file, mapped to be read; dangling where it has no bytes.
    base: NonNull<u8>,
    size: usize,
}

thread_local! {
    /// Memories made by the instantiation that runs on this thread; `None` where none should be.
    static MADE: RefCell<Option<Vec<Arc<Region>>>> = const { RefCell::new(None) };
}

/// Does what instantiates, in one go and on this thread; returns the memories it made, in order.
pub(super) fn collect<T>(instantiate: impl FnOnce() -> T) -> (T, Vec<Arc<Region>>) {
    MADE.set(Some(Vec::new()));
    let made = instantiate();
    (made, MADE.take().unwrap_or_default())
}

/// Makes the memories of an engine whose instances are restored.
#[derive(Debug)]
pub(in crate::sandbox) struct Creator;

struct Memory(Arc<Region>);

// SAFETY: the region is page-aligned, as large as was asked for with the guard behind it, and stays
// where it is until the last that has it lets go, of which Wasmtime is one.
#[expect(unsafe_code, reason = "Wasmtime relies on the region for memory safety")]
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.0.size.load(Ordering::Relaxed)
    }

    fn byte_capacity(&self) -> usize {
        self.0.capacity
    }

    fn grow_to(&mut self, size: usize) -> wasmtime::Result<()> {
        Ok(self.0.grow_to(size)?)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.0.base.as_ptr()
    }
}

// SAFETY: see `Memory`.
#[expect(unsafe_code, reason = "Wasmtime relies on the region for memory safety")]
unsafe impl MemoryCreator for Creator {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let reserved = reserved.ok_or("a memory without reserved address space")?;
        let region = Region::new(minimum, reserved, guard).map_err(|error| {
            format!("cannot reserve {reserved} bytes of address space: {error}")
        })?;
        let region = Arc::new(region);
        MADE.with_borrow_mut(|made| {
            if let Some(made) = made {
                made.push(region.clone());
            }
        });
        Ok(Box::new(Memory(region)))
    }
}

// SAFETY: what is at the address belongs to the region, and who may read or write it is settled by who
// has the store: Wasmtime while a guest runs, `Restorer` between two calls.
#[expect(unsafe_code, reason = "an address is not sendable by itself")]
unsafe impl Send for Region {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "an address is not shareable by itself")]
unsafe impl Sync for Region {}
// SAFETY: what is at the address never changes.
#[expect(unsafe_code, reason = "an address is not sendable by itself")]
unsafe impl Send for Image {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "an address is not shareable by itself")]
unsafe impl Sync for Image {}

impl Region {
    fn new(size: usize, capacity: usize, guard: usize) -> io::Result<Self> {
        let capacity = capacity.max(size);
        let mapped = capacity.checked_add(guard).ok_or(io::ErrorKind::OutOfMemory)?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping, where the system likes it to be.
        #[expect(unsafe_code, reason = "mapping is only offered as unsafe")]
        let base =
            unsafe { mm::mmap_anonymous(ptr::null_mut(), mapped, ProtFlags::empty(), flags) };
        let base = NonNull::new(base?.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let region = Self { base, mapped, capacity, size: AtomicUsize::new(0) };
        region.grow_to(size)?;
        Ok(region)
    }

    pub(super) fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    fn grow_to(&self, size: usize) -> io::Result<()> {
        let before = self.size();
        if size > self.capacity {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if size > before {
            let access = MprotectFlags::READ | MprotectFlags::WRITE;
            // SAFETY: what becomes accessible is the region's own.
            #[expect(unsafe_code, reason = "changing access is only offered as unsafe")]
            unsafe { mm::mprotect(self.at(before), size - before, access) }?;
            self.size.store(size, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Has the memory begin with the image from now on. It must hold the same bytes already.
    pub(super) fn lie_on(&self, image: &Image) -> io::Result<()> {
        debug_assert_eq!(self.size(), image.size);
        if image.size == 0 {
            return Ok(());
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: what is mapped over is the region's own and holds the same; no guest runs.
        #[expect(unsafe_code, reason = "mapping is only offered as unsafe")]
        let mapped = unsafe { mm::mmap(self.at(0), image.size, access, flags, &image.file, 0) }?;
        debug_assert_eq!(mapped, self.at(0));
        Ok(())
    }

    /// Puts back what the image holds. `written` knows all pages that were written, and is told of
    /// those that are given back.
    pub(super) fn restore(&self, image: &Image, written: &mut Written) -> io::Result<()> {
        let size = self.size();
        if size > image.size && !is_left_out(Step::Size) {
            self.shrink_to(image.size, size)?;
        }
        if written.bytes() > MOST_COPIED {
            // SAFETY: the region's own; a private page that is given back is the file's again.
            #[expect(unsafe_code, reason = "advice is only offered as unsafe")]
            unsafe { mm::madvise(self.at(0), image.size, Advice::LinuxDontNeed) }?;
            written.forget();
            return Ok(());
        }
        let n_runs =
            written.runs().len() - usize::from(is_left_out(Step::LastPage) && written.bytes() > 0);
        for run in written.runs().iter().take(n_runs) {
            let Run { start, end } = run.within(image.size);
            // SAFETY: both have these bytes, neither overlaps, and no guest runs that could have either.
            #[expect(unsafe_code, reason = "no reference may be made to what a guest can write")]
            unsafe {
                let from = image.base.as_ptr().add(start);
                ptr::copy_nonoverlapping(from, self.base.as_ptr().add(start), end - start);
            }
        }
        Ok(())
    }

    /// Gives back what the memory has grown by, which a guest reads as zeros when it grows again.
    fn shrink_to(&self, size: usize, before: usize) -> io::Result<()> {
        // SAFETY: the region's own. Compiled code learns of the smaller size before the guest runs again
        // (`core_module`); accesses beyond it end in the guard, which this part belongs to then.
        #[expect(unsafe_code, reason = "advice and changing access are only offered as unsafe")]
        unsafe {
            if !is_left_out(Step::GrownPages) {
                mm::madvise(self.at(size), before - size, Advice::LinuxDontNeed)?;
            }
            mm::mprotect(self.at(size), before - size, MprotectFlags::empty())?;
        }
        self.size.store(size, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the memory holds just what the image does. Reads all of it.
    pub(super) fn equals(&self, image: &Image) -> bool {
        self.size() == image.size && self.bytes() == image.bytes()
    }

    /// The whole memory, while no guest runs.
    fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are accessible, and nobody writes while no guest runs.
        #[expect(unsafe_code, reason = "it is known by its address")]
        unsafe {
            std::slice::from_raw_parts(self.base.as_ptr(), self.size())
        }
    }

    /// The addresses of its first bytes.
    pub(super) fn addresses(&self, n_bytes: usize) -> std::ops::Range<usize> {
        let base = self.base.as_ptr().addr();
        base..base + n_bytes
    }

    fn at(&self, offset: usize) -> *mut c_void {
        self.base.as_ptr().wrapping_add(offset).cast()
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: nobody has the region any more.
        #[expect(unsafe_code, reason = "unmapping is only offered as unsafe")]
        let unmapped = unsafe { mm::munmap(self.at(0), self.mapped) };
        if let Err(error) = unmapped {
            tracing::error!(%error, "the memory of an instance cannot be unmapped");
        }
    }
}

impl Image {
    /// What the memory holds now.
    ///
    /// # Errors
    /// The system has no memory or no file for it.
    pub(super) fn of(region: &Region) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("steerage-instance", flags)?;
        let bytes = region.bytes();
        rustix::fs::ftruncate(&file, bytes.len() as u64)?;
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            at += rustix::io::pwrite(&file, rest, at as u64)?;
        }
        // A mistake here would change what all instances begin with.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        let mut image = Self { file, base: NonNull::dangling(), size: 0 };
        if !bytes.is_empty() {
            // SAFETY: a new mapping, where the system likes it to be.
            #[expect(unsafe_code, reason = "mapping is only offered as unsafe")]
            let base = unsafe {
                let (access, flags) = (ProtFlags::READ, MapFlags::PRIVATE);
                mm::mmap(ptr::null_mut(), bytes.len(), access, flags, &image.file, 0)
            }?;
            image.base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
            image.size = bytes.len();
        }
        Ok(image)
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped, and the file is sealed.
        #[expect(unsafe_code, reason = "it is known by its address")]
        unsafe {
            std::slice::from_raw_parts(self.base.as_ptr(), self.size)
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if self.size == 0 {
            return;
        }
        // SAFETY: nobody has the image any more; memories that lie on the file have it mapped themselves.
        #[expect(unsafe_code, reason = "unmapping is only offered as unsafe")]
        let unmapped = unsafe { mm::munmap(self.base.as_ptr().cast(), self.size) };
        if let Err(error) = unmapped {
            tracing::error!(%error, "the image of a memory cannot be unmapped");
        }
    }
}

#[cfg(test)]
mod tests;
