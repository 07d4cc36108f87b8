//! `steerage advise`: what limits, replicas and resources apps should have, and why; and the same written into a
//! manifest. Judges nothing: the host does. Deploys nothing.

mod difference;

use std::path::Path;

use anyhow::Context as _;
use steerage_core::advice::AdviceKey;
use steerage_core::limits::LimitsPolicy;
use steerage_core::manifest::Manifest;

use self::difference::difference;
use super::app::{self, App};
use super::args::Advise;
use super::ending::Refused;
use super::screen::Screen;
use super::table::Table;
use super::{human, remote, sources};
use crate::api::wire::{AdviceReport, AppAdvice, KeyAdvice};
use crate::manifest;

/// Runs the verb.
pub(super) async fn run(args: &Advise) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let report = client.advice(args.app.as_deref(), args.limit).await;
    let report = report.context("cannot say what apps should have")?;
    sources::tell(screen, report.sources.as_ref());
    let written = match (&args.write, report.apps.first()) {
        (Some(path), Some(advice)) => Some(write(screen, path, advice)?),
        _ => None,
    };
    if screen.is_json() {
        return screen.json(&report);
    }
    screen.say(&shown(&report, args.app.is_some()))?;
    match written {
        Some(difference) if difference.is_empty() => screen.hint("\nnothing to write"),
        Some(difference) => {
            screen.say(&format!("\n{difference}"))?;
            screen.hint("the next `steerage deploy` brings it to the host")
        }
        None => Ok(()),
    }
}

/// Of one app all that was looked at; of all apps what should change.
fn shown(report: &AdviceReport, is_one: bool) -> String {
    let mut table = Table::new(&[
        "APP", "KEY", ">NOW", ">ADVISED", ">SEEN", ">MARGIN", ">CALLS", ">DAYS", ">RISK", "WHY",
    ]);
    let (mut n_rows, mut n_fine) = (0_usize, 0_usize);
    for app in &report.apps {
        let changes = || app.keys.iter().filter(|key| is_one || key.advised.is_some());
        n_fine += usize::from(changes().next().is_none());
        for key in changes() {
            table.row(row(app, key));
            n_rows += 1;
        }
    }
    let mut parts = Vec::new();
    if n_rows > 0 {
        parts.push(table.render());
    }
    if report.apps.iter().any(|app| app.keys.iter().any(|key| key.risk_per_million.is_some())) {
        parts.push(
            "SEEN is the most of all calls that are kept, and ADVISED at least MARGIN times that: none of \
             these calls would have failed. RISK: so many of a million calls may need more than SEEN, with \
             95 % certainty."
                .to_owned(),
        );
    }
    if n_fine > 0 {
        let apps = human::many(n_fine, "app");
        parts.push(format!(
            "nothing to change for {apps}, or too little is known; `steerage advise APP` says which"
        ));
    }
    let n_more = report.apps_called.saturating_sub(report.apps.len());
    if n_more > 0 {
        let apps = human::many(n_more, "app");
        parts.push(format!("{apps} that used less CPU time were not looked at; -n takes more"));
    }
    if report.apps.is_empty() {
        parts.push("no app was called in the time of which there is history".to_owned());
    }
    parts.join("\n\n")
}

fn row(app: &AppAdvice, key: &KeyAdvice) -> [String; 10] {
    let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let margin =
        key.margin_percent.map(|percent| format!("x{}.{}", percent / 100, percent / 10 % 10));
    // Of these it is how many calls were refused, which WHY says; there is no most that was needed.
    let counts_refusals = [AdviceKey::Concurrency, AdviceKey::MostReplicas].map(Some);
    let seen = if counts_refusals.contains(&key_named(&key.key)) { "-" } else { &key.seen };
    [
        app.app.clone(),
        key.key.clone(),
        or_none(&key.present),
        or_none(&key.advised),
        seen.to_owned(),
        margin.unwrap_or_default(),
        human::count(app.calls),
        app.days.to_string(),
        key.risk_per_million.map_or_else(String::new, |risk| format!("{risk}/M")),
        key.reason.clone(),
    ]
}

