//! The routes of one host pattern: a tree of their segments, and sets for the lookups that the tree
//! makes dear.
//! Does not know hosts.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::Routed;
use super::node::Node;
use super::sets::Sets;
use crate::route::PathPattern;

/// The routes of one host pattern.
#[derive(Clone)]
pub(super) struct Root<T> {
    nodes: Node<T>,
    /// Made at the first lookup that needs it, which others that need it wait for; shared by clones
    /// until one changes.
    sets: OnceLock<Arc<Sets<T>>>,
}

impl<T> Default for Root<T> {
    fn default() -> Self {
        Self { nodes: Node::default(), sets: OnceLock::new() }
    }
}

/// Shows the tree, which says everything: whether there are sets depends on lookups.
impl<T: fmt::Debug> fmt::Debug for Root<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.nodes.fmt(f)
    }
}

impl<T: Clone> Root<T> {
    /// The tree.
    pub(super) fn nodes(&self) -> &Node<T> {
        &self.nodes
    }

    /// Adds a route where none of its shape is.
    pub(super) fn insert(&mut self, routed: Routed<T>) {
        self.sets = OnceLock::new();
        let path = routed.route.path.clone();
        *self.nodes.place_mut(&path) = Some(routed.into());
    }

    /// Takes out the route of this pattern.
    pub(super) fn remove(&mut self, path: &PathPattern) -> Option<Routed<T>> {
        self.sets = OnceLock::new();
        self.nodes.remove(path)
    }

    /// The best route for a path without its first slash, `None` meaning the root. The tree is asked
    /// while there are `visits` left, which roots of one lookup share.
    pub(super) fn find(&self, path: Option<&str>, visits: &mut usize) -> Option<&Routed<T>> {
        match self.nodes.find(path, visits) {
            Ok(found) => found,
            Err(_) => self.sets().find(path),
        }
    }

    /// The sets, whose answers are those of the tree.
    pub(super) fn sets(&self) -> &Sets<T> {
        self.sets.get_or_init(|| {
            let mut routes = Vec::new();
            self.nodes.collect(&mut routes);
            Arc::new(Sets::new(routes.into_iter().cloned().collect()))
        })
    }
}
