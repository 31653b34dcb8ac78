//! Coroutines: the mechanism under threads, as a safe object.
//!
//! A [`Coroutine`] is a function on a stack of its own. A core's loop [resumes](resume) one; it runs until it
//! [suspends](suspend) itself or its function returns, and then the loop goes on. A coroutine can also hand the core over
//! to another one directly ([`switch_to`]), which saves the way through the loop.
//!
//! ```text
//!   core's loop                coroutine                      another
//!   resume() --- switch --->   ... switch_to() -- switch -->  ... suspend() --+
//!      ^                                                                      |
//!      +--------------------------- switch -----------------------------------+
//!                                       a switch saves rbx rbp r12-r15 and the stack pointer
//! ```
//!
//! A switch is an ordinary call to the compiler, so only the registers that a callee must preserve are saved. The target
//! has no vector registers, and interrupts are admitted alike everywhere, so there is nothing else.
//!
//! # Ownership
//!
//! A coroutine lies in a thread's record, and whoever resumes it gives an [`Arc`] of that away. The Arc comes back from
//! the call by which the coroutine stops, for whoever shall resume it next. In between the core has it. Besides, a
//! coroutine that has started keeps its own record alive until its function returns: a reference lies at the bottom of
//! its stack. So one that nobody resumes any more leaks: what lies on its stack may be borrowed by others, and nobody
//! can run its destructors.
//!
//! # Who may stop
//!
//! [`suspend`] and [`switch_to`] hand the record to a closure of the scheduler's in the middle of the switch. That one puts
//! it somewhere and does nothing else: it neither stops nor resumes anything. So they are not for others to call.
//!
//! # One core
//!
//! A record can be named by all cores, but a coroutine runs on one, which is checked when it becomes [`Ready`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::arch::naked_asm;
use core::cell::Cell;
use core::mem;
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use toro_sync::Node;

use super::core_local::core_index;
use super::ready::Ready;
use crate::core_local;
use crate::mm::stack::Stack;
use crate::sched::record::ThreadRecord;

/// A thread's record, as those hold it who name the thread.
pub type Record = Arc<Node<ThreadRecord>>;

/// A function on a stack of its own.
pub struct Coroutine {
    /// The core on which it runs.
    core: usize,
    /// The addresses of the stack.
    range: Range<u64>,
    /// `None` when it has finished.
    stack: Cell<Option<Stack>>,
    /// Stack pointer while not running. Invariant: while it can be resumed it points to a frame that `switch` has saved on
    /// this coroutine's stack, or to the initial one of the same shape.
    saved: Cell<u64>,
    /// `None` when it has started.
    entry: Cell<Option<Box<dyn FnOnce()>>>,
}

// SAFETY: everything but the plain fields `core` and `range` is touched by the core `core` only, once the coroutine has
// been made: only what is `Ready` is resumed, which is so on its core alone (see `ready.rs`), all else happens while it runs
// there, and `drop` leaves alone what belongs to another core. Between its making and its first resumption it is handed over at most once, by an `Arc`, whose
// contents another core sees as they were written. A function that is made for another core is `Send` (`for_core`).
unsafe impl Send for Coroutine {}
// SAFETY: as above.
unsafe impl Sync for Coroutine {}

/// Where a core's loop and its coroutines meet.
struct Meeting {
    /// The coroutine that runs, null in the loop. Invariant: if not null, it comes from `Arc::into_raw`, and the
    /// reference belongs to this field.
    current: AtomicPtr<Node<ThreadRecord>>,
    /// Stack pointer of the loop while a coroutine runs.
    loop_stack: Cell<u64>,
    /// The coroutine whose function has returned just now.
    finished: Cell<Option<Record>>,
}

core_local! {
    static MEETING: Meeting = Meeting {
        current: AtomicPtr::new(ptr::null_mut()),
        loop_stack: Cell::new(0),
        finished: Cell::new(None),
    };
}

impl Meeting {
    /// Makes a coroutine the one that runs; gives where its stack is to be taken up.
    #[inline(always)]
    fn begin(&self, ready: Ready) -> u64 {
        let record = ready.into_record();
        let saved = record.coroutine.saved.get();
        self.current.store(Arc::into_raw(record).cast_mut(), Ordering::Relaxed);
        saved
    }

    /// Takes the running coroutine's record; gives also where its stack pointer is to be saved.
    ///
    /// # Panics
    ///
    /// If the core's loop runs.
    #[inline(always)]
    fn end(&self) -> (Record, *mut u64) {
        let current = self.current.load(Ordering::Relaxed);
        assert!(!current.is_null(), "only a thread can wait");
        // SAFETY: not null, so it is from `into_raw` and the reference is the field's (field invariant), which gives it
        // up: both callers store another record, or null, before anything looks there.
        let record = unsafe { Arc::from_raw(current) };
        let place = record.coroutine.saved.as_ptr();
        (record, place)
    }
}

impl Coroutine {
    /// A coroutine that will run `entry` on `stack`, on the calling core.
    pub fn new(stack: Stack, entry: Box<dyn FnOnce()>) -> Self {
        Self::bound(core_index(), stack, entry)
    }

    /// A coroutine that will run `entry` on `stack`, on the core with number `core`.
    pub fn for_core(core: usize, stack: Stack, entry: Box<dyn FnOnce() + Send>) -> Self {
        Self::bound(core, stack, entry)
    }

