//! Durations as people read them, rounded. What is read again by programs has `show_duration`.

use std::time::Duration;

/// A duration by its largest unit: `840 us`, `12.5 ms`, `3.2 s`, `4m10s`, `2h5m`, `3d4h`.
#[must_use]
pub fn about_duration(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let seconds = duration.as_secs();
    match seconds {
        0 if micros < 1_000 => format!("{micros} us"),
        0 if micros < 100_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        0 => format!("{} ms", micros / 1_000),
        1..60 => format!("{seconds}.{} s", duration.subsec_millis() / 100),
        _ => age(seconds),
    }
}

/// How long ago something was, both moments being milliseconds since the epoch; what lies ahead, by another
/// host's clock, counts as now.
#[must_use]
pub fn ago(now: u64, at: u64) -> String {
    age(now.saturating_sub(at) / 1000)
}

/// How long something is or has been, by its two largest units: `12s`, `3m`, `2h5m`, `3d4h`.
#[must_use]
pub fn age(seconds: u64) -> String {
    let pair = |large: u64, large_unit: &str, small: u64, small_unit: &str| {
        if small == 0 || large >= 10 {
            format!("{large}{large_unit}")
        } else {
            format!("{large}{large_unit}{small}{small_unit}")
        }
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => pair(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => pair(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_use_their_largest_unit() {
        let shown = [15, 1_250, 99_900, 250_000, 3_210_000, 250_000_000, 7_500_000_000]
            .map(|micros| about_duration(Duration::from_micros(micros)));
        assert_eq!(shown, ["15 us", "1.2 ms", "99.9 ms", "250 ms", "3.2 s", "4m10s", "2h5m"]);
    }
}
