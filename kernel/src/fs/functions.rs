//! Functions by path beyond reading and writing: names, links, attributes.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::attributes::{FileTimes, Permissions};
use super::path::LastLink;
use super::system::{self, namespace};
use super::vfs::{Collision, SpecialFile, XattrMode};
use crate::io::Result;

/// Removes a directory with all that is in it. A symbolic link is removed, also at the end of `path`, and never followed.
///
/// # Errors
///
/// `NotFound`, `NotADirectory`, `ResourceBusy` if something is mounted in it, and for a path that ends in `.` or `..`;
/// `ReadOnlyFilesystem`, and what the file system says. What was removed before is gone.
pub fn remove_dir_all(path: impl AsRef<[u8]>) -> Result<()> {
    namespace().remove_dir_all(path.as_ref())
}

/// Renames as [`rename`](super::rename), and says what becomes of what has the new name already.
///
/// # Errors
///
/// As [`rename`](super::rename); `AlreadyExists` if that is refused, `NotFound` if there is nothing to exchange with,
/// `InvalidInput` where the file system can only replace.
pub fn rename_with(from: impl AsRef<[u8]>, to: impl AsRef<[u8]>, collision: Collision) -> Result<()> {
    namespace().rename_with(from.as_ref(), to.as_ref(), collision)
}

/// Exchanges the names of two objects of one file system, in one step.
///
/// # Errors
///
/// As [`rename_with`].
pub fn exchange(one: impl AsRef<[u8]>, other: impl AsRef<[u8]>) -> Result<()> {
    rename_with(one, other, Collision::Exchange)
}

/// Gives a file another name, `link`, in the same file system. Symbolic links are not followed, as on Linux: `original` may
/// be one.
///
/// # Errors
///
/// `NotFound`, `AlreadyExists`, `CrossesDevices` between two mounts, `PermissionDenied` for a directory or where the file
/// system has no such names, `TooManyLinks`, `ReadOnlyFilesystem`, and what the file system says.
pub fn hard_link(original: impl AsRef<[u8]>, link: impl AsRef<[u8]>) -> Result<()> {
    namespace().hard_link(original.as_ref(), link.as_ref())
}

/// Creates a symbolic link, `link`, to `target`, which need not exist, as `std::os::unix::fs::symlink`.
///
/// # Errors
///
/// `AlreadyExists`, `NotFound`, also for an empty target; `PermissionDenied` where the file system has none,
/// `ReadOnlyFilesystem`, and what the file system says.
pub fn symlink(target: impl AsRef<[u8]>, link: impl AsRef<[u8]>) -> Result<()> {
    namespace().symlink(target.as_ref(), link.as_ref())
}

/// Creates a pipe, a socket or a device, as `mknod`. It is for others: nobody here can open one.
///
/// # Errors
///
/// `AlreadyExists`, `NotFound`, `PermissionDenied` where the file system has none, `ReadOnlyFilesystem`, and what the file
/// system says.
pub fn create_special(path: impl AsRef<[u8]>, mode: u32, what: SpecialFile) -> Result<()> {
    namespace().create_special(path.as_ref(), mode, what)
}

/// Sets the permissions of what `path` names, as far as the file system keeps them; symbolic links are followed.
///
/// # Errors
///
/// As [`File::set_permissions`](super::File::set_permissions) and [`metadata`](super::metadata()).
pub fn set_permissions(path: impl AsRef<[u8]>, permissions: Permissions) -> Result<()> {
    namespace().set_permissions(path.as_ref(), &permissions)
}

/// Sets the times of what `path` names; symbolic links are followed.
///
/// # Errors
///
/// As [`File::set_times`](super::File::set_times) and [`metadata`](super::metadata()).
pub fn set_times(path: impl AsRef<[u8]>, times: FileTimes) -> Result<()> {
    namespace().set_times(path.as_ref(), LastLink::Follow, times)
}

/// Sets the times of what `path` names; a symbolic link at its end is not followed.
///
/// # Errors
///
/// As [`set_times`].
pub fn set_times_nofollow(path: impl AsRef<[u8]>, times: FileTimes) -> Result<()> {
    namespace().set_times(path.as_ref(), LastLink::Keep, times)
}

/// Gives what `path` names to another user, or group, as `std::os::unix::fs::chown`; what is `None` stays.
///
/// # Errors
///
/// As [`File::chown`](super::File::chown) and [`metadata`](super::metadata()).
pub fn chown(path: impl AsRef<[u8]>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    namespace().chown(path.as_ref(), LastLink::Follow, uid, gid)
}

/// The same; a symbolic link at the end of `path` is not followed.
///
/// # Errors
///
/// As [`chown`].
pub fn lchown(path: impl AsRef<[u8]>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    namespace().chown(path.as_ref(), LastLink::Keep, uid, gid)
}

/// The value of an extended attribute of what `path` names, if there is one; symbolic links are followed.
///
/// # Errors
///
/// `Unsupported` where the file system has none, ERANGE for a name that is empty or longer than 255 bytes, and as
/// [`metadata`](super::metadata()).
pub fn xattr(path: impl AsRef<[u8]>, name: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
    namespace().xattr(path.as_ref(), name.as_ref())
}

/// The names of all extended attributes of what `path` names; symbolic links are followed.
///
/// # Errors
///
/// As [`xattr`].
pub fn list_xattrs(path: impl AsRef<[u8]>) -> Result<Vec<Box<[u8]>>> {
    namespace().list_xattrs(path.as_ref())
}

/// Sets an extended attribute of what `path` names, whether there was one or not; symbolic links are followed.
///
/// # Errors
///
/// As [`xattr`]; `ArgumentListTooLong` for more than 64 KiB, `StorageFull`, `ReadOnlyFilesystem`.
pub fn set_xattr(path: impl AsRef<[u8]>, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
    set_xattr_with(path, name, value, XattrMode::Any)
}

/// The same, and says whether there must have been one.
///
/// # Errors
///
/// As [`set_xattr`]; `AlreadyExists` or ENODATA as `mode` says.
pub fn set_xattr_with(
    path: impl AsRef<[u8]>,
    name: impl AsRef<[u8]>,
    value: impl AsRef<[u8]>,
    mode: XattrMode,
) -> Result<()> {
    namespace().set_xattr(path.as_ref(), name.as_ref(), value.as_ref(), mode)
}

/// Removes an extended attribute of what `path` names; symbolic links are followed.
///
/// # Errors
///
/// As [`xattr`]; ENODATA if there is none of this name.
pub fn remove_xattr(path: impl AsRef<[u8]>, name: impl AsRef<[u8]>) -> Result<()> {
    namespace().remove_xattr(path.as_ref(), name.as_ref())
}

/// Makes the names in a directory stable: what was created, renamed or removed in it, as `fsync` of a directory.
///
/// # Errors
///
/// `NotADirectory`; else as [`metadata`](super::metadata()), and what the file system says.
pub fn sync_dir(path: impl AsRef<[u8]>) -> Result<()> {
    namespace().sync_dir(path.as_ref())
}

/// Takes leave of the file system at `path`, whichever core it belongs to. What was written is stable then. Files and listings
/// that are open in it fail from then on.
///
/// # Errors
///
/// `InvalidInput` if nothing is mounted at `path`, `ResourceBusy` if there are mounts below it.
pub fn unmount(path: impl AsRef<[u8]>) -> Result<()> {
    system::unmount(path.as_ref())
}
