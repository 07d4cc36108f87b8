//! Numbers as people and spreadsheet programs write them: `0.5`, `1,5`, `1 024`, `1.024,5`, `5.4E+08`.
//! Exact to a billionth, and never a float; does not know any unit.

/// A number from 0, in billionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(u128);

/// Which letter a spreadsheet has before the decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Point,
    Comma,
}

const ONE: u128 = 1_000_000_000;
/// Digits after the decimal mark that count; what a formula leaves beyond them is dropped.
const DECIMALS: usize = 9;
/// Digits before it: more than any amount has, and few enough that no product overflows.
const MOST_DIGITS: usize = 18;

impl Number {
    pub(super) const fn whole(count: u64) -> Self {
        // At most 2^64 * 10^9, which is below 2^94.
        Self(count as u128 * ONE)
    }

    /// The number times a fraction, rounded up; `None` where it does not fit.
    pub(super) fn times(self, multiplier: u64, divisor: u64) -> Option<u64> {
        let product = self.0.checked_mul(multiplier.into())?;
        let divisor = ONE.checked_mul(divisor.into())?;
        u64::try_from(product.div_ceil(divisor)).ok()
    }

    /// The number, if it is a whole one.
    pub(super) fn as_whole(self) -> Option<u64> {
        self.0.is_multiple_of(ONE).then(|| u64::try_from(self.0 / ONE).ok()).flatten()
    }
}

/// Splits off the number at the start of the text; what is behind it comes without blanks around.
pub(super) fn split(text: &str, mark: Mark) -> Option<(Number, &str)> {
    let (head, rest) = head(text);
    let (whole, decimals) = parts(&head, mark)?;
    let (exponent, rest) = exponent(rest).unwrap_or((0, rest));
    Some((value(&whole, &decimals, exponent)?, rest.trim()))
}

/// Which mark the text shows its number has; `None` where it could be either.
pub(super) fn mark_of(text: &str) -> Option<Mark> {
    let (head, _) = head(text);
    let with_point = parts(&head, Mark::Point)?;
    let with_comma = parts(&head, Mark::Comma)?;
    let is_plain = with_point.1.is_empty() && with_comma.1.is_empty();
    if is_plain || with_point != with_comma {
        return None;
    }
    Some(if head.rfind(',') > head.rfind('.') { Mark::Comma } else { Mark::Point })
}

/// The digits and marks at the start, without the blanks and quotes that part thousands.
fn head(text: &str) -> (String, &str) {
    let mut head = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let after = rest.get(letter.len_utf8()..).unwrap_or("");
        let n_digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let parts_thousands = letter == '\'' || letter == '’' || letter.is_whitespace();
        if letter.is_ascii_digit() || (matches!(letter, '.' | ',') && n_digits > 0) {
            head.push(letter);
        } else if !(parts_thousands && !head.is_empty() && n_digits == 3) {
            break;
        }
        rest = after;
    }
    (head, rest)
}

/// The digits before and after the decimal mark.
fn parts(head: &str, mark: Mark) -> Option<(String, String)> {
    let count = |letter: char| head.chars().filter(|&other| other == letter).count();
    let decimal = match (count('.'), count(',')) {
        (0, 0) => None,
        (1, 0) => is_decimal(head, '.', mark == Mark::Point),
        (0, 1) => is_decimal(head, ',', mark == Mark::Comma),
        (_, 0) | (0, _) => None,
        (_, 1) if head.rfind(',') > head.rfind('.') => Some(','),
        (1, _) if head.rfind('.') > head.rfind(',') => Some('.'),
        _ => return None,
    };
    let (whole, decimals) =
        decimal.and_then(|letter| head.rsplit_once(letter)).unwrap_or((head, ""));
    let groups: Vec<&str> = whole.split(['.', ',']).collect();
    let are_thousands = groups.iter().skip(1).all(|group| group.len() == 3);
    let starts_well = groups.first().is_none_or(|first| groups.len() == 1 || first.len() <= 3);
    (are_thousands && starts_well).then(|| (groups.concat(), decimals.to_owned()))
}

