//! OPEN and OPENDIR: from a node to a handle.
//!
//! The flags are the numbers of Linux' `open` on x86-64, whatever the client is; the server hands them to its own
//! `open`. Five of them are not passed on. `O_CREAT`, `O_EXCL` and `O_TMPFILE` are the business of CREATE and
//! TMPFILE, `O_NOCTTY` means nothing to a server, and `O_TRUNC` only goes to a server that has agreed to truncate
//! while opening; for any other one the client sets the size to 0 with SETATTR.
//!
//! A server that keeps nothing per open file answers `ENOSYS`, once. If that was negotiated, opening then costs
//! nothing: see [`Session::learn_unsupported`] and [`Opened::WITHOUT_HANDLE`].

use core::ops::RangeInclusive;

use bitflags::bitflags;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::SetIds;
use crate::error::{EncodeError, ReplyError};
use crate::id::{FileHandle, NodeId};
use crate::init::InitFlags;
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len, parse_fixed};
use crate::session::Session;

/// Body of OPEN and OPENDIR.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_open_in")]
pub struct WireOpen {
    /// [`OpenFlags`].
    pub flags: U32,
    /// 1 asks the server to remove set-id bits.
    pub open_flags: U32,
}
const _: () = assert!(size_of::<WireOpen>() == 8);

/// Reply to OPEN and OPENDIR.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_open_out")]
pub struct WireOpened {
    /// The handle.
    #[doc(alias = "fh")]
    pub handle: U64,
    /// [`OpenedFlags`].
    #[doc(alias = "open_flags")]
    pub flags: U32,
    /// File of the host behind a file that is handed through. We never negotiate that.
    pub backing_id: U32,
}
const _: () = assert!(size_of::<WireOpened>() == 16);

bitflags! {
    /// How a file is opened: Linux' numbers, on x86-64. No access flag at all is read-only.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct OpenFlags: u32 {
        /// Write only.
        #[doc(alias = "O_WRONLY")]
        const WRITE_ONLY = 0o1;
        /// Read and write.
        #[doc(alias = "O_RDWR")]
        const READ_WRITE = 0o2;
        /// Create the file; sent with CREATE and never with OPEN.
        #[doc(alias = "O_CREAT")]
        const CREATE = 0o100;
        /// Fail if it exists; sent with CREATE and never with OPEN.
        #[doc(alias = "O_EXCL")]
        const EXCLUSIVE = 0o200;
        /// Do not become the controlling terminal; never sent.
        #[doc(alias = "O_NOCTTY")]
        const NO_CONTROLLING_TERMINAL = 0o400;
        /// Empty the file; sent with CREATE, and with OPEN if negotiated.
        #[doc(alias = "O_TRUNC")]
        const TRUNCATE = 0o1000;
        /// Write at the end.
        #[doc(alias = "O_APPEND")]
        const APPEND = 0o2000;
        /// Do not wait.
        #[doc(alias = "O_NONBLOCK")]
        const NONBLOCKING = 0o4000;
        /// Writes return when the data is durable.
        #[doc(alias = "O_DSYNC")]
        const DATA_SYNC = 0o10000;
        /// Bypass the host's cache.
        #[doc(alias = "O_DIRECT")]
        const DIRECT = 0o40000;
        /// Offsets have 64 bits.
        #[doc(alias = "O_LARGEFILE")]
        const LARGE_FILE = 0o100_000;
        /// Fail if it is not a directory.
        #[doc(alias = "O_DIRECTORY")]
        const DIRECTORY = 0o200_000;
        /// Fail if it is a symbolic link.
        #[doc(alias = "O_NOFOLLOW")]
        const NO_FOLLOW = 0o400_000;
        /// Do not update the time of last access.
        #[doc(alias = "O_NOATIME")]
        const NO_ACCESS_TIME = 0o1_000_000;
        /// Make a file without a name; only TMPFILE sends it.
        #[doc(alias = "O_TMPFILE")]
        const NAMELESS = 0o20_000_000;
        /// Writes return when data and attributes are durable.
        #[doc(alias = "O_SYNC")]
        const SYNC = 0o4_010_000;
    }
}

impl OpenFlags {
    /// What is left of the flags of an OPEN, CREATE or TMPFILE when the file is open: those that READ, WRITE and
    /// RELEASE repeat. The others have had their effect.
    #[must_use]
    pub const fn of_handle(self) -> Self {
        self.difference(Self::CREATE.union(Self::EXCLUSIVE).union(Self::NO_CONTROLLING_TERMINAL).union(Self::TRUNCATE))
    }
}

