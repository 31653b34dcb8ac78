//! Open files as the server knows them: handles, which readers share.
//!
//! All readers of a file share one handle of the server. When the last of them is gone, the handle stays open a
//! little longer ([`Options::idle_time`](super::Options)), so a file that is asked for again and again costs
//! READ only, neither OPEN nor RELEASE. That is honest because a handle is reached through a *node*: the path is
//! still walked, within the lifetimes that the server gave, and a file that was replaced on the host has
//! another node. What the host sees is that a removed file's space is freed later by the idle time.
//!
//! RELEASE is sent exactly once, by whoever drops the handle last; nobody waits for it.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::any::Any;
use core::cell::{Cell, RefCell};

use fuse_proto::ops::{Open, OpenFlags, Opened, OpenedFlags, Release};
use fuse_proto::{Errno, FileHandle, Opcode, Plan};
use toro_core::Instant;

use super::connection::{Closing, Keep, Late};
use super::node::FuseNode;

/// An open file of the server.
pub struct Handle {
    pub(super) node: Rc<FuseNode>,
    /// `None` if the server keeps none.
    pub(super) handle: Option<FileHandle>,
    pub(super) flags: OpenFlags,
    pub(super) opened: OpenedFlags,
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
        let client = node.client();
        let operation = Open::new(node.number(), OpenFlags::LARGE_FILE, &client.session.borrow());
        let opened = match client.plan(Opcode::Open) {
            Plan::Skip => Opened::WITHOUT_HANDLE,
            _ => match client.connection.call(&operation, Late::Open(operation), node.keep(), |opened| opened) {
                Err(Errno::ENOSYS) if client.learn_unsupported(Opcode::Open) == Some(Plan::Skip) => {
                    Opened::WITHOUT_HANDLE
                }
                reply => reply?,
            },
        };
        let handle = Rc::new(Self {
            node: Rc::clone(node),
            handle: opened.handle,
            flags: operation.flags(),
            opened: opened.flags,
            idle_until: Cell::new(client.now()),
            listed: Cell::new(false),
        });
        if !handle.opened.contains(OpenedFlags::KEEP_CACHE) {
            node.set_contents(None);
        }
        *node.handle.borrow_mut() = Rc::downgrade(&handle);
        Ok(handle)
    }

    /// What a request through this handle keeps alive.
    pub fn keep(self: &Rc<Self>) -> Keep {
        let handle: Rc<dyn Any> = Rc::clone(self) as Rc<dyn Any>;
        Some(handle)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(handle) = self.handle {
            let closing = Closing::File(Release::new(self.node.number(), handle, self.flags));
            self.node.client().connection.release(closing, self.node.keep());
        }
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
