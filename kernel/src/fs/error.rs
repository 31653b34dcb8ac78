//! From the error numbers of file systems to the errors of the public API.

use fuse_proto::Errno;

use crate::io::Error;

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(i32::from(errno.get()))
    }
}
