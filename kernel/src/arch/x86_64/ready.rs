//! [`ReadyList`]: a core's coroutines that can be resumed, first come, first served.
//!
//! ```text
//!   first --> record --> record --> record --> end        links lie in the records: nothing is allocated
//!   last  -----------------------------^
//! ```
//!
//! Every switch takes one record out and mostly puts one in, so this is kept short: a handful of instructions each, and
//! no call. What [`pop`](ReadyList::pop) gives is [`Ready`], the proof that the coroutine can be resumed on this core,
//! which is checked once, by [`push`](ReadyList::push).
//!
//! # Ownership
//!
//! A list owns a reference to each record in it. A record is in no other list meanwhile, as it has one link, which says
//! so; and in none from when it is taken out to be resumed until it has stopped, which the link says as well. Only the core
//! that a coroutine belongs to touches its link, as only that core may [`push`](ReadyList::push) it.

use alloc::sync::Arc;
use core::cell::Cell;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use toro_sync::Node;

use super::context::Record;
use super::core_local::core_index;
use crate::sched::record::ThreadRecord;

/// A pointer that is no record: the link of the last one in a list.
const END: *mut Node<ThreadRecord> = ptr::dangling_mut();
/// Another: the link of one that has been taken out of its list to be resumed, and has not stopped since.
const RESUMED: *mut Node<ThreadRecord> = ptr::without_provenance_mut(2 * align_of::<Node<ThreadRecord>>());

/// A record's place in a list, and whether it may be in one.
pub struct ReadyLink {
    /// Null: in no list, and its coroutine can be resumed. [`RESUMED`]: it runs, is about to, or has finished. Else in a
    /// list: the next record, or [`END`]. An atomic because records are shared; it is written and read by the core of the
    /// coroutine alone.
    next: AtomicPtr<Node<ThreadRecord>>,
}

impl Default for ReadyLink {
    fn default() -> Self {
        Self::new()
    }
}

impl ReadyLink {
    /// In no list; the coroutine has not begun.
    pub const fn new() -> Self {
        Self { next: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The coroutine stops, and can be resumed when it has. Called by itself.
    #[inline(always)]
    pub(super) fn stop(&self) {
        self.next.store(ptr::null_mut(), Ordering::Relaxed);
    }
}

/// A coroutine of this core that can be resumed, once. Not `Send`. One that is dropped instead never runs again.
pub struct Ready(Record);

impl Ready {
    /// The record.
    pub(super) fn into_record(self) -> Record {
        self.0
    }
}

/// Coroutines of this core that can be resumed, in order. Neither `Send` nor `Sync`.
pub struct ReadyList {
    /// Null if there is none. Invariant: from here the links lead through records that all passed the checks of `push`
    /// on this core, to each of which the list has a reference from `Arc::into_raw`, to the last one, whose link is `END`.
    first: Cell<*const Node<ThreadRecord>>,
    /// The last one, if there is a first.
    last: Cell<*const Node<ThreadRecord>>,
}

impl Default for ReadyList {
    fn default() -> Self {
        Self::new()
    }
}

impl ReadyList {
    /// An empty list.
    pub const fn new() -> Self {
        Self { first: Cell::new(ptr::null()), last: Cell::new(ptr::null()) }
    }

    /// Whether there is none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.first.get().is_null()
    }

    /// Adds a coroutine behind all others.
    ///
    /// # Panics
    ///
    /// If it cannot be resumed on this core, or is in a list already.
    #[inline(always)]
    pub fn push(&self, record: Record) {
        let link = &record.ready.next;
        assert!(
            record.coroutine.core() == core_index() && link.load(Ordering::Relaxed).is_null(),
            "a thread becomes ready on its core, and once"
        );
        link.store(END, Ordering::Relaxed);
        let record = Arc::into_raw(record);
        let last = self.last.replace(record);
        if self.first.get().is_null() {
            self.first.set(record);
            return;
        }
        // SAFETY: there is a first, hence a last, to which the list has a reference (field invariants).
        let last = unsafe { &*last };
        last.ready.next.store(record.cast_mut(), Ordering::Relaxed);
    }

    /// Takes the first one out.
    #[inline(always)]
    pub fn pop(&self) -> Option<Ready> {
        let first = self.first.get();
        if first.is_null() {
            return None;
        }
        // SAFETY: from `Arc::into_raw`, and the reference is the list's (field invariant), which gives it up here: the
        // first is another one below.
        let record = unsafe { Arc::from_raw(first) };
        let next = record.ready.next.load(Ordering::Relaxed);
        record.ready.next.store(RESUMED, Ordering::Relaxed);
        self.first.set(if ptr::eq(next, END) { ptr::null() } else { next });
        Some(Ready(record))
    }
}
