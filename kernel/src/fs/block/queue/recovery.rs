//! What happens when the device does not answer, or breaks its protocol: a reset, and if need be the end.

use alloc::vec::Vec;

use toro_core::Instant;
use toro_core::driver::block::{BlockCompletion, BlockError, BlockOperation};

use super::chain::unlink;
use super::finish::hand_back;
use super::record::{NONE, Phase, Tries};
use super::{DiskError, MOST_RESETS, Queue, State};

impl Queue {
    /// Whether a request takes longer than the queue's patience; if not, when to look again.
    pub(super) fn is_overdue(&self, state: &mut State, now: Instant) -> bool {
        let oldest = state.flights.iter().flatten().map(|flight| flight.since).chain(state.stuck_since).min();
        state.check_at = oldest.map_or(Instant::from_nanos(u64::MAX), |since| since.saturating_add(self.patience));
        now >= state.check_at
    }

    /// Resets the device, and ends what cannot be tried again.
    pub(super) fn recover(&self, state: &mut State, now: Instant) {
        state.resets += 1;
        if state.resets > MOST_RESETS {
            log::error!("{}: {MOST_RESETS} resets did not help", self.name);
            return self.die(state);
        }
        let mut unfinished = Vec::new();
        let outcome = self.device.borrow_mut().reset(&mut |completion| unfinished.push(completion));
        if let Err(error) = outcome {
            log::error!("{}: cannot be reset: {error}", self.name);
            unfinished.into_iter().for_each(|completion| self.interrupt(state, completion, now));
            return self.die(state);
        }
        log::warn!("{}: was reset; {} requests were interrupted", self.name, unfinished.len());
        // The last first, so that they wait in the order in which they came.
        unfinished.into_iter().rev().for_each(|completion| self.interrupt(state, completion, now));
        self.abandon(state);
        state.stuck_since = None;
    }

    /// A chain that a reset has handed back.
    fn interrupt(&self, state: &mut State, completion: BlockCompletion, now: Instant) {
        let BlockCompletion { id, request, .. } = completion;
        let Some(flight) = state.flights.get_mut(usize::from(id.0)).and_then(Option::take) else { return };
        state.in_flight -= 1;
        hand_back(state, flight.head, request.data, Phase::Waiting);
        let is_late = now >= flight.since.saturating_add(self.patience);
        let error = if is_late { BlockError::TimedOut } else { BlockError::Interrupted };
        self.take_apart(state, flight.head, |state, place| {
            let Some(record) = state.records.get_mut(place) else { return Ok(()) };
            let is_read = matches!(record.operation, BlockOperation::Read { .. });
            match core::mem::replace(&mut record.tries, Tries::Second) {
                Tries::First if is_read => Ok(()),
                _ => Err(error.into()),
            }
        });
    }

    /// Ends what the device has kept: without buffers.
    fn abandon(&self, state: &mut State) {
        let mut flights = core::mem::take(&mut state.flights);
        for flight in flights.iter_mut().filter_map(Option::take) {
            let mut place = flight.head;
            while place != NONE {
                let next = unlink(&mut state.records, place);
                self.end(state, place, Err(BlockError::Interrupted.into()));
                place = next;
            }
        }
        state.flights = flights;
        state.in_flight = 0;
    }

    /// Nothing will be done any more.
    fn die(&self, state: &mut State) {
        state.is_dead = true;
        self.abandon(state);
        while let Some(chain) = state.waiting.pop() {
            self.take_apart(state, chain.head, |_, _| Err(DiskError::Dead));
        }
    }
}
