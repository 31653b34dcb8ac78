//! A file server in memory, which keeps a ledger: every reference it gave, every handle it opened, and every time
//! that the client broke a rule.
//!
//! ```text
//!   request --> answer()   is the client allowed to ask that?         else: offences
//!                 |        FORGET, BATCH_FORGET, DESTROY              the ledger
//!                 +--> names.rs       LOOKUP CREATE MKNOD MKDIR SYMLINK LINK UNLINK RMDIR RENAME RENAME2
//!                 +--> attributes.rs  GETATTR SETATTR STATFS, xattrs
//!                 +--> listing.rs     READDIR READDIRPLUS
//!                 +--> data.rs        OPEN READ WRITE RELEASE, and what files hold
//!                 +--> space.rs       FSYNC FLUSH FALLOCATE LSEEK COPY_FILE_RANGE
//!                       body.rs       reads each request to the last byte
//! ```
//!
//! It does what a strict POSIX file system does, and has [`Manners`] that tests change ([`manners`]). What it holds is in
//! [`tree`]. Objects without a name live for as
//! long as the client holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::string::{String, ToString};
use std::vec::Vec;

use fuse_proto::entry::WireEntry;
use fuse_proto::header::RequestHeader;
use fuse_proto::init::WireInitReply;
use fuse_proto::{Entry, Errno, Generation, InitFlags, NodeId, Opcode, Timestamp};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use self::body::Body;

mod attributes;
mod body;
mod data;
mod listing;
mod manners;
mod names;
mod numbers;
mod space;
mod tree;

pub use self::manners::Manners;
use self::tree::BIRTH;
pub use self::tree::{Contents, Inode};

/// The payload of an answer, or an error.
pub type Reply = Result<Vec<u8>, Errno>;

/// No file becomes longer than this.
const LARGEST_FILE: usize = 1 << 24;

/// A file or directory that is open.
pub struct Handle {
    pub node: u64,
    /// As they came with OPEN or CREATE.
    pub flags: u32,
}

pub struct Server {
    pub inodes: BTreeMap<u64, Inode>,
    pub manners: Manners,
    /// References the client has, by node.
    pub lookups: BTreeMap<u64, u64>,
    /// Open handles.
    pub handles: BTreeMap<u64, Handle>,
    /// Nodes that are gone on the host, though the client holds them.
    pub gone: BTreeSet<u64>,
    /// How often each operation was asked for.
    pub counts: BTreeMap<&'static str, usize>,
    /// What the client did wrong.
    pub offences: Vec<String>,
    /// Which requests the client has interrupted, by number.
    pub interrupted: Vec<u64>,
    /// The largest size that a READ asked for.
    pub largest_read: usize,
    /// The largest size of a WRITE.
    pub largest_write: usize,
    /// Where each WRITE went, and how many bytes it had.
    pub written: Vec<(usize, usize)>,
    /// Who has locked which node: owner and kind, by handle.
    pub locks: BTreeMap<u64, BTreeMap<u64, (u64, u32)>>,
    /// What was made stable, and how much of it.
    pub synced: Vec<(u64, &'static str)>,
    /// How many SETATTRs went through a handle.
    pub with_handle: usize,
    /// What INIT agreed on.
    pub agreed: InitFlags,
    /// Where each name stands in the listings of a directory.
    cookies: BTreeMap<u64, BTreeMap<Vec<u8>, u64>>,
    /// The time, which goes on with every change.
    clock: Timestamp,
    next_inode: u64,
    pub next_handle: u64,
    begun: bool,
    pub destroyed: bool,
}

impl Server {
    pub fn new() -> Self {
        let mut root = Inode::new(Contents::Directory(BTreeMap::new()));
        root.generation = 0;
        Self {
            inodes: [(1, root)].into(),
            manners: Manners::default(),
            lookups: BTreeMap::new(),
            handles: BTreeMap::new(),
            gone: BTreeSet::new(),
            counts: BTreeMap::new(),
            offences: Vec::new(),
            interrupted: Vec::new(),
            largest_read: 0,
            largest_write: 0,
            written: Vec::new(),
            synced: Vec::new(),
            with_handle: 0,
            locks: BTreeMap::new(),
            agreed: InitFlags::empty(),
            cookies: BTreeMap::new(),
            clock: BIRTH,
            next_inode: 2,
            next_handle: 0x1000,
            begun: false,
            destroyed: false,
        }
    }

