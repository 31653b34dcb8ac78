//! The zero page of Linux's 64-bit boot protocol (Linux Documentation/arch/x86/boot.rst and zero-page.rst).
//!
//! ```text
//!   0x070 RSDP                          0x1FE boot flag 0xAA55        e820 entry, 20 bytes
//!   0x0C0 module, upper half            0x202 "HdrS"                   0 address
//!   0x0C4 module's size, upper half     0x218 module                   8 size
//!   0x0C8 command line, upper half      0x21C module's size           16 type
//!   0x1E8 number of e820 entries        0x228 command line
//!                                       0x2D0 e820 entries, up to 128
//! ```
//!
//! A loader that boots a kernel from a `bzImage` copies the header at 0x1F1 from it. One that boots an ELF file has none to
//! copy, and makes up a header with its two magic numbers; so these are all that tells a zero page from other memory.

use super::information::{BootError, BootInformation, Module, Modules, Protocol, Text};
use crate::mm::memory_map::{MAX_ENTRIES, MemoryMap};
use crate::mm::physical::{PhysicalMemory, read_u16, read_u32, read_u64};

/// "HdrS", the magic number of the header.
pub const MAGIC: u32 = 0x5372_6448;
const BOOT_FLAG: u16 = 0xAA55;
const SIZE: usize = 4096;
const E820_ENTRY_SIZE: usize = 20;
const E820_TABLE: usize = 0x2D0;

