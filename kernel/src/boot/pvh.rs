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
//! All of it is written by the machine monitor and read once, at boot, through [`PhysicalMemory`]. A structure that
//! cannot be believed is a [`StartInfoError`]: without a memory map there is nothing to boot with. A command line or
//! RSDP that is missing is simply absent.

use core::fmt;

use crate::mm::memory_map::{Entry, MemoryMap};
use crate::mm::physical::{PhysicalMemory, read_u32, read_u64};

const MAGIC: u32 = 0x336E_C578;
const SIZE_VERSION_1: usize = 56;
const MEMORY_MAP_ENTRY_SIZE: usize = 24;
/// Entries that are looked at; more than any firmware has.
const MAX_MEMORY_MAP_ENTRIES: usize = 128;
/// The longest command line that a monitor passes (Cloud Hypervisor: 64 KiB), its terminator included.
pub const MAX_COMMAND_LINE: usize = 64 * 1024;

/// Why the start information was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartInfoError {
    /// The structure is not where the entry register says.
    Unreachable,
    /// The magic number is another one.
    Magic,
    /// Version 0, which has no memory map.
    Version,
    /// The memory map is missing, unreachable or holds no RAM.
    MemoryMap,
}

impl fmt::Display for StartInfoError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unreachable => "start information is not readable",
            Self::Magic => "start information has the wrong magic number",
            Self::Version => "start information is older than version 1",
            Self::MemoryMap => "no usable memory map",
        })
    }
}

impl core::error::Error for StartInfoError {}

/// What the monitor told us.
pub struct StartInfo<'a> {
    /// The usable RAM. The start information itself may lie in it.
    pub memory_map: MemoryMap,
    /// The guest command line without its terminator; empty where there is none.
    pub command_line: &'a [u8],
    /// Physical address of the command line, 0 where there is none.
    pub command_line_address: u64,
    /// Physical address of the ACPI root pointer, if the monitor passes it.
    pub rsdp: Option<u64>,
}

/// Reads the start information at physical address `address`.
///
/// # Errors
///
/// See [`StartInfoError`].
pub fn parse(memory: &impl PhysicalMemory, address: u64) -> Result<StartInfo<'_>, StartInfoError> {
    let header = memory.bytes(address, SIZE_VERSION_1).ok_or(StartInfoError::Unreachable)?;
    let u32_at = |offset| read_u32(header, offset).ok_or(StartInfoError::Unreachable);
    let u64_at = |offset| read_u64(header, offset).ok_or(StartInfoError::Unreachable);
    if u32_at(0)? != MAGIC {
        return Err(StartInfoError::Magic);
    }
    if u32_at(4)? == 0 {
        return Err(StartInfoError::Version);
    }

    let command_line_address = u64_at(24)?;
    let rsdp = Some(u64_at(32)?).filter(|&address| address != 0);

    let count = (u32_at(48)? as usize).min(MAX_MEMORY_MAP_ENTRIES);
    let table = memory.bytes(u64_at(40)?, count * MEMORY_MAP_ENTRY_SIZE).ok_or(StartInfoError::MemoryMap)?;
    let entries = table.chunks_exact(MEMORY_MAP_ENTRY_SIZE).filter_map(|entry| {
        Some(Entry { address: read_u64(entry, 0)?, size: read_u64(entry, 8)?, kind: read_u32(entry, 16)? })
    });
    let memory_map = MemoryMap::from_entries(entries);
    if memory_map.ranges().is_empty() {
        return Err(StartInfoError::MemoryMap);
    }

    let command_line = if command_line_address == 0 { &[] } else { c_string(memory, command_line_address) };
    Ok(StartInfo { memory_map, command_line, command_line_address, rsdp })
}

/// The bytes up to a NUL, at most [`MAX_COMMAND_LINE`]; empty where there is no NUL within reach.
fn c_string(memory: &impl PhysicalMemory, address: u64) -> &[u8] {
    // The string may end close to the end of what can be read, so it is reached for byte by byte.
    let byte = |offset: usize| memory.bytes(address.checked_add(offset as u64)?, 1)?.first().copied();
    let length = (0..MAX_COMMAND_LINE).map_while(byte).position(|byte| byte == 0);
    length.and_then(|length| memory.bytes(address, length)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mm::physical::model::Model;

    fn header(memory_map: u64, entries: u32, command_line: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [MAGIC, 1, 0, 0] {
            bytes.extend(word.to_le_bytes());
        }
        for long in [0u64, command_line, 0xE_0000, memory_map] {
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

    #[test]
    fn a_good_structure_gives_map_command_line_and_rsdp() {
        let memory = Model::default()
            .with(0x6000, header(0x7000, 1, 0x2_0000))
            .with(0x7000, entry(0x10_0000, 0x10_0000, 1))
            .with(0x2_0000, *b"log=debug test=time\0junk");
        let info = parse(&memory, 0x6000).unwrap();
        assert_eq!(info.command_line, b"log=debug test=time");
        assert_eq!(info.rsdp, Some(0xE_0000));
        assert_eq!(info.memory_map.total(), 0x10_0000);
    }

    #[test]
    fn every_way_of_being_broken_has_its_error() {
        let good = header(0x7000, 1, 0);
        let parse_bytes = |bytes: Vec<u8>| parse(&Model::default().with(0x6000, bytes), 0x6000).err().unwrap();
        assert_eq!(parse_bytes(good[..40].to_vec()), StartInfoError::Unreachable);
        assert_eq!(parse_bytes([&[0], &good[1..]].concat()), StartInfoError::Magic);
        assert_eq!(parse_bytes([&good[..4], &[0], &good[5..]].concat()), StartInfoError::Version);
        assert_eq!(parse_bytes(good), StartInfoError::MemoryMap);
        assert_eq!(parse_bytes(header(0x6000, 0, 0)), StartInfoError::MemoryMap);
        assert_eq!(parse_bytes(header(0x7000, u32::MAX, 0)), StartInfoError::MemoryMap);
    }

    #[test]
    fn a_command_line_without_end_is_no_command_line() {
        let memory = Model::default()
            .with(0x6000, header(0x7000, 1, 0x2_0000))
            .with(0x7000, entry(0x10_0000, 0x10_0000, 1))
            .with(0x2_0000, vec![b'x'; MAX_COMMAND_LINE * 2]);
        assert!(parse(&memory, 0x6000).unwrap().command_line.is_empty());
    }
}
