//! SETXATTR, GETXATTR, LISTXATTR and REMOVEXATTR: values beside the contents.
//!
//! Reading takes two requests, since nobody knows how long a value is: one with a capacity of 0, which is answered
//! with a length, and one with that capacity, which is answered with the bytes. The value may have grown between the
//! two; then the second is answered with `ERANGE` and the caller begins again. The two questions have two answers, so
//! they are two operations each: [`GetXattrLen`] and [`GetXattr`], [`ListXattrLen`] and [`ListXattr`].
//!
//! ```text
//!   SETXATTR     size 4 | flags 4 [ | extra flags 4 | zero 4 ] | name \0 | value
//!                                 '- if SETXATTR_EXT is agreed -'
//!   GETXATTR     capacity 4 | zero 4 | name \0          ->  length 4 | zero 4, or the value
//!   LISTXATTR    capacity 4 | zero 4                    ->  length 4 | zero 4, or names with a \0 each
//! ```
//!
//! SETXATTR is the only request that changed its length with a feature, and nothing in it says which of the two it
//! has: the caller takes [`SetXattrForm::of`] the session.
//!
//! # Hostile servers
//!
//! A length is somebody's next allocation: it is cut to the 64 KiB that a value may have (HD-FS-32). A list is checked
//! as a whole (HD-FS-31), in [`XattrNames`].

use core::ops::RangeInclusive;

use bitflags::bitflags;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::read::length;
use crate::error::{Defect, EncodeError, ReplyError};
use crate::id::NodeId;
use crate::init::InitFlags;
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len, parse_fixed};
use crate::session::Session;
use crate::xattr::{MAX_XATTR_LIST_LEN, MAX_XATTR_VALUE_LEN, XattrName, XattrNames};

/// Body of SETXATTR without [`InitFlags::SETXATTR_EXT`]; name and value follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "FUSE_COMPAT_SETXATTR_IN_SIZE")]
pub struct WireSetXattrShort {
    /// Bytes of the value.
    pub size: U32,
    /// 1 to create, 2 to replace, 0 for either.
    pub flags: U32,
}
const _: () = assert!(size_of::<WireSetXattrShort>() == 8);

/// Body of SETXATTR with [`InitFlags::SETXATTR_EXT`]; name and value follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_setxattr_in")]
pub struct WireSetXattr {
    /// Bytes of the value.
    pub size: U32,
    /// 1 to create, 2 to replace, 0 for either.
    pub flags: U32,
    /// [`SetXattrFlags`].
    #[doc(alias = "setxattr_flags")]
    pub extra_flags: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireSetXattr>() == 16);

/// Body of GETXATTR and LISTXATTR; for the first, the name follows.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_getxattr_in")]
pub struct WireGetXattr {
    /// Room for the answer in bytes; 0 asks for its length.
    pub size: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireGetXattr>() == 8);

/// Reply to GETXATTR and LISTXATTR with a capacity of 0.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_getxattr_out")]
pub struct WireXattrLen {
    /// Bytes of the value or list.
    pub size: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireXattrLen>() == 8);

bitflags! {
    /// What a server does besides setting an attribute.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct SetXattrFlags: u32 {
        /// Remove the set-group-id bit, because the access control list that is set does not cover the caller's group.
        #[doc(alias = "FUSE_SETXATTR_ACL_KILL_SGID")]
        const REMOVE_SET_GROUP_ID = 1 << 0;
    }
}

/// Whether there may, must or must not be an attribute of that name before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum XattrMode {
    /// Create or replace it.
    #[default]
    Any,
    /// Create it; `EEXIST` if it is there.
    #[doc(alias = "XATTR_CREATE")]
    Create,
    /// Replace it; `ENODATA` if it is not there.
    #[doc(alias = "XATTR_REPLACE")]
    Replace,
}

impl XattrMode {
    /// The flags on the wire.
    const fn bits(self) -> u32 {
        match self {
            Self::Any => 0,
            Self::Create => 1,
            Self::Replace => 2,
        }
    }
}

/// Which of the two layouts of SETXATTR a session uses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SetXattrForm {
    /// The one of 8 bytes.
    Short,
    /// The one of 16 bytes, with these flags.
    Extended(SetXattrFlags),
}

impl SetXattrForm {
    /// The form that was agreed on in `session`, with no flags.
    #[must_use]
    pub fn of(session: &Session) -> Self {
        if session.flags().contains(InitFlags::SETXATTR_EXT) {
            Self::Extended(SetXattrFlags::empty())
        } else {
            Self::Short
        }
    }
}

/// Sets an extended attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_SETXATTR")]
pub struct SetXattr<'a> {
    /// The node.
    pub node: NodeId,
    /// The attribute.
    pub name: XattrName<'a>,
    /// Its value, at most [`MAX_XATTR_VALUE_LEN`] bytes.
    pub value: &'a [u8],
    /// Whether it may exist.
    pub mode: XattrMode,
    /// The layout: [`SetXattrForm::of`] the session.
    pub form: SetXattrForm,
}

impl Request for SetXattr<'_> {
    const OPCODE: Opcode = Opcode::SetXattr;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        let size = u32::try_from(self.value.len())
            .ok()
            .filter(|&size| size <= MAX_XATTR_VALUE_LEN)
            .ok_or(EncodeError::ValueTooLarge)?;
        let (size, flags) = (U32::new(size), U32::new(self.mode.bits()));
        match self.form {
            SetXattrForm::Short => body.fixed(&WireSetXattrShort { size, flags })?,
            SetXattrForm::Extended(extra) => {
                body.fixed(&WireSetXattr { size, flags, extra_flags: U32::new(extra.bits()), padding: U32::ZERO })?;
            }
        }
        write_name(body, self.name)?;
        body.bytes(self.value)
    }
}

