//! How far the moves of a plan are that was written, as the view shows it. Moves nothing.

use super::records::{AppFacts as _, ReadyFacts as _, Records};
use super::view::FleetView;
use crate::id::{AppName, HostName};

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveProgress {
    /// It is as the plan said.
    Done,
    /// The replica that starts is not ready yet.
    Starting,
    /// The replica that stops is still there.
    Leaving,
    /// A later plan, or an operator, wanted something else.
    Superseded,
}

impl MoveProgress {
    /// As it is told.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Starting => "starting",
            Self::Leaving => "leaving",
            Self::Superseded => "superseded",
        }
    }

    /// Whether something is still to come of it.
    #[must_use]
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Starting | Self::Leaving)
    }
}

impl<R: Records> FleetView<R> {
    /// How far the move of a replica of this app is.
    #[must_use]
    pub fn progress(
        &self,
        app: &AppName,
        from: Option<&HostName>,
        to: Option<&HostName>,
    ) -> MoveProgress {
        let is_on = |host: &HostName| self.assigned_to(app).is_some_and(|on| on.contains_key(host));
        let ready = |host: &HostName| self.ready(app).and_then(|ready| ready.get(host));
        if let Some(to) = to {
            if !is_on(to) {
                return MoveProgress::Superseded;
            }
            let wanted = self.app(app).map(R::App::generation);
            if ready(to).map(R::Ready::generation) != wanted {
                return MoveProgress::Starting;
            }
        }
        match from {
            Some(from) if is_on(from) => MoveProgress::Superseded,
            Some(from) if ready(from).is_some() => MoveProgress::Leaving,
            _ => MoveProgress::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::nothing::Nothing;
    use super::super::records::Revision;
    use super::*;

    #[test]
    fn a_move_is_done_once_the_new_one_is_ready_and_the_old_one_has_left() {
        let (app, host) = ("shop".parse::<AppName>().unwrap(), |name: &str| -> HostName {
            name.parse().unwrap()
        });
        let (a, b) = (host("a"), host("b"));
        let mut view = FleetView::<Nothing>::default();
        let on = |view: &mut FleetView<Nothing>, hosts: &[&HostName]| {
            let assigned = hosts.iter().map(|host| (*host).clone()).collect();
            view.put_assigned(&app, Some((assigned, Revision(1))));
        };
        let progress = |view: &FleetView<Nothing>| view.progress(&app, Some(&a), Some(&b));
        assert_eq!(progress(&view), MoveProgress::Superseded);
        view.put_app(&app, Some(Nothing), Revision(1));
        on(&mut view, &[&b]);
        view.put_ready(&app, [(a.clone(), Default::default())].into_iter().collect());
        assert_eq!(progress(&view), MoveProgress::Starting);
        let both = [(a.clone(), Default::default()), (b.clone(), Default::default())];
        view.put_ready(&app, both.into_iter().collect());
        assert_eq!(progress(&view), MoveProgress::Leaving);
        view.put_ready(&app, [(b.clone(), Default::default())].into_iter().collect());
        assert_eq!(progress(&view), MoveProgress::Done);
        assert_eq!(view.progress(&app, Some(&a), None), MoveProgress::Done);
        on(&mut view, &[&a]);
        assert_eq!(progress(&view), MoveProgress::Superseded);
        assert_eq!(view.progress(&app, Some(&a), None), MoveProgress::Superseded);
    }
}
