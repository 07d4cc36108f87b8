//! Emptying hosts whose replicas others can take, the least used first, so that machines can be given
//! back. Only as a whole: a host that cannot be emptied keeps all it has. Where a budget lets only some
//! go, the rest goes by later plans, which find the same host the least used.

use super::dense::{AppIndex, Dense, HostIndex};
use super::spend::Spend;
use super::view::Standing;
use super::why::Why;

/// Empties as many hosts as can be, one after the other, until none can; whether any was.
pub(super) fn consolidate(dense: &mut Dense, spend: &mut Spend<'_>) -> bool {
    let mut has_emptied = false;
    loop {
        let mut hosts: Vec<(u64, HostIndex)> = (0..dense.hosts.len())
            .filter(|host| {
                dense
                    .hosts
                    .get(*host)
                    .is_some_and(|at| at.standing == Some(Standing::Open) && !at.apps.is_empty())
            })
            .map(|host| (dense.used(host), host))
            .collect();
        hosts.sort_unstable();
        let mut n_emptied = 0;
        for (_, host) in hosts {
            if spend.left() == 0 {
                spend.is_cut = true;
                return has_emptied;
            }
            if !spend.may_empty(dense, host) {
                continue;
            }
            let is_emptied = empty(dense, host, spend);
            has_emptied |= is_emptied;
            n_emptied += usize::from(is_emptied);
        }
        if n_emptied == 0 {
            return has_emptied;
        }
        has_emptied = true;
    }
}

/// Sends everything on a host to others that have something to do already, or as much as may move by now;
/// nothing where one replica finds no room. Whether anything was sent.
fn empty(dense: &mut Dense, host: HostIndex, spend: &mut Spend<'_>) -> bool {
    let Some(at) = dense.hosts.get(host) else { return false };
    let mut apps: Vec<(std::cmp::Reverse<u64>, AppIndex)> = at
        .apps
        .iter()
        .filter_map(|app| Some((std::cmp::Reverse(dense.size(dense.apps.get(*app)?.need)), *app)))
        .collect();
    apps.sort_unstable();
    let before = dense.draft.len();
    for (_, app) in &apps {
        let app = *app;
        // It is still here while it looks, so its own zone counts as taken by it.
        let zone = dense.apps.get(app).map_or(0, |at| dense.n_in_zone(&at.on, host));
        let is_used = |to: HostIndex| {
            to != host
                && !spend.is_held(to)
                && dense.hosts.get(to).is_some_and(|at| !at.apps.is_empty())
                && dense.apps.get(app).is_some_and(|at| {
                    let same = dense.same_zone(to, host);
                    dense.n_in_zone(&at.on, to) < zone + u32::from(same)
                })
        };
        let Some(to) = dense.best(app, is_used) else {
            dense.go_back(before);
            return false;
        };
        dense.take(app, host, Why::Consolidated);
        dense.put(app, to, Why::Consolidated);
    }
    if apps.len() > spend.left() {
        // Each was taken off and put: so many changes are of those that may move.
        dense.go_back(before + 2 * spend.left());
        spend.is_cut = true;
    }
    for (_, app) in apps.iter().take(spend.left()) {
        spend.spend(*app);
    }
    true
}
