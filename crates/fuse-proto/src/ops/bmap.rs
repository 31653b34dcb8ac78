//! BMAP: where a block of a file lies on the disk below.
//!
//! For servers that have a block device of their own and clients that swap to it, or boot from it. Block 0 is nobody's
//! data, so it means that nothing is stored there. The number is the server's word and good for nothing but to be
//! shown or to be compared.

use core::ops::RangeInclusive;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{EncodeError, ReplyError};
use crate::id::NodeId;
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len, parse_fixed};

/// Body of BMAP.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_bmap_in")]
pub struct WireBmap {
    /// Block of the file.
    pub block: U64,
    /// Size of a block in bytes.
    #[doc(alias = "blocksize")]
    pub block_size: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireBmap>() == 16);

/// Reply to BMAP.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_bmap_out")]
pub struct WireBmapReply {
    /// Block of the disk, 0 for none.
    pub block: U64,
}
const _: () = assert!(size_of::<WireBmapReply>() == 8);

/// Asks where a block of a file lies. The reply is the block's number on the disk, `None` for a hole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_BMAP")]
pub struct Bmap {
    /// The file.
    pub node: NodeId,
    /// Which block of it, in blocks of `block_size`.
    pub block: u64,
    /// The size of a block in bytes.
    pub block_size: u32,
}

impl Request for Bmap {
    const OPCODE: Opcode = Opcode::Bmap;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.fixed(&WireBmap { block: U64::new(self.block), block_size: U32::new(self.block_size), padding: U32::ZERO })
    }
}

impl Operation for Bmap {
    type Reply<'a> = Option<u64>;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireBmapReply>()
    }

    fn parse(&self, payload: &[u8]) -> Result<Option<u64>, ReplyError> {
        let wire: WireBmapReply = parse_fixed(payload)?;
        Ok(Some(wire.block.get()).filter(|&block| block != 0))
    }
}
