//! What the host knows, in the API's words. Only translates: asks nobody and decides nothing.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use steerage_core::destinations::{DestinationCounts, RequestEnd};
use steerage_core::id::{AppName, Generation};
use steerage_core::limits::LimitsPolicy;
use steerage_core::manifest::{Instance, Manifest};
use steerage_core::units::show_duration;

use super::{secrets, wire};
use crate::call::LongestWait;
use crate::catalog::App;
use crate::desired::Desired;
use crate::fleet::View;
use crate::ledger::record::DeploymentRecord;
use crate::manifest::Mistakes;
use crate::telemetry::busiest::BusyApp;
use crate::telemetry::calls::CallSummary;
use crate::telemetry::events::{Event, Severity};
use crate::telemetry::logs::{LogLine, Stream};
use crate::{manifest, telemetry};

/// A deployment that was just put in place on a host that serves its apps at `url`.
pub(super) fn deployed(url: &str, app: &App) -> wire::Deployed {
    wire::Deployed {
        app: app.name.to_string(),
        generation: app.generation.get(),
        canary: None,
        component: app.digest.to_string(),
        kind: app.kind.to_string(),
        size_bytes: app.size,
        deployed_at: app.deployed_at,
        routes: app.route_texts().map(str::to_owned).collect(),
        url: url.to_owned(),
        replicas: None,
        watch: None,
        not_offered: Vec::new(),
    }
}

/// That nothing is planned.
pub(super) fn frozen(view: &View) -> Option<wire::Frozen> {
    let frozen = Desired::frozen(view)?;
    let since = UNIX_EPOCH + Duration::from_millis(frozen.since);
    let seconds = since.elapsed().unwrap_or_default().as_secs();
    Some(wire::Frozen { seconds, why: frozen.why.clone() })
}

/// One app in a line.
pub(super) fn summary(app: &App) -> wire::AppSummary {
    // An app that was never called has no numbers yet.
    let state = app.state();
    let (running, waiting) = state.map(|state| state.gate.load()).unwrap_or_default();
    let (calls, failed) = state.map(|state| state.meter.calls()).unwrap_or_default();
    let (fuel, cpu, memory_peak_bytes) =
        state.map(|state| state.meter.totals()).unwrap_or_default();
    let errors = state.map(|state| state.meter.errors()).unwrap_or_default();
    let refused = state.map(|state| state.meter.refused().map(|(_, count)| count).sum());
    let latency = state.map(|state| state.meter.latency().to_vec());
    wire::AppSummary {
        app: app.name.to_string(),
        generation: app.generation.get(),
        version: app.version.to_string(),
        kind: app.kind.to_string(),
        component: app.digest.to_string(),
        size_bytes: app.size,
        deployed_at: app.deployed_at,
        routes: app.route_texts().map(str::to_owned).collect(),
        calls,
        failed,
        errors,
        refused: refused.unwrap_or_default(),
        latency: wire::Latency::of(latency.unwrap_or_default()),
        running,
        waiting,
        fuel,
        cpu_seconds: cpu.as_secs_f64(),
        memory_peak_bytes,
        rollout: None,
    }
}

/// One app with all its sides, of which `current` and `history` are the deployments.
pub(super) fn detail(
    app: &App,
    current: &DeploymentRecord,
    history: &[DeploymentRecord],
    policy: &LimitsPolicy,
) -> Result<wire::AppDetail, Mistakes> {
    let manifest = manifest::reread(&current.manifest, policy)?;
    let env = manifest.env_names().map(str::to_owned).collect();
    let deployments = history.iter().rev().map(|record| deployment(app, record));
    Ok(wire::AppDetail {
        summary: summary(app),
        tenant: manifest.tenant.to_string(),
        description: manifest.description,
        limits: limits(&manifest.limits),
        reuse: manifest.instance.reuse.get(),
        success_objective: manifest.objective.success.to_string(),
        latency_objective: manifest.objective.latency.map(|latency| latency.to_string()),
        instances: instances(app, &manifest.instance),
        not_offered: Vec::new(),
        weight: manifest.weight.get(),
        env,
        allowed_outbound_hosts: texts(&manifest.allowed_outbound_hosts),
        key_value_stores: texts(&manifest.key_value_stores),
        sqlite_databases: texts(&manifest.sqlite_databases),
        manifest: secrets::blank_env(&current.manifest),
        deployments: deployments.collect(),
        canary: None,
        taken_back: None,
        watch: None,
        replicas: None,
        sources: None,
    })
}