/// The letter, if it stands before decimals. `1.024` may be either, so there the sheet decides.
fn is_decimal(head: &str, letter: char, is_the_sheets: bool) -> Option<char> {
    let (whole, decimals) = head.split_once(letter)?;
    let may_part_thousands =
        decimals.len() == 3 && (1..=3).contains(&whole.len()) && !whole.starts_with('0');
    (is_the_sheets || !may_part_thousands).then_some(letter)
}

/// The `E+08` behind a number, as spreadsheet programs show large and small ones.
fn exponent(text: &str) -> Option<(i32, &str)> {
    let power = text.strip_prefix(['e', 'E'])?;
    let unsigned = power.strip_prefix(['+', '-']).unwrap_or(power);
    let n_digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let n_letters = power.len() - unsigned.len() + n_digits;
    let exponent = power.get(..n_letters)?.parse().ok()?;
    Some((exponent, power.get(n_letters..)?))
}

fn value(whole: &str, decimals: &str, exponent: i32) -> Option<Number> {
    if whole.is_empty() && decimals.is_empty() || whole.len() > MOST_DIGITS {
        return None;
    }
    let kept = decimals.get(..decimals.len().min(DECIMALS))?;
    let digits: u128 = format!("{whole}{kept:0<DECIMALS$}").parse().ok()?;
    let power = 10_u128.checked_pow(exponent.unsigned_abs())?;
    if exponent < 0 { Some(Number(digits / power)) } else { digits.checked_mul(power).map(Number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thousandths(text: &str, mark: Mark) -> Option<(u64, &str)> {
        let (number, rest) = split(text, mark)?;
        Some((number.times(1000, 1)?, rest))
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for (text, point, comma) in [
            ("2", 2_000, 2_000),
            ("0.5", 500, 500),
            ("0,5", 500, 500),
            (".5", 500, 500),
            ("1.5 GB", 1_500, 1_500),
            ("1,024", 1_024_000, 1_024),
            ("1.024", 1_024, 1_024_000),
            ("0.125", 125, 125),
            ("1,024.5", 1_024_500, 1_024_500),
            ("1.024,5", 1_024_500, 1_024_500),
            ("1 024", 1_024_000, 1_024_000),
            ("1\u{a0}024,5", 1_024_500, 1_024_500),
            ("1'024", 1_024_000, 1_024_000),
            ("1,000,000", 1_000_000_000, 1_000_000_000),
            ("5.4E+02", 540_000, 540_000),
            ("5e-1", 500, 500),
            ("0.48571428571428571", 486, 486),
        ] {
            assert_eq!(thousandths(text, Mark::Point).map(|read| read.0), Some(point), "{text}");
            assert_eq!(thousandths(text, Mark::Comma).map(|read| read.0), Some(comma), "{text}");
        }
    }

    #[test]
    fn what_stands_behind_is_given_back_and_nonsense_is_no_number() {
        assert_eq!(thousandths("2 vCPU", Mark::Point), Some((2_000, "vCPU")));
        assert_eq!(thousandths("500m", Mark::Point), Some((500_000, "m")));
        assert_eq!(thousandths("45 %", Mark::Point), Some((45_000, "%")));
        for bad in ["", "two", "1.2.3", "1,23,456", "1,2.3,4", "-1", "1e99"] {
            assert_eq!(thousandths(bad, Mark::Point), None, "{bad}");
        }
    }

    #[test]
    fn a_mark_is_known_where_it_can_be_no_other() {
        for (text, mark) in [
            ("0.5", Some(Mark::Point)),
            ("1,5 GB", Some(Mark::Comma)),
            ("1.024,5", Some(Mark::Comma)),
            ("1.024", None),
            ("1024", None),
            ("1,000,000", None),
            ("shop", None),
        ] {
            assert_eq!(mark_of(text), mark, "{text}");
        }
    }
}
