//! A file server in memory, which keeps a ledger: every reference it gave, every handle it opened, and every time
//! that the client broke a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::String;
use std::time::Duration;
use std::vec::Vec;

use fuse_proto::dirent::{WireDirEntry, WireDirEntryPlus};
use fuse_proto::entry::WireEntry;
use fuse_proto::header::RequestHeader;
use fuse_proto::init::WireInitReply;
use fuse_proto::ops::{
    OpenedFlags, WireAttributesReply, WireBatchForget, WireForget, WireForgetOne, WireOpened, WireRead, WireRelease,
    WireStatFs,
};
use fuse_proto::{
    AttributeFlags, Attributes, Entry, Errno, FileType, Generation, InitFlags, NodeId, Opcode, Timestamp,
};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// What an inode holds.
#[derive(Clone)]
pub enum Contents {
    File(Vec<u8>),
    Directory(BTreeMap<Vec<u8>, u64>),
    Link(Vec<u8>),
    Fifo,
}

#[derive(Clone)]
pub struct Inode {
    pub contents: Contents,
    pub generation: u64,
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
        }
    }
}

#[derive(Default)]
pub struct Server {
    pub inodes: BTreeMap<u64, Inode>,
    pub manners: Manners,
    /// References the client has, by node.
    pub lookups: BTreeMap<u64, u64>,
    /// Open handles and their nodes.
    pub handles: BTreeMap<u64, u64>,
    /// Nodes that are gone on the host, though the client holds them.
    pub gone: BTreeSet<u64>,
    /// How often each operation was asked for.
    pub counts: BTreeMap<&'static str, usize>,
    /// What the client did wrong.
    pub offences: Vec<String>,
    /// The largest size that a READ asked for.
    pub largest_read: usize,
    next_inode: u64,
    next_handle: u64,
    begun: bool,
    pub destroyed: bool,
}

impl Server {
    pub fn new() -> Self {
        let mut server = Self { next_inode: 2, next_handle: 0x1000, ..Self::default() };
        let contents = Contents::Directory(BTreeMap::new());
        server.inodes.insert(1, Inode { contents, generation: 0 });
        server
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

    pub fn remove(&mut self, path: &str) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = parent
            .split('/')
            .filter(|name| !name.is_empty())
            .fold(1, |at, name| self.child(at, name.as_bytes()).expect("tests remove what they created"));
        let Some(Inode { contents: Contents::Directory(names), .. }) = self.inodes.get_mut(&directory) else {
            panic!("tests remove what they created")
        };
        names.remove(name.as_bytes());
    }

