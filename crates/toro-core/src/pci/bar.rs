//! Base address registers (PCI Local Bus 3.0 §6.2.5.1): where a function's registers are, and how many.

use super::{BAR0, COMMAND, Command, ConfigSpace};

/// What a base address register describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// Registers in memory space.
    Memory {
        /// Where the bus has put them; 0 if nobody has yet.
        address: u64,
        /// How many bytes: a power of two of at least 16.
        size: u64,
        /// Whether the register takes two slots and may lie anywhere in 64-bit space.
        width: BarWidth,
    },
    /// Registers in port space.
    Io {
        /// The first port; 0 if nobody has chosen one yet.
        port: u32,
        /// How many ports: a power of two of at least 4.
        size: u32,
    },
}

/// How wide a memory BAR is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarWidth {
    /// One slot, below 4 GiB.
    Bits32,
    /// Two slots.
    Bits64,
}

/// Reads and sizes the BARs of a function with an ordinary (type 0) header.
///
/// Sizing writes to the registers, so decoding is switched off meanwhile and everything is put back. A slot is
/// `None` where no BAR is implemented, where its description is nonsense, and for the upper half of a 64-bit one.
pub fn bars(config: &dyn ConfigSpace) -> [Option<Bar>; 6] {
    let command = config.read16(COMMAND);
    let decode = (Command::IO_SPACE | Command::MEMORY_SPACE).bits();
    config.write16(COMMAND, command & !decode);
    let mut bars = [None; 6];
    let mut index = 0;
    while index < 6 {
        let offset = BAR0 + 4 * index as u16;
        let bar = size_one(config, offset, index == 5);
        bars[index] = bar;
        index += match bar {
            Some(Bar::Memory { width: BarWidth::Bits64, .. }) => 2,
            _ => 1,
        };
    }
    config.write16(COMMAND, command);
    bars
}

fn probe(config: &dyn ConfigSpace, offset: u16) -> (u32, u32) {
    let value = config.read32(offset);
    config.write32(offset, u32::MAX);
    let mask = config.read32(offset);
    config.write32(offset, value);
    (value, mask)
}

fn size_one(config: &dyn ConfigSpace, offset: u16, is_last: bool) -> Option<Bar> {
    const IO: u32 = 1;
    const TYPE: u32 = 0b110;
    const TYPE_64: u32 = 0b100;
    let (value, mask) = probe(config, offset);
    if mask == 0 || value == u32::MAX {
        return None;
    }
    if value & IO != 0 {
        // Some functions implement only the low 16 bits.
        let mask = (mask & !3) | if mask & 0xffff_0000 == 0 { 0xffff_0000 } else { 0 };
        let size = (!mask).wrapping_add(1);
        return (size.is_power_of_two() && size >= 4).then_some(Bar::Io { port: value & !3, size });
    }
    let (address, mask, width) = if value & TYPE == TYPE_64 {
        if is_last {
            return None;
        }
        let (high, high_mask) = probe(config, offset + 4);
        let address = u64::from(value & !15) | u64::from(high) << 32;
        (address, u64::from(mask & !15) | u64::from(high_mask) << 32, BarWidth::Bits64)
    } else {
        (u64::from(value & !15), u64::from(mask & !15) | 0xffff_ffff_0000_0000, BarWidth::Bits32)
    };
    let size = (!mask).wrapping_add(1);
    let plausible = size.is_power_of_two() && size >= 16 && address.checked_add(size).is_some();
    plausible.then_some(Bar::Memory { address, size, width })
}

#[cfg(test)]
mod tests {
    use super::super::testing::Model;
    use super::*;

    #[test]
    fn memory_and_port_bars_are_sized_and_put_back() {
        let mut config = Model::new();
        config.masks = [0xffff_ffe0, 0xffff_f000, 0, 0, 0xffff_c000, 0xffff_ffff];
        config.flags = [1, 0, 0, 0, 0xc, 0];
        config.set(0x10, &0xc001_u32.to_le_bytes());
        config.set(0x14, &0xfebd_1000_u32.to_le_bytes());
        config.set(0x20, &0xfe00_000c_u32.to_le_bytes());
        config.set(0x24, &0x10_u32.to_le_bytes());
        config.write16(COMMAND, 7);
        let bars = bars(&config);
        assert_eq!(bars[0], Some(Bar::Io { port: 0xc000, size: 32 }));
        assert_eq!(bars[1], Some(Bar::Memory { address: 0xfebd_1000, size: 0x1000, width: BarWidth::Bits32 }));
        assert_eq!(bars[2], None);
        let expected = Bar::Memory { address: 0x10_fe00_0000, size: 0x4000, width: BarWidth::Bits64 };
        assert_eq!(bars[4], Some(expected));
        assert_eq!(bars[5], None);
        assert_eq!(config.read32(0x14), 0xfebd_1000);
        assert_eq!(config.read32(0x24), 0x10);
        assert_eq!(config.read16(COMMAND), 7);
    }

    #[test]
    fn hd_pci_14_garbage_is_no_bar() {
        let mut config = Model::new();
        config.masks = [0xf0f0_f0f0, 0xffff_fff0, 0, 0, 0, 0xffff_fff0];
        config.flags[5] = 0xc;
        config.set(0x10, &0x1000_u32.to_le_bytes());
        config.set(0x14, &u32::MAX.to_le_bytes());
        config.set(0x24, &0xc_u32.to_le_bytes());
        assert_eq!(bars(&config), [None; 6]);
    }
}
