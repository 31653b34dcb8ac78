//! GETLK, SETLK and SETLKW: locks that the server knows of.
//!
//! Two families share three operations. *Record locks* cover a range of bytes and belong to an owner, usually a
//! process; *whole-file locks* (`flock`) belong to an open file. Which one is meant is one flag, [`LockStyle`].
//!
//! ```text
//!   handle 8 | owner 8 | start 8 | end 8 | kind 4 | pid 4 | flags 4 | zero 4      reply to GETLK: the middle 24 bytes
//! ```
//!
//! The range is inclusive, and [`FileLock::TO_THE_END`] as its end stands for the end of the file wherever that moves.
//! GETLK asks who is in the way of a lock; "nobody" is the answer with the kind [`LockKind::Unlock`].
//!
//! # Who waits
//!
//! SETLK answers `EAGAIN` where another lock is in the way. SETLKW waits *in the server*, as long as that takes: the
//! request and its buffers belong to the device meanwhile. A caller that gives up sends
//! [`Interrupt`](super::Interrupt) and still waits for the answer, which then is `EINTR`, or the lock after all.
//! Servers in the field refuse it (`EOPNOTSUPP`), or know of no locks (`ENOSYS`): see [`Session::plan`].
//!
//! # Hostile servers
//!
//! A range that is none, or a kind that does not exist, is refused: a caller may do sums with it.
//!
//! [`Session::plan`]: crate::Session::plan

use core::ops::RangeInclusive;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{Defect, EncodeError, ReplyError};
use crate::id::{FileHandle, LockOwner, NodeId};
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len, parse_fixed};

/// A lock as it lies in requests and replies.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_file_lock")]
#[doc(alias = "fuse_lk_out")]
pub struct WireFileLock {
    /// First byte.
    pub start: U64,
    /// Last byte.
    pub end: U64,
    /// [`LockKind`].
    #[doc(alias = "type")]
    pub kind: U32,
    /// Process.
    pub pid: U32,
}
const _: () = assert!(size_of::<WireFileLock>() == 24);

/// Body of GETLK, SETLK and SETLKW.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_lk_in")]
pub struct WireLock {
    /// The open file.
    #[doc(alias = "fh")]
    pub handle: U64,
    /// Who locks.
    pub owner: U64,
    /// The lock.
    #[doc(alias = "lk")]
    pub lock: WireFileLock,
    /// 1 for a whole-file lock.
    #[doc(alias = "lk_flags")]
    pub flags: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireLock>() == 48);

/// `lk_flags`: a whole-file lock.
const WHOLE_FILE: u32 = 1;

/// What a lock keeps others from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LockKind {
    /// Shared: others may read.
    #[doc(alias = "F_RDLCK")]
    Read,
    /// Exclusive.
    #[doc(alias = "F_WRLCK")]
    Write,
    /// None: gives a lock back.
    #[doc(alias = "F_UNLCK")]
    Unlock,
}

impl LockKind {
    const fn raw(self) -> u32 {
        match self {
            Self::Read => 0,
            Self::Write => 1,
            Self::Unlock => 2,
        }
    }

    const fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            0 => Some(Self::Read),
            1 => Some(Self::Write),
            2 => Some(Self::Unlock),
            _ => None,
        }
    }
}

/// A lock on a range of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileLock {
    /// First byte.
    pub start: u64,
    /// Last byte, at least `start` and at most [`TO_THE_END`](Self::TO_THE_END).
    pub end: u64,
    /// What it keeps others from.
    pub kind: LockKind,
    /// The process that holds it, or asks for it; 0 is nobody in particular.
    pub pid: u32,
}

impl FileLock {
    /// The end of a range that reaches to the end of the file, wherever that moves.
    pub const TO_THE_END: u64 = u64::MAX >> 1;

    /// A lock on all there is, as whole-file locks are.
    #[must_use]
    pub const fn whole_file(kind: LockKind, pid: u32) -> Self {
        Self { start: 0, end: Self::TO_THE_END, kind, pid }
    }

    /// The lock as it lies in requests and replies.
    #[must_use]
    pub fn to_wire(&self) -> WireFileLock {
        WireFileLock {
            start: U64::new(self.start),
            end: U64::new(self.end),
            kind: U32::new(self.kind.raw()),
            pid: U32::new(self.pid),
        }
    }

