//! `steerage validate`: every mistake in a manifest, at once, each with its place, and what its component
//! imports that no host offers, where it has been built.
//! Runs the code that the host runs; does not compile.

use std::fs;

use serde::Serialize;

use super::app::App;
use super::args::Validate;
use super::ending::BadManifest;
use super::human;
use super::screen::Screen;
use crate::api::wire;
use crate::sandbox::examine::examine;

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Verdict {
    valid: bool,
    mistakes: Vec<wire::Mistake>,
    /// Interfaces that the component imports and that hosts do not have: a call of one of them traps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_offered: Vec<String>,
}

/// Runs the verb.
pub(super) fn run(args: &Validate) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let error = match App::read(&args.file) {
        Ok(app) if screen.is_json() => {
            let not_offered = not_offered(&app, screen);
            return screen.json(&Verdict { valid: true, mistakes: Vec::new(), not_offered });
        }
        Ok(app) => {
            let not_offered = not_offered(&app, screen);
            if !not_offered.is_empty() {
                screen.note("its component imports what hosts do not offer; a call of it traps:");
                not_offered.iter().for_each(|interface| screen.note(&format!("  {interface}")));
            }
            let n_routes = app.manifest.routes.len();
            return screen.hint(&format!(
                "{} is valid: app {} with {}",
                args.file.display(),
                app.manifest.name,
                human::many(n_routes, "route")
            ));
        }
        Err(error) => error,
    };
    if let (true, Some(bad)) = (screen.is_json(), error.downcast_ref::<BadManifest>()) {
        let mistakes = bad.mistakes.iter().map(|mistake| wire::Mistake {
            key: mistake.key.clone(),
            line: mistake.line,
            column: mistake.column,
            message: mistake.message.clone(),
        });
        let (mistakes, not_offered) = (mistakes.collect(), Vec::new());
        screen.json(&Verdict { valid: false, mistakes, not_offered })?;
    }
    Err(error)
}

/// What the component imports that hosts do not have; nothing where it is not built yet. That it is refused
/// altogether is told here, and is an error where it is deployed: it may be built anew before that.
fn not_offered(app: &App, screen: Screen) -> Vec<String> {
    let Ok(bytes) = fs::read(app.source()) else { return Vec::new() };
    match examine(&bytes, app.manifest.limits.memory) {
        Ok(shape) => shape.not_offered,
        Err(rejection) => {
            screen.note(&format!("its component is not one that a host runs: {rejection}"));
            Vec::new()
        }
    }
}
