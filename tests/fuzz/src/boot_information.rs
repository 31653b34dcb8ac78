//! Target `boot_information`: what a boot loader says, of any bytes.
//!
//! | input | meaning |
//! |---|---|
//! | byte 0 | bits 0 and 1: protocol; bit 7: the structure's magic numbers are made right |
//! | bytes 1, 2 | where the structure is, in multiples of 8 |
//! | rest | address, two bytes, in multiples of 8; number of bytes; bytes |
//!
//! The memory that can be reached is 256 KiB of zeros but for these bytes, without the one at address 0.
//!
//! Held: no panic; a bounded number of looks at memory; RAM in order, in whole pages; modules that are RAM and not empty; texts
//! that are where they say, without a NUL; everything that the result refers to is reserved.

use std::cell::Cell;
use std::ops::Range;

use toro::boot::information::{BootError, BootInformation, MAX_COMMAND_LINE, MAX_MODULES, Protocol, Text, parse};
use toro::mm::PAGE_SIZE;
use toro::mm::physical::PhysicalMemory;

use crate::script::Script;

const SIZE: usize = 256 * 1024;
/// Every text to its end, byte by byte, and the rest.
const MOST_LOOKS: usize = (MAX_MODULES + 1) * (MAX_COMMAND_LINE + 1) + 100;

struct Memory {
    bytes: Vec<u8>,
    looks: Cell<usize>,
}

impl Memory {
    fn put(&mut self, address: usize, bytes: &[u8]) {
        for (place, &byte) in self.bytes.iter_mut().skip(address).zip(bytes) {
            *place = byte;
        }
    }
}

impl PhysicalMemory for Memory {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        self.looks.set(self.looks.get() + 1);
        assert!(self.looks.get() < MOST_LOOKS, "a search that does not end");
        let start = usize::try_from(address).ok().filter(|&start| start != 0)?;
        self.bytes.get(start..start.checked_add(length)?)
    }
}

/// What became of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The command line.
    pub command_line: Vec<u8>,
    /// Whether there is a root pointer.
    pub has_rsdp: bool,
    /// Modules, and modules that were left out.
    pub modules: (usize, usize),
}

/// Runs an input.
///
/// # Errors
///
/// Those of the parser.
pub fn body(input: &[u8]) -> Result<Outcome, BootError> {
    let script = Script::new(input);
    let flags = script.byte();
    let protocol = [Protocol::Pvh, Protocol::Linux, Protocol::Multiboot2, Protocol::Pvh][usize::from(flags & 3)];
    let place = usize::from(script.word()) * 8;
    let mut memory = Memory { bytes: vec![0; SIZE], looks: Cell::new(0) };
    while !script.is_over() {
        let (address, length) = (usize::from(script.word()) * 8, script.byte());
        memory.put(address, script.take(length.into()));
    }
    if flags & 0x80 != 0 {
        match protocol {
            Protocol::Pvh => memory.put(place, &0x336e_c578_u32.to_le_bytes()),
            Protocol::Linux => memory.put(place + 0x1fe, b"\x55\xaa\0\0HdrS"),
            Protocol::Multiboot2 => {}
        }
    }
    let information = parse(protocol, &memory, place as u64)?;
    assert_eq!(information.protocol, protocol);
    check(&information, &memory);
    let modules = (information.modules.as_slice().len(), information.modules.omitted());
    let command_line = information.command_line.bytes.to_vec();
    Ok(Outcome { command_line, has_rsdp: information.rsdp.is_some(), modules })
}

fn check(information: &BootInformation<'_>, memory: &Memory) {
    let ranges = information.memory_map.ranges();
    assert!(!ranges.is_empty() && ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
    assert!(ranges.iter().all(|range| range.start < range.end && (range.start | range.end) % PAGE_SIZE == 0));

    let is_reserved = |range: &Range<u64>| {
        range.is_empty() || information.reserved().any(|one| one.start <= range.start && range.end <= one.end)
    };
    let is_text = |text: &Text<'_>| {
        let start = text.address as usize;
        let found = memory.bytes.get(start..start.saturating_add(text.bytes.len()));
        text.bytes.is_empty() || (!text.bytes.contains(&0) && found == Some(text.bytes) && is_reserved(&text.range()))
    };
    assert!(is_text(&information.command_line) && information.command_line.bytes.len() < MAX_COMMAND_LINE);
    assert!(information.modules.as_slice().len() <= MAX_MODULES);
    for module in information.modules.as_slice() {
        let range = module.range();
        assert!(!range.is_empty() && ranges.iter().any(|ram| ram.start <= range.start && range.end <= ram.end));
        assert!(is_reserved(&range) && is_text(&module.command_line));
    }
    assert!(information.rsdp != Some(0));
}

