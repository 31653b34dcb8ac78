//! The PVH start information (Xen public/arch-x86/hvm/start_info.h).
//!
//! ```text
//!   hvm_start_info                      memory map entry            module
//!    0 magic 0x336ec578                  0 address                   0 address
//!    4 version   8 flags                 8 size                      8 size
//!   12 modules                          16 type                     16 command line
//!   16 module list                      20 reserved                 24 reserved
//!   24 command line
//!   32 RSDP            since version 1:
//!   40 memory map      48 entries
//! ```
//!
//! Addresses are physical, 0 where there is nothing. QEMU passes what `-initrd` names as the first and only module.

use super::information::{BootError, BootInformation, MAX_MODULES, Module, Modules, Protocol, Text};
use crate::mm::memory_map::{MAX_ENTRIES, MemoryMap};
use crate::mm::physical::{PhysicalMemory, read_u32, read_u64};

/// The first word of the start information.
pub const MAGIC: u32 = 0x336E_C578;
const SIZE_VERSION_1: usize = 56;
const MEMORY_MAP_ENTRY_SIZE: usize = 24;
const MODULE_SIZE: usize = 32;

/// Reads the start information at physical address `address`.
///
/// # Errors
///
/// See [`BootError`].
pub fn parse(memory: &dyn PhysicalMemory, address: u64) -> Result<BootInformation<'_>, BootError> {
    let header = memory.bytes(address, SIZE_VERSION_1).ok_or(BootError::Unreachable)?;
    let u32_at = |offset| read_u32(header, offset).ok_or(BootError::Unreachable);
    let u64_at = |offset| read_u64(header, offset).ok_or(BootError::Unreachable);
    if u32_at(0)? != MAGIC {
        return Err(BootError::Magic);
    }
    if u32_at(4)? == 0 {
        return Err(BootError::Version);
    }

    let count = (u32_at(48)? as usize).min(MAX_ENTRIES);
    let table = memory.bytes(u64_at(40)?, count * MEMORY_MAP_ENTRY_SIZE).ok_or(BootError::MemoryMap)?;
    let memory_map = MemoryMap::read(table, MEMORY_MAP_ENTRY_SIZE).ok_or(BootError::MemoryMap)?;

    Ok(BootInformation {
        protocol: Protocol::Pvh,
        command_line: Text::at(memory, u64_at(24)?),
        rsdp: Some(u64_at(32)?).filter(|&address| address != 0),
        modules: modules(memory, u64_at(16)?, u32_at(12)?, &memory_map),
        memory_map,
        structure: 0..0,
    })
}

