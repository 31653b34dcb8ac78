//! What a server says without being asked.
//!
//! A notification is framed like a reply to a request that nobody made: its number is 0, and where a reply has its
//! error it has a code, positive.
//!
//! ```text
//!   len 4 | code 4 | 0 8 | fixed structure | name \0, data or node ids
//! ```
//!
//! They come over the device file of Linux, and over the notification queue that VIRTIO describes and that no device
//! in the field has. Most say that something the client has cached is stale. Nothing in one may be believed further
//! than that: the worst that a good one can do is to make the client ask again.
//!
//! # Hostile servers
//!
//! Nobody waits for a notification, so there is no request to fail: what breaks a rule is dropped (HD-FS-43).
//!
//! ```text
//!   length not that of the buffer, of the code's structure, or of the name or data   refused
//!   node 0; the root as a name's node; a name that is none; a range beyond i64::MAX   refused
//!   a code that does not exist                                     kept as Unknown, for the log; and ignored
//!   a node that the client does not know                           good: the layer above has nothing to do
//!   anything while the mount goes away                             the layer above has to lock against
//! ```
//!
//! A notification is parsed from a copy, or from memory that the device no longer writes to: names and data are
//! borrowed from it.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::Defect;
use crate::header::{REPLY_HEADER_LEN, ReplyHeader};
use crate::id::NodeId;
use crate::name::{Name, NameError};
use crate::ops::WakeUp;

/// Notification `POLL`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_notify_poll_wakeup_out")]
pub struct WireNotifyPoll {
    /// [`WakeUp`] from the POLL.
    #[doc(alias = "kh")]
    pub wake_up: U64,
}
const _: () = assert!(size_of::<WireNotifyPoll>() == 8);

/// Notification `INVAL_INODE`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_notify_inval_inode_out")]
pub struct WireNotifyInvalInode {
    /// The node.
    #[doc(alias = "ino")]
    pub node: U64,
    /// First byte, in two's complement; negative for attributes only.
    #[doc(alias = "off")]
    pub offset: U64,
    /// Bytes, in two's complement; 0 or negative for all that follow.
    #[doc(alias = "len")]
    pub length: U64,
}
const _: () = assert!(size_of::<WireNotifyInvalInode>() == 24);

/// Notification `INVAL_ENTRY`; the name follows with a terminator.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_notify_inval_entry_out")]
pub struct WireNotifyInvalEntry {
    /// The directory.
    pub parent: U64,
    /// Bytes of the name, without its terminator.
    #[doc(alias = "namelen")]
    pub name_len: U32,
    /// 1 to expire the entry instead of dropping it.
    pub flags: U32,
}
const _: () = assert!(size_of::<WireNotifyInvalEntry>() == 16);

/// `flags`: what is open under the name may stay.
const EXPIRE_ONLY: u32 = 1;

/// Notification `DELETE`; the name follows with a terminator.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_notify_delete_out")]
pub struct WireNotifyDelete {
    /// The directory.
    pub parent: U64,
    /// The node that is gone.
    pub child: U64,
    /// Bytes of the name, without its terminator.
    #[doc(alias = "namelen")]
    pub name_len: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireNotifyDelete>() == 24);

/// Notification `STORE`; the data follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_notify_store_out")]
pub struct WireNotifyStore {
    /// The node.
    #[doc(alias = "nodeid")]
    pub node: U64,
    /// First byte.
    pub offset: U64,
    /// Bytes.
    pub size: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireNotifyStore>() == 24);

/// Notification `RETRIEVE`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_notify_retrieve_out")]
pub struct WireNotifyRetrieve {
    /// [`Question`].
    #[doc(alias = "notify_unique")]
    pub question: U64,
    /// The node.
    #[doc(alias = "nodeid")]
    pub node: U64,
    /// First byte.
    pub offset: U64,
    /// Bytes.
    pub size: U32,
    /// Zero.
    pub padding: U32,
}
const _: () = assert!(size_of::<WireNotifyRetrieve>() == 32);

/// Notification `PRUNE`; the node ids follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "fuse_notify_prune_out")]
pub struct WireNotifyPrune {
    /// Number of nodes.
    pub count: U32,
    /// Zero.
    pub padding: U32,
    /// Zero.
    pub spare: U64,
}
const _: () = assert!(size_of::<WireNotifyPrune>() == 16);

/// The server's number for a question; see [`NotifyReply`](crate::ops::NotifyReply).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Question(pub u64);

