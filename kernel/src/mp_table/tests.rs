//! Tables that QEMU and Firecracker write, and tables that are wrong in every way we could think of.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::mm::physical::model::Model;

/// Where the table lies that [`pointer`] points to.
const TABLE: u32 = 0x9_FC10;

const IO_APIC: IoApic = IoApic { address: 0xFEC0_0000, first_gsi: 0 };

fn with_checksum(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] = 0;
    bytes[at] = bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_sub(byte));
    bytes
}

fn pointer(table: u32, feature: u8) -> Vec<u8> {
    let mut bytes = POINTER_SIGNATURE.to_vec();
    bytes.extend(table.to_le_bytes());
    bytes.extend([1, 4, 0, feature, 0, 0, 0, 0]);
    with_checksum(bytes, 10)
}

fn table_bytes(entries: &[u8]) -> Vec<u8> {
    let mut bytes = TABLE_SIGNATURE.to_vec();
    bytes.extend(((HEADER + entries.len()) as u16).to_le_bytes());
    bytes.extend([4, 0]);
    bytes.extend(b"TORO    0.1         ");
    bytes.resize(HEADER, 0);
    bytes.extend(entries);
    with_checksum(bytes, 7)
}

fn processor(id: u8, flags: u8) -> Vec<u8> {
    let mut entry = vec![0, id, 0x14, flags, 0xB1, 0x0F, 0x06, 0x00, 0xFD, 0xFB, 0x8B, 0x17];
    entry.resize(20, 0);
    entry
}

fn io_apic(id: u8, flags: u8, address: u32) -> Vec<u8> {
    [vec![2, id, 0x14, flags], address.to_le_bytes().to_vec()].concat()
}

/// The entries that qboot writes for a microvm with three processors.
fn entries_of_qboot() -> Vec<u8> {
    let mut entries = [processor(0, 3), processor(1, 1), processor(2, 1), b"\x01\0ISA   ".to_vec()].concat();
    entries.extend(io_apic(4, 1, 0xFEC0_0000));
    for (irq, pin) in [(0, 2), (1, 1), (3, 3), (4, 4), (15, 15)] {
        entries.extend([3, 0, 0, 0, 0, irq, 4, pin]);
    }
    entries.extend([4, 3, 0, 0, 0, 0, 0, 0]);
    entries.extend([4, 1, 0, 0, 0, 0, 0xFF, 1]);
    entries
}

/// What memory holds when `entries` are described in the last KiB of 640.
fn machine(entries: &[u8]) -> Model {
    let mut area = [pointer(TABLE, 0), table_bytes(entries)].concat();
    area.resize(area.len().max(KIB), 0);
    Model::default().with(USUAL_LAST_KIB, area)
}

#[test]
fn what_qboot_writes_for_a_microvm_is_understood() {
    let found = find(&machine(&entries_of_qboot())).unwrap();
    assert_eq!(found, MpTable { processors: vec![0, 1, 2], io_apics: vec![IO_APIC] });
}

#[test]
fn the_header_may_count_fewer_entries_than_there_are() {
    let mut table = table_bytes(&entries_of_qboot());
    table[34] = 2;
    let memory = Model::default().with(BIOS_AREA, area(0, TABLE)).with(u64::from(TABLE), with_checksum(table, 7));
    assert_eq!(find(&memory).unwrap().processors, [0, 1, 2]);
}

/// The BIOS area with a pointer at `offset`.
fn area(offset: usize, table: u32) -> Vec<u8> {
    let mut area = vec![0; BIOS_AREA_SIZE];
    area[offset..offset + POINTER_SIZE].copy_from_slice(&pointer(table, 0));
    area
}

#[test]
fn as_many_processors_as_apic_ids_are_found() {
    let entries: Vec<_> = (0..255).flat_map(|id| processor(id, if id == 7 { 3 } else { 1 })).collect();
    assert_eq!(find(&machine(&entries)).unwrap().processors, (0..255).collect::<Vec<_>>());
}

#[test]
fn what_is_not_enabled_is_left_out() {
    let entries = [processor(0, 3), processor(1, 0), io_apic(2, 0, 0xFEC1_0000), io_apic(3, 1, 0xFEC0_0000)].concat();
    assert_eq!(find(&machine(&entries)), Some(MpTable { processors: vec![0], io_apics: vec![IO_APIC] }));
}

#[test]
fn a_second_io_apic_begins_behind_the_first() {
    let found = find(&machine(&[io_apic(1, 1, 0xFEC0_0000), io_apic(2, 1, 0xFEC1_0000)].concat())).unwrap();
    assert_eq!(found.io_apics, [IO_APIC, IoApic { address: 0xFEC1_0000, first_gsi: 24 }]);
}

