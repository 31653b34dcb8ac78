//! What is owed to the server: references to return, handles to release, and the word that nobody waits any more.
//!
//! Debts are queued and sent by the next poll, references a little later, as soon as the device has room; nobody waits for
//! them. They come from
//! nodes and handles that are dropped, from malformed answers (FU-RV-8), and from answers that came too late.

use alloc::rc::Rc;
use core::any::Any;

use fuse_proto::ops::{
    BatchForget, Create, Flush, Forget, Interrupt, Lookup, LookupReply, OpenFlags, Release, ReleaseDir, SetIds,
};
use fuse_proto::{Errno, FileHandle, Name, NodeId, Opcode, Operation, ReplyError, Request, Unique};
use toro_core::DmaBuf;
use toro_core::driver::fuse::{FuseRequest, Priority};

use super::slots::{Keep, Late, Phase, Waiter};
use super::ticket::{Answer, payload};
use super::{Connection, FORGET_BATCH, Interrupts};

/// How a handle is released.
#[derive(Clone, Copy, Debug)]
pub enum Closing {
    /// With FLUSH first; what is kept releases it when that has been answered.
    Flush(Flush),
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

/// A reference that nobody uses. It is returned when it is dropped: when what was sent before has been answered (FU-FR-10).
struct Reference {
    connection: Rc<Connection>,
    node: NodeId,
}

impl Drop for Reference {
    fn drop(&mut self) {
        self.connection.forget(self.node, 1);
    }
}

impl Connection {
    /// Owes the server a FORGET of `lookups` references. The root is not counted, and not forgotten.
    pub fn forget(&self, node: NodeId, lookups: u64) {
        let mut state = self.state.borrow_mut();
        if lookups > 0 && !node.is_root() && state.closed.is_none() {
            if state.forgets.is_empty() {
                state.forgets_until = self.now().saturating_add(self.forget_delay.get());
            }
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

    /// Owes the server the word that nobody waits for the answer to `unique`, if it understands that. The buffers stay with
    /// the device until it answers (HD-FS-37).
    pub(super) fn interrupt(&self, unique: Unique) {
        let mut state = self.state.borrow_mut();
        if self.interrupts.get() == Interrupts::Sent && state.closed.is_none() {
            state.interrupts.push_back(unique);
        }
    }

    /// Makes an error number of a bad answer, and pays what it owes (FU-RV-8).
    pub fn judge(self: &Rc<Self>, error: ReplyError) -> Errno {
        if let ReplyError::Malformed { defect, .. } = error {
            log::debug!("virtio-fs: {defect}");
        }
        let reference = error.forget();
        if let Some((node, handle)) = error.release() {
            self.give_up(node, handle, OpenFlags::empty(), reference);
        } else if let Some(node) = reference {
            self.forget(node, 1);
        }
        error.errno()
    }

    /// Releases a handle that nobody uses, and returns the reference that came with it after that.
    fn give_up(self: &Rc<Self>, node: NodeId, handle: FileHandle, flags: OpenFlags, reference: Option<NodeId>) {
        let keep = reference.map(|node| -> Rc<dyn Any> { Rc::new(Reference { connection: Rc::clone(self), node }) });
        self.release(Closing::File(Release::new(node, handle, flags)), keep);
    }

    /// Pays what an answer that nobody waits for owes.
    pub(super) fn settle(self: &Rc<Self>, answer: Answer, late: Late, keep: Keep) {
        let Answer { unique, buffers } = answer;
        let reply = buffers.reply.as_deref().unwrap_or_default();
        match late {
            Late::Nothing => {}
            // All entries look alike, whatever made them.
            Late::Entry { parent } => match (Lookup { parent, name: some_name() }).decode(unique, reply) {
                Ok(LookupReply::Found(entry)) => self.forget(entry.node, 1),
                Ok(_) => {}
                Err(error) => drop(self.judge(error)),
            },
            Late::Create { parent, flags } => {
                let (name, set_ids) = (some_name(), SetIds::Keep);
                match (Create { parent, name, mode: 0, umask: 0, flags, set_ids }).decode(unique, reply) {
                    Ok(created) => {
                        let node = created.entry.node;
                        match created.opened.handle {
                            Some(handle) => self.give_up(node, handle, flags, Some(node)),
                            None => self.forget(node, 1),
                        }
                    }
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
            Late::Flush(operation) => {
                let is_unknown = matches!(operation.decode(unique, reply), Err(ReplyError::Remote(Errno::ENOSYS)));
                if let Some(session) = self.session.get().filter(|_| is_unknown) {
                    // What stands in for it is nothing, which is what whoever did not wait has done.
                    let _ = session.borrow_mut().learn_unsupported(Opcode::Flush);
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
                Closing::Flush(flush) => self.try_submit(&flush, None, Late::Flush(flush), owed.keep.clone()),
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
            if !self.offer_one_way(unique, request) {
                return;
            }
            self.state.borrow_mut().forgets.drain(..count);
        }
    }

    pub(super) fn send_interrupts(&self) {
        loop {
            let Some(&unwanted) = self.state.borrow().interrupts.front() else { return };
            let Ok((unique, request)) = self.encode(&Interrupt { unique: unwanted }) else { return };
            if !self.offer_one_way(unique, request) {
                return;
            }
            self.state.borrow_mut().interrupts.pop_front();
        }
    }

    /// Gives the device a request that has no answer; whether it has taken it.
    fn offer_one_way(&self, unique: Unique, request: DmaBuf) -> bool {
        let request = FuseRequest { priority: Priority::High, request, data: None, reply: None, payload: None };
        match self.offer(request) {
            Ok(id) => {
                let (late, keep, waiter) = (Late::Nothing, None, Waiter::Gone);
                self.enter(id, Phase::InFlight { unique, late, keep, waiter });
                true
            }
            Err((_, request)) => {
                self.recycle(request);
                false
            }
        }
    }
}

/// A name for operations that are not sent, only used to read an answer.
fn some_name() -> Name<'static> {
    Name::new(b"?").expect("a question mark is a name")
}
