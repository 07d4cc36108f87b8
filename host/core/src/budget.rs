//! Who may take more of the host's memory, and who must give some back when it is short.
//! Knows no instances or pages: the caller counts what each app holds and carries the verdict out.
//!
//! While there is room everybody gets what they ask for. The last eighth is kept for those within
//! their share: there, the app that is furthest over its share is refused. When nothing is left, an
//! app that is not the furthest over gets its memory all the same, from the one that is.
//!
//! Shares are of two levels: tenants that hold memory share the budget by weight, and a tenant's apps that
//! do share its part. Furthest over is an app of the tenant that is furthest over; so who owns many apps may
//! hold no more than who owns one.
//!
//! What the process uses is another figure than what apps were counted to hold. Calls are ended for it
//! only where apps hold a good part of it; otherwise it would be the innocent who pay.

use crate::units::{Bytes, Weight};

/// The part of the budget that is kept for apps within their share: one in this many.
const KEPT: u64 = 8;
/// How far past the budget memory may be given before what was asked back has come: one in this
/// many.
const SLACK: u64 = 16;

/// Up to where everybody gets what they ask for, without a look at who holds what.
#[must_use]
pub fn easy(budget: Bytes) -> Bytes {
    Bytes::new(budget.get() - budget.get() / KEPT)
}

/// What one app holds of the host's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Whose app it is: a small number that no other tenant has.
    pub tenant: u32,
    /// How large the tenant's share is beside other tenants'.
    pub tenant_weight: Weight,
    /// How large the app's share is beside others of its tenant.
    pub weight: Weight,
    /// What its instances hold together.
    pub held: Bytes,
}

/// What is asked, and what there is.
#[derive(Clone, Copy, Debug)]
pub struct MemoryRequest {
    /// Who asks: a place in the list of holdings.
    pub asker: usize,
    /// How much more it asks for.
    pub more: Bytes,
    /// What all hold together now.
    pub total: Bytes,
    /// What all may hold together.
    pub budget: Bytes,
    /// What the process may use, when it uses nearly all of it, whatever was counted.
    pub short_of: Option<Bytes>,
}

/// What to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryDecision {
    /// There is room.
    Granted,
    /// There is not, but the app in this place of the list holds more than it should: it has to
    /// give some back.
    GrantedFrom(usize),
    /// The asker is furthest over its share, over its share of what is short, or nobody can give
    /// anything back fast enough.
    Refused {
        /// The asker's share.
        share: Bytes,
    },
}

/// Decides on an ask among all apps that hold memory, the asker among them.
#[must_use]
pub fn judge(ask: &MemoryRequest, holdings: &[Holding]) -> MemoryDecision {
    let total = ask.total.get().saturating_add(ask.more.get());
    let budget = ask.budget.get();
    let after = |place: usize| if place == ask.asker { ask.more } else { Bytes::ZERO };
    // Summed once: this runs on the thread of a guest that grows, just when memory is short.
    let tenants = Tenants::of(holdings, after);
    let held = |place: usize, holding: &Holding| holding.held.saturating_add(after(place));
    let share = |budget: Bytes| {
        holdings.get(ask.asker).map_or(Bytes::ZERO, |asker| tenants.share(asker, budget))
    };
    if let Some(budget) = ask.short_of {
        // Reservations have room, pages have not: all who are over stop growing, since taking
        // memory back from one at a time is slower than many can take it.
        let share = share(budget);
        if holdings.get(ask.asker).is_some_and(|asker| held(ask.asker, asker) > share) {
            return MemoryDecision::Refused { share };
        }
    }
    if total <= easy(ask.budget).get() {
        return MemoryDecision::Granted;
    }
    let furthest = holdings
        .iter()
        .enumerate()
        .filter(|(place, holding)| held(*place, holding) > tenants.share(holding, ask.budget))
        .max_by_key(|(place, holding)| {
            let of_app = (tenants.stretched(holding, held(*place, holding)), *place);
            (tenants.excess(holding, ask.budget), of_app)
        })
        .map(|(place, _)| place);
    let refused = || MemoryDecision::Refused { share: share(ask.budget) };
    match furthest {
        Some(place) if place == ask.asker => refused(),
        _ if total <= budget => MemoryDecision::Granted,
        Some(place) if total <= budget.saturating_add(budget / SLACK) => {
            MemoryDecision::GrantedFrom(place)
        }
        Some(_) | None => refused(),
    }
}

