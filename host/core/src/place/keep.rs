//! What stays where it is: everything that still may. Takes off what is too much, or where it must not
//! be any more, and no more than that.

use super::dense::{AppIndex, Dense, HostIndex};
use super::view::{Spread, Standing};
use super::why::Why;

/// Puts every replica where it is, if it may stay there.
pub(super) fn settle(dense: &mut Dense<'_>) {
    for app in 0..dense.apps.len() {
        keep_where_allowed(dense, app);
        take_surplus(dense, app);
    }
    for host in 0..dense.hosts.len() {
        take_apart(dense, host);
        take_overload(dense, host);
    }
}

fn keep_where_allowed(dense: &mut Dense<'_>, app: AppIndex) {
    let Some(on) = dense.apps.get(app).map(|app| &app.app.on) else { return };
    for name in on {
        let Some(host) = dense.index(name) else {
            dense.note_left(app, name, Why::HostGone);
            continue;
        };
        let is_drained = dense.hosts.get(host).is_some_and(|at| at.standing == Standing::Draining);
        let is_labelled = dense.apps.get(app).is_some_and(|app| dense.has_labels(app, host));
        if is_drained {
            dense.note_left(app, name, Why::Draining);
        } else if !is_labelled {
            dense.note_left(app, name, Why::Labels);
        } else if is_second_in_zone(dense, app, host) {
            dense.note_left(app, name, Why::Zone);
        } else {
            dense.keep(app, host);
        }
    }
}

fn is_second_in_zone(dense: &Dense<'_>, app: AppIndex, host: HostIndex) -> bool {
    let app = dense.apps.get(app).filter(|app| app.app.spread == Spread::Zones);
    app.is_some_and(|app| dense.n_in_zone(app, host) > 0)
}

/// Stops what is more than wanted: first on hosts that take nothing new, then in the zone that has
/// most of it, then on the host that has the least else to do.
fn take_surplus(dense: &mut Dense<'_>, app: AppIndex) {
    loop {
        let Some(at) = dense.apps.get(app) else { return };
        if at.on.len() <= usize::try_from(at.app.replicas).unwrap_or(usize::MAX) {
            return;
        }
        let worst = at.on.iter().copied().max_by_key(|host| {
            let is_closed = dense.hosts.get(*host).is_some_and(|at| at.standing != Standing::Open);
            let n_else = dense.hosts.get(*host).map_or(0, |at| at.apps.len());
            (is_closed, dense.n_in_zone(at, *host), std::cmp::Reverse(n_else), *host)
        });
        let Some(worst) = worst else { return };
        dense.take(app, worst, Why::Surplus);
    }
}

/// Takes off the less important of two apps that must not meet.
fn take_apart(dense: &mut Dense<'_>, host: HostIndex) {
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
                .copied()
                .find(|other| dense.apps.get(*other).is_some_and(|other| other.on.contains(&host)))
        });
        let Some(other) = met.and_then(|other| dense.apps.get(other)) else { continue };
        let why = Why::Apart(other.name.clone());
        dense.take(app, host, why);
    }
}

/// Takes off the least important of what is on a host that has too little room by now, until the rest
/// fits.
fn take_overload(dense: &mut Dense<'_>, host: HostIndex) {
    while dense.free(host).is_over() {
        let Some(at) = dense.hosts.get(host) else { return };
        let least = at.apps.iter().copied().min_by_key(|app| importance(dense, *app));
        let Some(least) = least else { return };
        dense.take(least, host, Why::Full);
    }
}

/// The less important, the less; of equally important ones the larger, so that few have to go.
fn importance(dense: &Dense<'_>, app: AppIndex) -> (i32, std::cmp::Reverse<(i64, i64)>, AppIndex) {
    let at = dense.apps.get(app);
    let (priority, need) =
        at.map_or((0, (0, 0)), |at| (at.app.priority, (at.need.cpu, at.need.memory)));
    (priority, std::cmp::Reverse(need), app)
}
