//! `steerage validate`: every mistake in a manifest, at once, each with its place.
//! Runs the code that the host runs; does not look at the component.

use serde::Serialize;

use super::app::App;
use super::args::Validate;
use super::ending::BadManifest;
use super::human;
use super::screen::Screen;
use crate::api::wire;

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Verdict {
    valid: bool,
    mistakes: Vec<wire::Mistake>,
}

/// Runs the verb.
pub(super) fn run(args: &Validate) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let error = match App::read(&args.file) {
        Ok(app) if screen.is_json() => {
            drop(app);
            return screen.json(&Verdict { valid: true, mistakes: Vec::new() });
        }
        Ok(app) => {
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
        screen.json(&Verdict { valid: false, mistakes: mistakes.collect() })?;
    }
    Err(error)
}
