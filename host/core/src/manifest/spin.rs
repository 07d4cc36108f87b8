//! What an app says that is one component of a Spin app: how it is named there, and which apps the others are.
//! Does not read Spin's own manifest: the host does, and writes this.

use std::collections::BTreeMap;

use crate::id::AppName;
use crate::quote::Quoted;

/// The most components of one Spin app that may be named.
pub const MOST_COMPONENTS: usize = 100;
/// The most bytes of a component's name.
pub const LONGEST_COMPONENT: usize = 64;

/// What `[spin]` says. An app that has it is told of its requests in headers of Spin's as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpinComponent {
    /// The apps of the components, by their names in lower case: `http://NAME.spin.internal` is such an app.
    pub components: BTreeMap<String, AppName>,
}

/// Why `[spin]` cannot stand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSpinComponent {
    /// No host of a URL could be named so.
    #[error(
        "{} is not the name of a component: expected 1 to {LONGEST_COMPONENT} of a-z, 0-9, - and _",
        Quoted(.0)
    )]
    Name(String),
    /// There are too many.
    #[error("there are {0} components: at most {MOST_COMPONENTS} are allowed")]
    Components(usize),
}

/// Whether a component can be named so.
#[must_use]
pub fn check_component(name: &str) -> Option<BadSpinComponent> {
    let is_good =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    let is_name = !name.is_empty() && name.len() <= LONGEST_COMPONENT && name.bytes().all(is_good);
    (!is_name).then(|| BadSpinComponent::Name(name.to_owned()))
}

/// Whether so many components can be named.
#[must_use]
pub fn check_component_count(components: usize) -> Option<BadSpinComponent> {
    (components > MOST_COMPONENTS).then_some(BadSpinComponent::Components(components))
}
