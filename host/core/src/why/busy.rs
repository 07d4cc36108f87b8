//! Who had the cores for which calls waited.
//! Measures nothing: a host says every few seconds which of its apps used most of its cores.

use super::{AppPast, PastBusy, PastCall};
use crate::spent::Phase;

/// What was used so many milliseconds before or after a call has to do with it: a host looks every ten seconds.
const NEAR: u64 = 15_000;
/// Who used less than this part of the cores kept nobody waiting: percent.
const LEAST: u32 = 25;

/// Whether it is to be asked who had the cores: calls waited for one more than for anything else.
pub(super) fn is_asked(phase: Phase) -> bool {
    phase == Phase::Core
}

/// Which other app used most of the cores while these calls waited for one, in a sentence.
pub(super) fn neighbour<'c>(
    past: &AppPast,
    phase: Phase,
    these: impl Iterator<Item = &'c PastCall> + Clone,
) -> Option<String> {
    if !is_asked(phase) {
        return None;
    }
    let is_near = |busy: &&PastBusy| {
        these.clone().any(|call| {
            let took = u64::try_from(call.took.as_millis()).unwrap_or(u64::MAX);
            let (from, until) = (call.at.saturating_sub(NEAR), call.at.saturating_add(took));
            busy.host == call.host && (from..=until.saturating_add(NEAR)).contains(&busy.at)
        })
    };
    let others = past.busiest.iter().filter(|busy| busy.app != past.app && busy.percent >= LEAST);
    let most = others.filter(is_near).max_by_key(|busy| (busy.percent, busy.at))?;
    let on = most.host.as_ref().map(|host| format!(" of {host}")).unwrap_or_default();
    Some(format!("meanwhile {} used {}% of the cores{on}", most.app, most.percent))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{call, past};
    use super::*;

    fn busy(app: &str, at: u64, percent: u32) -> PastBusy {
        PastBusy { host: None, at, app: app.parse().unwrap(), percent }
    }

    #[test]
    fn the_app_that_used_most_meanwhile_is_named() {
        let calls = vec![call(2, 1_000_000, "answered", 200)];
        let mut past = past(calls);
        let told = |past: &AppPast, phase| neighbour(past, phase, past.calls.iter());
        assert_eq!(told(&past, Phase::Core), None, "nobody is known");
        past.busiest = vec![
            busy("web", 1_001_000, 60),
            busy("hog", 1_002_000, 38),
            busy("hog", 1_500_000, 99),
            busy("small", 1_001_000, 10),
        ];
        assert_eq!(told(&past, Phase::Core).unwrap(), "meanwhile hog used 38% of the cores");
        assert_eq!(told(&past, Phase::Queue), None);
        // What another host's cores did is not to blame.
        past.calls[0].host = Some("h1".to_owned());
        assert_eq!(told(&past, Phase::Core), None);
        past.busiest[1].host = Some("h1".to_owned());
        assert_eq!(told(&past, Phase::Core).unwrap(), "meanwhile hog used 38% of the cores of h1");
    }
}
