//! A driver, its controller, and the time between them.

use std::time::Duration;

use ata::{Ata, ChannelRegisters, DataWidth, Interrupts, Options, Transfer};
use toro_core::dma::{DmaBuf, DmaPool, Segments};
use toro_core::driver::block::{BlockCompletion, BlockDevice, BlockError, BlockOperation, BlockRequest, SECTOR};
use toro_core::driver::{Armed, DeviceFault, Refusal, RequestId};
use virtio_sim::SimMemory;
use virtio_sim::ide::{Clock, Controller, Drive, Port};

/// The most steps between two completions.
const MOST_STEPS: usize = 400_000;

pub struct Rig {
    pub controller: Controller,
    pub clock: &'static Clock,
    pub memory: &'static SimMemory,
    pub device: Ata<Port>,
    /// How long it was asleep without being woken.
    pub overslept: Duration,
}

/// A controller with these drives.
pub fn controller(
    drives: impl IntoIterator<Item = (usize, Drive)>,
) -> (Controller, &'static SimMemory, &'static Clock) {
    let (memory, clock) = (SimMemory::leak_low(), Clock::leak());
    let controller = Controller::new(memory, clock);
    drives.into_iter().for_each(|(unit, drive)| controller.connect(unit, drive));
    (controller, memory, clock)
}

pub fn registers(controller: &Controller) -> [Option<ChannelRegisters<Port>>; 2] {
    [0, 1].map(|number| {
        let [command, control, master] = controller.ports(number);
        Some(ChannelRegisters { command, control, bus_master: Some(master) })
    })
}

pub fn options(transfer: Transfer) -> Options {
    Options { transfer, data_width: DataWidth::Bits32, interrupts: [Interrupts::Line; 2] }
}

impl Rig {
    pub fn new(transfer: Transfer, drives: impl IntoIterator<Item = (usize, Drive)>) -> Self {
        let (controller, memory, clock) = controller(drives);
        Self::with(controller, memory, clock, &options(transfer))
    }

    pub fn with(controller: Controller, memory: &'static SimMemory, clock: &'static Clock, options: &Options) -> Self {
        let device = Ata::new(registers(&controller), memory, clock, options);
        Self { controller, clock, memory, device, overslept: Duration::ZERO }
    }

    /// Buffers of so many sectors, each word of a sector naming it and its place.
    pub fn buffers(&self, lengths: &[usize], first: u64) -> Segments {
        let mut sector = first;
        let buffers: Vec<DmaBuf> = lengths.iter().map(|length| self.buffer(*length, &mut sector)).collect();
        buffers.into()
    }

    fn buffer(&self, sectors: usize, sector: &mut u64) -> DmaBuf {
        let mut pool = DmaPool::new(self.memory, 1, sectors.max(1) * SECTOR).expect("memory");
        let mut buffer = pool.take().expect("a buffer");
        buffer.set_len(sectors * SECTOR).expect("as long as that");
        for bytes in buffer.chunks_exact_mut(SECTOR) {
            bytes.copy_from_slice(&stamp(*sector));
            *sector += 1;
        }
        buffer
    }

    /// Submits a request that has to be taken.
    pub fn submit(&mut self, unit: u8, operation: BlockOperation, data: Segments) -> RequestId {
        let result = self.device.submit(BlockRequest { unit, operation, data });
        result.unwrap_or_else(|refused| panic!("{operation:?}: {}", refused.reason))
    }

    /// Submits a request that must not be taken.
    pub fn refused(&mut self, unit: u8, operation: BlockOperation, data: Segments) -> Refusal {
        self.device.submit(BlockRequest { unit, operation, data }).expect_err("it must be refused").reason
    }

    pub fn write(&mut self, unit: u8, sector: u64, lengths: &[usize]) -> Result<(), BlockError> {
        let data = self.buffers(lengths, sector);
        self.submit(unit, BlockOperation::Write { sector }, data);
        self.finish().result
    }

    /// Reads, and checks that what has come says that it is what was asked for.
    pub fn read(&mut self, unit: u8, sector: u64, lengths: &[usize]) -> Result<(), BlockError> {
        let data = self.buffers(lengths, u64::MAX / 2);
        self.submit(unit, BlockOperation::Read { sector }, data);
        let done = self.finish();
        done.result?;
        assert!(is_stamped(&done.request.data, sector), "the sectors are not those from {sector} on");
        Ok(())
    }

    pub fn flush(&mut self, unit: u8) -> Result<(), BlockError> {
        self.submit(unit, BlockOperation::Flush, Segments::None);
        self.finish().result
    }

    pub fn finish(&mut self) -> BlockCompletion {
        self.try_finish().expect("no fault")
    }

    /// Goes on until a request is over, asleep where the driver allows it.
    pub fn try_finish(&mut self) -> Result<BlockCompletion, DeviceFault> {
        self.device.publish();
        for _ in 0..MOST_STEPS {
            if let Some(done) = self.device.complete()? {
                return Ok(done);
            }
            if self.device.arm()? == Armed::Idle {
                self.sleep();
            }
        }
        panic!("no end: {:?}", self.device.deadline());
    }

    /// Until an interrupt, or the driver's deadline.
    pub fn sleep(&mut self) {
        if self.controller.run() {
            return;
        }
        let deadline = self.device.deadline().expect("who sleeps is woken, or has a deadline");
        let rest = deadline.saturating_since(self.clock.peek());
        self.overslept += rest;
        self.clock.advance(rest);
    }

    /// The commands that were sent since this was called last.
    pub fn commands(&self, channel: usize) -> Vec<(usize, u8)> {
        std::mem::take(&mut self.controller.channel(channel).commands)
    }

    /// The codes of those.
    pub fn codes(&self) -> Vec<u8> {
        self.commands(0).into_iter().map(|(_, code)| code).collect()
    }
}

/// A disk that is stamped all over.
pub fn stamped(mut drive: Drive) -> Drive {
    let first = drive.start * (drive.block_size / SECTOR) as u64;
    for (sector, bytes) in (first..).zip(drive.contents.chunks_exact_mut(SECTOR)) {
        bytes.copy_from_slice(&stamp(sector));
    }
    drive
}

pub fn stamp(sector: u64) -> [u8; SECTOR] {
    let mut bytes = [0; SECTOR];
    for (index, word) in (0_u64..).zip(bytes.as_chunks_mut::<8>().0) {
        *word = (sector << 8 | index).to_le_bytes();
    }
    bytes
}

pub fn is_stamped(data: &Segments, first: u64) -> bool {
    let sectors = data.as_slice().iter().flat_map(|buffer| buffer.chunks_exact(SECTOR));
    (first..).zip(sectors).all(|(sector, bytes)| bytes == stamp(sector))
}

pub fn read(sector: u64) -> BlockOperation {
    BlockOperation::Read { sector }
}

pub fn write(sector: u64) -> BlockOperation {
    BlockOperation::Write { sector }
}
