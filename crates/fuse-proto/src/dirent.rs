//! Directory listings.
//!
//! The payload of READDIR and READDIRPLUS is a sequence of records, each padded to 8 bytes:
//!
//! ```text
//!   READDIR        inode 8 | next 8 | name length 4 | kind 4 | name ...... | padding
//!   READDIRPLUS    entry 128 | inode 8 | next 8 | name length 4 | kind 4 | name ...... | padding
//! ```
//!
//! `next` is the cookie from which a listing goes on *behind* this record. It is opaque: not an index, not
//! ordered. An empty payload is the end of the directory. An incomplete record at the end is no error, only the
//! end of the room; the next read starts behind the last complete record.
//!
//! # Ownership
//!
//! Every record of READDIRPLUS with a node is a lookup reference like one from LOOKUP. That holds for records
//! the consumer has no room for, and for those that are refused. Whatever is left of a listing that is not
//! consumed to its end goes through [`DirEntriesPlus::into_references`], and what it yields is forgotten.
//!
//! # Hostile servers
//!
//! ```text
//!   name length 0 or > 255      error, and the end: where the next record would start is anybody's guess
//!   name with '/' or NUL        error for this record, the next one follows (HD-FS-27)
//!   bad attributes, root ...    the name is listed, its node is refused and to be forgotten (HD-FS-30)
//!   nothing complete at all     error (HD-FS-25)
//!   last cookie == first        error after the last record: the listing would start over (HD-FS-28)
//! ```
//!
//! Longer cycles of cookies cannot be seen from one reply. Whoever reads a whole directory bounds the number of
//! replies.
//!
//! `.` and `..` may be present or absent. They are listed as they come and carry no reference (FU-SEM-1).

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::entry::{Entry, WireEntry};
use crate::error::{Defect, ReplyError};
use crate::file_type::FileType;
use crate::id::{DirOffset, NodeId};
use crate::name::{MAX_NAME_LEN, has_name_bytes, is_dot_or_dot_dot};

/// The smallest directory read in bytes: enough for several of the largest records.
pub const MIN_DIRECTORY_READ: u32 = 4096;

/// Head of a READDIR record; the name follows.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_dirent")]
pub struct WireDirEntry {
    /// Inode number on the host.
    #[doc(alias = "ino")]
    pub inode: U64,
    /// Cookie of the position behind this record.
    #[doc(alias = "off")]
    pub next: U64,
    /// Length of the name in bytes.
    #[doc(alias = "namelen")]
    pub name_len: U32,
    /// Kind of the object; 0 is unknown.
    #[doc(alias = "type")]
    pub kind: U32,
}
const _: () = assert!(size_of::<WireDirEntry>() == 24);

/// Head of a READDIRPLUS record; the name follows.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_direntplus")]
pub struct WireDirEntryPlus {
    /// What LOOKUP would have said about the name.
    pub entry: WireEntry,
    /// What READDIR would have said about it.
    pub dirent: WireDirEntry,
}
const _: () = assert!(size_of::<WireDirEntryPlus>() == 152);

/// One name in a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirEntry<'a> {
    /// Inode number on the host.
    pub inode: u64,
    /// Where a listing goes on behind this name.
    pub next: DirOffset,
    /// The name: 1 to 255 bytes without `/` and NUL. May be `.` or `..`.
    pub name: &'a [u8],
    /// The kind of object, if the server knows.
    pub file_type: Option<FileType>,
}

impl DirEntry<'_> {
    /// Whether the name is `.` or `..`.
    #[must_use]
    pub fn is_dot_or_dot_dot(&self) -> bool {
        is_dot_or_dot_dot(self.name)
    }
}

/// What a READDIRPLUS record says about the node behind its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a node in a listing is a reference that must be remembered, or forgotten"]
pub enum ListedNode {
    /// Nothing: LOOKUP will tell. Always so for `.` and `..`.
    Unknown,
    /// The node, with one lookup reference.
    Known(Entry),
    /// Something that cannot be used.
    Rejected {
        /// The rule it breaks.
        defect: Defect,
        /// The node to forget, with a count of 1.
        forget: Option<NodeId>,
    },
}

/// One name in a directory and the node behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirEntryPlus<'a> {
    /// The name.
    pub dirent: DirEntry<'a>,
    /// The node.
    pub node: ListedNode,
}

/// A kind of record: the fixed part, wherever the common part lies in it.
trait Head: FromBytes {
    fn dirent(&self) -> &WireDirEntry;
}

impl Head for WireDirEntry {
    fn dirent(&self) -> &WireDirEntry {
        self
    }
}

impl Head for WireDirEntryPlus {
    fn dirent(&self) -> &WireDirEntry {
        &self.dirent
    }
}

/// A record whose bounds are known, with its name if that is acceptable.
struct Record<'a, H> {
    head: H,
    name: Result<&'a [u8], Defect>,
}

/// The walk over a payload, the same for both kinds of record.
#[derive(Clone, Debug)]
struct Cursor<'a> {
    rest: &'a [u8],
    start: DirOffset,
    /// Cookie of the last complete record.
    last: Option<DirOffset>,
    /// Whether the end has been judged.
    ended: bool,
}

impl<'a> Cursor<'a> {
    fn new(payload: &'a [u8], start: DirOffset) -> Self {
        Self {
            rest: payload,
            start,
            last: None,
            // An empty payload is the end of the directory, and nothing is wrong with it.
            ended: payload.is_empty(),
        }
    }

