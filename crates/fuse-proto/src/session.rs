//! A session: what client and server agreed on, and what the client has learnt since.
//!
//! ```text
//!                 INIT                    ENOSYS for X
//!   (nothing)  ---------->  Session  ----------------------->  Session that no longer sends X
//!                           minor, flags, sizes                and knows what to do instead
//! ```
//!
//! The first half is fixed when [`Init`] has been answered. The second half grows: a server
//! says with `ENOSYS` that it does not implement an operation, at the first time it is asked, and means it for
//! the rest of the session (FU-SEM-8). For some operations that is an answer in itself, an OPEN that is not
//! implemented is not needed (FU-SEM-7); for others there is an older operation to use instead.
//! [`Session::plan`] says before each request what is known, and [`Session::learn_unsupported`] takes the news:
//!
//! ```text
//!   match session.plan(Opcode::ReadDirPlus) {
//!       Plan::Send              => send it; on Remote(ENOSYS) => session.learn_unsupported(..)
//!       Plan::UseInstead(other) => send `other`
//!       Plan::Skip              => it succeeded, there was nothing to do
//!       Plan::Refuse(errno)     => it fails with `errno`
//!       Plan::Emulate           => the client does it by itself
//!   }
//! ```
//!
//! A `Session` owns nothing and talks to nobody. It ends with DESTROY or with a reset of the device; a device
//! that was reset needs a new INIT and so a new `Session`.

use core::time::Duration;

use crate::errno::Errno;
use crate::error::Defect;
use crate::header::Unique;
use crate::init::{Init, InitFlags, MAJOR, MIN_MINOR, MINOR, WireInitReply};
use crate::opcode::Opcode;
use crate::ops::RenameFlags;

/// The page that `max_pages` counts. It is the server's, which does not tell; the smallest one is safe.
const PAGE: u32 = 4096;

/// Largest request in pages when the server does not say.
const DEFAULT_MAX_PAGES: u16 = 32;

/// Largest request in pages that any server is held to.
const MAX_PAGES: u16 = 256;

/// Largest WRITE in bytes of a server that is too old for larger ones, and the smallest that any may ask for.
const MIN_WRITE: u32 = 4096;

const DEFAULT_MAX_BACKGROUND: u16 = 12;
const DEFAULT_CONGESTION_THRESHOLD: u16 = 9;
const MAX_TIME_GRANULARITY: u32 = 1_000_000_000;
const MAX_MAP_ALIGNMENT: u16 = 30;

/// What was negotiated, and what is known not to work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    minor: u32,
    flags: InitFlags,
    max_read: u32,
    max_write: u32,
    max_readahead: u32,
    max_background: u16,
    congestion_threshold: u16,
    time_granularity: u32,
    map_alignment: Option<u32>,
    request_timeout: Option<Duration>,
    unsupported: Opcodes,
}

/// A set of operations. Codes are below 64.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Opcodes(u64);

impl Opcodes {
    fn insert(&mut self, opcode: Opcode) {
        self.0 |= 1u64.wrapping_shl(opcode.raw());
    }

    fn contains(self, opcode: Opcode) -> bool {
        self.0 & 1u64.wrapping_shl(opcode.raw()) != 0
    }
}

/// What to do about an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[must_use]
pub enum Plan {
    /// Send it.
    Send,
    /// It is not needed and counts as done. For OPEN and OPENDIR the result is
    /// [`Opened::WITHOUT_HANDLE`](crate::ops::Opened::WITHOUT_HANDLE).
    Skip,
    /// Send this one. `MkNod` stands in for `Create` together with an `Open` after it.
    UseInstead(Opcode),
    /// It fails with this error.
    Refuse(Errno),
    /// The client does it by other means: copies by reading and writing, locks among its own processes, seeks
    /// as if a file had no holes, reads where there is no window, and finds every file ready.
    Emulate,
}

