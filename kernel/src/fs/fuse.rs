//! A file system over FUSE messages: the client side, on any [`FuseDevice`].
//!
//! ```text
//!   vfs --> node.rs       all about one object        one FuseNode each; lookups are counted there
//!           node/*        LOOKUP GETATTR SETATTR CREATE RENAME ... and xattrs
//!           directory.rs  OPENDIR READDIR(PLUS) RELEASEDIR
//!           handle.rs     OPEN RELEASE                shared by all readers of a file
//!           file.rs       READ WRITE and the rest     several at once, and ahead of readers
//!           cache.rs      which name means which node, and until when
//!           nodes.rs      which number means which node
//!           contents.rs   small files, until their attributes run out
//!           unstable.rs   what has been changed           for SYNCFS, or FSYNC of each
//!           notices.rs    what the server says of its own accord
//!   share.rs              one session after the other, when the server is lost
//!             |
//!           connection.rs slots, waiting, FORGET      all requests in flight
//!             |
//!           dyn FuseDevice                            rings, interrupts: none of our business
//! ```
//!
//! What a request for one small file costs: with names and attributes that still hold, nothing, after OPEN and READ
//! the first time. A name whose time is over costs LOOKUP, which renews the attributes too, and READ. RELEASE and
//! FORGET are sent when there is time, and nobody waits for them.
//!
//! # Ownership
//!
//! Everything belongs to one core. Nodes and handles hold the [`Client`], the client's caches hold nodes; that
//! circle is cut by [`shutdown`](FileSystem::shutdown). Until then a mount lives for ever, as it should.
//!
//! Dropping a node or a handle may happen anywhere, so it does no more than add to the queues of what is owed.
//! And because it adds to queues, nothing is dropped while a part of the client is borrowed.
//!
//! # Changes
//!
//! What is changed from here is seen at once by everybody here: a change ends what was known of its names and attributes, and
//! answers that were asked for before it had come back are not remembered (FU-SEM-5, FU-SEM-6). `node/attributes.rs` and
//! `node/changes.rs` say how. What is changed on the host is seen when the lifetimes of names and attributes are over. Listings
//! are not remembered, only the nodes that they name, so a server that would allow that (CACHE_DIR) is asked all the same.
//!
//! # In whose name
//!
//! There are no users here. Every request is the superuser's, who owns what is created; there is no mask. Permissions are
//! checked by nobody but the server and its host (FU-SEM-16): a share that is to be protected is served read-only, or by a
//! server with few rights.
//!
//! # Whom we believe
//!
//! The server decides what files hold; it cannot make us panic, loop or take more memory than the limits in
//! [`Options`]. Answers are checked by `fuse-proto` before anything here sees them. An answer that breaks the
//! rules is EIO for the one request, and the reference that it carried is returned.

// Without these features nobody asks for much of it.
#![cfg_attr(not(all(feature = "fs-mounts", feature = "fs-notices", feature = "fs-write")), allow(dead_code))]

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use fuse_proto::ops::{Destroy, GetAttr, Init};
use fuse_proto::{Attributes, Entry, Errno, Generation, Identity, InitFlags, NodeId, Opcode, Plan, Session, Timestamp};
use toro_core::Instant;
use toro_core::driver::fuse::FuseDevice;

use self::cache::NameCache;
pub use self::connection::Interrupts;
use self::connection::{Connection, Late};
use self::contents::ContentsCache;
use self::epoch::Epoch;
use self::handle::{IdleHandles, OpenFiles};
#[cfg(not(feature = "fs-write"))]
use self::no_locks::{LockHolder, LockTable};
use self::node::{FuseNode, Learned, Version};
use self::nodes::Nodes;
use self::table::Hasher;
use self::unstable::Unstable;
#[cfg(feature = "fs-write")]
use super::locks::{LockHolder, LockTable};
use super::metadata::{FileTime, FileType, Metadata};
use super::scheduler::Scheduler;
use super::vfs::{FileSystem, Node};

mod cache;
pub(super) mod connection;
mod contents;
mod directory;
mod epoch;
mod file;
mod handle;
#[cfg(not(feature = "fs-write"))]
mod no_locks;
mod node;
mod nodes;
#[cfg(feature = "fs-notices")]
mod notices;
pub(super) mod share;
mod statistics;
mod table;
#[cfg(test)]
pub(super) mod tests;
mod unstable;

