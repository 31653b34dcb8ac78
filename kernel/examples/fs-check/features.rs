//! What the file system can: found out by trying, since FAT has neither links nor owners.

use alloc::format;
use core::fmt;

use toro::fs::FileTime;
use toro::fs::{self, FileTimes, Permissions};
use toro::io::{self, ErrorKind};

use crate::outcome::{Checked, worked};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each says whether one thing is there")]
pub struct Features {
    /// Several names for one file.
    pub links: bool,
    /// Symbolic links.
    pub symlinks: bool,
    /// All twelve bits of permissions.
    pub modes: bool,
    /// Times to the nanosecond.
    pub times: bool,
    /// Extended attributes.
    pub xattrs: bool,
    /// Pipes and sockets.
    pub special: bool,
    /// Two names changing places.
    pub exchange: bool,
    /// Locks.
    pub locks: bool,
}

impl Features {
    /// Tries everything in the directory `place`, which is left as it was.
    ///
    /// # Errors
    ///
    /// Something fails in a way that does not mean that it cannot be had.
    pub fn find(place: &str) -> Checked<Self> {
        let (file, other) = (format!("{place}/probe"), format!("{place}/probe2"));
        worked("a file for probing", fs::write(&file, "probe"))?;
        let links = can("a link", fs::hard_link(&file, &other))?;
        forget(&other);
        let symlinks = can("a symbolic link", fs::symlink("probe", &other))?;
        forget(&other);
        let special = can("a pipe", fs::create_special(&other, 0o600, fs::SpecialFile::Fifo))?;
        forget(&other);
        let mode = Permissions::from_mode(0o4751);
        let modes = can("permissions", fs::set_permissions(&file, mode))?
            && worked("attributes", fs::metadata(&file))?.mode() & 0o7777 == 0o4751;
        let time = FileTime { seconds: 1_000_000_001, nanoseconds: 123_456_789 };
        let times = can("times", fs::set_times(&file, FileTimes::new().set_modified(time)))?
            && worked("attributes", fs::metadata(&file))?.modified_time() == time;
        let xattrs = can("an extended attribute", fs::set_xattr(&file, "user.probe", "1"))?;
        worked("a file for probing", fs::write(&other, "probe"))?;
        let exchange = can("an exchange", fs::exchange(&file, &other))?;
        let opened = worked("a file for probing", fs::File::open(&file))?;
        let locks = can("a lock", opened.lock())?;
        drop(opened);
        forget(&file);
        forget(&other);
        Ok(Self { links, symlinks, modes, times, xattrs, special, exchange, locks })
    }
}

/// Whether something can be had at all.
fn can(what: &str, result: io::Result<()>) -> Checked<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) => match error.kind() {
            // EPERM, EOPNOTSUPP and ENOSYS, EINVAL for flags that a server does not know, and EROFS where there is no code
            // for it; of the whole file system that cannot be true, or there would be no file.
            ErrorKind::PermissionDenied
            | ErrorKind::Unsupported
            | ErrorKind::InvalidInput
            | ErrorKind::ReadOnlyFilesystem => Ok(false),
            kind => Err(format!("{what}: {error} ({kind:?})")),
        },
    }
}

fn forget(path: &str) {
    // It need not be there.
    let _ = fs::remove_file(path);
}

impl fmt::Display for Features {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("links", self.links),
            ("symlinks", self.symlinks),
            ("modes", self.modes),
            ("times", self.times),
            ("xattrs", self.xattrs),
            ("special", self.special),
            ("exchange", self.exchange),
            ("locks", self.locks),
        ];
        for (number, (name, is_there)) in all.into_iter().enumerate() {
            let (space, no) = (if number == 0 { "" } else { " " }, if is_there { "" } else { "no-" });
            write!(formatter, "{space}{no}{name}")?;
        }
        Ok(())
    }
}