impl Session {
    /// Applies the rules of negotiation (FU-INI-4 to FU-INI-13) to what we sent and what came back.
    ///
    /// # Errors
    ///
    /// [`Defect::Version`], [`Defect::MapAlignment`].
    pub(crate) fn negotiate(sent: &Init, reply: &WireInitReply) -> Result<Self, Defect> {
        let minor = reply.minor.get().min(MINOR);
        if reply.major.get() != MAJOR || minor < MIN_MINOR {
            return Err(Defect::Version);
        }
        let flags = agreed(sent.flags, reply);
        let map_alignment = if flags.contains(InitFlags::MAP_ALIGNMENT) {
            match reply.map_alignment.get() {
                log2 @ 0..=MAX_MAP_ALIGNMENT => Some(1 << log2),
                _ => return Err(Defect::MapAlignment),
            }
        } else {
            None
        };
        let pages = if flags.contains(InitFlags::MAX_PAGES) {
            reply.max_pages.get().clamp(1, MAX_PAGES)
        } else {
            DEFAULT_MAX_PAGES
        };
        let max_read = (u32::from(pages) * PAGE).min(sent.max_transfer);
        let max_write = if flags.contains(InitFlags::BIG_WRITES) {
            reply.max_write.get().max(MIN_WRITE).min(max_read)
        } else {
            MIN_WRITE
        };
        let or_default = |given, default| if given == 0 { default } else { given };
        let max_background = or_default(reply.max_background.get(), DEFAULT_MAX_BACKGROUND).min(sent.max_background);
        let congestion_threshold =
            or_default(reply.congestion_threshold.get(), DEFAULT_CONGESTION_THRESHOLD).min(max_background);
        Ok(Self {
            minor,
            flags,
            max_read,
            max_write,
            max_readahead: reply.max_readahead.get().min(sent.max_readahead),
            max_background,
            congestion_threshold,
            time_granularity: match reply.time_granularity.get() {
                nanos @ 1..=MAX_TIME_GRANULARITY => nanos,
                _ => 1,
            },
            map_alignment,
            request_timeout: match reply.request_timeout.get() {
                seconds @ 1.. if flags.contains(InitFlags::REQUEST_TIMEOUT) => {
                    Some(Duration::from_secs(u64::from(seconds)))
                }
                _ => None,
            },
            unsupported: Opcodes::default(),
        })
    }

    /// The minor version in force: the smaller of ours and the server's.
    #[must_use]
    pub fn minor(&self) -> u32 {
        self.minor
    }

    /// The features that both sides agreed on.
    #[must_use]
    pub fn flags(&self) -> InitFlags {
        self.flags
    }

    /// The largest READ, READDIR or READDIRPLUS in bytes; a multiple of 4096 wherever the caller's own limit is
    /// one. Larger reads are several (FU-SEM-10).
    #[must_use]
    pub fn max_read(&self) -> u32 {
        self.max_read
    }

    /// The largest WRITE in bytes.
    #[must_use]
    pub fn max_write(&self) -> u32 {
        self.max_write
    }

    /// The largest read-ahead in bytes.
    #[must_use]
    pub fn max_readahead(&self) -> u32 {
        self.max_readahead
    }

    /// How many requests may be under way that nobody waits for.
    #[must_use]
    pub fn max_background(&self) -> u16 {
        self.max_background
    }

    /// The number of those from which the server is to be spared; at most
    /// [`max_background`](Self::max_background).
    #[must_use]
    pub fn congestion_threshold(&self) -> u16 {
        self.congestion_threshold
    }

    /// The resolution of times in nanoseconds, `1..=1_000_000_000`.
    #[must_use]
    pub fn time_granularity(&self) -> u32 {
        self.time_granularity
    }

    /// The alignment of DAX mappings in bytes, a power of two up to 1 GiB; `None` if it was not negotiated.
    #[must_use]
    pub fn map_alignment(&self) -> Option<u32> {
        self.map_alignment
    }

    /// After how long the server expects a request to be given up. Informational.
    #[must_use]
    pub fn request_timeout(&self) -> Option<Duration> {
        self.request_timeout
    }

    /// What to do about an operation, as far as is known.
    pub fn plan(&self, opcode: Opcode) -> Plan {
        let never = match opcode {
            Opcode::ReadDirPlus => !self.flags.contains(InitFlags::DO_READDIRPLUS),
            _ => self.minor < since(opcode),
        };
        if never || self.unsupported.contains(decides(opcode)) {
            fallback(opcode).unwrap_or(Plan::Send)
        } else {
            Plan::Send
        }
    }

    /// What to do about a rename with `flags`: without any, RENAME does it, which every server has; with some, only
    /// RENAME2 does, or nothing.
    pub fn plan_rename(&self, flags: RenameFlags) -> Plan {
        if flags.is_empty() { Plan::UseInstead(Opcode::Rename) } else { self.plan(Opcode::Rename2) }
    }

    /// The permissions to send when creating something: `mode`, with the caller's mask taken off unless the server
    /// does that itself ([`InitFlags::DONT_MASK`]).
    #[must_use]
    pub fn masked(&self, mode: u32, umask: u32) -> u32 {
        if self.flags.contains(InitFlags::DONT_MASK) { mode } else { mode & !umask }
    }

