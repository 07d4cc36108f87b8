//! What one instance takes of its app's account. Does not know when an instance is gone: whoever holds
//! the reservation does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use steerage_core::outcome::Refusal;
use steerage_core::units::Bytes;

use crate::budget::Account;

/// What one instance and the host for it have reserved of what their app may. Given back when it is
/// dropped: to be done once the memory itself is the system's again, or others are given what is still
/// used.
#[derive(Debug)]
pub struct Reservation {
    account: Arc<Account>,
    /// Changed by whoever runs the instance, which is one thread at a time.
    bytes: AtomicU64,
}

impl Reservation {
    /// Of nothing yet.
    #[must_use]
    pub fn new(account: Arc<Account>) -> Arc<Self> {
        Arc::new(Self { account, bytes: AtomicU64::new(0) })
    }

    /// Takes more.
    ///
    /// # Errors
    /// The host is short of memory, and it is this app that holds too much.
    pub fn extend(&self, more: Bytes) -> Result<(), Refusal> {
        self.account.reserve(more)?;
        self.bytes.fetch_add(more.get(), Ordering::Relaxed);
        Ok(())
    }

    /// Whose it is.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Gives a part back that is the system's again.
    pub fn shrink(&self, bytes: Bytes) {
        self.bytes.fetch_sub(bytes.get(), Ordering::Relaxed);
        self.account.release(bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account.release(Bytes::new(*self.bytes.get_mut()));
    }
}
