//! What one cell says: nothing, a number with something behind it, or what cannot be used and why.
//! Does not know what the cell is of.

use super::number::{self, Mark, Number};

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    Blank,
    Amount { number: Number, unit: &'a str },
    Odd(CellFault),
}

/// Why a cell or a row cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum CellFault {
    /// No name, where the app's is expected.
    #[error("the app has no name")]
    NoName,
    /// Neither asked for nor measured.
    #[error("it is blank, and no other column says how much the app takes")]
    Unknown,
    /// `#REF!` and its like.
    #[error("it is an error of the spreadsheet program")]
    SheetError,
    /// The formula instead of its value.
    #[error("it is a formula, save the sheet with values")]
    Formula,
    /// Below nothing.
    #[error("it is less than nothing")]
    Negative,
    /// A number to another one.
    #[error("it is a range, one number is needed")]
    Range,
    /// Anything else.
    #[error("it is not a number")]
    NotANumber,
    /// A number of something unknown.
    #[error("its unit is not known")]
    BadUnit,
    /// Too much to be meant.
    #[error("it is more than any machine has")]
    TooMuch,
    /// A share of an amount that is not there.
    #[error("it is a share, and of what is not known")]
    ShareOfNothing,
    /// A number of replicas with a fraction, or beyond the bound.
    #[error("it is not a whole number of replicas up to 100000")]
    NotACount,
    /// Nothing runs without memory.
    #[error("nothing runs in no memory")]
    NoMemory,
    /// Its machine is stopped, or it is itself.
    #[error("it does not run")]
    NotRunning,
    /// The same app on the same machine.
    #[error("the same app is on the same machine in row {0}, and is counted once")]
    Duplicate(u64),
}

/// What people write where there is nothing to say.
const BLANKS: &str = "- -- --- – — . ? n/a na n.a. n.a #n/a none null nil tbd tba unknown unlimited \
                      (blank) k.a. unbekannt";

impl<'a> Cell<'a> {
    /// Reads a cell.
    pub(super) fn read(text: &'a str, mark: Mark) -> Self {
        let text = trimmed(text);
        if is_blank(text) {
            return Self::Blank;
        }
        if is_sheet_error(text) {
            return Self::Odd(CellFault::SheetError);
        }
        if text.starts_with('=') {
            return Self::Odd(CellFault::Formula);
        }
        let is_negative = text.strip_prefix(['-', '−', '(']).is_some_and(starts_with_number);
        if is_negative {
            return Self::Odd(CellFault::Negative);
        }
        let text = text.trim_start_matches(['~', '≈']).trim_start_matches("ca.").trim_start();
        match number::split(text, mark) {
            None => Self::Odd(CellFault::NotANumber),
            Some((_, rest)) if is_range(rest) => Self::Odd(CellFault::Range),
            Some((number, unit)) => Self::Amount { number, unit },
        }
    }
}

impl Cell<'_> {
    /// Whether it is `#REF!` or its like, which other texts after a `#` are not.
    pub(super) fn is_sheet_error(&self) -> bool {
        matches!(self, Self::Odd(CellFault::SheetError))
    }
}

/// The cell without blanks around, and without the quote that spreadsheet programs mark texts by.
pub(super) fn trimmed(text: &str) -> &str {
    let text = text.trim_matches(|letter: char| letter.is_whitespace() || letter == '\u{feff}');
    text.strip_prefix('\'').unwrap_or(text)
}

/// Whether the cell says nothing.
pub(super) fn is_blank(text: &str) -> bool {
    let text = trimmed(text).to_lowercase();
    text.is_empty() || BLANKS.split(' ').any(|blank| blank == text)
}

/// `#REF!`, `#DIV/0!`, `#NAME?`: capitals after a `#`, and one of two marks at their end.
fn is_sheet_error(text: &str) -> bool {
    text.strip_prefix('#').and_then(|text| text.strip_suffix(['!', '?'])).is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_uppercase() || c.is_ascii_digit() || c == '/')
    })
}

fn starts_with_number(text: &str) -> bool {
    text.trim_start().starts_with(|letter: char| letter.is_ascii_digit() || ".,".contains(letter))
}

fn is_range(rest: &str) -> bool {
    let rest = rest.trim_start_matches(|letter: char| letter.is_alphabetic() || letter == ' ');
    ["-", "–", "to ", ".."]
        .iter()
        .any(|dash| rest.strip_prefix(dash).is_some_and(starts_with_number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_say_nothing_in_many_ways() {
        for text in ["", "  ", "-", "–", "n/a", "N/A", "#N/A", "?", "none", "TBD", "\u{a0}", "'"]
        {
            assert_eq!(Cell::read(text, Mark::Point), Cell::Blank, "{text}");
        }
    }

    #[test]
    fn cells_that_cannot_be_used_say_why() {
        for (text, why) in [
            ("#REF!", CellFault::SheetError),
            ("#DIV/0!", CellFault::SheetError),
            ("=B2*2", CellFault::Formula),
            ("-1", CellFault::Negative),
            ("(5)", CellFault::Negative),
            ("1-2", CellFault::Range),
            ("500m - 1", CellFault::Range),
            ("two", CellFault::NotANumber),
            ("see wiki", CellFault::NotANumber),
        ] {
            assert_eq!(Cell::read(text, Mark::Point), Cell::Odd(why), "{text}");
        }
    }

    #[test]
    fn amounts_come_with_what_stands_behind_them() {
        let two = Number::whole(2);
        for (text, unit) in
            [("2", ""), (" 2 vCPU ", "vCPU"), ("~2", ""), ("'2", ""), ("2 GB", "GB"), ("2%", "%")]
        {
            assert_eq!(Cell::read(text, Mark::Point), Cell::Amount { number: two, unit }, "{text}");
        }
    }
}
