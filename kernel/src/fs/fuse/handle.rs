//! Open files as the server knows them: handles, which readers share.
//!
//! All readers of a file share one handle of the server. When the last of them is gone, the handle stays open a
//! little longer ([`Options::idle_time`](super::Options)), so a file that is asked for again and again costs
//! READ only, neither OPEN nor RELEASE. That is honest because a handle is reached through a *node*: the path is
//! still walked, within the lifetimes that the server gave, and a file that was replaced on the host has
//! another node. What the host sees is that a removed file's space is freed later by the idle time.
//!
//! Writers have a handle each, because it carries what was asked for when it was opened: whether it may be read, and
//! whether writes go behind the end. Nothing is kept of it when its writer is gone.
//!
//! RELEASE is sent exactly once, by whoever drops the handle last; nobody waits for it.

use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use core::any::Any;
use core::cell::{Cell, RefCell};

use fuse_proto::ops::{Open, OpenFlags, Opened, OpenedFlags, Release, ReleaseFlags};
use fuse_proto::{Errno, FileHandle, LockOwner, Opcode, Plan};
use toro_core::Instant;

use super::LockHolder;
use super::connection::{Closing, Keep, Late};
use super::epoch::Epoch;
use super::node::FuseNode;
use crate::sorted_map::SortedMap;

/// An open file of the server.
pub struct Handle {
    pub(super) node: Rc<FuseNode>,
    /// `None` if the server keeps none.
    pub(super) handle: Option<FileHandle>,
    pub(super) flags: OpenFlags,
    pub(super) opened: OpenedFlags,
    /// What the client calls it among its open files, once somebody has asked.
    number: Cell<Option<u64>>,
    /// Whether opening it has emptied the file.
    truncated: bool,
    /// The lock that ends with it.
    lock: RefCell<Option<LockHolder>>,
    /// Until when it waits for another reader, once its last one is gone.
    idle_until: Cell<Instant>,
    /// Whether it is among the idle handles.
    listed: Cell<bool>,
}

impl Handle {
    /// The handle that is open, or a new one.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub fn open(node: &Rc<FuseNode>) -> Result<Rc<Self>, Errno> {
        if let Some(handle) = node.handle.borrow().upgrade() {
            return Ok(handle);
        }
        let handle = Self::open_alone(node, OpenFlags::LARGE_FILE)?;
        *node.handle.borrow_mut() = Rc::downgrade(&handle);
        Ok(handle)
    }

    /// A new handle that nobody shares, opened with those of `flags` that the server takes.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub fn open_alone(node: &Rc<FuseNode>, flags: OpenFlags) -> Result<Rc<Self>, Errno> {
        let client = node.client();
        let operation = Open::new(node.number(), flags, &client.session.borrow());
        let opened = match client.plan(Opcode::Open) {
            Plan::Skip => Opened::WITHOUT_HANDLE,
            _ => match client.connection.call(&operation, Late::Open(operation), node.keep(), |opened| opened) {
                Err(Errno::ENOSYS) if client.learn_unsupported(Opcode::Open) == Some(Plan::Skip) => {
                    Opened::WITHOUT_HANDLE
                }
                reply => reply?,
            },
        };
        Ok(Self::adopt(node, opened, operation.flags()))
    }

    /// The handle that the server has opened with these flags.
    pub fn adopt(node: &Rc<FuseNode>, opened: Opened, flags: OpenFlags) -> Rc<Self> {
        if !opened.flags.contains(OpenedFlags::KEEP_CACHE) {
            node.set_contents(None);
        }
        Rc::new(Self {
            node: Rc::clone(node),
            handle: opened.handle,
            // Emptying happens once, and is not part of what the handle is.
            flags: flags.difference(OpenFlags::TRUNCATE),
            opened: opened.flags,
            number: Cell::new(None),
            // Without a handle nothing has been sent.
            truncated: flags.contains(OpenFlags::TRUNCATE) && opened.handle.is_some(),
            lock: RefCell::default(),
            idle_until: Cell::new(node.client().now()),
            listed: Cell::new(false),
        })
    }

    /// Whether opening it has emptied the file.
    pub fn was_truncated(&self) -> bool {
        self.truncated
    }

    /// Leaves a lock to it that the server keeps on its behalf: it ends when RELEASE has been answered.
    pub fn leave_lock(&self, lock: Option<LockHolder>) {
        *self.lock.borrow_mut() = lock;
    }

    /// What a request through this handle keeps alive.
    pub fn keep(self: &Rc<Self>) -> Keep {
        let handle: Rc<dyn Any> = Rc::clone(self) as Rc<dyn Any>;
        Some(handle)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let client = self.node.client();
        let number = self.number.get();
        if let Some(number) = number {
            client.open_files.remove(number);
        }
        let Some(handle) = self.handle else { return };
        let mut release = Release::new(self.node.number(), handle, self.flags);
        let mut keep = self.node.keep();
        if let Some(lock) = self.lock.take() {
            release.ends = ReleaseFlags::UNLOCK_FILE;
            release.lock_owner = number.map(LockOwner);
            let node_and_lock: Rc<dyn Any> = Rc::new((Rc::clone(&self.node), lock));
            keep = Some(node_and_lock);
        }
        client.connection.release(Closing::File(release), keep);
    }
}

