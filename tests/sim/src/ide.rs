//! A PCI IDE controller that runs in a test, with the drives that the test connects to it.
//!
//! ```text
//!   driver under test                         this module
//!   ChannelRegisters  <--- Port ------------> Controller: two channels, each with two drives and a bus master
//!   buffers, PRDs     <--- SimMemory -------> the bus master
//!   Clock             <--- Clock: passes when it is looked at, or when the test says so
//! ```
//!
//! The model follows ATA/ATAPI-7, and QEMU's PIIX3 where that is peculiar: what is written while a drive is busy is lost,
//! registers are written for both drives at once, a second drive that is not there has a status of zero beside a first one
//! that is, the bus master's command and status know accesses of one byte only, and 32 bits of the data port are nothing
//! where a block has only 16 left. What a driver must never do fails the test, unless that has said that the driver may
//! ([`Controller::be_lenient`]).
//!
//! A [`Pace::Slow`] controller is busy with everything until the test lets it go on, as a drive is: [`Controller::run`].
//! [`Lies`] are what a drive may do that is no drive any more.

mod channel;
mod drive;
mod identify;
mod lies;
mod master;
mod packet;
mod transfer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use toro_core::{Instant, Registers};

pub use channel::{Channel, Pace};
pub use drive::{Drive, Failure, Kind};
pub use identify::{Words, checksum};
pub use lies::Lies;

use crate::SimMemory;

/// A clock that passes a microsecond each time it is looked at.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    /// One that lives for ever.
    pub fn leak() -> &'static Self {
        static ALL: Mutex<Vec<&'static Clock>> = Mutex::new(Vec::new());
        let clock: &'static Self = Box::leak(Box::default());
        ALL.lock().unwrap_or_else(PoisonError::into_inner).push(clock);
        clock
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The time, without letting any pass.
    pub fn peek(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

impl toro_core::Clock for Clock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.fetch_add(1_000, Ordering::Relaxed))
    }

    fn relax(&self) {
        self.advance(Duration::from_millis(1));
    }
}

/// The controller. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Controller {
    channels: Arc<[Mutex<Channel>; 2]>,
}

/// Which registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Command,
    Control { first: usize },
    Master,
}

/// One block of registers of a controller.
#[derive(Clone, Debug)]
pub struct Port {
    controller: Controller,
    channel: usize,
    block: Block,
}

impl Controller {
    /// A controller to which nothing is connected.
    pub fn new(memory: &'static SimMemory, clock: &'static Clock) -> Self {
        Self { channels: Arc::new([0, 1].map(|_| Mutex::new(Channel::new(memory, clock)))) }
    }

    /// Connects a drive: units 0 and 1 to the primary channel, 2 and 3 to the secondary.
    pub fn connect(&self, unit: usize, drive: Drive) {
        self.channel(unit / 2).drives[unit % 2] = Some(drive);
    }

    /// A channel's registers: command block, control, bus master, as in compatibility mode.
    pub fn ports(&self, channel: usize) -> [Port; 3] {
        self.blocks(channel, 0)
    }

    /// The same with the four ports of control that a native-mode channel has.
    pub fn native_ports(&self, channel: usize) -> [Port; 3] {
        self.blocks(channel, 2)
    }

    fn blocks(&self, channel: usize, first: usize) -> [Port; 3] {
        [Block::Command, Block::Control { first }, Block::Master].map(|block| Port {
            controller: self.clone(),
            channel,
            block,
        })
    }

    /// A channel, to look at or to change.
    pub fn channel(&self, number: usize) -> MutexGuard<'_, Channel> {
        self.channels[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes both channels.
    pub fn change(&self, change: impl Fn(&mut Channel)) {
        [0, 1].into_iter().for_each(|number| change(&mut self.channel(number)));
    }

    /// Lets drives go on that are busy; says whether any channel has interrupted.
    pub fn run(&self) -> bool {
        let runs = [0, 1].map(|number| self.channel(number).run());
        runs.contains(&true)
    }

    /// From now on a driver may do what it must not.
    pub fn be_lenient(&self) {
        self.change(|channel| channel.is_strict = false);
    }
}

impl Registers for Port {
    fn len(&self) -> usize {
        match self.block {
            Block::Command => 8,
            Block::Control { first: 0 } => 1,
            Block::Control { .. } => 4,
            Block::Master => 16,
        }
    }

    fn read8(&self, offset: usize) -> u8 {
        match self.block {
            Block::Command if offset < 8 => self.controller.channel(self.channel).read(offset),
            Block::Control { first } if offset == first => self.controller.channel(self.channel).alternate(),
            Block::Master if offset < 16 => self.controller.channel(offset / 8).read_master(offset % 8),
            _ => u8::MAX,
        }
    }

    fn read16(&self, offset: usize) -> u16 {
        match self.block {
            Block::Command if offset == 0 => self.controller.channel(self.channel).read_16(),
            _ => panic!("AT-33: 16 bits from offset {offset} of {:?}", self.block),
        }
    }

    fn read32(&self, offset: usize) -> u32 {
        match self.block {
            Block::Command if offset == 0 => self.controller.channel(self.channel).read_32(),
            Block::Master if offset % 8 == 4 && offset < 16 => self.controller.channel(offset / 8).table(),
            _ => panic!("AT-33: 32 bits from offset {offset} of {:?}", self.block),
        }
    }

    fn write8(&self, offset: usize, value: u8) {
        let mut channel = self.controller.channel(self.channel);
        match self.block {
            Block::Command if offset < 8 => channel.write(offset, value),
            Block::Control { first } if offset == first => channel.write_control(value),
            Block::Master if offset < 16 => {
                drop(channel);
                self.controller.channel(offset / 8).write_master(offset % 8, value);
            }
            _ => panic!("a write to offset {offset} of {:?}", self.block),
        }
    }

    fn write16(&self, offset: usize, value: u16) {
        assert!(self.block == Block::Command && offset == 0, "AT-33: 16 bits to offset {offset} of {:?}", self.block);
        self.controller.channel(self.channel).write_16(value);
    }

    fn write32(&self, offset: usize, value: u32) {
        match self.block {
            Block::Command if offset == 0 => self.controller.channel(self.channel).write_32(value),
            Block::Master if offset % 8 == 4 && offset < 16 => self.controller.channel(offset / 8).set_table(value),
            _ => panic!("AT-33: 32 bits to offset {offset} of {:?}", self.block),
        }
    }
}
