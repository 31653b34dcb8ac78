//! What has been changed and not been made stable, for [`FileSystem::sync`](crate::fs::vfs::FileSystem::sync).
//!
//! A server makes all of it stable with one SYNCFS, and then this list is only cleared. One without SYNCFS is asked for
//! FSYNC of every file and FSYNCDIR of every directory in the list, through a handle that is opened for that: FSYNC is about
//! the file and not about the handle. Nodes are not held for the list's sake. One that goes while it is listed cannot be
//! asked about any more, so that a `sync` without SYNCFS then says EOPNOTSUPP, once: some of it may not be stable. A file
//! that lost its last name is no loss.

use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use fuse_proto::ops::{FSync, FSyncDir, SyncFs, SyncWhat};
use fuse_proto::{Errno, NodeId, Opcode, Plan};

use super::Client;
use super::connection::Late;
use super::directory::FuseDirectory;
use super::handle::Handle;
use super::node::FuseNode;
use crate::fs::vfs::Node;

/// The nodes of a mount that have been changed.
#[derive(Default)]
pub struct Unstable {
    nodes: RefCell<BTreeMap<NodeId, Weak<FuseNode>>>,
    /// Whether one has gone.
    lost: Cell<bool>,
}

impl Unstable {
    /// Adds a node.
    pub fn insert(&self, node: &FuseNode) {
        if !node.mark_unstable() {
            self.nodes.borrow_mut().insert(node.number(), Rc::downgrade(&node.handle_to_self()));
        }
    }

    /// Takes note that a node goes that was added.
    pub fn lose(&self, node: NodeId) {
        self.nodes.borrow_mut().remove(&node);
        self.lost.set(true);
    }

    /// Takes all.
    fn take(&self) -> Vec<Rc<FuseNode>> {
        let nodes = core::mem::take(&mut *self.nodes.borrow_mut());
        nodes.into_values().filter_map(|node| node.upgrade()).inspect(|node| node.mark_stable()).collect()
    }
}

impl Client {
    /// Makes stable all that has been changed.
    pub(super) fn make_stable(&self) -> Result<(), Errno> {
        // What is changed from here on is for the next time.
        let nodes = self.unstable.take();
        let was_lost = self.unstable.lost.take();
        let result = self.make_all_stable(&nodes, was_lost);
        if result.is_err() {
            nodes.iter().for_each(|node| self.unstable.insert(node));
        }
        result
    }

    fn make_all_stable(&self, nodes: &[Rc<FuseNode>], was_lost: bool) -> Result<(), Errno> {
        if self.plan(Opcode::SyncFs) == Plan::Send {
            let keep = self.root.borrow().as_ref().and_then(|root| root.keep());
            match self.connection.call(&SyncFs { node: NodeId::ROOT }, Late::Nothing, keep, |()| ()) {
                Err(Errno::ENOSYS) if self.learn_unsupported(Opcode::SyncFs).is_some() => {}
                result => return result,
            }
        }
        let mut result = if was_lost { Err(Errno::EOPNOTSUPP) } else { Ok(()) };
        for node in nodes {
            // All are tried, so that one that fails costs only itself.
            result = result.and(match node.make_stable() {
                // Removed on the host.
                Err(Errno::ESTALE | Errno::ENOENT) => Ok(()),
                other => other,
            });
        }
        result
    }
}

impl FuseNode {
    /// FSYNC or FSYNCDIR, through a handle of the moment.
    pub fn make_stable(self: &Rc<Self>) -> Result<(), Errno> {
        let (node, what) = (self.number(), SyncWhat::All);
        let client = self.client();
        let opcode = if self.file_type().is_dir() { Opcode::FSyncDir } else { Opcode::FSync };
        if !(self.file_type().is_dir() || self.file_type().is_file()) || client.plan(opcode) == Plan::Skip {
            return Ok(());
        }
        let connection = &client.connection;
        let result = if self.file_type().is_dir() {
            let open = FuseDirectory::open(self)?;
            let handle = open.handle();
            connection.call(&FSyncDir { node, handle, what }, Late::Nothing, open.keep(), |()| ())
        } else {
            let open = Handle::open(self)?;
            let handle = open.handle.unwrap_or_default();
            connection.call(&FSync { node, handle, what }, Late::Nothing, open.keep(), |()| ())
        };
        match result {
            Err(Errno::ENOSYS) if client.learn_unsupported(opcode).is_some() => Ok(()),
            result => result,
        }
    }
}