    fn add(&mut self, directory: u64, name: &[u8], contents: Contents) -> u64 {
        let number = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(number, Inode { contents, generation: 1 });
        let Some(Inode { contents: Contents::Directory(names), .. }) = self.inodes.get_mut(&directory) else {
            panic!("tests create things in directories")
        };
        names.insert(name.to_vec(), number);
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

    fn attributes(&self, number: u64) -> Attributes {
        let inode = &self.inodes[&number];
        let (file_type, size) = match &inode.contents {
            Contents::File(bytes) => (FileType::Regular, bytes.len()),
            Contents::Directory(names) => (FileType::Directory, names.len()),
            Contents::Link(target) => (FileType::SymLink, target.len()),
            Contents::Fifo => (FileType::Fifo, 0),
        };
        let time = Timestamp { seconds: 1_700_000_000, nanoseconds: 5 };
        Attributes {
            inode: number + 1_000_000,
            size: size as u64,
            blocks: size.div_ceil(512) as u64,
            accessed: time,
            modified: time,
            changed: time,
            file_type,
            permissions: 0o644,
            links: 1,
            uid: 0,
            gid: 0,
            device: 0,
            block_size: 4096,
            flags: AttributeFlags::empty(),
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

    fn offence(&mut self, what: String) {
        self.offences.push(what);
    }

    fn forget(&mut self, node: u64, lookups: u64) {
        let held = self.lookups.get(&node).copied().unwrap_or(0);
        if node == 1 || lookups == 0 || lookups > held {
            self.offence(format!("FORGET of {lookups} on node {node}, which has {held}"));
        }
        self.lookups.insert(node, held.saturating_sub(lookups));
    }

    /// Answers a request: the payload, or an error. `None` where there is no answer.
    pub fn answer(&mut self, request: &[u8]) -> Option<Result<Vec<u8>, Errno>> {
        let (header, body) = RequestHeader::read_from_prefix(request).expect("requests have headers");
        let opcode = Opcode::from_raw(header.opcode.get()).expect("requests have codes");
        *self.counts.entry(opcode.name()).or_default() += 1;
        let node = header.node.get();
        if header.len.get() as usize != request.len() {
            self.offence(format!("{opcode} of {} bytes claims {}", request.len(), header.len));
        }
        let about_session = matches!(opcode, Opcode::Init | Opcode::Destroy | Opcode::BatchForget);
        if !self.begun && opcode != Opcode::Init {
            self.offence(format!("{opcode} before INIT"));
        }
        if self.destroyed {
            self.offence(format!("{opcode} after DESTROY"));
        }
        if !about_session && node != 1 && self.lookups.get(&node).copied().unwrap_or(0) == 0 {
            self.offence(format!("{opcode} on node {node}, which the client does not hold"));
        }
        if self.manners.unsupported.contains(&opcode.raw()) {
            return Some(Err(Errno::ENOSYS));
        }
        let is_farewell = matches!(opcode, Opcode::Forget | Opcode::Release | Opcode::ReleaseDir);
        if self.gone.contains(&node) && !is_farewell {
            return Some(Err(Errno::ESTALE));
        }
        match opcode {
            Opcode::Forget => {
                let forget = WireForget::read_from_bytes(body).expect("FORGET is well formed");
                self.forget(node, forget.lookups.get());
                None
            }
            Opcode::BatchForget => {
                let (head, mut rest) = WireBatchForget::read_from_prefix(body).expect("BATCH_FORGET is well formed");
                for _ in 0..head.count.get() {
                    let (one, after) = WireForgetOne::read_from_prefix(rest).expect("BATCH_FORGET is well formed");
                    self.forget(one.node.get(), one.lookups.get());
                    rest = after;
                }
                None
            }
            Opcode::Destroy => {
                self.destroyed = true;
                if self.manners.silent_destroy { None } else { Some(Ok(Vec::new())) }
            }
            _ => Some(self.reply(opcode, node, body)),
        }
    }

    fn reply(&mut self, opcode: Opcode, node: u64, body: &[u8]) -> Result<Vec<u8>, Errno> {
        match opcode {
            Opcode::Init => Ok(self.init()),
            Opcode::Lookup => self.lookup(node, body),
            Opcode::GetAttr => {
                let mut reply = WireAttributesReply::new_zeroed();
                reply.lifetime = U64::new(self.manners.attr_lifetime.as_secs());
                reply.attributes = self.attributes(node).to_wire();
                Ok(reply.as_bytes().to_vec())
            }
            Opcode::ReadLink => match &self.inodes[&node].contents {
                Contents::Link(target) => Ok(target.clone()),
                _ => Err(Errno::EINVAL),
            },
            Opcode::Open | Opcode::OpenDir => {
                self.next_handle += 1;
                self.handles.insert(self.next_handle, node);
                let mut reply = WireOpened::new_zeroed();
                reply.handle = U64::new(self.next_handle);
                reply.flags = U32::new(self.manners.opened.bits());
                Ok(reply.as_bytes().to_vec())
            }
            Opcode::Release | Opcode::ReleaseDir => {
                let release = WireRelease::read_from_bytes(body).expect("RELEASE is well formed");
                if self.handles.remove(&release.handle.get()) != Some(node) {
                    self.offence(format!("{opcode} of a handle that is not open"));
                }
                Ok(Vec::new())
            }
            Opcode::Read => self.read(node, body),
            Opcode::ReadDir => self.list(node, body, false),
            Opcode::ReadDirPlus => self.list(node, body, true),
            Opcode::StatFs => {
                let mut reply = WireStatFs::new_zeroed();
                reply.blocks = U64::new(1000);
                reply.blocks_free = U64::new(400);
                reply.fragment_size = U32::new(512);
                reply.name_len = U32::new(255);
                Ok(reply.as_bytes().to_vec())
            }
            _ => Err(Errno::ENOSYS),
        }
    }

    fn init(&mut self) -> Vec<u8> {
        self.begun = true;
        let [a, b, c, d, ..] = self.manners.init_flags.bits().to_le_bytes();
        let mut reply = WireInitReply::new_zeroed();
        reply.major = U32::new(7);
        reply.minor = U32::new(36);
        reply.flags = U32::from_bytes([a, b, c, d]);
        reply.max_write = U32::new(1 << 20);
        reply.max_pages = U16::new(self.manners.max_pages);
        reply.as_bytes().to_vec()
    }

    fn lookup(&mut self, node: u64, body: &[u8]) -> Result<Vec<u8>, Errno> {
        let name = body.strip_suffix(&[0]).expect("names are terminated");
        if name.contains(&b'/') || name.contains(&0) || matches!(name, b"" | b"." | b"..") {
            self.offence(format!("LOOKUP of {}", name.escape_ascii()));
        }
        match (&self.inodes[&node].contents, self.child(node, name)) {
            (Contents::Directory(_), Some(found)) => Ok(self.entry(found).as_bytes().to_vec()),
            (Contents::Directory(_), None) if self.manners.negative_entries => {
                let mut reply = WireEntry::new_zeroed();
                reply.name_lifetime = U64::new(self.manners.name_lifetime.as_secs());
                Ok(reply.as_bytes().to_vec())
            }
            (Contents::Directory(_), None) => Err(Errno::ENOENT),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The handle of READ or a listing has to be open, or 0 where the server keeps none.
    fn check_handle(&mut self, node: u64, read: &WireRead, open: Opcode) {
        let expected = (!self.manners.unsupported.contains(&open.raw())).then_some(node);
        if self.handles.get(&read.handle.get()).copied() != expected {
            self.offence(format!("a read with handle {}, which is not open", read.handle));
        }
    }

    fn read(&mut self, node: u64, body: &[u8]) -> Result<Vec<u8>, Errno> {
        let read = WireRead::read_from_bytes(body).expect("READ is well formed");
        self.check_handle(node, &read, Opcode::Open);
        let size = read.size.get() as usize;
        self.largest_read = self.largest_read.max(size);
        let Contents::File(bytes) = &self.inodes[&node].contents else { return Err(Errno::EISDIR) };
        let start = bytes.len().min(read.offset.get() as usize);
        let end = bytes.len().min(start + size);
        Ok(bytes[start..end].to_vec())
    }

    fn list(&mut self, node: u64, body: &[u8], plus: bool) -> Result<Vec<u8>, Errno> {
        let read = WireRead::read_from_bytes(body).expect("READDIR is well formed");
        self.check_handle(node, &read, Opcode::OpenDir);
        let Contents::Directory(names) = self.inodes[&node].contents.clone() else { return Err(Errno::ENOTDIR) };
        let mut all: Vec<(Vec<u8>, u64)> = [(b".".to_vec(), node), (b"..".to_vec(), 1)].into();
        all.extend(names);
        let mut reply = Vec::new();
        // Cookies are no indices: they go down.
        let cookie = |index: usize| u64::MAX - index as u64;
        let start = if read.offset == U64::ZERO { 0 } else { (u64::MAX - read.offset.get()) as usize };
        for (index, (name, number)) in all.iter().enumerate().skip(start) {
            let head = if plus { size_of::<WireDirEntryPlus>() } else { size_of::<WireDirEntry>() };
            let length = (head + name.len()).next_multiple_of(8);
            if reply.len() + length > read.size.get() as usize {
                break;
            }
            let end = reply.len() + length;
            if plus {
                let is_dot = matches!(&name[..], b"." | b"..");
                let entry = if is_dot { WireEntry::new_zeroed() } else { self.entry(*number) };
                reply.extend_from_slice(entry.as_bytes());
            }
            let kind = self.attributes(*number).file_type.dirent_bits();
            let dirent = WireDirEntry {
                inode: U64::new(number + 1_000_000),
                next: U64::new(cookie(index + 1)),
                name_len: U32::new(name.len() as u32),
                kind: U32::new(if self.manners.hide_kinds { 0 } else { kind }),
            };
            reply.extend_from_slice(dirent.as_bytes());
            reply.extend_from_slice(name);
            reply.resize(end, 0xEE);
        }
        Ok(reply)
    }

    /// What the client still holds, when it should hold nothing.
    pub fn debts(&self) -> Vec<String> {
        let lookups = self.lookups.iter().filter(|(_, held)| **held > 0);
        let lookups = lookups.map(|(node, held)| format!("node {node} is held {held} times"));
        let handles = self.handles.iter().map(|(handle, node)| format!("handle {handle} on node {node} is open"));
        lookups.chain(handles).collect()
    }
}
