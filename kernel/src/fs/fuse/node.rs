//! Nodes: our side of what the server counts.
//!
//! ```text
//!   server                                   client
//!   node 7, generation 1                     FuseNode { identity: (7, 1, directory)
//!     lookups: 3  -------------------------->           lookups: 3        returned by one FORGET(7, 3) on drop
//!                                                       attributes, until when they hold
//!                                                       names below it that are cached }
//! ```
//!
//! There is one `FuseNode` per object, found by its number in [`Nodes`](super::nodes). Each reply that
//! names the object adds one to `lookups`, and the last handle that is dropped returns them all. So the two
//! counts agree whenever no message is on its way, however often a name was looked up, cached or evicted.
//!
//! # Numbers used again
//!
//! A server may give a number to another object, once all references on the old one are returned; it then
//! changes the generation. A number that comes back with another generation or another file type names another
//! object. The old `FuseNode` is stale from then on: its operations fail with ESTALE, and it returns what it
//! was given, no more.
//!
//! # What is in which file
//!
//! ```text
//!   attributes.rs   what is known of the object, since when and until when   GETATTR SETATTR
//!   names.rs        what is found below a directory                          LOOKUP
//!   changes.rs      what changes below a directory                           CREATE MKDIR UNLINK RENAME ...
//!   xattr.rs        extended attributes                                      GETXATTR SETXATTR ...
//! ```

use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::cell::{Cell, OnceCell, RefCell};

use fuse_proto::ops::ReadLink;
use fuse_proto::{Attributes, Errno, Identity, NodeId};
use toro_core::Instant;

pub use self::attributes::{Change, Extent, Learned, Version};
use super::connection::{Keep, Late};
use super::contents::Contents;
use super::directory::FuseDirectory;
use super::file::FuseFile;
use super::handle::Handle;
use super::{Client, file_type, metadata};
use crate::fs::lock::Lock;
use crate::fs::metadata::{FileType, Metadata};
#[cfg(feature = "fs-write")]
use crate::fs::options::{Contents as FileContents, Rights};
use crate::fs::vfs::{Freshness, Node, OpenDirectory, OpenFile};

mod attributes;
mod changes;
#[cfg(feature = "fs-write")]
mod changing;
mod names;
mod xattr;

/// An object of the server, held for as long as anyone has a handle to it.
pub struct FuseNode {
    me: Weak<FuseNode>,
    client: Rc<Client>,
    identity: Identity,
    lookups: Cell<u64>,
    attributes: Cell<Attributes>,
    /// When what is known of them was asked for.
    attributes_asked: Cell<Version>,
    /// When something about the object was last changed from here.
    attributes_changed: Cell<Version>,
    attributes_until: Cell<Instant>,
    /// How often the contents or the length were changed from here.
    changes: Cell<u64>,
    /// Until when the length holds, which may be longer than the rest of the attributes does.
    size_until: Cell<Instant>,
    stale: Cell<bool>,
    contents: RefCell<Option<Rc<Contents>>>,
    /// When a name below this directory was last changed from here.
    names_changed: Cell<Version>,
    /// Whether it has been changed since it was last made stable.
    unstable: Cell<bool>,
    /// Whether its last name has been removed from here.
    removed: Cell<bool>,
    /// Where the cache keeps the first of its names of this directory.
    pub(super) first_name: Cell<Option<usize>>,
    /// Whether somebody has looked at something in this directory since a listing last asked.
    looked_into: Cell<bool>,
    /// A handle to the file that is open now, if there is one.
    pub(super) handle: RefCell<Weak<Handle>>,
    /// Whose turn it is to append, once somebody has.
    pub(super) appending: OnceCell<Rc<Lock<()>>>,
}

