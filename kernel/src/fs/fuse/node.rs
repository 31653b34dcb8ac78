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
//! There is one `FuseNode` per object, found by its number in [`Client::nodes`](super::Client). Each reply that
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
//! # Attributes
//!
//! Attributes hold until the server's promise runs out. Answers may overtake each other, so each set remembers
//! when it was asked for, and one that was asked for earlier does not replace one that was asked for later.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::cell::{Cell, OnceCell, RefCell};
use core::time::Duration;

use fuse_proto::ops::{GetAttr, Lookup, LookupReply, ReadLink};
use fuse_proto::{Attributes, Errno, FileHandle, Identity, Name, NameError, NodeId};
use toro_core::Instant;

use super::cache::Known;
use super::connection::{Keep, Late};
use super::contents::Contents;
use super::directory::FuseDirectory;
use super::file::FuseFile;
use super::handle::Handle;
use super::{Client, file_type, metadata};
use crate::fs::lock::Lock;
use crate::fs::metadata::{FileType, Metadata};
use crate::fs::options::{Contents as FileContents, Rights};
use crate::fs::vfs::{Freshness, Node, OpenDirectory, OpenFile};

/// An object of the server, held for as long as anyone has a handle to it.
pub struct FuseNode {
    me: Weak<FuseNode>,
    client: Rc<Client>,
    identity: Identity,
    lookups: Cell<u64>,
    attributes: Cell<Attributes>,
    attributes_asked: Cell<Instant>,
    attributes_until: Cell<Instant>,
    /// How often the contents or the length were changed from here.
    changes: Cell<u64>,
    /// Until when the length holds, which may be longer than the rest of the attributes does.
    size_until: Cell<Instant>,
    stale: Cell<bool>,
    contents: RefCell<Option<Rc<Contents>>>,
    /// Where the cache keeps names of this directory.
    pub(super) names: RefCell<BTreeMap<Rc<[u8]>, usize>>,
    /// A handle to the file that is open now, if there is one.
    pub(super) handle: RefCell<Weak<Handle>>,
    /// Whose turn it is to append, once somebody has.
    pub(super) appending: OnceCell<Rc<Lock<()>>>,
}

/// Attributes as they came.
pub struct Learned {
    /// The attributes.
    pub attributes: Attributes,
    /// How long they hold, from now.
    pub lifetime: Duration,
    /// When they were asked for.
    pub asked: Instant,
}

