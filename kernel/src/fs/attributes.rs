//! Attributes that applications set: permissions and times.
//!
//! Nothing is checked against permissions here (see [`fs`](super)); they are stored for others: for the host, and for
//! whoever mounts the disk next.

use fuse_proto::Errno;

use super::metadata::{AttributeChanges, FileTime, Metadata, TimeChange};

/// The bits of a mode that are permissions.
const PERMISSIONS: u32 = 0o7777;
/// The bits that allow writing, to anybody.
const WRITE: u32 = 0o222;
/// Whoever runs the file does so in the name of its owner.
const SET_USER_ID: u32 = 0o4000;
/// Likewise of its group, if [`RUN_BY_GROUP`] is set, too; else it means something else.
const SET_GROUP_ID: u32 = 0o2000;
/// The group may run the file.
const RUN_BY_GROUP: u32 = 0o010;

/// What a file's permissions say, as `std::fs::Permissions` on Unix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    mode: u32,
}

impl Permissions {
    /// Those of this `st_mode`.
    pub const fn from_mode(mode: u32) -> Self {
        Self { mode }
    }

    /// As a number: `st_mode`, with the kind of the file where they are a file's.
    pub const fn mode(&self) -> u32 {
        self.mode
    }

    /// Makes them those of this `st_mode`.
    pub const fn set_mode(&mut self, mode: u32) {
        self.mode = mode;
    }

    /// Whether nobody may write.
    pub const fn readonly(&self) -> bool {
        self.mode & WRITE == 0
    }

    /// Allows writing to nobody, or, as in std, to everybody.
    pub const fn set_readonly(&mut self, readonly: bool) {
        if readonly {
            self.mode &= !WRITE;
        } else {
            self.mode |= WRITE;
        }
    }

    /// What it takes to set them.
    pub(super) fn changes(&self) -> AttributeChanges {
        AttributeChanges { mode: Some(self.mode & PERMISSIONS), ..AttributeChanges::default() }
    }
}

/// Times that are set on a file, as `std::fs::FileTimes`: at first none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileTimes {
    accessed: Option<TimeChange>,
    modified: Option<TimeChange>,
}

impl FileTimes {
    /// No times.
    pub const fn new() -> Self {
        Self { accessed: None, modified: None }
    }

    /// Both times as of now, by the clock of whoever stores the file; what `touch` does.
    pub const fn now() -> Self {
        Self { accessed: Some(TimeChange::Now), modified: Some(TimeChange::Now) }
    }

    /// When the contents were last read: a [`SystemTime`](crate::time::SystemTime), or a [`FileTime`] for one before 1970.
    #[must_use]
    pub fn set_accessed(mut self, time: impl Into<FileTime>) -> Self {
        self.accessed = Some(TimeChange::To(time.into()));
        self
    }

    /// When the contents last changed; likewise.
    #[must_use]
    pub fn set_modified(mut self, time: impl Into<FileTime>) -> Self {
        self.modified = Some(TimeChange::To(time.into()));
        self
    }

    /// What it takes to set them.
    pub(super) fn changes(&self) -> AttributeChanges {
        AttributeChanges { accessed: self.accessed, modified: self.modified, ..AttributeChanges::default() }
    }
}

impl AttributeChanges {
    /// Whether nothing is changed.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What it takes to change the owner of something with the attributes that `known` says.
    ///
    /// Linux takes away what lets others run a file in the name of its owner or its group, also if it is given to nobody. With
    /// an owner, whoever stores the file does so.
    ///
    /// # Errors
    ///
    /// Those of `known`.
    pub(super) fn of_owner(
        uid: Option<u32>,
        gid: Option<u32>,
        known: impl FnOnce() -> Result<Metadata, Errno>,
    ) -> Result<Self, Errno> {
        let mode = match (uid, gid) {
            (None, None) => without_set_ids(&known()?),
            _ => None,
        };
        Ok(Self { uid, gid, mode, ..Self::default() })
    }

    /// Whether all of it can be: nanoseconds are fewer than make a second.
    pub(super) fn is_valid(&self) -> bool {
        [self.accessed, self.modified].into_iter().flatten().all(|change| match change {
            TimeChange::Now => true,
            TimeChange::To(time) => time.nanoseconds < 1_000_000_000,
        })
    }
}

/// The permissions without set-IDs, if there are any to be taken away; a directory keeps its own.
fn without_set_ids(known: &Metadata) -> Option<u32> {
    let group = if known.mode() & RUN_BY_GROUP == 0 { 0 } else { SET_GROUP_ID };
    let taken = known.mode() & (SET_USER_ID | group);
    (taken != 0 && !known.is_dir()).then_some(known.mode() & PERMISSIONS & !taken)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::time::{Duration, UNIX_EPOCH};

    #[test]
    fn read_only_means_what_it_means_in_std() {
        for mode in (0..0o200_000).step_by(7) {
            let (mut ours, mut theirs) = (Permissions::from_mode(mode), std::fs::Permissions::from_mode(mode));
            assert_eq!(ours.readonly(), theirs.readonly(), "{mode:o}");
            for readonly in [true, false] {
                ours.set_readonly(readonly);
                theirs.set_readonly(readonly);
                assert_eq!((ours.mode(), ours.readonly()), (theirs.mode(), theirs.readonly()), "{mode:o}");
            }
        }
        assert_eq!(Permissions::from_mode(0o100_644).changes().mode, Some(0o644));
    }

    #[test]
    fn times_are_those_that_were_given() {
        let times = FileTimes::new().set_modified(UNIX_EPOCH + Duration::new(7, 9));
        let expected = TimeChange::To(FileTime { seconds: 7, nanoseconds: 9 });
        assert_eq!((times.changes().accessed, times.changes().modified), (None, Some(expected)));
        assert!(times.changes().is_valid() && FileTimes::now().changes().is_valid());
        assert!(FileTimes::new().changes().is_empty() && !FileTimes::now().changes().is_empty());
        let wrong = FileTimes::new().set_accessed(FileTime { seconds: -1, nanoseconds: 1_000_000_000 });
        assert!(!wrong.changes().is_valid());
    }
}
