//! When the next request is to be sent: at once, or when its time has come.
//! Knows no sockets of its own but a timer, which is finer than the milliseconds of an event loop.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::pending;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Semaphore;

/// How requests follow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// The next one when the last one was answered.
    Closed,
    /// Evenly spaced, whatever happened to the last one.
    Open { per_second: f64 },
}

/// Hands out the moments at which requests are to be sent.
#[derive(Debug)]
pub(super) struct Turns {
    pace: Pace,
    give_up: Duration,
    /// Moments that came and that no connection was free for yet, the oldest first.
    due: RefCell<VecDeque<Instant>>,
    n_due: Semaphore,
}

/// A moment to send at.
pub(super) enum Turn {
    /// Now, and it should have been then.
    Send(Instant),
    /// Whoever wanted to send has gone away meanwhile.
    TooLate,
}

impl Turns {
    pub(super) fn new(pace: Pace, give_up: Duration) -> Self {
        Self { pace, give_up, due: RefCell::default(), n_due: Semaphore::new(0) }
    }

    /// Waits for the next moment to send.
    pub(super) async fn next(&self) -> Turn {
        if matches!(self.pace, Pace::Closed) {
            return Turn::Send(Instant::now());
        }
        // The semaphore is never closed.
        if let Ok(permit) = self.n_due.acquire().await {
            permit.forget();
        }
        match self.due.borrow_mut().pop_front() {
            Some(due_at) if due_at.elapsed() < self.give_up => Turn::Send(due_at),
            Some(_) | None => Turn::TooLate,
        }
    }

    /// Makes the moments come; never ends unless the system refuses a timer.
    pub(super) async fn run(&self) -> Result<()> {
        let Pace::Open { per_second } = self.pace else { return pending().await };
        let interval = Duration::from_secs_f64(1.0 / per_second);
        let mut due_at = Instant::now();
        // A timer is read as a pipe is; tokio has no safe way to wait for other descriptors.
        let mut timer = Receiver::from_owned_fd_unchecked(timer(interval)?)?;
        loop {
            let mut count = [0; 8];
            timer.read_exact(&mut count).await.context("cannot read a timer")?;
            let count = u64::from_ne_bytes(count);
            let mut due = self.due.borrow_mut();
            for _ in 0..count {
                due_at += interval;
                due.push_back(due_at);
            }
            self.n_due.add_permits(usize::try_from(count)?);
        }
    }
}

fn timer(interval: Duration) -> Result<OwnedFd> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags).context("cannot make a timer")?;
    let interval = Timespec {
        tv_sec: i64::try_from(interval.as_secs())?,
        tv_nsec: i64::from(interval.subsec_nanos()),
    };
    let setting = Itimerspec { it_interval: interval, it_value: interval };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting).context("cannot set a timer")?;
    Ok(timer)
}
