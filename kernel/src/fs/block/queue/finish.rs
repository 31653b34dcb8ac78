//! From completions of the device to the end of requests, or to another try.

use toro_core::DmaBuf;
use toro_core::dma::Segments;
use toro_core::driver::block::BlockCompletion;

use super::chain::{Chain, unlink};
use super::record::{NONE, Phase, Target};
use super::{DiskError, Queue, State};

impl Queue {
    /// Takes a chain back from the device.
    pub(super) fn finish(&self, state: &mut State, completion: BlockCompletion) {
        let BlockCompletion { id, request, result } = completion;
        let Some(flight) = state.flights.get_mut(usize::from(id.0)).and_then(Option::take) else {
            // A driver that completes what was not in flight breaks its own contract; there is nobody to tell.
            return;
        };
        state.in_flight -= 1;
        state.resets = 0;
        hand_back(state, flight.head, request.data, Phase::Waiting);
        let next = state.records.get(flight.head).map_or(NONE, |record| record.next);
        match result {
            Ok(()) if next == NONE => self.go_on(state, flight.head),
            Ok(()) => {
                let mut place = flight.head;
                while place != NONE {
                    let next = unlink(&mut state.records, place);
                    self.end(state, place, Ok(()));
                    place = next;
                }
            }
            Err(error) if next == NONE => {
                // Perhaps the disk has shrunk: then the next such request is not sent.
                self.refresh();
                self.end(state, flight.head, Err(error.into()));
            }
            Err(_) => self.take_apart(state, flight.head, |_, _| Ok(())),
        }
    }

    /// A request by itself was done as far as it was given to the device.
    fn go_on(&self, state: &mut State, place: u32) {
        let Some(record) = state.records.get_mut(place) else { return };
        record.done += record.piece;
        if record.done < record.length && record.piece > 0 {
            state.waiting.put_back(Chain::alone(place));
        } else {
            self.end(state, place, Ok(()));
        }
    }

    /// Lets each request of a chain wait on its own, before all others, unless `decide` ends it with an error.
    pub(super) fn take_apart(
        &self,
        state: &mut State,
        head: u32,
        mut decide: impl FnMut(&mut State, u32) -> Result<(), DiskError>,
    ) {
        let mut places = head;
        let mut reversed = NONE;
        while places != NONE {
            let next = unlink(&mut state.records, places);
            match decide(state, places) {
                Ok(()) => {
                    if let Some(record) = state.records.get_mut(places) {
                        record.next = reversed;
                    }
                    reversed = places;
                }
                Err(error) => self.end(state, places, Err(error)),
            }
            places = next;
        }
        // They go to the front one by one, so the last comes first.
        while reversed != NONE {
            let next = unlink(&mut state.records, reversed);
            state.waiting.put_back(Chain::alone(reversed));
            reversed = next;
        }
    }

    /// Ends a request that is linked to nothing.
    pub(super) fn end(&self, state: &mut State, place: u32, result: Result<(), DiskError>) {
        state.unfinished -= 1;
        if self.first_in_line.get() != self.last_in_line.get() {
            self.room.announce();
        }
        let Some(record) = state.records.get_mut(place) else { return };
        record.result = result;
        record.phase = Phase::Done;
        match core::mem::replace(&mut record.target, Target::Ticket) {
            Target::Ticket => record.event.announce(),
            Target::Nobody => drop(state.records.leave(place)),
            Target::Away(tell) => {
                if let Some(finished) = state.records.leave(place) {
                    tell(finished);
                }
            }
        }
    }
}

/// Gives the requests of a chain their buffers back.
pub(super) fn hand_back(state: &mut State, head: u32, data: Segments, phase: Phase) {
    let mut give = |place: u32, buffer: Option<DmaBuf>| {
        let record = state.records.get_mut(place)?;
        record.phase = phase;
        record.buffer = buffer;
        Some(record.next)
    };
    match data {
        Segments::None => drop(give(head, None)),
        Segments::One(buffer) => drop(give(head, Some(buffer))),
        Segments::Many(buffers) => {
            let mut place = Some(head);
            for buffer in buffers {
                place = place.and_then(|place| give(place, Some(buffer)));
            }
        }
    }
}