/// Open files that have been asked for their number, to be found by it.
pub struct OpenFiles {
    handles: RefCell<SortedMap<u64, Weak<Handle>>>,
    next: Cell<u64>,
}

impl OpenFiles {
    /// None yet, of this session.
    pub fn new(epoch: Epoch) -> Self {
        Self { handles: RefCell::default(), next: Cell::new(epoch.mark(0)) }
    }

    /// The number of an open file. No other one ever has it, also none of another session.
    pub fn number(&self, handle: &Rc<Handle>) -> u64 {
        if let Some(number) = handle.number.get() {
            return number;
        }
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        handle.number.set(Some(number));
        self.handles.borrow_mut().insert(number, Rc::downgrade(handle));
        number
    }

    /// The open file with this number.
    pub fn find(&self, number: u64) -> Option<Rc<Handle>> {
        self.handles.borrow().get(&number)?.upgrade()
    }

    fn remove(&self, number: u64) {
        self.handles.borrow_mut().remove(&number);
    }
}

/// Handles that wait for another reader.
#[derive(Default)]
pub struct IdleHandles {
    handles: RefCell<VecDeque<Rc<Handle>>>,
    /// The first of their ends, or earlier.
    deadline: Cell<Option<Instant>>,
}

impl IdleHandles {
    /// Keeps a handle that has lost a reader until then, as one of at most `limit`.
    pub fn park(&self, handle: Rc<Handle>, until: Instant, limit: usize) {
        handle.idle_until.set(until);
        if limit == 0 || handle.listed.replace(true) {
            return;
        }
        self.deadline.set(Some(self.deadline.get().map_or(until, |earlier| earlier.min(until))));
        let mut handles = self.handles.borrow_mut();
        let oldest = if handles.len() >= limit { handles.pop_front() } else { None };
        handles.push_back(handle);
        drop(handles);
        if let Some(oldest) = oldest {
            oldest.listed.set(false);
        }
    }

    /// Lets go of those whose time is over.
    pub fn expire(&self, now: Instant) {
        if self.deadline.get().is_none_or(|deadline| now < deadline) {
            return;
        }
        let mut next: Option<Instant> = None;
        let count = self.handles.borrow().len();
        for _ in 0..count {
            let Some(handle) = self.handles.borrow_mut().pop_front() else { break };
            let until = handle.idle_until.get();
            if now < until {
                next = Some(next.map_or(until, |earlier| earlier.min(until)));
                self.handles.borrow_mut().push_back(handle);
            } else {
                // It has other readers by now, or is released here.
                handle.listed.set(false);
            }
        }
        self.deadline.set(next);
    }

    /// When [`expire`](Self::expire) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.get()
    }

    /// Lets go of all.
    pub fn clear(&self) {
        let handles = core::mem::take(&mut *self.handles.borrow_mut());
        handles.iter().for_each(|handle| handle.listed.set(false));
        self.deadline.set(None);
    }
}
