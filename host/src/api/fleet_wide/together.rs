//! How what several hosts say becomes one answer: lists in the order of time, counters as sums.
//! Asks nobody.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use steerage_core::destinations::OTHERS;
use steerage_core::id::HostName;
use steerage_core::why;

use crate::api::needs::ToldNeeds;
use crate::api::wire::{
    AppHistory, AppSummary, AppUsage, Apps, Calls, Consumption, Destination, Destinations, Events,
    FoundCapsules, HistoryAt, HistorySlot, Lately, Latency, LogLines, Problems, Sources, Usage,
};
use crate::api::{history, slots};

/// Something that each host tells, and that can be put together.
pub(in crate::api) trait Together: Serialize + DeserializeOwned + Send {
    /// Says which host this comes from.
    fn come_from(&mut self, host: &HostName);

    /// Forgets what this host counted, where only others are asked for.
    fn forget_numbers(&mut self);

    /// Adds what another host says.
    fn add(&mut self, other: Self);

    /// Puts all in order, and leaves the last `limit` of it.
    fn finish(&mut self, limit: usize, sources: Sources);
}

/// For lists of nothing but items that have a host and a time; `complete` adds what hosts of earlier versions do
/// not tell.
macro_rules! list {
    ($list:ident, $items:ident, $complete:expr) => {
        impl Together for $list {
            fn come_from(&mut self, host: &HostName) {
                self.$items.iter_mut().for_each(|item| item.host = Some(host.to_string()));
                self.$items.iter_mut().for_each($complete);
            }

            fn forget_numbers(&mut self) {
                self.$items.clear();
            }

            fn add(&mut self, other: Self) {
                self.$items.extend(other.$items);
            }

            fn finish(&mut self, limit: usize, sources: Sources) {
                self.$items.sort_by_key(|item| item.at);
                self.$items.drain(..self.$items.len().saturating_sub(limit));
                self.sources = Some(sources);
            }
        }
    };
}

list!(Calls, calls, |call| call.failed |= why::is_failed(&call.cause, call.status));
list!(LogLines, lines, |_| {});
list!(Events, events, |_| {});

impl Together for Lately {
    fn come_from(&mut self, host: &HostName) {
        let host = Some(host.to_string());
        self.events.iter_mut().for_each(|event| event.host.clone_from(&host));
        self.busiest.iter_mut().for_each(|busy| busy.host.clone_from(&host));
    }

    fn forget_numbers(&mut self) {
        *self = Self::default();
    }

    fn add(&mut self, other: Self) {
        self.events.extend(other.events);
        self.busiest.extend(other.busiest);
    }

    fn finish(&mut self, _: usize, _: Sources) {
        self.events.sort_by_key(|event| event.at);
        self.busiest.sort_by_key(|busy| busy.at);
    }
}

impl Together for Apps {
    fn come_from(&mut self, _: &HostName) {}

    fn forget_numbers(&mut self) {
        for app in &mut self.apps {
            (app.calls, app.failed, app.errors, app.refused) = (0, 0, 0, 0);
            (app.running, app.waiting, app.fuel, app.memory_peak_bytes) = (0, 0, 0, 0);
            app.cpu_seconds = 0.0;
            app.latency = Latency::default();
        }
    }

    /// Which apps there are is known to all hosts; what was counted is known to each.
    fn add(&mut self, other: Self) {
        let mut numbers: BTreeMap<String, AppSummary> =
            other.apps.into_iter().map(|app| (app.app.clone(), app)).collect();
        for app in &mut self.apps {
            let Some(more) = numbers.remove(&app.app) else { continue };
            app.calls += more.calls;
            app.failed += more.failed;
            app.errors += more.errors;
            app.refused += more.refused;
            app.latency.add(&more.latency);
            app.running += more.running;
            app.waiting += more.waiting;
            app.fuel = app.fuel.saturating_add(more.fuel);
            app.cpu_seconds += more.cpu_seconds;
            app.memory_peak_bytes = app.memory_peak_bytes.max(more.memory_peak_bytes);
        }
    }

