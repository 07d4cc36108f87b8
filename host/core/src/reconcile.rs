//! What one host does next about one app, so that what it serves becomes what the fleet wants.
//! One step at a time, and then it looks again: a lost event is harmless. Carries out nothing.

use crate::id::Generation;

/// How an app stands on a host, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What the fleet wants; `None` where the app was removed.
    pub wanted: Option<Wanted>,
    /// The deployment whose routes the host serves, here or by passing calls on.
    pub served: Option<Generation>,
    /// The deployment whose code the host has announced to have at hand.
    pub announced: Option<Generation>,
}

/// What the fleet wants of an app.
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
    /// Stop announcing: others serve it now.
    Retire,
    /// Forget the app.
    Forget,
}

/// The next step.
#[must_use]
pub fn next_step(standing: &Standing) -> Step {
    let Standing { wanted, served, announced } = *standing;
    let Some(wanted) = wanted else {
        return if served.is_some() || announced.is_some() { Step::Forget } else { Step::Rest };
    };
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
        (generation(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(generation, is_here, is_placed, is_ready)| Wanted {
                generation,
                is_here,
                is_placed: is_placed || is_here,
                is_ready: is_ready && (is_placed || is_here),
            },
        )
    }

    fn standing() -> impl Strategy<Value = Standing> {
        let option = || proptest::option::of(generation());
        (proptest::option::of(wanted()), option(), option())
            .prop_map(|(wanted, served, announced)| Standing { wanted, served, announced })
    }

    fn carry_out(standing: &mut Standing, step: Step) {
        match step {
            Step::Rest => {}
            Step::Prepare(generation) => {
                (standing.served, standing.announced) = (Some(generation), Some(generation));
            }
            Step::Follow(generation) => standing.served = Some(generation),
            Step::Retire => standing.announced = None,
            Step::Forget => (standing.served, standing.announced) = (None, None),
        }
    }

    proptest! {
        #[test]
        fn steps_end_and_reach_what_is_wanted(mut standing in standing()) {
            for _ in 0..3 {
                let step = next_step(&standing);
                carry_out(&mut standing, step);
            }
            prop_assert_eq!(next_step(&standing), Step::Rest);
            match standing.wanted {
                None => prop_assert_eq!((standing.served, standing.announced), (None, None)),
                Some(wanted) if wanted.is_here => {
                    prop_assert_eq!(standing.served, Some(wanted.generation));
                    prop_assert_eq!(standing.announced, Some(wanted.generation));
                }
                Some(wanted) if wanted.is_ready => {
                    prop_assert_eq!(standing.served, Some(wanted.generation));
                    prop_assert_eq!(standing.announced, None);
                }
                Some(_) => {}
            }
        }

        #[test]
        fn nobody_stops_before_all_others_are_ready(standing in standing()) {
            if next_step(&standing) == Step::Retire {
                let wanted = standing.wanted.unwrap();
                prop_assert!(wanted.is_ready && wanted.is_placed && !wanted.is_here);
            }
        }
    }
}
