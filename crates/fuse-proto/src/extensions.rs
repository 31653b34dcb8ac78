//! What may follow the names of an operation that creates something.
//!
//! A new object sometimes needs more than a mode: a label for the host's security module, or a group that the
//! caller has besides its own. Both travel behind the names, and the header says how long they are together, in
//! units of 8 bytes:
//!
//! ```text
//!   [header 40][WireMkDir 8][name\0][security contexts ......][groups .....]
//!                                   |<------ 8 * header.extension_len ---->|
//!
//!   contexts  [size 4][number 4] then for each  [size 4][0 4][name\0][context] 0 to 7 zeros
//!   groups    [size 4][  32   4] [number 4][gid 4] ... [gid 4]                 0 or 4 zeros
//! ```
//!
//! They begin where the names end, aligned or not; only their lengths are multiples of 8. Both begin with a size,
//! itself included, and a number that is also the type: 0 to 31 is the number of contexts that follow, 32 are
//! groups.
//!
//! # When to send them
//!
//! Groups if [`InitFlags::CREATE_SUPP_GROUP`](crate::InitFlags::CREATE_SUPP_GROUP) was negotiated, contexts if
//! [`InitFlags::SECURITY_CTX`](crate::InitFlags::SECURITY_CTX) was, and never otherwise: an older server takes
//! them for a part of the name, or refuses the request. With SECURITY_CTX *every* such operation carries a list of
//! contexts, be it an empty one: Linux does it, and of the servers in the field one refuses a request without and one
//! does not survive it. So whoever offers that feature wraps all of them in [`Extended`]. A list of groups may be left
//! out at any time.
//!
//! Servers take one context and one group. The group is that of the parent directory, where the caller is a member
//! of it but is not acting with it.
//!
//! ```
//! # use fuse_proto::{Extended, Extensions, Name, NodeId, Request};
//! # use fuse_proto::ops::MkDir;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let plain = MkDir { parent: NodeId::ROOT, name: Name::new(b"mail")?, mode: 0o2775, umask: 0o002 };
//! let in_group = Extended { operation: plain, extensions: Extensions { groups: &[8], security: None } };
//! assert_eq!(in_group.request_len()?, plain.request_len()? + 16);
//! # Ok(())
//! # }
//! ```

use core::ops::RangeInclusive;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{EncodeError, ReplyError};
use crate::id::NodeId;
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request};

/// Head of an extension.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_ext_header")]
#[doc(alias = "fuse_secctx_header")]
pub struct WireExtension {
    /// Bytes of the extension, this head included; a multiple of 8.
    pub size: U32,
    /// What it is: 0 to 31 is a number of security contexts, 32 are groups.
    #[doc(alias = "type")]
    #[doc(alias = "nr_secctx")]
    pub kind: U32,
}
const _: () = assert!(size_of::<WireExtension>() == 8);

/// Head of a security context; its name, a terminator and the context follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_secctx")]
pub struct WireSecurityContext {
    /// Bytes of the context alone.
    pub size: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireSecurityContext>() == 8);

/// Head of a list of groups; as many group ids of 4 bytes follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_supp_groups")]
pub struct WireGroups {
    /// Number of groups.
    #[doc(alias = "nr_groups")]
    pub count: U32,
}
const _: () = assert!(size_of::<WireGroups>() == 4);

/// [`WireExtension::kind`] of a list of groups.
#[doc(alias = "FUSE_EXT_GROUPS")]
pub const GROUPS_KIND: u32 = 32;

/// The largest number of security contexts in one request.
#[doc(alias = "FUSE_MAX_NR_SECCTX")]
pub const MAX_SECURITY_CONTEXTS: usize = 31;

/// The longest name of a security context, in bytes.
const MAX_CONTEXT_NAME_LEN: usize = 255;

/// The unit in which the header counts extensions.
const UNIT: usize = 8;

/// A label for a new object: an extended attribute that it has from the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SecurityContext<'a> {
    /// Which one (`security.selinux`): 1 to 255 bytes without NUL.
    pub name: &'a [u8],
    /// The label, at least one byte.
    pub value: &'a [u8],
}

/// What a new object gets besides its mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extensions<'a> {
    /// Groups that the caller is in, besides the one in its [`Caller`](crate::Caller).
    pub groups: &'a [u32],
    /// Labels, at most [`MAX_SECURITY_CONTEXTS`]; `Some(&[])` says that there are none, `None` says nothing.
    pub security: Option<&'a [SecurityContext<'a>]>,
}