/// How much a mount may use.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long to wait for an answer before giving up with ETIMEDOUT.
    pub patience: Duration,
    /// How many names are remembered.
    pub names: usize,
    /// How many files stay open after their last reader.
    pub idle_handles: usize,
    /// For how long.
    pub idle_time: Duration,
    /// How many bytes may be on their way that nobody has asked for yet.
    pub read_ahead: usize,
    /// How many bytes of files are remembered while their attributes hold; 0 is none.
    pub contents: usize,
    /// How long references that are returned to the server wait for others, to go with them.
    pub forget_delay: Duration,
    /// Whether the server is told when nobody waits for an answer any more. Nothing in the protocol says whether it
    /// understands that; those of today do not.
    pub interrupts: Interrupts,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(30),
            names: 2048,
            idle_handles: 64,
            idle_time: Duration::from_secs(1),
            read_ahead: 2 * 1024 * 1024,
            contents: 4 * 1024 * 1024,
            forget_delay: Duration::from_millis(10),
            interrupts: Interrupts::Never,
        }
    }
}

/// A mounted FUSE file system.
pub struct Client {
    connection: Rc<Connection>,
    session: Rc<RefCell<Session>>,
    options: Options,
    read_limit: usize,
    write_limit: usize,
    /// Every node that someone has a handle to.
    nodes: Nodes,
    names: NameCache,
    contents: ContentsCache,
    idle: IdleHandles,
    open_files: OpenFiles,
    epoch: Epoch,
    statistics: statistics::Counters,
    /// Who of this machine has locked what.
    locks: Rc<LockTable>,
    root: RefCell<Option<Rc<FuseNode>>>,
    /// The last moment in the order of questions and changes.
    version: Cell<Version>,
    /// When one of the nodes that are gone was last changed. What was asked for before that may have been about one of them.
    changed_and_gone: Cell<Version>,
    unstable: Unstable,
    /// Bytes and requests that are on their way without anybody waiting for them.
    read_ahead: Cell<(usize, usize)>,
    /// Children of directories that are gone, on their way out.
    buried: RefCell<Vec<Rc<FuseNode>>>,
    burying: Cell<bool>,
}

impl Client {
    /// Begins a session on `device`. Answers are waited for, so somebody has to [`poll`](Connection::poll) the
    /// connection that `announce` is given, before the first request is sent.
    ///
    /// # Errors
    ///
    /// What the server answers to INIT, EPROTO for an answer that breaks the rules, ETIMEDOUT, ENOTDIR if what
    /// is shared is no directory.
    pub fn mount(
        device: Box<dyn FuseDevice>,
        scheduler: Box<dyn Scheduler>,
        options: Options,
        announce: impl FnOnce(&Rc<Connection>),
    ) -> Result<Rc<Self>, Errno> {
        let connection = Connection::new(device, scheduler.into(), options.patience);
        announce(&connection);
        Self::begin(connection, options, Epoch::FIRST)
    }

    /// Begins a session over a connection that somebody polls.
    fn begin(connection: Rc<Connection>, options: Options, epoch: Epoch) -> Result<Rc<Self>, Errno> {
        connection.set_interrupts(options.interrupts);
        let limits = connection.limits();
        let init = Init::new(u32::try_from(limits.max_payload).unwrap_or(u32::MAX))
            .offer(InitFlags::BASIC | InitFlags::FLOCK_LOCKS)
            .with_readahead(u32::try_from(options.read_ahead).unwrap_or(u32::MAX))
            .with_max_background(u16::try_from(limits.in_flight).unwrap_or(u16::MAX));
        let session = connection.call(&init, Late::Nothing, None, |session| session).inspect_err(|&errno| {
            log::error!("virtio-fs: the server refuses to begin: {errno}");
            connection.close(errno);
        })?;
        if session.plan(Opcode::BatchForget) == Plan::Send {
            connection.allow_batches(options.forget_delay);
        }
        let read_limit = usize::try_from(session.max_read()).unwrap_or(usize::MAX).min(limits.max_payload);
        let write_limit = usize::try_from(session.max_write()).unwrap_or(usize::MAX).min(limits.max_payload);
        let locks = LockTable::new(connection.scheduler());
        let hasher = Hasher::new(connection.now().as_nanos());
        let client = Rc::new(Self {
            session: connection.begin(session),
            connection,
            options,
            read_limit,
            write_limit,
            nodes: Nodes::new(hasher),
            names: NameCache::new(options.names, hasher),
            contents: ContentsCache::new(options.contents),
            idle: IdleHandles::default(),
            open_files: OpenFiles::new(epoch),
            epoch,
            statistics: statistics::Counters::default(),
            locks,
            root: RefCell::default(),
            version: Cell::default(),
            changed_and_gone: Cell::default(),
            unstable: Unstable::default(),
            read_ahead: Cell::default(),
            buried: RefCell::default(),
            burying: Cell::new(false),
        });
        #[cfg(feature = "fs-notices")]
        client.listen();
        client.find_root().inspect_err(|_| client.shutdown())?;
        Ok(client)
    }

