//! All routes of one host pattern as sets, one set for each literal in each place of a path: which
//! route answers is then an intersection, whose cost does not depend on how the routes resemble each
//! other.
//! Does not change: it is made anew from the tree after a change, once a lookup needs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Routed;
use crate::route::Segment;

/// The routes in the order in which they win, and what each segment of a path leaves of them.
pub(super) struct Sets<T> {
    /// The first that matches is the winner.
    routes: Vec<Arc<Routed<T>>>,
    /// What each segment may be, from left to right; as many as the longest pattern has.
    columns: Vec<Column>,
    /// Routes that match a path which goes on beyond all columns.
    beyond: Bits,
}

/// What may stand in one place of a path.
struct Column {
    /// Routes that have this literal here.
    literals: BTreeMap<Arc<str>, Members>,
    /// Routes that have a parameter here.
    params: Bits,
    /// Routes that ended before this place with `/...`.
    rests: Bits,
    /// Routes that match a path which ends before this place.
    ends: Bits,
}

/// A set of routes, by their places in the order: one bit a route.
#[derive(Clone)]
struct Bits(Vec<u64>);

/// A set that takes no more room than a list of its members would: most literals are of few routes.
enum Members {
    Few(Vec<usize>),
    Many(Bits),
}

impl<T> Sets<T> {
    /// Makes the sets. The routes come in the order of [`Node::collect`](super::node::Node), which is
    /// the order in which they win.
    pub(super) fn new(routes: Vec<Arc<Routed<T>>>) -> Self {
        let n_routes = routes.len();
        let longest = routes.iter().map(|routed| routed.route.path.segments().len()).max();
        let empty = Bits::none(n_routes);
        let mut columns: Vec<Column> =
            (0..longest.unwrap_or(0)).map(|_| Column::empty(&empty)).collect();
        let mut beyond = empty;
        for (place, routed) in routes.iter().enumerate() {
            let pattern = &routed.route.path;
            let (length, has_rest) = (pattern.segments().len(), pattern.has_rest());
            for (at, column) in columns.iter_mut().enumerate() {
                match pattern.segments().get(at) {
                    Some(Segment::Literal(text)) => column.add_literal(text, place),
                    Some(Segment::Param(_)) => column.params.add(place),
                    None if has_rest => column.rests.add(place),
                    None => {}
                }
                if at == length || (has_rest && at > length) {
                    column.ends.add(place);
                }
            }
            if has_rest {
                beyond.add(place);
            }
        }
        for column in &mut columns {
            column.settle(n_routes);
        }
        Self { routes, columns, beyond }
    }

    /// The best route for a path without its first slash, `None` meaning the root.
    pub(super) fn find(&self, path: Option<&str>) -> Option<&Routed<T>> {
        let mut alive = Bits::all(self.routes.len());
        let mut columns = self.columns.iter();
        let mut segments = path.into_iter().flat_map(|path| path.split('/'));
        let last = loop {
            let (column, segment) = (columns.next(), segments.next());
            match (column, segment) {
                (Some(column), Some(segment)) => alive = column.narrow(&alive, segment),
                (Some(column), None) => break alive.both(&column.ends),
                (None, Some(_)) => break alive.both(&self.beyond),
                // The path is as long as the longest patterns: whatever is left has its length, or
                // ended with `/...` on the way.
                (None, None) => break alive,
            }
        };
        self.routes.get(last.first()?).map(|routed| &**routed)
    }
}

impl Column {
    fn empty(none: &Bits) -> Self {
        Self {
            literals: BTreeMap::new(),
            params: none.clone(),
            rests: none.clone(),
            ends: none.clone(),
        }
    }

    fn add_literal(&mut self, text: &Arc<str>, place: usize) {
        let members = self.literals.entry(text.clone()).or_insert(Members::Few(Vec::new()));
        if let Members::Few(few) = members {
            few.push(place);
        }
    }

    /// Turns lists that are longer than a set of bits into one.
    fn settle(&mut self, n_routes: usize) {
        for members in self.literals.values_mut() {
            if let Members::Few(few) = members
                && few.len() > n_routes / 64
            {
                let mut bits = Bits::none(n_routes);
                few.iter().for_each(|place| bits.add(*place));
                *members = Members::Many(bits);
            }
        }
    }

    /// Those of `alive` that match this segment in this place.
    fn narrow(&self, alive: &Bits, segment: &str) -> Bits {
        let mut left = alive.both(&self.rests);
        if !segment.is_empty() {
            left.add_all(alive, &self.params);
        }
        match self.literals.get(segment) {
            Some(Members::Few(few)) => {
                few.iter().filter(|place| alive.has(**place)).for_each(|place| left.add(*place));
            }
            Some(Members::Many(bits)) => left.add_all(alive, bits),
            None => {}
        }
        left
    }
}

impl Bits {
    fn none(n_routes: usize) -> Self {
        Self(vec![0; n_routes.div_ceil(64)])
    }

    /// Those beyond the last route are in as well; no other set has them.
    fn all(n_routes: usize) -> Self {
        Self(vec![u64::MAX; n_routes.div_ceil(64)])
    }

    fn add(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    fn has(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    fn both(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(left, right)| left & right).collect())
    }

    /// Adds what is in both of two sets.
    fn add_all(&mut self, one: &Self, other: &Self) {
        for (word, (one, other)) in self.0.iter_mut().zip(one.0.iter().zip(&other.0)) {
            *word |= one & other;
        }
    }

    fn first(&self) -> Option<usize> {
        let (at, word) = self.0.iter().enumerate().find(|(_, word)| **word != 0)?;
        Some(at * 64 + usize::try_from(word.trailing_zeros()).ok()?)
    }
}
