//! [`Command`]: what a disk of this kind can do beyond every block device.
//!
//! A command is a request like the others, in the same slots. It has one buffer, and completes as [`Finished::Command`];
//! whoever knows the disk only as a block device neither sends any nor sees one.

use core::borrow::Borrow;

use toro_core::DmaBuf;
use toro_core::dma::Segments;
use toro_core::driver::block::{BlockCompletion, BlockError, BlockOperation, BlockRequest};
use toro_core::driver::{DeviceFault, Refusal, Refused, RequestId};
use virtio_queue_rt::queue::{SlotStorage, Token};
use virtio_queue_rt::{Direction, Running, Transport};
use zerocopy::IntoBytes;

use super::{VirtioBlk, completion};
use crate::features;
use crate::in_flight::{InFlight, Remembered};
use crate::request::{self, RangeOperation};
use crate::wire::{self, Lifetime, Range, kind, status};

/// A request of the driver's own, beyond what every block device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Say how worn the disk is: see [`Lifetime::parse`].
    Lifetime,
    /// Do this to several ranges.
    Ranges(RangeOperation),
}

/// A command that the device has finished with.
#[derive(Debug)]
pub struct CommandCompletion {
    /// What was returned for it when it was submitted.
    pub id: RequestId,
    /// What it was.
    pub command: Command,
    /// Its buffer.
    pub buffer: DmaBuf,
    /// Whether it was done. Of several ranges each may have been done or not if it was not.
    pub result: Result<(), BlockError>,
}

/// What the device has finished with.
#[derive(Debug)]
pub enum Finished {
    /// A request.
    Request(BlockCompletion),
    /// A command.
    Command(CommandCompletion),
}

impl<T, S, D> VirtioBlk<T, S, D>
where
    T: Transport,
    S: SlotStorage<Segments, InFlight>,
    D: Borrow<Running<T>>,
{
    /// Asks how worn the disk is: [`Finished::Command`] brings the buffer with a [`Lifetime`] in it. The buffer has
    /// room for at least that; its contents are replaced.
    ///
    /// # Errors
    ///
    /// The buffer, and why the request was refused.
    pub fn submit_lifetime(&mut self, mut buffer: DmaBuf) -> Result<RequestId, Refused<DmaBuf>> {
        if let Err(reason) = self.room() {
            return Err(Refused { reason, request: buffer });
        }
        let has_it = self.traits.features.contains(features::LIFETIME);
        if !has_it || request::fill(&mut buffer, &[0; Lifetime::LEN]).is_err() {
            return Err(Refused { reason: Refusal::Invalid, request: buffer });
        }
        self.submit_command(kind::GET_LIFETIME, buffer, Direction::FromDevice, Command::Lifetime)
    }

    /// Discards, fills with zeros or erases several ranges of sectors, each given by its first sector and their number,
    /// with one request: [`Finished::Command`] says when it is done. The buffer has room for 16 bytes for each range;
    /// its contents are replaced.
    ///
    /// # Errors
    ///
    /// The buffer, and why the request was refused: also for more ranges than the device takes at once, or none.
    pub fn submit_ranges(
        &mut self,
        operation: RangeOperation,
        ranges: &[(u64, u32)],
        mut buffer: DmaBuf,
    ) -> Result<RequestId, Refused<DmaBuf>> {
        if let Err(reason) = self.room() {
            return Err(Refused { reason, request: buffer });
        }
        let traits = &self.traits;
        let most = traits.range_limit(operation).ranges as usize;
        let bytes = ranges.len().saturating_mul(Range::LEN);
        let fits = (1..=most).contains(&ranges.len()) && bytes <= buffer.total_capacity().min(traits.segment_bytes);
        let are_sound = || ranges.iter().all(|&(sector, sectors)| traits.range(operation, sector, sectors).is_some());
        if !fits || !are_sound() || buffer.reset(0).is_err() {
            return Err(Refused { reason: Refusal::Invalid, request: buffer });
        }
        for range in ranges.iter().filter_map(|&(sector, sectors)| traits.range(operation, sector, sectors)) {
            if buffer.extend(range.as_bytes()).is_err() {
                return Err(Refused { reason: Refusal::Invalid, request: buffer });
            }
        }
        self.submit_command(operation.kind(), buffer, Direction::ToDevice, Command::Ranges(operation))
    }

    /// The most ranges that [`submit_ranges`](Self::submit_ranges) takes at once; 0 if the disk cannot do this at all.
    pub fn most_ranges(&self, operation: RangeOperation) -> u32 {
        self.traits.range_limit(operation).ranges
    }

    fn submit_command(
        &mut self,
        kind: u32,
        buffer: DmaBuf,
        direction: Direction,
        command: Command,
    ) -> Result<RequestId, Refused<DmaBuf>> {
        let gone = Refusal::Faulted(DeviceFault::Gone);
        let Some(live) = &mut self.live else { return Err(Refused { reason: gone, request: buffer }) };
        let header = wire::header(self.traits.order, kind, 0);
        let data = Segments::One(buffer);
        match live.queue.submit(header, data, direction, status::UNWRITTEN, InFlight::command(command)) {
            Ok(token) => Ok(RequestId(token.0)),
            Err(Refused { reason, request: (data, _) }) => {
                let request = data.into_one().expect("it was made of one just now");
                Err(Refused { reason, request })
            }
        }
    }

    /// The next finished request or command, if there is one.
    ///
    /// [`BlockDevice::complete`](toro_core::driver::block::BlockDevice::complete) gives requests alone: whoever submits
    /// commands comes here instead.
    ///
    /// # Errors
    ///
    /// The device broke the protocol; nothing will complete until it is reset.
    #[inline]
    pub fn finished(&mut self) -> Result<Option<Finished>, DeviceFault> {
        let Some(live) = &mut self.live else { return Err(DeviceFault::Gone) };
        let Some(done) = live.queue.poll()? else { return Ok(None) };
        Ok(Some(match done.cookie.transfer() {
            Some(operation) => Finished::Request(completion(operation, done)),
            None => self.conclude(done.payload.into_one(), done.cookie, done.token, done.trailer),
        }))
    }

    /// What neither a read nor a write completes with: it had one buffer, or none.
    #[cold]
    pub(super) fn conclude(
        &mut self,
        buffer: Option<DmaBuf>,
        in_flight: InFlight,
        Token(slot): Token,
        status: u8,
    ) -> Finished {
        let (id, result) = (RequestId(slot), request::result(status));
        let operation = match in_flight.remembered() {
            Remembered::Request(operation) => operation,
            Remembered::Settling(switch) => {
                self.settle(switch, result);
                BlockOperation::Flush
            }
            Remembered::Command(command) => {
                let buffer = buffer.expect("every command has one");
                return Finished::Command(CommandCompletion { id, command, buffer, result });
            }
        };
        let request = BlockRequest { unit: 0, operation, data: buffer.map_or(Segments::None, Segments::One) };
        Finished::Request(BlockCompletion { id, request, result })
    }
}
