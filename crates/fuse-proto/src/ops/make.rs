//! SYMLINK, MKNOD, MKDIR and LINK: a name that was not there.
//!
//! All four answer with an [`Entry`], and so take one reference on its node (FU-SEM-1), and all four know what
//! the entry must be. No node at all, the root, or the directory itself is refused (HD-FS-12 to HD-FS-14), so is
//! another kind of object than was asked for (HD-FS-17), and a LINK to something else than the node that was
//! linked (HD-FS-16). The server has counted a reference all the same: the error says which node to forget.
//!
//! # Modes
//!
//! The server creates in the caller's name: user and group come from the [`Caller`](crate::Caller), and the mode
//! as it is sent. It also sends the mask of the caller, but a server applies it only where
//! [`InitFlags::DONT_MASK`](crate::InitFlags::DONT_MASK) was negotiated (a default access control list of the
//! directory overrides the mask, and only the server can see that). Everywhere else the client applies it:
//! [`Session::masked`](crate::Session::masked) knows.
//!
//! What may be created is up to the host: devices often not, and a socket or pipe is a name and nothing more.

use core::ops::RangeInclusive;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::MAX_TARGET_LEN;
use crate::entry::{Entry, WireEntry};
use crate::error::{Defect, EncodeError, ReplyError};
use crate::extensions::Creates;
use crate::file_type::FileType;
use crate::id::NodeId;
use crate::name::Name;
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len, parse_fixed};

/// Body of MKNOD; the name follows.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_mknod_in")]
pub struct WireMkNod {
    /// Kind and permissions.
    pub mode: U32,
    /// Device number, for a device.
    #[doc(alias = "rdev")]
    pub device: U32,
    /// Mask of the caller.
    pub umask: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireMkNod>() == 16);

/// Body of MKDIR; the name follows.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_mkdir_in")]
pub struct WireMkDir {
    /// Permissions.
    pub mode: U32,
    /// Mask of the caller.
    pub umask: U32,
}
const _: () = assert!(size_of::<WireMkDir>() == 8);

/// Body of LINK; the name follows.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_link_in")]
pub struct WireLink {
    /// The node that gets another name.
    #[doc(alias = "oldnodeid")]
    pub node: U64,
}
const _: () = assert!(size_of::<WireLink>() == 8);

/// The bits of a mode that say no kind.
const PERMISSIONS: u32 = 0o7777;

/// Accepts the mode of an object of this kind: with the bits of the kind or without, and nothing else. Returns
/// the permissions.
pub(super) fn permissions(mode: u32, file_type: FileType) -> Result<u32, EncodeError> {
    let kind = mode & !PERMISSIONS;
    if kind == 0 || kind == file_type.mode_bits() { Ok(mode & PERMISSIONS) } else { Err(EncodeError::Mode) }
}

/// Accepts the mask of a caller.
pub(super) fn mask(umask: u32) -> Result<U32, EncodeError> {
    if umask & !0o777 == 0 { Ok(U32::new(umask)) } else { Err(EncodeError::Mode) }
}

/// Checks the entry of an object of kind `file_type` that was made in `parent`.
fn parse_made(payload: &[u8], parent: NodeId, file_type: FileType) -> Result<Entry, ReplyError> {
    let wire: WireEntry = parse_fixed(payload)?;
    let entry = Entry::from_wire(&wire, parent)?;
    if entry.attributes.file_type != file_type {
        return Err(ReplyError::owing(Defect::FileType, Some(entry.node)));
    }
    Ok(entry)
}

/// Creates a symbolic link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_SYMLINK")]
pub struct SymLink<'n> {
    /// The directory.
    pub parent: NodeId,
    /// The name of the link.
    pub name: Name<'n>,
    /// Where it points: 1 to [`MAX_TARGET_LEN`] bytes without NUL, of any other form.
    pub target: &'n [u8],
}

impl Request for SymLink<'_> {
    const OPCODE: Opcode = Opcode::SymLink;

    fn node(&self) -> Option<NodeId> {
        Some(self.parent)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        if !(1..=MAX_TARGET_LEN).contains(&self.target.len()) || self.target.contains(&0) {
            return Err(EncodeError::LinkTarget);
        }
        body.name(self.name)?;
        body.bytes(self.target)?;
        body.bytes(&[0])
    }
}

