//! Getting back what was lent to the device.
//!
//! ```text
//!   lent   request answered -------------------------------------> home
//!          not answered: patience, INTERRUPT, patience again
//!             '--> connection closed, device reset: handed back --> home
//!                                     '-- not confirmed: again and again
//! ```
//!
//! Memory that is only lent must be home before its owner can go on, so this is the one wait that ends with a reset of the
//! device rather than with an error. See [`toro_core::dma::lend`].

use alloc::rc::Rc;

use fuse_proto::Errno;
use toro_core::{Dma, Instant};

use super::Connection;

/// How long memory that was lent may stay away.
#[derive(Clone, Copy, Debug)]
pub enum HomeComing {
    /// It is expected by then.
    Until(Instant),
    /// A reset has been tried; it is tried again then.
    Overdue(Instant),
}

impl HomeComing {
    /// For memory that is lent now: a request may take as long as any, and so may its interruption.
    pub fn begin(connection: &Rc<Connection>) -> Self {
        Self::Until(connection.deadline().saturating_add(connection.patience))
    }
}

impl Connection {
    /// Through what memory that is not the device's own may be lent to it, if that is possible.
    pub fn lender(&self) -> Option<Dma> {
        self.device.borrow().lender()
    }

    /// Waits a little for what was lent; ends the session and resets the device if it is away for too long, or if there is no
    /// session any more. To be called again until it is home.
    pub fn wait_for_home(&self, coming: HomeComing) -> HomeComing {
        let is_closed = self.state.borrow().closed.is_some();
        match coming {
            HomeComing::Until(end) if !is_closed && self.now() < end => {
                self.room.wait_until(end);
                coming
            }
            HomeComing::Overdue(end) if self.now() < end => {
                self.room.wait_until(end);
                coming
            }
            _ => {
                self.take_back();
                HomeComing::Overdue(self.deadline())
            }
        }
    }

    /// Ends the session, and has the device give back all that it has.
    fn take_back(&self) {
        if self.state.borrow().closed.is_none() {
            log::error!("virtio-fs: memory was lent and does not come back; the file system is lost");
        }
        self.close(Errno::EIO);
        if let Err(error) = self.reset_device() {
            log::error!("virtio-fs: the device keeps memory that was lent to it: {error}");
        }
        self.room.announce();
    }
}
