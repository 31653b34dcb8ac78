//! What is done with a file besides reading and writing it: its length, its holes, copies of it, and making it stable.
//!
//! Servers need not have all of this. One that answers ENOSYS is not asked again, and what stands in is what FU-SEM-8 says:
//! FSYNC and FLUSH count as done, LSEEK is answered as for a file without holes, FALLOCATE and copies are EOPNOTSUPP, so that
//! whoever wanted them does without.
//!
//! Only FSYNC makes a file stable (FU-SEM-13). FLUSH tells the server that a descriptor is closed and asks what went wrong
//! with it.

use alloc::rc::Rc;
use core::any::Any;

use fuse_proto::ops::{
    AllocateMode, AttributeChanges, CopyFileRange, CopyFileRange64, FAllocate, FSync, Flush, LSeek, OpenedFlags,
    SeekWhat, SyncWhat,
};
use fuse_proto::{Errno, FileHandle, LockOwner, Opcode, Operation, Plan};

use super::FuseFile;
use crate::fs::fuse::connection::{Closing, Keep, Late};
use crate::fs::fuse::node::Extent;
use crate::fs::options::Rights;
use crate::fs::vfs::{Allocation, SeekTarget, Sync, seek_without_holes};

impl FuseFile {
    fn number(&self) -> FileHandle {
        self.handle.handle.unwrap_or_default()
    }

