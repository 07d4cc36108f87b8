//! What stays where it is: everything that still may. Takes off what is too much, or where it must not
//! be any more, and no more than that.

use super::Policy;
use super::dense::{AppIndex, Dense, DenseApp, HostIndex};
use super::few::Few;
use super::spend::Spend;
use super::view::{Spread, Standing};
use super::why::Why;

/// Puts an app's replicas where they are and may stay.
pub(super) fn keep(dense: &mut Dense, app: AppIndex) {
    let Some(at) = dense.apps.get(app) else { return };
    let (stay, left) = sort_out(dense, at);
    let is_due = !left.is_empty() || u32::try_from(stay.len()).ok() != Some(at.replicas);
    let was = at.on.clone();
    for host in was.iter().filter(|host| !stay.contains(*host)) {
        dense.change(app, host, false);
        dense.uncounted.insert(host);
    }
    for host in stay.iter().filter(|host| !was.contains(*host)) {
        dense.change(app, host, true);
    }
    if is_due {
        dense.due.insert(app);
    } else {
        dense.due.remove(&app);
    }
}

/// Which of an app's replicas may stay where they are, and why the others may not.
fn sort_out(dense: &Dense, app: &DenseApp) -> (Few, Vec<(HostIndex, Why)>) {
    let (mut stay, mut left) = (Few::default(), Vec::new());
    for host in app.was.iter() {
        let why = match dense.standing(host) {
            None => Why::HostGone,
            Some(Standing::Draining) => Why::Draining,
            Some(_) if !dense.labels.has(app.labels, host) => Why::Labels,
            Some(_) if app.spread == Spread::Zones && dense.n_in_zone(&stay, host) > 0 => Why::Zone,
            Some(_) => {
                stay.push(host);
                continue;
            }
        };
        left.push((host, why));
    }
    (stay, left)
}

/// Begins a plan: says what cannot stay, and takes off what is too much where it is.
pub(super) fn settle(dense: &mut Dense, spend: &mut Spend<'_>) {
    dense.count();
    dense.weigh();
    let due: Vec<AppIndex> = dense.due.iter().copied().collect();
    for app in &due {
        let Some((_, left)) = dense.apps.get(*app).map(|at| sort_out(dense, at)) else { continue };
        for (host, why) in left {
            dense.lose(*app, host, why);
        }
    }
    // Seen while all are still where the view has them; those that are crowded no more are forgotten.
    let crowded = std::mem::take(&mut dense.crowded);
    dense.crowded = crowded.into_iter().filter(|host| is_crowded(dense, *host)).collect();
    for app in due {
        take_surplus(dense, app);
    }
    for host in dense.crowded.clone() {
        take_apart(dense, host);
    }
    for host in 0..dense.hosts.len() {
        take_overload(dense, host, spend);
    }
}

fn is_crowded(dense: &Dense, host: HostIndex) -> bool {
    let Some(at) = dense.hosts.get(host) else { return false };
    at.apps.iter().filter_map(|app| dense.apps.get(*app)).any(|app| dense.meets(app, host))
}

/// Stops what is more than wanted: first on hosts that take nothing new, then in the zone that has
/// most of it, then on the host that has the least else to do, or where replicas are spread the most.
fn take_surplus(dense: &mut Dense, app: AppIndex) {
    loop {
        let Some(at) = dense.apps.get(app) else { return };
        if at.on.len() <= usize::try_from(at.replicas).unwrap_or(usize::MAX) {
            return;
        }
        let worst = at.on.iter().max_by_key(|host| {
            let is_closed = dense.standing(*host) != Some(Standing::Open);
            let n_else = dense.hosts.get(*host).map_or(0, |at| at.apps.len());
            let is_spread = dense.policy == Policy::Spread;
            let burden = if is_spread { n_else } else { usize::MAX - n_else };
            (is_closed, dense.n_in_zone(&at.on, *host), burden, *host)
        });
        let Some(worst) = worst else { return };
        dense.take(app, worst, Why::Surplus);
    }
}

/// Takes off the less important of two apps that must not meet.
fn take_apart(dense: &mut Dense, host: HostIndex) {
    let Some(at) = dense.hosts.get(host) else { return };
    let mut shy: Vec<AppIndex> = at
        .apps
        .iter()
        .copied()
        .filter(|app| dense.apps.get(*app).is_some_and(|app| !app.apart.is_empty()))
        .collect();
    shy.sort_by_key(|app| importance(dense, *app));
    for app in shy {
        let met = dense.apps.get(app).and_then(|at| {
            at.apart
                .iter()
                .find(|other| dense.apps.get(*other).is_some_and(|other| other.on.contains(host)))
        });
        let Some(other) = met.and_then(|other| dense.apps.get(other)) else { continue };
        let why = Why::Apart(other.name.clone());
        dense.take(app, host, why);
    }
}

/// Takes off the least important of what is on a host that has too little room by now, until the rest
/// fits, or no more may move by now.
fn take_overload(dense: &mut Dense, host: HostIndex, spend: &mut Spend<'_>) {
    while dense.free(host).is_over() {
        let Some(at) = dense.hosts.get(host) else { return };
        let movable = at.apps.iter().copied().filter(|app| spend.may_move(dense, *app));
        let least = movable.min_by_key(|app| importance(dense, *app));
        let Some(least) = least.filter(|_| spend.left() > 0) else {
            spend.overload_waits |= !at.apps.is_empty();
            return;
        };
        dense.take(least, host, Why::Full);
        spend.spend(least);
    }
}

/// The less important, the less; of equally important ones the larger, so that few have to go.
fn importance(dense: &Dense, app: AppIndex) -> (i32, std::cmp::Reverse<(i64, i64)>, AppIndex) {
    let at = dense.apps.get(app);
    let (priority, need) =
        at.map_or((0, (0, 0)), |at| (at.priority, (at.need.cpu, at.need.memory)));
    (priority, std::cmp::Reverse(need), app)
}
