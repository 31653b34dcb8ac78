//! STATFS: the file system as a whole.
//!
//! Two sizes are easily mixed up (FU-SEM-15): the *fragment* is the unit in which space is counted, the *block*
//! the size in which a transfer is efficient. Servers that know only one leave the fragment 0.

use core::ops::RangeInclusive;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{EncodeError, ReplyError};
use crate::id::NodeId;
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len, parse_fixed};

/// Reply to STATFS.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_kstatfs")]
#[doc(alias = "fuse_statfs_out")]
pub struct WireStatFs {
    /// Space in fragments.
    pub blocks: U64,
    /// Free space in fragments.
    #[doc(alias = "bfree")]
    pub blocks_free: U64,
    /// Free space for ordinary users in fragments.
    #[doc(alias = "bavail")]
    pub blocks_available: U64,
    /// Inodes.
    pub files: U64,
    /// Free inodes.
    #[doc(alias = "ffree")]
    pub files_free: U64,
    /// Transfer size in bytes.
    #[doc(alias = "bsize")]
    pub block_size: U32,
    /// Longest name in bytes.
    #[doc(alias = "namelen")]
    pub name_len: U32,
    /// Unit of space in bytes.
    #[doc(alias = "frsize")]
    pub fragment_size: U32,
    /// Zero.
    pub padding: U32,
    /// Zero.
    pub spare: [u8; 24],
}
const _: () = assert!(size_of::<WireStatFs>() == 80);

/// The sizes of a server that gives none.
const DEFAULT_BLOCK_SIZE: u32 = 4096;

/// Describes the file system that a node is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_STATFS")]
pub struct StatFs {
    /// Any node of it.
    pub node: NodeId,
}

/// Space and limits of a file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileSystemStatus {
    /// Space, in fragments.
    pub blocks: u64,
    /// Free space, in fragments.
    pub blocks_free: u64,
    /// Free space that ordinary users may take, in fragments.
    pub blocks_available: u64,
    /// Inodes, free or in use; 0 where they are not counted.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// Efficient transfer size in bytes, never 0.
    pub block_size: u32,
    /// Unit of space in bytes, never 0.
    pub fragment_size: u32,
    /// Longest name in bytes. Informational: [`MAX_NAME_LEN`](crate::MAX_NAME_LEN) applies besides.
    pub name_len: u32,
}

impl Request for StatFs {
    const OPCODE: Opcode = Opcode::StatFs;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, _body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl Operation for StatFs {
    type Reply<'a> = FileSystemStatus;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireStatFs>()
    }

    fn parse(&self, payload: &[u8]) -> Result<FileSystemStatus, ReplyError> {
        let wire: WireStatFs = parse_fixed(payload)?;
        let or_default = |given, default| if given == 0 { default } else { given };
        let block_size = or_default(wire.block_size.get(), DEFAULT_BLOCK_SIZE);
        Ok(FileSystemStatus {
            blocks: wire.blocks.get(),
            blocks_free: wire.blocks_free.get(),
            blocks_available: wire.blocks_available.get(),
            files: wire.files.get(),
            files_free: wire.files_free.get(),
            block_size,
            fragment_size: or_default(wire.fragment_size.get(), block_size),
            name_len: wire.name_len.get(),
        })
    }
}
