//! `steerage kv`: what an app keeps, looked at and changed from outside, and taken along as a file.
//! Only carries: what a key may be and how much an app may keep, the host says.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::args::{
    KeyValue, KeyValueDelete, KeyValueDrop, KeyValueFile, KeyValueGet, KeyValueList, KeyValueSet,
    KeyValueUsageOf, KeyValueVerb, StoreOf,
};
use super::ending::{Misused, Refused};
use super::screen::Screen;
use super::{human, remote};
use crate::api::stores::left;
use crate::client::Client;

/// Keys that are asked for at once.
const A_PAGE: usize = 1_000;

/// A pair as a line of a file has it.
#[derive(Debug, Deserialize, Serialize)]
struct WrittenPair {
    key: String,
    /// The value in base64: it may be any bytes.
    value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
}

/// Runs the verb.
pub(super) async fn run(args: &KeyValue) -> anyhow::Result<()> {
    match &args.verb {
        KeyValueVerb::Get(args) => get(args).await,
        KeyValueVerb::Set(args) => set(args).await,
        KeyValueVerb::Delete(args) => delete(args).await,
        KeyValueVerb::List(args) => list(args).await,
        KeyValueVerb::Export(args) => export(args).await,
        KeyValueVerb::Import(args) => import(args).await,
        KeyValueVerb::Usage(args) => usage(args).await,
        KeyValueVerb::Drop(args) => drop_all(args).await,
    }
}

fn place(of: &StoreOf) -> (&str, &str) {
    (&of.app, &of.store)
}

async fn get(args: &KeyValueGet) -> anyhow::Result<()> {
    let (screen, client) = (Screen::new(args.of.print), remote::connect(&args.of.remote)?);
    let found = client.store_value(place(&args.of), &args.key).await;
    let (value, expires_at_ms) =
        found.with_context(|| format!("cannot read {:?} of {}", args.key, args.of.app))?;
    if let Some(path) = &args.file {
        let shown = path.display();
        let mut file = File::create_new(path).with_context(|| format!("cannot write {shown}"))?;
        file.write_all(&value).with_context(|| format!("cannot write {shown}"))?;
        return screen.hint(&format!("{shown} has {}", human::bytes(value.len() as u64)));
    }
    if screen.is_json() {
        let value = STANDARD.encode(value);
        return screen.json(&WrittenPair { key: args.key.clone(), value, expires_at_ms });
    }
    let text = String::from_utf8(value);
    let text = text.map_err(|_| {
        Misused("the value is no text; add --file FILE to have its bytes, or -o json".to_owned())
    })?;
    screen.say(&text)
}

async fn set(args: &KeyValueSet) -> anyhow::Result<()> {
    let (screen, client) = (Screen::new(args.of.print), remote::connect(&args.of.remote)?);
    let value = match &args.file {
        Some(path) => fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
        None => args.value.clone().unwrap_or_default().into_bytes(),
    };
    let done = client.set_store_value(place(&args.of), &args.key, value, args.ttl).await;
    done.with_context(|| format!("cannot set {:?} of {}", args.key, args.of.app))?;
    if screen.is_json() {
        return screen.json(&serde_json::json!({ "set": args.key }));
    }
    screen.hint("it is durable")
}

async fn delete(args: &KeyValueDelete) -> anyhow::Result<()> {
    let (screen, client) = (Screen::new(args.of.print), remote::connect(&args.of.remote)?);
    let done = client.delete_store_key(place(&args.of), &args.key).await;
    done.with_context(|| format!("cannot delete {:?} of {}", args.key, args.of.app))?;
    if screen.is_json() {
        return screen.json(&serde_json::json!({ "deleted": args.key }));
    }
    screen.hint("it is not there any more")
}

