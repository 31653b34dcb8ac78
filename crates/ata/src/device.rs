//! [`Ata`]: the controller as a [`BlockDevice`].

use core::fmt;
use core::time::Duration;

use toro_core::driver::block::{
    BlockCompletion, BlockDevice, BlockLimits, BlockOperation, BlockRequest, Disk, SECTOR, SERIAL_BYTES,
};
use toro_core::driver::{Armed, AttachError, DeviceFault, Refusal, Refused, RequestId};
use toro_core::{Clock, Dma, Instant, Registers};

use crate::channel::{Channel, News, Platform};
use crate::drive::Transfer;
use crate::engine::Interrupts;
use crate::queue::DEPTH;
use crate::registers::{ChannelRegisters, DataWidth};

/// Units of a controller: two channels with two drives each.
const UNITS: u8 = 4;
/// The most sectors in a request: 32 MiB.
const MOST_SECTORS: usize = 65_536;
/// The most buffers in a request.
const MOST_SEGMENTS: usize = 512;
/// How long a channel may take altogether to say which drives it has.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take after a reset in which drives spin up.
const RESET_PATIENCE: Duration = Duration::from_secs(40);

/// Choices that a platform makes once.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How data moves.
    pub transfer: Transfer,
    /// How wide the controller's data ports are.
    pub data_width: DataWidth,
    /// Whether the primary and the secondary channel interrupt.
    pub interrupts: [Interrupts; 2],
}

impl Default for Options {
    fn default() -> Self {
        Self { transfer: Transfer::Dma, data_width: DataWidth::Bits16, interrupts: [Interrupts::Polled; 2] }
    }
}

/// An IDE controller with up to four drives: units 0 and 1 are those of the primary channel, 2 and 3 of the secondary.
pub struct Ata<R: Registers> {
    channels: [Option<Channel<R>>; 2],
    /// The channel that is looked at first next time.
    next: usize,
}

impl<R: Registers> Ata<R> {
    /// Looks for drives on the channels that are there, and gets them ready. A channel that does not behave has none; a
    /// controller without drives is a controller all the same.
    ///
    /// Where there is nothing, this takes some dozens of register accesses and waits for nothing.
    pub fn new(
        channels: [Option<ChannelRegisters<R>>; 2],
        memory: Dma,
        clock: &'static dyn Clock,
        options: &Options,
    ) -> Self {
        let platform = Platform { transfer: options.transfer, data_width: options.data_width, memory, clock };
        let mut number = 0;
        let channels = channels.map(|registers| {
            let interrupts = options.interrupts[number];
            number += 1;
            let mut channel = Channel::new(registers?, interrupts, number - 1, &platform);
            if let Err(error) = channel.finish_setup(PATIENCE) {
                log::warn!("{}: {error}", channel.name());
                return None;
            }
            channel.news = News::None;
            Some(channel)
        });
        Self { channels, next: 0 }
    }

    /// Whether there is any drive, with a medium or without.
    pub fn has_drives(&self) -> bool {
        self.channels.iter().flatten().any(|channel| channel.drives.iter().any(Option::is_some))
    }

    /// The model of a unit's drive, as it gives it; empty without one.
    pub fn model(&self, unit: u8) -> &str {
        let drive = self.channel(unit).and_then(|channel| channel.drives[usize::from(unit & 1)].as_ref());
        drive.map_or("", |drive| drive.identity.model())
    }

    fn channel(&self, unit: u8) -> Option<&Channel<R>> {
        self.channels.get(usize::from(unit / 2))?.as_ref()
    }

    /// Why a request cannot be taken.
    fn refusal(&self, request: &BlockRequest) -> Option<Refusal> {
        if request.unit >= UNITS {
            return Some(Refusal::Invalid);
        }
        let Some(channel) = self.channel(request.unit) else { return Some(Refusal::Faulted(DeviceFault::Gone)) };
        if let Some(fault) = channel.fault() {
            return Some(Refusal::Faulted(fault));
        }
        let Some(drive) = &channel.drives[usize::from(request.unit & 1)] else {
            return Some(Refusal::Faulted(DeviceFault::Gone));
        };
        let buffers = request.data.as_slice();
        let is_sound = match (request.operation, drive.disk()) {
            (BlockOperation::Read { sector }, Some(disk)) => is_in_range(&disk, sector, request),
            (BlockOperation::Write { sector }, Some(disk)) if !disk.is_read_only => is_in_range(&disk, sector, request),
            (BlockOperation::Flush, _) => buffers.is_empty(),
            (BlockOperation::Identify, _) => buffers.len() == 1 && buffers[0].len() == SERIAL_BYTES,
            _ => false,
        };
        if !is_sound {
            return Some(Refusal::Invalid);
        }
        channel.queue.is_full().then_some(Refusal::Full)
    }
}

