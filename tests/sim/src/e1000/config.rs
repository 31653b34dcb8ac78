//! Configuration space: ids and the command register.

use toro_core::pci::{COMMAND, Command, ConfigSpace};

use super::Nic;
use super::registers::offsets;

/// The configuration space of a [`Nic`].
#[derive(Clone, Debug)]
pub struct NicConfig {
    nic: Nic,
}

impl NicConfig {
    pub(super) fn new(nic: Nic) -> Self {
        Self { nic }
    }

    /// Whether the device may access memory by itself.
    pub fn is_master(&self) -> bool {
        self.nic.chip().command & Command::BUS_MASTER.bits() != 0
    }
}

impl ConfigSpace for NicConfig {
    fn read32(&self, offset: u16) -> u32 {
        let chip = self.nic.chip();
        match offset {
            _ if chip.lies.is_gone => u32::MAX,
            0 => 0x100e_8086,
            COMMAND => u32::from(chip.command),
            _ => 0,
        }
    }

    fn write32(&self, offset: u16, value: u32) {
        assert_ne!(offset, COMMAND, "the status register beside it clears on writes");
        let _ = value;
    }

    fn write16(&self, offset: u16, value: u16) {
        if offset != COMMAND {
            return;
        }
        let mut chip = self.nic.chip();
        let was_master = chip.command & Command::BUS_MASTER.bits() != 0;
        chip.command = value;
        if was_master && value & Command::BUS_MASTER.bits() == 0 {
            if chip.lies.keeps_mastering {
                chip.command |= Command::BUS_MASTER.bits();
            }
            for base in [offsets::RDBAL, offsets::TDBAL] {
                let base = chip.base(base);
                let is_live = base == 0 || chip.memory.extent(base) > 0;
                chip.require(is_live, "E1-26: a ring was freed while the device could reach it");
            }
            let is_silent = chip.peek(offsets::RCTL) & 2 == 0 && chip.peek(offsets::TCTL) & 2 == 0;
            let is_silent = is_silent && chip.peek(offsets::IMS) == 0 || chip.lies.is_gone;
            // Nobody has programmed a device that was never started.
            chip.require(is_silent || chip.peek(offsets::RDLEN) == 0, "E1-26: cut off while it moves frames");
        }
    }
}
