//! Numbers as people write them: sizes, durations, ages, counts.
//! Only for reading by people: JSON output carries plain numbers with their unit in the name.

use std::time::Duration;

use jiff::Timestamp;
pub use steerage_core::units::{about_duration as duration, many};
use steerage_core::units::{age, show_duration};

use crate::api::wire;

/// A size with three significant digits at most: `512 B`, `78.2 KiB`, `1.5 GiB`.
#[must_use]
pub fn bytes(size: u64) -> String {
    scaled(size, 1024, &["B", "KiB", "MiB", "GiB", "TiB"], " ")
}

/// A count with three significant digits at most: `950`, `12.4k`, `3.1M`.
#[must_use]
pub fn count(number: u64) -> String {
    scaled(number, 1000, &["", "k", "M", "G", "T"], "")
}

fn scaled(number: u64, step: u64, units: &[&str], gap: &str) -> String {
    let mut divisor = 1_u64;
    let mut units = units.iter().peekable();
    while let Some(unit) = units.next() {
        let whole = number / divisor;
        // Past 999 the next unit reads better; at the last one there is none.
        if whole < 1000 || units.peek().is_none() {
            let tenth = (number % divisor).saturating_mul(10) / divisor;
            return if divisor == 1 || whole >= 100 {
                format!("{whole}{gap}{unit}")
            } else {
                format!("{whole}.{tenth}{gap}{unit}")
            };
        }
        divisor = divisor.saturating_mul(step);
    }
    number.to_string()
}

/// How long ago something was, by its two largest units: `12s`, `3m`, `2h5m`, `3d4h`.
///
/// Both times are milliseconds since the epoch. A time that lies ahead, as between machines whose
/// clocks differ, counts as now.
#[must_use]
pub fn since(then: u64, now: u64) -> String {
    age(now.saturating_sub(then) / 1_000)
}

/// This moment in milliseconds since the epoch.
#[must_use]
pub fn now() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// The time of day in UTC of a moment in milliseconds since the epoch: `03:12:45.120Z`.
#[must_use]
pub fn clock(at: u64) -> String {
    let moment = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    moment.map_or_else(|| "?".to_owned(), |moment| moment.strftime("%H:%M:%S.%3fZ").to_string())
}

/// The same, after the date where that is not the day of `now`: `2026-11-25 03:12:45.120Z`.
#[must_use]
pub fn clock_of(at: u64, now: u64) -> String {
    let day = |at: u64| at / 86_400_000;
    let moment = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    match moment.filter(|_| day(at) != day(now)) {
        Some(moment) => format!("{} {}", moment.strftime("%Y-%m-%d"), clock(at)),
        None => clock(at),
    }
}

/// The percentiles 50, 95 and 99 of how long calls took; nothing where none is over.
pub(super) fn percentiles(latency: &wire::Latency) -> [String; 3] {
    let shown = latency.percentiles().map(|each| each.map(duration));
    shown.unwrap_or_default()
}

/// That a component imports what the host does not have.
#[must_use]
pub(super) fn not_offered(interfaces: &[String]) -> String {
    const MOST: usize = 5;
    let shown = interfaces.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match interfaces.len().saturating_sub(MOST) {
        0 => String::new(),
        n_more => format!(" and {n_more} more (`steerage validate` lists all)"),
    };
    format!("it imports what this host does not offer, and a call of it traps: {shown}{more}")
}

/// A digest short enough to read and long enough to recognise.
#[must_use]
pub fn short_digest(digest: &str) -> &str {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..12).unwrap_or(hex)
}

/// That nothing is planned, since when, why, and what to do.
pub(super) fn frozen(frozen: &wire::Frozen) -> String {
    let wire::Frozen { seconds, why } = frozen;
    let because = why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    let since = show_duration(Duration::from_secs(*seconds));
    format!("nothing is planned, for {since} by now{because}; `steerage fleet thaw` lets it go on")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::visible::visible;

    #[test]
    fn sizes_keep_three_digits() {
        let shown = [0, 512, 999, 1_000, 1_536, 80_077, 233_000, 3_145_728, u64::MAX].map(bytes);
        assert_eq!(
            shown,
            [
                "0 B",
                "512 B",
                "999 B",
                "0.9 KiB",
                "1.5 KiB",
                "78.2 KiB",
                "227 KiB",
                "3.0 MiB",
                "16777215 TiB"
            ]
        );
    }

    #[test]
    fn counts_keep_three_digits() {
        let shown = [0, 950, 12_450, 3_140_000, 999_999_999].map(count);
        assert_eq!(shown, ["0", "950", "12.4k", "3.1M", "999M"]);
    }

    #[test]
    fn ages_drop_what_does_not_matter() {
        let shown = [0, 59, 60, 190, 660, 7_500, 90_000, 864_000]
            .map(|seconds| since(5_000, 5_000 + seconds * 1_000));
        assert_eq!(shown, ["0s", "59s", "1m", "3m10s", "11m", "2h5m", "1d1h", "10d"]);
        assert_eq!(since(5_000, 0), "0s");
    }

    /// Of the words that the page has to say as well; the test of the page compares it with the same file.
    #[test]
    fn the_words_that_the_page_shares_are_these() {
        let words = include_str!("../../tests/page/words.json");
        let words: serde_json::Value = serde_json::from_str(words).unwrap();
        let check = |kind: &str, say: &dyn Fn(&serde_json::Value) -> String| {
            let list = words[kind].as_array().unwrap();
            assert!(list.len() > 8, "{kind}");
            for pair in list {
                assert_eq!(say(&pair[0]), pair[1].as_str().unwrap(), "{kind} of {}", pair[0]);
            }
        };
        check("bytes", &|it| bytes(it.as_u64().unwrap()));
        check("count", &|it| count(it.as_u64().unwrap()));
        check("duration", &|it| duration(Duration::from_micros(it.as_u64().unwrap())));
        check("age", &|it| age(it.as_u64().unwrap()));
        check("visible", &|it| visible(it.as_str().unwrap()).into_owned());
    }

    #[test]
    fn clocks_show_milliseconds() {
        assert_eq!(clock(86_399_007), "23:59:59.007Z");
        assert_eq!(clock(u64::MAX), "?");
    }

    #[test]
    fn the_date_is_shown_where_it_is_not_todays() {
        assert_eq!(clock_of(86_399_007, 0), "23:59:59.007Z");
        assert_eq!(clock_of(86_399_007, 86_400_000), "1970-01-01 23:59:59.007Z");
        assert_eq!(clock_of(u64::MAX, 0), "?");
    }
}
