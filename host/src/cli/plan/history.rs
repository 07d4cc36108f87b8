//! `steerage plan --history`: the plans that were made of a fleet that runs, and one of them whole.
//! Only asks and arranges.

use anyhow::Context as _;

use crate::api::wire;
use crate::cli::args::Plan;
use crate::cli::screen::Screen;
use crate::cli::table::{Facts, Table};
use crate::cli::{human, remote};

/// Lists the plans, or shows the one of this number.
pub(super) async fn run(args: &Plan, number: Option<u32>) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    if let Some(number) = number {
        let plan = client.plan_made(number).await;
        let plan = plan.with_context(|| format!("cannot show plan {number}"))?;
        return if screen.is_json() {
            screen.json(&plan)
        } else {
            screen.say(&one(&plan, human::now()))
        };
    }
    let plans = client.plans().await.context("cannot list the plans that were made")?;
    if screen.is_json() {
        return screen.json(&plans);
    }
    for trouble in &plans.troubles {
        screen.note(trouble);
    }
    if plans.plans.is_empty() {
        return screen.hint("no plan has changed anything yet");
    }
    screen.say(&list(&plans.plans, human::now()))?;
    screen.hint("`steerage plan --history N` shows one of them whole")
}

fn list(plans: &[wire::PlanMade], now: u64) -> String {
    let mut table =
        Table::new(&[">PLAN", ">AGE", "HOST", ">MOVES", ">APPS", "OUTCOME", "WHAT LED TO IT"]);
    for plan in plans {
        table.row([
            plan.number.to_string(),
            human::since(plan.at, now),
            plan.host.clone(),
            plan.n_moves.to_string(),
            plan.n_apps.to_string(),
            outcome(plan),
            first(&plan.triggers),
        ]);
    }
    table.render()
}

/// As many reasons as a line bears; one plan alone has them all.
fn first(triggers: &[String]) -> String {
    match triggers {
        [first, second, rest @ ..] if !rest.is_empty() => {
            format!("{first}, {second}, and {} more", rest.len())
        }
        few => few.join(", "),
    }
}

fn outcome(plan: &wire::PlanMade) -> String {
    match &*plan.outcome {
        "broken_off" => "broken off".to_owned(),
        "partly" => format!("{} left to the next", human::many(plan.n_left, "app")),
        outcome => outcome.to_owned(),
    }
}

fn one(whole: &wire::PlanDetail, now: u64) -> String {
    let plan = &whole.plan;
    let mut facts = Facts::default();
    facts.add("plan", plan.number.to_string());
    facts.add(
        "made",
        format!(
            "{} ago by {}, at {}",
            human::since(plan.at, now),
            plan.host,
            wire::moment(plan.at)
        ),
    );
    facts.add("since", plan.triggers.join("\n"));
    facts.add(
        "moves",
        format!("{} of {}", human::many(plan.n_moves, "replica"), human::many(plan.n_apps, "app")),
    );
    if plan.n_unplaced > 0 {
        facts.add("no room", format!("for {}", human::many(plan.n_unplaced, "replica")));
    }
    facts.add("outcome", outcome(plan));
    let mut table = Table::new(&["APP", "FROM", "TO", "NOW", "WHY"]);
    for step in &whole.moves {
        let place = |place: &Option<String>| place.clone().unwrap_or_else(|| "-".to_owned());
        let wire::PlanStep { app, from, to, why, state } = step;
        table.row([app.clone(), place(from), place(to), state.clone(), why.clone()]);
    }
    let n_told = u32::try_from(whole.moves.len()).unwrap_or(u32::MAX);
    let more = match plan.n_moves.saturating_sub(n_told) {
        0 => String::new(),
        n => format!("\nand {n} more that are not kept"),
    };
    format!("{}\n\n{}{more}", facts.render(), table.render())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn made(number: u32, outcome: &str) -> wire::PlanMade {
        wire::PlanMade {
            number,
            at: 10_000,
            host: "h1".to_owned(),
            triggers: vec!["host h2 was drained".to_owned()],
            n_moves: 3,
            n_apps: 2,
            n_left: 1,
            n_unplaced: 0,
            outcome: outcome.to_owned(),
        }
    }

    #[test]
    fn plans_are_listed_one_a_line() {
        let many = wire::PlanMade {
            triggers: ["a was new", "b was new", "c was new"].map(str::to_owned).into(),
            ..made(12, "settled")
        };
        expect![[r#"
            PLAN    AGE  HOST  MOVES  APPS  OUTCOME                 WHAT LED TO IT
              12  3m10s  h1        3     2  settled                 a was new, b was new, and 1 more
              11  3m10s  h1        3     2  1 app left to the next  host h2 was drained"#]]
        .assert_eq(&list(&[many, made(11, "partly")], 200_000));
    }

    #[test]
    fn one_plan_is_shown_with_each_move_and_how_far_it_is() {
        let step = wire::PlanStep {
            app: "shop".to_owned(),
            from: Some("h2".to_owned()),
            to: None,
            why: "the host is drained".to_owned(),
            state: "done".to_owned(),
        };
        expect![[r#"
            plan     11
            made     3m10s ago by h1, at 1970-01-01T00:00:10.000Z
            since    host h2 was drained
            moves    3 replicas of 2 apps
            outcome  settled

            APP   FROM  TO  NOW   WHY
            shop  h2    -   done  the host is drained
            and 2 more that are not kept"#]]
        .assert_eq(&one(
            &wire::PlanDetail { plan: made(11, "settled"), moves: vec![step] },
            200_000,
        ));
    }
}