/// Bytes of a file that are no longer what the client has cached of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StaleData {
    /// None: only the attributes are stale.
    None,
    /// From this byte to the end of the file.
    From(u64),
    /// This many bytes from there, at least one.
    Range {
        /// First byte.
        offset: u64,
        /// Bytes; the last one is at most at `i64::MAX`.
        length: u64,
    },
}

/// How far a name is to be forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Staleness {
    /// Drop it, with everything below it.
    Drop,
    /// Ask again before the next use; nothing else changes.
    Expire,
}

/// What a server says without being asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Notification<'a> {
    /// A file that was polled has changed.
    Poll {
        /// Whom to wake. The server may name anybody, also somebody who is not there.
        wake_up: WakeUp,
    },
    /// Attributes of a node are stale, and perhaps data.
    InvalidateNode {
        /// The node.
        node: NodeId,
        /// Which bytes of its contents.
        data: StaleData,
    },
    /// A name may mean something else now.
    InvalidateEntry {
        /// The directory.
        parent: NodeId,
        /// The name in it.
        name: Name<'a>,
        /// What to do about it.
        staleness: Staleness,
    },
    /// A name is gone, and was that of a certain node; if it is another by now, nothing has to be done.
    Delete {
        /// The directory.
        parent: NodeId,
        /// The node, not the root.
        child: NodeId,
        /// The name in the directory.
        name: Name<'a>,
    },
    /// Contents for the cache.
    Store {
        /// The file.
        node: NodeId,
        /// First byte.
        offset: u64,
        /// The contents; their end is at most at `i64::MAX`.
        data: &'a [u8],
    },
    /// The server asks for contents from the cache; [`NotifyReply`](crate::ops::NotifyReply) answers.
    Retrieve {
        /// The number of the question.
        question: Question,
        /// The file.
        node: NodeId,
        /// First byte.
        offset: u64,
        /// The most that is wanted, in bytes; answer with no more than
        /// [`Session::max_write`](crate::Session::max_write).
        size: u32,
    },
    /// The server has restarted: requests that are under way are to be sent again.
    Resend,
    /// All names are stale.
    NextEpoch,
    /// The server would like to be rid of these nodes, as far as nobody uses them.
    Prune(PrunedNodes<'a>),
    /// Something newer than this crate.
    Unknown {
        /// Its code.
        code: u32,
        /// What came with it.
        payload: &'a [u8],
    },
}

impl<'a> Notification<'a> {
    /// Reads the notification that `bytes` is, header included. What lies behind the length in the header is not
    /// looked at.
    ///
    /// # Errors
    ///
    /// The rule that it breaks; nothing is to be done about it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Defect> {
        let (header, rest) = ReplyHeader::read_from_prefix(bytes).map_err(|_| Defect::HeaderLength)?;
        let payload_len = usize::try_from(header.len.get())
            .ok()
            .and_then(|len| len.checked_sub(REPLY_HEADER_LEN))
            .ok_or(Defect::HeaderLength)?;
        let payload = rest.get(..payload_len).ok_or(Defect::Overlong)?;
        if header.unique != U64::ZERO {
            return Err(Defect::WrongUnique);
        }
        let code = u32::try_from(header.error.get()).map_err(|_| Defect::ErrorRange)?;
        match code {
            0 => Err(Defect::ErrorRange),
            1 => poll(payload),
            2 => invalidate_node(payload),
            3 => invalidate_entry(payload),
            4 => store(payload),
            5 => retrieve(payload),
            6 => delete(payload),
            7 => empty(payload, Notification::Resend),
            8 => empty(payload, Notification::NextEpoch),
            9 => prune(payload),
            _ => Ok(Notification::Unknown { code, payload }),
        }
    }
}

fn poll(payload: &[u8]) -> Result<Notification<'_>, Defect> {
    let wire: WireNotifyPoll = whole(payload)?;
    Ok(Notification::Poll { wake_up: WakeUp(wire.wake_up.get()) })
}

fn invalidate_node(payload: &[u8]) -> Result<Notification<'_>, Defect> {
    let wire: WireNotifyInvalInode = whole(payload)?;
    let [offset, length] = [wire.offset, wire.length].map(|number| i64::from_ne_bytes(number.get().to_ne_bytes()));
    let data = match (u64::try_from(offset), u64::try_from(length)) {
        (Err(_), _) => StaleData::None,
        (Ok(offset), Err(_) | Ok(0)) => StaleData::From(offset),
        (Ok(offset), Ok(length)) => {
            in_a_file(offset, length)?;
            StaleData::Range { offset, length }
        }
    };
    Ok(Notification::InvalidateNode { node: node(wire.node)?, data })
}