/// Reads the zero page at physical address `address`.
///
/// # Errors
///
/// See [`BootError`].
pub fn parse(memory: &dyn PhysicalMemory, address: u64) -> Result<BootInformation<'_>, BootError> {
    let page = memory.bytes(address, SIZE).ok_or(BootError::Unreachable)?;
    let u32_at = |offset| read_u32(page, offset).ok_or(BootError::Unreachable);
    let halves = |low, high| Ok(u64::from(u32_at(low)?) | u64::from(u32_at(high)?) << 32);
    if read_u16(page, 0x1FE) != Some(BOOT_FLAG) || u32_at(0x202)? != MAGIC {
        return Err(BootError::Magic);
    }

    let count = page.get(0x1E8).map_or(0, |&count| usize::from(count)).min(MAX_ENTRIES);
    let table = page.get(E820_TABLE..).and_then(|table| table.get(..count * E820_ENTRY_SIZE));
    let memory_map = table.and_then(|table| MemoryMap::read(table, E820_ENTRY_SIZE)).ok_or(BootError::MemoryMap)?;

    let mut modules = Modules::new();
    let module = Module { address: halves(0x218, 0xC0)?, size: halves(0x21C, 0xC4)?, command_line: Text::default() };
    if (module.address, module.size) != (0, 0) {
        modules.add(module, &memory_map);
    }

    Ok(BootInformation {
        protocol: Protocol::Linux,
        command_line: Text::at(memory, halves(0x228, 0xC8)?),
        rsdp: read_u64(page, 0x70).filter(|&address| address != 0),
        modules,
        memory_map,
        structure: 0..0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mm::physical::model::Model;

    /// What Firecracker without a PVH note leaves for a machine of 128 MiB.
    fn zero_page() -> Vec<u8> {
        let mut page = vec![0; SIZE];
        put(&mut page, 0x1FE, &BOOT_FLAG.to_le_bytes());
        put(&mut page, 0x202, b"HdrS");
        put(&mut page, 0x210, &[0xFF]);
        put(&mut page, 0x228, &0x2_0000u32.to_le_bytes());
        put(&mut page, 0x238, &36u32.to_le_bytes());
        for (index, (address, size, kind)) in
            [(0, 0x9_FC00, 1), (0x9_FC00, 0x6_0400, 2), (0x10_0000, 0x7F0_0000, 1)].into_iter().enumerate()
        {
            let place = E820_TABLE + index * E820_ENTRY_SIZE;
            put(&mut page, place, &u64::to_le_bytes(address));
            put(&mut page, place + 8, &u64::to_le_bytes(size));
            put(&mut page, place + 16, &u32::to_le_bytes(kind));
            page[0x1E8] += 1;
        }
        page
    }

    fn put(page: &mut [u8], offset: usize, bytes: &[u8]) {
        page[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn with(change: impl FnOnce(&mut Vec<u8>)) -> Model {
        let mut page = zero_page();
        change(&mut page);
        Model::default().with(0x7000, page).with(0x2_0000, *b"console=ttyS0 pci=off\0junk").with(1 << 33, *b"far\0")
    }

    #[test]
    fn a_zero_page_gives_map_and_command_line() {
        let memory = with(|_| ());
        let information = parse(&memory, 0x7000).unwrap();
        let ranges: Vec<_> = information.memory_map.ranges().iter().map(|range| (range.start, range.end)).collect();
        assert_eq!(ranges, [(0, 0x9_F000), (0x10_0000, 0x800_0000)]);
        assert_eq!(information.command_line.bytes, b"console=ttyS0 pci=off");
        assert_eq!((information.rsdp, information.modules.as_slice().len()), (None, 0));
        assert!(information.reserved().any(|range| range == (0x2_0000..0x2_0015)));
    }

    #[test]
    fn root_pointer_and_module_are_found() {
        let memory = with(|page| {
            put(page, 0x70, &0xE_0000u64.to_le_bytes());
            put(page, 0x218, &0x7F0_0000u32.to_le_bytes());
            put(page, 0x21C, &0x1001u32.to_le_bytes());
        });
        let information = parse(&memory, 0x7000).unwrap();
        assert_eq!(information.rsdp, Some(0xE_0000));
        let module = Module { address: 0x7F0_0000, size: 0x1001, command_line: Text::default() };
        assert_eq!(information.modules.as_slice(), [module]);
        assert!(information.reserved().any(|range| range == (0x7F0_0000..0x7F0_1001)));
    }

    #[test]
    fn upper_halves_of_addresses_count() {
        let memory = with(|page| {
            put(page, 0x228, &[0; 4]);
            put(page, 0xC8, &2u32.to_le_bytes());
            put(page, 0x21C, &16u32.to_le_bytes());
            put(page, 0xC0, &1u32.to_le_bytes());
            put(page, E820_TABLE + 2 * E820_ENTRY_SIZE + 8, &(8u64 << 30).to_le_bytes());
        });
        let information = parse(&memory, 0x7000).unwrap();
        assert_eq!(information.command_line, Text { address: 1 << 33, bytes: b"far" });
        assert_eq!(information.modules.as_slice()[0].range(), 1 << 32..(1 << 32) + 16);
    }

    #[test]
    fn every_way_of_being_broken_has_its_error() {
        let error = |change: &dyn Fn(&mut Vec<u8>)| parse(&with(change), 0x7000).err();
        assert_eq!(error(&|page| page.truncate(4095)), Some(BootError::Unreachable));
        assert_eq!(error(&|page| page[0x1FE] = 0), Some(BootError::Magic));
        assert_eq!(error(&|page| page[0x205] = 0), Some(BootError::Magic));
        assert_eq!(error(&|page| page[0x1E8] = 0), Some(BootError::MemoryMap));
        assert_eq!(error(&|page| page[E820_TABLE..].fill(0)), Some(BootError::MemoryMap));
        assert_eq!(error(&|page| page[0x1E8] = 255), None);
        assert_eq!(parse(&Model::default(), 0x7000).err(), Some(BootError::Unreachable));
    }

    #[test]
    fn what_cannot_be_reached_is_absent() {
        let memory = with(|page| {
            put(page, 0x228, &0x9_0000u32.to_le_bytes());
            put(page, 0x218, &0x7FF_F000u32.to_le_bytes());
            put(page, 0x21C, &0x1001u32.to_le_bytes());
        });
        let information = parse(&memory, 0x7000).unwrap();
        assert!(information.command_line.bytes.is_empty());
        assert_eq!((information.modules.as_slice().len(), information.modules.omitted()), (0, 1));
    }
}
