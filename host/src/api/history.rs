//! The endpoints that tell what apps did at other times: one app over a range, all apps at one moment; of this
//! host, or of all.
//! Reads no file itself: `crate::history` does.

use std::ops::Range;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use steerage_core::history::Grain;
use steerage_core::id::AppName;

use super::fleet_wide::{self, whom};
use super::problem::{Cause, Refusal};
use super::{Asked, Named, Shared, slots, wire};
use crate::agent::now;
use crate::history::History;

/// How long before the end it begins where nobody says, in seconds.
const RANGE: u64 = 3600;
/// How many apps are told of unless somebody says otherwise.
const APPS: usize = 100;
/// Of so many each other host tells at least, since what uses little on one may use most on all.
const APPS_OF_EACH: usize = 1_000;

/// What is asked for of one app.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RangeQuery {
    since: Option<String>,
    until: Option<String>,
    step: Option<String>,
    host: Option<String>,
}

/// What is asked for of one moment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AtQuery {
    at: Option<String>,
    step: Option<String>,
    limit: Option<usize>,
    host: Option<String>,
}

/// Slots in a row.
#[derive(Clone, Debug)]
pub(super) struct Asks {
    grain: Grain,
    slots: Range<u32>,
}

/// `GET /v1/apps/{app}/history`.
pub(super) async fn of_app(
    State(state): State<Shared>,
    Named(app): Named,
    Asked(query): Asked<RangeQuery>,
) -> Result<Json<wire::AppHistory>, Refusal> {
    let of = whom(&state, query.host.as_deref())?;
    let asked = query.read(now() / 1000)?;
    let is_empty = asked.slots.is_empty();
    let here = here_of_app(&state, &app, asked).await?;
    if is_empty {
        // Nobody keeps anything of that time.
        state.app(&app)?;
        return Ok(Json(here));
    }
    let step = word(here.step);
    let (since, until) = (wire::moment(here.since), wire::moment(here.until));
    let path = format!("/v1/apps/{app}/history?since={since}&until={until}&step={step}");
    let told = fleet_wide::gather(of, &path, here, usize::MAX).await?;
    // An app that was removed has a past.
    if told.slots.is_empty() {
        state.app(&app)?;
    }
    Ok(Json(told))
}

/// `GET /v1/history`.
pub(super) async fn at(
    State(state): State<Shared>,
    Asked(query): Asked<AtQuery>,
) -> Result<Json<wire::HistoryAt>, Refusal> {
    let of = whom(&state, query.host.as_deref())?;
    let (asked, limit) = (query.read(now() / 1000)?, query.limit.unwrap_or(APPS));
    let here = here_at(&state, asked, usize::MAX).await?;
    let (of_each, at) = (limit.max(APPS_OF_EACH), wire::moment(asked.0 * 1000));
    // As long as here: a minute and an hour are no sum.
    let step = word(here.step);
    let path = format!("/v1/history?at={at}&limit={of_each}&step={step}");
    let mut told = fleet_wide::gather(of, &path, here, limit).await?;
    told.apps.truncate(limit);
    Ok(Json(told))
}

/// What this host knows of one app, for another host.
pub(super) async fn of_app_here(
    State(state): State<Shared>,
    Named(app): Named,
    Asked(query): Asked<RangeQuery>,
) -> Result<Json<wire::AppHistory>, Refusal> {
    Ok(Json(here_of_app(&state, &app, query.read(now() / 1000)?).await?))
}

/// What this host knows of one moment, for another host.
pub(super) async fn at_here(
    State(state): State<Shared>,
    Asked(query): Asked<AtQuery>,
) -> Result<Json<wire::HistoryAt>, Refusal> {
    let limit = query.limit.unwrap_or(APPS);
    Ok(Json(here_at(&state, query.read(now() / 1000)?, limit).await?))
}

async fn here_of_app(
    state: &Shared,
    app: &AppName,
    Asks { grain, slots: range }: Asks,
) -> Result<wire::AppHistory, Refusal> {
    let (history, of, asked) = (kept(state)?, app.clone(), range.clone());
    let found = read(move || history.of_app(&of, grain, asked, now() / 1000)).await?;
    let told =
        found.iter().map(|(slot, did)| slots::told(slots::begin(grain, *slot), app.as_str(), did));
    Ok(wire::AppHistory {
        app: app.to_string(),
        step: slots::step(grain),
        since: slots::begin(grain, range.start),
        until: slots::begin(grain, range.end),
        slots: told.collect(),
        sources: None,
    })
}

