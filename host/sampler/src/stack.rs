//! The addresses on a stack, by frame pointers: compiled guests keep them, as Wasmtime needs them for traps.
//! Rust code as it is shipped keeps none, so from there on what is found may be nothing; whoever takes the samples knows
//! which addresses are code of guests.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the thread was, and where its innermost frame is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    instruction: u64,
    frame: u64,
}

/// The registers of what was interrupted, which the kernel gives to a handler.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) fn registers(context: *mut c_void) -> Option<Registers> {
    let context = context.cast::<libc::ucontext_t>();
    #[expect(unsafe_code, reason = "the kernel gives a pointer")]
    // SAFETY: with SA_SIGINFO the third argument of a handler is a context of this type, which is there for as long as
    // the handler runs.
    let context = unsafe { context.as_ref() }?;
    #[cfg(target_arch = "x86_64")]
    let (instruction, frame) = {
        let register = |which: libc::c_int| {
            let found = context.uc_mcontext.gregs.get(usize::try_from(which).ok()?)?;
            Some(found.cast_unsigned())
        };
        (register(libc::REG_RIP)?, register(libc::REG_RBP)?)
    };
    #[cfg(target_arch = "aarch64")]
    let (instruction, frame) = (context.uc_mcontext.pc, *context.uc_mcontext.regs.get(29)?);
    Some(Registers { instruction, frame })
}

/// No other kind of processor is known here.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn registers(_context: *mut c_void) -> Option<Registers> {
    None
}

/// Finds the addresses, the innermost first; says how many.
pub(crate) fn walk(registers: Registers, frames: &[AtomicU64]) -> usize {
    let mut places = frames.iter();
    let Some(first) = places.next() else { return 0 };
    first.store(registers.instruction, Ordering::Relaxed);
    let (mut frame, mut n_found) = (registers.frame, 1);
    for place in places {
        // A frame begins with the one around it and the address after the call.
        let Some([around, after]) = read(frame) else { break };
        if after == 0 {
            break;
        }
        place.store(after, Ordering::Relaxed);
        n_found += 1;
        // A stack grows down: what does not lie above is no frame, or a circle.
        if around <= frame {
            break;
        }
        frame = around;
    }
    n_found
}

/// What stands at an address, or nothing where nothing is mapped: the kernel looks, and says so.
fn read(address: u64) -> Option<[u64; 2]> {
    let mut found = [0_u64; 2];
    let address = usize::try_from(address).ok().filter(|address| address % 8 == 0)?;
    let length = size_of_val(&found);
    let to = libc::iovec { iov_base: found.as_mut_ptr().cast(), iov_len: length };
    let from = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: length };
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: the call writes at most as many bytes as `found` has, and reads the other address only where the kernel
    // finds that it is readable. Both calls may be made in a handler: they are system calls without any state.
    let n_read =
        unsafe { libc::process_vm_readv(libc::getpid(), &raw const to, 1, &raw const from, 1, 0) };
    (usize::try_from(n_read) == Ok(length)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames found from there.
    fn walked(instruction: u64, frame: u64) -> Vec<u64> {
        let frames = [const { AtomicU64::new(0) }; 8];
        let n_found = walk(Registers { instruction, frame }, &frames);
        frames[..n_found].iter().map(|frame| frame.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn frames_are_followed_until_one_is_none() {
        // A stack of three frames: around, and after.
        let stack: [AtomicU64; 6] = Default::default();
        let base = stack.as_ptr() as u64;
        for (place, value) in stack.iter().zip([base + 16, 101, base + 32, 102, base, 103]) {
            place.store(value, Ordering::Relaxed);
        }
        assert_eq!(walked(100, base), [100, 101, 102, 103], "a frame below is none");
    }

    #[test]
    fn what_is_no_frame_ends_no_process() {
        for frame in [0, 1, 8, u64::MAX - 7, 0x7fff_ffff_f000, 1 << 63] {
            assert_eq!(walked(5, frame), [5], "{frame:x}");
        }
    }
}
