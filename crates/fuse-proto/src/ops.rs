//! The operations, one file per family.
//!
//! | operation | reply | file |
//! |---|---|---|
//! | [`Init`] | [`Session`](crate::Session) | [`init`](crate::init) |
//! | [`Lookup`] | [`LookupReply`] | `lookup.rs` |
//! | [`Forget`], [`BatchForget`] | none | `forget.rs` |
//! | [`GetAttr`] | [`AttributesReply`] | `getattr.rs` |
//! | [`Open`], [`OpenDir`] | [`Opened`] | `open.rs` |
//! | [`Read`] | the data | `read.rs` |
//! | [`ReadDir`], [`ReadDirPlus`] | [`DirEntries`](crate::DirEntries), [`DirEntriesPlus`](crate::DirEntriesPlus) | `readdir.rs` |
//! | [`Release`], [`ReleaseDir`] | nothing | `release.rs` |
//! | [`ReadLink`] | the target | `readlink.rs` |
//! | [`StatFs`] | [`FileSystemStatus`] | `statfs.rs` |
//! | [`Destroy`] | nothing | `destroy.rs` |
//!
//! An operation that is not in the table yet is one more file: its wire structures, a struct with its
//! parameters, and the two traits of [`operation`](crate::operation).

mod destroy;
mod forget;
mod getattr;
mod lookup;
mod open;
mod read;
mod readdir;
mod readlink;
mod release;
mod statfs;

pub use self::destroy::Destroy;
pub use self::forget::{BatchForget, Forget, WireBatchForget, WireForget, WireForgetOne};
pub use self::getattr::{AttributesReply, GetAttr, WireAttributesReply, WireGetAttr};
pub use self::lookup::{Lookup, LookupReply};
pub use self::open::{Open, OpenDir, OpenFlags, Opened, OpenedFlags, WireOpen, WireOpened};
pub use self::read::{Read, WireRead};
pub use self::readdir::{ReadDir, ReadDirPlus};
pub use self::readlink::{MAX_TARGET_LEN, ReadLink};
pub use self::release::{Release, ReleaseDir, WireRelease};
pub use self::statfs::{FileSystemStatus, StatFs, WireStatFs};
pub use crate::init::Init;

#[cfg(test)]
mod tests;
