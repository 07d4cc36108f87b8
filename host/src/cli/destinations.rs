//! Whom an app's outbound requests asked, as a table of `steerage show`.
//! Only arranges what the host tells.

use std::time::Duration;

use super::human;
use super::table::Table;
use super::visible::visible;
use crate::api::wire;

/// Columns that a narrow terminal does without, the first first.
const LEAST: [&str; 3] = ["WAITED", "MEDIAN", "P95"];

/// One line a destination.
pub(super) fn table(destinations: &[wire::Destination], now: u64, width: Option<usize>) -> String {
    let columns =
        ["DESTINATION", ">CALLS", ">FAILED", ">5XX", ">MEDIAN", ">P95", ">WAITED", "LAST ERROR"];
    let mut table = Table::new(&columns);
    for known in destinations {
        let took = |us: u64| match us {
            0 => String::new(),
            us => human::duration(Duration::from_micros(us)),
        };
        let running = match known.running {
            0 => String::new(),
            running => format!("+{running}"),
        };
        table.row([
            visible(&known.destination).into(),
            format!("{}{running}", human::count(known.requests)),
            human::count(known.failed),
            human::count(known.errors),
            took(known.p50_us),
            took(known.p95_us),
            took(known.waited_us),
            known.last_error.as_ref().map(|error| last(error, now)).unwrap_or_default(),
        ]);
    }
    table.fit(width, &LEAST);
    table.render()
}

fn last(error: &wire::DestinationError, now: u64) -> String {
    format!("{}, {} ago", visible(&error.why), human::since(error.at, now))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn destinations_are_told_with_their_errors_and_latency() {
        let good = wire::Destination {
            destination: "db.internal:5432".to_owned(),
            requests: 12_345,
            p50_us: 1_200,
            p95_us: 4_000,
            waited_us: 16_000_000,
            ..wire::Destination::default()
        };
        let bad = wire::Destination {
            destination: "api.example.com:443".to_owned(),
            requests: 15,
            running: 2,
            failed: 13,
            errors: 1,
            p50_us: 2_000_000,
            p95_us: 2_000_000,
            waited_us: 30_000_000,
            last_error: Some(wire::DestinationError {
                at: 190_000,
                end: "timed_out".to_owned(),
                why: "no answer in time".to_owned(),
            }),
            ..wire::Destination::default()
        };
        let all = [good, bad];
        expect![[r#"
            DESTINATION          CALLS  FAILED  5XX  MEDIAN     P95  WAITED  LAST ERROR
            db.internal:5432     12.3k       0    0  1.2 ms  4.0 ms  16.0 s
            api.example.com:443   15+2      13    1   2.0 s   2.0 s  30.0 s  no answer in time, 10s ago"#]].assert_eq(&table(&all, 200_000, None));
        expect![[r#"
            DESTINATION          CALLS  FAILED  5XX     P95  LAST ERROR
            db.internal:5432     12.3k       0    0  4.0 ms
            api.example.com:443   15+2      13    1   2.0 s  no answer in time, 10s ago"#]]
        .assert_eq(&table(&all, 200_000, Some(80)));
        assert!(table(&all, 200_000, Some(80)).lines().all(|line| line.len() <= 80));
    }
}
