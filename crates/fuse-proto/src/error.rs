//! What can go wrong, on our side and on theirs.
//!
//! Two errors that never mix. An [`EncodeError`] says that *we* asked for something the protocol cannot
//! express; nothing was sent. A [`ReplyError`] says how an exchange ended that was sent:
//!
//! ```text
//!   Remote(errno)                 the protocol worked; the server says no            an outcome
//!   Malformed { defect, .. }      the reply breaks the rules; nothing of it is used  EIO to the caller
//! ```
//!
//! A malformed reply can still have a consequence. A server that answers LOOKUP has counted a reference on the
//! node it names, whatever nonsense stands in the rest of the reply. If the client just drops such a reply, the
//! server keeps a file descriptor open for ever. So the error itself carries the debt, and
//! [`ReplyError::forget`] hands it out: send FORGET with one lookup for that node (FU-RV-8). A CREATE has opened a
//! handle besides, and [`ReplyError::release`] hands that out.

use core::fmt;

use crate::errno::Errno;
use crate::id::{FileHandle, NodeId};

/// Why a request could not be encoded. Nothing was sent, the server knows nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EncodeError {
    /// The request does not fit in the buffer. [`Request::request_len`](crate::Request::request_len) says how
    /// much it needs.
    BufferTooSmall,
    /// An extended attribute whose value is longer than
    /// [`MAX_XATTR_VALUE_LEN`](crate::xattr::MAX_XATTR_VALUE_LEN).
    ValueTooLarge,
    /// Room of 0 bytes, or of more than 64 KiB, for extended attributes.
    CapacityOutOfRange,
    /// A lock on a range that ends before it begins or beyond `i64::MAX`, or a whole-file lock on less than that.
    LockRange,
    /// A question about a lock that keeps nobody from anything.
    LockKind,
    /// More bytes than the operation can count.
    LengthOutOfRange,
    /// A mapping of nothing, outside its window or on other than multiples of its alignment, or too many of them.
    MappingOutOfRange,
    /// FORGET of the root, which is not counted (FU-SEM-2).
    ForgetsRoot,
    /// FORGET of no lookups, or BATCH_FORGET of no nodes.
    ForgetsNothing,
    /// BATCH_FORGET of more nodes than [`BatchForget::MAX_NODES`](crate::ops::BatchForget::MAX_NODES).
    TooManyForgets,
    /// The request would be longer than the 4 GiB that its header can express.
    TooLong,
    /// A size, or the end of a range, lies beyond `i64::MAX`, the largest offset a Linux server can express.
    OffsetOutOfRange,
    /// A directory read of less than [`MIN_DIRECTORY_READ`](crate::dirent::MIN_DIRECTORY_READ) bytes.
    DirectoryReadTooSmall,
    /// A mode, or a creation mask, with bits that have no meaning or with the wrong kind of object.
    Mode,
    /// A user or group `u32::MAX`, which on the server's side means "leave it".
    InvalidId,
    /// A time with a second or more in its nanoseconds.
    Nanoseconds,
    /// A symbolic link whose target is empty, longer than
    /// [`MAX_TARGET_LEN`](crate::ops::MAX_TARGET_LEN) or contains NUL.
    LinkTarget,
    /// RENAME2 with flags that exclude each other.
    RenameFlags,
    /// FALLOCATE of no bytes.
    EmptyRange,
    /// FALLOCATE with a combination of flags that Linux does not have.
    AllocateMode,
    /// Security contexts that the protocol cannot express: more than 31 of them, a name that is empty, longer
    /// than 255 bytes or contains NUL, or a context without bytes.
    SecurityContext,
    /// Extensions that are longer than the 512 KiB that the header can express.
    ExtensionsTooLong,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BufferTooSmall => "request does not fit in its buffer",
            Self::ValueTooLarge => "value of extended attribute is too large",
            Self::CapacityOutOfRange => "room for extended attributes is out of range",
            Self::LockRange => "lock covers no range of a file",
            Self::LockKind => "lock to ask about is none",
            Self::LengthOutOfRange => "length is more than the operation can count",
            Self::MappingOutOfRange => "mapping lies outside its window",
            Self::ForgetsRoot => "the root cannot be forgotten",
            Self::ForgetsNothing => "nothing to forget",
            Self::TooManyForgets => "too many nodes in one batch forget",
            Self::TooLong => "request is longer than its header can say",
            Self::OffsetOutOfRange => "size or range ends beyond the largest file offset",
            Self::DirectoryReadTooSmall => "directory read is smaller than the largest entry",
            Self::Mode => "mode has bits without meaning or another kind of object",
            Self::InvalidId => "user or group is the number that means none",
            Self::Nanoseconds => "time has a second or more of nanoseconds",
            Self::LinkTarget => "symbolic link target is empty, too long or contains nul",
            Self::RenameFlags => "rename flags exclude each other",
            Self::EmptyRange => "range to allocate is empty",
            Self::AllocateMode => "allocation flags do not go together",
            Self::SecurityContext => "security context cannot be expressed",
            Self::ExtensionsTooLong => "extensions are longer than the header can say",
        })
    }
}