/// How its calls get their instances, and why not as was asked for.
fn instances(app: &App, asked: &Instance) -> wire::Instances {
    // What is not mapped has not been tried yet, or not for a while.
    let deployed = app.deployed();
    let unfit = deployed.as_ref().and_then(|deployed| deployed.prepared.unfit());
    let made = match (asked.is_restored(), &unfit) {
        (true, None) => wire::Made::Restored,
        (false, _) if asked.reuse.get() > 1 => wire::Made::Reused,
        _ => wire::Made::New,
    };
    wire::Instances { made, in_the_way: unfit.map(|unfit| unfit.to_string()) }
}

fn deployment(current: &App, record: &DeploymentRecord) -> wire::Deployment {
    wire::Deployment {
        generation: record.generation.get(),
        version: version(&record.manifest),
        component: record.digest.to_string(),
        kind: record.kind.clone(),
        size_bytes: record.size,
        deployed_at: record.deployed_at,
        current: record.generation == current.generation,
    }
}

/// The developer's own version, where the manifest can still be read.
fn version(manifest: &str) -> Option<String> {
    let policy = LimitsPolicy::default();
    manifest::read(manifest, &policy).ok().map(|manifest| manifest.version)
}

/// Where an app answers.
pub(super) fn routes(manifest: &Manifest) -> Vec<String> {
    texts(&manifest.routes)
}

/// What an app may use.
pub(super) fn limits(limits: &steerage_core::limits::Limits) -> wire::Limits {
    wire::Limits {
        memory: limits.memory.to_string(),
        memory_bytes: limits.memory.get(),
        fuel: limits.fuel.get(),
        timeout: show_duration(limits.timeout),
        timeout_ms: u64::try_from(limits.timeout.as_millis()).unwrap_or(u64::MAX),
        concurrency: limits.concurrency.get(),
        queue: limits.queue,
        request_body: limits.request_body.to_string(),
        request_body_bytes: limits.request_body.get(),
        response_body: limits.response_body.to_string(),
        response_body_bytes: limits.response_body.get(),
    }
}

/// One call of `app` that is over.
pub(super) fn call(app: &AppName, call: CallSummary) -> wire::Call {
    let time =
        call.spent.each().map(|(phase, spent)| (phase.code().to_owned(), microseconds(spent)));
    let failed = call.is_failed();
    wire::Call {
        id: call.id.to_string(),
        app: app.to_string(),
        at: call.at,
        generation: call.generation.get(),
        method: call.method.to_string(),
        path: call.path.as_ref().to_owned(),
        status: call.status,
        cause: call.cause.to_owned(),
        failed,
        duration_us: microseconds(call.duration),
        time_us: time.collect(),
        waited_for: call.waited_for.map(|wait| waited_for(&wait)),
        failed_by: call.failed_by.map(|wait| waited_for(&wait)),
        fuel: call.usage.fuel.get(),
        memory_bytes: call.usage.memory.get(),
        cpu_us: microseconds(call.usage.cpu),
        instantiate_us: microseconds(call.usage.instantiate),
        request_bytes: call.request_bytes,
        response_bytes: call.response_bytes,
        client: Some(call.client.to_canonical().to_string()),
        capsule: call.capsule.map(|fate| fate.code().to_owned()),
        host: None,
    }
}

fn waited_for(wait: &LongestWait) -> wire::WaitedFor {
    wire::WaitedFor {
        destination: wait.destination.to_string(),
        waited_us: microseconds(wait.waited),
        wrong: wait.wrong.map(|end| end.code().to_owned()),
    }
}

/// One line that a guest of `app` printed.
pub(super) fn line(app: &AppName, line: LogLine) -> wire::LogLine {
    wire::LogLine {
        at: line.at,
        app: app.to_string(),
        generation: line.generation.get(),
        call: line.call.to_string(),
        stream: match line.stream {
            Stream::Stdout => wire::Stream::Stdout,
            Stream::Stderr => wire::Stream::Stderr,
        },
        text: line.text,
        host: None,
    }
}

