//! GETATTR: the attributes of a node.
//!
//! A node keeps its kind for life. So the caller says what kind it knows the node to have, and a reply that
//! claims another is refused: it describes some other object (HD-FS-15, HD-FS-17), and a directory that turned
//! into a file under somebody's feet is how caches get corrupted.

use core::ops::RangeInclusive;
use core::time::Duration;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::attr::{Attributes, WireAttributes, lifetime};
use crate::error::{Defect, EncodeError, ReplyError};
use crate::file_type::FileType;
use crate::id::{FileHandle, NodeId};
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len, parse_fixed};

/// Body of GETATTR.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_getattr_in")]
pub struct WireGetAttr {
    /// 1 if `handle` counts, else 0.
    #[doc(alias = "getattr_flags")]
    pub flags: U32,
    /// Zero.
    pub dummy: U32,
    /// An open file.
    pub handle: U64,
}
const _: () = assert!(size_of::<WireGetAttr>() == 16);

/// `getattr_flags`: the handle counts.
const HAS_HANDLE: u32 = 1;

/// Reply to GETATTR, and to SETATTR.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_attr_out")]
pub struct WireAttributesReply {
    /// Seconds for which the attributes stay true.
    #[doc(alias = "attr_valid")]
    pub lifetime: U64,
    /// Nanoseconds of that.
    pub lifetime_nanos: U32,
    /// Zero.
    pub dummy: U32,
    /// The attributes.
    pub attributes: WireAttributes,
}
const _: () = assert!(size_of::<WireAttributesReply>() == 104);

/// Reads the attributes of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_GETATTR")]
pub struct GetAttr {
    /// The node.
    pub node: NodeId,
    /// An open file of the node, to ask through.
    pub handle: Option<FileHandle>,
    /// The kind that the node is known to have, if any is.
    pub expected: Option<FileType>,
}

/// Attributes and how long they stay true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttributesReply {
    /// From the receipt of the reply; zero: do not cache. Up to [`Duration::MAX`].
    pub lifetime: Duration,
    /// The attributes.
    pub attributes: Attributes,
}

impl Request for GetAttr {
    const OPCODE: Opcode = Opcode::GetAttr;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.fixed(&WireGetAttr {
            flags: U32::new(self.handle.map_or(0, |_| HAS_HANDLE)),
            dummy: U32::ZERO,
            handle: U64::new(self.handle.unwrap_or_default().0),
        })
    }
}

impl Operation for GetAttr {
    type Reply<'a> = AttributesReply;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireAttributesReply>()
    }

    fn parse(&self, payload: &[u8]) -> Result<AttributesReply, ReplyError> {
        parse(payload, self.expected)
    }
}

/// The attributes of a node of the kind `expected`, as GETATTR and SETATTR return them.
pub(super) fn parse(payload: &[u8], expected: Option<FileType>) -> Result<AttributesReply, ReplyError> {
    let wire: WireAttributesReply = parse_fixed(payload)?;
    let attributes = Attributes::from_wire(&wire.attributes)?;
    if expected.is_some_and(|expected| expected != attributes.file_type) {
        return Err(Defect::FileType.into());
    }
    Ok(AttributesReply { lifetime: lifetime(wire.lifetime, wire.lifetime_nanos), attributes })
}
