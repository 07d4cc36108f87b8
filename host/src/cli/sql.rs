//! `steerage sql`: asks a database of an app from outside, a statement at a time or as many as come from stdin.
//! Only carries: what a statement may be and do, the host says.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::args::SqlShell;
use super::ending::{Misused, Refused};
use super::screen::Screen;
use super::table::Table;
use super::{human, remote};
use crate::api::wire;
use crate::client::Client;

mod split;

use self::split::StatementSplitter;

/// What a blob is shown as, up to so many bytes.
const LONGEST_BLOB: usize = 32;

/// Runs the verb.
pub(super) async fn run(args: &SqlShell) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    if args.drop && !args.yes {
        let question = format!("remove the database {} of {}?", args.database, args.app);
        match screen.confirm(&question)? {
            Some(true) => {}
            Some(false) => return screen.hint("nothing was removed"),
            None => {
                let text = "nobody is here to ask; add --yes to remove without asking";
                return Err(Misused(text.to_owned()).into());
            }
        }
    }
    let client = remote::connect(&args.remote)?;
    let place = (&*args.app, &*args.database);
    if args.sizes {
        return sizes(screen, &client, &args.app).await;
    }
    if args.drop {
        let dropped = client.drop_database(place).await;
        dropped.with_context(|| format!("cannot remove a database of {}", args.app))?;
        if screen.is_json() {
            return screen.json(&serde_json::json!({ "dropped": args.database }));
        }
        return screen.say(&format!("{} has no database {} any more", args.app, args.database));
    }
    if let Some(file) = &args.copy {
        return copy(screen, &client, place, file).await;
    }
    match &args.statement {
        Some(text) => {
            let mut splitter = StatementSplitter::default();
            let mut all: Vec<String> = splitter.push(text).into_iter().flatten().collect();
            let last = splitter.end().map_err(|error| Misused(error.to_owned()))?;
            all.extend(last.into_iter().flatten());
            ask(screen, &client, place, all).await
        }
        None => shell(screen, &client, place).await,
    }
}

/// Asks what comes from stdin. Who types is told of a mistake and goes on; a file ends with the first.
async fn shell(screen: Screen, client: &Client, place: (&str, &str)) -> anyhow::Result<()> {
    let mut splitter = StatementSplitter::default();
    loop {
        let prompt = if splitter.is_within() { "   ...> " } else { "sql> " };
        let Some((line, is_typed)) = screen.line(prompt)? else { break };
        for together in splitter.push(&line) {
            match ask(screen, client, place, together).await {
                Err(error) if is_typed => screen.note(&format!("{error:#}")),
                done => done?,
            }
        }
    }
    match splitter.end() {
        Ok(Some(last)) => ask(screen, client, place, last).await,
        Ok(None) => Ok(()),
        Err(error) => Err(Misused(error.to_owned()).into()),
    }
}

async fn ask(
    screen: Screen,
    client: &Client,
    (app, label): (&str, &str),
    statements: Vec<String>,
) -> anyhow::Result<()> {
    let told = client.run_sql((app, label), statements).await;
    let told = told.with_context(|| format!("cannot ask the database {label} of {app}"))?;
    for result in &told.results {
        if screen.is_json() {
            screen.json_line(result)?;
        } else if !result.columns.is_empty() {
            screen.say(&table(result))?;
        }
    }
    match told.error {
        Some(error) => Err(Refused(error).into()),
        None => Ok(()),
    }
}

fn table(result: &wire::SqlResult) -> String {
    let columns: Vec<&str> = result.columns.iter().map(String::as_str).collect();
    let mut table = Table::new(&columns);
    for row in &result.rows {
        table.row(row.iter().map(cell));
    }
    table.render()
}

fn cell(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(blob) => {
            let text = blob.get("base64").and_then(Value::as_str).unwrap_or_default();
            let cut: String = text.chars().take(LONGEST_BLOB).collect();
            format!("base64:{cut}{}", if cut.len() < text.len() { "..." } else { "" })
        }
        other => other.to_string(),
    }
}

async fn sizes(screen: Screen, client: &Client, app: &str) -> anyhow::Result<()> {
    let sizes = client.database_sizes(app).await;
    let sizes = sizes.with_context(|| format!("cannot read which databases {app} has"))?;
    if screen.is_json() {
        return screen.json(&sizes);
    }
    let mut table = Table::new(&["DATABASE", ">SIZE", ">MOST"]);
    for one in &sizes.databases {
        let cells = [human::bytes(one.bytes), human::bytes(sizes.bytes_quota)];
        table.row([one.label.clone()].into_iter().chain(cells));
    }
    screen.say(&table.render())
}

async fn copy(
    screen: Screen,
    client: &Client,
    place: (&str, &str),
    file: &Path,
) -> anyhow::Result<()> {
    let shown = file.display();
    let written = || format!("cannot write {shown}");
    if file.exists() {
        return Err(Refused(format!("{shown} is there already: say another name")).into());
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Nobody takes for a database what is not whole.
    let part = tempfile::Builder::new().prefix(".sql-").tempfile_in(folder);
    let part = part.with_context(written)?;
    let mut out = part.as_file();
    let copied = client.copy_database(place, |bytes| out.write_all(bytes)).await;
    let n_bytes = copied.with_context(|| format!("cannot copy a database of {}", place.0))?;
    out.sync_all().with_context(written)?;
    part.persist_noclobber(file).with_context(written)?;
    if screen.is_json() {
        return screen.json(&serde_json::json!({ "bytes": n_bytes }));
    }
    screen.say(&format!("{shown} has {}", human::bytes(n_bytes)))
}