impl Operation for SymLink<'_> {
    type Reply<'a> = Entry;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireEntry>()
    }

    fn parse(&self, payload: &[u8]) -> Result<Entry, ReplyError> {
        parse_made(payload, self.parent, FileType::SymLink)
    }
}

impl Creates for SymLink<'_> {}

/// Creates a file or a special file, without opening it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_MKNOD")]
pub struct MkNod<'n> {
    /// The directory.
    pub parent: NodeId,
    /// The name.
    pub name: Name<'n>,
    /// Kind and permissions. No kind means a regular file; directories and symbolic links have operations of
    /// their own.
    pub mode: u32,
    /// Device number in the Linux 32-bit encoding, for a device. For anything else 0 is sent.
    pub device: u32,
    /// Mask of the caller, `0..=0o777`.
    pub umask: u32,
}

impl MkNod<'_> {
    /// The kind that is asked for.
    fn file_type(&self) -> Option<FileType> {
        if self.mode & !PERMISSIONS == 0 {
            return Some(FileType::Regular);
        }
        FileType::from_mode(self.mode).filter(|kind| !matches!(kind, FileType::Directory | FileType::SymLink))
    }
}

impl Request for MkNod<'_> {
    const OPCODE: Opcode = Opcode::MkNod;

    fn node(&self) -> Option<NodeId> {
        Some(self.parent)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        let file_type = self.file_type().ok_or(EncodeError::Mode)?;
        let mode = permissions(self.mode, file_type)? | file_type.mode_bits();
        let device = match file_type {
            FileType::CharDevice | FileType::BlockDevice => self.device,
            _ => 0,
        };
        body.fixed(&WireMkNod {
            mode: U32::new(mode),
            device: U32::new(device),
            umask: mask(self.umask)?,
            padding: U32::ZERO,
        })?;
        body.name(self.name)
    }
}

impl Operation for MkNod<'_> {
    type Reply<'a> = Entry;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireEntry>()
    }

    fn parse(&self, payload: &[u8]) -> Result<Entry, ReplyError> {
        // What could not be asked for was not sent, and has no reply.
        parse_made(payload, self.parent, self.file_type().unwrap_or(FileType::Regular))
    }
}

impl Creates for MkNod<'_> {}

/// Creates a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_MKDIR")]
pub struct MkDir<'n> {
    /// The directory in which it is created.
    pub parent: NodeId,
    /// The name.
    pub name: Name<'n>,
    /// Permissions.
    pub mode: u32,
    /// Mask of the caller, `0..=0o777`.
    pub umask: u32,
}

impl Request for MkDir<'_> {
    const OPCODE: Opcode = Opcode::MkDir;

    fn node(&self) -> Option<NodeId> {
        Some(self.parent)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        let mode = permissions(self.mode, FileType::Directory)?;
        body.fixed(&WireMkDir { mode: U32::new(mode), umask: mask(self.umask)? })?;
        body.name(self.name)
    }
}

impl Operation for MkDir<'_> {
    type Reply<'a> = Entry;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireEntry>()
    }

    fn parse(&self, payload: &[u8]) -> Result<Entry, ReplyError> {
        parse_made(payload, self.parent, FileType::Directory)
    }
}

impl Creates for MkDir<'_> {}

/// Gives a node another name. The reply is one more reference on the *same* node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_LINK")]
pub struct Link<'n> {
    /// The node, not a directory.
    pub node: NodeId,
    /// The directory of the new name.
    pub parent: NodeId,
    /// The new name.
    pub name: Name<'n>,
}

impl Request for Link<'_> {
    const OPCODE: Opcode = Opcode::Link;

    /// The directory, as for all operations that add a name.
    fn node(&self) -> Option<NodeId> {
        Some(self.parent)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        body.fixed(&WireLink { node: U64::new(self.node.get()) })?;
        body.name(self.name)
    }
}

impl Operation for Link<'_> {
    type Reply<'a> = Entry;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireEntry>()
    }

    fn parse(&self, payload: &[u8]) -> Result<Entry, ReplyError> {
        let wire: WireEntry = parse_fixed(payload)?;
        let entry = Entry::from_wire(&wire, self.parent)?;
        if entry.node != self.node {
            return Err(ReplyError::owing(Defect::OtherNode, Some(entry.node)));
        }
        if entry.attributes.file_type == FileType::Directory {
            return Err(ReplyError::owing(Defect::FileType, Some(entry.node)));
        }
        Ok(entry)
    }
}
