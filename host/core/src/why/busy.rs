//! Who had the cores for which calls waited.
//! Measures nothing: a host says every few seconds which of its apps used most of its cores.

use std::time::Duration;

use super::{AppPast, PastBusy, PastCall};
use crate::spent::Phase;

/// A host looks every so many milliseconds at what apps used since the last look.
const LOOK: u64 = 10_000;
/// Who used less than this part of the cores kept nobody waiting: percent.
const LEAST: u32 = 25;

/// Whether a call waited for a core for at least half of its time.
pub(super) fn waited(call: &PastCall) -> bool {
    let spent = call.phases.iter().filter(|(phase, _)| *phase == Phase::Core);
    spent.map(|(_, took)| *took).sum::<Duration>() * 2 >= call.took
}

/// Which other app used most of the cores while these calls waited for one, in a sentence.
pub(super) fn neighbour<'c>(
    past: &AppPast,
    phase: Phase,
    these: impl Iterator<Item = &'c PastCall> + Clone,
) -> Option<String> {
    if phase != Phase::Core {
        return None;
    }
    // Calls that did not wait for a core say nothing of who had the cores.
    let waited = these.filter(|call| waited(call));
    let is_meanwhile = |busy: &PastBusy| {
        waited.clone().any(|call| {
            let took = u64::try_from(call.took.as_millis()).unwrap_or(u64::MAX);
            let until = call.at.saturating_add(took).saturating_add(LOOK);
            busy.host == call.host && (call.at..=until).contains(&busy.at)
        })
    };
    let used_itself = |of: &PastBusy| {
        let same = past.busiest.iter().filter(|busy| busy.at == of.at && busy.host == of.host);
        same.filter(|busy| busy.app == past.app).map(|busy| busy.percent).max().unwrap_or(0)
    };
    // An app that used twice as much as the other waited for itself.
    let others = past.busiest.iter().filter(|busy| busy.app != past.app && busy.percent >= LEAST);
    let others = others.filter(|busy| is_meanwhile(busy) && used_itself(busy) <= busy.percent * 2);
    let most = others.max_by_key(|busy| (busy.percent, busy.at))?;
    let itself = match used_itself(most) {
        0 => String::new(),
        percent => format!(", and {} itself {percent}%", past.app),
    };
    let on = most.host.as_ref().map(|host| format!(" of {host}")).unwrap_or_default();
    Some(format!("meanwhile {} used {}% of the cores{on}{itself}", most.app, most.percent))
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
        let waited = |at: u64| {
            let phases = vec![(Phase::Core, Duration::from_secs(2))];
            PastCall { took: Duration::from_secs(2), phases, ..call(2, at, "answered", 200) }
        };
        let mut past = past(vec![waited(1_000_000), call(2, 1_300_000, "answered", 200)]);
        let told = |past: &AppPast, phase| neighbour(past, phase, past.calls.iter());
        assert_eq!(told(&past, Phase::Core), None, "nobody is known");
        past.busiest = vec![
            busy("hog", 999_000, 95),
            busy("web", 1_005_000, 20),
            busy("hog", 1_005_000, 58),
            busy("hog", 1_012_001, 99),
            // The call that came then waited for no core.
            busy("hog", 1_301_000, 97),
        ];
        assert_eq!(
            told(&past, Phase::Core).unwrap(),
            "meanwhile hog used 58% of the cores, and web itself 20%"
        );
        assert_eq!(told(&past, Phase::Queue), None);
        past.busiest[2].percent = 30;
        past.busiest[1].percent = 61;
        assert_eq!(told(&past, Phase::Core), None, "it used more itself");
        past.busiest[2].percent = 58;
        past.busiest.remove(1);
        // What another host's cores did is not to blame.
        past.calls[0].host = Some("h1".to_owned());
        assert_eq!(told(&past, Phase::Core), None);
        past.busiest[1].host = Some("h1".to_owned());
        assert_eq!(told(&past, Phase::Core).unwrap(), "meanwhile hog used 58% of the cores of h1");
    }
}
