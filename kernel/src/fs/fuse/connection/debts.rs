//! What is owed to the server: references to return, handles to release.
//!
//! Debts are queued and sent by the next poll, as soon as the device has room; nobody waits for them. They come from
//! nodes and handles that are dropped, from malformed answers (FU-RV-8), and from answers that came too late.

use alloc::rc::Rc;

use fuse_proto::ops::{BatchForget, Forget, Lookup, LookupReply, Release, ReleaseDir};
use fuse_proto::{NodeId, Operation, Request};
use toro_core::driver::fuse::{FuseRequest, Priority};

use super::slots::{Keep, Late, Phase, Waiter};
use super::ticket::{Answer, payload};
use super::{Connection, FORGET_BATCH};

/// How a handle is released.
#[derive(Clone, Copy, Debug)]
pub enum Closing {
    /// With RELEASE.
    File(Release),
    /// With RELEASEDIR.
    Directory(ReleaseDir),
}

/// A handle whose release has not been sent yet.
pub(super) struct OwedRelease {
    pub(super) closing: Closing,
    pub(super) keep: Keep,
}

impl Connection {
    /// Owes the server a FORGET of `lookups` references. The root is not counted, and not forgotten.
    pub fn forget(&self, node: NodeId, lookups: u64) {
        let mut state = self.state.borrow_mut();
        if lookups > 0 && !node.is_root() && state.closed.is_none() {
            state.forgets.push_back(Forget { node, lookups });
        }
    }

    /// Owes the server a RELEASE or RELEASEDIR. `keep` lives until that has been answered.
    pub fn release(&self, closing: Closing, keep: Keep) {
        let mut state = self.state.borrow_mut();
        if state.closed.is_none() {
            state.releases.push_back(OwedRelease { closing, keep });
            return;
        }
        // Dropping what was kept may come back here.
        drop(state);
        drop(keep);
    }

    /// Pays what an answer that nobody waits for owes.
    pub(super) fn settle(&self, answer: Answer, late: Late, keep: Keep) {
        let Answer { unique, buffers } = answer;
        let reply = buffers.reply.as_deref().unwrap_or_default();
        match late {
            Late::Nothing => {}
            Late::Lookup { parent } => {
                let name = fuse_proto::Name::new(b"?").expect("a question mark is a name");
                match (Lookup { parent, name }).decode(unique, reply) {
                    Ok(LookupReply::Found(entry)) => self.forget(entry.node, 1),
                    Ok(_) => {}
                    Err(error) => drop(self.judge(error)),
                }
            }
            Late::Open(operation) => {
                let opened = operation.decode(unique, reply).ok().and_then(|opened| opened.handle);
                if let (Some(handle), Some(node)) = (opened, operation.node()) {
                    let closing = Closing::File(Release::new(node, handle, operation.flags()));
                    self.release(closing, keep.clone());
                }
            }
            Late::OpenDir(operation) => {
                let opened = operation.decode(unique, reply).ok().and_then(|opened| opened.handle);
                if let (Some(handle), Some(node)) = (opened, operation.node()) {
                    self.release(Closing::Directory(ReleaseDir { node, handle }), keep.clone());
                }
            }
            Late::List(operation) => {
                let listing = payload(&operation, unique, &buffers).and_then(|payload| operation.parse(payload));
                if let Ok(listing) = listing {
                    listing.into_references().for_each(|node| self.forget(node, 1));
                }
            }
        }
        self.recycle(buffers);
        drop(keep);
    }

    pub(super) fn send_releases(self: &Rc<Self>) {
        loop {
            let Some(owed) = self.state.borrow_mut().releases.pop_front() else { return };
            let sent = match owed.closing {
                Closing::File(release) => self.try_submit(&release, None, Late::Nothing, owed.keep.clone()),
                Closing::Directory(release) => self.try_submit(&release, None, Late::Nothing, owed.keep.clone()),
            };
            // Dropping the ticket says that nobody waits.
            if sent.is_none() {
                self.state.borrow_mut().releases.push_front(owed);
                return;
            }
        }
    }

    pub(super) fn send_forgets(&self) {
        loop {
            let (count, encoded) = {
                let mut batch = [Forget { node: NodeId::ROOT, lookups: 0 }; FORGET_BATCH];
                let mut count = 0;
                let limit = self.forget_batch.get().min(FORGET_BATCH);
                for (place, owed) in batch.iter_mut().zip(self.state.borrow().forgets.iter().take(limit)) {
                    *place = *owed;
                    count += 1;
                }
                match batch.get(..count) {
                    None | Some([]) => return,
                    Some([forget]) => (count, self.encode(forget)),
                    Some(nodes) => (count, self.encode(&BatchForget { nodes })),
                }
            };
            let Ok((unique, request)) = encoded else { return };
            let priority = Priority::High;
            let request = FuseRequest { priority, request, data: None, reply: None, payload: None };
            match self.offer(request) {
                Ok(id) => {
                    let (late, keep, waiter) = (Late::Nothing, None, Waiter::Gone);
                    self.enter(id, Phase::InFlight { unique, late, keep, waiter });
                    self.state.borrow_mut().forgets.drain(..count);
                }
                Err((_, request)) => return self.recycle(request),
            }
        }
    }
}
