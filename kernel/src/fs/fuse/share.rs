//! A share: the server behind one device, and the session with it that there is now.
//!
//! ```text
//!   Share --> Client of today  --> Connection --> device
//!             Client of before --> Connection (closed)        until the last of its nodes is dropped
//! ```
//!
//! A session ends with a fault of the device, or when the server does not answer any more. Everything fails then, until
//! [`remount`](FileSystem::remount) resets the device and begins another one, with INIT and a new root. Nodes, files and
//! listings of before hold on to the client of before, whose connection is closed: they fail with ESTALE, whatever the new
//! server calls by the same numbers. The server may have survived; so it is told, before the new session begins, that the one
//! of before is over, and frees what it holds for that. Data that was written and not yet stable may be lost.

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use fuse_proto::Errno;
use toro_core::Instant;
use toro_core::driver::fuse::FuseDevice;

use super::connection::Connection;
use super::epoch::Epoch;
use super::{Client, Options};
#[cfg(feature = "fs-write")]
use crate::fs::path::Place;
use crate::fs::path::{LastLink, Resolved};
use crate::fs::scheduler::Scheduler;
use crate::fs::vfs::{FileSystem, Freshness, Node};

#[cfg(feature = "fs-mounts")]
mod upkeep;

/// Is given every connection before anything is sent on it, to poll it from then on in place of the one before.
type Announce = Box<dyn Fn(&Rc<Connection>)>;

/// See the module.
pub struct Share {
    client: RefCell<Rc<Client>>,
    /// The one that has the device: the client's, or a later one over which no session could be begun yet.
    connection: RefCell<Rc<Connection>>,
    options: Options,
    announce: Announce,
    remounting: Cell<bool>,
    /// The last session that was begun, or could not be.
    epoch: Cell<Epoch>,
    /// Whether it was taken leave of.
    ended: Cell<bool>,
}

impl Share {
    /// Begins a session on `device`; see [`Client::mount`].
    ///
    /// # Errors
    ///
    /// Those of [`Client::mount`].
    pub fn mount(
        device: Box<dyn FuseDevice>,
        scheduler: Box<dyn Scheduler>,
        options: Options,
        announce: Announce,
    ) -> Result<Rc<Self>, Errno> {
        let client = Client::mount(device, scheduler, options, &announce)?;
        let connection = RefCell::new(Rc::clone(&client.connection));
        let client = RefCell::new(client);
        Ok(Rc::new(Self {
            client,
            connection,
            options,
            announce,
            remounting: Cell::new(false),
            epoch: Cell::new(Epoch::FIRST),
            ended: Cell::new(false),
        }))
    }

    /// The client of the session that there is now.
    pub fn client(&self) -> Rc<Client> {
        Rc::clone(&self.client.borrow())
    }

    /// Lets go of what has been kept for long enough.
    pub fn tidy_up(&self) {
        self.client().tidy_up();
    }

    /// When [`tidy_up`](Self::tidy_up) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.client().deadline()
    }
}

impl FileSystem for Share {
    fn root(&self) -> Result<Rc<dyn Node>, Errno> {
        self.client().root()
    }

    fn resolve(&self, path: &[u8], last_link: LastLink, freshness: Freshness) -> Result<Resolved, Errno> {
        self.client().resolve(path, last_link, freshness)
    }

    #[cfg(feature = "fs-write")]
    fn locate(&self, path: &[u8], last_link: LastLink, freshness: Freshness) -> Result<Place, Errno> {
        self.client().locate(path, last_link, freshness)
    }

    #[cfg(feature = "fs-write")]
    fn sync(&self) -> Result<(), Errno> {
        self.client().sync()
    }

    fn shutdown(&self) {
        self.ended.set(true);
        self.client().shutdown();
        // If it is another one, no session was begun over it.
        self.connection.borrow().close(Errno::ENOTCONN);
    }
}
