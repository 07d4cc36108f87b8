//! The steps of putting an instance back, by name, so that a test can leave each of them out and see that
//! calls then differ (`differential`). Outside of tests nothing is left out.

/// One step, or one part of what it puts back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "steps that only tests do otherwise"))]
pub(in crate::sandbox) enum Step {
    /// Taking note of page faults.
    Faults,
    /// Looking for pages that were written.
    Look,
    /// Asking the kernel for them by its scan, which old ones have not.
    Scan,
    /// Asking the kernel for them in any way.
    Pagemap,
    /// Putting back the last page that was written.
    LastPage,
    /// Putting back any memory but the first.
    OtherMemories,
    /// Putting back the size of a memory that grew, and giving back what it grew by.
    Size,
    /// Only the latter.
    GrownPages,
    /// Comparing whole memories, which would notice what guests do not.
    Compare,
    /// Putting back the last mutable global of a module.
    LastGlobal,
    /// Putting back any core instance but the first.
    OtherInstances,
    /// Putting back any component but the outermost.
    OtherParts,
    /// Taking the handles that were kept.
    TakeHandles,
    /// Having the host's table of handles forget them.
    ForgetHandles,
    /// Freeing handles such that their numbers begin anew.
    FreeHandles,
    /// All that the host holds for a guest.
    HostData,
    /// Its resources.
    Resources,
    /// Its context of WASI: environment, clocks, random numbers, streams.
    Wasi,
    /// What it has printed, and for which call.
    Stdio,
    /// When its resources are weighed next.
    Meter,
    /// What its memories have reserved.
    Limiter,
}

#[cfg(not(test))]
#[inline]
pub(in crate::sandbox) const fn is_left_out(_: Step) -> bool {
    false
}

#[cfg(test)]
pub(in crate::sandbox) use self::tests::is_left_out;

#[cfg(test)]
pub(in crate::sandbox) mod tests {
    use std::cell::Cell;

    use super::Step;

    thread_local! {
        static LEFT_OUT: Cell<&'static [Step]> = const { Cell::new(&[]) };
    }

    /// Whether this thread leaves the step out.
    pub(in crate::sandbox) fn is_left_out(step: Step) -> bool {
        LEFT_OUT.get().contains(&step)
    }

    /// Has this thread leave out these steps, and no others.
    pub(in crate::sandbox) fn leave_out(steps: &'static [Step]) {
        LEFT_OUT.set(steps);
    }
}
