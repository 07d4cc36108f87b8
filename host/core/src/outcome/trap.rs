//! A guest's trap, and the one kind of them that has a name of its own: a call of what the host does not have.
//! Does not know Wasmtime.

use crate::excerpt;

/// A guest's trap: what it was and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// The trap in one line, for example `wasm unreachable instruction executed`.
    pub reason: String,
    /// The guest's call stack, innermost frame first, symbolised where the module has names.
    pub backtrace: Vec<String>,
}

/// What the reason of a trap begins with where the guest called what the host does not have.
const NOT_OFFERED: &str = "it called what this host does not offer: ";

impl Trap {
    /// The guest called a function that it imports and that the host does not have.
    #[must_use]
    pub fn of_not_offered(function: &str, backtrace: Vec<String>) -> Self {
        let function = excerpt::excerpt(excerpt::MESSAGE - NOT_OFFERED.len(), function);
        Self { reason: format!("{NOT_OFFERED}{function}"), backtrace }
    }

    /// The function that it called and that the host does not have, if it ended for that.
    #[must_use]
    pub fn not_offered(&self) -> Option<&str> {
        self.reason.strip_prefix(NOT_OFFERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_what_is_not_offered_is_known_by_its_reason() {
        let trap = Trap::of_not_offered("shop:orders/book@1.0.0#count", Vec::new());
        assert_eq!(trap.not_offered(), Some("shop:orders/book@1.0.0#count"));
        let long = Trap::of_not_offered(&"x".repeat(1 << 20), Vec::new());
        assert!(long.reason.len() <= excerpt::MESSAGE, "{}", long.reason.len());
        let other = Trap { reason: "unreachable".to_owned(), backtrace: Vec::new() };
        assert_eq!(other.not_offered(), None);
    }
}
