//! Coroutines: the mechanism under threads, as a safe object.
//!
//! A [`Coroutine`] is a function on a stack of its own. The core's loop, on the boot stack, [resumes](Coroutine::resume)
//! it; it runs until it [suspends](suspend) itself or its function returns, and then the loop goes on.
//!
//! ```text
//!   core's loop                coroutine
//!   resume() --- switch --->   ... suspend() --+
//!      ^                                       |
//!      +--------- switch ----------------------+        a switch saves rbx rbp r12-r15 and the stack pointer
//! ```
//!
//! A switch is an ordinary call to the compiler, so only the registers that a callee must preserve are saved. The target
//! has no vector registers, and the interrupt flag is the same everywhere (off), so there is nothing else.
//!
//! # Ownership
//!
//! A coroutine that is dropped before its function returned leaks its stack: what lies on it may be borrowed by others,
//! and nobody can run its destructors.

use alloc::boxed::Box;
use core::arch::naked_asm;
use core::cell::{Cell, UnsafeCell};
use core::mem::ManuallyDrop;
use core::ptr;

use super::trap;
use crate::mm::stack::Stack;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not started, or stopped in [`suspend`].
    Suspended,
    /// Between a resume and the suspension that answers it.
    Running,
    /// The function has returned.
    Finished,
}

/// What a resumed coroutine did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It suspended itself and can be resumed.
    Suspended,
    /// Its function returned.
    Finished,
}

/// A function on a stack of its own. Neither `Send` nor `Sync`.
pub struct Coroutine {
    stack: ManuallyDrop<Stack>,
    /// Stack pointer while suspended. Invariant: with state `Suspended` it points to a frame that `switch` has saved on
    /// this coroutine's stack, or to the initial one of the same shape.
    saved: Cell<u64>,
    state: Cell<State>,
    entry: Cell<Option<Box<dyn FnOnce()>>>,
}

/// Where the core's loop and the coroutines meet.
struct Core {
    /// The coroutine that runs, null in the loop. Invariant: if not null, it is borrowed by the `resume` that runs it.
    current: Cell<*const Coroutine>,
    /// Stack pointer of the loop while a coroutine runs.
    loop_stack: Cell<u64>,
}

static CORE: CoreLocal<Core> = CoreLocal::new(Core { current: Cell::new(ptr::null()), loop_stack: Cell::new(0) });

impl Coroutine {
    /// A coroutine that will run `entry` on `stack`.
    pub fn new(stack: Stack, entry: Box<dyn FnOnce()>) -> Self {
        // The frame that `switch` pops: r15 r14 r13 r12 rbx rbp, then the address to return to, and above it what looks
        // like a return address of `start` itself: zero, which ends backtraces, and leaves the stack pointer aligned
        // as the ABI wants it on entry to a function.
        let frame: [u64; 8] = [0, 0, 0, 0, 0, 0, start as *const () as u64, 0];
        let top = stack.range().end - size_of_val(&frame) as u64;
        // SAFETY: the stack is mapped, at least a page long, owned by this object alone and page-aligned at its end, so
        // the eight words below the end are writable and aligned.
        unsafe { ptr::with_exposed_provenance_mut::<[u64; 8]>(top as usize).write(frame) };
        Self {
            stack: ManuallyDrop::new(stack),
            saved: Cell::new(top),
            state: Cell::new(State::Suspended),
            entry: Cell::new(Some(entry)),
        }
    }

    /// Runs the coroutine until it suspends itself or finishes.
    ///
    /// # Panics
    ///
    /// If it has finished or is running, or if called from inside a coroutine.
    pub fn resume(&self) -> Outcome {
        let core = CORE.get();
        assert!(core.current.get().is_null(), "a coroutine is resumed from inside a coroutine");
        assert_eq!(self.state.get(), State::Suspended, "only a suspended coroutine can be resumed");
        self.state.set(State::Running);
        core.current.set(self);
        trap::set_thread_stack(Some(self.stack.range()));
        // SAFETY: `saved` is a frame as `switch` wants it (field invariant, the state is `Suspended`). The place for our
        // own stack pointer is static. The coroutine's stack stays mapped while `self` lives, and `self` is borrowed
        // until control comes back here.
        unsafe { switch(core.loop_stack.as_ptr(), self.saved.get()) };
        trap::set_thread_stack(None);
        core.current.set(ptr::null());
        match self.state.get() {
            State::Finished => Outcome::Finished,
            State::Suspended | State::Running => Outcome::Suspended,
        }
    }
}

impl Drop for Coroutine {
    fn drop(&mut self) {
        let has_started = self.entry.take().is_none();
        if has_started && self.state.get() != State::Finished {
            return;
        }
        // SAFETY: dropped once, here. Nothing lies on the stack any more: the function never began or has returned.
        unsafe { ManuallyDrop::drop(&mut self.stack) };
    }
}

/// Stops the running coroutine until it is resumed.
///
/// # Panics
///
/// If called outside a coroutine: the core's loop cannot wait.
pub fn suspend() {
    let core = CORE.get();
    let current = core.current.get();
    assert!(!current.is_null(), "only a thread can wait");
    // SAFETY: not null, hence borrowed by the `resume` below us on the boot stack (field invariant).
    let coroutine = unsafe { &*current };
    coroutine.state.set(State::Suspended);
    // SAFETY: the loop's stack pointer was saved by the `resume` that runs this coroutine, whose frame is still there.
    // The place for our own lies in the coroutine, which outlives its suspension or leaks its stack.
    unsafe { switch(coroutine.saved.as_ptr(), core.loop_stack.get()) };
}

/// The first function on a coroutine's stack.
extern "sysv64" fn start() -> ! {
    let core = CORE.get();
    // SAFETY: a coroutine begins inside its `resume`, which borrows it.
    let coroutine = unsafe { &*core.current.get() };
    if let Some(entry) = coroutine.entry.take() {
        entry();
    }
    coroutine.state.set(State::Finished);
    // SAFETY: as in `suspend`; nobody will switch back, as the state says.
    unsafe { switch(coroutine.saved.as_ptr(), core.loop_stack.get()) };
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

/// A static that belongs to the boot core.
///
/// All threads and the core's loop run on the boot core, one at a time, and interrupt handlers use none of these; so
/// there is never a second one to share the contents with, and contents need not be `Sync`.
pub struct CoreLocal<T>(UnsafeCell<T>);

// SAFETY: Rust code other than interrupt handlers runs on one core only, and `get` is not called by interrupt handlers,
// so no two contexts that could interrupt each other ever hold a reference to the contents.
unsafe impl<T> Sync for CoreLocal<T> {}

impl<T> CoreLocal<T> {
    /// A static's initial value.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The contents. They are shared by all threads, so they change through cells.
    pub fn get(&self) -> &T {
        // SAFETY: only shared references are ever made, and all of them on one core (see above).
        unsafe { &*self.0.get() }
    }
}
