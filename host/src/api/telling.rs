//! The problems of this host, as `notify` tells them to receivers outside.
//! Does not decide whom to tell what, nor when.

use std::collections::BTreeSet;
use std::time::Duration;

use steerage_core::problem::{FoundProblem, ProblemKey};
use steerage_core::why::{HostTrouble, PRINTED};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::fleet_wide::{self, whom};
use super::problem::Refusal;
use super::{Shared, found, problems, why_hosts, wire};
use crate::notify::{ProblemSource, ProblemsHere, ToldElsewhere};

/// All hosts.
const ALL: &str = "*";
/// Kinds of problems that a host has and cannot tell by itself: one of the others does.
const OF_OTHERS: [&str; 2] = ["host", "clock"];

/// While no host has a problem, the hosts are looked at once in so long, because that takes a look at all
/// apps. While one has, at each look.
const HOSTS_EVERY: Duration = Duration::from_secs(30);

/// What is wrong on the host of this state.
pub(super) struct TellingHost {
    state: Shared,
    /// What was wrong with the hosts at the last look, and when that was.
    of_hosts: Mutex<Option<(Instant, OfHosts)>>,
}

/// What is wrong with hosts, and whether this one is the first of those that answer.
type OfHosts = (Vec<HostTrouble>, bool);

impl ProblemSource for TellingHost {
    async fn here(&self) -> ProblemsHere {
        let state = &self.state;
        let me = state.context.fleet.as_ref().map(|fleet| fleet.me().to_string());
        let own = state.found_here().into_iter();
        let own = own.map(|found| FoundProblem { hosts: me.iter().cloned().collect(), ..found });
        let mut here = ProblemsHere { own: own.collect(), of_others: BTreeSet::new() };
        // While nothing is known of the fleet, that is told as an event.
        let Ok((troubles, is_first)) = self.of_hosts().await else { return here };
        // That its folder is gone is among its own already.
        for trouble in troubles.into_iter().filter(|trouble| trouble.kind != HostTrouble::FOLDER) {
            let is_mine = if OF_OTHERS.contains(&trouble.kind) {
                is_first
            } else {
                me.as_ref().is_none_or(|me| *me == trouble.host)
            };
            let problem = problems::of_trouble(trouble, me.is_some());
            if is_mine {
                here.own.push(problem);
            } else {
                here.of_others.insert(problem.key());
            }
        }
        here
    }

    async fn explained(&self, mut problem: FoundProblem) -> FoundProblem {
        problems::explain(&self.state, Some(ALL), &mut problem).await;
        // What guests print may be private: it does not leave the host.
        problem.evidence.retain(|line| !line.starts_with(PRINTED));
        problem
    }

    async fn elsewhere(&self) -> ToldElsewhere {
        match self.others().await {
            Ok(told) => told,
            Err(_) => ToldElsewhere { told: BTreeSet::new(), is_all: false },
        }
    }
}

impl TellingHost {
    pub(super) fn new(state: Shared) -> Self {
        Self { state, of_hosts: Mutex::default() }
    }

    async fn of_hosts(&self) -> Result<OfHosts, Refusal> {
        let mut known = self.of_hosts.lock().await;
        if let Some((at, told)) = &*known
            // What is wrong is looked at each time: nobody should hear of it for longer than it is so.
            && told.0.is_empty()
            && at.elapsed() < HOSTS_EVERY
        {
            return Ok(told.clone());
        }
        match (why_hosts::troubles_known(&self.state).await, &*known) {
            (Ok(told), _) => {
                *known = Some((Instant::now(), told.clone()));
                Ok(told)
            }
            // That nothing could be read does not say that anything is over.
            (Err(_), Some((_, told))) => Ok(told.clone()),
            (Err(error), None) => Err(error),
        }
    }

    async fn others(&self) -> Result<ToldElsewhere, Refusal> {
        let whose = whom(&self.state, Some(ALL))?;
        // What is here is known.
        let here = wire::Problems::default();
        let told = fleet_wide::gather(whose, "/v1/problems", here, usize::MAX).await?;
        let is_all = told.sources.is_none_or(|sources| sources.unanswered.is_empty());
        let keys = told.problems.into_iter().map(|told| found::read(told).key());
        Ok(ToldElsewhere { told: keys.collect::<BTreeSet<ProblemKey>>(), is_all })
    }
}
