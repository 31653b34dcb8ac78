//! [`WaitGroup`]: waiting until all who take part are done.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::waiters::{Place, Waiters};

/// Each clone is a share in a piece of work, which is done when it is dropped; [`wait`](Self::wait) waits for all others.
///
/// ```ignore
/// let group = WaitGroup::new();
/// for core in toro::core::all() {
///     let share = group.clone();
///     toro::thread::spawn_on(core, move || { work(); drop(share) });
/// }
/// group.wait();
/// ```
pub struct WaitGroup {
    shared: Arc<Shared>,
}

struct Shared {
    shares: AtomicUsize,
    waiters: Waiters,
}

impl Default for WaitGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl WaitGroup {
    /// A group of one share.
    pub fn new() -> Self {
        Self { shared: Arc::new(Shared { shares: AtomicUsize::new(1), waiters: Waiters::new() }) }
    }

    /// Gives this share up and waits until all others have been given up.
    pub fn wait(self) {
        let shared = Arc::clone(&self.shared);
        drop(self);
        let is_done = || shared.shares.load(Ordering::Acquire) == 0;
        while !is_done() {
            let _ = shared.waiters.wait_unless(Place::Last, None, is_done);
        }
    }
}

impl Clone for WaitGroup {
    fn clone(&self) -> Self {
        self.shared.shares.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for WaitGroup {
    fn drop(&mut self) {
        if self.shared.shares.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.waiters.wake_all();
        }
    }
}
