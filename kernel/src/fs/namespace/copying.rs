//! Copying files.

use alloc::rc::Rc;
use alloc::vec::Vec;

use fuse_proto::Errno;

use super::Namespace;
use crate::fs::file::File;
use crate::io::{Error, ErrorKind, Result};

/// How many bytes are moved at a time by way of here.
const PIECE: usize = 64 * 1024;
/// How many bytes a file system is asked to copy by itself at a time: each has to end within the patience of a request.
const LEAP: u64 = 16 * 1024 * 1024;

const EISDIR: i32 = Errno::EISDIR.get() as i32;
const ENXIO: i32 = Errno::ENXIO.get() as i32;

impl Namespace {
    /// See [`fs::copy`](crate::fs::copy).
    ///
    /// # Errors
    ///
    /// Those of [`fs::copy`](crate::fs::copy).
    pub fn copy(&self, from: &[u8], to: &[u8]) -> Result<u64> {
        let is_one_file_system = Rc::ptr_eq(&self.find(from)?.file_system, &self.find(to)?.file_system);
        let source = self.open(from).map_err(|error| match error.raw_os_error() {
            Some(EISDIR | ENXIO) => Error::new(ErrorKind::InvalidInput, "the source path is not a regular file"),
            _ => error,
        })?;
        let permissions = source.metadata()?.permissions();
        let target =
            self.open_with(to, File::options().write(true).create(true).truncate(true).mode(permissions.mode()))?;
        // Of a file that was there, too. Where the file system keeps no permissions, or only for some, it is a copy without.
        match target.set_permissions(permissions) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied || error.kind() == ErrorKind::Unsupported => {}
            result => result?,
        }
        let done = if is_one_file_system { leap(&source, &target)? } else { 0 };
        carry(&source, &target, done)
    }
}

/// Has the file system copy by itself as much as it can, and says how much that was.
fn leap(source: &File, target: &File) -> Result<u64> {
    let Some(identity) = target.vfs().identity() else { return Ok(0) };
    let mut done = 0;
    loop {
        match source.vfs().copy_to(done, identity, done, LEAP) {
            Ok(0) => return Ok(done),
            Ok(count) => done += count.min(LEAP),
            // It cannot, or not between these two, or no further.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EXDEV | Errno::EINVAL | Errno::EBADF | Errno::EPERM) => {
                return Ok(done);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Copies what lies behind `done` by reading and writing, and returns the length of it all. Where the file system says that
/// it has copied all, this finds the end; a file that reports no length can have more.
fn carry(source: &File, target: &File, mut done: u64) -> Result<u64> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(PIECE).map_err(|_| Error::from(ErrorKind::OutOfMemory))?;
    buffer.resize(PIECE, 0);
    loop {
        let count = source.read_at(&mut buffer, done)?;
        if count == 0 {
            return Ok(done);
        }
        target.write_all_at(buffer.get(..count).unwrap_or_default(), done)?;
        done += count as u64;
    }
}