/// What loaders say, as it should be and with one thing wrong at a time.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let put = |address: u16, bytes: &[u8]| [&(address / 8).to_le_bytes()[..], &[bytes.len() as u8], bytes].concat();
    let story =
        |protocol: u8, parts: &[Vec<u8>]| [&[protocol | 0x80][..], &0x200_u16.to_le_bytes(), &parts.concat()].concat();
    let longs = |values: &[u64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    let words = |values: &[u32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    let line = put(0x3000, b"log=debug test=time\0");

    let start = |entries: u32, modules: u32| {
        put(
            0x1000,
            &[words(&[0, 1, 0, modules]), longs(&[0x2800, 0x3000, 0xe0000, 0x2000]), words(&[entries, 0])].concat(),
        )
    };
    let map = put(0x2000, &longs(&[0, 0x9_fc00, 1, 0x10_0000, 0x700_0000, 1, 0xf_0000, 0x1_0000, 2]));
    let list = put(0x2800, &longs(&[0x20_0000, 0x1234, 0x3000, 0, 0x30_0000, 0, 0, 0]));

    let zero_page = |count: u8| {
        let entry = |address: u64, size: u64, kind: u32| [longs(&[address, size]), words(&[kind])].concat();
        let table = [entry(0, 0x9_fc00, 1), entry(0x9_fc00, 0x6_0400, 2), entry(0x10_0000, 0x700_0000, 1)].concat();
        let header = [words(&[0x20_0000, 0x1234]), words(&[0, 0]), words(&[0x3000])].concat();
        let parts = [put(0x1070, &longs(&[0xe0000])), put(0x11e8, &[count]), put(0x1218, &header), put(0x12d0, &table)];
        parts.concat()
    };

    let tag = |kind: u32, body: &[u8]| {
        let mut bytes = [&words(&[kind, 8 + body.len() as u32]), body].concat();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    };
    let tags = |tags: &[Vec<u8>]| {
        let body = [tags.concat(), tag(0, &[])].concat();
        let bytes = [words(&[8 + body.len() as u32, 0]), body].concat();
        let pieces = bytes.chunks(128).zip((0x1000_u16..).step_by(128));
        pieces.flat_map(|(piece, address)| put(address, piece)).collect::<Vec<_>>()
    };
    let grub = [
        tag(1, b"log=debug\0"),
        tag(3, &[words(&[0x20_0000, 0x20_1234]), b"a module\0".to_vec()].concat()),
        tag(6, &[words(&[24, 0]), longs(&[0, 0x9_f000, 1, 0x10_0000, 0x700_0000, 1])].concat()),
        tag(15, b"RSD PTR "),
    ];
    let mut endless = grub.to_vec();
    endless.insert(2, words(&[2, 0]));

    vec![
        ("pvh", story(0, &[start(3, 1), map.clone(), list.clone(), line.clone()])),
        ("pvh_module_of_no_size", story(0, &[start(3, 2), map.clone(), list, line.clone()])),
        ("pvh_module_list_out_of_reach", story(0, &[start(3, u32::MAX), map.clone(), put(0x1010, &[0xff; 8])])),
        ("pvh_map_out_of_reach", story(0, &[start(u32::MAX, 0), map, put(0x1028, &[0xff; 8])])),
        ("linux", story(1, &[zero_page(3), line.clone()])),
        ("linux_without_entries", story(1, &[zero_page(0), line.clone()])),
        ("linux_more_entries_than_fit", story(1, &[zero_page(255), line])),
        ("multiboot2", story(2, &[tags(&grub)])),
        ("multiboot2_tag_of_no_size", story(2, &[tags(&endless)])),
        ("multiboot2_without_map", story(2, &[tags(&grub[..2])])),
    ]
}
