//! Text that a guest or a caller had a part in, cut and made harmless while it is written.
//! Does not decide who sees it. Nothing larger than the excerpt is ever made: the writer stops.

use std::fmt::{self, Display, Write};

/// Most bytes of one sentence about a call.
pub const MESSAGE: usize = 1 << 10;
/// Most bytes of one frame of a backtrace.
pub const FRAME: usize = 256;
/// Most bytes of all that one event was concluded from.
pub const EVIDENCE: usize = 8 << 10;
/// Stands at the end of what was cut.
const CUT: char = '…';

/// A writer that takes at most so many bytes and then fails, so that whoever writes stops.
///
/// Control characters other than line feed and tab are written as `\u{1b}`, since the text ends on
/// somebody's terminal; the escaped form is what is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    text: String,
    /// Bytes that may still be written.
    room: usize,
    is_cut: bool,
}

impl Excerpt {
    /// An empty excerpt with room for `most` bytes, the mark of a cut included.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { text: String::new(), room: most.saturating_sub(CUT.len_utf8()), is_cut: false }
    }

    /// What was written, and where it was cut a mark that says so.
    #[must_use]
    pub fn into_string(mut self) -> String {
        if self.is_cut {
            self.text.push(CUT);
        }
        self.text
    }

    fn push(&mut self, piece: &str) -> fmt::Result {
        match self.room.checked_sub(piece.len()) {
            Some(room) if !self.is_cut => {
                self.text.push_str(piece);
                self.room = room;
                Ok(())
            }
            _ => {
                self.is_cut = true;
                Err(fmt::Error)
            }
        }
    }
}

impl Write for Excerpt {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut letter = [0; 4];
        for char in text.chars() {
            if char.is_control() && !matches!(char, '\n' | '\t') {
                // Ten bytes at most, and no more than there is room for.
                self.push(&char.escape_unicode().to_string())?;
            } else {
                self.push(char.encode_utf8(&mut letter))?;
            }
        }
        Ok(())
    }
}

/// At most `most` bytes of what `shown` displays.
#[must_use]
pub fn excerpt(most: usize, shown: impl Display) -> String {
    let mut excerpt = Excerpt::new(most);
    // An error is the excerpt's own: it is full.
    write!(excerpt, "{shown}").ok();
    excerpt.into_string()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_fits_stays_as_it_is() {
        assert_eq!(excerpt(10, "ab\n\tä"), "ab\n\tä");
        assert_eq!(excerpt(7, "abcd"), "abcd");
        assert_eq!(excerpt(7, "abcde"), "abcd…");
        assert_eq!(excerpt(8, "abcdä"), "abcd…", "never half a character");
    }

    #[test]
    fn what_would_command_a_terminal_is_spelt_out() {
        assert_eq!(excerpt(99, "\u{1b}[2J\u{9b}\r"), "\\u{1b}[2J\\u{9b}\\u{d}");
    }

    #[test]
    fn who_writes_too_much_is_stopped_and_makes_no_more() {
        struct Endless<'t>(&'t Cell<usize>);
        impl Display for Endless<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    self.0.set(self.0.get() + 1);
                    f.write_str("0123456789")?;
                }
            }
        }
        let written = Cell::new(0);
        let text = excerpt(103, Endless(&written));
        assert_eq!((text.len(), written.get()), (103, 11));
        let escaped = excerpt(FRAME, format_args!("{:?}", "\u{1}".repeat(1 << 20)));
        assert!(escaped.len() <= FRAME && escaped.ends_with(CUT), "{escaped}");
    }

    proptest! {
        #[test]
        fn an_excerpt_is_never_longer_than_it_may_be(text in any::<String>(), most in 3..80_usize) {
            let cut = excerpt(most, &text);
            prop_assert!(cut.len() <= most);
            prop_assert!(!cut.chars().any(|char| char.is_control() && !"\n\t".contains(char)));
        }
    }
}
