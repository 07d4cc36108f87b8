//! Opens the access log, and has it opened again when an operator asks.
//! Writes nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::StartError;
use crate::config::Settings;
use crate::reload::Reload;
use crate::telemetry::access::AccessLog;
use crate::telemetry::events::Events;

/// For so long one wait lasts. Nothing is done when nobody has asked by then.
const HOUR: Duration = Duration::from_secs(3600);

/// The log, where one is wanted.
pub(super) fn start(
    settings: &Settings,
    events: &Arc<Events>,
    reload: &Reload,
    control: &Runtime,
) -> Result<Option<Arc<AccessLog>>, StartError> {
    let Some(target) = settings.access_log.clone() else { return Ok(None) };
    let opened = AccessLog::start(target.clone(), events.clone());
    let log = opened.map_err(|error| {
        let why = format!("cannot write the access log to {}: {error}", target.shown());
        StartError::Outward { why }
    })?;
    let log = Arc::new(log);
    let (reopened, mut asked) = (log.clone(), reload.subscribe());
    control.spawn(async move {
        loop {
            let log = reopened.clone();
            if asked.next(HOUR).await {
                // Its disk may stand still.
                drop(tokio::task::spawn_blocking(move || log.reopen()).await);
            }
        }
    });
    Ok(Some(log))
}
