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

use core::sync::atomic::{AtomicU64, Ordering};

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
    /// Odd while the core sleeps and only another core can wake it; grows by one whenever that changes.
    turns: AtomicU64,
}

static PORTS: [Port; MAX_CORES] =
    [const { Port { inbox: Inbox::new(), doorbell: Doorbell::new(), turns: AtomicU64::new(0) } }; MAX_CORES];

impl Port {
    /// The calling core's.
    pub(super) fn own() -> &'static Self {
        &PORTS[core_index()]
    }

    /// Says whether this core is about to sleep with nothing that could wake it but another core. If all others do too,
    /// and nothing is on its way to any, no thread will ever run again: then the answer is true.
    pub(super) fn is_deadlock(&self, is_hopeless: bool) -> bool {
        self.set_hopeless(is_hopeless);
        // Twice the same sum of numbers that only grow: none has grown, so all cores slept while the inboxes were empty,
        // this core's own among them, into which another may have put something since the loop looked. A core that
        // wakes up takes its hopelessness back before it empties its inbox: who sees the inbox emptied sees that too.
        let Some(turns) = is_hopeless.then(turns_if_all_are_hopeless).flatten() else { return false };
        let is_nothing_sent = (0..smp::count()).all(|core| PORTS[core].inbox.is_empty());
        is_nothing_sent && turns_if_all_are_hopeless() == Some(turns)
    }

    /// The core goes on.
    pub(super) fn be_hopeful(&self) {
        self.set_hopeless(false);
    }

    /// Called by the port's own core only.
    fn set_hopeless(&self, is_hopeless: bool) {
        let turns = self.turns.load(Ordering::Relaxed);
        if is_odd(turns) != is_hopeless {
            self.turns.store(turns + 1, Ordering::SeqCst);
        }
    }
}

/// The sum of all cores' turns if all are hopeless.
fn turns_if_all_are_hopeless() -> Option<u64> {
    let mut turns = (0..smp::count()).map(|core| PORTS[core].turns.load(Ordering::SeqCst));
    turns.try_fold(0, |sum, turns| is_odd(turns).then(|| sum + turns))
}

fn is_odd(number: u64) -> bool {
    number % 2 == 1
}

/// Makes sure that the loop of the core with number `core` comes by, after something has been put where one of its
/// pollers looks.
#[cfg(any(feature = "block", feature = "fs", feature = "net"))]
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
    if port.inbox.push(record) == Pushed::Queued && port.doorbell.ring_after_push() == Ring::Needed {
        smp::wake(core);
    }
}
