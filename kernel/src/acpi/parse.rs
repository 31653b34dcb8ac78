//! From bytes to [`Tables`] (ACPI 6.5 §5.2).

mod devices;

use super::{Ecam, IoApic, Line, Location, Override, Polarity, SleepControl, Tables, Trigger};
use crate::mm::physical::{PhysicalMemory, read_u16, read_u32, read_u64, sums_to_zero};

const HEADER: usize = 36;
/// Longer tables are not believed.
const MAX_TABLE: usize = 1 << 20;
const MAX_TABLES: usize = 256;

/// Where [`find_rsdp`] looks: the BIOS area.
const BIOS_AREA: u64 = 0xE_0000;
const BIOS_AREA_SIZE: usize = 0x2_0000;
/// The real-mode segment of the extended BIOS data area.
const EBDA_POINTER: u64 = 0x40E;
const EBDA_SIZE: usize = 1024;
const RSDP_SIGNATURE: &[u8; 8] = b"RSD PTR ";
const RSDP_ALIGNMENT: usize = 16;

/// Searches the places where a BIOS leaves the root pointer (§5.2.5.1).
pub fn find_rsdp(memory: &dyn PhysicalMemory) -> Option<u64> {
    let ebda =
        memory.bytes(EBDA_POINTER, 2).and_then(|bytes| read_u16(bytes, 0)).map_or(0, |segment| u64::from(segment) << 4);
    let areas = [(ebda, EBDA_SIZE), (BIOS_AREA, BIOS_AREA_SIZE)];
    areas.into_iter().filter(|&(start, _)| start != 0).find_map(|(start, size)| {
        let area = memory.bytes(start, size)?;
        // Most of this is in vain, and eight thousand places are many: one comparison of eight bytes each.
        let found = area.chunks_exact(RSDP_ALIGNMENT).position(|chunk| chunk.first_chunk() == Some(RSDP_SIGNATURE))?;
        let address = start + (found * RSDP_ALIGNMENT) as u64;
        root_table(memory, address).map(|_| address)
    })
}

/// Reads everything that can be reached from the root pointer at `rsdp`; `None` if that is not one.
pub fn tables(memory: &dyn PhysicalMemory, rsdp: u64) -> Option<Tables> {
    let (root, pointer_size) = root_table(memory, rsdp)?;
    let mut tables = Tables::default();
    for pointer in root.get(HEADER..)?.chunks_exact(pointer_size).take(MAX_TABLES) {
        let address = if pointer_size == 8 { read_u64(pointer, 0)? } else { u64::from(read_u32(pointer, 0)?) };
        let Some(table) = table(memory, address, Checksum::Required) else { continue };
        match table.first_chunk() {
            Some(b"APIC") => madt(table, &mut tables),
            Some(b"MCFG") => mcfg(table, &mut tables),
            Some(b"FACP") => fadt(memory, table, &mut tables),
            _ => {}
        }
    }
    Some(tables)
}

/// The XSDT, or else the RSDT, with the size of its pointers.
fn root_table(memory: &dyn PhysicalMemory, rsdp: u64) -> Option<(&[u8], usize)> {
    let first = memory.bytes(rsdp, 20)?;
    if !first.starts_with(RSDP_SIGNATURE) || !sums_to_zero(first) {
        return None;
    }
    let extended = memory.bytes(rsdp, 36).filter(|bytes| bytes[15] >= 2 && sums_to_zero(bytes));
    let xsdt = extended.and_then(|bytes| read_u64(bytes, 24)).filter(|&address| address != 0);
    let rsdt = read_u32(first, 16).filter(|&address| address != 0);
    xsdt.and_then(|address| signed_table(memory, address, b"XSDT"))
        .map(|table| (table, 8))
        .or_else(|| Some((signed_table(memory, u64::from(rsdt?), b"RSDT")?, 4)))
}

fn signed_table<'a>(memory: &'a dyn PhysicalMemory, address: u64, signature: &[u8; 4]) -> Option<&'a [u8]> {
    table(memory, address, Checksum::Required).filter(|table| table.starts_with(signature))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Checksum {
    Required,
    Ignored,
}

/// A whole table with its header.
fn table(memory: &dyn PhysicalMemory, address: u64, checksum: Checksum) -> Option<&[u8]> {
    let length = read_u32(memory.bytes(address, HEADER)?, 4)? as usize;
    if !(HEADER..=MAX_TABLE).contains(&length) {
        return None;
    }
    memory.bytes(address, length).filter(|table| checksum == Checksum::Ignored || sums_to_zero(table))
}

