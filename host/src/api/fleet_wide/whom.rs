//! Whose word is asked for: the host's own, one other's, or that of all; and the question itself.
//! Does not read what they say.

use http::{Request, Response};
use hyper::body::Incoming;
use steerage_core::id::HostName;

use crate::api::ApiState;
use crate::api::problem::{Cause, Refusal};
use crate::fleet::Fleet;
use crate::forward::{InFlight, OBSERVED, no_body};

/// By this name of a host all are meant.
const ALL: &str = "*";

/// Whose word is asked for, where it is not simply that of the host that was asked.
#[derive(Clone, Debug)]
pub(in crate::api) struct Whom {
    fleet: Fleet,
    /// The one host, where it is one.
    one: Option<HostName>,
}

/// Reads whose word is asked for: `None` for the host itself, without names of hosts, as where it is
/// alone.
pub(in crate::api) fn whom(state: &ApiState, said: Option<&str>) -> Result<Option<Whom>, Refusal> {
    let fleet = state.context.fleet.clone();
    let (Some(said), Some(fleet)) = (said, fleet) else {
        return match said {
            None | Some(ALL) => Ok(None),
            Some(said) => {
                let detail = format!("no host named {said}: this host is alone");
                Err(Refusal::new(Cause::NotFound, detail))
            }
        };
    };
    if said == ALL {
        return Ok(Some(Whom { fleet, one: None }));
    }
    let known = || {
        let known = known(&fleet).map(|name| name.to_string());
        known.chain([fleet.me().to_string()]).collect::<Vec<_>>().join(", ")
    };
    let one = said.parse::<HostName>().ok();
    let one = one.filter(|one| one == fleet.me() || self::known(&fleet).any(|host| host == *one));
    let Some(one) = one else {
        let detail = format!("no host named {said}; there are {}", known());
        return Err(Refusal::new(Cause::NotFound, detail));
    };
    Ok(Some(Whom { fleet, one: Some(one) }))
}

/// The other hosts: those that are there, and those that were and are missed.
fn known(fleet: &Fleet) -> impl Iterator<Item = HostName> + use<> {
    let view = fleet.view();
    let mut known: Vec<HostName> = view.all_hosts().map(|(name, _)| name.clone()).collect();
    known.extend(fleet.lost().into_iter().map(|(name, _)| name));
    known.sort();
    known.dedup();
    known.retain(|name| name != fleet.me());
    known.into_iter()
}

impl Whom {
    /// The host that was asked.
    pub(super) fn me(&self) -> &HostName {
        self.fleet.me()
    }

    /// Whether one host is meant, and not all.
    pub(super) fn is_one(&self) -> bool {
        self.one.is_some()
    }

    /// Whether the host that was asked is meant, too.
    pub(super) fn is_here(&self) -> bool {
        self.one.as_ref().is_none_or(|one| one == self.fleet.me())
    }

    /// The other hosts that are to be asked.
    pub(super) fn others(&self) -> Vec<HostName> {
        match &self.one {
            None => known(&self.fleet).collect(),
            Some(one) => [one.clone()].into_iter().filter(|_| !self.is_here()).collect(),
        }
    }

    /// Asks one of them; the reason, where it cannot be asked.
    pub(super) async fn request(
        &self,
        name: &HostName,
        path: &str,
    ) -> Result<(Response<Incoming>, InFlight), String> {
        let lost = || self.fleet.lost().into_iter().find(|(lost, _)| lost == name);
        let peer = self.fleet.peers().named(name).ok_or_else(|| match lost() {
            Some((_, lost)) => format!("it was lost {} seconds ago", lost.for_how_long().as_secs()),
            None => "it is not known here yet where it is".to_owned(),
        })?;
        let liveness = peer.liveness();
        if !liveness.is_candidate_for_calls() {
            // Why it is so is known where certificates are the reason.
            return Err(match (peer.why(), lost()) {
                (Some(why), _) => why.to_string(),
                (None, Some((_, lost))) => {
                    format!("it was lost {} seconds ago", lost.for_how_long().as_secs())
                }
                (None, None) => format!("it is {}", liveness.word()),
            });
        }
        let request = Request::get(format!("http://fleet{OBSERVED}{path}")).body(no_body());
        let request = request.map_err(|error| error.to_string())?;
        peer.send(request).await.map_err(|error| error.why)
    }

    /// Waits until a host does not answer any more; says how it is then.
    pub(super) async fn silence(&self, name: &HostName) -> String {
        let mut changes = self.fleet.peers().changes();
        loop {
            match self.fleet.peers().named(name).map(|peer| peer.liveness()) {
                Some(liveness) if liveness.is_candidate_for_calls() => {}
                Some(liveness) => return format!("it is {}", liveness.word()),
                None => return "it left the fleet".to_owned(),
            }
            if changes.changed().await.is_err() {
                return "this host ends".to_owned();
            }
        }
    }
}
