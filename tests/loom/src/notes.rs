//! Work that nobody may wait to do is done by somebody: the note of `virtio-queue-rt/src/asynchronous`.
//!
//! An interrupt brings work and must not wait for the lock. A task has it for reasons of its own, and unlocks it. Afterwards
//! the work is done, by one or the other; without either fence in `note.rs` it is not.

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::note::Note;

struct Desk {
    /// A spin lock, with the orderings that one has.
    is_locked: AtomicBool,
    note: Note,
    /// Brought by an interrupt; relaxed, as nothing but the note tells of it.
    has_work: AtomicBool,
    is_done: AtomicBool,
}

impl Desk {
    fn try_lock(&self) -> bool {
        self.is_locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn unlock(&self) {
        self.is_locked.store(false, Ordering::Release);
    }

    /// As `AsyncQueue::process`.
    fn process(&self) {
        loop {
            self.note.leave();
            if !self.try_lock() {
                return;
            }
            self.note.take();
            if self.has_work.load(Ordering::Relaxed) {
                self.is_done.store(true, Ordering::Relaxed);
            }
            self.unlock();
            if !self.note.is_left() {
                return;
            }
        }
    }

    /// The end of `AsyncQueue::with`.
    fn leave(&self) {
        self.unlock();
        if self.note.is_left() {
            self.process();
        }
    }
}

#[test]
fn what_an_interrupt_brings_is_done_whoever_has_the_lock() {
    let mut builder = loom::model::Builder::new();
    // Two who interrupt each other at the right moments can pass the note to and fro for ever.
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let desk = Arc::new(Desk {
            // By the task, who is about to leave.
            is_locked: AtomicBool::new(true),
            note: Note::new(),
            has_work: AtomicBool::new(false),
            is_done: AtomicBool::new(false),
        });
        let interrupt = thread::spawn({
            let desk = desk.clone();
            move || {
                desk.has_work.store(true, Ordering::Relaxed);
                desk.process();
            }
        });
        desk.leave();
        interrupt.join().expect("it does not panic");
        assert!(desk.is_done.load(Ordering::Relaxed), "both went away");
    });
}