/// The places of the apps that have to give something back when the machine itself is short, first the
/// one that holds the most for its weight, of the tenant that does; then as many others of that tenant as are
/// over their share too, until all of them together hold `excess`. Empty when nobody holds anything.
///
/// A tenant of many small apps would otherwise give back one of them at a time.
#[must_use]
pub fn heaviest(holdings: &[Holding], budget: Bytes, excess: Bytes) -> Vec<usize> {
    let tenants = Tenants::of(holdings, |_| Bytes::ZERO);
    let held = holdings.iter().enumerate().filter(|(_, holding)| holding.held > Bytes::ZERO);
    let weighed = held.map(|(place, holding)| {
        let of_app = by_weight(holding.held, holding.weight);
        ((tenants.stretch(holding), of_app, place), holding)
    });
    let mut weighed: Vec<_> = weighed.collect();
    weighed.sort_unstable_by_key(|(order, _)| std::cmp::Reverse(*order));
    let tenant = weighed.first().map(|(_, holding)| holding.tenant);
    let mut sum = Bytes::ZERO;
    let mut places = Vec::new();
    for ((_, _, place), holding) in weighed {
        let is_over = holding.held > tenants.share(holding, budget);
        let is_next = Some(holding.tenant) == tenant && is_over && sum < excess;
        if places.is_empty() || is_next {
            sum = sum.saturating_add(holding.held);
            places.push(place);
        }
    }
    places
}

/// The share of the app in this place among all that hold memory.
#[must_use]
pub fn share(place: usize, holdings: &[Holding], budget: Bytes) -> Bytes {
    let tenants = Tenants::of(holdings, |_| Bytes::ZERO);
    holdings.get(place).map_or(Bytes::ZERO, |holding| tenants.share(holding, budget))
}

/// What each tenant holds, by its number, of those that hold something.
#[derive(Debug)]
struct Tenants {
    sums: Vec<TenantSum>,
    /// The weights of all of them together.
    weights: u128,
}

#[derive(Clone, Copy, Debug, Default)]
struct TenantSum {
    held: u128,
    /// The weights of its apps together; 0 where it has none here.
    weights: u128,
}

impl Tenants {
    /// Sums up what apps hold, with what comes to it in each place.
    fn of(holdings: &[Holding], more: impl Fn(usize) -> Bytes) -> Self {
        let mut tenants = Self { sums: Vec::new(), weights: 0 };
        for (place, holding) in holdings.iter().enumerate() {
            let number = holding.tenant as usize;
            if tenants.sums.len() <= number {
                tenants.sums.resize(number + 1, TenantSum::default());
            }
            let Some(sum) = tenants.sums.get_mut(number) else { continue };
            if sum.weights == 0 {
                tenants.weights += u128::from(holding.tenant_weight.get());
            }
            sum.weights += u128::from(holding.weight.get());
            sum.held += u128::from(holding.held.saturating_add(more(place)).get());
        }
        tenants
    }

    fn sum(&self, of: &Holding) -> TenantSum {
        self.sums.get(of.tenant as usize).copied().unwrap_or_default()
    }

    /// The app's part of its tenant's part of the budget.
    fn share(&self, of: &Holding, budget: Bytes) -> Bytes {
        let weight = u128::from(of.weight.get()) * u128::from(of.tenant_weight.get());
        let weights = self.sum(of).weights * self.weights;
        let part = u128::from(budget.get()) * weight / weights.max(1);
        Bytes::new(u64::try_from(part).unwrap_or(u64::MAX).min(budget.get()))
    }

