//! A host that runs: what it is told by signals, and how it is taken down in order.
//! Builds nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::outward::Outward;
use super::watch::MemoryWatch;
use crate::catalog::crash_log::CrashLog;
use crate::cpu::GuestThreads;
use crate::history::HistoryThread;
use crate::ingress::Ingress;
use crate::reload::Reload;
use crate::shutdown::Shutdown;
use crate::telemetry::events::{Event, Events, Severity};

/// A signal that comes this soon after the first is the same wish: `timeout` sends one to the process
/// and one to its group, and a service manager may do so as well.
const SAME_WISH: Duration = Duration::from_millis(250);
/// Who has called nothing for so long, and is not connected, is not surprised by a closed door.
const QUIET: Duration = Duration::from_secs(10);
/// How long callers whose calls were cut may take to hear of it.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long the last events, and the last minute of history, may take to the disk.
const LAST_EVENTS: Duration = Duration::from_secs(1);

/// A host that runs.
#[derive(Debug)]
pub struct Host {
    /// Where callers come in.
    pub listen: SocketAddr,
    /// Where operators come in.
    pub admin: SocketAddr,
    /// Whether callers speak TLS.
    pub is_tls: bool,
    /// Apps served again from an earlier run.
    pub n_restored: usize,
    pub(super) shutdown: Shutdown,
    pub(super) reload: Reload,
    pub(super) drain_timeout: Duration,
    pub(super) lame_duck: Duration,
    /// Whether other hosts may send calls here.
    pub(super) is_in_fleet: bool,
    pub(super) control: Runtime,
    /// Where a host of a fleet says that it is there.
    pub(super) presence: Option<Runtime>,
    pub(super) operators: Runtime,
    pub(super) memory_watch: MemoryWatch,
    /// What writes the history of apps, where it is kept.
    pub(super) history: Option<HistoryThread>,
    pub(super) guests: GuestThreads,
    pub(super) ingress: Ingress,
    pub(super) outward: Outward,
    pub(super) events: Arc<Events>,
    pub(super) crash_log: CrashLog,
}

/// Something that is read again when an operator asks.
pub trait AtReload: Send + 'static {
    /// Reads it; what is new, if anything is.
    ///
    /// # Errors
    /// Why everything stays as it was.
    fn read_again(&mut self) -> Result<Option<String>, String>;
}

/// How often is looked whether the host still is: nobody has to ask.
const SELDOM: Duration = Duration::from_secs(3600);

/// The signals that a host obeys. They are listened for before it starts: one that comes meanwhile
/// waits until it runs, where it would have ended the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Listens from now on. Only inside a runtime, which must live as long.
    ///
    /// # Errors
    /// The system refuses signal handlers.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one that ends the host.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for one more, which is no echo of the first.
    async fn end_again(&mut self, first_at: Instant) {
        loop {
            self.end().await;
            if first_at.elapsed() >= SAME_WISH {
                return;
            }
        }
    }

    /// Waits for the wish that files are read again: `true`, or for the end: `false`.
    async fn is_hang_up(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
            _ = self.hang_up.recv() => true,
        }
    }
}

impl Host {
    /// Failures from now on that events only count, each by itself.
    #[must_use]
    pub fn follow_repeats(&self) -> broadcast::Receiver<Event> {
        self.events.follow_repeats()
    }

    /// Has something read again whenever an operator asks, and what came of it told.
    pub fn at_reload(&self, mut what: impl AtReload) {
        let (mut asked, events) = (self.reload.subscribe(), self.events.clone());
        self.control.spawn(async move {
            loop {
                if !asked.next(SELDOM).await {
                    continue;
                }
                let read = tokio::task::spawn_blocking(move || (what.read_again(), what)).await;
                let Ok((told, same)) = read else { return };
                what = same;
                match told {
                    Ok(None) => {}
                    Ok(Some(message)) => {
                        tracing::info!("{message}");
                        events.push(Event::now("settings_read", message));
                    }
                    Err(why) => {
                        let message = format!("the settings stay as they were: {why}");
                        tracing::error!("{message}");
                        let advice = Some("mend the file and send SIGHUP again".to_owned());
                        let severity = Severity::Error;
                        let event = Event::now("settings_unusable", message);
                        events.push(Event { severity, advice, ..event });
                    }
                }
            }
        });
    }

    /// Serves until SIGTERM or SIGINT, then ends in order; SIGHUP has files read again. A second
    /// signal ends it at once. `false` when calls were broken off, by that or because their time was
    /// over.
    #[must_use]
    pub fn run_until_signal(self, mut signals: Signals) -> bool {
        let is_drained = self.control.block_on(async {
            while signals.is_hang_up().await {
                self.read_again();
            }
            let first_at = Instant::now();
            tracing::info!("ending: no new calls, finishing those that run");
            self.events.push(Event::now("stopping", "the host was told to end".to_owned()));
            tokio::select! {
                is_drained = self.drain() => is_drained,
                () = signals.end_again(first_at) => false,
            }
        });
        self.take_down(is_drained)
    }

    /// Ends in order, waiting for calls at most as long as the settings say.
    pub fn stop(self) {
        let is_drained = self.control.block_on(self.drain());
        self.take_down(is_drained);
    }

    fn read_again(&self) {
        tracing::info!("reading certificates, the token and what is logged again");
        self.reload.ask();
    }

    /// Says that the host is not ready, lets callers in until that is seen, and finishes what they
    /// asked. `false` when the time for that was over before.
    async fn drain(&self) -> bool {
        self.crash_log.end();
        self.shutdown.begin();
        let ends_at = Instant::now() + self.drain_timeout;
        if self.is_in_fleet || !self.ingress.callers.is_quiet(QUIET) {
            tokio::time::sleep(self.lame_duck.min(self.drain_timeout / 2)).await;
        }
        self.shutdown.shut_doors();
        self.shutdown.drained(ends_at.saturating_duration_since(Instant::now())).await
    }

    /// Whether no call was broken off.
    fn take_down(self, is_drained: bool) -> bool {
        let is_calm = is_drained || self.ingress.n_answering() == 0;
        self.shutdown.shut_doors();
        if !is_drained {
            self.shutdown.cut();
        }
        // Guests first: their timers stand on the clocks of the ingress threads.
        self.guests.join();
        if !is_calm {
            self.control.block_on(self.shutdown.drained(LAST_WORDS));
        }
        self.shutdown.close();
        self.ingress.join();
        self.memory_watch.join();
        if let Some(history) = self.history {
            history.end(LAST_EVENTS);
        }
        self.outward.flush(LAST_EVENTS);
        self.events.end(LAST_EVENTS);
        self.operators.shutdown_background();
        self.control.shutdown_background();
        if let Some(presence) = self.presence {
            presence.shutdown_background();
        }
        is_calm
    }
}
