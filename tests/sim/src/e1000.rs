//! A gigabit controller that runs in a test, with the network behind it.
//!
//! ```text
//!   driver under test                         this module
//!   Registers, ConfigSpace  <--- Nic -------> registers, EEPROM, PHY
//!   rings, buffers          <--- SimMemory -> fetched and written back, by bus address
//!   Clock                   <--- Clock: passes when it is looked at, or when the test says so
//!                                network:     Nic::deliver, Nic::take_sent
//! ```
//!
//! The model follows the manual of the 8254x, and QEMU's 82540EM where that is peculiar and harmless to follow: a reset
//! leaves the registers as they are; a write of receive control stops reception for a second; received checksums are not
//! looked at; frames go out during the write of the tail; only 16 bits of a length count; a ring whose head is its tail has
//! no buffers. [`Nature::Hardware`] is the other one: a reset clears, sums are looked at, and there is one context.
//!
//! What a driver must never do fails the test, with the requirement's id, unless the test has said that the driver may
//! ([`Nic::be_lenient`]). [`Lies`] are what a device may do that is none any more.

mod config;
mod memory;
mod receive;
mod registers;
mod transmit;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use toro_core::{Clock as _, Registers};

pub use config::NicConfig;
pub use receive::Delivery;
pub use registers::Chip;

use crate::SimMemory;
use crate::ide::Clock;

/// After whose manners the device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// QEMU's.
    Emulated,
    /// The manual's.
    Hardware,
}

/// When frames go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// While the tail is written.
    Quick,
    /// When the test says so: [`Nic::run`].
    Slow,
}

/// How the EEPROM is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EepromKind {
    /// As that of an 8254x.
    Old,
    /// As that of an 82574.
    New,
}

/// What a device may do that is no device any more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lies {
    /// Every register reads as all ones.
    pub is_gone: bool,
    /// The EEPROM never answers.
    pub has_no_eeprom: bool,
    /// The PHY's bus never answers.
    pub has_no_phy: bool,
    /// The PHY's bus answers with an error.
    pub phy_fails: bool,
    /// A reset never ends.
    pub never_resets: bool,
    /// Nothing is sent any more.
    pub is_mute: bool,
    /// These causes are always set.
    pub stuck_causes: u32,
    /// What the registers of heads and tails read as.
    pub indices: Option<u32>,
    /// Bus mastering cannot be switched off.
    pub keeps_mastering: bool,
}

/// The device. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Nic {
    chip: Arc<Mutex<Chip>>,
}

impl Nic {
    /// An 82540EM with this address in its EEPROM.
    pub fn new(memory: &'static SimMemory, clock: &'static Clock, mac: [u8; 6]) -> Self {
        Self { chip: Arc::new(Mutex::new(Chip::new(memory, clock, mac))) }
    }

    /// Its state, to look at or to change.
    pub fn chip(&self) -> MutexGuard<'_, Chip> {
        self.chip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its configuration space.
    pub fn config(&self) -> NicConfig {
        NicConfig::new(self.clone())
    }

    /// From now on a driver may do what it must not.
    pub fn be_lenient(&self) {
        self.chip().is_strict = false;
    }

    /// A frame arrives, without its check sequence.
    pub fn deliver(&self, frame: &[u8]) -> Delivery {
        self.chip().deliver(frame)
    }

    /// What has gone out since this was called last.
    pub fn take_sent(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.chip().sent)
    }

    /// Lets a [`Pace::Slow`] device send what it was given; says whether it interrupts.
    pub fn run(&self) -> bool {
        let mut chip = self.chip();
        chip.transmit();
        chip.line()
    }

    /// Whether the interrupt line is up.
    pub fn line(&self) -> bool {
        self.chip().line()
    }

    /// How often a register was read and written since this was called last.
    pub fn take_accesses(&self, offset: usize) -> (u32, u32) {
        self.chip().accesses.remove(&offset).unwrap_or_default()
    }

    /// All accesses since this was called last.
    pub fn take_all_accesses(&self) -> u32 {
        std::mem::take(&mut self.chip().accesses).values().map(|(reads, writes)| reads + writes).sum()
    }

    /// Takes the link up or down.
    pub fn set_link(&self, link: toro_core::driver::net::LinkState) {
        self.chip().set_link(link);
    }

    /// Lets time pass, until QEMU's pause of reception is over.
    pub fn sit_out_pause(&self) {
        let clock = self.chip().clock;
        clock.advance(Duration::from_secs(1));
        let _ = clock.now();
    }
}

impl Registers for Nic {
    fn len(&self) -> usize {
        0x2_0000
    }

    fn read8(&self, offset: usize) -> u8 {
        panic!("a byte is read at {offset:#x}: accesses have 32 bits")
    }

    fn read16(&self, offset: usize) -> u16 {
        panic!("16 bits are read at {offset:#x}: accesses have 32")
    }

    fn read32(&self, offset: usize) -> u32 {
        self.chip().read(offset)
    }

    fn write8(&self, offset: usize, _: u8) {
        panic!("a byte is written at {offset:#x}: accesses have 32 bits")
    }

    fn write16(&self, offset: usize, _: u16) {
        panic!("16 bits are written at {offset:#x}: accesses have 32")
    }

    fn write32(&self, offset: usize, value: u32) {
        self.chip().write(offset, value);
    }
}
