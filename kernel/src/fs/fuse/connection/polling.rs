//! What the core's loop does for a connection: it sends what is owed, publishes what was submitted and takes what is finished.

use alloc::rc::Rc;

use toro_core::Instant;
use toro_core::driver::Armed;
use toro_core::driver::fuse::{FuseRequest, RequestId};

use super::slots::{Phase, Waiter};
use super::ticket::Answer;
use super::{Connection, SHORTAGE, State};
use crate::fs::scheduler::Work;

impl Connection {
    /// Sends what is owed, publishes what was submitted, takes what is finished, and wakes who waits for it.
    pub fn poll(self: &Rc<Self>) -> Work {
        if self.state.borrow().closed.is_some() {
            return Work::None;
        }
        let mut work = self.send();
        if work == Work::None && self.in_flight.get() == 0 && !self.ear.is_there() {
            // The rule. A device that fails meanwhile is found out by the next request.
            return Work::None;
        }
        loop {
            let next = self.device.borrow_mut().complete();
            let completion = match next {
                Ok(Some(completion)) => completion,
                Ok(None) => break,
                Err(fault) => {
                    self.fail(fault);
                    return Work::Done;
                }
            };
            work = Work::Done;
            self.finish(completion.id, completion.request);
        }
        if self.ear.is_there() && self.listen() == Work::Done {
            work = Work::Done;
        }
        if work == Work::Done {
            self.room.announce();
            // Settling late answers may have added to what is owed, and completions made room for it.
            self.send();
        }
        work
    }

    /// Asks for an interrupt at the next completion; [`Armed::WorkPending`] if there is something to do already.
    pub fn arm(self: &Rc<Self>) -> Armed {
        self.send();
        if self.state.borrow().closed.is_some() {
            return Armed::Idle;
        }
        let armed = self.device.borrow_mut().arm();
        armed.unwrap_or_else(|fault| {
            self.fail(fault);
            Armed::WorkPending
        })
    }

    /// When to [`poll`](Self::poll) even if the device is silent: soon, where memory was too short to send what is owed, and
    /// when references have been put off for long enough.
    pub fn next_poll(&self) -> Option<Instant> {
        let state = self.state.borrow();
        if state.closed.is_some() || !state.owes() {
            return None;
        }
        let soon = self.now().saturating_add(SHORTAGE);
        Some(if state.owes_now() || self.has_due_forgets(&state) { soon } else { state.forgets_until })
    }

    /// Whether references are to be returned now.
    fn has_due_forgets(&self, state: &State) -> bool {
        match state.forgets.len() {
            0 => false,
            count if count >= self.forget_batch.get() => true,
            _ => self.now() >= state.forgets_until,
        }
    }

    /// Takes a request back from the device.
    fn finish(self: &Rc<Self>, id: RequestId, buffers: FuseRequest) {
        self.silent.set(false);
        let mut state = self.state.borrow_mut();
        let index = state.by_request.take(id);
        let slot = index.and_then(|index| state.slots.get_mut(index));
        // A device that completes what was not in flight breaks its own contract; there is nobody to tell.
        let (Some(index), Some(slot)) = (index, slot) else { return };
        let Phase::InFlight { unique, late, keep, waiter } = core::mem::replace(&mut slot.phase, Phase::Free) else {
            return;
        };
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        // It has been answered: there is nothing to interrupt.
        state.interrupts.retain(|&waiting| waiting != unique);
        let Some(slot) = state.slots.get_mut(index) else { return };
        let answer = Answer { unique, buffers };
        match waiter {
            Waiter::Present => {
                self.wanted.set(self.wanted.get().saturating_sub(1));
                slot.phase = Phase::Done { answer, late, keep };
                let event = Rc::clone(&slot.event);
                drop(state);
                event.announce();
            }
            Waiter::Gone => {
                state.free.push(index);
                drop(state);
                self.settle(answer, late, keep);
            }
        }
    }

    /// Sends what is owed as far as there is room, and tells the device of everything new.
    fn send(self: &Rc<Self>) -> Work {
        let (owes_now, has_due_forgets) = {
            let state = self.state.borrow();
            let (owes_now, has_due_forgets) = (state.owes_now(), self.has_due_forgets(&state));
            // The rule, as every look of the core's loop comes here.
            let is_idle = !owes_now && !has_due_forgets && !state.unpublished;
            if is_idle || state.closed.is_some() {
                return Work::None;
            }
            (owes_now, has_due_forgets)
        };
        if owes_now {
            self.send_releases();
            self.send_interrupts();
        }
        if has_due_forgets {
            self.send_forgets();
        }
        if !core::mem::take(&mut self.state.borrow_mut().unpublished) {
            return Work::None;
        }
        self.device.borrow_mut().publish();
        Work::Done
    }
}