async fn list(args: &KeyValueList) -> anyhow::Result<()> {
    let (screen, client) = (Screen::new(args.of.print), remote::connect(&args.of.remote)?);
    let mut after = None;
    loop {
        let page = client.store_keys(place(&args.of), after.as_deref(), A_PAGE).await;
        let page = page.with_context(|| format!("cannot list the keys of {}", args.of.app))?;
        for key in &page.keys {
            if screen.is_json() {
                screen.json_line(&serde_json::json!({ "key": key }))?;
            } else {
                screen.say(key)?;
            }
        }
        after = page.cursor;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn export(args: &KeyValueFile) -> anyhow::Result<()> {
    let (screen, client) = (Screen::new(args.of.print), remote::connect(&args.of.remote)?);
    let shown = args.file.display();
    let written = || format!("cannot write {shown}");
    if args.file.exists() {
        return Err(Refused(format!("{shown} is there already: say another name")).into());
    }
    let folder = match args.file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Nobody takes for all pairs what is not whole, or reads what is in it; made so by `tempfile`.
    let part = tempfile::Builder::new().prefix(".kv-").tempfile_in(folder);
    let part = part.with_context(written)?;
    let n_pairs = write_pairs(&client, &args.of, part.as_file()).await?;
    part.as_file().sync_all().with_context(written)?;
    part.persist_noclobber(&args.file).with_context(written)?;
    if screen.is_json() {
        return screen.json(&serde_json::json!({ "pairs": n_pairs }));
    }
    screen.say(&format!("{shown} has {}", human::many(n_pairs, "pair")))?;
    screen.hint("pairs that were set meanwhile may be in it or not: pages are of their own moments")
}

async fn write_pairs(client: &Client, of: &StoreOf, file: &File) -> anyhow::Result<usize> {
    let mut out = BufWriter::new(file);
    let (mut n_pairs, mut after) = (0, None);
    loop {
        let page = client.store_keys(place(of), after.as_deref(), A_PAGE).await;
        let page = page.with_context(|| format!("cannot list the keys of {}", of.app))?;
        for key in page.keys {
            let found = client.store_value(place(of), &key).await;
            let (value, expires_at_ms) = match found {
                Ok(found) => found,
                // It was deleted, or is over, since it was listed.
                Err(error) if error.is_not_found() => continue,
                Err(error) => {
                    return Err(anyhow::Error::new(error).context(format!("cannot read {key:?}")));
                }
            };
            let pair = WrittenPair { key, value: STANDARD.encode(value), expires_at_ms };
            serde_json::to_writer(&mut out, &pair).context("cannot write a pair")?;
            out.write_all(b"\n").context("cannot write a pair")?;
            n_pairs += 1;
        }
        after = page.cursor;
        if after.is_none() {
            out.flush().context("cannot write a pair")?;
            return Ok(n_pairs);
        }
    }
}

async fn import(args: &KeyValueFile) -> anyhow::Result<()> {
    let (screen, client) = (Screen::new(args.of.print), remote::connect(&args.of.remote)?);
    let shown = args.file.display();
    let file = File::open(&args.file).with_context(|| format!("cannot read {shown}"))?;
    let mut n_pairs = 0;
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("cannot read {shown}"))?;
        let bad = |why: &dyn std::fmt::Display| Refused(format!("{shown}:{}: {why}", number + 1));
        let pair: WrittenPair = serde_json::from_str(&line).map_err(|error| bad(&error))?;
        let value = STANDARD.decode(&pair.value).map_err(|error| bad(&error))?;
        let ttl = match pair.expires_at_ms.map(|at_ms| left(at_ms, now_ms())) {
            Some(None) => continue,
            Some(ttl) => ttl,
            None => None,
        };
        let done = client.set_store_value(place(&args.of), &pair.key, value, ttl).await;
        done.with_context(|| format!("cannot set {:?}; {n_pairs} before it are set", pair.key))?;
        n_pairs += 1;
    }
    if screen.is_json() {
        return screen.json(&serde_json::json!({ "pairs": n_pairs }));
    }
    screen.say(&format!("{} set", human::many(n_pairs, "pair")))
}

async fn usage(args: &KeyValueUsageOf) -> anyhow::Result<()> {
    let (screen, client) = (Screen::new(args.print), remote::connect(&args.remote)?);
    let usage = client.store_usage(&args.app).await;
    let usage = usage.with_context(|| format!("cannot read what {} keeps", args.app))?;
    if screen.is_json() {
        return screen.json(&usage);
    }
    let (bytes, quota) = (human::bytes(usage.bytes), human::bytes(usage.bytes_quota));
    let of_pairs = format!("{} of {}", usage.pairs, human::many(usage.pairs_quota, "pair"));
    screen.say(&format!("{bytes} of {quota} and {of_pairs}"))
}

async fn drop_all(args: &KeyValueDrop) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    if !args.yes {
        let question = format!("delete all that {} keeps in all its stores?", args.app);
        match screen.confirm(&question)? {
            Some(true) => {}
            Some(false) => return screen.hint("nothing was deleted"),
            None => {
                let text = "nobody is here to ask; add --yes to delete without asking";
                return Err(Misused(text.to_owned()).into());
            }
        }
    }
    let client = remote::connect(&args.remote)?;
    let dropped = client.drop_stores(&args.app).await;
    dropped.with_context(|| format!("cannot delete what {} keeps", args.app))?;
    if screen.is_json() {
        return screen.json(&serde_json::json!({ "dropped": args.app }));
    }
    screen.say(&format!("{} keeps nothing any more", args.app))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
