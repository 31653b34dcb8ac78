//! SETATTR: change mode, owner, size or times.
//!
//! One operation does what `chmod`, `chown`, `truncate` and `utimensat` do, in any combination. A word of bits
//! says which fields count:
//!
//! ```text
//!   0     4   8       16    24          32     40     48     56 60 64   68    72  76   80   84  88
//!   +-----+---+-------+-----+-----------+------+------+------+--+--+---+-----+---+----+----+---+
//!   |valid| 0 |handle |size |lock owner |atime |mtime |ctime |  nanos |mode | 0 |uid |gid | 0 |
//!   +-----+---+-------+-----+-----------+------+------+------+--------+-----+---+----+----+---+
//! ```
//!
//! The reply is the attributes afterwards, as GETATTR would have them. A size that was set is a local change: an
//! attribute reply that was under way meanwhile is older than it and must be dropped (FU-SEM-5), and pages of the
//! cache behind the new end with it.
//!
//! The server changes what it is told to, with its own rights. Whether the caller may is the client's to check
//! (FU-SEM-16), and so is what Linux does besides: a change of owner takes set-id bits away, a change of mode by
//! somebody outside the group takes set-group-id.

use core::ops::RangeInclusive;

use bitflags::bitflags;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{AttributesReply, SetIds, WireAttributesReply, getattr};
use crate::attr::Timestamp;
use crate::error::{EncodeError, ReplyError};
use crate::file_type::FileType;
use crate::id::{FileHandle, LockOwner, NodeId};
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len};

/// Body of SETATTR.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_setattr_in")]
pub struct WireSetAttr {
    /// [`ChangedFields`].
    pub valid: U32,
    /// Zero.
    pub padding: U32,
    /// An open file.
    #[doc(alias = "fh")]
    pub handle: U64,
    /// Length in bytes.
    pub size: U64,
    /// Who locks.
    pub lock_owner: U64,
    /// Last access, seconds since 1970, in two's complement.
    #[doc(alias = "atime")]
    pub accessed: U64,
    /// Last change of the contents, likewise.
    #[doc(alias = "mtime")]
    pub modified: U64,
    /// Last change of contents or attributes, likewise.
    #[doc(alias = "ctime")]
    pub changed: U64,
    /// Nanoseconds of the last access.
    pub accessed_nanos: U32,
    /// Nanoseconds of the last change of the contents.
    pub modified_nanos: U32,
    /// Nanoseconds of the last change.
    pub changed_nanos: U32,
    /// Permissions, with or without the kind.
    pub mode: U32,
    /// Zero.
    pub unused4: U32,
    /// Owner.
    pub uid: U32,
    /// Group.
    pub gid: U32,
    /// Zero.
    pub unused5: U32,
}
const _: () = assert!(size_of::<WireSetAttr>() == 88);

bitflags! {
    /// Which fields of [`WireSetAttr`] count.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct ChangedFields: u32 {
        /// The mode.
        #[doc(alias = "FATTR_MODE")]
        const MODE = 1 << 0;
        /// The owner.
        #[doc(alias = "FATTR_UID")]
        const UID = 1 << 1;
        /// The group.
        #[doc(alias = "FATTR_GID")]
        const GID = 1 << 2;
        /// The length.
        #[doc(alias = "FATTR_SIZE")]
        const SIZE = 1 << 3;
        /// The time of last access.
        #[doc(alias = "FATTR_ATIME")]
        const ACCESSED = 1 << 4;
        /// The time of the last change of the contents.
        #[doc(alias = "FATTR_MTIME")]
        const MODIFIED = 1 << 5;
        /// The handle.
        #[doc(alias = "FATTR_FH")]
        const HANDLE = 1 << 6;
        /// The time of last access is the server's now; sent together with `ACCESSED`.
        #[doc(alias = "FATTR_ATIME_NOW")]
        const ACCESSED_NOW = 1 << 7;
        /// The time of the last change of the contents is the server's now; sent together with `MODIFIED`.
        #[doc(alias = "FATTR_MTIME_NOW")]
        const MODIFIED_NOW = 1 << 8;
        /// The lock owner.
        #[doc(alias = "FATTR_LOCKOWNER")]
        const LOCK_OWNER = 1 << 9;
        /// The time of the last change.
        #[doc(alias = "FATTR_CTIME")]
        const CHANGED = 1 << 10;
        /// Remove set-id bits.
        #[doc(alias = "FATTR_KILL_SUIDGID")]
        const REMOVE_SET_IDS = 1 << 11;
    }
}

/// What a time becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeChange {
    /// The time on the server's clock.
    Now,
    /// This time.
    To(Timestamp),
}

