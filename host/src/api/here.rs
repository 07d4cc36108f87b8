//! What this host itself knows of its apps, in the API's words.
//! Does not know of other hosts, and answers nobody: `observe` does that for operators, `for_hosts` for
//! other hosts.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use serde::Deserialize;
use steerage_core::destinations::DestinationTable;
use steerage_core::id::{AppName, CallIdPrefix};
use steerage_core::why::is_lately;

use super::problem::{Cause, Refusal};
use super::{ApiState, follow, view, watch, wire};
use crate::agent::now;
use crate::catalog::App;
use crate::fleet::View;
use crate::kernel;

/// How many of each are told unless somebody says otherwise.
const DEFAULT_CALLS: usize = 20;
const DEFAULT_LINES: usize = 100;
const DEFAULT_EVENTS: usize = 50;

/// Whose numbers, of what tells nothing else.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostQuery {
    pub(super) host: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallsQuery {
    limit: Option<usize>,
    #[serde(default)]
    pub(super) failed: bool,
    pub(super) host: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogsQuery {
    lines: Option<usize>,
    #[serde(default)]
    pub(super) follow: bool,
    pub(super) host: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    app: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    pub(super) follow: bool,
    pub(super) host: Option<String>,
}

impl CallsQuery {
    /// How many calls at most.
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_CALLS)
    }
}

impl LogsQuery {
    /// How many lines at most.
    pub(super) fn limit(&self) -> usize {
        self.lines.unwrap_or(DEFAULT_LINES)
    }
}

impl EventsQuery {
    /// How many events at most.
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_EVENTS)
    }

    /// The app, where only what happened to one is asked for.
    pub(super) fn app(&self) -> Result<Option<AppName>, Refusal> {
        let app = self.app.as_ref().map(|app| app.parse::<AppName>()).transpose();
        app.map_err(|error| Refusal::new(Cause::BadRequest, format!("app: {error}")))
    }
}

impl ApiState {
    /// One app that this host knows.
    pub(super) fn app(&self, app: &AppName) -> Result<Arc<App>, Refusal> {
        self.context.catalog.app(app).ok_or_else(|| Refusal::no_app(app))
    }

    /// All apps, with what the view says of their canaries and watches.
    pub(super) fn apps(&self, view: &View) -> wire::Apps {
        let (snapshot, now) = (self.context.catalog.snapshot(), now());
        let rollout = |app: &AppName| watch::in_short(view.app(app)?, now);
        let summary =
            |app: &App| wire::AppSummary { rollout: rollout(&app.name), ..view::summary(app) };
        let apps = snapshot.apps.values().map(|app| summary(app)).collect();
        wire::Apps { apps, sources: None }
    }

    /// Those that were called here: of all others this host has no numbers.
    pub(super) fn called_apps(&self) -> wire::Apps {
        let snapshot = self.context.catalog.snapshot();
        let called = snapshot.apps.values().filter(|app| app.state().is_some());
        wire::Apps { apps: called.map(|app| view::summary(app)).collect(), sources: None }
    }

    /// An app's last calls.
    pub(super) fn calls(&self, app: &AppName, limit: usize) -> Result<wire::Calls, Refusal> {
        let app = self.app(app)?;
        let calls = app.state().map(|state| state.calls.tail(limit)).unwrap_or_default();
        let calls = calls.into_iter().map(|call| view::call(&app.name, call)).collect();
        Ok(wire::Calls { calls, sources: None })
    }

    /// An app's last calls that failed, which are kept for longer.
    pub(super) fn failed_calls(&self, app: &AppName, limit: usize) -> Result<wire::Calls, Refusal> {
        let app = self.app(app)?;
        let calls = app.state().map(|state| state.calls.failed(limit)).unwrap_or_default();
        let calls = calls.into_iter().map(|call| view::call(&app.name, call)).collect();
        Ok(wire::Calls { calls, sources: None })
    }

    /// What is asked for of an app's last calls.
    pub(super) fn calls_of(
        &self,
        app: &AppName,
        query: &CallsQuery,
    ) -> Result<wire::Calls, Refusal> {
        let limit = query.limit();
        if query.failed { self.failed_calls(app, limit) } else { self.calls(app, limit) }
    }