#[test]
fn the_pointer_is_found_in_every_place_where_it_may_lie() {
    let table = || Model::default().with(0x10_0000, table_bytes(&processor(5, 3)));
    let kib = |offset: usize| area(offset, 0x10_0000)[..KIB].to_vec();
    let words = |address: u64, word: u16| table().with(address, word.to_le_bytes());
    for offset in [0, 16, KIB - POINTER_SIZE] {
        for memory in [
            words(EBDA_POINTER, 0x9800).with(0x9_8000, kib(offset)),
            words(BASE_MEMORY_SIZE, 512).with(0x7_FC00, kib(offset)),
            table().with(USUAL_LAST_KIB, kib(offset)),
            table().with(BIOS_AREA, area(offset, 0x10_0000)),
            table().with(BIOS_AREA, area(BIOS_AREA_SIZE - POINTER_SIZE - offset, 0x10_0000)),
        ] {
            assert_eq!(find(&memory).map(|found| found.processors), Some(vec![5]), "offset {offset}");
        }
    }
    assert_eq!(find(&table().with(USUAL_LAST_KIB, kib(8))), None, "a pointer off its alignment");
    assert_eq!(find(&table().with(0x8_0000, kib(0))), None, "a pointer where nobody looks");
}

#[test]
fn a_pointer_that_was_left_behind_is_passed_over() {
    let damaged = |at: usize| {
        let mut bytes = [pointer(TABLE, 0), table_bytes(&processor(1, 1))].concat();
        bytes[at] ^= 0x40;
        bytes.resize(KIB, 0);
        bytes
    };
    // Its own bytes, the table's signature, length, checksum and entries.
    for at in [0, 3, 4, 8, 10, 15, 16, 20, 23, 36, 60, 79] {
        let memory = Model::default().with(USUAL_LAST_KIB, damaged(at));
        assert_eq!(find(&memory), None, "byte {at}");
        let memory = memory.with(BIOS_AREA, area(32, 0x10_0000)).with(0x10_0000, table_bytes(&processor(5, 3)));
        assert_eq!(find(&memory).map(|found| found.processors), Some(vec![5]), "byte {at}");
    }
}

#[test]
fn a_table_of_another_kind_is_passed_over() {
    let mut table = table_bytes(&processor(0, 3));
    table[0] = b'Q';
    let memory = Model::default().with(BIOS_AREA, area(0, 0x10_0000)).with(0x10_0000, with_checksum(table, 7));
    assert_eq!(find(&memory), None);
}

#[test]
fn a_default_configuration_has_two_processors() {
    let memory = Model::default().with(BIOS_AREA, {
        let mut area = vec![0; BIOS_AREA_SIZE];
        area[..POINTER_SIZE].copy_from_slice(&pointer(0, 5));
        area
    });
    assert_eq!(find(&memory), Some(MpTable { processors: vec![0, 1], io_apics: vec![IO_APIC] }));
}

#[test]
fn an_entry_that_is_unknown_or_cut_off_ends_the_list() {
    for bad in [vec![5, 0, 0, 0, 0, 0, 0, 0], vec![0xFF; 20], processor(9, 1)[..19].to_vec(), vec![2]] {
        let entries = [processor(0, 3), bad].concat();
        assert_eq!(find(&machine(&entries)).unwrap().processors, [0]);
    }
}

#[test]
fn a_length_below_a_header_or_beyond_memory_is_refused() {
    for length in [0u16, 4, 8, 43, 1024, u16::MAX] {
        let mut table = table_bytes(&processor(0, 3));
        table[4..6].copy_from_slice(&length.to_le_bytes());
        let sum = &table[..usize::from(length).min(table.len())];
        table[7] = table[7].wrapping_sub(sum.iter().fold(0, |sum, &byte| sum.wrapping_add(byte)));
        let memory = Model::default().with(BIOS_AREA, area(0, 0x10_0000)).with(0x10_0000, table);
        assert_eq!(find(&memory), None, "length {length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_parser_panic(low in vec(any::<u8>(), 0..32), entries in vec(any::<u8>(), 0..300), at in 0..200u64) {
        // Checksums protect most bytes, so that what is random gets right ones.
        let memory = Model::default()
            .with(EBDA_POINTER - at % 16, low)
            .with(USUAL_LAST_KIB, [pointer(TABLE + at as u32, 0), vec![0; KIB]].concat())
            .with(u64::from(TABLE) + at, table_bytes(&entries));
        let _ = find(&memory);
        let _ = super::entries(&entries);
        let raw = Model::default().with(0, entries.clone());
        let _ = configuration(&raw, at);
        let _ = pointed_to(&raw, &entries);
        let signed = [POINTER_SIGNATURE, &entries[..]].concat();
        let _ = pointed_to(&raw, &signed);
        let _ = pointed_to(&raw, &with_checksum([signed, vec![0; 16]].concat(), 10));
    }

    #[test]
    fn every_enabled_processor_is_found_among_well_formed_entries(
        kinds in vec((0..5u8, any::<u8>(), any::<u8>()), 0..60),
    ) {
        let entry = |&(kind, id, flags): &(u8, u8, u8)| match kind {
            0 => processor(id, flags),
            2 => io_apic(id, flags, 0xFEC0_0000),
            _ => vec![kind, id, 0, flags, 0, 0, 0, 0],
        };
        let found = find(&machine(&kinds.iter().flat_map(entry).collect::<Vec<_>>())).unwrap();
        let enabled = |wanted: u8| kinds.iter().filter(move |(kind, _, flags)| *kind == wanted && flags & 1 == 1);
        prop_assert_eq!(found.processors, enabled(0).map(|&(_, id, _)| u32::from(id)).collect::<Vec<_>>());
        prop_assert_eq!(found.io_apics.len(), enabled(2).count());
    }
}
