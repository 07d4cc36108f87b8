//! How much address space the C library's own allocator reserves. Does not allocate: Rust's allocator is another.

/// Has all threads share one arena of the C library's allocator. To be called before there are threads.
///
/// Each thread that allocates there gets an arena of its own otherwise, which reserves 64 MiB of address space,
/// and each thread of std does once, when it looks up its stack. The host allocates nothing else there, so
/// nobody waits for that arena; where the address space is limited, those of twenty threads took all of it.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the setting of the C library has no other interface")]
pub fn share_one() {
    // SAFETY: it takes numbers and sets one of the allocator's own parameters, under its lock. A refusal
    // leaves what was there, which only takes more address space.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Other C libraries have no such arenas.
#[cfg(not(target_env = "gnu"))]
pub fn share_one() {}
