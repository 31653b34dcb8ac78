//! Locks on whole files, as `flock` has them: among threads of this machine, and with others where the server keeps them.
//!
//! ```text
//!   lock --> LockTable of the mount        others of this machine
//!             | got it
//!             v
//!            SETLK, whole file             everybody else, where FLOCK_LOCKS was agreed on
//! ```
//!
//! A server locks on behalf of a handle. Readers share one, so a reader that locks opens another one for that; a writer has
//! its own. Whoever has the lock of this machine is the only one here to ask the server, so nobody here is in the other's way
//! there.
//!
//! # Waiting
//!
//! SETLKW would wait on the server. But servers in the field answer it with an error, or have one thread for everything, which
//! then waits for the lock and so for the very UNLOCK that would end it. So the server is asked again and again with SETLK,
//! less and less often.
//!
//! # The end of a lock
//!
//! [`unlock`](crate::fs::vfs::OpenFile::unlock) returns when the server has answered. Dropping the file gives the lock up,
//! too, with the RELEASE that nobody waits for: until that has been answered the lock of this machine stays taken. A lock
//! that is changed is given up first; if the new one cannot be had there is none.

use alloc::rc::Rc;
use core::cell::{Cell, OnceCell};
use core::time::Duration;

use fuse_proto::ops::{FileLock, LockKind as Kind, LockStyle, OpenFlags, SetLk};
use fuse_proto::{Errno, InitFlags, LockOwner, Opcode, Plan};

use super::FuseFile;
use crate::fs::fuse::LockHolder;
use crate::fs::fuse::connection::Late;
use crate::fs::fuse::handle::Handle;
use crate::fs::options::Rights;
use crate::fs::vfs::{LockKind, LockWait};

/// How long to wait before the server is asked for a lock again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// What an open file has that has been locked.
#[derive(Default)]
pub(super) struct Locking {
    holder: OnceCell<LockHolder>,
    /// The handle on whose behalf the server locks.
    handle: OnceCell<Rc<Handle>>,
    /// Whether the server has been asked for the lock, and not to give it up again.
    is_with_server: Cell<bool>,
}

impl FuseFile {
    /// See [`OpenFile::lock`](crate::fs::vfs::OpenFile::lock).
    pub(super) fn take_lock(&self, kind: LockKind, wait: LockWait) -> Result<(), Errno> {
        let node = &self.handle.node;
        node.check()?;
        let holder = self.locking.holder.get_or_init(|| self.client().locks.holder(node.number().get()));
        let result = holder.lock(kind, wait).and_then(|()| self.lock_on_server(kind, wait));
        if result.is_err() {
            // Whatever the first error was counts.
            let _ = self.give_lock_up();
        }
        result
    }

    /// See [`OpenFile::unlock`](crate::fs::vfs::OpenFile::unlock).
    pub(super) fn give_lock_up(&self) -> Result<(), Errno> {
        let result = match self.locking.is_with_server.replace(false) {
            true => self.ask_for_lock(Kind::Unlock),
            false => Ok(()),
        };
        if let Some(holder) = self.locking.holder.get() {
            holder.unlock();
        }
        result
    }

    fn server_has_locks(&self) -> bool {
        let client = self.client();
        let is_agreed = client.session.borrow().flags().contains(InitFlags::FLOCK_LOCKS);
        is_agreed && client.plan(Opcode::SetLk) == Plan::Send
    }

    fn lock_on_server(&self, kind: LockKind, wait: LockWait) -> Result<(), Errno> {
        let kind = match kind {
            LockKind::Shared => Kind::Read,
            LockKind::Exclusive => Kind::Write,
        };
        let connection = &self.client().connection;
        let (mut pause, longest) = PAUSES;
        while self.server_has_locks() {
            self.locking.is_with_server.set(true);
            match self.ask_for_lock(kind) {
                Err(Errno::EAGAIN) if wait == LockWait::Forever => {
                    let scheduler = connection.scheduler();
                    // Nobody announces it.
                    let _ = scheduler.event().wait_until(scheduler.now().saturating_add(pause));
                    pause = pause.saturating_mul(2).min(longest);
                }
                Err(Errno::ENOSYS) => {
                    // From now on the lock of this machine is all there is.
                    let _ = self.client().learn_unsupported(Opcode::SetLk);
                    self.locking.is_with_server.set(false);
                }
                result => return result,
            }
        }
        Ok(())
    }

    fn ask_for_lock(&self, kind: Kind) -> Result<(), Errno> {
        let handle = self.lock_handle()?;
        let operation = SetLk {
            node: handle.node.number(),
            handle: handle.handle.unwrap_or_default(),
            owner: LockOwner(self.client().open_files.number(handle)),
            lock: FileLock::whole_file(kind, 0),
            style: LockStyle::WholeFile,
        };
        self.client().connection.call(&operation, Late::Nothing, handle.keep(), |()| ())
    }

    /// A handle that is nobody else's.
    fn lock_handle(&self) -> Result<&Rc<Handle>, Errno> {
        if self.rights != Rights::Read {
            return Ok(&self.handle);
        }
        if let Some(handle) = self.locking.handle.get() {
            return Ok(handle);
        }
        let handle = Handle::open_alone(&self.handle.node, OpenFlags::LARGE_FILE)?;
        Ok(self.locking.handle.get_or_init(|| handle))
    }

    /// Leaves a lock that the server keeps to the RELEASE of the handle on whose behalf it does.
    pub(super) fn leave_lock(&mut self) {
        if !self.locking.is_with_server.get() {
            return;
        }
        let handle = self.locking.handle.get().unwrap_or(&self.handle);
        handle.leave_lock(self.locking.holder.take());
    }
}