fn invalidate_entry(payload: &[u8]) -> Result<Notification<'_>, Defect> {
    let (wire, rest): (WireNotifyInvalEntry, _) = head(payload)?;
    let staleness = if wire.flags.get() & EXPIRE_ONLY == 0 { Staleness::Drop } else { Staleness::Expire };
    let parent = node(wire.parent)?;
    Ok(Notification::InvalidateEntry { parent, name: name(rest, wire.name_len)?, staleness })
}

fn store(payload: &[u8]) -> Result<Notification<'_>, Defect> {
    let (wire, data): (WireNotifyStore, _) = head(payload)?;
    if usize::try_from(wire.size.get()) != Ok(data.len()) {
        return Err(Defect::PayloadLength);
    }
    let offset = wire.offset.get();
    in_a_file(offset, wire.size.get().into())?;
    Ok(Notification::Store { node: node(wire.node)?, offset, data })
}

fn retrieve(payload: &[u8]) -> Result<Notification<'_>, Defect> {
    let wire: WireNotifyRetrieve = whole(payload)?;
    let (offset, size) = (wire.offset.get(), wire.size.get());
    in_a_file(offset, size.into())?;
    Ok(Notification::Retrieve { question: Question(wire.question.get()), node: node(wire.node)?, offset, size })
}

fn delete(payload: &[u8]) -> Result<Notification<'_>, Defect> {
    let (wire, rest): (WireNotifyDelete, _) = head(payload)?;
    let (parent, child) = (node(wire.parent)?, node(wire.child)?);
    if child.is_root() {
        return Err(Defect::RootNode);
    }
    if child == parent {
        return Err(Defect::ParentNode);
    }
    Ok(Notification::Delete { parent, child, name: name(rest, wire.name_len)? })
}

fn empty<'a>(payload: &[u8], notification: Notification<'a>) -> Result<Notification<'a>, Defect> {
    if payload.is_empty() { Ok(notification) } else { Err(Defect::PayloadLength) }
}

fn prune(payload: &[u8]) -> Result<Notification<'_>, Defect> {
    let (wire, rest): (WireNotifyPrune, _) = head(payload)?;
    let nodes = <[U64]>::ref_from_bytes(rest).map_err(|_| Defect::PayloadLength)?;
    if usize::try_from(wire.count.get()) != Ok(nodes.len()) {
        return Err(Defect::PayloadLength);
    }
    if nodes.contains(&U64::ZERO) {
        return Err(Defect::NoNode);
    }
    Ok(Notification::Prune(PrunedNodes(nodes)))
}

/// A payload that is exactly one structure.
fn whole<T: FromBytes>(payload: &[u8]) -> Result<T, Defect> {
    T::read_from_bytes(payload).map_err(|_| Defect::PayloadLength)
}

/// A payload that begins with a structure.
fn head<T: FromBytes>(payload: &[u8]) -> Result<(T, &[u8]), Defect> {
    T::read_from_prefix(payload).map_err(|_| Defect::PayloadLength)
}

fn node(raw: U64) -> Result<NodeId, Defect> {
    NodeId::new(raw.get()).ok_or(Defect::NoNode)
}

/// A name of that length, with a terminator, and nothing else.
fn name(bytes: &[u8], name_len: U32) -> Result<Name<'_>, Defect> {
    let (&terminator, name) = bytes.split_last().ok_or(Defect::PayloadLength)?;
    if usize::try_from(name_len.get()) != Ok(name.len()) {
        return Err(Defect::PayloadLength);
    }
    if terminator != 0 {
        return Err(Defect::NameBytes);
    }
    Name::new(name).map_err(|error| match error {
        NameError::Empty | NameError::TooLong => Defect::NameLength,
        NameError::ForbiddenByte | NameError::Shorthand => Defect::NameBytes,
    })
}

/// Whether a range ends where a file can.
fn in_a_file(offset: u64, length: u64) -> Result<(), Defect> {
    match offset.checked_add(length) {
        Some(end) if end <= i64::MAX.unsigned_abs() => Ok(()),
        _ => Err(Defect::Offset),
    }
}

/// The nodes that a server would like to be rid of. They may be unknown, and they may repeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrunedNodes<'a>(&'a [U64]);

impl PrunedNodes<'_> {
    /// The nodes, in the server's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = NodeId> {
        // None of them is zero: that was checked.
        self.0.iter().map(|raw| NodeId::new(raw.get()).unwrap_or(NodeId::ROOT))
    }
}

#[cfg(test)]
mod tests;