    /// Takes the next record off the payload; `Err` is about the payload as a whole and comes last.
    fn next<H: Head>(&mut self) -> Option<Result<Record<'a, H>, Defect>> {
        let Ok((head, after_head)) = H::read_from_prefix(self.rest) else {
            return self.end().map(Err);
        };
        let dirent = head.dirent();
        let name_len = match usize::try_from(dirent.name_len.get()) {
            Ok(len @ 1..=MAX_NAME_LEN) => len,
            _ => {
                self.rest = &[];
                self.ended = true;
                let name = Err(Defect::NameLength);
                return Some(Ok(Record { head, name }));
            }
        };
        // Cannot overflow: a name is at most 255 bytes here (HD-FS-26).
        let record_len = (size_of::<H>() + name_len).next_multiple_of(8);
        let (Some(name), Some(rest)) = (after_head.get(..name_len), self.rest.get(record_len..)) else {
            return self.end().map(Err);
        };
        self.rest = rest;
        self.last = Some(DirOffset(dirent.next.get()));
        let name = if has_name_bytes(name) { Ok(name) } else { Err(Defect::NameBytes) };
        Some(Ok(Record { head, name }))
    }

    /// There is no further complete record: judges, once, whether that is all right.
    fn end(&mut self) -> Option<Defect> {
        self.rest = &[];
        if self.ended {
            return None;
        }
        self.ended = true;
        match self.last {
            None => Some(Defect::TruncatedEntry),
            Some(last) if last == self.start => Some(Defect::NoProgress),
            Some(_) => None,
        }
    }

    fn position(&self) -> DirOffset {
        self.last.unwrap_or(self.start)
    }
}

fn dir_entry<'a>(wire: &WireDirEntry, name: &'a [u8]) -> DirEntry<'a> {
    DirEntry {
        inode: wire.inode.get(),
        next: DirOffset(wire.next.get()),
        name,
        file_type: FileType::from_dirent(wire.kind.get()),
    }
}

/// The names in a READDIR reply.
///
/// An error does not end the iteration unless the place of the next record is lost; a consumer may stop at the
/// first one. The listing is at its end if there is nothing to iterate over at all.
#[derive(Clone, Debug)]
pub struct DirEntries<'a>(Cursor<'a>);

impl<'a> DirEntries<'a> {
    /// Reads `payload` as the answer to a listing from `start`.
    #[must_use]
    pub fn new(payload: &'a [u8], start: DirOffset) -> Self {
        Self(Cursor::new(payload, start))
    }

    /// Where the next READDIR goes on, behind the last record that was taken.
    #[must_use]
    pub fn position(&self) -> DirOffset {
        self.0.position()
    }
}

impl<'a> Iterator for DirEntries<'a> {
    type Item = Result<DirEntry<'a>, ReplyError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.0.next::<WireDirEntry>()?;
        Some(record.and_then(|record| Ok(dir_entry(&record.head, record.name?))).map_err(ReplyError::malformed))
    }
}

impl core::iter::FusedIterator for DirEntries<'_> {}

/// The names and nodes in a READDIRPLUS reply.
///
/// Errors are as for [`DirEntries`], and may carry a node to forget. References that are not taken are to be
/// returned: see [`into_references`](Self::into_references).
#[derive(Clone, Debug)]
#[must_use = "a listing holds references that must be remembered, or forgotten"]
pub struct DirEntriesPlus<'a> {
    cursor: Cursor<'a>,
    directory: NodeId,
}

impl<'a> DirEntriesPlus<'a> {
    /// Reads `payload` as the answer to a listing of `directory` from `start`.
    pub fn new(payload: &'a [u8], directory: NodeId, start: DirOffset) -> Self {
        Self { cursor: Cursor::new(payload, start), directory }
    }

    /// Where the next READDIRPLUS goes on, behind the last record that was taken.
    #[must_use]
    pub fn position(&self) -> DirOffset {
        self.cursor.position()
    }

    /// The nodes in the rest of the listing, each with one reference to return, good records and refused ones
    /// alike.
    #[must_use = "the references are to be forgotten"]
    pub fn into_references(self) -> impl Iterator<Item = NodeId> {
        self.filter_map(|item| match item {
            Ok(listed) => match listed.node {
                ListedNode::Unknown => None,
                ListedNode::Known(entry) => Some(entry.node),
                ListedNode::Rejected { forget, .. } => forget,
            },
            Err(error) => error.forget(),
        })
    }
}

impl<'a> Iterator for DirEntriesPlus<'a> {
    type Item = Result<DirEntryPlus<'a>, ReplyError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Record { head, name } = match self.cursor.next::<WireDirEntryPlus>()? {
            Ok(record) => record,
            Err(defect) => return Some(Err(defect.into())),
        };
        let name = match name {
            Ok(name) => name,
            Err(defect) => {
                let forget = NodeId::owed(head.entry.node.get());
                return Some(Err(ReplyError::owing(defect, forget)));
            }
        };
        let dirent = dir_entry(&head.dirent, name);
        let node = if head.entry.node == U64::ZERO || dirent.is_dot_or_dot_dot() {
            ListedNode::Unknown
        } else {
            match Entry::check(&head.entry, self.directory) {
                Ok(entry) => ListedNode::Known(entry),
                Err(defect) => ListedNode::Rejected { defect, forget: NodeId::owed(head.entry.node.get()) },
            }
        };
        Some(Ok(DirEntryPlus { dirent, node }))
    }
}

impl core::iter::FusedIterator for DirEntriesPlus<'_> {}

#[cfg(test)]
mod tests;
