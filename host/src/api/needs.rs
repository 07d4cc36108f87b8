//! What apps needed on each day, as hosts tell it each other: a few numbers a day, so that the days of a month of
//! many thousand apps are one answer.
//! Is not told to operators, asks nobody and advises nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use steerage_core::advice::{AppNeeds, DayNeeds};

use super::wire;

/// Where hosts ask each other.
pub(super) const PATH: &str = "/v1/needs";

/// The numbers of one day, in the order of [`numbers`]; the last one is 0. Hosts of earlier versions tell something
/// there and expect it, and an answer of another length they could not read.
type ToldDay = [u64; 12];

/// What apps needed.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct ToldNeeds {
    apps: BTreeMap<String, BTreeMap<u32, ToldDay>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sources: Option<wire::Sources>,
}

impl ToldNeeds {
    /// What one host knows.
    pub(super) fn of(needs: &BTreeMap<String, AppNeeds>) -> Self {
        let days =
            |needs: &AppNeeds| needs.days.iter().map(|(day, did)| (*day, told(did))).collect();
        let apps = needs.iter().map(|(app, needs)| (app.clone(), days(needs))).collect();
        Self { apps, sources: None }
    }

    /// The apps, and what each needed.
    pub(super) fn read(&self) -> BTreeMap<String, AppNeeds> {
        let days = |days: &BTreeMap<u32, ToldDay>| {
            let days = days.iter().map(|(day, did)| (*day, read(did)));
            AppNeeds { days: days.collect() }
        };
        self.apps.iter().map(|(app, told)| (app.clone(), days(told))).collect()
    }

    /// Adds what another host says.
    pub(super) fn add_beside(&mut self, other: Self) {
        for (app, days) in other.apps {
            let sum = self.apps.entry(app).or_default();
            for (day, did) in days {
                let mut both = sum.get(&day).map(read).unwrap_or_default();
                both.add(&read(&did));
                sum.insert(day, told(&both));
            }
        }
    }
}

/// The numbers of a day, in the order in which they are told.
fn numbers(day: &mut DayNeeds) -> [&mut u64; 11] {
    // Without `..`: a number that is not told would be nothing on other hosts.
    let DayNeeds {
        calls,
        fuel,
        memory,
        latency_us,
        out_of_fuel,
        out_of_memory,
        timed_out,
        busy,
        cpu_us,
        cpu_hour_us,
        held,
    } = day;
    [
        calls,
        fuel,
        memory,
        latency_us,
        out_of_fuel,
        out_of_memory,
        timed_out,
        busy,
        cpu_us,
        cpu_hour_us,
        held,
    ]
}

fn told(day: &DayNeeds) -> ToldDay {
    let mut told = ToldDay::default();
    for (told, number) in told.iter_mut().zip(numbers(&mut { *day })) {
        *told = *number;
    }
    told
}

fn read(told: &ToldDay) -> DayNeeds {
    let mut day = DayNeeds::default();
    for (number, told) in numbers(&mut day).into_iter().zip(told) {
        *number = *told;
    }
    day
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_told_and_read_and_those_of_two_hosts_add_up() {
        let mut numbers: ToldDay = std::array::from_fn(|place| place as u64 + 1);
        numbers[11] = 0;
        assert_eq!(told(&read(&numbers)), numbers);
        let one = || ToldNeeds {
            apps: BTreeMap::from([("web".to_owned(), BTreeMap::from([(3, numbers)]))]),
            sources: None,
        };
        let mut both = one();
        both.add_beside(one());
        let both = both.read()["web"].days[&3];
        // Counts are sums; what one call or one host had at most is not.
        let DayNeeds { calls, fuel, held, busy, cpu_us, cpu_hour_us, .. } = both;
        assert_eq!((calls, fuel, held, busy, cpu_us, cpu_hour_us), (2, 2, 11, 16, 18, 10));
    }
}