    /// It is started anew: it has its files, and knows nothing of any client.
    pub fn restart(&mut self) {
        self.lookups.clear();
        self.handles.clear();
        self.begun = false;
        self.destroyed = false;
    }

    pub fn count(&self, opcode: &str) -> usize {
        self.counts.get(opcode).copied().unwrap_or(0)
    }

    /// The time of the next change.
    fn tick(&mut self) -> Timestamp {
        self.clock.nanoseconds += 1;
        self.clock
    }

    /// What an inode holds has changed.
    fn touch_contents(&mut self, number: u64) {
        let now = self.tick();
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.modified = now;
            inode.changed = now;
        }
    }

    /// An entry, with its reference counted.
    fn entry(&mut self, number: u64) -> WireEntry {
        *self.lookups.entry(number).or_default() += 1;
        Entry {
            node: NodeId::new(number).expect("inodes count from 1"),
            generation: Generation(self.inodes[&number].generation),
            name_lifetime: self.manners.name_lifetime,
            attr_lifetime: self.manners.attr_lifetime,
            attributes: self.attributes(number),
        }
        .to_wire()
    }

    fn offence(&mut self, what: impl fmt::Display) {
        self.offences.push(what.to_string());
    }

    fn has(&self, opcode: Opcode) -> bool {
        !self.manners.unsupported.contains(&opcode.raw())
    }

    fn expect_held(&mut self, opcode: Opcode, node: u64) {
        if node != 1 && self.lookups.get(&node).copied().unwrap_or(0) == 0 {
            self.offence(format_args!("{opcode} on node {node}, which the client does not hold"));
        }
    }

    fn expect_handle(&mut self, opcode: Opcode, node: u64, handle: u64) {
        if self.handles.get(&handle).is_none_or(|open| open.node != node) {
            self.offence(format_args!("{opcode} with handle {handle}, which is not open on node {node}"));
        }
    }

    fn forget(&mut self, node: u64, lookups: u64) {
        let held = self.lookups.get(&node).copied().unwrap_or(0);
        if node == 1 || lookups == 0 || lookups > held {
            self.offence(format_args!("FORGET of {lookups} on node {node}, which has {held}"));
        }
        self.lookups.insert(node, held.saturating_sub(lookups));
        self.reap(node);
    }

    /// Answers a request: the payload, or an error. `None` where there is no answer.
    pub fn answer(&mut self, request: &[u8]) -> Option<Reply> {
        let (header, body) = RequestHeader::read_from_prefix(request).expect("requests have headers");
        let opcode = Opcode::from_raw(header.opcode.get()).expect("requests have codes");
        *self.counts.entry(opcode.name()).or_default() += 1;
        let node = header.node.get();
        if header.len.get() as usize != request.len() {
            self.offence(format_args!("{opcode} of {} bytes claims {}", request.len(), header.len));
        }
        if (header.uid.get(), header.gid.get(), header.extension_len.get()) != (0, 0, 0) {
            self.offence(format_args!("{opcode} by somebody who is not the superuser, or with extensions"));
        }
        // Whoever has lost a server does not know whether this one is new.
        if !self.begun && opcode == Opcode::Destroy {
            return Some(Err(Errno::EIO));
        }
        if !self.begun && opcode != Opcode::Init {
            self.offence(format_args!("{opcode} before INIT"));
        }
        if self.destroyed && opcode != Opcode::Init {
            self.offence(format_args!("{opcode} after DESTROY"));
        }
        let is_about_node = !matches!(opcode, Opcode::Init | Opcode::Destroy | Opcode::BatchForget | Opcode::Interrupt);
        if is_about_node {
            self.expect_held(opcode, node);
        }
        if !self.has(opcode) {
            return Some(Err(Errno::ENOSYS));
        }
        let is_farewell = matches!(opcode, Opcode::Forget | Opcode::Release | Opcode::ReleaseDir);
        if is_about_node && !is_farewell && (self.gone.contains(&node) || !self.inodes.contains_key(&node)) {
            return Some(Err(Errno::ESTALE));
        }
        let mut body = Body::new(opcode, body);
        match opcode {
            Opcode::Forget => {
                let lookups = body.u64();
                body.end();
                self.forget(node, lookups);
                None
            }
            Opcode::BatchForget => {
                let count = body.u32();
                body.reserved(4);
                for _ in 0..count {
                    let (node, lookups) = (body.u64(), body.u64());
                    self.forget(node, lookups);
                }
                body.end();
                None
            }
            Opcode::Interrupt => {
                self.interrupted.push(body.u64());
                body.end();
                None
            }
            Opcode::Destroy => {
                body.end();
                self.destroyed = true;
                if self.manners.silent_destroy { None } else { Some(Ok(Vec::new())) }
            }
            _ => Some(self.reply(opcode, node, body)),
        }
    }

