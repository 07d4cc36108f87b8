//! What the host knows, in the API's words. Only translates: asks nobody and decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use steerage_core::id::{AppName, Generation};
use steerage_core::manifest::Manifest;
use steerage_core::units::show_duration;

use super::{secrets, wire};
use crate::catalog::Deployed;
use crate::store::record::DeploymentRecord;
use crate::telemetry::calls::CallSummary;
use crate::telemetry::events::{Event, Severity};
use crate::telemetry::logs::{LogLine, Stream};
use crate::{manifest, telemetry};

/// A deployment that was just put in place on a host that serves its apps at `url`.
pub(super) fn deployed(url: &str, deployed: &Deployed) -> wire::Deployed {
    wire::Deployed {
        app: deployed.app.to_string(),
        generation: deployed.generation.get(),
        component: deployed.digest.to_string(),
        kind: deployed.prepared.kind().to_string(),
        size_bytes: deployed.size,
        deployed_at: deployed.deployed_at,
        routes: routes(&deployed.manifest),
        url: url.to_owned(),
    }
}

/// One app in a line.
pub(super) fn summary(deployed: &Deployed) -> wire::AppSummary {
    let (running, waiting) = deployed.state.gate.load();
    let (calls, failed) = deployed.state.meter.calls();
    let (fuel, cpu, memory_peak_bytes) = deployed.state.meter.totals();
    wire::AppSummary {
        app: deployed.app.to_string(),
        generation: deployed.generation.get(),
        version: deployed.manifest.version.clone(),
        kind: deployed.prepared.kind().to_string(),
        component: deployed.digest.to_string(),
        size_bytes: deployed.size,
        deployed_at: deployed.deployed_at,
        routes: routes(&deployed.manifest),
        calls,
        failed,
        running,
        waiting,
        fuel,
        cpu_seconds: cpu.as_secs_f64(),
        memory_peak_bytes,
    }
}

/// One app with all its sides.
pub(super) fn detail(deployed: &Deployed, history: &[DeploymentRecord]) -> wire::AppDetail {
    let manifest = &deployed.manifest;
    let deployments = history.iter().rev().map(|record| deployment(deployed, record));
    wire::AppDetail {
        summary: summary(deployed),
        description: manifest.description.clone(),
        limits: limits(&manifest.limits),
        reuse: manifest.instance.reuse.get(),
        weight: manifest.weight.get(),
        env: manifest.env.keys().cloned().collect(),
        allowed_outbound_hosts: texts(&manifest.allowed_outbound_hosts),
        manifest: secrets::blank_env(&deployed.manifest_text),
        deployments: deployments.collect(),
    }
}

fn deployment(current: &Deployed, record: &DeploymentRecord) -> wire::Deployment {
    wire::Deployment {
        generation: record.generation.get(),
        version: manifest::read(&record.manifest).ok().map(|manifest| manifest.version),
        component: record.digest.to_string(),
        kind: record.kind.clone(),
        size_bytes: record.size,
        deployed_at: record.deployed_at,
        current: record.generation == current.generation,
    }
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

/// One call that is over.
pub(super) fn call(call: CallSummary) -> wire::Call {
    wire::Call {
        id: call.id.to_string(),
        at: call.at,
        generation: call.generation.get(),
        method: call.method.to_string(),
        path: call.path.into(),
        status: call.status,
        cause: call.cause.to_owned(),
        duration_us: microseconds(call.duration),
        fuel: call.usage.fuel.get(),
        memory_bytes: call.usage.memory.get(),
        cpu_us: microseconds(call.usage.cpu),
        instantiate_us: microseconds(call.usage.instantiate),
        response_bytes: call.response_bytes,
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
        at: event.at,
        kind: event.kind.to_owned(),
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
    }
}

/// What the metrics need of one app.
pub(super) fn reading(deployed: &Arc<Deployed>) -> telemetry::metrics::AppReading {
    let (running, waiting) = deployed.state.gate.load();
    telemetry::metrics::AppReading {
        app: deployed.app.to_string(),
        running,
        waiting,
        memory_used: deployed.state.memory.held().get(),
        memory_limit: deployed.manifest.limits.memory.get(),
        meter: deployed.state.meter.clone(),
    }
}

fn texts(items: &[impl ToString]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn microseconds(duration: std::time::Duration) -> u64 {
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
