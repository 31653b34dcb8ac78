//! What a core shows to the others: a way to send it threads, and whether it sleeps.
//!
//! ```text
//!   other cores                           this core
//!   record --> inbox  ----------------->  its loop: wakes or starts the threads
//!          --> doorbell: does it sleep? --> an interrupt, if so
//! ```
//!
//! What one core wants of another is a thread: a new one, or one that may go on. So this is all that cores share besides
//! what threads themselves do, and what a poller finds in a mailbox of its own, for which there is [`nudge`]. Nobody waits
//! here and nothing is locked.
//!
//! # No wake-up is lost
//!
//! The core's loop says that it lies down, then looks into the inbox once more, then halts; whoever sends puts the record
//! into the inbox, then looks whether the core lies down. One of the two sees the other ([`toro_sync::Doorbell`]). From
//! the last look to the halt interrupts are kept pending, and a pending one ends the halt at once.

use core::sync::atomic::{AtomicBool, Ordering};

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
}

static PORTS: [Port; MAX_CORES] =
    [const { Port { inbox: Inbox::new(), doorbell: Doorbell::new(), is_hopeless: AtomicBool::new(false) } }; MAX_CORES];

impl Port {
    /// The calling core's.
    pub(super) fn own() -> &'static Self {
        &PORTS[core_index()]
    }

    /// Says whether this core is about to sleep with nothing that could wake it but another core. If all others do too,
    /// no thread will ever run again: then the answer is true.
    pub(super) fn is_deadlock(&self, is_hopeless: bool) -> bool {
        self.is_hopeless.store(is_hopeless, Ordering::SeqCst);
        let me = core_index();
        // A core that wakes up takes its hopelessness back before it empties its inbox: who sees the inbox emptied sees
        // that too.
        is_hopeless
            && (0..smp::count()).filter(|&core| core != me).all(|core| {
                let other = &PORTS[core];
                other.inbox.is_empty() && other.is_hopeless.load(Ordering::SeqCst)
            })
    }

    /// The core goes on.
    pub(super) fn be_hopeful(&self) {
        self.is_hopeless.store(false, Ordering::SeqCst);
    }
}

/// Makes sure that the loop of the core with number `core` comes by, after something has been put where one of its
/// pollers looks.
pub(crate) fn nudge(core: usize) {
    if core != core_index() && PORTS[core].doorbell.ring() == Ring::Needed {
        smp::wake(core);
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
}
