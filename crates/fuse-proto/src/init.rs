//! INIT: how a session begins.
//!
//! The first request of a session, sent alone, says which version we speak, which features we would like and
//! how much read-ahead we can use. The reply says what the server makes of that:
//!
//! ```text
//!   offset      0      4      8              12     16      ..                         64
//!   request     major  minor  max_readahead  flags | flags2  zero ...                   |
//!               '--- 16 bytes, always ------------'  '--- only if flags has INIT_EXT ---'
//!
//!   reply       major  minor | max_readahead  flags  background  max_write | gran  pages ... |
//!               '- 8, old --'                                              '24, before 7.23' '64
//! ```
//!
//! Both structures grew with the protocol. A request is as long as its flags say, because a server refuses an
//! INIT_EXT without its body (FU-INI-2). A reply may have any of the three lengths it had in its history, and
//! what it lacks is zero (FU-INI-6).
//!
//! # What may be believed
//!
//! Nothing beyond what we asked for: a feature is on if it was sent **and** returned (FU-INI-7), sizes are
//! clamped from both sides, and a shift count is bounded before it is one. The outcome is a [`Session`], which
//! only [`Init`] can make; there is no such thing as a session that was not negotiated.
//!
//! # Example
//!
//! ```
//! use fuse_proto::{Caller, InitFlags, Operation, Request, UniqueAllocator, ops::Init};
//!
//! let init = Init::new(Init::max_transfer_for_queue(128)).offer(InitFlags::BASIC);
//! let mut unique = UniqueAllocator::new();
//! let mut request = [0; 104];
//! let length = init.encode(unique.allocate(), Caller::SUPERUSER, &mut request)?;
//! assert_eq!(length, 40 + 16);
//! assert_eq!(init.reply_capacity(), 16 + 64);
//! # Ok::<(), fuse_proto::EncodeError>(())
//! ```

use core::ops::RangeInclusive;

use bitflags::bitflags;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{Defect, EncodeError, ReplyError};
use crate::id::NodeId;
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request};
use crate::session::Session;

/// The major version of the protocol.
pub const MAJOR: u32 = 7;

/// The minor version that we speak: the newest whose operations and flags are known here. Servers take any that is
/// newer than theirs, and the pickiest of them refuses clients below 31.
pub const MINOR: u32 = 45;

/// The oldest minor version of a server that we speak to. Before it, structures had other sizes.
pub const MIN_MINOR: u32 = 12;

/// The part of INIT that every version has.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_init_in")]
pub struct WireInit {
    /// [`MAJOR`].
    pub major: U32,
    /// [`MINOR`].
    pub minor: U32,
    /// Bytes that we can use of one read-ahead.
    pub max_readahead: U32,
    /// Lower half of [`InitFlags`].
    pub flags: U32,
}
const _: () = assert!(size_of::<WireInit>() == 16);

/// The part of INIT that follows if the flags contain [`InitFlags::INIT_EXT`].
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct WireInitExt {
    /// Upper half of [`InitFlags`].
    pub flags2: U32,
    /// Zero.
    pub unused: [u8; 44],
}
const _: () = assert!(size_of::<WireInit>() + size_of::<WireInitExt>() == 64);

/// The reply to INIT.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_init_out")]
pub struct WireInitReply {
    /// Major version of the server.
    pub major: U32,
    /// Minor version of the server, which may be larger than ours.
    pub minor: U32,
    /// Bytes of read-ahead that the server allows.
    pub max_readahead: U32,
    /// Lower half of the [`InitFlags`] that the server agrees to.
    pub flags: U32,
    /// Requests that may be under way in the background; 0 is no answer.
    pub max_background: U16,
    /// Number of those from which the server is congested; 0 is no answer.
    pub congestion_threshold: U16,
    /// Largest WRITE in bytes.
    pub max_write: U32,
    /// Resolution of times in nanoseconds.
    #[doc(alias = "time_gran")]
    pub time_granularity: U32,
    /// Largest request in pages.
    pub max_pages: U16,
    /// Logarithm of the alignment of DAX mappings.
    pub map_alignment: U16,
    /// Upper half of the [`InitFlags`].
    pub flags2: U32,
    /// Depth to which file systems may be stacked; of no use to us.
    pub max_stack_depth: U32,
    /// Seconds after which the server expects a request to be given up.
    pub request_timeout: U16,
    /// Zero.
    pub unused: [u8; 22],
}
const _: () = assert!(size_of::<WireInitReply>() == 64);

/// The lengths that the reply has had: up to 7.4, up to 7.22, and since.
const REPLY_LENGTHS: [usize; 3] = [8, 24, 64];

