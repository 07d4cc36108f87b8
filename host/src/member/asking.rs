//! Asking other hosts what apps use there, on the hosts that plan or may soon have to. The one that plans
//! asks as often as it looks, and more often while a canary's counts are to be compared; those that come
//! after it so often that they know enough when it is lost.
//! Does not use what it hears: placement and `analysis` do.

use std::time::Duration;

use super::Member;
use crate::fleet::View;
use crate::placement;

/// How often who plans asks while there is a canary, so that a bad one is rolled back soon.
const EVERY_OF_CANARY: Duration = Duration::from_millis(500);
/// How often it asks else: hosts look as often.
const EVERY: Duration = Duration::from_secs(2);
/// How often those ask that may have to plan next.
const EVERY_OF_NEXT: Duration = Duration::from_secs(10);

/// Asks until it is dropped.
pub(super) async fn ask(member: &Member) {
    let fleet = &member.fleet;
    let mut ticks = tokio::time::interval(EVERY_OF_CANARY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut changes, mut asks) = (fleet.changes(), true);
    loop {
        // Who has just come is to plan as soon as it knows enough, and knows of others by the store.
        tokio::select! {
            _ = ticks.tick() => {}
            _ = changes.changed(), if asks && !fleet.knows_use() => {}
        }
        let every = how_often(member, &fleet.view());
        asks = every.is_some();
        let Some(every) = every else { continue };
        // Ticks come a little late or early.
        fleet.ask_use(every.saturating_sub(EVERY_OF_CANARY / 2)).await;
    }
}

fn how_often(member: &Member, view: &View) -> Option<Duration> {
    let fleet = &member.fleet;
    if placement::is_planner(fleet) {
        // One that has begun here a moment ago was told by nobody yet.
        let is_tried = has_canaries(view) || !member.agent.canaries().is_empty();
        return Some(if is_tried { EVERY_OF_CANARY } else { EVERY });
    }
    let is_well = |host: &_| fleet.liveness(view, host).counts_for_planner();
    view.keeps_use(fleet.me(), is_well).then_some(EVERY_OF_NEXT)
}

fn has_canaries(view: &View) -> bool {
    let firsts = view.usage.values().filter_map(|parts| parts.get(&0));
    firsts.into_iter().any(|first| !first.canaries.is_empty())
}