    fn finish(&mut self, _: usize, sources: Sources) {
        self.sources = Some(sources);
    }
}

/// A call is of one host, and so is what it left.
impl Together for FoundCapsules {
    fn come_from(&mut self, _: &HostName) {}

    fn forget_numbers(&mut self) {
        self.capsules.clear();
    }

    fn add(&mut self, other: Self) {
        self.capsules.extend(other.capsules);
    }

    fn finish(&mut self, _: usize, sources: Sources) {
        self.sources = Some(sources);
    }
}

/// Which of them are one is for `core::problem` to say.
impl Together for Problems {
    fn come_from(&mut self, host: &HostName) {
        self.problems.iter_mut().for_each(|problem| problem.hosts = vec![host.to_string()]);
    }

    fn forget_numbers(&mut self) {
        self.problems.clear();
    }

    fn add(&mut self, other: Self) {
        self.problems.extend(other.problems);
    }

    fn finish(&mut self, _: usize, sources: Sources) {
        self.sources = Some(sources);
    }
}

impl Together for Usage {
    fn come_from(&mut self, host: &HostName) {
        let own = std::mem::take(self);
        self.uptime_ms = own.uptime_ms;
        self.each.insert(host.to_string(), own);
    }

    fn forget_numbers(&mut self) {
        *self = Self::default();
    }

    fn add(&mut self, other: Self) {
        self.uptime_ms = self.uptime_ms.max(other.uptime_ms);
        self.each.extend(other.each);
    }

    fn finish(&mut self, _: usize, sources: Sources) {
        let mut apps = BTreeMap::<&str, AppUsage>::new();
        for usage in self.each.values() {
            self.host.add(&usage.host);
            for app in &usage.apps {
                apps.entry(&app.app).or_default().add(app);
            }
        }
        self.apps = apps.into_values().collect();
        self.sources = Some(sources);
    }
}

impl Together for Destinations {
    fn come_from(&mut self, _: &HostName) {}

    fn forget_numbers(&mut self) {
        self.destinations.clear();
    }

    fn add(&mut self, other: Self) {
        self.destinations.extend(other.destinations);
    }

    fn finish(&mut self, limit: usize, sources: Sources) {
        let mut each = BTreeMap::<String, Destination>::new();
        for one in self.destinations.drain(..) {
            match each.get_mut(&one.destination) {
                Some(sum) => sum.add(one),
                None => drop(each.insert(one.destination.clone(), one)),
            }
        }
        self.destinations = each.into_values().collect();
        self.destinations
            .sort_by_key(|one| (one.destination == OTHERS, std::cmp::Reverse(one.requests)));
        self.destinations.truncate(limit);
        self.sources = Some(sources);
    }
}

impl Together for ToldNeeds {
    fn come_from(&mut self, _: &HostName) {}

    fn forget_numbers(&mut self) {
        *self = Self::default();
    }

    fn add(&mut self, other: Self) {
        self.add_beside(other);
    }

    fn finish(&mut self, _: usize, sources: Sources) {
        self.sources = Some(sources);
    }
}

impl Together for Consumption {
    fn come_from(&mut self, _: &HostName) {}

    fn forget_numbers(&mut self) {
        self.hosts.clear();
    }

    fn add(&mut self, other: Self) {
        self.hosts.extend(other.hosts);
    }

    fn finish(&mut self, _: usize, sources: Sources) {
        self.hosts.sort_by(|one, other| one.host.cmp(&other.host));
        self.sources = Some(sources);
    }
}

impl Together for AppHistory {
    fn come_from(&mut self, _: &HostName) {}

    fn forget_numbers(&mut self) {
        self.slots.clear();
    }

    fn add(&mut self, other: Self) {
        add_slots(&mut self.slots, other.slots, |slot| slot.at);
    }

