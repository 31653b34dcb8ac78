//! STATX: attributes, each with a bit that says whether it is there.
//!
//! What GETATTR answers is the same for every file system; STATX (7.39) adds the time of birth and flags such as
//! "immutable", and lets a server leave out what it does not know. The client says what it would like and the server
//! says what it gives:
//!
//! ```text
//!   request   flags 4 | zero 4 | handle 8 | sync 4 | mask wanted 4
//!   reply     lifetime 12 | flags 4 | zero 16 | mask given 4 | block size 4 | attributes 8 | links .. | mode 2 ...
//! ```
//!
//! [`ExtendedAttributes`] has an `Option` for each of them, so that nobody reads a field that was not given. Most
//! servers answer `ENOSYS`; then, and wherever [`ExtendedAttributes::to_attributes`] has nothing, GETATTR is asked.
//!
//! # Hostile servers
//!
//! A mask that claims nothing is legal and useless; one without the *kind* of object is refused, because there is
//! nothing to check against what is known of the node (HD-FS-42). Bits that were not asked for are dropped with what
//! they cover. The rest is checked like attributes from GETATTR.

use core::ops::RangeInclusive;
use core::time::Duration;

use bitflags::bitflags;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::getattr::AttributesReply;
use crate::attr::{AttributeFlags, Attributes, Timestamp, lifetime};
use crate::error::{Defect, EncodeError, ReplyError};
use crate::file_type::FileType;
use crate::id::{FileHandle, NodeId};
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len, parse_fixed};

/// Body of STATX.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_statx_in")]
pub struct WireGetStatx {
    /// 1 if `handle` counts, else 0.
    #[doc(alias = "getattr_flags")]
    pub flags: U32,
    /// Zero.
    pub reserved: U32,
    /// An open file.
    #[doc(alias = "fh")]
    pub handle: U64,
    /// [`StatxFlags`].
    pub sx_flags: U32,
    /// [`StatxMask`] that is wanted.
    pub sx_mask: U32,
}
const _: () = assert!(size_of::<WireGetStatx>() == 24);

/// `getattr_flags`: the handle counts.
const HAS_HANDLE: u32 = 1;

/// A time in a reply to STATX.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_sx_time")]
pub struct WireStatxTime {
    /// Seconds since 1970, in two's complement.
    pub seconds: U64,
    /// Nanoseconds.
    pub nanos: U32,
    /// Zero.
    pub reserved: U32,
}
const _: () = assert!(size_of::<WireStatxTime>() == 16);

/// Attributes in a reply to STATX.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_statx")]
pub struct WireStatx {
    /// [`StatxMask`] that is given.
    pub mask: U32,
    /// Preferred transfer size in bytes.
    #[doc(alias = "blksize")]
    pub block_size: U32,
    /// [`StatxAttributes`] that are true.
    pub attributes: U64,
    /// Number of names.
    #[doc(alias = "nlink")]
    pub links: U32,
    /// Owner.
    pub uid: U32,
    /// Group.
    pub gid: U32,
    /// Kind and permissions.
    pub mode: U16,
    /// Zero.
    pub spare0: U16,
    /// Inode number on the host.
    #[doc(alias = "ino")]
    pub inode: U64,
    /// Length in bytes.
    pub size: U64,
    /// Space in use, in units of 512 bytes.
    pub blocks: U64,
    /// [`StatxAttributes`] that the server knows of.
    pub attributes_mask: U64,
    /// Last access.
    #[doc(alias = "atime")]
    pub accessed: WireStatxTime,
    /// Birth.
    #[doc(alias = "btime")]
    pub born: WireStatxTime,
    /// Last change of contents or attributes.
    #[doc(alias = "ctime")]
    pub changed: WireStatxTime,
    /// Last change of the contents.
    #[doc(alias = "mtime")]
    pub modified: WireStatxTime,
    /// Device number of a device.
    pub rdev_major: U32,
    /// Device number of a device.
    pub rdev_minor: U32,
    /// Device number of the file system.
    pub dev_major: U32,
    /// Device number of the file system.
    pub dev_minor: U32,
    /// Zero.
    pub spare2: [u8; 112],
}
const _: () = assert!(size_of::<WireStatx>() == 256);

/// Reply to STATX.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_statx_out")]
pub struct WireStatxReply {
    /// Seconds for which the attributes stay true.
    #[doc(alias = "attr_valid")]
    pub lifetime: U64,
    /// Nanoseconds of that.
    pub lifetime_nanos: U32,
    /// None are defined.
    pub flags: U32,
    /// Zero.
    pub spare: [u8; 16],
    /// The attributes.
    pub stat: WireStatx,
}
const _: () = assert!(size_of::<WireStatxReply>() == 288);

