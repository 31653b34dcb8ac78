//! The boot information of Multiboot2 (Multiboot2 Specification 2.0, §3.6).
//!
//! ```text
//!   0 total size | 4 reserved | tag | tag | ...        each at a multiple of 8
//!
//!   tag     0 type   4 size, this head included
//!     0     end
//!     1     8 command line, NUL
//!     3     8 start | 12 end | 16 command line, NUL               a module; there may be several
//!     6     8 entry size | 12 version | entries:  address, size, type, reserved     24 bytes each
//!    14     8 copy of the root pointer of ACPI 1.0
//!    15     8 copy of the root pointer of ACPI 2.0 and later
//! ```
//!
//! Types of memory are those of E820. Everything else is passed over: what the firmware was, what it drew its menu with, where
//! the ELF sections of the kernel are. Of a tag that may be there once, the first one counts.
//!
//! The root pointer's copy is all that tells of ACPI on a machine with UEFI, where no search finds the original. It stays
//! where it is, as does the rest of the structure: [`BootInformation::structure`] covers it.

use super::information::{BootError, BootInformation, MAX_COMMAND_LINE, Module, Modules, Protocol, Text};
use crate::mm::memory_map::MemoryMap;
use crate::mm::physical::{PhysicalMemory, read_u32};

/// What the loader leaves in `eax`; the structure has no magic number itself.
pub const MAGIC: u32 = 0x36D7_6289;
const HEADER_SIZE: usize = 8;
/// Longer structures are not believed.
const MAX_SIZE: usize = 1 << 20;
/// The least that an entry of the memory map can be.
const MEMORY_MAP_ENTRY_SIZE: usize = 24;
const TAG_ALIGNMENT: usize = 8;

const END: u32 = 0;
const COMMAND_LINE: u32 = 1;
const MODULE: u32 = 3;
const MEMORY_MAP: u32 = 6;
const RSDP_OLD: u32 = 14;
const RSDP_NEW: u32 = 15;

/// One tag.
#[derive(Clone, Copy)]
struct Tag<'a> {
    kind: u32,
    /// Physical address of the tag's head.
    address: u64,
    /// What is behind the head.
    body: &'a [u8],
}

impl<'a> Tag<'a> {
    /// The text that begins `offset` bytes into the body; empty where it does not end there.
    fn text(&self, offset: usize) -> Text<'a> {
        let rest = self.body.get(offset..).unwrap_or_default();
        let length = rest.iter().take(MAX_COMMAND_LINE).position(|&byte| byte == 0);
        let bytes = length.and_then(|length| rest.get(..length)).unwrap_or_default();
        Text { address: self.body_address().saturating_add(offset as u64), bytes }
    }

    fn body_address(&self) -> u64 {
        self.address.saturating_add(HEADER_SIZE as u64)
    }
}

/// The tags of a structure, up to the one that ends it, or to where it makes no sense any more.
#[derive(Clone)]
struct Tags<'a> {
    /// Physical address of the rest.
    address: u64,
    rest: &'a [u8],
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        let (kind, size) = (read_u32(self.rest, 0)?, read_u32(self.rest, 4)? as usize);
        if kind == END {
            return None;
        }
        // A size that cannot hold the head would never end.
        let body = self.rest.get(HEADER_SIZE..size)?;
        let tag = Tag { kind, address: self.address, body };
        let step = size.checked_next_multiple_of(TAG_ALIGNMENT)?;
        self.rest = self.rest.get(step..).unwrap_or_default();
        self.address = self.address.checked_add(step as u64)?;
        Some(tag)
    }
}