bitflags! {
    /// What the server says about an open file.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct OpenedFlags: u32 {
        /// Bypass the client's cache.
        #[doc(alias = "FOPEN_DIRECT_IO")]
        const DIRECT_IO = 1 << 0;
        /// What is cached of the file is still good; without it, drop it (FU-SEM-9).
        #[doc(alias = "FOPEN_KEEP_CACHE")]
        const KEEP_CACHE = 1 << 1;
        /// The file has no positions.
        #[doc(alias = "FOPEN_NONSEEKABLE")]
        const NONSEEKABLE = 1 << 2;
        /// The directory's listing may be cached.
        #[doc(alias = "FOPEN_CACHE_DIR")]
        const CACHE_DIR = 1 << 3;
        /// The file is a stream.
        #[doc(alias = "FOPEN_STREAM")]
        const STREAM = 1 << 4;
        /// No FLUSH is needed on close.
        #[doc(alias = "FOPEN_NOFLUSH")]
        const NO_FLUSH = 1 << 5;
        /// Direct writes may run in parallel.
        #[doc(alias = "FOPEN_PARALLEL_DIRECT_WRITES")]
        const PARALLEL_DIRECT_WRITES = 1 << 6;
    }
}

/// An open file or directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "an open handle must be released"]
pub struct Opened {
    /// The handle, to be RELEASEd exactly once. `None` if the server keeps none: reads then use the default
    /// handle, and nothing is to be released.
    pub handle: Option<FileHandle>,
    /// What the server says about it; unknown bits are dropped (HD-FS-41).
    pub flags: OpenedFlags,
}

impl Opened {
    /// The result of opening with a server that has no use for OPEN (FU-SEM-7).
    pub const WITHOUT_HANDLE: Self = Self { handle: None, flags: OpenedFlags::KEEP_CACHE };

    fn parse(payload: &[u8]) -> Result<Self, ReplyError> {
        parse_fixed(payload).map(|wire| Self::from_wire(&wire))
    }

    /// What a server says about a handle. There is nothing in it to refuse.
    pub(super) fn from_wire(wire: &WireOpened) -> Self {
        Self { handle: Some(FileHandle(wire.handle.get())), flags: OpenedFlags::from_bits_truncate(wire.flags.get()) }
    }
}

/// The flags of `flags` that may travel in an OPEN of this session.
fn sendable(flags: OpenFlags, session: &Session) -> OpenFlags {
    let mut withheld =
        OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::NO_CONTROLLING_TERMINAL | OpenFlags::NAMELESS;
    if !session.flags().contains(InitFlags::ATOMIC_O_TRUNC) {
        withheld |= OpenFlags::TRUNCATE;
    }
    flags.difference(withheld)
}

/// Opens a file. What it returns is to be [`Release`](super::Release)d.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_OPEN")]
pub struct Open {
    node: NodeId,
    flags: OpenFlags,
    set_ids: SetIds,
}

impl Open {
    /// Opens the file `node` with those of `flags` that may be passed on in `session`.
    #[must_use]
    pub fn new(node: NodeId, flags: OpenFlags, session: &Session) -> Self {
        Self { node, flags: sendable(flags, session), set_ids: SetIds::Keep }
    }

    /// Says whether a truncation takes set-id bits away.
    #[must_use]
    pub fn with_set_ids(mut self, set_ids: SetIds) -> Self {
        self.set_ids = set_ids;
        self
    }

    /// The flags that are sent. READ, WRITE and RELEASE repeat [those of the handle](OpenFlags::of_handle).
    #[must_use]
    pub fn flags(&self) -> OpenFlags {
        self.flags
    }
}

/// Opens a directory. What it returns is to be [`ReleaseDir`](super::ReleaseDir)d.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_OPENDIR")]
pub struct OpenDir {
    node: NodeId,
    flags: OpenFlags,
}

impl OpenDir {
    /// Opens the directory `node` for listing.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self { node, flags: OpenFlags::DIRECTORY }
    }

    /// The flags that are sent, to be repeated in READDIR and RELEASEDIR.
    #[must_use]
    pub fn flags(&self) -> OpenFlags {
        self.flags
    }
}

fn write_open(body: &mut BodyWriter<'_>, flags: OpenFlags, set_ids: SetIds) -> Result<(), EncodeError> {
    body.fixed(&WireOpen { flags: U32::new(flags.bits()), open_flags: U32::new(set_ids.open_bits()) })
}

impl Request for Open {
    const OPCODE: Opcode = Opcode::Open;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        write_open(body, self.flags, self.set_ids)
    }
}

impl Operation for Open {
    type Reply<'a> = Opened;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireOpened>()
    }

    fn parse(&self, payload: &[u8]) -> Result<Opened, ReplyError> {
        Opened::parse(payload)
    }
}

impl Request for OpenDir {
    const OPCODE: Opcode = Opcode::OpenDir;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        write_open(body, self.flags, SetIds::Keep)
    }
}

impl Operation for OpenDir {
    type Reply<'a> = Opened;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireOpened>()
    }

    fn parse(&self, payload: &[u8]) -> Result<Opened, ReplyError> {
        Opened::parse(payload)
    }
}