    /// Sends an operation that a server need not have, and that keeps `keep` alive. If this one has not, what the plan says is
    /// to be done.
    fn ask_if_known<O: Operation, T>(
        &self,
        operation: &O,
        keep: Keep,
        use_reply: impl FnOnce(O::Reply<'_>) -> T,
    ) -> Result<Result<T, Plan>, Errno> {
        let client = self.client();
        match client.plan(O::OPCODE) {
            Plan::Send => {}
            plan => return Ok(Err(plan)),
        }
        match client.connection.call(operation, Late::Nothing, keep, use_reply) {
            Ok(value) => Ok(Ok(value)),
            Err(Errno::ENOSYS) => match client.learn_unsupported(O::OPCODE) {
                Some(plan) => Ok(Err(plan)),
                None => Err(Errno::ENOSYS),
            },
            Err(errno) => Err(errno),
        }
    }

    /// Sets the length.
    pub(super) fn change_length(&self, length: u64) -> Result<(), Errno> {
        let node = &self.handle.node;
        let changes =
            AttributeChanges { handle: self.handle.handle, size: Some(length), ..AttributeChanges::default() };
        node.change_attributes(changes, self.handle.keep())
    }

    /// Makes the file stable.
    pub(super) fn make_stable(&self, what: Sync) -> Result<(), Errno> {
        self.handle.node.check()?;
        let what = match what {
            Sync::Data => SyncWhat::Data,
            Sync::All => SyncWhat::All,
        };
        let operation = FSync { node: self.handle.node.number(), handle: self.number(), what };
        match self.ask_if_known(&operation, self.handle.keep(), |()| ())? {
            Ok(()) | Err(Plan::Skip) => Ok(()),
            Err(_) => Err(Errno::ENOSYS),
        }
    }

    /// Reserves space or gives it back.
    pub(super) fn change_space(&self, offset: u64, length: u64, how: Allocation) -> Result<(), Errno> {
        self.check_writable()?;
        if length == 0 {
            return Err(Errno::EINVAL);
        }
        if offset.checked_add(length).is_none_or(|end| i64::try_from(end).is_err()) {
            return Err(Errno::EFBIG);
        }
        let mode = match how {
            Allocation::Extend => AllocateMode::empty(),
            Allocation::KeepSize => AllocateMode::KEEP_SIZE,
            Allocation::PunchHole => AllocateMode::PUNCH_HOLE | AllocateMode::KEEP_SIZE,
            Allocation::Zero => AllocateMode::ZERO_RANGE,
        };
        let node = &self.handle.node;
        let operation = FAllocate { node: node.number(), handle: self.number(), offset, length, mode };
        let ask = |keep| self.ask_if_known(&operation, keep, |()| ());
        node.change_by(Extent::Contents, self.handle.keep(), ask)?.map_err(|_| Errno::EOPNOTSUPP)
    }

    /// Looks for data or for a hole.
    pub(super) fn find(&self, offset: u64, target: SeekTarget) -> Result<u64, Errno> {
        self.handle.node.check()?;
        if i64::try_from(offset).is_err() {
            return Err(Errno::ENXIO);
        }
        let what = match target {
            SeekTarget::Data => SeekWhat::Data,
            SeekTarget::Hole => SeekWhat::Hole,
        };
        let operation = LSeek { node: self.handle.node.number(), handle: self.number(), offset, what };
        if let Ok(found) = self.ask_if_known(&operation, self.handle.keep(), |found| found)? {
            return Ok(found);
        }
        seek_without_holes(self.handle.node.attributes(self.handle.handle)?.size, offset, target)
    }

    /// Has the server copy a part of this file.
    pub(super) fn copy_within_server(
        &self,
        offset: u64,
        target: u64,
        to_offset: u64,
        length: u64,
    ) -> Result<u64, Errno> {
        self.check_readable()?;
        self.handle.node.check()?;
        let target = self.client().open_files.find(target).ok_or(Errno::EBADF)?;
        target.node.check()?;
        let limit = i64::MAX.unsigned_abs();
        let length = length.min(limit.saturating_sub(offset)).min(limit.saturating_sub(to_offset));
        let (node, handle) = (self.handle.node.number(), self.number());
        let (to_node, to_handle) = (target.node.number(), target.handle.unwrap_or_default());
        let large = CopyFileRange64 { node, handle, offset, to_node, to_handle, to_offset, length };
        // Neither file is closed before it has been answered (FU-FR-10).
        let both: Rc<dyn Any> = Rc::new((Rc::clone(&self.handle), Rc::clone(&target)));
        let copied = target.node.change_by(Extent::Contents, Some(both), |keep| {
            match self.ask_if_known(&large, keep.clone(), |copied| copied)? {
                Err(Plan::UseInstead(Opcode::CopyFileRange)) => {
                    let length = length.min(CopyFileRange::MAX_LENGTH);
                    let small = CopyFileRange { node, handle, offset, to_node, to_handle, to_offset, length };
                    self.ask_if_known(&small, keep, u64::from)
                }
                copied => Ok(copied),
            }
        });
        match copied {
            Ok(Ok(copied)) => Ok(copied),
            Ok(Err(_)) | Err(Errno::EXDEV) => Err(Errno::EOPNOTSUPP),
            Err(errno) => Err(errno),
        }
    }

    fn flush_message(&self) -> Option<Flush> {
        let handle = self.handle.handle?;
        let is_wanted = self.rights != Rights::Read
            && !self.handle.opened.contains(OpenedFlags::NO_FLUSH)
            && self.client().plan(Opcode::Flush) == Plan::Send;
        is_wanted.then(|| Flush { node: self.handle.node.number(), handle, lock_owner: LockOwner::default() })
    }

    /// Tells the server what dropping the file will tell it, and waits for what it says.
    pub(super) fn close_in_advance(&self) -> Result<(), Errno> {
        self.handle.node.check()?;
        let Some(flush) = self.flush_message() else { return Ok(()) };
        match self.ask_if_known(&flush, self.handle.keep(), |()| ())? {
            Ok(()) | Err(Plan::Skip) => Ok(()),
            Err(_) => Err(Errno::ENOSYS),
        }
    }

    /// Owes the server FLUSH, behind which the handle is let go of.
    pub(super) fn flush_afterwards(&self) {
        if let Some(flush) = self.flush_message() {
            let keep = Rc::clone(&self.handle).keep();
            self.client().connection.release(Closing::Flush(flush), keep);
        }
    }
}
