//! `GET /v1/apps/{app}/profile`: where the guests of an app spend their CPU time, of all hosts.
//! Samples nothing: `telemetry::profiles` does.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use steerage_core::id::{AppName, HostName};
use steerage_core::profile::Profile;

use super::fleet_wide::{self, Together, whom};
use super::here::HostQuery;
use super::problem::Refusal;
use super::{ApiState, Asked, Named, Shared, wire};
use crate::telemetry::profiles;

/// `GET /v1/apps/{app}/profile`.
pub(super) async fn of_app(
    State(state): State<Shared>,
    Named(app): Named,
    Asked(query): Asked<HostQuery>,
) -> Result<Json<wire::AppProfile>, Refusal> {
    let of = whom(&state, query.host.as_deref())?;
    // With what was sampled in the last moments.
    drop(tokio::task::spawn_blocking(profiles::take).await);
    let (path, here) = (format!("/v1/apps/{app}/profile"), state.profile(&app));
    let told = fleet_wide::gather(of, &path, here, usize::MAX).await?;
    // An app that was removed has one, too.
    if told.deployments.is_empty() {
        state.app(&app)?;
    }
    Ok(Json(told))
}

impl ApiState {
    /// What this host found.
    fn profile(&self, app: &AppName) -> wire::AppProfile {
        let found = self.telemetry.profiles.of(app).into_iter();
        let deployments =
            found.filter_map(|(generation, profile)| write(generation.get(), &profile));
        let (per_second, deployments) = (profiles::frequency(), deployments.collect());
        wire::AppProfile { per_second, deployments, lost: profiles::n_lost(), sources: None }
    }
}

impl Together for wire::AppProfile {
    fn come_from(&mut self, _: &HostName) {}

    fn forget_numbers(&mut self) {
        *self = Self::default();
    }

    fn add(&mut self, other: Self) {
        // Where hosts sample differently often, what one sample stands for differs.
        let per_second = self.per_second.max(other.per_second);
        let mut each: BTreeMap<u64, Profile> = BTreeMap::new();
        let mine = std::mem::take(&mut self.deployments);
        for (was, deployments) in [(self.per_second, mine), (other.per_second, other.deployments)] {
            for told in deployments {
                let profile = told.scaled(per_second, was).read();
                let sum = each.entry(told.generation).or_default();
                sum.add(&profile);
            }
        }
        self.lost += other.lost;
        let told = each.iter().filter_map(|(generation, profile)| write(*generation, profile));
        self.deployments = told.collect();
        self.per_second = per_second;
    }

    fn finish(&mut self, _: usize, sources: wire::Sources) {
        self.sources = Some(sources);
    }
}

/// A profile as it is told; nothing where nothing was found.
fn write(generation: u64, profile: &Profile) -> Option<wire::DeploymentProfile> {
    let (since, until) = profile.found()?;
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut functions = Vec::new();
    let mut place = |name| {
        *places.entry(name).or_insert_with(|| {
            functions.push(str::to_owned(name));
            functions.len() - 1
        })
    };
    let stacks = profile.stacks().map(|(stack, samples)| {
        let functions = stack.into_iter().map(&mut place).collect();
        wire::ProfileStack { functions, samples }
    });
    let stacks = stacks.collect();
    let (samples, left_out) = (profile.n_samples(), profile.n_left_out());
    Some(wire::DeploymentProfile { generation, since, until, samples, left_out, functions, stacks })
}

impl wire::DeploymentProfile {
    /// The same as if it had been sampled so often, and not as often as it was.
    fn scaled(&self, wanted: u32, was: u32) -> Self {
        let scale = |number: u64| {
            number.saturating_mul(wanted.into()).checked_div(was.into()).unwrap_or(number)
        };
        let mut scaled = self.clone();
        scaled.left_out = scale(self.left_out);
        scaled.stacks.iter_mut().for_each(|stack| stack.samples = scale(stack.samples));
        scaled
    }

    /// The profile that is told.
    #[must_use]
    pub fn read(&self) -> Profile {
        let mut profile = Profile::default();
        for stack in &self.stacks {
            let names = stack.functions.iter().filter_map(|place| self.functions.get(*place));
            profile.note(self.until, names.map(String::as_str), stack.samples);
        }
        profile.note_told((self.since, self.until), self.left_out);
        profile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_as_it_was_and_that_of_two_hosts_adds_up() {
        let mut profile = Profile::default();
        profile.note(20, ["main", "sort"].into_iter(), 3);
        profile.note(10, ["main"].into_iter(), 1);
        let told = write(7, &profile).unwrap();
        assert_eq!(told.read(), profile);
        let one = || wire::AppProfile {
            per_second: 19,
            deployments: vec![told.clone()],
            lost: 1,
            sources: None,
        };
        let mut both = one();
        both.add(one());
        let [of_both] = &both.deployments[..] else { panic!("{both:?}") };
        assert_eq!((of_both.generation, of_both.samples, of_both.since), (7, 8, 10));
        assert_eq!((both.lost, both.per_second), (2, 19));
        both.add(wire::AppProfile { per_second: 38, ..one() });
        assert_eq!((both.deployments[0].samples, both.per_second), (8 * 2 + 4, 38));
        assert_eq!(write(7, &Profile::default()), None);
    }
}