/// The module list at `address`, as far as it can be reached.
fn modules<'a>(memory: &'a dyn PhysicalMemory, address: u64, count: u32, memory_map: &MemoryMap) -> Modules<'a> {
    let count = count as usize;
    let mut modules = Modules::new();
    let listed = count.min(MAX_MODULES);
    let Some(list) = memory.bytes(address, listed * MODULE_SIZE) else {
        modules.omit(count);
        return modules;
    };
    modules.omit(count - listed);
    for entry in list.chunks_exact(MODULE_SIZE) {
        let field = |offset| read_u64(entry, offset).unwrap_or_default();
        let command_line = Text::at(memory, field(16));
        modules.add(Module { address: field(0), size: field(8), command_line }, memory_map);
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::information::MAX_COMMAND_LINE;
    use crate::mm::physical::model::Model;

    fn header(memory_map: u64, entries: u32, command_line: u64, modules: (u64, u32)) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [MAGIC, 1, 0, modules.1] {
            bytes.extend(word.to_le_bytes());
        }
        for long in [modules.0, command_line, 0xE_0000, memory_map] {
            bytes.extend(long.to_le_bytes());
        }
        for word in [entries, 0] {
            bytes.extend(word.to_le_bytes());
        }
        bytes
    }

    fn entry(address: u64, size: u64, kind: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(address.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend([0; 4]);
        bytes
    }

    fn module(address: u64, size: u64, command_line: u64) -> Vec<u8> {
        [address, size, command_line, 0].into_iter().flat_map(u64::to_le_bytes).collect()
    }

    #[test]
    fn a_good_structure_gives_map_command_line_and_rsdp() {
        let memory = Model::default()
            .with(0x6000, header(0x7000, 1, 0x2_0000, (0, 0)))
            .with(0x7000, entry(0x10_0000, 0x10_0000, 1))
            .with(0x2_0000, *b"log=debug test=time\0junk");
        let information = parse(&memory, 0x6000).unwrap();
        assert_eq!(information.command_line.bytes, b"log=debug test=time");
        assert_eq!(information.rsdp, Some(0xE_0000));
        assert_eq!(information.memory_map.total(), 0x10_0000);
        assert!(information.reserved().any(|range| range == (0x2_0000..0x2_0013)));
        assert_eq!((information.modules.as_slice().len(), information.modules.omitted()), (0, 0));
    }

    #[test]
    fn modules_are_listed_with_their_command_lines_and_reserved() {
        let list = [module(0x14_0000, 0x1234, 0x3_0000), module(0x16_0000, 1, 0)].concat();
        let memory = Model::default()
            .with(0x6000, header(0x7000, 1, 0, (0x8000, 2)))
            .with(0x7000, entry(0x10_0000, 0x10_0000, 1))
            .with(0x8000, list)
            .with(0x3_0000, *b"name=x\0");
        let information = parse(&memory, 0x6000).unwrap();
        let expected = [
            Module { address: 0x14_0000, size: 0x1234, command_line: Text { address: 0x3_0000, bytes: b"name=x" } },
            Module { address: 0x16_0000, size: 1, command_line: Text::default() },
        ];
        assert_eq!(information.modules.as_slice(), expected);
        let reserved: Vec<_> = information.reserved().filter(|range| !range.is_empty()).collect();
        assert_eq!(reserved, [0x14_0000..0x14_1234, 0x3_0000..0x3_0006, 0x16_0000..0x16_0001]);
    }

    #[test]
    fn modules_that_cannot_be_are_left_out_and_counted() {
        let parse_list = |count: u32, list: Vec<u8>| {
            let memory = Model::default()
                .with(0x6000, header(0x7000, 1, 0, (0x8000, count)))
                .with(0x7000, entry(0x10_0000, 0x10_0000, 1))
                .with(0x8000, list);
            let information = parse(&memory, 0x6000).unwrap();
            (information.modules.as_slice().len(), information.modules.omitted())
        };
        // Empty, outside RAM, reaching out of it, around the end of the address space.
        let lies = [(0x14_0000, 0), (0x90_0000, 16), (0x1f_f000, 0x1001), (0x14_0000, u64::MAX)];
        let list = lies.iter().flat_map(|&(address, size)| module(address, size, u64::MAX)).collect();
        assert_eq!(parse_list(4, list), (0, 4));
        assert_eq!(parse_list(2, module(0x14_0000, 16, 0)), (0, 2));
        assert_eq!(parse_list(u32::MAX, Vec::new()), (0, u32::MAX as usize));
        assert_eq!(parse_list(20, module(0x14_0000, 16, 0).repeat(20)), (MAX_MODULES, 4));
    }

    #[test]
    fn every_way_of_being_broken_has_its_error() {
        let good = header(0x7000, 1, 0, (0, 0));
        let parse_bytes = |bytes: Vec<u8>| parse(&Model::default().with(0x6000, bytes), 0x6000).err().unwrap();
        assert_eq!(parse_bytes(good[..40].to_vec()), BootError::Unreachable);
        assert_eq!(parse_bytes([&[0], &good[1..]].concat()), BootError::Magic);
        assert_eq!(parse_bytes([&good[..4], &[0], &good[5..]].concat()), BootError::Version);
        assert_eq!(parse_bytes(good), BootError::MemoryMap);
        assert_eq!(parse_bytes(header(0x6000, 0, 0, (0, 0))), BootError::MemoryMap);
        assert_eq!(parse_bytes(header(0x6000, u32::MAX, 0, (0, 0))), BootError::MemoryMap);
    }

    #[test]
    fn a_command_line_without_end_is_no_command_line() {
        let memory = Model::default()
            .with(0x6000, header(0x7000, 1, 0x2_0000, (0, 0)))
            .with(0x7000, entry(0x10_0000, 0x10_0000, 1))
            .with(0x2_0000, vec![b'x'; MAX_COMMAND_LINE * 2]);
        assert!(parse(&memory, 0x6000).unwrap().command_line.bytes.is_empty());
    }
}
