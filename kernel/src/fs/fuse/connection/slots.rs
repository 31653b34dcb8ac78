//! Where a request in flight is remembered, and what for.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;

use fuse_proto::ops::{Flush, Open, OpenDir, OpenFlags, ReadDirPlus};
use fuse_proto::{NodeId, Unique};
use toro_core::driver::fuse::RequestId;

use super::ticket::Answer;
use crate::fs::scheduler::Event;

/// Something that must live until a request has been answered.
pub type Keep = Option<Rc<dyn Any>>;

/// What is owed to the server once an answer has come that nobody waits for.
pub enum Late {
    /// Nothing.
    Nothing,
    /// It answers LOOKUP in this directory, or something that makes a name there: a reference may be owed.
    Entry {
        /// The directory.
        parent: NodeId,
    },
    /// It answers CREATE in this directory: a reference may be owed, and a handle may be open.
    Create {
        /// The directory.
        parent: NodeId,
        /// How it was to be opened.
        flags: OpenFlags,
    },
    /// It answers OPEN: a handle may be open.
    Open(Open),
    /// It answers OPENDIR: a handle may be open.
    OpenDir(OpenDir),
    /// It answers FLUSH, which nobody waits for: the server may not have it.
    Flush(Flush),
    /// It answers READDIRPLUS: references may be owed.
    List(ReadDirPlus),
}

/// Whether anybody wants the answer.
pub(super) enum Waiter {
    /// A ticket for the slot exists.
    Present,
    /// The answer is to be settled when it comes.
    Gone,
}

/// What has become of a request; the module [`connection`](super) draws it.
pub(super) enum Phase {
    Free,
    InFlight { unique: Unique, late: Late, keep: Keep, waiter: Waiter },
    Done { answer: Answer, late: Late, keep: Keep },
    Lost,
}

/// A place for one request.
pub(super) struct Slot {
    pub(super) phase: Phase,
    pub(super) event: Rc<dyn Event>,
}

/// The slot of each request in flight, by what the device calls it. Devices with two queues tell them apart by the
/// highest bit, so there are two tables of small numbers rather than one of large ones.
#[derive(Default)]
pub(super) struct SlotTable([Vec<Option<usize>>; 2]);

impl SlotTable {
    fn place(id: RequestId) -> (usize, usize) {
        (usize::from(id.0 >> 15), usize::from(id.0 & 0x7FFF))
    }

    pub(super) fn insert(&mut self, id: RequestId, slot: usize) {
        let (table, index) = Self::place(id);
        let Some(table) = self.0.get_mut(table) else { return };
        if table.len() <= index {
            table.resize(index + 1, None);
        }
        if let Some(place) = table.get_mut(index) {
            *place = Some(slot);
        }
    }

    pub(super) fn take(&mut self, id: RequestId) -> Option<usize> {
        let (table, index) = Self::place(id);
        self.0.get_mut(table)?.get_mut(index)?.take()
    }

    pub(super) fn clear(&mut self) {
        self.0 = Default::default();
    }
}
