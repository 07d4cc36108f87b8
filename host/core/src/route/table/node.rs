//! One node of a table's tree: what is known about all paths that start with the same segments.
//! Does not know hosts, and does not check for conflicts: the table does both.

use std::sync::Arc;

use super::Routed;
use super::children::Children;
use crate::route::{PathPattern, Segment};

/// What may follow the segments that lead here.
#[derive(Clone, Debug)]
pub(super) struct Node<T> {
    literals: Children<Arc<Self>>,
    param: Option<Arc<Self>>,
    /// The route whose pattern ends here.
    here: Place<T>,
    /// The route whose pattern ends here with `/...`.
    rest: Place<T>,
}

/// A search that stepped back too often.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooManyVisits;

/// Where a route is or could be.
pub(super) type Place<T> = Option<Arc<Routed<T>>>;

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { literals: Children::default(), param: None, here: None, rest: None }
    }
}

impl<T: Clone> Node<T> {
    /// Whether the node and what is below it hold no route.
    ///
    /// Looking at the node alone is enough, because removing leaves no empty node below.
    pub(super) fn is_empty(&self) -> bool {
        self.literals.is_empty()
            && self.param.is_none()
            && self.here.is_none()
            && self.rest.is_none()
    }

    /// The best route for what is left of a path, `None` meaning that it ends here. Takes one of
    /// `visits` for each node that it looks at.
    ///
    /// # Errors
    /// There were no visits left.
    pub(super) fn find(
        &self,
        path: Option<&str>,
        visits: &mut usize,
    ) -> Result<Option<&Routed<T>>, TooManyVisits> {
        *visits = visits.checked_sub(1).ok_or(TooManyVisits)?;
        let Some(path) = path else {
            return Ok(self.here.as_deref().or(self.rest.as_deref()));
        };
        let (segment, tail) = match path.split_once('/') {
            Some((segment, tail)) => (segment, Some(tail)),
            None => (path, None),
        };
        let literal = self.literals.get(segment);
        let param = self.param.as_ref().filter(|_| !segment.is_empty());
        for child in literal.into_iter().chain(param) {
            if let Some(found) = child.find(tail, visits)? {
                return Ok(Some(found));
            }
        }
        Ok(self.rest.as_deref())
    }

    /// The route of exactly this pattern, parameters' names aside.
    pub(super) fn get(&self, path: &PathPattern) -> Option<&Routed<T>> {
        let mut node = self;
        for segment in path.segments() {
            node = match segment {
                Segment::Literal(text) => node.literals.get(text)?,
                Segment::Param(_) => node.param.as_ref()?,
            };
        }
        if path.has_rest() { node.rest.as_deref() } else { node.here.as_deref() }
    }

    /// The place for a route of this pattern; makes the nodes that lead there.
    pub(super) fn place_mut(&mut self, path: &PathPattern) -> &mut Place<T> {
        let mut node = self;
        for segment in path.segments() {
            let child = match segment {
                Segment::Literal(text) => node.literals.get_or_default(text),
                Segment::Param(_) => node.param.get_or_insert_default(),
            };
            node = Arc::make_mut(child);
        }
        if path.has_rest() { &mut node.rest } else { &mut node.here }
    }

    /// Takes out the route of this pattern, and the nodes that nothing is left below.
    pub(super) fn remove(&mut self, path: &PathPattern) -> Option<Routed<T>> {
        self.remove_at(path.segments(), path.has_rest()).map(Arc::unwrap_or_clone)
    }

    fn remove_at(&mut self, segments: &[Segment], rest: bool) -> Place<T> {
        let Some((segment, tail)) = segments.split_first() else {
            return if rest { self.rest.take() } else { self.here.take() };
        };
        let child = match segment {
            Segment::Literal(text) => self.literals.get_mut(text)?,
            Segment::Param(_) => self.param.as_mut()?,
        };
        let child = Arc::make_mut(child);
        let removed = child.remove_at(tail, rest);
        if child.is_empty() {
            match segment {
                Segment::Literal(text) => self.literals.remove(text),
                Segment::Param(_) => self.param = None,
            }
        }
        removed
    }

    /// Adds the routes of this node and of those below it, in the order in which they win: of the
    /// routes that match a path, the first is the best.
    pub(super) fn collect<'t>(&'t self, all: &mut Vec<&'t Arc<Routed<T>>>) {
        for child in self.literals.values().chain(&self.param) {
            child.collect(all);
        }
        all.extend(self.here.iter().chain(&self.rest));
    }
}