/// Multiple APIC description table (§5.2.12).
fn madt(table: &[u8], tables: &mut Tables) {
    const ENABLED: u32 = 1;
    let mut rest = table.get(HEADER + 8..).unwrap_or_default();
    while let [kind, length, ..] = *rest {
        let length = usize::from(length);
        // A length that cannot hold the entry's own head would never end.
        let Some((entry, tail)) = rest.split_at_checked(length).filter(|_| length >= 2) else { return };
        rest = tail;
        // An entry too short for its type gives `None` and is skipped.
        let _ = (|| -> Option<()> {
            match kind {
                0 if read_u32(entry, 4)? & ENABLED != 0 => tables.processors.push(u32::from(*entry.get(3)?)),
                1 => tables
                    .io_apics
                    .push(IoApic { address: u64::from(read_u32(entry, 4)?), first_gsi: read_u32(entry, 8)? }),
                2 => {
                    let flags = read_u16(entry, 8)?;
                    let polarity = if flags & 0b11 == 0b11 { Polarity::Low } else { Polarity::High };
                    let trigger = if flags >> 2 & 0b11 == 0b11 { Trigger::Level } else { Trigger::Edge };
                    let line = Line { gsi: read_u32(entry, 4)?, trigger, polarity };
                    tables.overrides.push(Override { irq: *entry.get(3)?, line });
                }
                9 if read_u32(entry, 8)? & ENABLED != 0 => tables.processors.push(read_u32(entry, 4)?),
                _ => {}
            }
            Some(())
        })();
    }
}

/// PCI Express memory-mapped configuration space (PCI Firmware Specification 3.3 §4.1.2).
fn mcfg(table: &[u8], tables: &mut Tables) {
    let entries = table.get(HEADER + 8..).unwrap_or_default().chunks_exact(16);
    tables.ecam.extend(entries.filter_map(|entry| {
        let (&first, &last) = (entry.get(10)?, entry.get(11)?);
        let address = read_u64(entry, 0).filter(|address| address % (1 << 20) == 0 && *address != 0)?;
        (first <= last).then(|| read_u16(entry, 8).map(|segment| Ecam { address, segment, buses: first..=last }))?
    }));
}

/// Fixed ACPI description table (§5.2.9).
fn fadt(memory: &dyn PhysicalMemory, table: &[u8], tables: &mut Tables) {
    const RESET_SUPPORTED: u32 = 1 << 10;
    const HARDWARE_REDUCED: u32 = 1 << 20;
    const CMOS_ABSENT: u16 = 1 << 5;

    let flags = read_u32(table, 112).unwrap_or(0);
    let port = |offset| read_u32(table, offset).and_then(|port| u16::try_from(port).ok()).filter(|&port| port != 0);
    let is_reduced = flags & HARDWARE_REDUCED != 0;
    if !is_reduced {
        tables.pm_timer = port(76);
    }
    tables.cmos_absent = read_u16(table, 109).unwrap_or(0) & CMOS_ABSENT != 0;
    if flags & RESET_SUPPORTED != 0 {
        tables.reset = generic_address(table, 116).zip(table.get(128).copied());
    }

    let dsdt = read_u64(table, 140).filter(|&address| address != 0).or_else(|| read_u32(table, 40).map(u64::from));
    let aml = dsdt
        .and_then(|address| self::table(memory, address, Checksum::Ignored))
        .and_then(|dsdt| dsdt.get(HEADER..))
        .unwrap_or_default();
    tables.virtio_mmio = devices::virtio_mmio(aml);
    let Some((type_a, type_b)) = sleep_types(aml) else { return };
    tables.sleep = if is_reduced {
        generic_address(table, 244).map(|location| SleepControl::Register { location, sleep_type: type_a })
    } else {
        port(64).map(|control_a| SleepControl::Pm1 { control_a, control_b: port(68), type_a, type_b })
    };
}

/// A generic address structure (§5.2.3.2) that names a memory location or a port.
fn generic_address(table: &[u8], offset: usize) -> Option<Location> {
    let address = read_u64(table, offset + 4).filter(|&address| address != 0)?;
    match table.get(offset)? {
        0 => Some(Location::Memory(address)),
        1 => u16::try_from(address).ok().map(Location::Port),
        _ => None,
    }
}

/// The first two elements of the package named `_S5_` (§7.4.2.6), found by its encoding:
/// `NameOp "_S5_" PackageOp PkgLength NumElements element element ...`, the elements integers of at most a byte.
fn sleep_types(aml: &[u8]) -> Option<(u8, u8)> {
    const NAME: &[u8; 4] = b"_S5_";
    const PACKAGE: u8 = 0x12;
    const BYTE_PREFIX: u8 = 0x0A;
    // Compared as arrays, which are single words; a DSDT is long, and this runs at every boot.
    let is_name = |window: &[u8]| window.first_chunk() == Some(NAME) && window.last() == Some(&PACKAGE);
    let name = aml.windows(NAME.len() + 1).position(is_name)?;
    let package = aml.get(name + NAME.len()..)?;
    let length_bytes = 1 + usize::from(package.get(1)? >> 6);
    let mut elements = package.get(1 + length_bytes + 1..)?;
    let mut integer = || -> Option<u8> {
        let (&first, rest) = elements.split_first()?;
        elements = rest;
        match first {
            0 | 1 => Some(first),
            BYTE_PREFIX => {
                let (&value, rest) = elements.split_first()?;
                elements = rest;
                Some(value)
            }
            _ => None,
        }
        .filter(|&value| value < 8)
    };
    let first = integer()?;
    // A package with one element has both types in it.
    Some((first, integer().unwrap_or(first)))
}

#[cfg(test)]
mod tests;