/// Reads the boot information at physical address `address`.
///
/// # Errors
///
/// See [`BootError`].
pub fn parse(memory: &dyn PhysicalMemory, address: u64) -> Result<BootInformation<'_>, BootError> {
    let header = memory.bytes(address, HEADER_SIZE).ok_or(BootError::Unreachable)?;
    let size = read_u32(header, 0).ok_or(BootError::Unreachable)? as usize;
    let structure = Some(size).filter(|&size| size <= MAX_SIZE).and_then(|size| memory.bytes(address, size));
    let rest = structure.and_then(|structure| structure.get(HEADER_SIZE..)).ok_or(BootError::Unreachable)?;
    let tags = Tags { address: address.saturating_add(HEADER_SIZE as u64), rest };
    let first = |kind| tags.clone().find(|tag| tag.kind == kind);

    let memory_map = first(MEMORY_MAP).and_then(|tag| memory_map(tag.body)).ok_or(BootError::MemoryMap)?;
    let mut modules = Modules::new();
    for tag in tags.clone().filter(|tag| tag.kind == MODULE) {
        let field = |offset| read_u32(tag.body, offset).map_or(0, u64::from);
        let (start, end) = (field(0), field(4));
        modules.add(Module { address: start, size: end.saturating_sub(start), command_line: tag.text(8) }, &memory_map);
    }
    Ok(BootInformation {
        protocol: Protocol::Multiboot2,
        command_line: first(COMMAND_LINE).map(|tag| tag.text(0)).unwrap_or_default(),
        rsdp: first(RSDP_NEW).or_else(|| first(RSDP_OLD)).map(|tag| tag.body_address()),
        modules,
        memory_map,
        structure: address..address.saturating_add(size as u64),
    })
}

