//! Decimal numbers with a unit behind them, exactly: no floating point, nothing is rounded.
//! Does not know any unit: the callers bring their tables.

/// The most digits a shown number has after its point.
const MOST_DECIMALS: u32 = 3;

/// Splits off the number at the start of the text: digits, `_` and at most what looks like a
/// point. Spaces between number and unit are dropped.
pub(crate) fn split(text: &str) -> (&str, &str) {
    let end =
        text.find(|letter: char| !matches!(letter, '0'..='9' | '_' | '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).unwrap_or((text, ""));
    (number, unit.trim_start_matches(' '))
}

/// The number times the scale, if that is a whole number that fits.
pub(crate) fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = digits(whole)?;
    let decimals = u32::try_from(fraction.bytes().filter(|&b| b != b'_').count()).ok()?;
    let divisor = 10u128.checked_pow(decimals)?;
    let parts = u128::from(digits(fraction)?).checked_mul(u128::from(scale))?;
    if parts % divisor != 0 {
        return None;
    }
    let parts = u64::try_from(parts / divisor).ok()?;
    whole.checked_mul(scale)?.checked_add(parts)
}

/// Reads digits; a `_` may stand between two of them.
fn digits(text: &str) -> Option<u64> {
    let mut number = 0u64;
    for group in text.split('_') {
        if group.is_empty() {
            return None;
        }
        for digit in group.chars() {
            number = number.checked_mul(10)?.checked_add(u64::from(digit.to_digit(10)?))?;
        }
    }
    Some(number)
}

/// The shortest text for the amount; the first of the units where several are as short.
pub(super) fn shortest(amount: u64, units: &[(&str, u64)]) -> String {
    if amount == 0 {
        return "0".to_owned();
    }
    let texts = units.iter().filter_map(|&(unit, scale)| {
        exactly(amount, scale).map(|mut text| {
            text.push_str(unit);
            text
        })
    });
    texts.min_by_key(String::len).unwrap_or_else(|| amount.to_string())
}

/// The amount in the first of the units of which there is a whole one, cut to one decimal.
pub(super) fn about(amount: u64, units: &[(&str, u64)]) -> String {
    let fitting = units.iter().find(|(_, scale)| amount >= *scale);
    let Some(&(unit, scale)) = fitting.filter(|(_, scale)| *scale > 1) else {
        return shortest(amount, units);
    };
    // The rest is below the scale, which is at most 10^9 or 2^30.
    let (whole, tenth) = (amount / scale, amount % scale * 10 / scale);
    if tenth == 0 { format!("{whole}{unit}") } else { format!("{whole}.{tenth}{unit}") }
}

/// The amount in units of the scale, if few decimals say it exactly.
fn exactly(amount: u64, scale: u64) -> Option<String> {
    let whole = amount.checked_div(scale)?;
    let mut rest = amount % scale;
    if whole == 0 {
        return None;
    }
    let mut text = whole.to_string();
    if rest > 0 {
        text.push('.');
    }
    for _ in 0..MOST_DECIMALS {
        if rest == 0 {
            break;
        }
        // The rest is below the scale, which is at most 10^9 or 2^30.
        rest = rest.checked_mul(10)?;
        text.push_str(&(rest / scale).to_string());
        rest %= scale;
    }
    (rest == 0).then_some(text)
}