/// Whether the request's buffers are whole blocks, and the disk has those.
fn is_in_range(disk: &Disk, sector: u64, request: &BlockRequest) -> bool {
    let buffers = request.data.as_slice();
    let bytes = request.data.len();
    let is_block = |bytes: u64| bytes.is_multiple_of(u64::from(disk.block_size));
    let sectors = bytes / SECTOR as u64;
    (1..=MOST_SEGMENTS).contains(&buffers.len())
        && buffers.iter().all(|buffer| !buffer.is_empty() && buffer.len().is_multiple_of(SECTOR))
        && sectors <= MOST_SECTORS as u64
        && is_block(bytes)
        && sector.checked_mul(SECTOR as u64).is_some_and(is_block)
        && sector.checked_add(sectors).is_some_and(|end| end <= disk.sectors)
}

impl<R: Registers + Send> BlockDevice for Ata<R> {
    fn units(&self) -> u8 {
        UNITS
    }

    fn disk(&self, unit: u8) -> Option<Disk> {
        self.channel(unit)?.drives[usize::from(unit & 1)].as_ref()?.disk()
    }

    fn refresh(&mut self) -> bool {
        let news = self.channels.iter_mut().flatten().map(|channel| core::mem::replace(&mut channel.news, News::None));
        news.fold(false, |is_any, news| is_any | (news == News::Some))
    }

    fn limits(&self) -> BlockLimits {
        BlockLimits {
            in_flight: DEPTH,
            segments: MOST_SEGMENTS,
            segment_bytes: MOST_SECTORS * SECTOR,
            sectors: MOST_SECTORS as u32,
            discard_sectors: 0,
            write_zeroes_sectors: 0,
            secure_erase_sectors: 0,
        }
    }

    fn submit(&mut self, request: BlockRequest) -> Result<RequestId, Refused<BlockRequest>> {
        if let Some(reason) = self.refusal(&request) {
            return Err(Refused { reason, request });
        }
        match self.channels.get_mut(usize::from(request.unit / 2)) {
            Some(Some(channel)) => match channel.queue.push(request) {
                Ok(place) => Ok(channel.id(place)),
                Err(request) => Err(Refused { reason: Refusal::Full, request }),
            },
            _ => Err(Refused { reason: Refusal::Invalid, request }),
        }
    }

    fn publish(&mut self) {
        self.channels.iter_mut().flatten().for_each(Channel::publish);
    }

    fn complete(&mut self) -> Result<Option<BlockCompletion>, DeviceFault> {
        for _ in 0..self.channels.len() {
            let index = self.next;
            self.next = (index + 1) % self.channels.len();
            if let Some(channel) = &mut self.channels[index]
                && let Some(done) = channel.poll()?
            {
                return Ok(Some(done));
            }
        }
        Ok(None)
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        // The channels interrupt all the time; what matters is the look.
        for channel in self.channels.iter().flatten() {
            if let Some(fault) = channel.fault() {
                return Err(fault);
            }
            if channel.is_ready() {
                return Ok(Armed::WorkPending);
            }
        }
        Ok(Armed::Idle)
    }

    fn deadline(&self) -> Option<Instant> {
        self.channels.iter().flatten().filter_map(Channel::deadline).min()
    }

    fn reset(&mut self, unfinished: &mut dyn FnMut(BlockCompletion)) -> Result<(), AttachError> {
        for channel in self.channels.iter_mut().flatten() {
            channel.reset(RESET_PATIENCE, unfinished)?;
        }
        if self.has_drives() { Ok(()) } else { Err(AttachError::Fault(DeviceFault::Gone)) }
    }
}

impl<R: Registers> fmt::Debug for Ata<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ata(")?;
        for (unit, separator) in (0..UNITS).zip(["", ", ", ", ", ", "]) {
            write!(f, "{separator}{:?}", self.model(unit))?;
        }
        f.write_str(")")
    }
}