impl Operation for SetXattr<'_> {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}

/// Reads an extended attribute. Besides the usual errors there are `ENODATA`, the attribute is not there, and `ERANGE`,
/// its value is longer than [`capacity`](Self::capacity).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_GETXATTR")]
pub struct GetXattr<'a> {
    /// The node.
    pub node: NodeId,
    /// The attribute.
    pub name: XattrName<'a>,
    /// The longest value that is wanted, `1..=`[`MAX_XATTR_VALUE_LEN`] bytes.
    pub capacity: u32,
}

impl Request for GetXattr<'_> {
    const OPCODE: Opcode = Opcode::GetXattr;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        write_capacity(body, self.capacity, MAX_XATTR_VALUE_LEN)?;
        write_name(body, self.name)
    }
}

impl Operation for GetXattr<'_> {
    type Reply<'a> = &'a [u8];

    fn payload_len(&self) -> RangeInclusive<usize> {
        0..=length(self.capacity)
    }

    fn parse<'a>(&self, payload: &'a [u8]) -> Result<&'a [u8], ReplyError> {
        within(payload, self.capacity)
    }
}

/// Asks how long the value of an extended attribute is, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_GETXATTR")]
pub struct GetXattrLen<'a> {
    /// The node.
    pub node: NodeId,
    /// The attribute.
    pub name: XattrName<'a>,
}

impl Request for GetXattrLen<'_> {
    const OPCODE: Opcode = Opcode::GetXattr;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.fixed(&WireGetXattr { size: U32::ZERO, padding: U32::ZERO })?;
        write_name(body, self.name)
    }
}

impl Operation for GetXattrLen<'_> {
    /// At most [`MAX_XATTR_VALUE_LEN`]; a server that says more is cut short, and answers a request for that much with
    /// `ERANGE` if it meant it.
    type Reply<'a> = u32;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireXattrLen>()
    }

    fn parse(&self, payload: &[u8]) -> Result<u32, ReplyError> {
        parse_len(payload, MAX_XATTR_VALUE_LEN)
    }
}

/// Lists the names of the extended attributes. `ERANGE`: the list is longer than [`capacity`](Self::capacity).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_LISTXATTR")]
pub struct ListXattr {
    /// The node.
    pub node: NodeId,
    /// The longest list that is wanted, `1..=`[`MAX_XATTR_LIST_LEN`] bytes, terminators included.
    pub capacity: u32,
}

impl Request for ListXattr {
    const OPCODE: Opcode = Opcode::ListXattr;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        write_capacity(body, self.capacity, MAX_XATTR_LIST_LEN)
    }
}

impl Operation for ListXattr {
    type Reply<'a> = XattrNames<'a>;

    fn payload_len(&self) -> RangeInclusive<usize> {
        0..=length(self.capacity)
    }

    fn parse<'a>(&self, payload: &'a [u8]) -> Result<XattrNames<'a>, ReplyError> {
        Ok(XattrNames::new(within(payload, self.capacity)?)?)
    }
}

/// Asks how long the list of names is, in bytes with all terminators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_LISTXATTR")]
pub struct ListXattrLen {
    /// The node.
    pub node: NodeId,
}

impl Request for ListXattrLen {
    const OPCODE: Opcode = Opcode::ListXattr;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.fixed(&WireGetXattr { size: U32::ZERO, padding: U32::ZERO })
    }
}

impl Operation for ListXattrLen {
    /// At most [`MAX_XATTR_LIST_LEN`], as with [`GetXattrLen`].
    type Reply<'a> = u32;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireXattrLen>()
    }

    fn parse(&self, payload: &[u8]) -> Result<u32, ReplyError> {
        parse_len(payload, MAX_XATTR_LIST_LEN)
    }
}

/// Removes an extended attribute; `ENODATA` if it is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_REMOVEXATTR")]
pub struct RemoveXattr<'a> {
    /// The node.
    pub node: NodeId,
    /// The attribute.
    pub name: XattrName<'a>,
}

impl Request for RemoveXattr<'_> {
    const OPCODE: Opcode = Opcode::RemoveXattr;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        write_name(body, self.name)
    }
}

impl Operation for RemoveXattr<'_> {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}

fn write_name(body: &mut BodyWriter<'_>, name: XattrName<'_>) -> Result<(), EncodeError> {
    body.bytes(name.as_bytes())?;
    body.bytes(&[0])
}

/// A capacity that is one: 0 would be the other question.
fn write_capacity(body: &mut BodyWriter<'_>, capacity: u32, largest: u32) -> Result<(), EncodeError> {
    if capacity == 0 || capacity > largest {
        return Err(EncodeError::CapacityOutOfRange);
    }
    body.fixed(&WireGetXattr { size: U32::new(capacity), padding: U32::ZERO })
}

/// HD-FS-32: a length to make room for.
fn parse_len(payload: &[u8], largest: u32) -> Result<u32, ReplyError> {
    let wire: WireXattrLen = parse_fixed(payload)?;
    Ok(wire.size.get().min(largest))
}

/// A payload of up to `capacity` bytes.
fn within(payload: &[u8], capacity: u32) -> Result<&[u8], ReplyError> {
    if payload.len() > length(capacity) {
        return Err(Defect::PayloadLength.into());
    }
    Ok(payload)
}