impl FuseNode {
    /// A node on which the server has counted `lookups`.
    pub fn new(client: &Rc<Client>, identity: Identity, lookups: u64, learned: &Learned) -> Rc<Self> {
        let until = client.now().saturating_add(learned.lifetime);
        Rc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            client: Rc::clone(client),
            identity,
            lookups: Cell::new(lookups),
            attributes: Cell::new(learned.attributes),
            attributes_asked: Cell::new(learned.asked),
            attributes_changed: Cell::default(),
            attributes_until: Cell::new(until),
            changes: Cell::new(0),
            size_until: Cell::new(until),
            stale: Cell::new(false),
            contents: RefCell::default(),
            names_changed: Cell::default(),
            unstable: Cell::new(false),
            removed: Cell::new(false),
            first_name: Cell::new(None),
            looked_into: Cell::new(false),
            handle: RefCell::default(),
            appending: OnceCell::new(),
        })
    }

    /// Its number.
    pub fn number(&self) -> NodeId {
        self.identity.node
    }

    /// What makes it this object and no other.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The file system that it is in.
    pub fn client(&self) -> &Rc<Client> {
        &self.client
    }

    /// Another handle to it.
    pub fn handle_to_self(&self) -> Rc<Self> {
        self.me.upgrade().expect("a node is only reached through a handle")
    }

    /// What tables remember it by that do not keep it.
    pub(super) fn weak_handle(&self) -> Weak<Self> {
        Weak::clone(&self.me)
    }

    /// What a request about this node keeps alive.
    pub fn keep(&self) -> Keep {
        let node: Rc<dyn Any> = self.handle_to_self();
        Some(node)
    }

    /// Whether something in this directory was looked at since this was last asked.
    pub fn forget_looks(&self) -> bool {
        self.looked_into.take()
    }

    /// Counts another reference.
    pub fn count_lookup(&self) {
        self.lookups.set(self.lookups.get().saturating_add(1));
        self.removed.set(false);
    }

    /// Takes all references, to return them.
    pub fn take_lookups(&self) -> u64 {
        self.lookups.take()
    }

    /// Says that the server has given the number to something else.
    pub fn mark_stale(&self) {
        self.stale.set(true);
    }

    /// Says that it is changed; whether that was known, or is of no matter since nobody will find it any more.
    pub fn mark_unstable(&self) -> bool {
        self.removed.get() || self.unstable.replace(true)
    }

    /// Says that nothing about it can be lost.
    pub fn mark_stable(&self) {
        self.unstable.set(false);
    }

    /// Says that a name of it was removed: if that was the last one, nobody cares whether it is stable.
    fn lose_name(&self) {
        if self.file_type().is_dir() || self.attributes.get().links <= 1 {
            self.removed.set(true);
            self.mark_stable();
        }
    }

    /// The whole contents of the file, if they are remembered and still hold.
    pub fn contents(&self) -> Option<Rc<Contents>> {
        let contents = self.contents.borrow().clone()?;
        if contents.hold(self.client.now()) {
            return Some(contents);
        }
        self.set_contents(None);
        None
    }

    /// Remembers other contents, or none.
    pub fn set_contents(&self, contents: Option<Rc<Contents>>) {
        *self.contents.borrow_mut() = contents;
    }

    /// Looks at what is remembered of the file, if it still holds.
    pub fn with_contents<T>(&self, look: impl FnOnce(&Contents) -> Option<T>) -> Option<T> {
        let contents = self.contents.borrow();
        let known = contents.as_deref()?;
        if known.hold(self.client.now()) {
            return look(known);
        }
        drop(contents);
        self.set_contents(None);
        None
    }

    /// Fails once the node is stale.
    pub fn check(&self) -> Result<(), Errno> {
        if self.stale.get() { Err(Errno::ESTALE) } else { Ok(()) }
    }
}

impl Node for FuseNode {
    fn id(&self) -> u64 {
        self.client.epoch.mark(self.number().get())
    }

    fn file_type(&self) -> FileType {
        file_type(self.identity.file_type)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.attributes(None).map(|attributes| metadata(&attributes))
    }

    fn lookup(&self, name: &[u8], freshness: Freshness) -> Result<Rc<dyn Node>, Errno> {
        let node: Rc<dyn Node> = self.find(name, freshness)?;
        Ok(node)
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        self.check()?;
        if !self.file_type().is_symlink() {
            return Err(Errno::EINVAL);
        }
        let operation = ReadLink { node: self.number() };
        self.client.connection.call(&operation, Late::Nothing, self.keep(), <[u8]>::to_vec)
    }

    fn open(&self) -> Result<Box<dyn OpenFile>, Errno> {
        self.check()?;
        match self.file_type() {
            FileType::File => Ok(Box::new(FuseFile::open(&self.handle_to_self())?)),
            FileType::Directory => Err(Errno::EISDIR),
            FileType::Symlink => Err(Errno::ELOOP),
            // The server would open a pipe or a device of the host, and could block on it for ever.
            _ => Err(Errno::ENXIO),
        }
    }

    #[cfg(feature = "fs-write")]
    fn open_for_writing(&self, rights: Rights, contents: FileContents) -> Result<Box<dyn OpenFile>, Errno> {
        self.check()?;
        match self.file_type() {
            FileType::File => Ok(Box::new(FuseFile::open_for_writing(&self.handle_to_self(), rights, contents)?)),
            FileType::Directory => Err(Errno::EISDIR),
            FileType::Symlink => Err(Errno::ELOOP),
            _ => Err(Errno::ENXIO),
        }
    }

    fn open_directory(&self) -> Result<Box<dyn OpenDirectory>, Errno> {
        self.check_directory()?;
        Ok(Box::new(FuseDirectory::open(&self.handle_to_self())?))
    }

    #[cfg(feature = "fs-write")]
    fn create_and_open(&self, name: &[u8], mode: u32, rights: Rights) -> Result<Box<dyn OpenFile>, Errno> {
        Ok(Box::new(self.make_open_file(name, mode, rights)?))
    }
}

#[cfg(not(feature = "fs-write"))]
impl crate::fs::vfs::NodeChanges for FuseNode {}

impl Drop for FuseNode {
    fn drop(&mut self) {
        self.client.connection.forget(self.number(), self.lookups.take());
        self.client.remove_node(self);
        #[cfg(feature = "fs-write")]
        if self.unstable.get() {
            self.client.unstable.lose(self.number());
        }
        if let Some(first) = self.first_name.get() {
            self.client.bury(self.client.names.take(first));
        }
    }
}