bitflags! {
    /// Features to be negotiated. Bits 0 to 31 travel in `flags`, the rest in `flags2`.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct InitFlags: u64 {
        /// Several reads of one file may be under way.
        const ASYNC_READ = 1 << 0;
        /// The server does record locks.
        const POSIX_LOCKS = 1 << 1;
        /// Handles for operations on open files.
        const FILE_OPS = 1 << 2;
        /// OPEN with `O_TRUNC` truncates.
        const ATOMIC_O_TRUNC = 1 << 3;
        /// LOOKUP of `.` and `..` works on any node.
        const EXPORT_SUPPORT = 1 << 4;
        /// WRITE of more than 4 KiB.
        const BIG_WRITES = 1 << 5;
        /// The server applies the creation mask.
        const DONT_MASK = 1 << 6;
        /// The server does whole-file locks.
        const FLOCK_LOCKS = 1 << 10;
        /// IOCTL on directories.
        const HAS_IOCTL_DIR = 1 << 11;
        /// The client drops cached data when size or modification time changed.
        const AUTO_INVAL_DATA = 1 << 12;
        /// READDIRPLUS.
        const DO_READDIRPLUS = 1 << 13;
        /// READDIRPLUS at the client's discretion.
        const READDIRPLUS_AUTO = 1 << 14;
        /// Direct reads and writes may be asynchronous.
        const ASYNC_DIO = 1 << 15;
        /// The client caches writes.
        const WRITEBACK_CACHE = 1 << 16;
        /// OPEN may be refused with `ENOSYS`, which then means that none is needed.
        const NO_OPEN_SUPPORT = 1 << 17;
        /// LOOKUP and READDIR may run in parallel in one directory.
        const PARALLEL_DIROPS = 1 << 18;
        /// The server removes set-id bits on write.
        const HANDLE_KILLPRIV = 1 << 19;
        /// Access control lists.
        const POSIX_ACL = 1 << 20;
        /// Reads of a device that was aborted fail in their own way.
        const ABORT_ERROR = 1 << 21;
        /// The reply's `max_pages` counts; without it requests stop at 128 KiB.
        const MAX_PAGES = 1 << 22;
        /// The client caches the targets of symbolic links.
        const CACHE_SYMLINKS = 1 << 23;
        /// OPENDIR may be refused with `ENOSYS`, which then means that none is needed.
        const NO_OPENDIR_SUPPORT = 1 << 24;
        /// The client drops cached data only when told to.
        const EXPLICIT_INVAL_DATA = 1 << 25;
        /// The reply's `map_alignment` counts.
        const MAP_ALIGNMENT = 1 << 26;
        /// Attributes tell where another file system of the host begins.
        const SUBMOUNTS = 1 << 27;
        /// The server removes set-id bits where a request says so.
        const HANDLE_KILLPRIV_V2 = 1 << 28;
        /// SETXATTR has its longer structure.
        const SETXATTR_EXT = 1 << 29;
        /// `flags2` counts. Set by [`Init::offer`] where it is needed.
        const INIT_EXT = 1 << 30;
        /// Create operations carry a security context.
        const SECURITY_CTX = 1 << 32;
        /// Whether a file may be mapped through DAX is said file by file.
        const HAS_INODE_DAX = 1 << 33;
        /// Create operations carry a supplementary group.
        const CREATE_SUPP_GROUP = 1 << 34;
        /// Notifications may expire an entry without dropping it.
        const HAS_EXPIRE_ONLY = 1 << 35;
        /// Shared mappings of files opened for direct access.
        const DIRECT_IO_ALLOW_MMAP = 1 << 36;
        /// Files may be handed through to a file of the host.
        const PASSTHROUGH = 1 << 37;
        /// The server does not support export.
        const NO_EXPORT_SUPPORT = 1 << 38;
        /// Requests may be sent again after a restart.
        const HAS_RESEND = 1 << 39;
        /// Mounts may map user ids.
        const ALLOW_IDMAP = 1 << 40;
        /// Requests travel over io_uring.
        const OVER_IO_URING = 1 << 41;
        /// The reply's `request_timeout` counts.
        const REQUEST_TIMEOUT = 1 << 42;
    }
}

impl InitFlags {
    /// What every client of this crate can offer: large and parallel transfers, READDIRPLUS, and servers without open
    /// files. Whatever else there is promises something that only the client can keep. A client that says
    /// [`SetIds::Remove`](crate::ops::SetIds::Remove) where it is due adds
    /// [`HANDLE_KILLPRIV_V2`](Self::HANDLE_KILLPRIV_V2); one that leaves the mask to the server
    /// [`DONT_MASK`](Self::DONT_MASK); one that wraps what it creates in [`Extended`](crate::Extended)
    /// [`CREATE_SUPP_GROUP`](Self::CREATE_SUPP_GROUP); one that tells file systems of the host apart
    /// [`SUBMOUNTS`](Self::SUBMOUNTS); one with locks [`POSIX_LOCKS`](Self::POSIX_LOCKS) and
    /// [`FLOCK_LOCKS`](Self::FLOCK_LOCKS).
    pub const BASIC: Self = Self::ASYNC_READ
        .union(Self::ASYNC_DIO)
        .union(Self::ATOMIC_O_TRUNC)
        .union(Self::BIG_WRITES)
        .union(Self::AUTO_INVAL_DATA)
        .union(Self::DO_READDIRPLUS)
        .union(Self::READDIRPLUS_AUTO)
        .union(Self::NO_OPEN_SUPPORT)
        .union(Self::PARALLEL_DIROPS)
        .union(Self::MAX_PAGES)
        .union(Self::NO_OPENDIR_SUPPORT)
        .union(Self::SETXATTR_EXT);