    fn find_root(self: &Rc<Self>) -> Result<(), Errno> {
        let expected = Some(fuse_proto::FileType::Directory);
        let asked = self.next_version();
        let operation = GetAttr { node: NodeId::ROOT, handle: None, expected };
        let reply = self.connection.call(&operation, Late::Nothing, None, |reply| reply)?;
        let learned = Learned { attributes: reply.attributes, lifetime: reply.lifetime, asked };
        let file_type = reply.attributes.file_type;
        let identity = Identity { node: NodeId::ROOT, generation: Generation::default(), file_type };
        *self.root.borrow_mut() = Some(FuseNode::new(self, identity, 0, &learned));
        Ok(())
    }

    /// Lets go of what has been kept for long enough.
    pub fn tidy_up(&self) {
        self.idle.expire(self.now());
    }

    /// When [`tidy_up`](Self::tidy_up) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.idle.deadline()
    }

    fn now(&self) -> Instant {
        self.connection.now()
    }

    /// The next moment in the order of questions and changes.
    fn next_version(&self) -> Version {
        let version = self.version.get().next();
        self.version.set(version);
        version
    }

    /// The node with this [`id`](Node::id), to which somebody has a handle.
    fn find_node(&self, id: u64) -> Result<Rc<FuseNode>, Errno> {
        let number = NodeId::new(self.epoch.mark(id)).ok_or(Errno::ESTALE)?;
        self.known(number).ok_or(if number.is_root() { Errno::ENOTCONN } else { Errno::ESTALE })
    }

    /// The node with this number, if somebody has a handle to it.
    fn known(&self, number: NodeId) -> Option<Rc<FuseNode>> {
        if number.is_root() { self.root.borrow().clone() } else { self.nodes.get(number) }
    }

    fn plan(&self, opcode: Opcode) -> Plan {
        self.session.borrow().plan(opcode)
    }

    fn learn_unsupported(&self, opcode: Opcode) -> Option<Plan> {
        self.session.borrow_mut().learn_unsupported(opcode)
    }

    /// The largest READ or listing in bytes.
    fn max_read(&self) -> u32 {
        u32::try_from(self.read_limit).unwrap_or(u32::MAX)
    }

    fn read_limit(&self) -> usize {
        self.read_limit
    }

    /// The largest WRITE in bytes.
    fn write_limit(&self) -> usize {
        self.write_limit
    }

    /// Sets memory aside for reading ahead, if there is some left.
    #[must_use]
    fn charge_read_ahead(&self, bytes: usize) -> bool {
        let (charged, requests) = self.read_ahead.get();
        let charged = charged.saturating_add(bytes);
        if charged > self.options.read_ahead || requests >= usize::from(self.session.borrow().max_background()) {
            return false;
        }
        self.read_ahead.set((charged, requests + 1));
        true
    }

    fn refund_read_ahead(&self, bytes: usize) {
        let (charged, requests) = self.read_ahead.get();
        self.read_ahead.set((charged.saturating_sub(bytes), requests.saturating_sub(1)));
    }

    /// The node that a reply names, with the reference that the reply carries counted.
    fn receive(self: &Rc<Self>, entry: &Entry, asked: Version) -> Rc<FuseNode> {
        let mut learned = Learned { attributes: entry.attributes, lifetime: entry.attr_lifetime, asked };
        if let Some(node) = self.nodes.get(entry.node) {
            if node.identity() == entry.identity() {
                node.count_lookup();
                node.learn(&learned);
                return node;
            }
            node.mark_stale();
        }
        if asked < self.changed_and_gone.get() {
            // It may have been known and changed since, and been forgotten: nobody remembers when that was.
            learned.lifetime = Duration::ZERO;
        }
        let node = FuseNode::new(self, entry.identity(), 1, &learned);
        self.nodes.insert(&node);
        node
    }

    /// Takes a node that is being dropped out of the table, if it is still in there.
    fn remove_node(&self, node: &FuseNode) {
        self.changed_and_gone.set(self.changed_and_gone.get().max(node.changed()));
        self.nodes.remove(node);
    }

    /// Lets go of everything, the session having ended without a farewell: the connection is closed, and nobody has to be
    /// told. Whoever still has a node of it, or waits for a lock, gets ESTALE.
    fn abandon(&self) {
        self.idle.clear();
        self.names.clear();
        self.locks.abandon(Errno::ESTALE);
        for node in self.take_nodes() {
            node.distrust_attributes();
            node.mark_stale();
        }
    }

    /// All nodes that somebody has a handle to. The root is nobody's from now on but theirs.
    fn take_nodes(&self) -> Vec<Rc<FuseNode>> {
        let root = self.root.take();
        root.into_iter().chain(self.nodes.all()).collect()
    }

    /// Drops nodes one after the other, also if dropping one of them ends up here again.
    fn bury(&self, nodes: Vec<Rc<FuseNode>>) {
        self.buried.borrow_mut().extend(nodes);
        if self.burying.replace(true) {
            return;
        }
        loop {
            let next = self.buried.borrow_mut().pop();
            match next {
                Some(node) => drop(node),
                None => break,
            }
        }
        self.burying.set(false);
    }
}

