//! What the engine holds in memory, counted by the thread that asks for it: each connection has a thread of its own,
//! so that one that sorts much is refused memory and no other is. Sorting on the disk has no bound that the
//! engine knows.
//! Also has what else of the engine only unsafe calls reach.
//! Does not know what is asked for.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::{Connection, ffi};

/// What all connections of a host may hold together; each may have [`ALWAYS`] beyond that.
const MOST_OF_ALL: usize = 256 << 20;
/// What a connection may hold whatever others do: enough for small statements.
const ALWAYS: usize = 4 << 20;
/// What a thread counts for itself before it tells the others.
const TOLD_EACH: usize = 256 << 10;
/// Before each piece stands its size; as large as what pieces are aligned to.
const HEAD: usize = 16;

static ALL: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// What this thread holds, how much of it the others were told of, and what it may hold.
    static HELD: Cell<usize> = const { Cell::new(0) };
    static TOLD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Bounds what the engine holds for this thread from now on.
pub(super) fn bound(most: usize) {
    MOST.set(most);
}

/// What the engine holds for this thread.
pub(super) fn held() -> usize {
    HELD.get()
}

/// Has the engine ask here. To be called before it is used for the first time.
#[expect(unsafe_code, reason = "the engine's settings have no safe interface")]
pub(super) fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let methods = ffi::sqlite3_mem_methods {
            xMalloc: Some(allocate),
            xFree: Some(free),
            xRealloc: Some(resize),
            xSize: Some(size),
            xRoundup: Some(rounded),
            xInit: Some(begin),
            xShutdown: Some(end),
            pAppData: ptr::null_mut(),
        };
        // SAFETY: nobody uses the engine yet, as both settings need: all that do come here first. It copies the
        // methods, which keep to what it asks of them. Where it refuses, its own stay.
        let done = unsafe {
            ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0);
            ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const methods)
        };
        if done != ffi::SQLITE_OK {
            tracing::warn!(code = done, "the memory of SQL connections is not bounded");
        }
    });
}

/// The connection says from now on that no row was inserted on it.
#[expect(unsafe_code, reason = "this call of the engine has no safe interface")]
pub(super) fn forget_last_rowid(connection: &Connection) {
    // SAFETY: the connection is open and used by this thread alone.
    unsafe { ffi::sqlite3_set_last_insert_rowid(connection.handle(), 0) };
}

/// Whether the thread may hold so much more.
fn may_have(more: usize) -> bool {
    let held = HELD.get().saturating_add(more);
    let all = ALL.load(Ordering::Relaxed).saturating_add(more);
    held <= MOST.get() && (all <= MOST_OF_ALL || held <= ALWAYS || MOST.get() == usize::MAX)
}

fn count(added: usize, removed: usize) {
    // What one thread took another may give back, of what connections to one file share.
    let held = HELD.get().saturating_add(added).saturating_sub(removed);
    HELD.set(held);
    let told = TOLD.get();
    if held.abs_diff(told) >= TOLD_EACH || held == 0 {
        TOLD.set(held);
        ALL.fetch_add(held.wrapping_sub(told), Ordering::Relaxed);
    }
}

#[expect(unsafe_code, reason = "the engine calls it")]
unsafe extern "C" fn allocate(wanted: c_int) -> *mut c_void {
    let Ok(wanted) = usize::try_from(wanted) else { return ptr::null_mut() };
    if !may_have(wanted) {
        return ptr::null_mut();
    }
    // SAFETY: the piece is large enough for its head, and aligned for it as all of `malloc` are.
    unsafe {
        let piece = libc::malloc(wanted.saturating_add(HEAD));
        if piece.is_null() {
            return piece;
        }
        piece.cast::<usize>().write(wanted);
        count(wanted, 0);
        piece.byte_add(HEAD)
    }
}

#[expect(unsafe_code, reason = "the engine calls it")]
unsafe extern "C" fn free(given: *mut c_void) {
    if given.is_null() {
        return;
    }
    // SAFETY: the engine gives back what `allocate` or `resize` gave it, once.
    unsafe {
        let piece = given.byte_sub(HEAD);
        count(0, piece.cast::<usize>().read());
        libc::free(piece);
    }
}

#[expect(unsafe_code, reason = "the engine calls it")]
unsafe extern "C" fn resize(given: *mut c_void, wanted: c_int) -> *mut c_void {
    let Ok(wanted) = usize::try_from(wanted) else { return ptr::null_mut() };
    // SAFETY: the engine has it from `allocate` or from here, and has no other once this returns one.
    unsafe {
        let piece = given.byte_sub(HEAD);
        let had = piece.cast::<usize>().read();
        if wanted > had && !may_have(wanted - had) {
            return ptr::null_mut();
        }
        let piece = libc::realloc(piece, wanted.saturating_add(HEAD));
        if piece.is_null() {
            return piece;
        }
        piece.cast::<usize>().write(wanted);
        count(wanted, had);
        piece.byte_add(HEAD)
    }
}

#[expect(unsafe_code, reason = "the engine calls it")]
unsafe extern "C" fn size(given: *mut c_void) -> c_int {
    if given.is_null() {
        return 0;
    }
    // SAFETY: as in `free`.
    let size = unsafe { given.byte_sub(HEAD).cast::<usize>().read() };
    c_int::try_from(size).unwrap_or(c_int::MAX)
}

extern "C" fn rounded(wanted: c_int) -> c_int {
    wanted.saturating_add(7) & !7
}

extern "C" fn begin(_: *mut c_void) -> c_int {
    ffi::SQLITE_OK
}

extern "C" fn end(_: *mut c_void) {}