bitflags! {
    /// How fresh the answer has to be. Neither: as fresh as usual.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct StatxFlags: u32 {
        /// Ask whoever knows best, over the network if need be.
        #[doc(alias = "AT_STATX_FORCE_SYNC")]
        const FORCE_SYNC = 0x2000;
        /// What is at hand will do.
        #[doc(alias = "AT_STATX_DONT_SYNC")]
        const DO_NOT_SYNC = 0x4000;
    }
}

bitflags! {
    /// Which attributes are wanted, or given.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct StatxMask: u32 {
        /// The kind of object.
        #[doc(alias = "STATX_TYPE")]
        const TYPE = 1 << 0;
        /// Permissions.
        #[doc(alias = "STATX_MODE")]
        const MODE = 1 << 1;
        /// Number of names.
        #[doc(alias = "STATX_NLINK")]
        const LINKS = 1 << 2;
        /// Owner.
        const UID = 1 << 3;
        /// Group.
        const GID = 1 << 4;
        /// Last access.
        #[doc(alias = "STATX_ATIME")]
        const ACCESSED = 1 << 5;
        /// Last change of the contents.
        #[doc(alias = "STATX_MTIME")]
        const MODIFIED = 1 << 6;
        /// Last change of contents or attributes.
        #[doc(alias = "STATX_CTIME")]
        const CHANGED = 1 << 7;
        /// Inode number.
        #[doc(alias = "STATX_INO")]
        const INODE = 1 << 8;
        /// Length.
        const SIZE = 1 << 9;
        /// Space in use.
        const BLOCKS = 1 << 10;
        /// Birth.
        #[doc(alias = "STATX_BTIME")]
        const BORN = 1 << 11;
    }
}

impl StatxMask {
    /// What GETATTR answers.
    #[doc(alias = "STATX_BASIC_STATS")]
    pub const BASIC: Self = Self::all().difference(Self::BORN);
}

bitflags! {
    /// Properties of a file beyond its mode.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct StatxAttributes: u64 {
        /// Stored compressed.
        const COMPRESSED = 0x4;
        /// Cannot be changed, renamed or removed.
        const IMMUTABLE = 0x10;
        /// Can only be written at its end.
        const APPEND = 0x20;
        /// Left out of backups.
        const NO_DUMP = 0x40;
        /// Stored encrypted.
        const ENCRYPTED = 0x800;
        /// A place where something is mounted by itself.
        const AUTOMOUNT = 0x1000;
        /// The root of a mount.
        const MOUNT_ROOT = 0x2000;
        /// Its contents are verified against a hash.
        const VERITY = 0x10_0000;
        /// Mapped without a page cache.
        const DAX = 0x20_0000;
    }
}

/// Reads attributes of the `statx` kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_STATX")]
pub struct StatX {
    /// The node.
    pub node: NodeId,
    /// An open file of the node, to ask through.
    pub handle: Option<FileHandle>,
    /// The kind that the node is known to have, if any is.
    pub expected: Option<FileType>,
    /// How fresh.
    pub flags: StatxFlags,
    /// Which attributes; the kind is always asked for.
    pub mask: StatxMask,
}

/// A device by its numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct DeviceNumber {
    /// The driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

/// Attributes of the `statx` kind: those that were asked for and given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtendedAttributes {
    /// How long they stay true, from the receipt of the reply; zero: do not cache. Up to [`Duration::MAX`].
    pub lifetime: Duration,
    /// The kind of object.
    pub file_type: FileType,
    /// Permissions and the set-id and sticky bits, `0..=0o7777`.
    pub permissions: Option<u16>,
    /// Number of names; 0 for a file that was removed while open.
    pub links: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Inode number on the host. Not unique in a share.
    pub inode: Option<u64>,
    /// Length in bytes, at most `i64::MAX`.
    pub size: Option<u64>,
    /// Space in use, in units of 512 bytes; the same in bytes is at most `i64::MAX`.
    pub blocks: Option<u64>,
    /// Last access.
    pub accessed: Option<Timestamp>,
    /// Last change of the contents.
    pub modified: Option<Timestamp>,
    /// Last change of contents or attributes.
    pub changed: Option<Timestamp>,
    /// Birth.
    pub born: Option<Timestamp>,
    /// Preferred transfer size in bytes, never 0.
    pub block_size: u32,
    /// Properties that the file has.
    pub attributes: StatxAttributes,
    /// Properties that the server knows of; the others it may have or not.
    pub known_attributes: StatxAttributes,
    /// What a device stands for.
    pub device: DeviceNumber,
    /// The file system on the host.
    pub file_system: DeviceNumber,
}

