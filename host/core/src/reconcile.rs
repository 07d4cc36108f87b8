//! What one host does next about one app, so that what it serves becomes what the fleet wants.
//! One step at a time, and then it looks again: a lost event is harmless. Carries out nothing.

use crate::id::Generation;

/// How an app stands on a host, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppStatus {
    /// What the fleet wants.
    pub wish: Wish,
    /// The deployment whose routes the host serves, here or by passing calls on.
    pub served: Option<Generation>,
    /// The deployment whose code the host has announced to have at hand.
    pub announced: Option<Generation>,
    /// The deployment that gets a part of the calls here.
    pub tried: Option<Generation>,
}

/// What is known of the fleet's wish about an app. That an app is not seen is no wish: a store that is
/// empty, another one, or holds what cannot be read here says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// Nothing is known: what is there stays as it is.
    #[default]
    Unknown,
    /// The app was removed, and what is here is no later than that.
    Removed,
    /// It shall be there.
    Wanted(Wanted),
}

/// What the fleet wants of an app that shall be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The deployment.
    pub generation: Generation,
    /// Whether it shall run on this host.
    pub is_here: bool,
    /// Whether it shall run on any host at all.
    pub is_placed: bool,
    /// Whether every host it shall run on has this deployment's code at hand.
    pub is_ready: bool,
    /// The deployment that shall be tried wherever this one runs.
    pub canary: Option<Generation>,
}

/// What a host does next about an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it is as it shall be, or others have to act first.
    Rest,
    /// Have the code at hand, serve it, and announce it.
    Prepare(Generation),
    /// Know its routes, and pass its calls on.
    Follow(Generation),
    /// Have the code of this one at hand as well, and give it its part of the calls.
    Try(Generation),
    /// Give it no more calls: the current one gets all.
    EndCanary,
    /// Stop announcing: others serve it now.
    Retire,
    /// Forget the app.
    Forget,
}

/// The next step.
#[must_use]
pub fn next_step(standing: &AppStatus) -> Step {
    let AppStatus { wish, served, announced, tried } = *standing;
    let wanted = match wish {
        Wish::Wanted(wanted) => wanted,
        Wish::Removed if served.is_some() || announced.is_some() => return Step::Forget,
        Wish::Removed | Wish::Unknown => return Step::Rest,
    };
    // First of all, and it cannot fail: a canary that is rolled back harms somebody.
    if tried.is_some() && tried != wanted.canary {
        return Step::EndCanary;
    }
    match next_of_current(&wanted, served, announced) {
        Step::Rest => next_of_canary(&wanted, announced, tried),
        step => step,
    }
}

/// What is next about the canary, once the current one is as it shall be.
fn next_of_canary(
    wanted: &Wanted,
    announced: Option<Generation>,
    tried: Option<Generation>,
) -> Step {
    match (wanted.canary, tried) {
        (Some(canary), None) if announced == Some(wanted.generation) => Step::Try(canary),
        // What runs elsewhere is tried there.
        (_, Some(_)) if announced.is_none() => Step::EndCanary,
        _ => Step::Rest,
    }
}

fn next_of_current(
    wanted: &Wanted,
    served: Option<Generation>,
    announced: Option<Generation>,
) -> Step {
    let generation = wanted.generation;
    let is_new = served != Some(generation);
    if wanted.is_here || (announced.is_some() && !wanted.is_placed) {
        // Placed nowhere, it stays with those who have it.
        let is_prepared = !is_new && announced == Some(generation);
        return if is_prepared { Step::Rest } else { Step::Prepare(generation) };
    }
    match announced {
        // The new one starts before the old one stops.
        Some(_) if wanted.is_ready => Step::Retire,
        Some(_) => Step::Rest,
        None if is_new => Step::Follow(generation),
        None => Step::Rest,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn generation() -> impl Strategy<Value = Generation> {
        (1u64..4).prop_map(|number| Generation::new(number).unwrap())
    }

    fn wanted() -> impl Strategy<Value = Wanted> {
        let canary = proptest::option::of(generation());
        (generation(), any::<bool>(), any::<bool>(), any::<bool>(), canary).prop_map(
            |(generation, is_here, is_placed, is_ready, canary)| Wanted {
                generation,
                is_here,
                is_placed: is_placed || is_here,
                is_ready: is_ready && (is_placed || is_here),
                canary: canary.filter(|canary| *canary != generation),
            },
        )
    }

    fn standing() -> impl Strategy<Value = AppStatus> {
        let option = || proptest::option::of(generation());
        let wish =
            prop_oneof![Just(Wish::Unknown), Just(Wish::Removed), wanted().prop_map(Wish::Wanted),];
        (wish, option(), option(), option()).prop_map(|(wish, served, announced, tried)| {
            // Something is tried beside what is served only.
            let tried = tried.filter(|_| served.is_some());
            AppStatus { wish, served, announced, tried }
        })
    }

    fn carry_out(standing: &mut AppStatus, step: Step) {
        match step {
            Step::Rest => {}
            Step::Prepare(generation) => {
                (standing.served, standing.announced) = (Some(generation), Some(generation));
                // What is published anew has nothing beside it.
                standing.tried = None;
            }
            Step::Follow(generation) => {
                (standing.served, standing.tried) = (Some(generation), None);
            }
            Step::Try(generation) => standing.tried = Some(generation),
            Step::EndCanary => standing.tried = None,
            Step::Retire => standing.announced = None,
            Step::Forget => {
                (standing.served, standing.announced, standing.tried) = (None, None, None);
            }
        }
    }

    proptest! {
        #[test]
        fn steps_end_and_reach_what_is_wanted(mut standing in standing()) {
            let before = standing;
            for _ in 0..4 {
                let step = next_step(&standing);
                carry_out(&mut standing, step);
            }
            prop_assert_eq!(next_step(&standing), Step::Rest);
            match standing.wish {
                Wish::Unknown => prop_assert_eq!(standing, before),
                Wish::Removed => {
                    prop_assert_eq!((standing.served, standing.announced), (None, None));
                }
                Wish::Wanted(wanted) if wanted.is_here => {
                    prop_assert_eq!(standing.served, Some(wanted.generation));
                    prop_assert_eq!(standing.announced, Some(wanted.generation));
                    prop_assert_eq!(standing.tried, wanted.canary);
                }
                Wish::Wanted(wanted) if wanted.is_ready => {
                    prop_assert_eq!(standing.served, Some(wanted.generation));
                    prop_assert_eq!(standing.announced, None);
                    prop_assert_eq!(standing.tried, None);
                }
                Wish::Wanted(_) => {}
            }
        }

        #[test]
        fn a_canary_that_is_taken_back_gets_no_call_while_others_act(standing in standing()) {
            if let Wish::Wanted(wanted) = standing.wish
                && standing.tried.is_some()
                && standing.tried != wanted.canary
            {
                prop_assert_eq!(next_step(&standing), Step::EndCanary);
            }
        }

        #[test]
        fn nobody_stops_before_all_others_are_ready(standing in standing()) {
            if next_step(&standing) == Step::Retire {
                let Wish::Wanted(wanted) = standing.wish else { panic!("{standing:?}") };
                prop_assert!(wanted.is_ready && wanted.is_placed && !wanted.is_here);
            }
        }

        #[test]
        fn nothing_is_forgotten_that_nobody_removed(standing in standing()) {
            let forgets = next_step(&standing) == Step::Forget;
            prop_assert!(!forgets || standing.wish == Wish::Removed);
        }
    }
}