/// One event. Evidence of one name, like the frames of a backtrace, becomes lines of one text.
pub(super) fn event(event: Event) -> wire::Event {
    let mut evidence = BTreeMap::<String, String>::new();
    for (name, value) in event.evidence {
        let text = evidence.entry(name).or_default();
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&value);
    }
    wire::Event {
        id: event.id,
        first_at: event.first_at,
        at: event.at,
        kind: event.kind.into_owned(),
        severity: match event.severity {
            Severity::Info => wire::Severity::Info,
            Severity::Warning => wire::Severity::Warning,
            Severity::Error => wire::Severity::Error,
        },
        app: event.app.map(|app| app.to_string()),
        generation: event.generation.map(Generation::get),
        call: event.call.map(|call| call.to_string()),
        message: event.message,
        evidence,
        advice: event.advice,
        count: event.count,
        host: None,
    }
}

/// What the metrics need of one app; nothing of one that was never called.
pub(super) fn reading(app: &App) -> Option<telemetry::metrics::AppReading> {
    let state = app.state()?;
    let (running, waiting) = state.gate.load();
    Some(telemetry::metrics::AppReading {
        app: app.name.to_string(),
        running,
        waiting,
        memory_used: state.memory.held().get(),
        meter: state.meter.clone(),
        destinations: state.calls.destinations.clone(),
    })
}

/// Who used most of the cores for some seconds.
pub(super) fn busy_app(busy: BusyApp) -> wire::BusyApp {
    wire::BusyApp { at: busy.at, app: busy.app.to_string(), percent: busy.percent, host: None }
}

/// What one app uses; `None` for one that nobody has called.
pub(super) fn usage(app: &App) -> Option<wire::AppUsage> {
    let telemetry::metrics::AppReading { app, running, waiting, memory_used, meter, .. } =
        reading(app)?;
    let (calls, failed) = meter.calls();
    if calls == 0 && running == 0 && waiting == 0 {
        return None;
    }
    let (fuel, cpu, _) = meter.totals();
    let refused = meter.refused().filter(|(_, count)| *count > 0);
    Some(wire::AppUsage {
        app,
        cpu_seconds: cpu.as_secs_f64(),
        fuel,
        memory_bytes: memory_used,
        calls,
        failed,
        errors: meter.errors(),
        refused: refused.map(|(cause, count)| (cause.to_owned(), count)).collect(),
        latency: wire::Latency::of(meter.latency().to_vec()),
        running,
        waiting,
    })
}

/// One destination that an app asked.
pub(super) fn destination(name: &str, counts: &DestinationCounts) -> wire::Destination {
    let ended = RequestEnd::ALL.into_iter().map(|end| (end, counts.ended(end)));
    let failed = ended.clone().filter(|(end, _)| end.is_failure()).map(|(_, count)| count).sum();
    let recent = counts.recent().map(|request| wire::DestinationRequest {
        at: request.at(),
        end: request.end().code().to_owned(),
        took_us: microseconds(request.took()),
    });
    let mut destination = wire::Destination {
        destination: name.to_owned(),
        requests: counts.requests(),
        running: counts.running(),
        failed,
        errors: counts.ended(RequestEnd::ServerError),
        waited_us: microseconds(counts.waited()),
        max_us: microseconds(counts.latencies().longest()),
        steps: counts.latencies().each().collect(),
        last_at: counts.last_at(),
        last_error: counts.last_error().map(|error| wire::DestinationError {
            at: error.at,
            end: error.end.code().to_owned(),
            why: error.text(),
        }),
        recent: recent.collect(),
        ended: ended
            .filter(|(_, count)| *count > 0)
            .map(|(end, count)| (end.code().to_owned(), count))
            .collect(),
        ..wire::Destination::default()
    };
    destination.measure();
    destination
}

fn texts(items: &[impl ToString]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_of_one_name_becomes_lines() {
        let frame = |text: &str| ("backtrace".to_owned(), text.to_owned());
        let told = event(Event {
            evidence: vec![frame("inner"), ("fuel".to_owned(), "7".to_owned()), frame("outer")],
            ..Event::now("trapped", "it trapped".to_owned())
        });
        assert_eq!(told.evidence["backtrace"], "inner\nouter");
        assert_eq!(told.evidence["fuel"], "7");
    }
}