    const fn has_a_range(&self) -> bool {
        self.start <= self.end && self.end <= Self::TO_THE_END
    }
}

/// Which family of locks is meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LockStyle {
    /// A range of bytes that belongs to the owner; needs `POSIX_LOCKS` in the session.
    #[doc(alias = "fcntl")]
    Record,
    /// The whole file, that is [`FileLock::whole_file`], and it belongs to the open file; needs `FLOCK_LOCKS`.
    #[doc(alias = "flock")]
    WholeFile,
}

/// Asks who is in the way of a record lock: the answer is one of the locks that are, or `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_GETLK")]
pub struct GetLk {
    /// The file.
    pub node: NodeId,
    /// Its handle.
    pub handle: FileHandle,
    /// Who would lock.
    pub owner: LockOwner,
    /// The lock that would be taken; not [`LockKind::Unlock`].
    pub lock: FileLock,
}

/// Takes a lock or gives it back, at once; `EAGAIN` if another is in the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_SETLK")]
pub struct SetLk {
    /// The file.
    pub node: NodeId,
    /// Its handle.
    pub handle: FileHandle,
    /// Who locks.
    pub owner: LockOwner,
    /// The lock.
    pub lock: FileLock,
    /// Its family.
    pub style: LockStyle,
}

/// Takes a lock and waits for it, without a limit, in the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_SETLKW")]
pub struct SetLkW {
    /// The file.
    pub node: NodeId,
    /// Its handle.
    pub handle: FileHandle,
    /// Who locks.
    pub owner: LockOwner,
    /// The lock.
    pub lock: FileLock,
    /// Its family.
    pub style: LockStyle,
}

fn write_lock(
    body: &mut BodyWriter<'_>,
    handle: FileHandle,
    owner: LockOwner,
    lock: &FileLock,
    style: LockStyle,
) -> Result<(), EncodeError> {
    let flags = match style {
        LockStyle::Record => 0,
        LockStyle::WholeFile if lock.start != 0 || lock.end != FileLock::TO_THE_END => {
            return Err(EncodeError::LockRange);
        }
        LockStyle::WholeFile => WHOLE_FILE,
    };
    if !lock.has_a_range() {
        return Err(EncodeError::LockRange);
    }
    body.fixed(&WireLock {
        handle: U64::new(handle.0),
        owner: U64::new(owner.0),
        lock: lock.to_wire(),
        flags: U32::new(flags),
        padding: U32::ZERO,
    })
}

impl Request for GetLk {
    const OPCODE: Opcode = Opcode::GetLk;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        if self.lock.kind == LockKind::Unlock {
            return Err(EncodeError::LockKind);
        }
        write_lock(body, self.handle, self.owner, &self.lock, LockStyle::Record)
    }
}

impl Operation for GetLk {
    type Reply<'a> = Option<FileLock>;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireFileLock>()
    }

    fn parse(&self, payload: &[u8]) -> Result<Option<FileLock>, ReplyError> {
        let wire: WireFileLock = parse_fixed(payload)?;
        let kind = LockKind::from_raw(wire.kind.get()).ok_or(Defect::Lock)?;
        if kind == LockKind::Unlock {
            return Ok(None);
        }
        let lock = FileLock { start: wire.start.get(), end: wire.end.get(), kind, pid: wire.pid.get() };
        if !lock.has_a_range() {
            return Err(Defect::Lock.into());
        }
        Ok(Some(lock))
    }
}

macro_rules! set_lock {
    ($name:ident) => {
        impl Request for $name {
            const OPCODE: Opcode = Opcode::$name;

            fn node(&self) -> Option<NodeId> {
                Some(self.node)
            }

            fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
                write_lock(body, self.handle, self.owner, &self.lock, self.style)
            }
        }

        impl Operation for $name {
            type Reply<'a> = ();

            fn payload_len(&self) -> RangeInclusive<usize> {
                fixed_len::<()>()
            }

            fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
                parse_fixed(payload)
            }
        }
    };
}

set_lock!(SetLk);
set_lock!(SetLkW);
