//! Parameters of requests, as the input says: mostly good ones, and those at the edges.

use fuse_proto::ops::*;
use fuse_proto::{FileHandle, FileType, LockOwner, Name, NodeId, Timestamp, XattrName};

use super::Table;

impl<'a> Table<'a> {
    /// A node: mostly a small one, so that they are met again.
    pub(super) fn node(&self) -> NodeId {
        NodeId::new(u64::from(self.script.below(4)) + 1).expect("not zero")
    }

    pub(super) fn handle(&self) -> FileHandle {
        FileHandle(self.script.byte().into())
    }

    /// A number: small, at the end of what a file can have, or beyond.
    pub(super) fn number(&self) -> u64 {
        let [which, low] = self.script.bytes();
        match which % 4 {
            0 => low.into(),
            1 => i64::MAX.unsigned_abs() - u64::from(low),
            2 => u64::MAX - u64::from(low),
            _ => u64::from_le_bytes(self.script.bytes()),
        }
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.script.take(self.script.byte().into())
    }

    pub(super) fn name(&self) -> Name<'a> {
        Name::new(self.bytes()).unwrap_or_else(|_| Name::new(b"name").expect("a good name"))
    }

    pub(super) fn xattr_name(&self) -> XattrName<'a> {
        XattrName::new(self.bytes()).unwrap_or_else(|_| XattrName::new(b"user.a").expect("a good name"))
    }

    pub(super) fn kind(&self) -> Option<FileType> {
        FileType::ALL.get(usize::from(self.script.below(8))).copied()
    }

    pub(super) fn owner(&self) -> Option<LockOwner> {
        let [which, owner] = self.script.bytes();
        (which & 1 == 1).then_some(LockOwner(owner.into()))
    }

    pub(super) fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_truncate(self.script.long())
    }

    pub(super) fn time(&self) -> Option<TimeChange> {
        match self.script.below(3) {
            0 => None,
            1 => Some(TimeChange::Now),
            _ => {
                Some(TimeChange::To(Timestamp { seconds: self.script.word().into(), nanoseconds: self.script.long() }))
            }
        }
    }

    pub(super) fn lock(&self) -> FileLock {
        let kind = [LockKind::Write, LockKind::Read, LockKind::Unlock][usize::from(self.script.below(3))];
        FileLock { start: self.number(), end: self.number(), kind, pid: self.script.byte().into() }
    }

    pub(super) fn style(&self) -> LockStyle {
        if self.script.byte() & 1 == 0 { LockStyle::Record } else { LockStyle::WholeFile }
    }

    pub(super) fn set_ids(&self) -> SetIds {
        if self.script.byte() & 1 == 0 { SetIds::Keep } else { SetIds::Remove }
    }
}
