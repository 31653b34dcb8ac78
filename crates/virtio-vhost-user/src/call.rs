//! [`Call`]: the interrupt of a queue.
//!
//! A daemon interrupts by adding to a counter in the kernel (an eventfd), one for each queue. Who waits for it also
//! waits for the daemon's end of the connection to close: what has died interrupts nobody.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, read};

use crate::connection::{Connection, Link, wait_for};

/// The interrupt of one queue, to be waited for by whoever has the queue. Clones are the same interrupt.
///
/// It can come without a reason. As a file it is readable while it is pending.
#[derive(Clone)]
pub struct Call {
    event: Arc<OwnedFd>,
    connection: Arc<Connection>,
}

/// Why a wait ended without an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// There was none in time.
    TimedOut,
    /// The daemon has gone, or can no longer be talked to. Nothing more will come, unless the device is reset.
    Gone,
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "no interrupt came in time",
            Self::Gone => "the device is gone",
        })
    }
}

impl std::error::Error for WaitError {}

impl Call {
    pub(crate) fn new(event: Arc<OwnedFd>, connection: Arc<Connection>) -> Self {
        Self { event, connection }
    }

    /// Sleeps until the queue interrupts, and takes the interrupt.
    ///
    /// # Errors
    ///
    /// It does not, within `patience`, or the daemon is gone. What it completed before it went can still be taken out.
    pub fn wait(&self, patience: Duration) -> Result<(), WaitError> {
        Self::wait_any(std::slice::from_ref(self), patience)
    }

    /// Sleeps until one of several queues interrupts, and takes all interrupts that are there.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), of any of the daemons; and for nothing to wait for, which is nothing in time.
    pub fn wait_any(calls: &[Self], patience: Duration) -> Result<(), WaitError> {
        let until = Instant::now().checked_add(patience);
        // Whatever the clock cannot represent is beyond anybody's patience; a day at a time will do.
        let until = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
        loop {
            // Those of now: a device that was reset may have another.
            let ways: Vec<Arc<Link>> = calls.iter().map(|call| call.connection.link()).collect();
            let has_ended = ways.iter().any(|link| link.ended().is_some());
            if !has_ended {
                let events = calls.iter().map(|call| PollFd::new(&call.event, PollFlags::IN));
                // That a socket was closed is said unasked.
                let links = ways.iter().map(|link| PollFd::new(link, PollFlags::empty()));
                let mut files: Vec<PollFd<'_>> = events.chain(links).collect();
                wait_for(&mut files, Some(until)).map_err(|_| WaitError::Gone)?;
                for (link, file) in ways.iter().zip(&files[calls.len()..]) {
                    if !file.revents().is_empty() {
                        link.hung_up();
                    }
                }
            }
            // `|`: all of them are taken.
            if calls.iter().fold(false, |any, call| any | call.take()) {
                return Ok(());
            }
            if has_ended {
                return Err(WaitError::Gone);
            }
            if Instant::now() >= until {
                return Err(WaitError::TimedOut);
            }
        }
    }

    /// Takes the interrupt if there is one, without waiting.
    pub fn take(&self) -> bool {
        loop {
            match read(&self.event, &mut [0; 8]) {
                Err(Errno::INTR) => {}
                result => return result.is_ok(),
            }
        }
    }
}

impl AsFd for Call {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call")
    }
}