/// Writes what is advised into a manifest, and tells what that has changed.
fn write(screen: Screen, path: &Path, advice: &AppAdvice) -> anyhow::Result<String> {
    let file = app::manifest_file(path);
    let app = App::read(path)?;
    let name = app.manifest.name.as_str();
    if name != advice.app {
        let text = format!(
            "{} is the manifest of {name}, and this is advice for {}",
            file.display(),
            advice.app
        );
        return Err(Refused(text).into());
    }
    let mut keys = Vec::new();
    for key in &advice.keys {
        let (Some(advised), Some(known)) = (&key.advised, key_named(&key.key)) else { continue };
        let (section, name) = known.place();
        let present = present(&app.manifest, known);
        // How many replicas there may be follows from how many there must be, where it is not said.
        let is_said =
            known == AdviceKey::MostReplicas || manifest::has_key(&app.text, section, name);
        if is_said && present != key.present {
            let of = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
            screen.note(&format!(
                "{} is left: it is {} in {}, and {} in the deployment that the advice is for",
                key.key,
                of(&present),
                file.display(),
                of(&key.present)
            ));
            continue;
        }
        keys.push((section, name, advised.as_str()));
    }
    let text = manifest::set_keys(&app.written, &keys)
        .with_context(|| format!("cannot write into {}", file.display()))?;
    if text != app.written {
        // What would not be read by a deploy is not written.
        let filled = manifest::set_keys(&app.text, &keys).unwrap_or_default();
        if let Err(mistakes) = manifest::read(&filled, &LimitsPolicy::default()) {
            let mistakes: Vec<_> =
                mistakes.iter().map(|it| format!("{}: {}", it.key, it.message)).collect();
            let (file, mistakes) = (file.display(), mistakes.join("; "));
            let text = format!(
                "{file} is left as it is: what is advised does not fit into it: {mistakes}"
            );
            return Err(Refused(text).into());
        }
        std::fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(difference(&app.written, &text))
}

/// The key of this name, such as `limits.memory`; `None` for one that a later version advises.
fn key_named(name: &str) -> Option<AdviceKey> {
    let (section, key) = name.split_once('.')?;
    AdviceKey::ALL.into_iter().find(|known| known.place() == (section, key))
}

/// What a manifest says of a key, as the host writes it.
fn present(manifest: &Manifest, key: AdviceKey) -> Option<String> {
    key.value(&manifest.limits, &manifest.placement).map(|value| key.show(value))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn key(key: &str, advised: Option<&str>) -> KeyAdvice {
        KeyAdvice {
            key: key.to_owned(),
            present: Some("128MiB".to_owned()),
            advised: advised.map(str::to_owned),
            seen: "3MiB".to_owned(),
            margin_percent: advised.map(|_| 400),
            risk_per_million: advised.map(|_| 858),
            reason: advised.map_or("it fits what was seen", |_| "calls need far less").to_owned(),
        }
    }

    fn app(name: &str, keys: Vec<KeyAdvice>) -> AppAdvice {
        AppAdvice {
            app: name.to_owned(),
            tenant: "default".to_owned(),
            generation: 2,
            deployed_at: 0,
            calls: 3_500,
            days: 7,
            keys,
        }
    }

    #[test]
    fn a_table_tells_what_to_change_and_how_many_need_nothing() {
        let busy = KeyAdvice {
            present: Some("1".to_owned()),
            seen: "9".to_owned(),
            margin_percent: None,
            risk_per_million: None,
            reason: "9 calls were refused".to_owned(),
            ..key("replicas.max", Some("2"))
        };
        let memory = key("limits.memory", Some("12MiB"));
        let web = app("web", vec![memory, key("limits.fuel", None), busy]);
        let apps = vec![web, app("fine", vec![key("limits.memory", None)])];
        let report = AdviceReport { apps, apps_called: 5, sources: None };
        expect![[r#"
            APP  KEY               NOW  ADVISED  SEEN  MARGIN  CALLS  DAYS   RISK  WHY
            web  limits.memory  128MiB    12MiB  3MiB    x4.0   3.5k     7  858/M  calls need far less
            web  replicas.max        1        2     -           3.5k     7         9 calls were refused

            SEEN is the most of all calls that are kept, and ADVISED at least MARGIN times that: none of these calls would have failed. RISK: so many of a million calls may need more than SEEN, with 95 % certainty.

            nothing to change for 1 app, or too little is known; `steerage advise APP` says which

            3 apps that used less CPU time were not looked at; -n takes more"#]].assert_eq(&shown(&report, false));
        let none = AdviceReport { apps: Vec::new(), apps_called: 0, sources: None };
        expect!["no app was called in the time of which there is history"]
            .assert_eq(&shown(&none, false));
    }

    #[test]
    fn advice_is_written_into_the_manifest_of_its_app_alone_and_only_over_what_it_was_made_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("steerage.toml");
        let text = "name = \"web\"\nsource = \"a.wasm\"\n\n[limits]\nmemory = \"128MiB\" # much\n\
                    fuel = \"5G\"\n\n[[route]]\npath = \"/\"\n";
        std::fs::write(&file, text).unwrap();
        let screen = Screen::plain(true);
        let keys = || vec![key("limits.memory", Some("12MiB")), key("limits.fuel", Some("1G"))];
        let other = write(screen, folder.path(), &app("shop", keys())).unwrap_err().to_string();
        assert!(other.ends_with("is the manifest of web, and this is advice for shop"), "{other}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        let difference = write(screen, folder.path(), &app("web", keys())).unwrap();
        expect![[r#"
            -memory = "128MiB" # much
            +memory = "12MiB" # much"#]]
        .assert_eq(&difference);
        let written = std::fs::read_to_string(&file).unwrap();
        assert_eq!(written, text.replace("128MiB", "12MiB"));
        // What it was made for is there no longer.
        assert_eq!(write(screen, folder.path(), &app("web", keys())).unwrap(), "");
    }
}
