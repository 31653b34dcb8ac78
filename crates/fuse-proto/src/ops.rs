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
//! | [`SetXattr`], [`RemoveXattr`] | nothing | `xattr.rs` |
//! | [`GetXattr`], [`GetXattrLen`] | the value, its length | `xattr.rs` |
//! | [`ListXattr`], [`ListXattrLen`] | [`XattrNames`](crate::XattrNames), their length | `xattr.rs` |
//! | [`GetLk`] | a [`FileLock`] in the way, if any | `lock.rs` |
//! | [`SetLk`], [`SetLkW`] | nothing | `lock.rs` |
//! | [`Access`] | nothing | `access.rs` |
//! | [`LSeek`] | an offset | `lseek.rs` |
//! | [`CopyFileRange`], [`CopyFileRange64`] | bytes copied | `copy_file_range.rs` |
//! | [`SyncFs`] | nothing | `syncfs.rs` |
//! | [`StatX`] | [`ExtendedAttributes`] | `statx.rs` |
//! | [`Bmap`] | a block, if any | `bmap.rs` |
//! | [`Ioctl`] | [`IoctlReply`] | `ioctl.rs` |
//! | [`Poll`] | [`PollEvents`] | `poll.rs` |
//! | [`SetupMapping`], [`RemoveMapping`] | nothing | `mapping.rs` |
//! | [`Interrupt`] | none | `interrupt.rs` |
//! | [`NotifyReply`] | none | `notify_reply.rs` |
//! | [`Destroy`] | nothing | `destroy.rs` |
//!
//! An operation that is not in the table yet is one more file: its wire structures, a struct with its
//! parameters, and the two traits of [`operation`](crate::operation).

mod access;
mod bmap;
mod copy_file_range;
mod create;
mod destroy;
mod fallocate;
mod forget;
mod getattr;
mod interrupt;
mod ioctl;
mod lock;
mod lookup;
mod lseek;
mod make;
mod mapping;
mod names;
mod notify_reply;
mod open;
mod poll;
mod read;
mod readdir;
mod readlink;
mod release;
mod set_ids;
mod setattr;
mod statfs;
mod statx;
mod sync;
mod syncfs;
mod write;
mod xattr;

pub use self::access::{Access, AccessMask, WireAccess};
pub use self::bmap::{Bmap, WireBmap, WireBmapReply};
pub use self::copy_file_range::{CopyFileRange, CopyFileRange64, WireCopied64, WireCopyFileRange};
pub use self::create::{Create, Created, TmpFile, WireCreate, WireCreated};
pub use self::destroy::Destroy;
pub use self::fallocate::{AllocateMode, FAllocate, WireFAllocate};
pub use self::forget::{BatchForget, Forget, WireBatchForget, WireForget, WireForgetOne};
pub use self::getattr::{AttributesReply, GetAttr, WireAttributesReply, WireGetAttr};
pub use self::interrupt::{Interrupt, WireInterrupt};
pub use self::ioctl::{Ioctl, IoctlReply, IoctlTarget, WireIoctl, WireIoctlRange, WireIoctlReply};
pub use self::lock::{FileLock, GetLk, LockKind, LockStyle, SetLk, SetLkW, WireFileLock, WireLock};
pub use self::lookup::{Lookup, LookupReply};
pub use self::lseek::{LSeek, SeekWhat, WireLSeek, WireLSeekReply};
pub use self::make::{Link, MkDir, MkNod, SymLink, WireLink, WireMkDir, WireMkNod};
pub use self::mapping::{
    MappingFlags, RemoveMapping, SetupMapping, WindowRange, WireRemoveMapping, WireRemoveMappingOne, WireSetupMapping,
};
pub use self::names::{Rename, Rename2, RenameFlags, RmDir, Unlink, WireRename, WireRename2};
pub use self::notify_reply::{NotifyReply, WireNotifyReply};
pub use self::open::{Open, OpenDir, OpenFlags, Opened, OpenedFlags, WireOpen, WireOpened};
pub use self::poll::{Poll, PollEvents, WakeUp, WirePoll, WirePollReply};
pub use self::read::{Read, WireRead};
pub use self::readdir::{ReadDir, ReadDirPlus};
pub use self::readlink::{MAX_TARGET_LEN, ReadLink};
pub use self::release::{Release, ReleaseDir, ReleaseFlags, WireRelease};
pub use self::set_ids::SetIds;
pub use self::setattr::{AttributeChanges, ChangedFields, SetAttr, TimeChange, WireSetAttr};
pub use self::statfs::{FileSystemStatus, StatFs, WireStatFs};
pub use self::statx::{
    DeviceNumber, ExtendedAttributes, StatX, StatxAttributes, StatxFlags, StatxMask, WireGetStatx, WireStatx,
    WireStatxReply, WireStatxTime,
};
pub use self::sync::{FSync, FSyncDir, Flush, SyncWhat, WireFSync, WireFlush};
pub use self::syncfs::{SyncFs, WireSyncFs};
pub use self::write::{WireWrite, WireWritten, Write, WriteFlags};
pub use self::xattr::{
    GetXattr, GetXattrLen, ListXattr, ListXattrLen, RemoveXattr, SetXattr, SetXattrFlags, SetXattrForm, WireGetXattr,
    WireSetXattr, WireSetXattrShort, WireXattrLen, XattrMode,
};
pub use crate::init::Init;

#[cfg(test)]
mod tests;
