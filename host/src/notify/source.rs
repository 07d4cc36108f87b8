//! What `notify` asks of whoever knows what is wrong.
//! Finds nothing itself: `api` does.

use std::collections::BTreeSet;

use steerage_core::problem::{FoundProblem, ProblemKey};

/// Where problems come from.
pub trait ProblemSource: Send + Sync + 'static {
    /// All that is wrong here, as far as this host knows by itself.
    fn here(&self) -> impl Future<Output = ProblemsHere> + Send;

    /// The same problem with the reason and the remedy, as far as they can be found.
    fn explained(&self, problem: FoundProblem) -> impl Future<Output = FoundProblem> + Send;

    /// What other hosts tell.
    fn elsewhere(&self) -> impl Future<Output = ToldElsewhere> + Send;
}

/// What one host knows to be wrong.
#[derive(Clone, Debug, Default)]
pub struct ProblemsHere {
    /// What it has to tell.
    pub own: Vec<FoundProblem>,
    /// What it knows and another host has to tell.
    pub of_others: BTreeSet<ProblemKey>,
}

/// What other hosts of the fleet tell.
#[derive(Clone, Debug, Default)]
pub struct ToldElsewhere {
    /// Their problems.
    pub told: BTreeSet<ProblemKey>,
    /// Whether all of them said something: who said nothing may have any problem.
    pub is_all: bool,
}
