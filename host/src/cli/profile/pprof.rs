//! A profile as pprof reads it: `perftools.profiles.Profile` by its field numbers
//! (<https://github.com/google/pprof/blob/main/proto/profile.proto>). It may be compressed, and is not.
//! Fields that are not written are left out.

use std::collections::BTreeMap;

use prost::Message;
use steerage_core::profile::Profile;

#[derive(Clone, PartialEq, Message)]
struct PprofProfile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<PprofValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<PprofSample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<PprofLocation>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<PprofFunction>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<PprofValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

/// What is counted and in what, as places in the table of strings.
#[derive(Clone, Copy, PartialEq, Message)]
struct PprofValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct PprofSample {
    /// The innermost first.
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct PprofLocation {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<PprofLine>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct PprofLine {
    #[prost(uint64, tag = "1")]
    function_id: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct PprofFunction {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
}

/// The table of strings, whose first is empty.
#[derive(Debug)]
struct Strings {
    all: Vec<String>,
    places: BTreeMap<String, i64>,
}

impl Strings {
    fn place(&mut self, text: &str) -> i64 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = i64::try_from(self.all.len()).unwrap_or(i64::MAX);
        self.all.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }
}

/// The profile, sampled so often for each second of CPU time.
pub(super) fn encode(profile: &Profile, per_second: u32) -> Vec<u8> {
    let mut strings = Strings { all: vec![String::new()], places: BTreeMap::new() };
    let samples = PprofValueType { kind: strings.place("samples"), unit: strings.place("count") };
    let cpu = PprofValueType { kind: strings.place("cpu"), unit: strings.place("nanoseconds") };
    let period = 1_000_000_000 / i64::from(per_second.max(1));
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    // A function is one place, since nothing finer is known. Numbers begin with 1.
    let mut functions: BTreeMap<&str, u64> = BTreeMap::new();
    let mut sample = Vec::new();
    for (stack, number) in profile.whole() {
        let location_id = stack.iter().rev().map(|name| {
            let next = functions.len() as u64 + 1;
            *functions.entry(name).or_insert(next)
        });
        let location_id = location_id.collect();
        let number = whole(number);
        sample
            .push(PprofSample { location_id, value: vec![number, number.saturating_mul(period)] });
    }
    let mut by_number: Vec<(u64, &str)> = functions.iter().map(|(name, id)| (*id, *name)).collect();
    by_number.sort_unstable();
    let function = by_number.iter().map(|(id, name)| {
        let name = strings.place(name);
        PprofFunction { id: *id, name, system_name: name }
    });
    let function = function.collect();
    let location = by_number
        .iter()
        .map(|(id, _)| PprofLocation { id: *id, line: vec![PprofLine { function_id: *id }] });
    let location = location.collect();
    let (since, until) = profile.found().unwrap_or_default();
    let nanoseconds = |milliseconds: u64| whole(milliseconds.saturating_mul(1_000_000));
    let profile = PprofProfile {
        sample_type: vec![samples, cpu],
        sample,
        location,
        function,
        string_table: strings.all,
        time_nanos: nanoseconds(since),
        duration_nanos: nanoseconds(until.saturating_sub(since)),
        period_type: Some(cpu),
        period,
    };
    profile.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_written_with_the_innermost_first_and_their_cpu_time() {
        let mut profile = Profile::default();
        profile.note(1_000, ["main", "sort"].into_iter(), 3);
        profile.note(2_000, ["main"].into_iter(), 1);
        let read = PprofProfile::decode(&*encode(&profile, 20)).unwrap();
        let name = |id: &u64| {
            let location = read.location.iter().find(|location| location.id == *id).unwrap();
            let function = read.function.iter().find(|of| of.id == location.line[0].function_id);
            read.string_table[usize::try_from(function.unwrap().name).unwrap()].clone()
        };
        let told: Vec<(Vec<String>, Vec<i64>)> = read
            .sample
            .iter()
            .map(|sample| (sample.location_id.iter().map(name).collect(), sample.value.clone()))
            .collect();
        let own = |text: &str| text.to_owned();
        assert_eq!(
            told,
            [
                (vec![own("main")], vec![1, 50_000_000]),
                (vec![own("sort"), own("main")], vec![3, 150_000_000]),
            ]
        );
        assert_eq!(read.string_table[0], "");
        assert_eq!((read.time_nanos, read.duration_nanos), (1_000_000_000, 1_000_000_000));
    }
}