impl core::error::Error for EncodeError {}

/// The rule that a reply breaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Defect {
    /// The length in the header is smaller than the header (HD-FS-1).
    HeaderLength,
    /// The reply claims to be larger than the room it was given (HD-FS-2), or larger than the caller's buffer.
    Overlong,
    /// The reply names another request (HD-FS-5).
    WrongUnique,
    /// The error is not an error number (HD-FS-6).
    ErrorRange,
    /// The payload is too short or too long for the operation (HD-FS-3, HD-FS-4, HD-FS-8).
    PayloadLength,
    /// A list of extended attributes with a name that is empty, longer than 255 bytes or without an end (HD-FS-31).
    XattrList,
    /// A lock of no kind, or on a range that is none.
    Lock,
    /// An offset before the place where the search began, or a range beyond `i64::MAX`.
    Offset,
    /// More bytes were copied than there were to copy.
    Copied,
    /// IOCTL: ranges that are not as many as the reply says, or more than a server may ask for.
    IoctlRanges,
    /// INIT: another major version, or a minor that is too old.
    Version,
    /// INIT: the DAX alignment is larger than 1 GiB (FU-INI-12).
    MapAlignment,
    /// A node id of zero where an object must be named (HD-FS-12).
    NoNode,
    /// The root as the result of a lookup (HD-FS-13).
    RootNode,
    /// A directory as its own entry (HD-FS-14).
    ParentNode,
    /// A mode without a valid file type, or with another type than the object has (HD-FS-17).
    FileType,
    /// A size beyond `i64::MAX`, or a block count to match (HD-FS-18).
    Size,
    /// An object found by name that has no name (HD-FS-18).
    LinkCount,
    /// A directory entry's name is empty or longer than 255 bytes (HD-FS-24, HD-FS-26).
    NameLength,
    /// A directory entry's name contains `/` or NUL (HD-FS-27).
    NameBytes,
    /// Not even the first directory entry is complete (HD-FS-25).
    TruncatedEntry,
    /// A directory that would be listed again from where this listing began (HD-FS-28).
    NoProgress,
    /// A symbolic link whose target contains NUL (HD-FS-33).
    LinkTarget,
    /// LINK that answers with another object than the one that was linked (HD-FS-16).
    OtherNode,
    /// WRITE that claims to have written more than it was given, or nothing of something (HD-FS-23).
    WriteLength,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeaderLength => "reply is shorter than its header",
            Self::Overlong => "reply is longer than its buffer",
            Self::WrongUnique => "reply belongs to another request",
            Self::ErrorRange => "reply carries an impossible error number",
            Self::PayloadLength => "reply payload has the wrong length",
            Self::XattrList => "list of extended attributes has a name that is none",
            Self::Lock => "lock has no kind or no range",
            Self::Offset => "offset is out of range",
            Self::Copied => "more was copied than asked for",
            Self::IoctlRanges => "ioctl asks for impossible ranges",
            Self::Version => "server speaks an unsupported protocol version",
            Self::MapAlignment => "server demands an impossible mapping alignment",
            Self::NoNode => "reply names no node",
            Self::RootNode => "reply names the root as a child",
            Self::ParentNode => "reply names a directory as its own child",
            Self::FileType => "file type is invalid or has changed",
            Self::Size => "file size is out of range",
            Self::LinkCount => "file found by name has no links",
            Self::NameLength => "directory entry has an empty or overlong name",
            Self::NameBytes => "directory entry name contains a separator or nul",
            Self::TruncatedEntry => "directory entry is truncated",
            Self::NoProgress => "directory listing does not advance",
            Self::LinkTarget => "symbolic link target contains nul",
            Self::OtherNode => "link names another object",
            Self::WriteLength => "write has an impossible length",
        })
    }
}