impl Extensions<'_> {
    /// Nothing: no byte is sent, and the header says so.
    pub const NONE: Extensions<'static> = Extensions { groups: &[], security: None };

    /// Writes them, and returns their length in units of 8 bytes.
    #[inline]
    pub(crate) fn write(&self, body: &mut BodyWriter<'_>) -> Result<u16, EncodeError> {
        // The rule: every request comes here.
        if self.groups.is_empty() && self.security.is_none() { Ok(0) } else { self.write_some(body) }
    }

    fn write_some(&self, body: &mut BodyWriter<'_>) -> Result<u16, EncodeError> {
        let security = self.security_len()?;
        let groups = self.groups_len()?;
        let total = security.checked_add(groups).ok_or(EncodeError::ExtensionsTooLong)?;
        let units = u16::try_from(total / UNIT).map_err(|_| EncodeError::ExtensionsTooLong)?;
        if let Some(contexts) = self.security {
            body.fixed(&WireExtension { size: word(security)?, kind: word(contexts.len())? })?;
            for context in contexts {
                body.fixed(&WireSecurityContext { size: word(context.value.len())?, padding: U32::ZERO })?;
                body.bytes(context.name)?;
                body.bytes(&[0])?;
                body.bytes(context.value)?;
                body.zeros(context.padding())?;
            }
        }
        if groups != 0 {
            body.fixed(&WireExtension { size: word(groups)?, kind: U32::new(GROUPS_KIND) })?;
            body.fixed(&WireGroups { count: word(self.groups.len())? })?;
            for &group in self.groups {
                body.fixed(&U32::new(group))?;
            }
            body.zeros(groups - groups_bytes(self.groups.len())?)?;
        }
        Ok(units)
    }

    /// Bytes of all security contexts with their head; 0 if nothing is said about them.
    fn security_len(&self) -> Result<usize, EncodeError> {
        let Some(contexts) = self.security else { return Ok(0) };
        if contexts.len() > MAX_SECURITY_CONTEXTS {
            return Err(EncodeError::SecurityContext);
        }
        contexts.iter().try_fold(size_of::<WireExtension>(), |len, context| {
            context.check()?;
            len.checked_add(context.bytes() + context.padding()).ok_or(EncodeError::ExtensionsTooLong)
        })
    }

    /// Bytes of the list of groups with its head; 0 if there are none.
    fn groups_len(&self) -> Result<usize, EncodeError> {
        if self.groups.is_empty() {
            return Ok(0);
        }
        if self.groups.contains(&u32::MAX) {
            return Err(EncodeError::InvalidId);
        }
        groups_bytes(self.groups.len())?.checked_next_multiple_of(UNIT).ok_or(EncodeError::ExtensionsTooLong)
    }
}

/// Bytes of a list of groups, without padding.
fn groups_bytes(count: usize) -> Result<usize, EncodeError> {
    count
        .checked_mul(size_of::<U32>())
        .and_then(|len| len.checked_add(size_of::<WireExtension>() + size_of::<WireGroups>()))
        .ok_or(EncodeError::ExtensionsTooLong)
}

/// A length as the wire has it.
fn word(len: usize) -> Result<U32, EncodeError> {
    u32::try_from(len).map(U32::new).map_err(|_| EncodeError::ExtensionsTooLong)
}

impl SecurityContext<'_> {
    fn check(&self) -> Result<(), EncodeError> {
        let name = !self.name.is_empty() && self.name.len() <= MAX_CONTEXT_NAME_LEN && !self.name.contains(&0);
        if name && !self.value.is_empty() { Ok(()) } else { Err(EncodeError::SecurityContext) }
    }

    /// Bytes that it takes, without padding. A slice is at most half of memory, so that the sum is a number.
    fn bytes(&self) -> usize {
        size_of::<WireSecurityContext>() + self.name.len() + 1 + self.value.len()
    }

    /// Zeros behind it.
    fn padding(&self) -> usize {
        self.bytes().wrapping_neg() % UNIT
    }
}

/// An operation that creates an object, and so may be extended: MKNOD, MKDIR, SYMLINK, CREATE and TMPFILE.
pub trait Creates: Operation {}

/// An operation that creates something, with extensions.
///
/// It is the operation in all other respects, its reply included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extended<'e, O> {
    /// The operation.
    pub operation: O,
    /// What follows its names.
    pub extensions: Extensions<'e>,
}

impl<O: Creates> Request for Extended<'_, O> {
    const OPCODE: Opcode = O::OPCODE;

    fn node(&self) -> Option<NodeId> {
        self.operation.node()
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        self.operation.write_body(body)
    }

    fn extensions(&self) -> Extensions<'_> {
        self.extensions
    }
}

impl<O: Creates> Operation for Extended<'_, O> {
    type Reply<'a> = O::Reply<'a>;

    fn payload_len(&self) -> RangeInclusive<usize> {
        self.operation.payload_len()
    }

    fn parse<'a>(&self, payload: &'a [u8]) -> Result<Self::Reply<'a>, ReplyError> {
        self.operation.parse(payload)
    }
}

#[cfg(test)]
mod tests;
