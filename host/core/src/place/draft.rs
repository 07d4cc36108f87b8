//! What a plan that is being made has changed so far, in the order in which it did, so that it can be
//! gone back on: the fleet is kept as it is, and plans are tried on it. Knows what was changed and why;
//! does not decide what.

use super::dense::{AppIndex, Dense, HostIndex};
use super::why::Why;

/// One change, with its reason.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) app: AppIndex,
    pub(super) host: HostIndex,
    pub(super) what: What,
    pub(super) why: Why,
}

/// What became of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It cannot stay where the view has it.
    Lost,
    /// It was taken off.
    Taken,
    /// It was put there.
    Put,
}

impl Dense {
    /// Puts a replica on a host.
    pub(super) fn put(&mut self, app: AppIndex, host: HostIndex, why: Why) {
        self.make(Change { app, host, what: What::Put, why });
    }

    /// Takes a replica off a host.
    pub(super) fn take(&mut self, app: AppIndex, host: HostIndex, why: Why) {
        self.make(Change { app, host, what: What::Taken, why });
    }

    /// Notes a replica that cannot stay, and so is not on its host already.
    pub(super) fn lose(&mut self, app: AppIndex, host: HostIndex, why: Why) {
        self.make(Change { app, host, what: What::Lost, why });
    }

    fn make(&mut self, change: Change) {
        if change.what != What::Lost {
            self.change(change.app, change.host, change.what == What::Put);
        }
        self.draft.push(change);
    }

    /// Undoes all changes but the first so many; returns what they were.
    pub(super) fn go_back(&mut self, to: usize) -> Vec<Change> {
        let undone = self.draft.split_off(to.min(self.draft.len()));
        for change in undone.iter().rev().filter(|change| change.what != What::Lost) {
            self.change(change.app, change.host, change.what != What::Put);
            self.uncounted.insert(change.host);
        }
        self.count();
        undone
    }

    /// Makes changes again.
    pub(super) fn redo(&mut self, undone: Vec<Change>) {
        for change in undone {
            self.make(change);
        }
    }
}
