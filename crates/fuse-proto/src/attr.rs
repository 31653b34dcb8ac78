//! Attributes of a node.
//!
//! [`WireAttributes`] is the 88 bytes that GETATTR, LOOKUP and READDIRPLUS share; [`Attributes`] is what is left
//! of them after the checks. What a server may get wrong falls in three classes:
//!
//! ```text
//!   reject   a kind that does not exist, a size beyond i64::MAX        nothing sensible follows from these
//!   clamp    1_000_000_000 nanoseconds or more, a block size of 0      harmless, and seen in the field
//!   believe  everything else                                           links, owners, times: the server's word
//! ```
//!
//! Two more rules are for the layer above, which remembers what this one cannot. A reply that was under way
//! while the file was changed locally is older than the change and must not undo it (FU-SEM-5). And `inode` is
//! not an identity: compare [`Identity`](crate::Identity), not inode numbers (FU-SEM-19).

use core::time::Duration;

use bitflags::bitflags;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::Defect;
use crate::file_type::FileType;

/// Attributes as they lie in a reply.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_attr")]
pub struct WireAttributes {
    /// Inode number on the host.
    #[doc(alias = "ino")]
    pub inode: U64,
    /// Length in bytes.
    pub size: U64,
    /// Space in use, in units of 512 bytes.
    pub blocks: U64,
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
    /// Kind and permissions.
    pub mode: U32,
    /// Number of names.
    #[doc(alias = "nlink")]
    pub links: U32,
    /// Owner.
    pub uid: U32,
    /// Group.
    pub gid: U32,
    /// Device number, for a device.
    #[doc(alias = "rdev")]
    pub device: U32,
    /// Preferred transfer size in bytes.
    #[doc(alias = "blksize")]
    pub block_size: U32,
    /// [`AttributeFlags`].
    pub flags: U32,
}
const _: () = assert!(size_of::<WireAttributes>() == 88);

bitflags! {
    /// Peculiarities of a node.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct AttributeFlags: u32 {
        /// The node is the root of another file system on the host.
        #[doc(alias = "FUSE_ATTR_SUBMOUNT")]
        const SUBMOUNT = 1 << 0;
        /// The file may be mapped through the DAX window.
        #[doc(alias = "FUSE_ATTR_DAX")]
        const DAX = 1 << 1;
    }
}

/// A moment, as seconds and nanoseconds since the beginning of 1970 (UTC).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// The rest, `0..=999_999_999`.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// Reads a moment off the wire, where seconds are the same bits without a sign. Too many nanoseconds are
    /// clamped (HD-FS-19).
    pub(crate) fn from_wire(seconds: U64, nanoseconds: U32) -> Self {
        Self { seconds: i64::from_ne_bytes(seconds.get().to_ne_bytes()), nanoseconds: nanoseconds.get().min(MAX_NANOS) }
    }
}

const MAX_NANOS: u32 = 999_999_999;

/// The transfer size of a server that gives none (FU-SEM-20).
const DEFAULT_BLOCK_SIZE: u32 = 4096;

/// How long something received may be used without asking again, counted from the moment of the reply.
///
/// The server's word may be as large as `u64::MAX` seconds (HD-FS-20): add it to a clock with saturation.
pub(crate) fn lifetime(seconds: U64, nanoseconds: U32) -> Duration {
    Duration::new(seconds.get(), nanoseconds.get().min(MAX_NANOS))
}

/// Attributes that passed the checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attributes {
    /// Inode number on the host. Not unique in a share.
    pub inode: u64,
    /// Length in bytes, at most `i64::MAX`.
    pub size: u64,
    /// Space in use, in units of 512 bytes; the same in bytes is at most `i64::MAX`.
    pub blocks: u64,
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of the contents.
    pub modified: Timestamp,
    /// Last change of contents or attributes.
    pub changed: Timestamp,
    /// The kind of object.
    pub file_type: FileType,
    /// Permissions and the set-id and sticky bits, `0..=0o7777`.
    pub permissions: u16,
    /// Number of names; 0 for a file that was removed while open.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number in the Linux 32-bit encoding, for a device.
    pub device: u32,
    /// Preferred transfer size in bytes, never 0.
    pub block_size: u32,
    /// Peculiarities.
    pub flags: AttributeFlags,
}

impl Attributes {
    /// Checks attributes off the wire.
    ///
    /// # Errors
    ///
    /// [`Defect::FileType`] or [`Defect::Size`].
    pub fn from_wire(wire: &WireAttributes) -> Result<Self, Defect> {
        let mode = wire.mode.get();
        let file_type = FileType::from_mode(mode).ok_or(Defect::FileType)?;
        let size = wire.size.get();
        let blocks = wire.blocks.get();
        let limit = i64::MAX.unsigned_abs();
        if size > limit || blocks > limit / 512 {
            return Err(Defect::Size);
        }
        let block_size = match wire.block_size.get() {
            0 => DEFAULT_BLOCK_SIZE,
            given => given,
        };
        let [low, high, ..] = (mode & 0o7777).to_le_bytes();
        Ok(Self {
            inode: wire.inode.get(),
            size,
            blocks,
            accessed: Timestamp::from_wire(wire.accessed, wire.accessed_nanos),
            modified: Timestamp::from_wire(wire.modified, wire.modified_nanos),
            changed: Timestamp::from_wire(wire.changed, wire.changed_nanos),
            file_type,
            permissions: u16::from_le_bytes([low, high]),
            links: wire.links.get(),
            uid: wire.uid.get(),
            gid: wire.gid.get(),
            device: wire.device.get(),
            block_size,
            flags: AttributeFlags::from_bits_truncate(wire.flags.get()),
        })
    }

