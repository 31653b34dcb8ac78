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
//! It does what a strict POSIX file system does, and has [`Manners`] that tests change. Objects without a name live for as
//! long as the client holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::string::{String, ToString};
use std::time::Duration;
use std::vec::Vec;

use fuse_proto::entry::WireEntry;
use fuse_proto::header::RequestHeader;
use fuse_proto::init::WireInitReply;
use fuse_proto::ops::OpenedFlags;
use fuse_proto::{Entry, Errno, FileType, Generation, InitFlags, NodeId, Opcode, Timestamp};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use self::body::Body;

mod attributes;
mod body;
mod data;
mod listing;
mod names;
mod numbers;
mod space;

/// The payload of an answer, or an error.
pub type Reply = Result<Vec<u8>, Errno>;

/// No file becomes longer than this.
const LARGEST_FILE: usize = 1 << 24;

/// What an inode holds.
#[derive(Clone)]
pub enum Contents {
    File(Vec<u8>),
    Directory(BTreeMap<Vec<u8>, u64>),
    Link(Vec<u8>),
    Fifo,
    Special(FileType, u32),
}

#[derive(Clone)]
pub struct Inode {
    pub contents: Contents,
    pub generation: u64,
    pub permissions: u16,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
    pub accessed: Timestamp,
    pub modified: Timestamp,
    pub changed: Timestamp,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Inode {
    fn new(contents: Contents) -> Self {
        let links = if matches!(contents, Contents::Directory(_)) { 2 } else { 1 };
        let (accessed, modified, changed) = (BIRTH, BIRTH, BIRTH);
        let xattrs = BTreeMap::new();
        let (permissions, uid, gid) = (0o644, 0, 0);
        Self { contents, generation: 1, permissions, uid, gid, links, accessed, modified, changed, xattrs }
    }
}

/// When everything was made that tests prepare.
const BIRTH: Timestamp = Timestamp { seconds: 1_700_000_000, nanoseconds: 5 };

/// A file or directory that is open.
pub struct Handle {
    pub node: u64,
    /// As they came with OPEN or CREATE.
    pub flags: u32,
}

/// What the server does besides its duty.
#[derive(Clone)]
pub struct Manners {
    pub name_lifetime: Duration,
    pub attr_lifetime: Duration,
    /// Whether a missing name is an entry without a node, which may be remembered, or ENOENT.
    pub negative_entries: bool,
    pub unsupported: BTreeSet<u32>,
    pub opened: OpenedFlags,
    pub init_flags: InitFlags,
    pub max_pages: u16,
    /// Directory entries carry no kind.
    pub hide_kinds: bool,
    /// DESTROY is answered without a header.
    pub silent_destroy: bool,
    /// What READDIRPLUS is answered with behind the first reply: a name that it has read is gone when it looks at it.
    pub refuse_nodes: Option<Errno>,
    /// What every change of a name or an attribute is answered with.
    pub refuse_changes: Option<Errno>,
    /// All objects have the inode number 7, as those of several file systems of the host may.
    pub one_inode: bool,
    /// Whether RENAME2 knows its flags, as not every file system of the host does.
    pub rename_flags: bool,
    /// The minor version that INIT is answered with.
    pub minor: u32,
    /// The largest WRITE that INIT agrees to.
    pub max_write: u32,
    /// The most that one WRITE writes.
    pub longest_write: usize,
    /// The most that one request copies.
    pub longest_copy: usize,
    /// Where files have to end.
    pub room: usize,
    /// Whether O_APPEND is heeded; else the client's offset is.
    pub appends: bool,
    /// What FLUSH is answered with.
    pub flush_error: Option<Errno>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            name_lifetime: Duration::from_secs(86_400),
            attr_lifetime: Duration::from_secs(86_400),
            negative_entries: true,
            unsupported: BTreeSet::new(),
            opened: OpenedFlags::KEEP_CACHE,
            init_flags: InitFlags::BASIC,
            max_pages: 256,
            hide_kinds: false,
            silent_destroy: false,
            refuse_nodes: None,
            refuse_changes: None,
            one_inode: false,
            rename_flags: true,
            minor: 36,
            max_write: 1 << 20,
            longest_write: usize::MAX,
            longest_copy: usize::MAX,
            room: LARGEST_FILE,
            appends: true,
            flush_error: None,
        }
    }
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

    /// Creates what `path` names, with the directories on the way, or replaces it by a new inode.
    pub fn put(&mut self, path: &str, contents: Contents) -> u64 {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut directory = 1;
        for name in parent.split('/').filter(|name| !name.is_empty()) {
            directory = match self.child(directory, name.as_bytes()) {
                Some(found) => found,
                None => self.add(directory, name.as_bytes(), Contents::Directory(BTreeMap::new())),
            };
        }
        self.add(directory, name.as_bytes(), contents)
    }

    pub fn file(&mut self, path: &str, bytes: &[u8]) -> u64 {
        self.put(path, Contents::File(bytes.to_vec()))
    }

    pub fn link(&mut self, path: &str, target: &str) -> u64 {
        self.put(path, Contents::Link(target.as_bytes().to_vec()))
    }

    pub fn directory(&mut self, path: &str) -> u64 {
        self.put(path, Contents::Directory(BTreeMap::new()))
    }

    /// Removes what `path` names, on the host.
    pub fn remove(&mut self, path: &str) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = self.number(parent).expect("tests remove what they created");
        let Some(Inode { contents: Contents::Directory(names), .. }) = self.inodes.get_mut(&directory) else {
            panic!("tests remove what they created")
        };
        if let Some(removed) = names.remove(name.as_bytes()) {
            self.relink(removed, -1);
        }
    }

    /// The inode that `path` names, if there is one.
    pub fn number(&self, path: &str) -> Option<u64> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(1, |at, name| self.child(at, name.as_bytes()))
    }

    /// What `path` names.
    pub fn inode(&mut self, path: &str) -> &mut Inode {
        let number = self.number(path).unwrap_or_else(|| panic!("there is no {path}"));
        self.inodes.get_mut(&number).expect("names have inodes")
    }

    /// All paths, in order.
    pub fn tree(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.walk(1, "", &mut paths);
        paths
    }

    fn walk(&self, directory: u64, path: &str, paths: &mut Vec<String>) {
        let Contents::Directory(names) = &self.inodes[&directory].contents else { return };
        for (name, &number) in names {
            let slash = if path.is_empty() { "" } else { "/" };
            let path = [path, slash, &String::from_utf8_lossy(name)].concat();
            paths.push(path.clone());
            self.walk(number, &path, paths);
        }
    }

    fn add(&mut self, directory: u64, name: &[u8], contents: Contents) -> u64 {
        let number = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(number, Inode::new(contents));
        let Some(Inode { contents: Contents::Directory(names), .. }) = self.inodes.get_mut(&directory) else {
            panic!("tests create things in directories")
        };
        if let Some(replaced) = names.insert(name.to_vec(), number) {
            self.relink(replaced, -1);
        }
        number
    }

    fn child(&self, directory: u64, name: &[u8]) -> Option<u64> {
        match &self.inodes.get(&directory)?.contents {
            Contents::Directory(names) => names.get(name).copied(),
            _ => None,
        }
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