impl FileSystem for Client {
    fn root(&self) -> Result<Rc<dyn Node>, Errno> {
        let root = self.root.borrow().clone().ok_or(Errno::ENOTCONN)?;
        Ok(root)
    }

    #[cfg(feature = "fs-write")]
    fn sync(&self) -> Result<(), Errno> {
        self.make_stable()
    }

    fn shutdown(&self) {
        self.idle.clear();
        self.names.clear();
        self.locks.abandon(Errno::ENOTCONN);
        // Requests on a node are answered before the node is forgotten.
        self.connection.drain();
        for node in self.take_nodes() {
            // Whoever still holds it gets ESTALE; the server need not know it any more.
            node.mark_stale();
            self.connection.forget(node.number(), node.take_lookups());
        }
        self.connection.drain();
        if let Err(errno) = self.connection.call(&Destroy, Late::Nothing, None, |()| ()) {
            log::debug!("virtio-fs: the session ends without a farewell: {errno}");
        }
        self.connection.close(Errno::ENOTCONN);
    }
}

fn file_type(file_type: fuse_proto::FileType) -> FileType {
    match file_type {
        fuse_proto::FileType::Fifo => FileType::Fifo,
        fuse_proto::FileType::CharDevice => FileType::CharacterDevice,
        fuse_proto::FileType::Directory => FileType::Directory,
        fuse_proto::FileType::BlockDevice => FileType::BlockDevice,
        fuse_proto::FileType::Regular => FileType::File,
        fuse_proto::FileType::SymLink => FileType::Symlink,
        fuse_proto::FileType::Socket => FileType::Socket,
    }
}

fn metadata(attributes: &Attributes) -> Metadata {
    let time = |time: Timestamp| FileTime { seconds: time.seconds, nanoseconds: time.nanoseconds };
    Metadata {
        file_type: file_type(attributes.file_type),
        len: attributes.size,
        mode: attributes.mode(),
        inode: attributes.inode,
        links: attributes.links,
        uid: attributes.uid,
        gid: attributes.gid,
        device: attributes.device,
        blocks: attributes.blocks,
        block_size: attributes.block_size,
        accessed: time(attributes.accessed),
        modified: time(attributes.modified),
        changed: time(attributes.changed),
    }
}