    /// Kind and permissions in one number, as `st_mode` has them.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.file_type.mode_bits() | u32::from(self.permissions)
    }

    /// The attributes as they would lie in a reply: what a server, or the model of one, sends.
    #[must_use]
    pub fn to_wire(&self) -> WireAttributes {
        let seconds = |time: Timestamp| U64::from_bytes(time.seconds.to_le_bytes());
        WireAttributes {
            inode: U64::new(self.inode),
            size: U64::new(self.size),
            blocks: U64::new(self.blocks),
            accessed: seconds(self.accessed),
            modified: seconds(self.modified),
            changed: seconds(self.changed),
            accessed_nanos: U32::new(self.accessed.nanoseconds),
            modified_nanos: U32::new(self.modified.nanoseconds),
            changed_nanos: U32::new(self.changed.nanoseconds),
            mode: U32::new(self.mode()),
            links: U32::new(self.links),
            uid: U32::new(self.uid),
            gid: U32::new(self.gid),
            device: U32::new(self.device),
            block_size: U32::new(self.block_size),
            flags: U32::new(self.flags.bits()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::wire_attributes;

    #[test]
    fn hd_fs_17_a_mode_without_a_kind_is_malformed() {
        let mut wire = wire_attributes(FileType::Regular);
        wire.mode = U32::new(0o644);
        assert_eq!(Attributes::from_wire(&wire), Err(Defect::FileType));
        wire.mode = U32::new(0o170_644);
        assert_eq!(Attributes::from_wire(&wire), Err(Defect::FileType));
    }

    #[test]
    fn hd_fs_18_sizes_beyond_the_largest_offset_are_malformed() {
        let mut wire = wire_attributes(FileType::Regular);
        wire.size = U64::new(1 << 63);
        assert_eq!(Attributes::from_wire(&wire), Err(Defect::Size));
        wire.size = U64::new((1 << 63) - 1);
        wire.blocks = U64::new((1 << 54) - 1);
        assert!(Attributes::from_wire(&wire).is_ok());
        wire.blocks = U64::new(1 << 54);
        assert_eq!(Attributes::from_wire(&wire), Err(Defect::Size));
    }

    #[test]
    fn hd_fs_19_nanoseconds_are_clamped() {
        let mut wire = wire_attributes(FileType::Regular);
        wire.accessed_nanos = U32::new(1_000_000_000);
        wire.modified_nanos = U32::MAX_VALUE;
        wire.changed_nanos = U32::new(999_999_998);
        let attributes = Attributes::from_wire(&wire).expect("nanoseconds are no reason to fail");
        assert_eq!(attributes.accessed.nanoseconds, 999_999_999);
        assert_eq!(attributes.modified.nanoseconds, 999_999_999);
        assert_eq!(attributes.changed.nanoseconds, 999_999_998);
    }

    #[test]
    fn hd_fs_20_the_longest_lifetime_is_a_duration() {
        let longest = lifetime(U64::MAX_VALUE, U32::MAX_VALUE);
        assert_eq!(longest, Duration::MAX);
    }

    #[test]
    fn fu_sem_20_a_block_size_of_zero_means_4096() {
        let mut wire = wire_attributes(FileType::Regular);
        wire.block_size = U32::ZERO;
        let attributes = Attributes::from_wire(&wire).expect("zero is allowed");
        assert_eq!(attributes.block_size, 4096);
    }

    #[test]
    fn seconds_before_1970_are_negative() {
        let mut wire = wire_attributes(FileType::Regular);
        wire.modified = U64::MAX_VALUE;
        let attributes = Attributes::from_wire(&wire).expect("any second is allowed");
        assert_eq!(attributes.modified.seconds, -1);
    }

    #[test]
    fn unknown_flags_are_dropped() {
        let mut wire = wire_attributes(FileType::Directory);
        wire.flags = U32::MAX_VALUE;
        let attributes = Attributes::from_wire(&wire).expect("flags are no reason to fail");
        assert_eq!(attributes.flags, AttributeFlags::all());
    }

    #[test]
    fn mode_and_device_survive() {
        let mut wire = wire_attributes(FileType::CharDevice);
        wire.mode = U32::new(0o020_000 | 0o4755);
        wire.device = U32::new(0x0103);
        let attributes = Attributes::from_wire(&wire).expect("valid");
        assert_eq!(attributes.mode(), 0o024_755);
        assert_eq!(attributes.permissions, 0o4755);
        assert_eq!(attributes.device, 0x0103);
    }
}