impl FuseNode {
    /// A node on which the server has counted `lookups`.
    pub fn new(client: &Rc<Client>, identity: Identity, lookups: u64, learned: &Learned) -> Rc<Self> {
        Rc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            client: Rc::clone(client),
            identity,
            lookups: Cell::new(lookups),
            attributes: Cell::new(learned.attributes),
            attributes_asked: Cell::new(learned.asked),
            attributes_until: Cell::new(client.now().saturating_add(learned.lifetime)),
            changes: Cell::new(0),
            size_until: Cell::new(client.now().saturating_add(learned.lifetime)),
            stale: Cell::new(false),
            contents: RefCell::default(),
            names: RefCell::default(),
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

    /// What a request about this node keeps alive.
    pub fn keep(&self) -> Keep {
        let node: Rc<dyn Any> = self.handle_to_self();
        Some(node)
    }

    /// Counts another reference.
    pub fn count_lookup(&self) {
        self.lookups.set(self.lookups.get().saturating_add(1));
    }

    /// Takes all references, to return them.
    pub fn take_lookups(&self) -> u64 {
        self.lookups.take()
    }

    /// Says that the server has given the number to something else.
    pub fn mark_stale(&self) {
        self.stale.set(true);
    }

    /// Remembers attributes, unless they were asked for before those that are known.
    pub fn learn(&self, learned: &Learned) {
        if learned.asked >= self.attributes_asked.get() {
            let (old, new) = (self.attributes.get(), &learned.attributes);
            if (old.size, old.modified, old.changed) != (new.size, new.modified, new.changed) {
                self.set_contents(None);
            }
            self.attributes.set(learned.attributes);
            self.attributes_asked.set(learned.asked);
            let until = self.client.now().saturating_add(learned.lifetime);
            self.attributes_until.set(until);
            self.size_until.set(until);
        }
    }

    /// Takes note that the file was changed from here, or may have been: what was known of it, and what is being asked for
    /// already, does not hold (FU-SEM-5).
    pub fn note_change(&self) {
        self.changes.set(self.changes.get().wrapping_add(1));
        self.attributes_asked.set(self.client.now());
        self.distrust_attributes();
    }

    /// Takes note that the file was written up to `end`. Its length is known as well as before.
    pub fn note_written(&self, end: u64) {
        let size_until = self.size_until.get();
        self.note_change();
        let mut attributes = self.attributes.get();
        attributes.size = attributes.size.max(end);
        self.attributes.set(attributes);
        self.size_until.set(size_until);
    }

    /// How often it was changed from here. What was read while the number stayed the same is good.
    pub fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// Says that the attributes turned out to be wrong.
    pub fn distrust_attributes(&self) {
        self.attributes_until.set(Instant::from_nanos(0));
        self.size_until.set(Instant::from_nanos(0));
        self.set_contents(None);
    }

    /// Until when the attributes hold.
    pub fn attributes_until(&self) -> Instant {
        self.attributes_until.get()
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

    /// Forgets these contents, unless they are replaced by now.
    pub fn drop_contents(&self, contents: &Rc<Contents>) {
        self.contents.borrow_mut().take_if(|known| Rc::ptr_eq(known, contents));
    }

    /// The size of the file, if what is known of it still holds.
    pub fn known_size(&self) -> Option<u64> {
        (self.client.now() < self.size_until.get()).then(|| self.attributes.get().size)
    }

    /// Fails once the node is stale.
    pub fn check(&self) -> Result<(), Errno> {
        if self.stale.get() { Err(Errno::ESTALE) } else { Ok(()) }
    }

    /// Its attributes, asked for through `handle` if they have to be asked for.
    pub fn attributes(&self, handle: Option<FileHandle>) -> Result<Attributes, Errno> {
        self.check()?;
        if let Some(attributes) = self.fresh_attributes() {
            return Ok(attributes);
        }
        let asked = self.client.now();
        let operation = GetAttr { node: self.number(), handle, expected: Some(self.identity.file_type) };
        let connection = &self.client.connection;
        let reply = connection.call(&operation, Late::Nothing, self.keep(), |reply| reply)?;
        self.learn(&Learned { attributes: reply.attributes, lifetime: reply.lifetime, asked });
        Ok(reply.attributes)
    }

    fn fresh_attributes(&self) -> Option<Attributes> {
        (self.client.now() < self.attributes_until.get()).then(|| self.attributes.get())
    }

    fn find(&self, name: &[u8], freshness: Freshness) -> Result<Rc<FuseNode>, Errno> {
        self.check()?;
        if !self.file_type().is_dir() {
            return Err(Errno::ENOTDIR);
        }
        let cache = &self.client.names;
        if freshness == Freshness::Cached {
            match cache.get(self, name, self.client.now()) {
                Known::Node(node) => return Ok(node),
                Known::Absent => return Err(Errno::ENOENT),
                Known::Nothing => {}
            }
        }
        let checked = Name::new(name).map_err(|error| match error {
            NameError::TooLong => Errno::ENAMETOOLONG,
            _ => Errno::EINVAL,
        })?;
        let parent = self.number();
        let asked = self.client.now();
        let operation = Lookup { parent, name: checked };
        let reply = self.client.connection.call(&operation, Late::Lookup { parent }, self.keep(), |reply| reply);
        match reply {
            Ok(LookupReply::Found(entry)) => {
                let node = self.client.receive(&entry, asked);
                let until = self.client.now().saturating_add(entry.name_lifetime);
                cache.insert(&self.handle_to_self(), name, Some(Rc::clone(&node)), until);
                Ok(node)
            }
            Ok(LookupReply::Negative { lifetime }) if lifetime > Duration::ZERO => {
                let until = self.client.now().saturating_add(lifetime);
                cache.insert(&self.handle_to_self(), name, None, until);
                Err(Errno::ENOENT)
            }
            Ok(LookupReply::Negative { .. }) | Err(Errno::ENOENT) => {
                cache.remove(self, name);
                Err(Errno::ENOENT)
            }
            Err(errno) => Err(errno),
        }
    }
}

impl Node for FuseNode {
    fn id(&self) -> u64 {
        self.number().get()
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
        self.check()?;
        if !self.file_type().is_dir() {
            return Err(Errno::ENOTDIR);
        }
        Ok(Box::new(FuseDirectory::open(&self.handle_to_self())?))
    }
}

impl Drop for FuseNode {
    fn drop(&mut self) {
        self.client.connection.forget(self.number(), self.lookups.take());
        self.client.remove_node(self);
        let names = core::mem::take(self.names.get_mut());
        if !names.is_empty() {
            self.client.bury(self.client.names.take(names.into_values()));
        }
    }
}
