//! The operations, one file per family.
//!
//! | operation | reply | file |
//! |---|---|---|
//! | [`Init`] | [`Session`](crate::Session) | [`init`](crate::init) |
//! | [`Lookup`] | [`LookupReply`] | `lookup.rs` |
//! | [`Forget`], [`BatchForget`] | none | `forget.rs` |
//! | [`GetAttr`] | [`AttributesReply`] | `getattr.rs` |
//! | [`SetAttr`] | [`AttributesReply`] | `setattr.rs` |
//! | [`SymLink`], [`MkNod`], [`MkDir`], [`Link`] | [`Entry`](crate::Entry) | `make.rs` |
//! | [`Create`], [`TmpFile`] | [`Created`] | `create.rs` |
//! | [`Unlink`], [`RmDir`], [`Rename`], [`Rename2`] | nothing | `names.rs` |
//! | [`Open`], [`OpenDir`] | [`Opened`] | `open.rs` |
//! | [`Read`] | the data | `read.rs` |
//! | [`Write`] | the number of bytes written | `write.rs` |
//! | [`FAllocate`] | nothing | `fallocate.rs` |
//! | [`Flush`], [`FSync`], [`FSyncDir`] | nothing | `sync.rs` |
//! | [`ReadDir`], [`ReadDirPlus`] | [`DirEntries`](crate::DirEntries), [`DirEntriesPlus`](crate::DirEntriesPlus) | `readdir.rs` |
//! | [`Release`], [`ReleaseDir`] | nothing | `release.rs` |
//! | [`ReadLink`] | the target | `readlink.rs` |
//! | [`StatFs`] | [`FileSystemStatus`] | `statfs.rs` |
//! | [`Destroy`] | nothing | `destroy.rs` |
//!
//! An operation that is not in the table yet is one more file: its wire structures, a struct with its
//! parameters, and the two traits of [`operation`](crate::operation).

mod create;
mod destroy;
mod fallocate;
mod forget;
mod getattr;
mod lookup;
mod make;
mod names;
mod open;
mod read;
mod readdir;
mod readlink;
mod release;
mod set_ids;
mod setattr;
mod statfs;
mod sync;
mod write;

pub use self::create::{Create, Created, TmpFile, WireCreate, WireCreated};
pub use self::destroy::Destroy;
pub use self::fallocate::{AllocateMode, FAllocate, WireFAllocate};
pub use self::forget::{BatchForget, Forget, WireBatchForget, WireForget, WireForgetOne};
pub use self::getattr::{AttributesReply, GetAttr, WireAttributesReply, WireGetAttr};
pub use self::lookup::{Lookup, LookupReply};
pub use self::make::{Link, MkDir, MkNod, SymLink, WireLink, WireMkDir, WireMkNod};
pub use self::names::{Rename, Rename2, RenameFlags, RmDir, Unlink, WireRename, WireRename2};
pub use self::open::{Open, OpenDir, OpenFlags, Opened, OpenedFlags, WireOpen, WireOpened};
pub use self::read::{Read, WireRead};
pub use self::readdir::{ReadDir, ReadDirPlus};
pub use self::readlink::{MAX_TARGET_LEN, ReadLink};
pub use self::release::{Release, ReleaseDir, ReleaseFlags, WireRelease};
pub use self::set_ids::SetIds;
pub use self::setattr::{AttributeChanges, ChangedFields, SetAttr, TimeChange, WireSetAttr};
pub use self::statfs::{FileSystemStatus, StatFs, WireStatFs};
pub use self::sync::{FSync, FSyncDir, Flush, SyncWhat, WireFSync, WireFlush};
pub use self::write::{WireWrite, WireWritten, Write, WriteFlags};
pub use crate::init::Init;

#[cfg(test)]
mod tests;