    /// What the app's tenant holds for each unit of its weight.
    fn stretch(&self, of: &Holding) -> u128 {
        (self.sum(of).held << 16) / u128::from(of.tenant_weight.get())
    }

    /// The same where the tenant is over its share, and nothing otherwise: tenants that are within theirs
    /// are not told apart.
    fn excess(&self, of: &Holding, budget: Bytes) -> u128 {
        let weight = u128::from(of.tenant_weight.get());
        let share = u128::from(budget.get()) * weight / self.weights.max(1);
        if self.sum(of).held > share { self.stretch(of) } else { 0 }
    }

    /// What an app holds beside its share, whatever the budget: of two apps the one with more is further
    /// over.
    fn stretched(&self, of: &Holding, held: Bytes) -> u128 {
        let weight = u128::from(of.weight.get()) * u128::from(of.tenant_weight.get());
        u128::from(held.get()).saturating_mul(self.sum(of).weights << 16) / weight
    }
}

/// What is held for each unit of weight.
fn by_weight(held: Bytes, weight: Weight) -> u128 {
    (u128::from(held.get()) << 16) / u128::from(weight.get())
}

/// Whether ending calls helps a process that uses so much: whether at least half of it is known to
/// be what apps hold, and what is there without them: what the process used before it ran any, and what
/// may be kept of instances that are gone.
///
/// Otherwise something else holds it, and ending the calls of whoever holds most would end the
/// innocent one after the other and change nothing.
#[must_use]
pub fn is_of_apps(used: Bytes, held: Bytes, without_apps: Bytes) -> bool {
    held > Bytes::ZERO && held.saturating_add(without_apps).get() >= used.get() / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holding(weight: u32, held: u64) -> Holding {
        holding_of(0, weight, held)
    }

    fn holding_of(tenant: u32, weight: u32, held: u64) -> Holding {
        let (weight, held) = (Weight::new(weight).unwrap(), Bytes::new(held));
        Holding { tenant, tenant_weight: Weight::DEFAULT, weight, held }
    }

    fn ask(asker: usize, more: u64) -> MemoryRequest {
        let (more, budget) = (Bytes::new(more), Bytes::new(800));
        MemoryRequest { asker, more, total: Bytes::ZERO, budget, short_of: None }
    }

    /// Judges when the list is all there is.
    fn judge(ask: &MemoryRequest, holdings: &[Holding]) -> MemoryDecision {
        let total = holdings.iter().map(|holding| holding.held.get()).sum();
        super::judge(&MemoryRequest { total: Bytes::new(total), ..*ask }, holdings)
    }

    #[test]
    fn the_app_furthest_over_its_share_is_refused_and_nobody_else() {
        let holdings = [holding(1, 600), holding(1, 90)];
        assert_eq!(
            judge(&ask(0, 50), &holdings),
            MemoryDecision::Refused { share: Bytes::new(400) },
            "it would reach into what is kept for the other"
        );
        assert_eq!(judge(&ask(1, 50), &holdings), MemoryDecision::Granted);
        assert_eq!(judge(&ask(1, 140), &holdings), MemoryDecision::GrantedFrom(0));
    }

    #[test]
    fn a_lone_app_may_use_all_and_no_more() {
        let holdings = [holding(1, 700)];
        assert_eq!(judge(&ask(0, 100), &holdings), MemoryDecision::Granted);
        assert_eq!(
            judge(&ask(0, 101), &holdings),
            MemoryDecision::Refused { share: Bytes::new(800) }
        );
    }

    #[test]
    fn many_apps_of_one_tenant_hold_no_more_than_one_of_another() {
        // Fifty that hold nine each, all within a fiftieth of the budget.
        let mut holdings = vec![holding_of(1, 1, 9); 50];
        holdings.push(holding_of(2, 1, 300));
        assert_eq!(share(50, &holdings, Bytes::new(800)), Bytes::new(400));
        assert_eq!(share(0, &holdings, Bytes::new(800)), Bytes::new(8));
        assert_eq!(judge(&ask(50, 50), &holdings), MemoryDecision::Granted);
        assert_eq!(judge(&ask(50, 60), &holdings), MemoryDecision::GrantedFrom(49));
        assert_eq!(
            judge(&ask(7, 5), &holdings),
            MemoryDecision::Refused { share: Bytes::new(8) },
            "the furthest of the tenant that is over"
        );
        // The other app is by far the largest, and no more than its tenant may have.
        let give = |excess| heaviest(&holdings, Bytes::new(800), Bytes::new(excess));
        assert_eq!(give(1), [49]);
        assert_eq!(give(20), [49, 48, 47], "as many as hold that much");
        assert_eq!(give(10_000).len(), 50, "and no other tenant's");
        // What the operator says of tenants counts.
        let heavy = Holding { tenant_weight: Weight::new(3).unwrap(), ..holding_of(2, 1, 300) };
        assert_eq!(share(1, &[holding_of(1, 1, 9), heavy], Bytes::new(800)), Bytes::new(600));
    }

    #[test]
    fn weight_counts() {
        let holdings = [holding(3, 600), holding(1, 150)];
        assert_eq!(judge(&ask(0, 0), &holdings), MemoryDecision::Granted, "600 is its share");
        assert_eq!(
            judge(&ask(1, 60), &holdings),
            MemoryDecision::Refused { share: Bytes::new(200) }
        );
    }

    #[test]
    fn a_short_machine_refuses_who_is_over_though_room_was_counted() {
        let holdings = [holding(1, 200), holding(1, 10), holding(1, 150)];
        let short = |asker| MemoryRequest { short_of: Some(Bytes::new(300)), ..ask(asker, 10) };
        for over in [0, 2] {
            assert_eq!(
                judge(&short(over), &holdings),
                MemoryDecision::Refused { share: Bytes::new(100) }
            );
        }
        assert_eq!(judge(&short(1), &holdings), MemoryDecision::Granted);
        let give = |budget| heaviest(&holdings, Bytes::new(budget), Bytes::new(1000));
        assert_eq!(give(300), [0, 2], "one is within its share");
        assert_eq!(give(1000), [0], "all are");
        assert_eq!(heaviest(&holdings[..0], Bytes::new(300), Bytes::new(1)), [0; 0]);
    }

    #[test]
    fn calls_are_ended_only_for_what_apps_hold() {
        let check =
            |used, held, start| is_of_apps(Bytes::new(used), Bytes::new(held), Bytes::new(start));
        assert!(check(1000, 900, 30));
        assert!(check(1000, 480, 30), "reservations are not all touched, and the rest is ours");
        assert!(!check(1000, 62, 30), "whatever fills the process, it is not these 62");
        assert!(!check(1000, 0, 900), "nobody is there to give anything");
    }

    #[test]
    fn a_verdict_among_thousands_of_apps_is_one_walk() {
        // Each of a hundred asks summed the weights for each of a hundred thousand holders: 10^12
        // additions. This ends at once, or not today.
        let holdings: Vec<Holding> = (0..100_000).map(|n| holding(1 + n % 3, 100)).collect();
        let (more, budget) = (Bytes::new(1), Bytes::new(10_000_001));
        for asker in 0..100 {
            let ask = MemoryRequest {
                asker,
                more,
                total: Bytes::new(10_000_000),
                budget,
                short_of: None,
            };
            assert_ne!(super::judge(&ask, &holdings), MemoryDecision::GrantedFrom(asker));
        }
    }

    /// What a tenant holds, and its share.
    fn of_tenant(of: &Holding, holdings: &[Holding]) -> (u64, u64) {
        let own = holdings.iter().filter(|holding| holding.tenant == of.tenant);
        let held = own.map(|holding| holding.held.get()).sum();
        let tenants: std::collections::BTreeMap<_, _> = holdings
            .iter()
            .map(|holding| (holding.tenant, u64::from(holding.tenant_weight.get())))
            .collect();
        (held, 800 * tenants[&of.tenant] / tenants.values().sum::<u64>())
    }

    fn holdings() -> impl Strategy<Value = Vec<Holding>> {
        let one = (0..3_u32, 1..5_u32, 0..400_u64);
        let one = one.prop_map(|(tenant, weight, held)| Holding {
            tenant_weight: Weight::new(1 + tenant).unwrap(),
            ..holding_of(tenant, weight, held)
        });
        proptest::collection::vec(one, 1..6)
    }

    proptest! {
        #[test]
        fn who_stays_within_its_share_is_never_refused_while_the_rest_is_within_the_budget(
            holdings in holdings(), asker in 0..6_usize, more in 0..300_u64,
        ) {
            let asker = asker % holdings.len();
            let total: u64 = holdings.iter().map(|holding| holding.held.get()).sum();
            let ask = ask(asker, more);
            let share = share(asker, &holdings, ask.budget);
            let after = holdings[asker].held.get() + more;
            let fits = total + more <= 800 + 800 / SLACK;
            if after <= share.get() && fits {
                let refused = matches!(judge(&ask, &holdings), MemoryDecision::Refused { .. });
                prop_assert!(!refused);
            }
        }

        #[test]
        fn what_was_granted_never_passes_the_slack(
            holdings in holdings(), asker in 0..6_usize, more in 0..300_u64,
        ) {
            let asker = asker % holdings.len();
            let total: u64 = holdings.iter().map(|holding| holding.held.get()).sum();
            match judge(&ask(asker, more), &holdings) {
                MemoryDecision::Granted => prop_assert!(total + more <= 800),
                MemoryDecision::GrantedFrom(place) => {
                    prop_assert!(total + more <= 850);
                    prop_assert!(place != asker);
                    let due = share(place, &holdings, Bytes::new(800));
                    let giver = &holdings[place];
                    prop_assert!(giver.held > due, "who gives back holds more than its share");
                    let extra = if holdings[asker].tenant == giver.tenant { more } else { 0 };
                    let (held, due) = of_tenant(giver, &holdings);
                    prop_assert!(held + extra > due, "and so does its tenant");
                }
                MemoryDecision::Refused { .. } => prop_assert!(total + more > 700),
            }
        }

        #[test]
        fn a_refused_app_is_the_furthest_over_or_all_is_gone(
            holdings in holdings(), asker in 0..6_usize, more in 1..300_u64,
        ) {
            let asker = asker % holdings.len();
            let total: u64 = holdings.iter().map(|holding| holding.held.get()).sum();
            if let MemoryDecision::Refused { .. } = judge(&ask(asker, more), &holdings)
                && total + more <= 850
            {
                // Of its tenant it holds the most for its weight, and no tenant is over that is not as
                // far over as its own.
                let stretched = |place: usize| {
                    let extra = if place == asker { more } else { 0 };
                    u128::from(holdings[place].held.get() + extra) * 1000
                        / u128::from(holdings[place].weight.get())
                };
                let mut after = holdings.clone();
                after[asker].held = Bytes::new(holdings[asker].held.get() + more);
                let own = of_tenant(&after[asker], &after);
                for place in 0..holdings.len() {
                    if holdings[place].tenant == holdings[asker].tenant {
                        prop_assert!(stretched(place) <= stretched(asker) + 1);
                    }
                    let (held, due) = of_tenant(&after[place], &after);
                    prop_assert!(held <= due || held * own.1 <= own.0 * due + own.1.max(due));
                }
            }
        }
    }
}
