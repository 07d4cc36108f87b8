//! The plans that changed something, kept in the store for whoever asks later why a replica is where it
//! is: the last fifty, each cut to a bound. Decides nothing.

use std::collections::BTreeSet;

use steerage_core::id::AppName;
use steerage_core::node::{Assigned, Assignment, PlanNumbers, PlanStamp};
use steerage_core::place::{Move, Plan};

use crate::fleet::record::{self, FleetRecordError, MoveRecord, PlanRecord, PlanResult};
use crate::fleet::{Fleet, View, keys};
use crate::store::{Guard, Revision, Seen, StoreError, Write};

/// As many bytes of one plan are told, about: some hundred moves. Every host of the fleet gets them.
const MOST_TOLD: usize = 12 << 10;

/// A plan as it was made, with what made it necessary.
#[derive(Debug)]
pub(super) struct Drawn<'p> {
    pub(super) plan: &'p Plan,
    /// Apps that were removed and are still assigned.
    pub(super) orphans: &'p BTreeSet<AppName>,
    pub(super) triggers: Vec<String>,
}

/// The plans that are kept, the oldest first, with what is wrong with those that cannot be read.
///
/// # Errors
/// The store does not answer, or is not this fleet's.
pub async fn history(fleet: &Fleet) -> Result<(Vec<(u32, PlanRecord)>, Vec<String>), StoreError> {
    fleet.check_store()?;
    let seen = fleet.store().read(keys::PLANS).await?;
    let (mut plans, mut troubles) = (Vec::new(), Vec::new());
    for entry in seen.entries {
        let Some(number) = number(&entry.key) else { continue };
        match record::decode::<PlanRecord>(&entry.key, &entry.value) {
            Ok(plan) => plans.push((number, plan)),
            Err(error @ (FleetRecordError::Newer { .. } | FleetRecordError::Damaged { .. })) => {
                troubles.push(error.to_string());
            }
        }
    }
    Ok((plans, troubles))
}

/// Learns which numbers there are, where that is not known.
pub(super) async fn learn(fleet: &Fleet, numbers: &mut PlanNumbers) -> Result<(), StoreError> {
    if !numbers.are_known() {
        let Seen { entries, .. } = fleet.store().read(keys::PLANS).await?;
        let all = entries.iter().filter_map(|entry| Some((number(&entry.key)?, entry.revision)));
        numbers.learn(all);
    }
    Ok(())
}

/// What is written along with a plan: itself, and that the oldest are forgotten.
pub(super) fn changes(
    stamp: PlanStamp,
    record: &PlanRecord,
    forgotten: &[(u32, Revision)],
) -> Vec<(Guard, Write)> {
    let key = keys::plan(stamp.number);
    let put = Write::Put { key: key.clone(), value: record::encode(record), lease: None };
    let gone = forgotten.iter().map(|(number, revision)| {
        let key = keys::plan(*number);
        (Guard::At(key.clone(), *revision), Write::Delete(key))
    });
    std::iter::once((Guard::Absent(key), put)).chain(gone).collect()
}

/// A plan as it is kept.
pub(super) fn kept(
    fleet: &Fleet,
    view: &View,
    drawn: &Drawn<'_>,
    assignments: &[Assignment],
    at: u64,
) -> PlanRecord {
    let removed = drawn.orphans.iter().flat_map(|app| {
        let on = view.assigned_to(app).into_iter().flat_map(Assigned::keys);
        on.map(|host| MoveRecord {
            app: app.to_string(),
            from: Some(host.to_string()),
            to: None,
            why: "the app was removed".to_owned(),
        })
    });
    let moves = drawn.plan.moves.iter().map(told).chain(removed);
    let (mut kept, mut n_bytes, mut n_moves) = (Vec::new(), 0, 0_u32);
    for step in moves {
        n_moves = n_moves.saturating_add(1);
        let hosts = [&step.from, &step.to].into_iter().flatten();
        n_bytes += step.app.len() + step.why.len() + hosts.map(String::len).sum::<usize>() + 40;
        if n_bytes <= MOST_TOLD {
            kept.push(step);
        }
    }
    let n_unplaced = drawn.plan.unplaced.iter().map(|unplaced| unplaced.replicas).sum();
    PlanRecord {
        at,
        host: fleet.me().to_string(),
        triggers: drawn.triggers.clone(),
        moves: kept,
        n_moves,
        n_apps: u32::try_from(assignments.len()).unwrap_or(u32::MAX),
        n_unplaced,
        result: PlanResult::Written,
        n_left: 0,
        rest: record::Rest::default(),
    }
}

fn told(step: &Move) -> MoveRecord {
    MoveRecord {
        app: step.app.to_string(),
        from: step.from.as_ref().map(ToString::to_string),
        to: step.to.as_ref().map(ToString::to_string),
        why: step.why.to_string(),
    }
}

fn number(key: &str) -> Option<u32> {
    let number = key.strip_prefix(keys::PLANS)?.parse().ok()?;
    // Another way to write a number is not ours.
    (keys::plan(number) == key).then_some(number)
}
