//! What a host asks of the store, and what it goes on with when the answer comes.

use steerage_core::id::AppName;
use steerage_core::lineage::Followed;
use steerage_core::node::{CodeAtHand, PlanEnd, PlanTurn};

use crate::operators::Wish;
use crate::records::{Key, Value};
use crate::store::{Commit, Seen, StoreError};

#[derive(Clone, Debug)]
pub(crate) enum Request {
    See,
    /// What was under keys at revisions.
    Was(Vec<(Key, u64)>),
    Commit(Commit),
    Grant,
    KeepAlive(i64),
}

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Seen(Seen),
    Was(Result<Vec<Option<(Value, u64)>>, StoreError>),
    Done(Result<u64, StoreError>),
    Lease(i64),
    /// Nothing came in time: it may have happened.
    Away,
}

/// What is gone on with.
#[derive(Debug)]
pub(crate) enum Op {
    /// To judge the store.
    Judge,
    /// To have it judged again, now that it has a mark.
    WroteMark,
    /// To follow it, now that it gives no number that this host knows.
    Raised(Followed, u64, bool),
    /// To go on from where it was, if the store has the same past.
    GoOn,
    /// To read the rest of what it holds.
    ReadFirst(bool),
    /// To take it.
    ReadRest(Seen, bool),
    /// To register in place of what is there.
    OwnRecord,
    Grant(Option<u64>),
    Register(i64),
    KeepAlive,
    Announce(Vec<(AppName, Option<CodeAtHand>)>),
    Plan(PlanTurn, PlanEnd),
    /// To do what an operator wishes, the how-many-eth time.
    Wish(Wish, usize),
    /// To tell that it is done; of a deployment its number, and how many hosts could take a copy.
    Wished(Wish, usize, Option<(u64, usize)>),
}