/// What is to change; the default is nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AttributeChanges {
    /// An open file of the node, to change it through: `ftruncate` works where `truncate` may no longer.
    pub handle: Option<FileHandle>,
    /// Permissions and the set-id and sticky bits. Bits of a kind are allowed if they are those of
    /// [`SetAttr::expected`].
    pub mode: Option<u32>,
    /// Owner, not `u32::MAX`.
    pub uid: Option<u32>,
    /// Group, not `u32::MAX`.
    pub gid: Option<u32>,
    /// Length in bytes, at most `i64::MAX`.
    pub size: Option<u64>,
    /// Time of last access.
    pub accessed: Option<TimeChange>,
    /// Time of the last change of the contents.
    pub modified: Option<TimeChange>,
    /// Time of the last change. Only for a client that caches writes, and so is the one who knows
    /// ([`InitFlags::WRITEBACK_CACHE`](crate::InitFlags::WRITEBACK_CACHE)); `utimensat` has no such thing.
    pub changed: Option<Timestamp>,
    /// Whose locks a change of the length has to respect.
    pub lock_owner: Option<LockOwner>,
    /// Whether a change of the length or the owner takes set-id bits away.
    pub set_ids: SetIds,
}

/// Changes the attributes of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_SETATTR")]
pub struct SetAttr {
    /// The node.
    pub node: NodeId,
    /// The kind that the node is known to have, if any is; a reply with another is refused (HD-FS-17).
    pub expected: Option<FileType>,
    /// What is to change.
    pub changes: AttributeChanges,
}

/// The bits of a mode that say no kind.
const PERMISSIONS: u32 = 0o7777;

/// The largest number of nanoseconds beside a second.
const MAX_NANOS: u32 = 999_999_999;

impl SetAttr {
    /// The changes as the wire has them, checked.
    fn wire(&self) -> Result<WireSetAttr, EncodeError> {
        let changes = &self.changes;
        let mut valid = ChangedFields::empty();
        valid.set(ChangedFields::MODE, changes.mode.is_some());
        valid.set(ChangedFields::UID, changes.uid.is_some());
        valid.set(ChangedFields::GID, changes.gid.is_some());
        valid.set(ChangedFields::SIZE, changes.size.is_some());
        valid.set(ChangedFields::ACCESSED, changes.accessed.is_some());
        valid.set(ChangedFields::MODIFIED, changes.modified.is_some());
        valid.set(ChangedFields::CHANGED, changes.changed.is_some());
        valid.set(ChangedFields::HANDLE, changes.handle.is_some());
        valid.set(ChangedFields::LOCK_OWNER, changes.lock_owner.is_some());
        valid.set(ChangedFields::ACCESSED_NOW, changes.accessed == Some(TimeChange::Now));
        valid.set(ChangedFields::MODIFIED_NOW, changes.modified == Some(TimeChange::Now));
        valid.set(ChangedFields::REMOVE_SET_IDS, changes.set_ids == SetIds::Remove);

        let kind = changes.mode.unwrap_or_default() & !PERMISSIONS;
        if kind != 0 && self.expected.map(FileType::mode_bits) != Some(kind) {
            return Err(EncodeError::Mode);
        }
        if changes.uid == Some(u32::MAX) || changes.gid == Some(u32::MAX) {
            return Err(EncodeError::InvalidId);
        }
        if changes.size.is_some_and(|size| size > i64::MAX.unsigned_abs()) {
            return Err(EncodeError::OffsetOutOfRange);
        }
        let given = |change: Option<TimeChange>| match change {
            Some(TimeChange::To(time)) => time,
            Some(TimeChange::Now) | None => Timestamp::default(),
        };
        let times = [given(changes.accessed), given(changes.modified), changes.changed.unwrap_or_default()];
        if times.iter().any(|time| time.nanoseconds > MAX_NANOS) {
            return Err(EncodeError::Nanoseconds);
        }
        let [accessed, modified, changed] = times.map(|time| U64::from_bytes(time.seconds.to_le_bytes()));
        let [accessed_nanos, modified_nanos, changed_nanos] = times.map(|time| U32::new(time.nanoseconds));
        Ok(WireSetAttr {
            valid: U32::new(valid.bits()),
            padding: U32::ZERO,
            handle: U64::new(changes.handle.unwrap_or_default().0),
            size: U64::new(changes.size.unwrap_or_default()),
            lock_owner: U64::new(changes.lock_owner.unwrap_or_default().0),
            accessed,
            modified,
            changed,
            accessed_nanos,
            modified_nanos,
            changed_nanos,
            mode: U32::new(changes.mode.unwrap_or_default()),
            unused4: U32::ZERO,
            uid: U32::new(changes.uid.unwrap_or_default()),
            gid: U32::new(changes.gid.unwrap_or_default()),
            unused5: U32::ZERO,
        })
    }
}

impl Request for SetAttr {
    const OPCODE: Opcode = Opcode::SetAttr;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.fixed(&self.wire()?)
    }
}

impl Operation for SetAttr {
    type Reply<'a> = AttributesReply;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireAttributesReply>()
    }

    fn parse(&self, payload: &[u8]) -> Result<AttributesReply, ReplyError> {
        getattr::parse(payload, self.expected)
    }
}
