//! From requests that wait to requests of the device.

use alloc::vec::Vec;

use toro_core::Instant;
use toro_core::dma::Segments;
use toro_core::driver::Refusal;
use toro_core::driver::RequestId;
use toro_core::driver::block::{BlockOperation, BlockRequest, SECTOR};

use super::chain::Chain;
use super::finish::hand_back;
use super::record::Phase;
use super::{DiskError, Flight, Queue, State};

impl Queue {
    /// Gives the device what waits, as far as there is room.
    pub(super) fn dispatch(&self, state: &mut State, now: Instant) {
        // Once, so that a device which changes all the time does not keep the core here.
        let mut may_ask = true;
        while state.in_flight < self.limits.in_flight {
            let Some(chain) = state.waiting.pop() else { return };
            if self.is_beyond(state, chain.head)
                && !(core::mem::take(&mut may_ask) && self.refresh() && !self.is_beyond(state, chain.head))
            {
                self.end(state, chain.head, Err(DiskError::Misplaced));
                continue;
            }
            let Some(request) = self.compose(state, chain) else {
                self.end(state, chain.head, Err(DiskError::Unsupported));
                continue;
            };
            let outcome = self.device.borrow_mut().submit(request);
            let refused = match outcome {
                Ok(id) => {
                    self.take_off(state, id, chain.head, now);
                    continue;
                }
                Err(refused) => refused,
            };
            hand_back(state, chain.head, refused.request.data, Phase::Waiting);
            match refused.reason {
                Refusal::Full => {
                    state.waiting.put_back(chain);
                    if state.in_flight == 0 {
                        let since = *state.stuck_since.get_or_insert(now);
                        state.check_at = since.saturating_add(self.patience);
                    }
                    return;
                }
                Refusal::Faulted(fault) => {
                    state.waiting.put_back(chain);
                    state.fault = Some(fault);
                    return;
                }
                _ if chain.parts > 1 => self.take_apart(state, chain.head, |_, _| Ok(())),
                _ if core::mem::take(&mut may_ask) && self.refresh() => state.waiting.put_back(chain),
                _ => {
                    let error = self.judge(state, chain.head);
                    self.end(state, chain.head, Err(error));
                }
            }
        }
    }

    /// Why the device will not take a request by itself.
    fn judge(&self, state: &State, place: u32) -> DiskError {
        let Some(record) = state.records.get(place) else { return DiskError::Unsupported };
        let disk = self.device.borrow().disk(record.unit);
        let is_write = !matches!(record.operation, BlockOperation::Read { .. } | BlockOperation::Identify);
        match (disk, record.operation) {
            (None, _) => DiskError::Dead,
            (Some(disk), _) if disk.is_read_only && is_write => DiskError::ReadOnly,
            (_, BlockOperation::Read { .. } | BlockOperation::Write { .. }) => DiskError::Misplaced,
            _ => DiskError::Unsupported,
        }
    }

    /// Makes the device's request of a chain; `None` if no piece of it is short enough.
    fn compose(&self, state: &mut State, chain: Chain) -> Option<BlockRequest> {
        let block = self.block_size(state, chain.head);
        let head = state.records.get_mut(chain.head)?;
        let (unit, operation) = (head.unit, head.next_operation());
        head.phase = Phase::InFlight;
        if chain.parts == 1 {
            let longest = match operation {
                BlockOperation::Read { .. } | BlockOperation::Write { .. } => self.longest_piece(block)?,
                _ => usize::MAX,
            };
            let data = head.take_piece(longest).map_or(Segments::None, Segments::One);
            return Some(BlockRequest { unit, operation, data });
        }
        let mut buffers = Vec::with_capacity(chain.parts);
        let mut place = chain.head;
        while let Some(record) = state.records.get_mut(place) {
            record.phase = Phase::InFlight;
            buffers.extend(record.take_piece(usize::MAX));
            place = record.next;
        }
        Some(BlockRequest { unit, operation, data: buffers.into() })
    }

    /// Bytes in the disk's blocks.
    fn block_size(&self, state: &State, place: u32) -> usize {
        // Only what is too long for any request has to know.
        let is_long = state.records.get(place).is_some_and(|record| record.length > self.short());
        let unit = state.records.get(place).map_or(0, |record| record.unit);
        let disk = is_long.then(|| self.device.borrow().disk(unit)).flatten();
        disk.map_or(SECTOR, |disk| disk.block_size as usize)
    }

    /// Whether a request of several pieces, none of which has been done, leads beyond the end of the disk. Others are for
    /// the driver to judge.
    fn is_beyond(&self, state: &State, place: u32) -> bool {
        let Some(record) = state.records.get(place) else { return false };
        let (BlockOperation::Read { sector } | BlockOperation::Write { sector }) = record.operation else {
            return false;
        };
        if record.length <= self.short() || record.done > 0 {
            return false;
        }
        let end = sector.saturating_add((record.length / SECTOR) as u64);
        self.device.borrow().disk(record.unit).is_some_and(|disk| end > disk.sectors)
    }

    fn short(&self) -> usize {
        self.limits.segment_bytes.min((self.limits.sectors as usize).saturating_mul(SECTOR))
    }

    fn longest_piece(&self, block: usize) -> Option<usize> {
        let whole = self.short() / block.max(SECTOR) * block.max(SECTOR);
        (whole > 0).then_some(whole)
    }

    /// Notes that the device has taken a chain.
    fn take_off(&self, state: &mut State, id: RequestId, head: u32, now: Instant) {
        let index = usize::from(id.0);
        if state.flights.len() <= index {
            state.flights.resize(index + 1, None);
        }
        if let Some(flight) = state.flights.get_mut(index) {
            *flight = Some(Flight { head, since: now });
        }
        if state.in_flight == 0 {
            state.check_at = now.saturating_add(self.patience);
            state.stuck_since = None;
        }
        state.in_flight += 1;
        state.is_unpublished = true;
    }
}
