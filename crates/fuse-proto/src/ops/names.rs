//! UNLINK, RMDIR, RENAME and RENAME2: names go and move.
//!
//! None of them says anything about a node. A file whose last name is gone lives on while it is referenced or
//! open (FU-SEM-14), and its references are still to be forgotten. What the client has to do by itself, after
//! each of them: the attributes of the directories are stale, and what it knows of the names is (FU-SEM-6).
//!
//! # Two renames
//!
//! RENAME replaces what is there. RENAME2 does the same with flags, and exists since minor 23. Where a server
//! does not have it, RENAME does not stand in for it: a client that was asked *not* to replace a file must not
//! replace it. So without flags, send [`Rename`]; with flags, [`Rename2`], and if that is not implemented the
//! answer is `EINVAL`. [`Session::plan_rename`](crate::Session::plan_rename) chooses.

use core::ops::RangeInclusive;

use bitflags::bitflags;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{EncodeError, ReplyError};
use crate::id::NodeId;
use crate::name::Name;
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len, parse_fixed};

/// Body of RENAME; the old and the new name follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_rename_in")]
pub struct WireRename {
    /// The directory of the new name.
    #[doc(alias = "newdir")]
    pub new_parent: U64,
}
const _: () = assert!(size_of::<WireRename>() == 8);

/// Body of RENAME2; the old and the new name follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_rename2_in")]
pub struct WireRename2 {
    /// The directory of the new name.
    #[doc(alias = "newdir")]
    pub new_parent: U64,
    /// [`RenameFlags`].
    pub flags: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireRename2>() == 16);

bitflags! {
    /// What a rename does with a name that is already there, and with the old one: Linux' numbers.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct RenameFlags: u32 {
        /// Fail with `EEXIST` if the new name is there.
        #[doc(alias = "RENAME_NOREPLACE")]
        const NO_REPLACE = 1 << 0;
        /// Exchange the two objects; not together with the others.
        #[doc(alias = "RENAME_EXCHANGE")]
        const EXCHANGE = 1 << 1;
        /// Leave a whiteout behind, for a file system that covers another.
        #[doc(alias = "RENAME_WHITEOUT")]
        const WHITEOUT = 1 << 2;
    }
}

/// Removes a name that is not a directory's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_UNLINK")]
pub struct Unlink<'n> {
    /// The directory.
    pub parent: NodeId,
    /// The name.
    pub name: Name<'n>,
}

/// Removes an empty directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_RMDIR")]
pub struct RmDir<'n> {
    /// The directory that it is in.
    pub parent: NodeId,
    /// Its name.
    pub name: Name<'n>,
}

/// Moves a name, over what is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_RENAME")]
pub struct Rename<'n> {
    /// The directory of the old name.
    pub parent: NodeId,
    /// The old name.
    pub name: Name<'n>,
    /// The directory of the new name.
    pub new_parent: NodeId,
    /// The new name.
    pub new_name: Name<'n>,
}

/// Moves a name, with flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_RENAME2")]
pub struct Rename2<'n> {
    /// The directory of the old name.
    pub parent: NodeId,
    /// The old name.
    pub name: Name<'n>,
    /// The directory of the new name.
    pub new_parent: NodeId,
    /// The new name.
    pub new_name: Name<'n>,
    /// What is different from RENAME; nothing is allowed.
    pub flags: RenameFlags,
}

impl Request for Unlink<'_> {
    const OPCODE: Opcode = Opcode::Unlink;

    fn node(&self) -> Option<NodeId> {
        Some(self.parent)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.name(self.name)
    }
}

impl Operation for Unlink<'_> {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}

impl Request for RmDir<'_> {
    const OPCODE: Opcode = Opcode::RmDir;

    fn node(&self) -> Option<NodeId> {
        Some(self.parent)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.name(self.name)
    }
}

impl Operation for RmDir<'_> {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}

impl Request for Rename<'_> {
    const OPCODE: Opcode = Opcode::Rename;

    fn node(&self) -> Option<NodeId> {
        Some(self.parent)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.fixed(&WireRename { new_parent: U64::new(self.new_parent.get()) })?;
        body.name(self.name)?;
        body.name(self.new_name)
    }
}

impl Operation for Rename<'_> {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}

impl Request for Rename2<'_> {
    const OPCODE: Opcode = Opcode::Rename2;

    fn node(&self) -> Option<NodeId> {
        Some(self.parent)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        let exchange_alone = !self.flags.contains(RenameFlags::EXCHANGE) || self.flags == RenameFlags::EXCHANGE;
        if !exchange_alone || !RenameFlags::all().contains(self.flags) {
            return Err(EncodeError::RenameFlags);
        }
        body.fixed(&WireRename2 {
            new_parent: U64::new(self.new_parent.get()),
            flags: U32::new(self.flags.bits()),
            padding: U32::ZERO,
        })?;
        body.name(self.name)?;
        body.name(self.new_name)
    }
}

impl Operation for Rename2<'_> {
    type Reply<'a> = ();

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<()>()
    }

    fn parse(&self, payload: &[u8]) -> Result<(), ReplyError> {
        parse_fixed(payload)
    }
}
