//! What a core shows to the others: a way to send it threads, and whether it sleeps.
//!
//! ```text
//!   other cores                           this core
//!   record --> inbox  ----------------->  its loop: wakes or starts the threads
//!          --> doorbell: does it sleep? --> an interrupt, if so
//! ```
//!
//! Everything that one core wants of another is a thread: a new one, or one that may go on. So this is the only thing
//! that cores share besides what threads themselves do. Nobody waits here and nothing is locked.
//!
//! # No wake-up is lost
//!
//! The core's loop says that it lies down, then looks into the inbox once more, then halts; whoever sends puts the record
//! into the inbox, then looks whether the core lies down. One of the two sees the other ([`toro_sync::Doorbell`]). From
//! the last look to the halt interrupts are kept pending, and a pending one ends the halt at once.
//!
//! # Deadlock
//!
//! A core that can only be woken by another one is hopeless. When all are, and all inboxes are empty, nothing will ever
//! happen. But cores cannot be looked at all at once: one that is seen asleep may be woken by one that is looked at later,
//! which may be asleep by then. So each core counts what it has sent, after it has done so, and whoever looks adds the
//! numbers up before and afterwards. The first core that sent something in between was awake, and was seen asleep after that:
//! then its number has grown.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use toro_sync::{Doorbell, Inbox, Pushed, Ring};

use super::record::ThreadRecord;
use crate::arch::context::Record;
use crate::arch::core_local::MAX_CORES;
use crate::arch::{core_index, smp};

/// One core's.
#[repr(align(128))]
pub(super) struct Port {
    pub(super) inbox: Inbox<ThreadRecord>,
    pub(super) doorbell: Doorbell,
    /// The core sleeps, and only another core can wake it.
    is_hopeless: AtomicBool,
    /// How often the core has sent something; it alone counts, afterwards.
    sent: AtomicU64,
}

static PORTS: [Port; MAX_CORES] = [const { Port::new() }; MAX_CORES];

impl Port {
    const fn new() -> Self {
        Self {
            inbox: Inbox::new(),
            doorbell: Doorbell::new(),
            is_hopeless: AtomicBool::new(false),
            sent: AtomicU64::new(0),
        }
    }

    /// The calling core's.
    pub(super) fn own() -> &'static Self {
        &PORTS[core_index()]
    }

    /// Says whether this core is about to sleep with nothing that could wake it but another core. If all others do too,
    /// no thread will ever run again: then the answer is true. See the module documentation.
    pub(super) fn is_deadlock(&self, is_hopeless: bool) -> bool {
        self.is_hopeless.store(is_hopeless, Ordering::SeqCst);
        let ports = &PORTS[..smp::count()];
        let sent = || ports.iter().fold(0, |sum: u64, port| sum.wrapping_add(port.sent.load(Ordering::SeqCst)));
        let before = is_hopeless.then(sent);
        let is_hopeless = |port: &Self| {
            let is_empty = port.inbox.is_empty();
            // Pairs with `be_hopeful`: who sees an inbox emptied sees that its core has woken up.
            fence(Ordering::Acquire);
            is_empty && port.is_hopeless.load(Ordering::SeqCst)
        };
        before.is_some() && ports.iter().all(is_hopeless) && before == Some(sent())
    }

    /// The core goes on. To be called before it empties its inbox.
    pub(super) fn be_hopeful(&self) {
        self.is_hopeless.store(false, Ordering::SeqCst);
        fence(Ordering::Release);
    }
}

/// Sends a thread to its core, which is another one.
pub(super) fn send(record: Record) {
    let core = record.core;
    let port = &PORTS[core];
    // One that is there already will be looked at after what its sender did before.
    if port.inbox.push(record) == Pushed::Queued && port.doorbell.ring() == Ring::Needed {
        smp::wake(core);
    }
    let sent = &Port::own().sent;
    sent.store(sent.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}
