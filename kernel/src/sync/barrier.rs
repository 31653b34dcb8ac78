//! [`Barrier`]: threads that wait for each other.

use super::condvar::Condvar;
use super::mutex::Mutex;

/// Lets threads go on when as many of them have come as it was made for; again and again.
pub struct Barrier {
    size: usize,
    state: Mutex<State>,
    full: Condvar,
}

struct State {
    arrived: usize,
    /// How often it has been full.
    generation: u64,
}

/// What [`Barrier::wait`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether the thread was the last to come; one in each round is.
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    /// A barrier for `size` threads. One for none or one keeps nobody.
    pub const fn new(size: usize) -> Self {
        Self { size, state: Mutex::new(State { arrived: 0, generation: 0 }), full: Condvar::new() }
    }

    /// Waits until as many threads have called this as the barrier was made for.
    pub fn wait(&self) -> BarrierWaitResult {
        let mut state = self.state.lock();
        state.arrived += 1;
        if state.arrived >= self.size {
            state.arrived = 0;
            state.generation += 1;
            drop(state);
            self.full.notify_all();
            return BarrierWaitResult(true);
        }
        let mine = state.generation;
        drop(self.full.wait_while(state, |state| state.generation == mine));
        BarrierWaitResult(false)
    }
}
