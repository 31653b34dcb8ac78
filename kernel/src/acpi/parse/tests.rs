//! Tables that are right, and tables that are wrong in every way we could think of.

use super::*;
use crate::mm::physical::model::Model;

const RSDP: u64 = 0xE_0010;
const XSDT: u64 = 0x10_0000;
const MADT: u64 = 0x11_0000;
const MCFG: u64 = 0x12_0000;
const FADT: u64 = 0x13_0000;
const DSDT: u64 = 0x14_0000;

fn with_checksum(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] = 0;
    bytes[at] = bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_sub(byte));
    bytes
}

fn table_bytes(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend(((HEADER + body.len()) as u32).to_le_bytes());
    bytes.resize(HEADER, 0);
    bytes.extend(body);
    with_checksum(bytes, 9)
}

fn rsdp() -> Vec<u8> {
    let mut bytes = RSDP_SIGNATURE.to_vec();
    bytes.resize(36, 0);
    bytes[15] = 2;
    bytes[24..32].copy_from_slice(&XSDT.to_le_bytes());
    bytes[20] = 36;
    let bytes = [with_checksum(bytes[..20].to_vec(), 8), bytes[20..].to_vec()].concat();
    with_checksum(bytes, 32)
}

fn madt_body() -> Vec<u8> {
    let mut body = vec![0; 8];
    body.extend([0, 8, 0, 0, 1, 0, 0, 0]);
    body.extend([0, 8, 1, 1, 0, 0, 0, 0]);
    body.extend([1, 12, 0, 0, 0, 0, 0xC0, 0xFE, 0, 0, 0, 0]);
    body.extend([2, 10, 0, 9, 9, 0, 0, 0, 0x0F, 0]);
    body.extend([2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
    body.extend([9, 16, 0, 0, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    body
}

fn fadt_body(flags: u32) -> Vec<u8> {
    let mut table = vec![0; 276];
    table[64..68].copy_from_slice(&0x604u32.to_le_bytes());
    table[76..80].copy_from_slice(&0x608u32.to_le_bytes());
    table[109..111].copy_from_slice(&(1u16 << 5).to_le_bytes());
    table[112..116].copy_from_slice(&flags.to_le_bytes());
    table[116] = 1;
    table[120..128].copy_from_slice(&0xCF9u64.to_le_bytes());
    table[128] = 0x0F;
    table[140..148].copy_from_slice(&DSDT.to_le_bytes());
    table[244] = 0;
    table[248..256].copy_from_slice(&0xFEA0_0200u64.to_le_bytes());
    table[HEADER..].to_vec()
}

fn dsdt_body() -> Vec<u8> {
    [b"\x10\x20junk\x08_S5_\x12\x06\x04".as_slice(), &[0x0A, 5, 0, 0, 0]].concat()
}

fn machine(madt: &[u8], fadt: &[u8]) -> Model {
    let mut mcfg = vec![0; 8];
    mcfg.extend(0xB000_0000u64.to_le_bytes());
    mcfg.extend([0, 0, 0, 255, 0, 0, 0, 0]);
    let pointers = [MADT, MCFG, FADT].map(u64::to_le_bytes).concat();
    let mut bios = vec![0; BIOS_AREA_SIZE];
    bios[16..16 + 36].copy_from_slice(&rsdp());
    Model::default()
        .with(BIOS_AREA, bios)
        .with(XSDT, table_bytes(b"XSDT", &pointers))
        .with(MADT, table_bytes(b"APIC", madt))
        .with(MCFG, table_bytes(b"MCFG", &mcfg))
        .with(FADT, table_bytes(b"FACP", fadt))
        .with(DSDT, table_bytes(b"DSDT", &dsdt_body()))
}

#[test]
fn a_pc_is_understood() {
    let memory = machine(&madt_body(), &fadt_body(1 << 10));
    assert_eq!(find_rsdp(&memory), Some(RSDP));
    let tables = tables(&memory, RSDP).unwrap();
    assert_eq!(tables.processors, [0, 0x102]);
    assert_eq!(tables.io_apics, [IoApic { address: 0xFEC0_0000, first_gsi: 0 }]);
    assert_eq!(tables.isa_line(9), Line { gsi: 9, trigger: Trigger::Level, polarity: Polarity::Low });
    assert_eq!(tables.isa_line(0).gsi, 2);
    assert_eq!(tables.isa_line(4), Line { gsi: 4, trigger: Trigger::Edge, polarity: Polarity::High });
    assert_eq!(tables.ecam, [Ecam { address: 0xB000_0000, segment: 0, buses: 0..=255 }]);
    assert_eq!(tables.pm_timer, Some(0x608));
    assert_eq!(tables.reset, Some((Location::Port(0xCF9), 0x0F)));
    assert_eq!(tables.sleep, Some(SleepControl::Pm1 { control_a: 0x604, control_b: None, type_a: 5, type_b: 0 }));
    assert!(tables.cmos_absent);
}

#[test]
fn hardware_reduced_acpi_sleeps_by_its_register_and_has_no_timer() {
    let tables = tables(&machine(&madt_body(), &fadt_body(1 << 20)), RSDP).unwrap();
    let location = Location::Memory(0xFEA0_0200);
    assert_eq!(tables.sleep, Some(SleepControl::Register { location, sleep_type: 5 }));
    assert_eq!((tables.pm_timer, tables.reset), (None, None));
}

#[test]
fn a_table_with_a_wrong_checksum_is_ignored() {
    let mut broken = table_bytes(b"APIC", &madt_body());
    broken[50] ^= 1;
    let pointers = [MADT, FADT].map(u64::to_le_bytes).concat();
    let memory = Model::default()
        .with(RSDP, rsdp())
        .with(XSDT, table_bytes(b"XSDT", &pointers))
        .with(MADT, broken)
        .with(FADT, table_bytes(b"FACP", &fadt_body(0)));
    let tables = tables(&memory, RSDP).unwrap();
    assert!(tables.processors.is_empty());
    assert_eq!(tables.pm_timer, Some(0x608));
}

#[test]
fn a_madt_entry_of_length_zero_ends_the_list() {
    let mut body = madt_body();
    body.extend([1, 0, 0, 0]);
    assert_eq!(tables(&machine(&body, &fadt_body(0)), RSDP).unwrap().io_apics.len(), 1);
}

#[test]
fn lengths_below_a_header_and_above_reason_are_refused() {
    for length in [0u32, 8, 35, u32::MAX, 2 << 20] {
        let mut bytes = table_bytes(b"APIC", &madt_body());
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        assert_eq!(table(&Model::default().with(MADT, bytes), MADT, Checksum::Ignored), None);
    }
}

#[test]
fn no_damage_to_any_byte_makes_the_parser_panic() {
    // Checksums protect most bytes, so the damaged table gets a right one again.
    for (signature, body) in [(b"APIC", madt_body()), (b"FACP", fadt_body(1 << 20)), (b"MCFG", vec![7; 60])] {
        for position in 0..body.len() {
            for value in [0, 1, 2, 0x7F, 0xFF] {
                let mut damaged = body.clone();
                damaged[position] = value;
                let parts =
                    [body.len(), position, position + 1].map(|length| table_bytes(signature, &damaged[..length]));
                for bytes in parts {
                    let mut result = Tables::default();
                    let memory = machine(&[], &[]);
                    match signature {
                        b"APIC" => madt(&bytes, &mut result),
                        b"FACP" => fadt(&memory, &bytes, &mut result),
                        _ => mcfg(&bytes, &mut result),
                    }
                }
            }
        }
    }
}

#[test]
fn a_broken_sleep_package_means_no_power_off() {
    assert_eq!(sleep_types(b"_S5_\x12\x06\x04\x0a\x05\x0a\x05"), Some((5, 5)));
    assert_eq!(sleep_types(b"_S5_\x12\x40\x06\x04\x01\x00"), Some((1, 0)));
    for broken in
        [&b"_S5_"[..], b"_S5_\x12", b"_S5_\x12\xC0\x01", b"_S5_\x12\x06\x04\x0a", b"_S5_\x12\x06\x04\x0c\x01\x02"]
    {
        assert_eq!(sleep_types(broken), None);
    }
}