impl ExtendedAttributes {
    fn from_wire(wire: &WireStatxReply, wanted: StatxMask) -> Result<Self, Defect> {
        let stat = &wire.stat;
        let given = StatxMask::from_bits_truncate(stat.mask.get()) & wanted;
        if !given.contains(StatxMask::TYPE) {
            return Err(Defect::FileType);
        }
        let mode = stat.mode.get();
        let limit = i64::MAX.unsigned_abs();
        let bounded = |bit, number: u64, limit| match given.contains(bit) {
            true if number > limit => Err(Defect::Size),
            true => Ok(Some(number)),
            false => Ok(None),
        };
        let number = |bit, number: U32| given.contains(bit).then(|| number.get());
        let time =
            |bit, time: &WireStatxTime| given.contains(bit).then(|| Timestamp::from_wire(time.seconds, time.nanos));
        let known_attributes = StatxAttributes::from_bits_truncate(stat.attributes_mask.get());
        Ok(Self {
            lifetime: lifetime(wire.lifetime, wire.lifetime_nanos),
            file_type: FileType::from_mode(mode.into()).ok_or(Defect::FileType)?,
            permissions: given.contains(StatxMask::MODE).then_some(mode & 0o7777),
            links: number(StatxMask::LINKS, stat.links),
            uid: number(StatxMask::UID, stat.uid),
            gid: number(StatxMask::GID, stat.gid),
            inode: given.contains(StatxMask::INODE).then(|| stat.inode.get()),
            size: bounded(StatxMask::SIZE, stat.size.get(), limit)?,
            blocks: bounded(StatxMask::BLOCKS, stat.blocks.get(), limit / 512)?,
            accessed: time(StatxMask::ACCESSED, &stat.accessed),
            modified: time(StatxMask::MODIFIED, &stat.modified),
            changed: time(StatxMask::CHANGED, &stat.changed),
            born: time(StatxMask::BORN, &stat.born),
            block_size: match stat.block_size.get() {
                0 => DEFAULT_BLOCK_SIZE,
                given => given,
            },
            attributes: StatxAttributes::from_bits_truncate(stat.attributes.get()) & known_attributes,
            known_attributes,
            device: DeviceNumber { major: stat.rdev_major.get(), minor: stat.rdev_minor.get() },
            file_system: DeviceNumber { major: stat.dev_major.get(), minor: stat.dev_minor.get() },
        })
    }

    /// What GETATTR would have answered; `None` if anything of that was not given, and GETATTR is to be asked
    /// (HD-FS-42). What only GETATTR tells, [`AttributeFlags`], is empty.
    #[must_use]
    pub fn to_attributes(&self) -> Option<AttributesReply> {
        let attributes = Attributes {
            inode: self.inode?,
            size: self.size?,
            blocks: self.blocks?,
            accessed: self.accessed?,
            modified: self.modified?,
            changed: self.changed?,
            file_type: self.file_type,
            permissions: self.permissions?,
            links: self.links?,
            uid: self.uid?,
            gid: self.gid?,
            device: self.device.encode(),
            block_size: self.block_size,
            flags: AttributeFlags::empty(),
        };
        Some(AttributesReply { lifetime: self.lifetime, attributes })
    }
}

/// The transfer size of a server that gives none (FU-SEM-20).
const DEFAULT_BLOCK_SIZE: u32 = 4096;

impl DeviceNumber {
    /// Both numbers in one, in Linux' 32-bit encoding. Bits that it has no room for are lost.
    #[must_use]
    pub const fn encode(self) -> u32 {
        (self.minor & 0xff) | self.major << 8 | (self.minor & !0xff) << 12
    }
}

impl StatX {
    fn wanted(&self) -> StatxMask {
        self.mask | StatxMask::TYPE
    }
}

impl Request for StatX {
    const OPCODE: Opcode = Opcode::StatX;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.fixed(&WireGetStatx {
            flags: U32::new(self.handle.map_or(0, |_| HAS_HANDLE)),
            reserved: U32::ZERO,
            handle: U64::new(self.handle.unwrap_or_default().0),
            sx_flags: U32::new(self.flags.bits()),
            sx_mask: U32::new(self.wanted().bits()),
        })
    }
}

impl Operation for StatX {
    type Reply<'a> = ExtendedAttributes;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireStatxReply>()
    }

    fn parse(&self, payload: &[u8]) -> Result<ExtendedAttributes, ReplyError> {
        let wire: WireStatxReply = parse_fixed(payload)?;
        let attributes = ExtendedAttributes::from_wire(&wire, self.wanted())?;
        if self.expected.is_some_and(|expected| expected != attributes.file_type) {
            return Err(Defect::FileType.into());
        }
        Ok(attributes)
    }
}
