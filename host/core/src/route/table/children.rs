//! The literal branches of a node.
//! Does not know what is at their ends.
//!
//! Most nodes have one branch or none, and a persistent map reserves room for many: keeping a
//! single branch by itself saves most of the memory of a table of long paths.

use std::sync::Arc;

use imbl::OrdMap;

/// Values of type `V` by literal segment; a clone shares the branches.
///
/// At most one of the fields holds anything, so equal children have equal forms.
#[derive(Clone, Debug)]
pub(super) struct Children<V> {
    /// The branch, where there is just one.
    only: Option<(Arc<str>, V)>,
    /// The branches, where there are at least two.
    many: OrdMap<Arc<str>, V>,
}

impl<V> Default for Children<V> {
    fn default() -> Self {
        Self { only: None, many: OrdMap::new() }
    }
}

impl<V: Clone + Default> Children<V> {
    pub(super) fn is_empty(&self) -> bool {
        self.only.is_none() && self.many.is_empty()
    }

    pub(super) fn get(&self, literal: &str) -> Option<&V> {
        match &self.only {
            Some((key, value)) => (**key == *literal).then_some(value),
            None => self.many.get(literal),
        }
    }

    pub(super) fn get_mut(&mut self, literal: &str) -> Option<&mut V> {
        match &mut self.only {
            Some((key, value)) => (**key == *literal).then_some(value),
            None => self.many.get_mut(literal),
        }
    }

    /// The value of this literal, made if there is none.
    pub(super) fn get_or_default(&mut self, literal: &Arc<str>) -> &mut V {
        if let Some((key, value)) = self.only.take_if(|(key, _)| key != literal) {
            self.many.insert(key, value);
        }
        if self.many.is_empty() {
            let make = || (Arc::clone(literal), V::default());
            &mut self.only.get_or_insert_with(make).1
        } else {
            self.many.entry(Arc::clone(literal)).or_default()
        }
    }

    pub(super) fn remove(&mut self, literal: &str) {
        self.only.take_if(|(key, _)| **key == *literal);
        self.many.remove(literal);
        if self.many.len() == 1 {
            self.only = std::mem::take(&mut self.many).into_iter().next();
        }
    }

    /// All values, in the order of their literals.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.only.iter().map(|(_, value)| value).chain(self.many.values())
    }
}