    /// Takes note that the server answered `ENOSYS` to `opcode`, and says what to do instead, now and from now
    /// on; `None` if the protocol knows nothing instead, and `ENOSYS` is the answer.
    #[must_use = "the operation that was refused still has to be carried out"]
    pub fn learn_unsupported(&mut self, opcode: Opcode) -> Option<Plan> {
        let needs = match opcode {
            Opcode::Open => InitFlags::NO_OPEN_SUPPORT,
            Opcode::OpenDir => InitFlags::NO_OPENDIR_SUPPORT,
            _ => InitFlags::empty(),
        };
        if !self.flags.contains(needs) {
            return None;
        }
        let plan = fallback(opcode)?;
        self.unsupported.insert(decides(opcode));
        Some(plan)
    }
}

/// FU-INI-7: sent and returned; the upper half only where both sides know that there is one.
fn agreed(sent: InitFlags, reply: &WireInitReply) -> InitFlags {
    let lower = InitFlags::from_halves(reply.flags, Default::default());
    if (sent & lower).contains(InitFlags::INIT_EXT) {
        sent & InitFlags::from_halves(reply.flags, reply.flags2)
    } else {
        sent & lower
    }
}

/// The minor version from which on servers know an operation, as far as that matters.
fn since(opcode: Opcode) -> u32 {
    match opcode {
        Opcode::BatchForget => 16,
        Opcode::FAllocate => 19,
        Opcode::Rename2 => 23,
        Opcode::LSeek => 24,
        Opcode::CopyFileRange => 28,
        Opcode::SetupMapping | Opcode::RemoveMapping => 31,
        Opcode::SyncFs => 34,
        Opcode::TmpFile => 37,
        Opcode::StatX => 39,
        Opcode::CopyFileRange64 => 45,
        _ => MIN_MINOR,
    }
}

/// The operation whose absence speaks for this one.
fn decides(opcode: Opcode) -> Opcode {
    match opcode {
        Opcode::SetLk | Opcode::SetLkW => Opcode::GetLk,
        Opcode::RemoveMapping => Opcode::SetupMapping,
        other => other,
    }
}

/// FU-SEM-7 and FU-SEM-8: what stands in for an operation that the server does not implement.
fn fallback(opcode: Opcode) -> Option<Plan> {
    Some(match opcode {
        // Not RELEASE: what was opened with a handle is released, whatever is known by then.
        Opcode::Open
        | Opcode::OpenDir
        | Opcode::Flush
        | Opcode::FSync
        | Opcode::FSyncDir
        | Opcode::SyncFs
        | Opcode::Access => Plan::Skip,
        Opcode::ReadDirPlus => Plan::UseInstead(Opcode::ReadDir),
        Opcode::BatchForget => Plan::UseInstead(Opcode::Forget),
        // With flags. Without them RENAME does it, and is not asked about.
        Opcode::Rename2 => Plan::Refuse(Errno::EINVAL),
        Opcode::Create => Plan::UseInstead(Opcode::MkNod),
        Opcode::StatX => Plan::UseInstead(Opcode::GetAttr),
        Opcode::CopyFileRange64 => Plan::UseInstead(Opcode::CopyFileRange),
        Opcode::SetXattr
        | Opcode::GetXattr
        | Opcode::ListXattr
        | Opcode::RemoveXattr
        | Opcode::FAllocate
        | Opcode::TmpFile => Plan::Refuse(Errno::EOPNOTSUPP),
        // A file system without links, as `link` reports it.
        Opcode::Link => Plan::Refuse(Errno::EPERM),
        Opcode::Ioctl => Plan::Refuse(Errno::ENOTTY),
        Opcode::Bmap => Plan::Refuse(Errno::EINVAL),
        // Reading and writing do what a window does; and a server that cannot be asked has only files that are ready.
        Opcode::SetupMapping | Opcode::RemoveMapping | Opcode::Poll => Plan::Emulate,
        Opcode::LSeek | Opcode::CopyFileRange | Opcode::GetLk | Opcode::SetLk | Opcode::SetLkW => Plan::Emulate,
        _ => return None,
    })
}

/// Gives every request its number: 2, 4, 6 and so on (FU-FR-7).
///
/// One allocator serves a device from INIT to DESTROY. At a request per nanosecond it takes 146 years to come
/// round, so that a number is never given out while an older request still has it.
#[derive(Clone, Debug)]
pub struct UniqueAllocator {
    next: Unique,
}

impl UniqueAllocator {
    /// Starts from the smallest number.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: Unique::FIRST }
    }

    /// The next number.
    pub fn allocate(&mut self) -> Unique {
        let unique = self.next;
        self.next = Unique::new(unique.get() + 2).unwrap_or(Unique::FIRST);
        unique
    }
}

impl Default for UniqueAllocator {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
