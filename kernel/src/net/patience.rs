//! [`Patience`]: how long the calls of a socket wait.
//!
//! Three things say so: whether the socket waits at all, and a time for each direction.

use core::cell::Cell;

use crate::io::{ErrorKind, Result};
use crate::time::Duration;

/// How long one call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It does not.
    Not,
    /// At most so long.
    AtMost(Duration),
    /// Until it can do what it is for.
    Forever,
}

impl From<Option<Duration>> for Wait {
    fn from(timeout: Option<Duration>) -> Self {
        timeout.map_or(Self::Forever, Self::AtMost)
    }
}

/// Whether calls wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Blocking,
    NonBlocking,
}

/// How long the calls of a socket wait.
#[derive(Debug, Default)]
pub(super) struct Patience {
    mode: Cell<Mode>,
    read: Cell<Option<Duration>>,
    write: Cell<Option<Duration>>,
}

impl Patience {
    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        self.mode.set(if nonblocking { Mode::NonBlocking } else { Mode::Blocking });
    }

    pub(super) fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.read.set(check_timeout(timeout)?);
        Ok(())
    }

    pub(super) fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.write.set(check_timeout(timeout)?);
        Ok(())
    }

    pub(super) fn read_timeout(&self) -> Option<Duration> {
        self.read.get()
    }

    pub(super) fn write_timeout(&self) -> Option<Duration> {
        self.write.get()
    }

    /// How long reading and accepting wait.
    pub(super) fn reading(&self) -> Wait {
        self.wait(self.read.get())
    }

    /// How long writing waits.
    pub(super) fn writing(&self) -> Wait {
        self.wait(self.write.get())
    }

    fn wait(&self, timeout: Option<Duration>) -> Wait {
        match self.mode.get() {
            Mode::Blocking => timeout.into(),
            Mode::NonBlocking => Wait::Not,
        }
    }
}

/// Checks a timeout as `std` does.
pub(super) fn check_timeout(timeout: Option<Duration>) -> Result<Option<Duration>> {
    if timeout == Some(Duration::ZERO) {
        return Err(ErrorKind::InvalidInput.into());
    }
    Ok(timeout)
}