    /// The halves that travel in `flags` and `flags2`.
    fn halves(self) -> (U32, U32) {
        let [a, b, c, d, e, f, g, h] = self.bits().to_le_bytes();
        (U32::from_bytes([a, b, c, d]), U32::from_bytes([e, f, g, h]))
    }

    /// The set that `flags` and `flags2` are the halves of; unknown bits are dropped.
    pub(crate) fn from_halves(flags: U32, flags2: U32) -> Self {
        Self::from_bits_truncate(u64::from(flags.get()) | u64::from(flags2.get()) << 32)
    }
}

/// Begins a session. It is the first request, the only one until its reply is here, and sent once (FU-INI-1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Init {
    pub(crate) flags: InitFlags,
    pub(crate) max_transfer: u32,
    pub(crate) max_readahead: u32,
    pub(crate) max_background: u16,
}

/// The largest transfer that servers accept, in bytes.
const MAX_TRANSFER: u32 = 1 << 20;

/// The smallest transfer that is worth a session, in bytes; the protocol's floor for `max_write`.
const MIN_TRANSFER: u32 = 4096;

/// Descriptors of a chain that do not carry data.
const OVERHEAD_DESCRIPTORS: u16 = 4;

impl Init {
    /// A session with [`InitFlags::BASIC`] whose READs and WRITEs move at most `max_transfer` bytes each,
    /// clamped to 4 KiB to 1 MiB. No read-ahead, at most 64 requests under way.
    #[must_use]
    pub fn new(max_transfer: u32) -> Self {
        Self {
            flags: InitFlags::BASIC,
            max_transfer: max_transfer.clamp(MIN_TRANSFER, MAX_TRANSFER),
            max_readahead: 0,
            max_background: 64,
        }
    }

    /// The largest transfer, in bytes, that a queue of `queue_size` descriptors carries if each page of data
    /// needs a descriptor (FU-FR-6, FU-INI-8). A client whose buffers are contiguous has no such limit.
    #[must_use]
    pub fn max_transfer_for_queue(queue_size: u16) -> u32 {
        let pages = queue_size.saturating_sub(OVERHEAD_DESCRIPTORS).max(1);
        (u32::from(pages) * 4096).min(MAX_TRANSFER)
    }

    /// Offers `flags` instead. [`InitFlags::INIT_EXT`] is added or removed as the others demand.
    #[must_use]
    pub fn offer(mut self, flags: InitFlags) -> Self {
        let mut flags = InitFlags::from_bits_truncate(flags.bits()).difference(InitFlags::INIT_EXT);
        if flags.bits() >> 32 != 0 {
            flags |= InitFlags::INIT_EXT;
        }
        self.flags = flags;
        self
    }

    /// Asks for read-ahead of up to `bytes`.
    #[must_use]
    pub fn with_readahead(mut self, bytes: u32) -> Self {
        self.max_readahead = bytes;
        self
    }

    /// Says how many requests the caller can have under way, at least 1.
    #[must_use]
    pub fn with_max_background(mut self, requests: u16) -> Self {
        self.max_background = requests.max(1);
        self
    }

    /// The features that will be offered.
    #[must_use]
    pub fn flags(&self) -> InitFlags {
        self.flags
    }
}

impl Request for Init {
    const OPCODE: Opcode = Opcode::Init;

    fn node(&self) -> Option<NodeId> {
        None
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        let (flags, flags2) = self.flags.halves();
        body.fixed(&WireInit {
            major: U32::new(MAJOR),
            minor: U32::new(MINOR),
            max_readahead: U32::new(self.max_readahead),
            flags,
        })?;
        if self.flags.contains(InitFlags::INIT_EXT) {
            body.fixed(&WireInitExt { flags2, unused: [0; 44] })?;
        }
        Ok(())
    }
}

impl Operation for Init {
    type Reply<'a> = Session;

    fn payload_len(&self) -> RangeInclusive<usize> {
        REPLY_LENGTHS[0]..=size_of::<WireInitReply>()
    }

    fn parse(&self, payload: &[u8]) -> Result<Session, ReplyError> {
        if !REPLY_LENGTHS.contains(&payload.len()) {
            return Err(Defect::PayloadLength.into());
        }
        let mut reply = [0; size_of::<WireInitReply>()];
        reply.get_mut(..payload.len()).ok_or(Defect::PayloadLength)?.copy_from_slice(payload);
        let reply: WireInitReply = zerocopy::transmute!(reply);
        Ok(Session::negotiate(self, &reply)?)
    }
}

#[cfg(test)]
mod tests;
