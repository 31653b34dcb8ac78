//! [`Ticket`]: a claim to the end of a request.

use alloc::rc::Rc;

use super::Queue;
use super::record::{Finished, NONE, Phase, Target};
use crate::fs::block::error::DiskError;

/// A claim to the end of a request. Dropped, it leaves the request alone, whose buffer goes back to its pool.
#[must_use = "whether the request was done is known by waiting only"]
pub struct Ticket {
    queue: Rc<Queue>,
    place: u32,
}

impl Ticket {
    pub(super) fn new(queue: Rc<Queue>, place: u32) -> Self {
        Self { queue, place }
    }

    /// Waits until the request has ended.
    pub fn wait(mut self) -> Finished {
        loop {
            let mut state = self.queue.state.borrow_mut();
            match state.records.get(self.place) {
                Some(record) if record.phase != Phase::Done => {
                    let event = Rc::clone(&record.event);
                    drop(state);
                    event.wait();
                }
                _ => {
                    let finished = state.records.leave(self.place);
                    drop(state);
                    self.place = NONE;
                    // A ticket's place holds its request until it has ended.
                    return finished.unwrap_or(Finished { buffer: None, result: Err(DiskError::Dead) });
                }
            }
        }
    }

    /// Whether waiting would return at once.
    pub fn is_finished(&self) -> bool {
        let state = self.queue.state.borrow();
        state.records.get(self.place).is_none_or(|record| record.phase == Phase::Done)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.place == NONE {
            return;
        }
        let mut state = self.queue.state.borrow_mut();
        let Some(record) = state.records.get_mut(self.place) else { return };
        if record.phase == Phase::Done {
            drop(state.records.leave(self.place));
        } else {
            record.target = Target::Nobody;
        }
    }
}