    /// Whom an app asked, and what came of it.
    pub(super) fn destinations(&self, app: &AppName) -> Result<wire::Destinations, Refusal> {
        let app = self.app(app)?;
        let table = app.state().and_then(|state| state.calls.destinations.read());
        let destinations = table
            .iter()
            .flat_map(DestinationTable::each)
            .map(|(name, of)| view::destination(name, of));
        Ok(wire::Destinations { destinations: destinations.collect(), sources: None })
    }

    /// The calls of all apps whose ids begin so.
    pub(super) fn calls_of_id(&self, id: CallIdPrefix) -> wire::Calls {
        let snapshot = self.context.catalog.snapshot();
        let called = snapshot.apps.values().filter_map(|app| Some((&app.name, app.state()?)));
        let calls = called.flat_map(|(name, state)| {
            let found = state.calls.find(id);
            found.into_iter().map(|call| view::call(name, call)).collect::<Vec<_>>()
        });
        wire::Calls { calls: calls.collect(), sources: None }
    }

    /// What an app printed last.
    pub(super) fn lines(&self, app: &AppName, limit: usize) -> Result<wire::LogLines, Refusal> {
        let served = self.app(app)?;
        let lines = served.state().map(|state| state.log.tail(limit)).unwrap_or_default();
        let lines = lines.into_iter().map(|line| view::line(app, line)).collect();
        Ok(wire::LogLines { lines, sources: None })
    }

    /// The same, and then what it prints.
    pub(super) fn follow_lines(
        &self,
        app: &AppName,
        limit: usize,
    ) -> Result<impl Stream<Item = Bytes> + Send + use<>, Refusal> {
        let served = self.app(app)?;
        // Only a follower of an app that was never called makes it a log before its time.
        let log = match served.state() {
            Some(state) => state.log.clone(),
            None => self.telemetry.logs.app(app),
        };
        let (tail, coming) = log.follow(limit);
        Ok(follow::lines(app.clone(), tail, coming, self.context.shutdown.clone()))
    }

    /// What happened last.
    pub(super) fn events(&self, app: Option<&AppName>, limit: usize) -> wire::Events {
        let events = self.context.events.recent(app, limit).into_iter();
        wire::Events { events: events.map(view::event).collect(), sources: None }
    }

    /// The same, and then what happens.
    pub(super) fn follow_events(
        &self,
        app: Option<AppName>,
        limit: usize,
    ) -> impl Stream<Item = Bytes> + Send + use<> {
        let events = &self.context.events;
        let coming = events.follow();
        let recent = events.recent(app.as_ref(), limit);
        follow::events(app, recent, coming, self.context.shutdown.clone())
    }

    /// What happened to this host a moment ago, and which apps had its cores.
    pub(super) fn lately(&self) -> wire::Lately {
        let now = now();
        let events = self.context.events.recent(None, usize::MAX).into_iter();
        let events = events.filter(|event| is_lately(now, &event.kind, event.at));
        wire::Lately {
            events: events.map(view::event).collect(),
            busiest: self.telemetry.busiest.recent().into_iter().map(view::busy_app).collect(),
        }
    }

    /// What the host and its apps use.
    pub(super) fn usage(&self) -> wire::Usage {
        let (snapshot, reading) = (self.context.catalog.snapshot(), self.reading());
        let (memory_budget, reserved, _) = self.memory.standing();
        wire::Usage {
            uptime_ms: u64::try_from(reading.uptime.as_millis()).unwrap_or(u64::MAX),
            host: wire::HostUsage {
                cores: std::thread::available_parallelism().map_or(1, usize::from),
                cpu_seconds: kernel::process_cpu_time().as_secs_f64(),
                resident_bytes: kernel::resident_memory().get(),
                memory_bytes: reserved.get(),
                memory_budget_bytes: memory_budget.get(),
                disk_bytes: reading.disk_used,
                disk_bound_bytes: reading.disk_bound,
                slots_used: reading.slots_used,
                slots_total: reading.slots_total,
                apps: snapshot.apps.len(),
                apps_mapped: reading.apps_mapped,
                apps_mapped_most: self.most_mapped,
                connections: reading.connections,
                waiting: self.context.admission.n_waiting(),
                unrouted: reading.unrouted,
            },
            apps: snapshot.apps.values().filter_map(|app| view::usage(app)).collect(),
            ..wire::Usage::default()
        }
    }
}
