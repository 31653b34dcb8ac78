//! The MP table: processors and I/O APICs of a machine without ACPI (MultiProcessor Specification 1.4).
//!
//! ```text
//!   "_MP_" floating pointer --> "PCMP" header | 0: processor, 20 bytes | 1: bus | 2: I/O APIC | 3, 4: interrupts
//!    EBDA, end of base memory,   44 bytes       entries, 8 bytes each but those of processors
//!    or the BIOS area
//! ```
//!
//! QEMU's microvm with ACPI off and Firecracker describe their processors nowhere else. Both leave the pointer at the
//! beginning of the last KiB of base memory, 0x9FC00, and the table behind it. Where there is ACPI, ACPI is to be asked:
//! SeaBIOS lists one processor of each package here.
//!
//! # What is believed
//!
//! The parser is total, as that of [`acpi`](crate::acpi): whatever memory holds, the result is a value or nothing, and
//! nothing outside the table is read. Pointer and table must sum to zero. A pointer whose table does not is passed over,
//! because a guest that was booted before may have left one. The table ends where its length says; the number of entries
//! in its header is ignored, for qboot writes that of a single processor however many there are.
//!
//! # Global system interrupts
//!
//! They are ACPI's and unknown to an MP table, which counts the pins of each I/O APIC from 0. [`IoApic::first_gsi`] is
//! filled in as if each controller had the 24 pins of an 82093AA, in the table's order.

use alloc::vec::Vec;

use crate::acpi::IoApic;
use crate::mm::physical::{PhysicalMemory, read_u16, read_u32, sums_to_zero};

/// The real-mode segment of the extended BIOS data area.
const EBDA_POINTER: u64 = 0x40E;
/// The size of base memory in KiB.
const BASE_MEMORY_SIZE: u64 = 0x413;
const KIB: usize = 1024;
/// The last KiB of 640.
const USUAL_LAST_KIB: u64 = 0x9_FC00;
const BIOS_AREA: u64 = 0xF_0000;
const BIOS_AREA_SIZE: usize = 0x1_0000;

const POINTER_SIGNATURE: &[u8; 4] = b"_MP_";
const POINTER_ALIGNMENT: usize = 16;
const POINTER_SIZE: usize = 16;
const TABLE_SIGNATURE: &[u8; 4] = b"PCMP";
const HEADER: usize = 44;
/// In byte 3 of a processor's and of an I/O APIC's entry: it can be used.
const ENABLED: u8 = 1;
const IO_APIC_PINS: u32 = 24;

/// What the table says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MpTable {
    /// APIC ids of the processors that can be used, the boot processor's among them.
    pub processors: Vec<u32>,
    /// I/O interrupt controllers.
    pub io_apics: Vec<IoApic>,
}

#[cfg(target_os = "none")]
static TABLE: spin::Once<Option<MpTable>> = spin::Once::new();

/// Looks for the table, once, on a machine that has no ACPI tables.
#[cfg(target_os = "none")]
pub(crate) fn initialise(memory: &dyn PhysicalMemory) {
    TABLE.call_once(|| find(memory));
}

/// The machine's table, if there is one.
#[cfg(target_os = "none")]
pub fn table() -> Option<&'static MpTable> {
    TABLE.get()?.as_ref()
}

/// Searches the places where firmware leaves the floating pointer (§4), and reads the table of the first that has one.
pub fn find(memory: &dyn PhysicalMemory) -> Option<MpTable> {
    let word = |address| memory.bytes(address, 2).and_then(|bytes| read_u16(bytes, 0)).map(u64::from);
    let ebda = word(EBDA_POINTER).map(|segment| segment << 4);
    let last_kib = word(BASE_MEMORY_SIZE).and_then(|kib| kib.checked_sub(1)).map(|kib| kib * KIB as u64);
    let areas = [
        (ebda.filter(|&address| address != 0), KIB),
        (last_kib, KIB),
        (Some(USUAL_LAST_KIB), KIB),
        (Some(BIOS_AREA), BIOS_AREA_SIZE),
    ];
    areas.into_iter().find_map(|(start, size)| {
        let area = memory.bytes(start?, size)?;
        (0..size).step_by(POINTER_ALIGNMENT).find_map(|offset| pointed_to(memory, area.get(offset..)?))
    })
}

/// The table of the floating pointer at the beginning of `area`; `None` if there is neither.
fn pointed_to(memory: &dyn PhysicalMemory, area: &[u8]) -> Option<MpTable> {
    if area.first_chunk() != Some(POINTER_SIGNATURE) {
        return None;
    }
    let length = usize::from(*area.get(8)?) * POINTER_SIZE;
    let pointer = area.get(..length).filter(|pointer| sums_to_zero(pointer))?;
    // Feature byte 1 names one of the default configurations, which have no table.
    if *pointer.get(11)? != 0 {
        return Some(default_configuration());
    }
    configuration(memory, u64::from(read_u32(pointer, 4)?)).map(entries)
}

/// Two processors, and an I/O APIC at the usual place (§5).
fn default_configuration() -> MpTable {
    MpTable { processors: [0, 1].into(), io_apics: [IoApic { address: 0xFEC0_0000, first_gsi: 0 }].into() }
}

/// The entries of the configuration table at `address` (§4.2).
fn configuration(memory: &dyn PhysicalMemory, address: u64) -> Option<&[u8]> {
    let length = read_u16(memory.bytes(address, HEADER)?, 4)?;
    let table = memory.bytes(address, usize::from(length))?;
    table.get(HEADER..).filter(|_| table.starts_with(TABLE_SIGNATURE) && sums_to_zero(table))
}

fn entries(mut rest: &[u8]) -> MpTable {
    let mut found = MpTable::default();
    while let Some(&kind) = rest.first() {
        let length = match kind {
            0 => 20,
            1..=4 => 8,
            // Of what follows an entry of unknown length nothing is known.
            _ => break,
        };
        let Some((entry, tail)) = rest.split_at_checked(length) else { break };
        rest = tail;
        match (kind, entry[3] & ENABLED != 0) {
            (0, true) => found.processors.push(u32::from(entry[1])),
            (2, true) => {
                let address = u64::from(read_u32(entry, 4).unwrap_or_default());
                found.io_apics.push(IoApic { address, first_gsi: found.io_apics.len() as u32 * IO_APIC_PINS });
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests;
