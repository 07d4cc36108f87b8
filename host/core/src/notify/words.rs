//! The words between `notify` and whoever drives it: how a receiver wants to be told, what is seen, what is
//! said, and what becomes of it.
//! Decides nothing.

/// How a receiver wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotifyRules {
    /// A problem that is over before so much time has passed is not told.
    pub wait: u64,
    /// Two changes of one problem are told no sooner after each other.
    pub change_every: u64,
    /// What is open is told again so often; never where this is nothing.
    pub repeat: Option<u64>,
    /// Most problems in one message.
    pub at_once: usize,
    /// Most problems that are known at once. The rest has to wait until one of them is over.
    pub most: usize,
    /// The first pause after a message that was not taken. It doubles each time.
    pub first_pause: u64,
    /// It does not become longer than this.
    pub longest_pause: u64,
    /// That a problem closed is tried to be told for so long.
    pub try_for: u64,
}

/// How a problem is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// It is there.
    Here {
        /// A number that changes when the problem changes so that it is worth to be told.
        material: u64,
        /// Another problem that is told brings it about. It is not told unless it was already.
        is_symptom: bool,
    },
    /// It is not here any more, but another host tells it.
    Elsewhere,
    /// It is not here any more, and nobody knows yet whether another host tells it.
    Unclear,
}

/// What a receiver is told of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    /// It is there.
    Opened,
    /// It is not what it was.
    Changed,
    /// It is still there.
    Repeated,
    /// It is over.
    Closed,
}

/// What belongs to a notice, beside what is said of its problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoticeFacts {
    /// Since when the problem is seen.
    pub opened_at: u64,
    /// When it was over.
    pub closed_at: Option<u64>,
    /// The number that `note` got for it: how it is now, or where it is over, how it was told last.
    pub material: u64,
    /// How many notices of this problem were taken or refused. A notice that is tried again has the same
    /// number, and the next one has another.
    pub n_settled: u64,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The receiver took it.
    Taken,
    /// The receiver was not reached, so it did not get it.
    NotReached,
    /// Nobody knows: the receiver failed, or did not answer in time.
    InDoubt,
    /// The receiver does not want this message, and will not want it later either. It knows what it knew
    /// before.
    Refused,
}

/// What an operator should hear of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverNews {
    /// It takes nothing.
    Fails,
    /// It takes what it is told again.
    Works,
}

/// Counts of notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotifyCounts {
    /// Those that were taken.
    pub taken: u64,
    /// Messages that were not taken, so that they were tried again or given up.
    pub failed: u64,
    /// Notices that the receiver will never get.
    pub lost: u64,
}
