//! What an operator says of who is told what is wrong.
//! Does not look at files: `cli` does.

use std::path::PathBuf;

use super::said::Said;
use crate::notify::{NotifySettings, ReceiverUrl, WebhookSettings};

/// More than this no host has to tell, and each gets all.
const MOST_ALERTMANAGERS: usize = 8;

/// Reads it.
pub(super) fn read(said: &mut Said<'_, '_>) -> NotifySettings {
    let url = said.take("notify.webhook", ReceiverUrl::parse);
    let secret_file = said.take("notify.webhook_secret_file", |text| {
        if text.is_empty() { Err("is empty: expected a file") } else { Ok(PathBuf::from(text)) }
    });
    if said.has("notify.webhook_secret_file") && !said.has("notify.webhook") {
        let message = "needs a webhook that it is the secret of".to_owned();
        said.wrong("notify.webhook_secret_file", message);
    }
    let alertmanagers = said.take("notify.alertmanager", |text| {
        let urls = ReceiverUrl::parse_list(text)?;
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