async fn here_at(
    state: &Shared,
    (at, grain): (u64, Option<Grain>),
    limit: usize,
) -> Result<wire::HistoryAt, Refusal> {
    let (history, now) = (kept(state)?, now() / 1000);
    let (grain, found) = read(move || {
        let finest = grain.unwrap_or_else(|| Grain::that_tells_of(at, now));
        let found = history.at(finest, finest.slot_of(at), now);
        let hour = Grain::Hour.slot_of(at);
        // Where the bound of the disk has taken the minutes, the hour still knows.
        if found.is_empty() && grain.is_none() && !history.has_minutes_of(hour) {
            let of_hour = history.at(Grain::Hour, hour, now);
            if !of_hour.is_empty() {
                return (Grain::Hour, of_hour);
            }
        }
        (finest, found)
    })
    .await?;
    let begin = slots::begin(grain, grain.slot_of(at));
    let mut apps: Vec<_> = found.iter().map(|(app, did)| slots::told(begin, app, did)).collect();
    sort(&mut apps);
    let apps_active = apps.len();
    apps.truncate(limit);
    Ok(wire::HistoryAt { at: begin, step: slots::step(grain), apps_active, apps, sources: None })
}

fn word(step: wire::Step) -> &'static str {
    match step {
        wire::Step::Minute => "minute",
        wire::Step::Hour => "hour",
    }
}

/// The length of slots that is asked for.
fn grain(said: Option<&str>) -> Result<Option<Grain>, Refusal> {
    match said {
        None => Ok(None),
        Some("minute") => Ok(Some(Grain::Minute)),
        Some("hour") => Ok(Some(Grain::Hour)),
        Some(other) => Err(bad(format!("step: {other:?} is neither minute nor hour"))),
    }
}

/// The most CPU time first.
pub(super) fn sort(apps: &mut [wire::HistorySlot]) {
    apps.sort_by(|one, other| other.cpu_us.cmp(&one.cpu_us).then_with(|| one.app.cmp(&other.app)));
}

pub(super) fn kept(state: &Shared) -> Result<Arc<History>, Refusal> {
    state.history.clone().ok_or_else(|| {
        let detail = "this host keeps no history: it was started with --history-disk 0";
        Refusal::new(Cause::NotFound, detail)
    })
}

/// On a thread that may wait for the disk.
pub(super) async fn read<T: Send + 'static>(
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(read).await.map_err(|error| {
        tracing::error!(%error, "reading the history of apps has failed");
        Refusal::new(Cause::Internal, "reading the history has failed; the host's log has more")
    })
}

impl RangeQuery {
    /// Which slots are asked for, at a time in seconds since the epoch.
    fn read(&self, now: u64) -> Result<Asks, Refusal> {
        let until =
            moment("until", self.until.as_deref())?.unwrap_or_else(|| now.saturating_add(1));
        let since = moment("since", self.since.as_deref())?;
        let since = since.unwrap_or_else(|| until.saturating_sub(RANGE));
        if since >= until {
            let (since, until) = (wire::moment(since * 1000), wire::moment(until * 1000));
            return Err(bad(format!("since: {since} is not before {until}, the end")));
        }
        let grain = grain(self.step.as_deref())?;
        let grain = grain.unwrap_or_else(|| Grain::that_tells_of(since, now));
        // Before that nothing is kept, and the future has nothing to tell.
        let this = grain.slot_of(now);
        let first = grain.slot_of(since).max(this.saturating_sub(grain.kept()));
        let last = grain.slot_of(until - 1).min(this);
        Ok(Asks { grain, slots: first..last.saturating_add(1).max(first) })
    }
}

