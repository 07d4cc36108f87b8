//! Shows a value that somebody else wrote inside one of our messages.
//! Does not decide what is valid: it only makes any text safe and short enough for one line.

use std::fmt::{self, Write as _};

/// The most characters of a quoted value that a message repeats: enough to recognise it by, and
/// few enough that a megabyte pasted into a manifest does not come back in the log.
const LONGEST: usize = 80;

/// Displays the text in double quotes, control characters escaped, cut after [`LONGEST`].
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let mut letters = self.0.chars();
        for letter in letters.by_ref().take(LONGEST) {
            match letter {
                '\'' => f.write_char(letter)?,
                _ => write!(f, "{}", letter.escape_debug())?,
            }
        }
        if letters.next().is_some() {
            f.write_char('…')?;
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_value_is_short_and_on_one_line() {
        assert_eq!(Quoted("it's").to_string(), r#""it's""#);
        assert_eq!(Quoted("a\nb\"").to_string(), r#""a\nb\"""#);
        assert_eq!(Quoted(&"x".repeat(500)).to_string().chars().count(), LONGEST + 3);
    }
}
