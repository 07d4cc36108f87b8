//! Stopping the planner of a fleet and letting it go on, as an operator wants it.
//! Does not plan; `placement` looks at what is written here.

use std::sync::Arc;

use super::{DeployError, Desired};
use crate::agent::now;
use crate::fleet::record::{self, FreezeRecord};
use crate::fleet::{View, keys};
use crate::store::{Commit, Write};
use crate::telemetry::events::{Event, Severity};

impl Desired {
    /// Has nothing planned from now on: replicas stay where they are, also those of hosts that are lost,
    /// until [`Desired::thaw`]. Returns what was done, in a sentence.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn freeze(&self, why: Option<String>) -> Result<String, DeployError> {
        let frozen = FreezeRecord { since: now(), why, rest: Default::default() };
        let value = record::encode(&frozen);
        let write = Write::Put { key: keys::FREEZE.to_owned(), value, lease: None };
        self.fleet.commit(Commit { guards: Vec::new(), writes: vec![write] }).await?;
        let because = frozen.why.map_or_else(String::new, |why| format!(": {why}"));
        self.own.events.push(Event {
            severity: Severity::Warning,
            advice: Some("let it go on with `steerage fleet thaw`".to_owned()),
            ..Event::now("planner_frozen", format!("nothing is planned any more{because}"))
        });
        Ok("nothing is planned from now on: replicas stay where they are, also those of hosts that are \
            lost; calls are answered meanwhile, and `steerage fleet thaw` lets it go on"
            .to_owned())
    }

    /// Has plans made again; returns what was done, in a sentence.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn thaw(&self) -> Result<String, DeployError> {
        if !self.look_at(&[]).await?.is_frozen() {
            return Ok("plans are made already".to_owned());
        }
        let write = Write::Delete(keys::FREEZE.to_owned());
        self.fleet.commit(Commit { guards: Vec::new(), writes: vec![write] }).await?;
        self.own.events.push(Event::now("planner_thawed", "plans are made again".to_owned()));
        Ok("plans are made again".to_owned())
    }

    /// Since when nothing is planned, in milliseconds since the epoch, and why; nothing where plans are
    /// made.
    #[must_use]
    pub fn frozen(view: &View) -> Option<Arc<FreezeRecord>> {
        let unreadable =
            || Arc::new(FreezeRecord { since: now(), why: None, rest: Default::default() });
        view.is_frozen().then(|| view.frozen.clone().unwrap_or_else(unreadable))
    }
}
