//! What an operator says of who is told what is wrong.
//! Does not look at files: `cli` and `serve` do.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::said::Said;
use crate::connector::OutsideUrl;
use crate::notify::{NotifySettings, WebhookSettings, parse_urls};

/// At most so many, because each of them is sent every problem.
const MOST_ALERTMANAGERS: usize = 8;

/// Reads it.
pub(super) fn read(said: &mut Said<'_, '_>) -> NotifySettings {
    let url = said.take("notify.webhook", OutsideUrl::parse);
    let secret_file = said.take("notify.webhook_secret_file", |text| {
        if text.is_empty() { Err("is empty: expected a file") } else { Ok(PathBuf::from(text)) }
    });
    if said.has("notify.webhook_secret_file") && !said.has("notify.webhook") {
        let message = "needs a webhook that it is the secret of".to_owned();
        said.wrong("notify.webhook_secret_file", message);
    }
    let alertmanagers = said.take("notify.alertmanager", |text| {
        let urls = parse_urls(text).map_err(|wrong| wrong.to_string())?;
        if let Some(place) = named_twice(&urls) {
            return Err(format!("names {place} twice: each host and port is allowed once"));
        }
        match urls.len() {
            0..=MOST_ALERTMANAGERS => Ok(urls),
            n_urls => Err(format!("names {n_urls}: at most {MOST_ALERTMANAGERS} are allowed")),
        }
    });
    NotifySettings {
        webhook: url.map(|url| WebhookSettings { url, secret_file }),
        alertmanagers: alertmanagers.unwrap_or_default(),
    }
}

/// A host and port that stands twice among these. In the metrics the two could not be told apart.
fn named_twice(urls: &[OutsideUrl]) -> Option<String> {
    let mut places = BTreeSet::new();
    let mut each = urls.iter().map(OutsideUrl::authority);
    each.find(|place| !places.insert(place.to_ascii_lowercase()))
}
