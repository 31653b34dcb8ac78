//! What is done with attributes.

use alloc::format;

use toro::fs::{self, FileTime, FileTimes, Permissions};

use super::{Kind, Run, answered_once};
use crate::model::{LastLink, Object};
use crate::outcome::{Checked, worked};

/// Names of extended attributes.
const XATTRS: [&str; 4] = ["user.a", "user.b", "user.long name", "user.d"];
/// "No data available": there is no extended attribute of this name.
const ENODATA: i32 = 61;

impl Run {
    /// A path of a file or directory, and its object.
    fn object(&mut self) -> Option<(alloc::string::String, Object)> {
        let path = self.path_of(|inode| !matches!(inode.kind, Kind::Symlink(_)));
        let (place, object) = self.model.find(&path, LastLink::Follow).ok()?;
        (!place.is_empty()).then_some((self.path(&path), object))
    }

    pub(super) fn permit(&mut self) -> Checked {
        let path = self.path_of(|inode| !matches!(inode.kind, Kind::Symlink(_)));
        if !self.features.modes || path.is_empty() {
            return Ok(());
        }
        let (full, mode) = (self.path(&path), self.random.within(0..=0o777) as u32);
        let found = self.model.find(&path, LastLink::Follow);
        let result = fs::set_permissions(&full, Permissions::from_mode(mode));
        if let Ok((_, object)) = &found {
            object.borrow_mut().mode = mode;
        }
        answered_once(&format!("{full} given the permissions {mode:o}"), result, found.map(drop))
    }

    pub(super) fn date(&mut self) -> Checked {
        let seconds = self.random.within(0..=4_000_000_000) as i64;
        let nanoseconds = self.random.within(0..=999_999_999) as u32;
        let time = FileTime { seconds, nanoseconds };
        if !self.features.times {
            return Ok(());
        }
        let Some((full, object)) = self.object() else { return Ok(()) };
        worked(&full, fs::set_times(&full, FileTimes::new().set_modified(time)))?;
        object.borrow_mut().modified = Some(time);
        Ok(())
    }

    pub(super) fn extended(&mut self) -> Checked {
        if !self.features.xattrs {
            return self.look();
        }
        let (name, length) = (self.random.index(XATTRS.len()), self.random.index(200));
        let (value, removes) = (self.random.bytes(length), self.random.once_in(3));
        let Some(name) = XATTRS.get(name).copied() else { return Ok(()) };
        let Some((full, object)) = self.object() else { return Ok(()) };
        let mut inode = object.borrow_mut();
        if !removes {
            worked(&full, fs::set_xattr(&full, name, &value))?;
            inode.xattrs.insert(name.into(), value);
            return Ok(());
        }
        match (fs::remove_xattr(&full, name), inode.xattrs.remove(name)) {
            (Ok(()), Some(_)) => Ok(()),
            (Err(error), None) if error.raw_os_error() == Some(ENODATA) => Ok(()),
            (result, had) => Err(format!("{full}: {name} removed: {result:?}, and it was {had:?}")),
        }
    }
}