impl core::error::Error for Defect {}

/// How an exchange failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a malformed reply may leave a node to forget"]
pub enum ReplyError {
    /// The server answered with an error.
    Remote(Errno),
    /// The server's answer breaks the protocol. The operation fails with `EIO`; the session goes on.
    Malformed {
        /// The rule it breaks.
        defect: Defect,
        /// A node on which the server has counted a lookup that nobody will use: FORGET it, with a count of 1.
        forget: Option<NodeId>,
        /// A handle that the server has opened and that nobody will use: RELEASE it. Only CREATE and TMPFILE open
        /// something and name something in one reply.
        release: Option<(NodeId, FileHandle)>,
    },
}

impl ReplyError {
    /// A malformed reply that named no node.
    pub(crate) const fn malformed(defect: Defect) -> Self {
        Self::owing(defect, None)
    }

    /// A malformed reply that cost the server a reference.
    pub(crate) const fn owing(defect: Defect, forget: Option<NodeId>) -> Self {
        Self::Malformed { defect, forget, release: None }
    }

    /// The error number to report: the server's own, or `EIO` for a malformed reply.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::Remote(errno) => errno,
            Self::Malformed { .. } => Errno::EIO,
        }
    }

    /// The node that must be forgotten, with a count of 1, because of this reply (FU-RV-8).
    #[must_use]
    pub const fn forget(self) -> Option<NodeId> {
        match self {
            Self::Remote(_) => None,
            Self::Malformed { forget, .. } => forget,
        }
    }

    /// The handle that must be released because of this reply, and the node to name in the RELEASE. It comes
    /// before the FORGET (FU-FR-10).
    #[must_use]
    pub const fn release(self) -> Option<(NodeId, FileHandle)> {
        match self {
            Self::Remote(_) => None,
            Self::Malformed { release, .. } => release,
        }
    }
}

impl From<Defect> for ReplyError {
    fn from(defect: Defect) -> Self {
        Self::malformed(defect)
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(errno) => write!(f, "{errno}"),
            Self::Malformed { defect, .. } => write!(f, "malformed reply: {defect}"),
        }
    }
}

impl core::error::Error for ReplyError {}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn a_malformed_reply_is_reported_as_eio_and_keeps_its_debt() {
        let node = NodeId::new(9);
        let error = ReplyError::owing(Defect::FileType, node);
        assert_eq!(error.errno(), Errno::EIO);
        assert_eq!((error.forget(), error.release()), (node, None));
        assert_eq!(format!("{error}"), "malformed reply: file type is invalid or has changed");
    }

    #[test]
    fn fu_rv_4_a_remote_error_is_passed_on_and_owes_nothing() {
        let error = ReplyError::Remote(Errno::ENOENT);
        assert_eq!(error.errno(), Errno::ENOENT);
        assert_eq!((error.forget(), error.release()), (None, None));
    }
}
