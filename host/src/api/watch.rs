//! What is told of the watch over a deployment that took the place of another, and of canaries in short.
//! Begins and ends none: a deploy does, and whatever changes the app after it.

use std::slice;
use std::time::Duration;

use steerage_core::canary::{Share, Side};
use steerage_core::id::{AppName, Generation};
use steerage_core::units::show_duration;

use super::{ApiState, wire};
use crate::agent::now;
use crate::fleet::record::AppRecord;

/// The watch over a deployment of an app, while it goes on.
pub(super) async fn of(
    state: &ApiState,
    app: &AppName,
    deployment: Generation,
) -> Option<wire::Watch> {
    let view = state.desired.look_at(slice::from_ref(app)).await.ok()?;
    let watch = view.app(app)?.watched(now())?;
    let (old, new) = view.canary_sides(app, watch.generation);
    let (generation, replaced, until) = (watch.generation, watch.replaced, watch.until);
    let shown = || wire::Watch { generation, replaced, until, old: side(&old), new: side(&new) };
    (generation == deployment.get()).then(shown)
}

/// What there is to say of an app's canary, or of the watch over its deployment, in a list of apps.
pub(super) fn in_short(record: &AppRecord, now: u64) -> Option<String> {
    if let Some(canary) = &record.canary {
        let share = Share::new(canary.share).map_or_else(|_| "none".into(), |it| it.to_string());
        let step = match canary.steps.len() {
            0 => String::new(),
            n_steps => format!(", step {} of {n_steps}", canary.step + 1),
        };
        let paused = if canary.paused_at.is_some() { ", paused" } else { "" };
        return Some(format!("canary {} at {share}{step}{paused}", canary.generation));
    }
    let left = record.watched(now)?.until.saturating_sub(now);
    Some(format!("watched for {} more", show_duration(Duration::from_secs(left.div_ceil(1000)))))
}

/// What one of two deployments did.
pub(super) fn side(side: &Side) -> wire::CanarySide {
    wire::CanarySide {
        calls: side.calls,
        failed: side.failed,
        p50_us: side.durations.exceeded_by(5000),
        p95_us: side.durations.exceeded_by(500),
    }
}
