#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! ```text
//!   ops         Lookup, Read, ...            what can be asked, and what the answers mean
//!    |  |
//!    |  +---- init, session                  what was agreed on, and what is known not to work
//!    |
//!   operation   Request, Operation           how any of them becomes bytes, and is checked on its return
//!    |
//!    +---- entry, attr, dirent               the larger structures in the answers
//!    |
//!   header, opcode, errno, id, name          the words of the protocol
//! ```
//!
//! # Two layers of types
//!
//! Structures whose name begins with `Wire` are bytes: any bit pattern is a value of them, and their layout is
//! that of the protocol. Everything else is meaning: an [`Attributes`] has a kind that exists, a [`Name`] has no
//! slash in it, a [`NodeId`] is not zero. The way from the first to the second is taken once, at the edge, and
//! is where a bad reply ends. The wire structures are public for the sake of those who play the server: models,
//! tests, fuzzers.
//!
//! # Numbers
//!
//! Error numbers, open flags, modes and kinds are those of Linux on x86-64, whatever operating system the
//! client is part of: servers hand them to the host's system calls and back. Everything on the wire is little
//! endian.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod attr;
pub mod dirent;
pub mod entry;
pub mod errno;
pub mod error;
pub mod extensions;
pub mod file_type;
pub mod header;
pub mod id;
pub mod init;
pub mod name;
pub mod notify;
pub mod opcode;
pub mod operation;
pub mod ops;
pub mod session;
pub mod xattr;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod layout_tests;
#[cfg(test)]
mod testing;

pub use crate::attr::{AttributeFlags, Attributes, Timestamp};
pub use crate::dirent::{DirEntries, DirEntriesPlus, DirEntry, DirEntryPlus, ListedNode};
pub use crate::entry::{Entry, Identity};
pub use crate::errno::Errno;
pub use crate::error::{Defect, EncodeError, ReplyError};
pub use crate::extensions::{Extended, Extensions, SecurityContext};
pub use crate::file_type::FileType;
pub use crate::header::{Caller, REPLY_HEADER_LEN, REQUEST_HEADER_LEN, Unique};
pub use crate::id::{DirOffset, FileHandle, Generation, LockOwner, NodeId};
pub use crate::init::InitFlags;
pub use crate::name::{MAX_NAME_LEN, Name, NameError};
pub use crate::notify::Notification;
pub use crate::opcode::Opcode;
pub use crate::operation::{BodyWriter, Operation, Request};
pub use crate::session::{Plan, Session, UniqueAllocator};
pub use crate::xattr::{XattrName, XattrNames};