    fn reply(&mut self, opcode: Opcode, node: u64, body: Body<'_>) -> Reply {
        match opcode {
            Opcode::Init => Ok(self.init(body)),
            Opcode::GetAttr => self.get_attributes(node, body),
            Opcode::SetAttr => self.set_attributes(node, body),
            Opcode::ReadLink => {
                body.end();
                match &self.inodes[&node].contents {
                    Contents::Link(target) => Ok(target.clone()),
                    _ => Err(Errno::EINVAL),
                }
            }
            Opcode::StatFs => {
                body.end();
                Ok(Self::status())
            }
            Opcode::SetXattr | Opcode::GetXattr | Opcode::ListXattr | Opcode::RemoveXattr => {
                self.xattr(opcode, node, body)
            }
            Opcode::ReadDir | Opcode::ReadDirPlus => self.list(opcode, node, body),
            Opcode::Lookup
            | Opcode::SymLink
            | Opcode::MkNod
            | Opcode::MkDir
            | Opcode::Unlink
            | Opcode::RmDir
            | Opcode::Rename
            | Opcode::Rename2
            | Opcode::Link
            | Opcode::Create => self.change_names(opcode, node, body),
            _ => self.use_file(opcode, node, body),
        }
    }

    fn init(&mut self, mut body: Body<'_>) -> Vec<u8> {
        if self.begun && !self.destroyed {
            self.offence("INIT within a session");
        }
        self.restart();
        self.begun = true;
        let (major, minor, _readahead, flags) = (body.u32(), body.u32(), body.u32(), body.u32());
        assert!(major == 7 && minor >= 31, "INIT of version {major}.{minor}");
        let mut offered = u64::from(flags);
        if InitFlags::from_bits_truncate(offered).contains(InitFlags::INIT_EXT) {
            offered |= u64::from(body.u32()) << 32;
            body.reserved(44);
        }
        body.end();
        self.agreed = self.manners.init_flags & InitFlags::from_bits_truncate(offered);
        let [a, b, c, d, e, f, g, h] = self.manners.init_flags.bits().to_le_bytes();
        let mut reply = WireInitReply::new_zeroed();
        reply.major = U32::new(7);
        reply.minor = U32::new(self.manners.minor);
        reply.flags = U32::from_bytes([a, b, c, d]);
        reply.flags2 = U32::from_bytes([e, f, g, h]);
        reply.max_write = U32::new(self.manners.max_write);
        reply.max_pages = U16::new(self.manners.max_pages);
        reply.as_bytes().to_vec()
    }

    /// What the client still holds, when it should hold nothing.
    pub fn debts(&self) -> Vec<String> {
        let lookups = self.lookups.iter().filter(|(_, held)| **held > 0);
        let lookups = lookups.map(|(node, held)| std::format!("node {node} is held {held} times"));
        let handles = self.handles.iter();
        let handles = handles.map(|(number, handle)| std::format!("handle {number} on node {} is open", handle.node));
        lookups.chain(handles).collect()
    }
}
