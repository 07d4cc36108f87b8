//! Asks every part that read a file at the start to read it again: certificates, tokens.
//! Does not know who reads what; `serve` asks when an operator sends SIGHUP.

use std::time::Duration;

use tokio::sync::watch;

/// Asks for files to be read again.
#[derive(Clone, Debug)]
pub struct Reload {
    n_asked: watch::Sender<u64>,
}

/// Hears when files are to be read again.
#[derive(Clone, Debug)]
pub struct Asked {
    n_asked: watch::Receiver<u64>,
}

impl Default for Reload {
    fn default() -> Self {
        Self { n_asked: watch::Sender::new(0) }
    }
}

impl Reload {
    /// Asks everybody who listens. Who is still reading hears of it when it has read.
    pub fn ask(&self) {
        self.n_asked.send_modify(|n_asked| *n_asked += 1);
    }

    /// Hears of what is asked from now on.
    #[must_use]
    pub fn subscribe(&self) -> Asked {
        Asked { n_asked: self.n_asked.subscribe() }
    }
}

impl Asked {
    /// Waits until somebody asks, or for `every` at most: files change without anybody asking, too.
    /// Says whether somebody asked.
    pub async fn next(&mut self, every: Duration) -> bool {
        tokio::select! {
            asked = self.n_asked.changed() => if asked.is_ok() { return true },
            () = tokio::time::sleep(every) => return false,
        }
        // Nobody can ask any more.
        tokio::time::sleep(every).await;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn who_listens_hears_once_of_all_that_was_asked_meanwhile() {
        let reload = Reload::default();
        let mut asked = reload.subscribe();
        reload.ask();
        reload.ask();
        assert!(asked.next(MINUTE).await);
        assert!(!asked.next(MINUTE).await);
        drop(reload);
        let before = tokio::time::Instant::now();
        assert!(!asked.next(MINUTE).await);
        assert_eq!(before.elapsed(), MINUTE);
    }
}
