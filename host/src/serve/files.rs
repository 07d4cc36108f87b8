//! Files that are read again while the host runs: the callers' certificate and the operators' token.
//! Decides nothing: says what is new, in the log and as events.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use steerage_core::expiry::Expiry;
use tokio::runtime::Runtime;

use super::StartError;
use crate::api::auth::{self, Token};
use crate::config::Settings;
use crate::listener::tls::{Certificates, News};
use crate::reload::{Asked, Reload};
use crate::telemetry::chain;
use crate::telemetry::events::{Event, Events, Severity};

/// How often certificates are looked at without being asked: renewers replace files and tell nobody.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What was read.
pub(super) struct Files {
    /// What callers are shown.
    pub(super) certificates: Option<Arc<Certificates>>,
    token_file: Option<PathBuf>,
    /// What operators must show, now.
    pub(super) token: Arc<ArcSwap<Option<Token>>>,
}

impl Files {
    /// Reads all of it for the first time, and says how callers are spoken to, unless in plain text.
    ///
    /// # Errors
    /// A file cannot be used, or operators could be anybody.
    pub(super) fn read(
        settings: &Settings,
    ) -> Result<(Self, Option<Arc<ServerConfig>>), StartError> {
        let token_file = settings.token_file.clone();
        let token = token_file.as_deref().map(Token::read).transpose()?;
        auth::check_listen(settings.admin, token.as_ref())?;
        let certificates = settings.tls.clone().map(Certificates::open).transpose()?;
        let tls = certificates.as_ref().map(Certificates::server).transpose();
        let tls = tls.map_err(StartError::System)?;
        let token = Arc::new(ArcSwap::from_pointee(token));
        Ok((Self { certificates, token_file, token }, tls))
    }

    /// Starts to follow all of it.
    pub(super) fn follow(self, reload: &Reload, events: &Arc<Events>, control: &Runtime) {
        if let Some(certificates) = self.certificates {
            let asked = reload.subscribe();
            control.spawn(follow_certificates(certificates, asked, events.clone()));
        }
        if let Some(path) = self.token_file {
            control.spawn(follow_token(path, self.token, reload.subscribe(), events.clone()));
        }
    }
}

/// Follows the callers' certificate until the host ends.
async fn follow_certificates(
    certificates: Arc<Certificates>,
    mut asked: Asked,
    events: Arc<Events>,
) {
    loop {
        let reader = certificates.clone();
        let read = tokio::task::spawn_blocking(move || reader.refresh(Timestamp::now()));
        for news in read.await.unwrap_or_default() {
            tell(&news, &events);
        }
        asked.next(LOOK_EVERY).await;
    }
}

fn tell(news: &News, events: &Events) {
    let (severity, kind, message, advice) = match news {
        News::Replaced { ends } => {
            let message = format!("callers are shown another certificate, which ends at {ends}");
            tracing::info!("{message}");
            (Severity::Info, "certificate_replaced", message, None)
        }
        News::Unusable { why } => {
            let message = format!("the certificate for callers stays as it was: {why}");
            tracing::error!("{message}");
            let advice = "mend the file; it is looked at each minute, and on SIGHUP".to_owned();
            (Severity::Error, "certificate_unusable", message, Some(advice))
        }
        News::NotYet { begins } => {
            let message = format!(
                "the certificate for callers is not valid yet: it begins at {begins}, and it is {} \
                 here",
                Timestamp::now().strftime("%FT%TZ")
            );
            tracing::error!("{message}");
            let advice =
                "set the clock of this machine right, or use another certificate".to_owned();
            (Severity::Error, "certificate_not_yet_valid", message, Some(advice))
        }
        News::Expires { expiry, ends } => {
            let message = format!("the certificate for callers {expiry}: it ends at {ends}");
            tracing::warn!("{message}");
            let severity = if *expiry < Expiry::Day { Severity::Warning } else { Severity::Error };
            let advice = "renew it; the files are looked at each minute, and on SIGHUP".to_owned();
            (severity, "certificate_expires", message, Some(advice))
        }
    };
    let event = Event { severity, advice, ..Event::now(kind, message) };
    match news {
        // Each stage once, over restarts as well.
        News::Expires { .. } => drop(events.push_once(event)),
        _ => events.push(event),
    }
}

/// Follows the operators' token until the host ends. Reads it when asked only: a file that is being
/// written shall not lock operators out.
async fn follow_token(
    path: PathBuf,
    token: Arc<ArcSwap<Option<Token>>>,
    mut asked: Asked,
    events: Arc<Events>,
) {
    loop {
        if !asked.next(LOOK_EVERY).await {
            continue;
        }
        // Its disk may stand still.
        let from = path.clone();
        let read = tokio::task::spawn_blocking(move || Token::read(&from)).await;
        let Ok(read) = read else { return };
        let (severity, kind, message) = match read {
            Ok(read) => {
                let is_same = token.load().as_ref().as_ref() == Some(&read);
                token.store(Arc::new(Some(read)));
                if is_same {
                    continue;
                }
                (Severity::Info, "token_replaced", "operators must show another token".to_owned())
            }
            Err(error) => {
                let message = format!("the token stays as it was: {}", chain(&error));
                (Severity::Error, "token_unusable", message)
            }
        };
        tracing::info!("{message}");
        events.push(Event { severity, ..Event::now(kind, message) });
    }
}
