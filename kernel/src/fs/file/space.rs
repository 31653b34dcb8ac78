//! The space that files take: reserving it, giving it back, and finding what takes none.

use fuse_proto::Errno;

use super::File;
use crate::fs::vfs::{Allocation, SeekTarget};
use crate::io::Result;

impl File {
    /// Reserves space for `length` bytes from `offset` on, makes a hole of them, or zeros, as `fallocate` of Linux.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for no bytes, `FileTooLarge`, `StorageFull`, EBADF if the file is not open for writing, `Unsupported`
    /// where the file system cannot do that, and what it says.
    pub fn allocate(&self, offset: u64, length: u64, how: Allocation) -> Result<()> {
        self.write_position()?;
        if length == 0 || i64::try_from(offset).is_err() || i64::try_from(length).is_err() {
            return Err(Errno::EINVAL.into());
        }
        if offset.checked_add(length).is_none_or(|end| i64::try_from(end).is_err()) {
            return Err(Errno::EFBIG.into());
        }
        Ok(self.vfs().allocate(offset, length, how)?)
    }

    /// Where the next bytes that are stored begin, at or behind `offset`; `None` if there are none. The position stays where
    /// it is. A file system that knows of no holes has the whole file stored.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn seek_data(&self, offset: u64) -> Result<Option<u64>> {
        self.find(offset, SeekTarget::Data)
    }

    /// Where the next hole begins, at or behind `offset`; the end of the file counts as one. `None` if the file ends at
    /// `offset` or before.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn seek_hole(&self, offset: u64) -> Result<Option<u64>> {
        self.find(offset, SeekTarget::Hole)
    }

    fn find(&self, offset: u64, target: SeekTarget) -> Result<Option<u64>> {
        match self.vfs().seek(offset, target) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::ENXIO) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}