impl AtQuery {
    /// Which moment is asked for, in seconds since the epoch, and in which slots where that is said.
    fn read(&self, now: u64) -> Result<(u64, Option<Grain>), Refusal> {
        let grain = grain(self.step.as_deref())?;
        let at = moment("at", self.at.as_deref())?;
        let at =
            at.ok_or_else(|| bad("at: says no moment, such as 2026-11-25T03:12:00Z".to_owned()))?;
        // The clock of another host may be a little ahead.
        if at / 60 > now / 60 + 1 {
            let (at, now) = (wire::moment(at * 1000), wire::moment(now * 1000));
            return Err(bad(format!("at: {at} is ahead: here it is {now}")));
        }
        Ok((at, grain))
    }
}

/// A moment in seconds since the epoch.
pub(super) fn moment(key: &str, said: Option<&str>) -> Result<Option<u64>, Refusal> {
    let Some(said) = said else { return Ok(None) };
    let read = said.parse::<Timestamp>().map_err(|error| error.to_string());
    let seconds = read
        .and_then(|at| u64::try_from(at.as_second()).map_err(|_| "it is before 1970".to_owned()));
    match seconds {
        // So that no sum of it passes any bound.
        Ok(seconds) if seconds < u64::from(u32::MAX) * 60 => Ok(Some(seconds)),
        Ok(_) => Err(bad(format!("{key}: {said:?} is too far ahead"))),
        Err(error) => {
            Err(bad(format!("{key}: {said:?} is no moment such as 2026-11-25T03:12:00Z: {error}")))
        }
    }
}

fn bad(detail: String) -> Refusal {
    Refusal::new(Cause::BadRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_626_245;

    fn range(since: &str, until: &str, step: &str) -> Result<(Grain, u32), String> {
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let query =
            RangeQuery { since: said(since), until: said(until), step: said(step), host: None };
        let asks = query.read(NOW).map_err(|refusal| format!("{refusal:?}"))?;
        Ok((asks.grain, asks.slots.end - asks.slots.start))
    }

    #[test]
    fn a_range_is_read_as_slots_that_are_kept() {
        assert_eq!(range("", "", ""), Ok((Grain::Minute, 61)));
        assert_eq!(range("2026-11-25T11:04:05Z", "", ""), Ok((Grain::Minute, 6 * 60 + 1)));
        assert_eq!(range("2026-11-25T11:04:05Z", "", "hour"), Ok((Grain::Hour, 7)));
        assert_eq!(range("2026-11-20T17:04:05Z", "", ""), Ok((Grain::Hour, 5 * 24 + 1)));
        assert_eq!(range("2020-01-01T00:00:00Z", "", ""), Ok((Grain::Hour, 30 * 24 + 1)));
        assert_eq!(range("2020-01-01T00:00:00Z", "2020-02-01T00:00:00Z", ""), Ok((Grain::Hour, 0)));
        let whole = range("2026-11-25T16:00:00Z", "2026-11-25T17:00:00Z", "minute");
        assert_eq!(whole, Ok((Grain::Minute, 60)));
        assert_eq!(range("", "9998-12-31T00:00:00Z", ""), Ok((Grain::Minute, 0)));
    }

    #[test]
    fn what_is_no_range_is_refused_with_its_name() {
        for (since, until, step, part) in [
            ("yesterday", "", "", "since: \\\"yesterday\\\""),
            ("1960-01-01T00:00:00Z", "", "", "before 1970"),
            ("2026-11-25T17:00:00Z", "2026-11-25T16:00:00Z", "", "is not before"),
            ("", "", "day", "step: \\\"day\\\""),
        ] {
            let refused = range(since, until, step).unwrap_err();
            assert!(refused.contains(part), "{refused} has no {part}");
        }
    }

    #[test]
    fn a_moment_has_to_be_said_and_must_not_be_ahead() {
        let at = |text: &str| AtQuery {
            at: Some(text.to_owned()),
            step: Some("hour".to_owned()),
            limit: None,
            host: None,
        };
        let read = at("2026-11-25T16:00:00Z").read(NOW).unwrap();
        assert_eq!(read, (1_795_622_400, Some(Grain::Hour)));
        let ahead = format!("{:?}", at("2026-11-25T18:00:00Z").read(NOW).unwrap_err());
        assert!(ahead.contains("is ahead"), "{ahead}");
        let none = AtQuery { at: None, step: None, limit: None, host: None };
        assert!(format!("{:?}", none.read(NOW).unwrap_err()).contains("at: says no moment"));
    }
}