    fn bound(core: usize, stack: Stack, entry: Box<dyn FnOnce()>) -> Self {
        // The frame that `switch` pops: r15 r14 r13 r12 rbx rbp, then the address to return to, and above it what looks
        // like a return address of `start` itself: zero, which ends backtraces, and leaves the stack pointer aligned
        // as the ABI wants it on entry to a function.
        let frame: [u64; 8] = [0, 0, 0, 0, 0, 0, start as *const () as u64, 0];
        let range = stack.range();
        let top = range.end - size_of_val(&frame) as u64;
        // SAFETY: the stack is mapped, at least a page long, owned by this object alone and page-aligned at its end, so
        // the eight words below the end are writable and aligned.
        unsafe { ptr::with_exposed_provenance_mut::<[u64; 8]>(top as usize).write(frame) };
        Self { core, range, stack: Cell::new(Some(stack)), saved: Cell::new(top), entry: Cell::new(Some(entry)) }
    }

    /// The number of the core on which it runs.
    #[inline(always)]
    pub(super) fn core(&self) -> usize {
        self.core
    }
}

impl Drop for Coroutine {
    fn drop(&mut self) {
        let entry = self.entry.take();
        let stack = self.stack.take();
        let is_ours = self.core == core_index();
        if entry.is_none() || !is_ours {
            // It has begun and not returned; or what it would have run belongs to another core.
            mem::forget(entry);
            mem::forget(stack);
        }
    }
}

/// Runs a coroutine until one suspends itself to the loop, or finishes: then gives its record. To be called by the
/// core's loop.
///
/// # Panics
///
/// If called from inside a coroutine.
pub fn resume(next: Ready) -> Option<Record> {
    let meeting = MEETING.get();
    assert!(meeting.current.load(Ordering::Relaxed).is_null(), "a coroutine is resumed from inside a coroutine");
    let load = meeting.begin(next);
    // SAFETY: `load` is a frame as `switch` wants it (field invariant of `saved`: it is `Ready`), and the stack stays mapped: its coroutine keeps itself alive until it has finished. The place for our own stack pointer
    // is this core's for ever.
    unsafe { switch(meeting.loop_stack.as_ptr(), load) };
    // Its stack is left now, and can be used again.
    let finished = meeting.finished.take();
    if let Some(record) = &finished {
        drop(record.coroutine.stack.take());
    }
    finished
}

/// Stops the running coroutine and lets the core's loop go on. `keep` gets the record, for whoever shall resume it.
///
/// # Panics
///
/// If called outside a coroutine: the core's loop cannot wait.
#[inline(always)]
pub fn suspend(keep: impl FnOnce(Record)) {
    let meeting = MEETING.get();
    let (record, save) = meeting.end();
    record.ready.stop();
    meeting.current.store(ptr::null_mut(), Ordering::Relaxed);
    keep(record);
    // SAFETY: the loop's stack pointer was saved by the `resume` that waits for us, whose frame is still there. The place
    // for our own lies in the running coroutine, which keeps itself alive until it has finished.
    unsafe { switch(save, meeting.loop_stack.get()) };
}

/// Stops the running coroutine and resumes another in its place. `keep` gets the record of the one that stops.
///
/// # Panics
///
/// As [`suspend`].
#[inline(always)]
pub fn switch_to(next: Ready, keep: impl FnOnce(Record)) {
    let meeting = MEETING.get();
    let (record, save) = meeting.end();
    record.ready.stop();
    keep(record);
    let load = meeting.begin(next);
    // SAFETY: `load` as in `resume`, `save` as in `suspend`.
    unsafe { switch(save, load) };
}

/// The record of the running coroutine; `None` in the core's loop.
pub fn current() -> Option<Record> {
    with_current(|record| {
        let pointer: *const Node<ThreadRecord> = record;
        // SAFETY: it is what `Arc::into_raw` gave, and alive, as it is current.
        unsafe { Arc::increment_strong_count(pointer) };
        // SAFETY: the reference that was just counted.
        unsafe { Arc::from_raw(pointer) }
    })
}

/// Calls `look` with the record of the running coroutine; `None` in the core's loop. An interrupt handler may do that.
#[inline(always)]
pub fn with_current<R>(look: impl FnOnce(&Node<ThreadRecord>) -> R) -> Option<R> {
    let current = MEETING.get().current.load(Ordering::Relaxed);
    // SAFETY: null, or the record of the running coroutine, which keeps itself alive until its function has returned, and
    // `look` is called by that function, or by an interrupt of it.
    unsafe { current.as_ref() }.map(look)
}

/// The stack of the running coroutine; `None` in the core's loop.
pub(super) fn current_stack() -> Option<Range<u64>> {
    with_current(|record| record.coroutine.range.clone())
}

/// The first function on a coroutine's stack.
extern "sysv64" fn start() -> ! {
    // Keeps the coroutine alive while it runs or is suspended.
    let Some(record) = current() else { unreachable!("a coroutine begins inside its resumption") };
    if let Some(entry) = record.coroutine.entry.take() {
        entry();
    }
    let meeting = MEETING.get();
    // It is not said to have stopped: so it can never become ready again.
    let (last, save) = meeting.end();
    meeting.current.store(ptr::null_mut(), Ordering::Relaxed);
    drop(record);
    // Whoever takes it from there drops it, with the stack that we are still on.
    meeting.finished.set(Some(last));
    // SAFETY: as in `suspend`; the record is alive in `finished`. Nobody will switch back, as the state says.
    unsafe { switch(save, meeting.loop_stack.get()) };
    unreachable!("a finished coroutine is not resumed")
}

/// Saves the callee-saved registers on the current stack and its pointer at `save`, takes up the stack at `load` and
/// restores them from there.
///
/// # Safety
///
/// `load` was saved by this function (or has the same layout), was not taken up since, and its stack is intact. `save`
/// is valid for a write.
#[unsafe(naked)]
unsafe extern "sysv64" fn switch(save: *mut u64, load: u64) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}
