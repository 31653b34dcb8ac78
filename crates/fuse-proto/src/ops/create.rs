//! CREATE and TMPFILE: a new file, already open.
//!
//! CREATE does in one step what a LOOKUP that finds nothing, a MKNOD and an OPEN would do in three, and between
//! them nobody can put another file under the name. It need not create: without
//! [`OpenFlags::EXCLUSIVE`] a file that exists by then is opened. TMPFILE makes a file that has no name at all,
//! and goes away with its handle unless LINK gives it one first.
//!
//! ```text
//!   reply  [entry 128][opened 16]     one reference on the node, to be forgotten,
//!                                     and one handle, to be released
//! ```
//!
//! Both halves are debts, and they are two even if the first one is refused: a server that names a directory as
//! the new file has opened *something* under that handle. [`ReplyError::release`] says which.
//!
//! # Flags
//!
//! The server hands them to its own `open`. Unlike OPEN, CREATE passes on [`OpenFlags::EXCLUSIVE`] and
//! [`OpenFlags::TRUNCATE`], whatever was negotiated: whether there is a file to be refused or emptied is known
//! only where the step is atomic. [`OpenFlags::CREATE`] is what the operation means and is always sent (TMPFILE
//! sends [`OpenFlags::NAMELESS`] in its place), and [`OpenFlags::NO_CONTROLLING_TERMINAL`] never is. The READs, WRITEs
//! and the RELEASE that follow carry [`OpenFlags::of_handle`] of what was sent.
//!
//! A server without CREATE says `ENOSYS`; MKNOD and OPEN then do it in two steps
//! ([`Session::plan`](crate::Session::plan)). There is nothing to stand in for TMPFILE. About modes and masks
//! see the operations beside, [`MkNod`](super::MkNod) and others.

use core::ops::RangeInclusive;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::make::{mask, permissions};
use super::{OpenFlags, Opened, SetIds, WireOpened};
use crate::entry::{Entry, WireEntry};
use crate::error::{Defect, EncodeError, ReplyError};
use crate::extensions::Creates;
use crate::file_type::FileType;
use crate::id::{FileHandle, NodeId};
use crate::name::Name;
use crate::opcode::Opcode;
use crate::operation::{BodyWriter, Operation, Request, fixed_len, parse_fixed};

/// Body of CREATE and TMPFILE; the name follows.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_create_in")]
pub struct WireCreate {
    /// [`OpenFlags`].
    pub flags: U32,
    /// Kind and permissions.
    pub mode: U32,
    /// Mask of the caller.
    pub umask: U32,
    /// 1 asks the server to remove set-id bits.
    pub open_flags: U32,
}
const _: () = assert!(size_of::<WireCreate>() == 16);

/// Reply to CREATE and TMPFILE.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct WireCreated {
    /// The node.
    pub entry: WireEntry,
    /// The handle.
    pub opened: WireOpened,
}
const _: () = assert!(size_of::<WireCreated>() == 144);

/// What stands in the place of a TMPFILE's name.
const NO_NAME: &[u8] = b"/\0";

/// A file that is there and open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a created file is a reference to be forgotten and a handle to be released"]
pub struct Created {
    /// The node, on which one lookup was counted.
    pub entry: Entry,
    /// The handle. It is always there: a server that has no use for handles has no use for CREATE.
    pub opened: Opened,
}

/// Creates a file and opens it, or opens the one that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_CREATE")]
pub struct Create<'n> {
    /// The directory.
    pub parent: NodeId,
    /// The name.
    pub name: Name<'n>,
    /// Permissions of a new file.
    pub mode: u32,
    /// Mask of the caller, `0..=0o777`.
    pub umask: u32,
    /// How to open it. [`sent_flags`](Self::sent_flags) says what of that is sent.
    pub flags: OpenFlags,
    /// Whether a truncation takes set-id bits away.
    pub set_ids: SetIds,
}

