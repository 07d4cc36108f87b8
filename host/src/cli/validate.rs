//! `steerage validate`: every mistake in a manifest, at once, each with its place, and what its component
//! imports that no host offers, where it has been built.
//! Runs the code that the host runs; does not compile.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::app::{App, manifest_file};
use super::args::Validate;
use super::ending::BadManifest;
use super::human;
use super::screen::Screen;
use crate::api::wire;
use crate::manifest::Overrides;
use crate::sandbox::examine::examine;
use crate::sandbox::prepared::prepared;

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
    let given = args.variables.iter().cloned().collect();
    let overrides = Overrides { variables: Some(&given), ..Overrides::default() };
    let error = match App::read_all(&args.file, &overrides) {
        Ok(all) if screen.is_json() => {
            let not_offered = all.apps.iter().flat_map(|app| not_offered(app, screen)).collect();
            return screen.json(&Verdict { valid: true, mistakes: Vec::new(), not_offered });
        }
        Ok(all) => {
            all.notes.iter().for_each(|note| screen.note(note));
            for app in &all.apps {
                say(app, &args.file, screen)?;
            }
            return Ok(());
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

/// Says that one app is valid, and what its component lacks.
fn say(app: &App, file: &Path, screen: Screen) -> anyhow::Result<()> {
    let not_offered = not_offered(app, screen);
    let name = &app.manifest.name;
    if !not_offered.is_empty() {
        let told = "imports what hosts do not offer; a call of it traps:";
        screen.note(&format!("the component of {name} {told}"));
        not_offered.iter().for_each(|interface| screen.note(&format!("  {interface}")));
    }
    screen.hint(&format!(
        "{} is valid: app {name} with {}",
        manifest_file(file).display(),
        human::many(app.manifest.routes.len(), "route")
    ))
}

/// What the component imports that hosts do not have; nothing where it is not built yet. That it is refused
/// altogether is told here, and is an error where it is deployed: it may be built anew before that.
fn not_offered(app: &App, screen: Screen) -> Vec<String> {
    let Ok(bytes) = fs::read(app.source()) else { return Vec::new() };
    match prepared(&bytes).and_then(|bytes| examine(&bytes, app.manifest.limits.memory)) {
        Ok(shape) => shape.not_offered,
        Err(rejection) => {
            screen.note(&format!("its component is not one that a host runs: {rejection}"));
            Vec::new()
        }
    }
}