/// The map in a tag's body; `None` if it is none, or has no RAM.
fn memory_map(body: &[u8]) -> Option<MemoryMap> {
    let size = read_u32(body, 0)? as usize;
    if size < MEMORY_MAP_ENTRY_SIZE {
        return None;
    }
    MemoryMap::read(body.get(8..)?, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mm::physical::model::Model;

    const ADDRESS: u64 = 0x1_0000;

    fn tag(kind: u32, body: &[u8]) -> Vec<u8> {
        let size = (HEADER_SIZE + body.len()) as u32;
        let mut bytes = [&kind.to_le_bytes()[..], &size.to_le_bytes(), body].concat();
        bytes.resize(bytes.len().next_multiple_of(TAG_ALIGNMENT), 0);
        bytes
    }

    fn structure(tags: &[Vec<u8>]) -> Vec<u8> {
        let body = [tags.concat(), tag(END, &[])].concat();
        let size = (HEADER_SIZE + body.len()) as u32;
        [&size.to_le_bytes()[..], &[0; 4], &body].concat()
    }

    fn map(entry_size: u32, entries: &[(u64, u64, u32)]) -> Vec<u8> {
        let mut body = [entry_size, 0].map(u32::to_le_bytes).concat();
        for &(address, size, kind) in entries {
            let entry = [&address.to_le_bytes()[..], &size.to_le_bytes(), &kind.to_le_bytes(), &[0; 4]].concat();
            body.extend(entry);
            body.resize(body.len() + (entry_size as usize).saturating_sub(MEMORY_MAP_ENTRY_SIZE), 0xEE);
        }
        tag(MEMORY_MAP, &body)
    }

    fn ram() -> Vec<u8> {
        map(24, &[(0, 0x9_F000, 1), (0x9_F000, 0x1000, 2), (0x10_0000, 0x100_0000, 1), (0x110_0000, 0x1000, 3)])
    }

    fn module(start: u32, end: u32, text: &[u8]) -> Vec<u8> {
        tag(MODULE, &[&start.to_le_bytes()[..], &end.to_le_bytes(), text].concat())
    }

    fn read(bytes: Vec<u8>, check: impl FnOnce(BootInformation<'_>)) {
        check(parse(&Model::default().with(ADDRESS, bytes), ADDRESS).unwrap());
    }

    fn error(bytes: Vec<u8>) -> Option<BootError> {
        parse(&Model::default().with(ADDRESS, bytes), ADDRESS).err()
    }

    #[test]
    fn map_command_line_modules_and_root_pointer_are_found_among_other_tags() {
        let bytes = structure(&[
            tag(21, &[0; 4]),
            tag(COMMAND_LINE, b"log=debug a=b\0"),
            tag(2, b"GRUB 2.06\0"),
            module(0x40_0000, 0x40_0123, b"initrd 1\0"),
            module(0x50_0000, 0x60_0000, b"\0"),
            ram(),
            tag(9, &[1; 100]),
            tag(RSDP_OLD, b"RSD PTR old"),
            tag(RSDP_NEW, b"RSD PTR new"),
        ]);
        let size = bytes.len() as u64;
        let place = |text: &[u8]| {
            ADDRESS + bytes.windows(text.len()).position(|window| window == text).expect("it is there") as u64
        };
        let (rsdp, line) = (place(b"RSD PTR new"), place(b"log="));
        read(bytes.clone(), |information| {
            assert_eq!(information.memory_map.total(), 0x9_F000 + 0x100_0000);
            assert_eq!(information.command_line, Text { address: line, bytes: b"log=debug a=b" });
            assert_eq!(information.rsdp, Some(rsdp));
            let [first, second] = information.modules.as_slice() else { panic!("two modules") };
            assert_eq!((first.range(), first.command_line.bytes), (0x40_0000..0x40_0123, &b"initrd 1"[..]));
            assert_eq!((second.range(), second.command_line.bytes), (0x50_0000..0x60_0000, &b""[..]));
            assert!(information.reserved().any(|range| range == (ADDRESS..ADDRESS + size)));
            assert!(information.reserved().any(|range| range == (0x40_0000..0x40_0123)));
        });
    }

    #[test]
    fn the_old_root_pointer_serves_where_there_is_no_new_one() {
        read(structure(&[ram(), tag(RSDP_OLD, b"RSD PTR ")]), |information| {
            assert_eq!(information.rsdp, Some(ADDRESS + 8 + ram().len() as u64 + 8));
        });
        read(structure(&[ram()]), |information| assert_eq!(information.rsdp, None));
    }

    #[test]
    fn entries_of_the_map_may_be_longer_than_today() {
        read(structure(&[map(32, &[(0x10_0000, 0x1000, 1), (0x20_0000, 0x1000, 1)])]), |information| {
            assert_eq!(information.memory_map.total(), 0x2000);
        });
    }

    #[test]
    fn every_way_of_being_broken_has_its_error() {
        let good = structure(&[ram()]);
        assert_eq!(error(good.clone()), None);
        assert_eq!(error(Vec::new()), Some(BootError::Unreachable));
        assert_eq!(error(good[..16].to_vec()), Some(BootError::Unreachable));
        assert_eq!(error(vec![0; 64]), Some(BootError::Unreachable));
        assert_eq!(error([&u32::MAX.to_le_bytes()[..], &good[4..]].concat()), Some(BootError::Unreachable));
        assert_eq!(error(structure(&[])), Some(BootError::MemoryMap));
        assert_eq!(error(structure(&[map(0, &[])])), Some(BootError::MemoryMap));
        assert_eq!(error(structure(&[map(16, &[(0x10_0000, 0x1000, 1)])])), Some(BootError::MemoryMap));
        assert_eq!(error(structure(&[map(24, &[(0x10_0000, 0x1000, 2)])])), Some(BootError::MemoryMap));
        assert_eq!(error(structure(&[tag(MEMORY_MAP, &[24, 0])])), Some(BootError::MemoryMap));
    }

    #[test]
    fn tags_end_where_their_sizes_make_no_sense() {
        for size in [0u32, 7, 4096, u32::MAX] {
            let mut lie = tag(COMMAND_LINE, b"never\0");
            lie[4..8].copy_from_slice(&size.to_le_bytes());
            read(structure(&[ram(), lie.clone(), module(0x40_0000, 0x40_1000, b"\0")]), |information| {
                assert!(information.command_line.bytes.is_empty() && information.modules.as_slice().is_empty());
            });
            assert_eq!(error(structure(&[lie, ram()])), Some(BootError::MemoryMap));
        }
    }

    #[test]
    fn modules_that_cannot_be_are_left_out_and_counted() {
        let lies = [module(0x40_0000, 0x40_0000, b"\0"), module(0x50_0000, 0x40_0000, b"\0"), tag(MODULE, &[1])];
        let outside = [module(0x110_0000, 0x110_0010, b"\0"), module(0x40_0000, 0x8000_0000, b"\0")];
        let many = vec![module(0x40_0000, 0x40_1000, b"\0"); 20].concat();
        read(structure(&[ram(), lies.concat(), outside.concat(), many]), |information| {
            assert_eq!((information.modules.as_slice().len(), information.modules.omitted()), (16, 9));
        });
    }

    #[test]
    fn a_text_without_end_is_no_text() {
        read(structure(&[ram(), tag(COMMAND_LINE, b"12345678"), module(0x40_0000, 0x40_1000, b"x")]), |information| {
            assert!(information.command_line.bytes.is_empty());
            assert!(information.modules.as_slice()[0].command_line.bytes.is_empty());
        });
    }
}