/// Creates a file without a name and opens it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "FUSE_TMPFILE")]
pub struct TmpFile {
    /// A directory, to choose the file system.
    pub parent: NodeId,
    /// Permissions.
    pub mode: u32,
    /// Mask of the caller, `0..=0o777`.
    pub umask: u32,
    /// How to open it; with [`OpenFlags::EXCLUSIVE`] it can never get a name.
    pub flags: OpenFlags,
    /// Whether a truncation takes set-id bits away.
    pub set_ids: SetIds,
}

impl Create<'_> {
    /// The flags that are sent.
    #[must_use]
    pub fn sent_flags(&self) -> OpenFlags {
        self.flags.difference(OpenFlags::NO_CONTROLLING_TERMINAL | OpenFlags::NAMELESS) | OpenFlags::CREATE
    }
}

impl TmpFile {
    /// The flags that are sent.
    #[must_use]
    pub fn sent_flags(&self) -> OpenFlags {
        let never = OpenFlags::CREATE | OpenFlags::NO_CONTROLLING_TERMINAL | OpenFlags::TRUNCATE;
        self.flags.difference(never) | OpenFlags::NAMELESS | OpenFlags::DIRECTORY
    }
}

fn write_create(
    body: &mut BodyWriter<'_>,
    flags: OpenFlags,
    mode: u32,
    umask: u32,
    set_ids: SetIds,
) -> Result<(), EncodeError> {
    let mode = permissions(mode, FileType::Regular)? | FileType::Regular.mode_bits();
    body.fixed(&WireCreate {
        flags: U32::new(flags.bits()),
        mode: U32::new(mode),
        umask: mask(umask)?,
        open_flags: U32::new(set_ids.open_bits()),
    })
}

/// Checks a reply of which `check` accepts the entry.
fn parse_created(
    payload: &[u8],
    check: impl FnOnce(&WireEntry) -> Result<Entry, Defect>,
) -> Result<Created, ReplyError> {
    let wire: WireCreated = parse_fixed(payload)?;
    let regular = |entry: Entry| match entry.attributes.file_type {
        FileType::Regular => Ok(entry),
        _ => Err(Defect::FileType),
    };
    match check(&wire.entry).and_then(regular) {
        Ok(entry) => Ok(Created { entry, opened: Opened::from_wire(&wire.opened) }),
        Err(defect) => {
            let raw = wire.entry.node.get();
            let release = NodeId::new(raw).map(|node| (node, FileHandle(wire.opened.handle.get())));
            Err(ReplyError::Malformed { defect, forget: NodeId::owed(raw), release })
        }
    }
}

impl Request for Create<'_> {
    const OPCODE: Opcode = Opcode::Create;

    fn node(&self) -> Option<NodeId> {
        Some(self.parent)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        write_create(body, self.sent_flags(), self.mode, self.umask, self.set_ids)?;
        body.name(self.name)
    }
}

impl Operation for Create<'_> {
    type Reply<'a> = Created;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireCreated>()
    }

    fn parse(&self, payload: &[u8]) -> Result<Created, ReplyError> {
        parse_created(payload, |wire| Entry::check(wire, self.parent))
    }
}

impl Creates for Create<'_> {}

impl Request for TmpFile {
    const OPCODE: Opcode = Opcode::TmpFile;

    fn node(&self) -> Option<NodeId> {
        Some(self.parent)
    }

    fn write_body(&self, body: &mut BodyWriter<'_>) -> Result<(), EncodeError> {
        write_create(body, self.sent_flags(), self.mode, self.umask, self.set_ids)?;
        body.bytes(NO_NAME)
    }
}

impl Operation for TmpFile {
    type Reply<'a> = Created;

    fn payload_len(&self) -> RangeInclusive<usize> {
        fixed_len::<WireCreated>()
    }

    fn parse(&self, payload: &[u8]) -> Result<Created, ReplyError> {
        parse_created(payload, |wire| Entry::check_nameless(wire, self.parent))
    }
}

impl Creates for TmpFile {}