    fn finish(&mut self, _: usize, sources: Sources) {
        self.sources = Some(sources);
    }
}

impl Together for HistoryAt {
    fn come_from(&mut self, _: &HostName) {}

    fn forget_numbers(&mut self) {
        self.apps.clear();
        self.apps_active = 0;
    }

    fn add(&mut self, other: Self) {
        // Minutes and hours are no sum, where clocks differ at the end of the day for which minutes are kept.
        if other.step == self.step {
            add_slots(&mut self.apps, other.apps, |slot| slot.app.clone());
            self.apps_active = self.apps_active.max(other.apps_active).max(self.apps.len());
        }
    }

    fn finish(&mut self, limit: usize, sources: Sources) {
        history::sort(&mut self.apps);
        self.apps.truncate(limit);
        self.sources = Some(sources);
    }
}

/// Adds slots to those of the same key, in whose order all are then.
fn add_slots<K: Ord>(
    all: &mut Vec<HistorySlot>,
    others: Vec<HistorySlot>,
    key: impl Fn(&HistorySlot) -> K,
) {
    let mut sums: BTreeMap<K, HistorySlot> =
        std::mem::take(all).into_iter().map(|slot| (key(&slot), slot)).collect();
    for slot in others {
        let sum = match sums.get(&key(&slot)) {
            Some(one) => slots::together(one, &slot),
            None => slot,
        };
        sums.insert(key(&sum), sum);
    }
    *all = sums.into_values().collect();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::wire::{HostUsage, Step};

    fn host(name: &str) -> HostName {
        name.parse().unwrap()
    }

    fn events(of: &[(&str, &str)]) -> Events {
        let event = |(at, message): &(&str, &str)| {
            json!({
                "id": 1, "at": format!("2026-11-26T10:00:0{at}.000Z"), "kind": "k", "severity": "info",
                "app": null, "generation": null, "call": null, "message": message, "evidence": {},
                "advice": null, "count": 1
            })
        };
        let events: Vec<_> = of.iter().map(event).collect();
        serde_json::from_value(json!({ "events": events })).unwrap()
    }

    #[test]
    fn lists_are_in_the_order_of_time_and_say_whose_each_item_is() {
        let mut all = events(&[("1", "a"), ("5", "b")]);
        all.come_from(&host("h1"));
        let mut others = events(&[("0", "c"), ("3", "d")]);
        others.come_from(&host("h2"));
        all.add(others);
        all.finish(3, Sources::default());
        let told = all.events.iter().map(|event| (&*event.message, event.host.as_deref().unwrap()));
        assert_eq!(told.collect::<Vec<_>>(), [("a", "h1"), ("d", "h2"), ("b", "h1")]);
    }

    #[test]
    fn a_call_that_a_host_of_an_earlier_version_tells_failed_if_its_end_says_so() {
        let ends =
            [("answered", 200), ("app_busy", 429), ("upgrade_unsupported", 501), ("trapped", 200)];
        let call = |(cause, status): (&str, u16)| {
            json!({
                "id": "1", "at": "2026-11-26T10:00:00.000Z", "generation": 1, "method": "GET", "path": "/",
                "status": status, "cause": cause, "duration_us": 1, "fuel": 1, "memory_bytes": 1,
                "cpu_us": 1, "instantiate_us": 1, "response_bytes": 1
            })
        };
        let mut told: Calls = serde_json::from_value(json!({ "calls": ends.map(call) })).unwrap();
        told.come_from(&host("h1"));
        let failed: Vec<bool> = told.calls.iter().map(|call| call.failed).collect();
        assert_eq!(failed, [false, true, false, true]);
    }

    #[test]
    fn usage_is_the_sum_and_that_of_each() {
        let usage = |cpu: f64, calls: u64| Usage {
            uptime_ms: calls,
            host: HostUsage { cores: 2, cpu_seconds: cpu, apps: 7, ..HostUsage::default() },
            apps: vec![AppUsage {
                app: "web".to_owned(),
                calls,
                refused: [("app_busy".to_owned(), calls)].into(),
                ..AppUsage::default()
            }],
            ..Usage::default()
        };
        let (mut all, mut other) = (usage(1.0, 10), usage(2.0, 20));
        all.come_from(&host("h1"));
        other.come_from(&host("h2"));
        all.add(other);
        all.finish(usize::MAX, Sources::default());
        assert_eq!((all.host.cores, all.host.cpu_seconds, all.host.apps), (4, 3.0, 7));
        assert_eq!((all.apps[0].calls, all.apps[0].refused["app_busy"]), (30, 30));
        assert_eq!(all.each.keys().collect::<Vec<_>>(), ["h1", "h2"]);
        assert_eq!(all.each["h2"], usage(2.0, 20));
    }

    #[test]
    fn history_of_the_same_time_is_a_sum() {
        let slot = |at: u64, app: &str, cpu_us: u64, latency_us: u64| HistorySlot {
            at,
            app: app.to_owned(),
            cpu_us,
            causes: [("answered".to_owned(), 1)].into(),
            latency_us: vec![(latency_us, 1)],
            ..HistorySlot::default()
        };
        let history = |slots| AppHistory {
            app: "web".to_owned(),
            step: Step::Minute,
            since: 0,
            until: 180_000,
            slots,
            sources: None,
        };
        let mut all = history(vec![slot(60_000, "web", 5, 10), slot(0, "web", 1, 10)]);
        all.add(history(vec![slot(60_000, "web", 7, 1_000), slot(120_000, "web", 2, 10)]));
        all.finish(usize::MAX, Sources::default());
        let told = all.slots.iter().map(|slot| (slot.at, slot.cpu_us));
        assert_eq!(told.collect::<Vec<_>>(), [(0, 1), (60_000, 12), (120_000, 2)]);
        let sum = &all.slots[1];
        assert_eq!((sum.calls, sum.p50_us, sum.latency_us.len()), (2, Some(10), 2));
        let at = |apps: Vec<HistorySlot>| HistoryAt {
            at: 0,
            step: Step::Minute,
            apps_active: apps.len(),
            apps,
            sources: None,
        };
        let mut all = at(vec![slot(0, "a", 5, 10), slot(0, "b", 6, 10)]);
        all.add(at(vec![slot(0, "a", 5, 10), slot(0, "c", 1, 10)]));
        all.finish(2, Sources::default());
        let told = all.apps.iter().map(|slot| (&*slot.app, slot.cpu_us));
        assert_eq!(told.collect::<Vec<_>>(), [("a", 10), ("b", 6)]);
        assert_eq!(all.apps_active, 3);
    }

    #[test]
    fn apps_have_the_numbers_of_all_who_are_asked() {
        let apps = |calls: u64, peak: u64| -> Apps {
            let app = json!({
                "app": "web", "generation": 1, "version": "1", "kind": "k", "component": "c",
                "size_bytes": 1, "deployed_at": "2026-11-26T10:00:00.000Z", "routes": [],
                "calls": calls, "failed": 1, "errors": 0, "refused": 0, "running": 1, "waiting": 0,
                "fuel": 5, "cpu_seconds": 0.5, "memory_peak_bytes": peak
            });
            serde_json::from_value(json!({ "apps": [app] })).unwrap()
        };
        let mut all = apps(3, 10);
        all.add(apps(4, 8));
        assert_eq!((all.apps[0].calls, all.apps[0].memory_peak_bytes), (7, 10));
        let mut other = apps(3, 10);
        other.forget_numbers();
        other.add(apps(4, 8));
        assert_eq!((other.apps[0].calls, other.apps[0].running), (4, 1));
        assert_eq!(other.apps[0].memory_peak_bytes, 8);
    }
}
