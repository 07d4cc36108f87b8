//! The parts of what a store holds, for tests of instances that are put back: keeping one part of what was
//! before, and saying what there is. Whoever adds a part is asked here what it is in a new guest.

use std::mem::swap;

use super::Guest;
use crate::sandbox::restore::step::{Step, is_left_out};

impl Guest {
    /// Takes over what is left out of putting an instance back, from what was there before.
    pub(in crate::sandbox) fn keep_what_is_left_out(&mut self, before: &mut Self) {
        let is_kept = |step| is_left_out(step) || is_left_out(Step::HostData);
        // What is known of `wasi:http` beside is a bound that never changes.
        let Self { wasi, http: _, outbound, table, limiter: _, stdio, .. } = self;
        if is_kept(Step::Wasi) {
            swap(wasi, &mut before.wasi);
        }
        // No generated component sends any, so it is no step of its own.
        if is_left_out(Step::HostData) {
            swap(outbound, &mut before.outbound);
        }
        if is_kept(Step::Resources) {
            swap(table, &mut before.table);
        }
        if is_kept(Step::Stdio) {
            swap(stdio, &mut before.stdio);
        }
        if is_kept(Step::Meter) {
            swap(&mut self.meter, &mut before.meter);
        }
    }

    /// What is here, as far as it can be told: the same of an instance that was put back as of a new
    /// one, before a call and after it.
    pub(in crate::sandbox) fn told(&mut self) -> String {
        let most = self.most_resources();
        let Self {
            wasi,
            http: _,
            outbound,
            table,
            limiter,
            stdio,
            // Of the app, not of the call.
            stores: _,
            sockets,
            databases: _,
            tape,
            flavor,
            meter,
            // Of an instance that is being made only.
            has_called_host: _,
            may_rest,
        } = self;
        let n_resources = table.iter_mut().count();
        let limiter = format!("{:?} {:?} {:?}", limiter.used(), limiter.peak(), limiter.refused());
        format!(
            "wasi {} outbound {} resources {n_resources} of {most} limiter {limiter} stdio {} \
             {flavor:?} {meter:?} rests {may_rest} sockets {} taped {}",
            wasi.is_made(),
            outbound.n_bytes_sent(),
            stdio.told(),
            sockets.n_files(),
            tape.is_some(),
        )
    }
}
