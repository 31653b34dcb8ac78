//! Virtio-mmio devices in the DSDT, found by their encoding (ACPI 6.5 §20.2, §6.4), for there is no AML interpreter.
//!
//! ```text
//!   Device (V000) { Name (_HID, "LNRO0005")  Name (_UID, 0)  Name (_CRS, ResourceTemplate () {
//!       Memory32Fixed (ReadWrite, 0xC0001000, 0x1000)  Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 5 } }) }
//!
//!   08 "_HID" 0D "LNRO0005" 00 ... 08 "_CRS" 11 PkgLength BufferSize | 86 09 00  01  base  size | 89 06 00  flags 01 gsi | 79 00
//! ```
//!
//! That is how Firecracker and QEMU's microvm write them, with constants only. A device's resources are looked for between
//! its hardware id and the next one. One whose resources are missing, cut short or of another kind is left out; it would take
//! an interpreter to find it. Whatever the bytes are, nothing outside them is read, and each is looked at a bounded number
//! of times.

use alloc::vec::Vec;
use core::num::NonZeroU64;

use super::super::VirtioMmio;
use crate::mm::physical::read_u32;

const HARDWARE_ID: &[u8; 5] = b"\x08_HID";
/// What follows the name of a virtio-mmio device's hardware id: a string.
const VIRTIO_MMIO: &[u8; 10] = b"\x0DLNRO0005\0";
const RESOURCES: &[u8; 5] = b"\x08_CRS";
const BUFFER: u8 = 0x11;

/// Small resource: the end of the list. Large ones have bit 7 set and a length of two bytes.
const END_TAG: u8 = 0x79;
const LARGE: u8 = 1 << 7;
const SMALL_LENGTH: u8 = 0b111;
const MEMORY_32_FIXED: u8 = 0x86;
const EXTENDED_INTERRUPT: u8 = 0x89;

/// The devices in the order of the table.
pub(super) fn virtio_mmio(aml: &[u8]) -> Vec<VirtioMmio> {
    let mut found = Vec::new();
    let mut rest = aml;
    while let Some(id) = position(rest, HARDWARE_ID) {
        rest = &rest[id + HARDWARE_ID.len()..];
        if rest.starts_with(VIRTIO_MMIO) {
            let end = position(rest, HARDWARE_ID).unwrap_or(rest.len());
            found.extend(resources(&rest[..end]));
        }
    }
    found
}

/// Where a name begins. Names are compared as arrays, which is fast; a DSDT is long, and this runs at every boot.
fn position(bytes: &[u8], name: &[u8; 5]) -> Option<usize> {
    bytes.windows(name.len()).position(|window| window.first_chunk() == Some(name))
}

/// Registers and interrupt of the device whose bytes these are.
fn resources(device: &[u8]) -> Option<VirtioMmio> {
    let buffer = device.get(position(device, RESOURCES)? + RESOURCES.len()..)?;
    let (&BUFFER, package) = buffer.split_first()? else { return None };
    // The list ends by its own tag; how long the package and the buffer are does not matter.
    let package_length = 1 + usize::from(*package.first()? >> 6);
    let size = package.get(package_length..)?;
    let integer_length = match size.first()? {
        0x0A => 2,
        0x0B => 3,
        0x0C => 5,
        _ => 1,
    };
    let mut list = size.get(integer_length..)?;
    let (mut registers, mut gsi) = (None, None);
    while let Some(&tag) = list.first()
        && tag != END_TAG
    {
        let (head, length) = match tag & LARGE {
            0 => (1, usize::from(tag & SMALL_LENGTH)),
            _ => (3, usize::from(u16::from_le_bytes([*list.get(1)?, *list.get(2)?]))),
        };
        let body = list.get(head..head + length)?;
        match tag {
            MEMORY_32_FIXED if registers.is_none() => {
                registers = Some((read_u32(body, 1)?, NonZeroU64::new(read_u32(body, 5)?.into())?));
            }
            EXTENDED_INTERRUPT if gsi.is_none() && *body.get(1)? > 0 => gsi = Some(read_u32(body, 2)?),
            _ => {}
        }
        list = &list[head + length..];
    }
    let (base, size) = registers?;
    Some(VirtioMmio { base: base.into(), size, gsi: gsi? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device as QEMU's microvm has it.
    const DEVICE: &[u8] = b"\x5B\x82\x42\x04VR23\x08_HID\x0DLNRO0005\0\x08_UID\x0A\x17\x08_CCA\x01\
        \x08_CRS\x11\x1A\x0A\x17\x86\x09\0\x01\0\x2E\xB0\xFE\0\x02\0\0\x89\x06\0\x01\x01\x2F\0\0\0\x79\0";

    fn expected() -> VirtioMmio {
        VirtioMmio { base: 0xFEB0_2E00, size: NonZeroU64::new(512).unwrap(), gsi: 47 }
    }

    #[test]
    fn a_device_is_found_among_others() {
        let other =
            b"\x5B\x82\x20COM1\x08_HID\x0C\x41\xD0\x05\x01\x08_CRS\x11\x10\x0A\x0D\x86\x09\0\x01\0\0\0\0\0\0\0\0\x79\0";
        assert_eq!(virtio_mmio(DEVICE), [expected()]);
        assert_eq!(virtio_mmio(&[other, DEVICE, other].concat()), [expected()]);
        assert_eq!(virtio_mmio(&[DEVICE, DEVICE].concat()), [expected(), expected()]);
        assert_eq!(virtio_mmio(other), []);
    }

    #[test]
    fn a_device_does_not_take_the_resources_of_the_next_one() {
        let bare = b"\x5B\x82\x10VR00\x08_HID\x0DLNRO0005\0";
        let other = b"\x5B\x82\x40VR01\x08_HID\x0DQEMU0002\0";
        let resources = &DEVICE[position(DEVICE, RESOURCES).unwrap()..];
        assert_eq!(virtio_mmio(&[bare, resources].concat()), [expected()]);
        assert_eq!(virtio_mmio(&[bare, &other[..], resources].concat()), []);
    }

    #[test]
    fn other_resources_may_stand_between_and_the_first_of_each_kind_counts() {
        let list = |resources: &[&[u8]]| {
            let head = b"\x08_HID\x0DLNRO0005\0\x08_CRS\x11\x40\x06\x0B\x50\x00";
            virtio_mmio(&[&head[..], &resources.concat(), b"\x79\0"].concat())
        };
        let memory = b"\x86\x09\0\x01\0\x2E\xB0\xFE\0\x02\0\0";
        let interrupt = b"\x89\x06\0\x01\x01\x2F\0\0\0";
        let (ports, vendor) = (b"\x47\x01\x10\x05\x10\x05\x01\x0C", b"\x84\x02\0\x01\x02");
        assert_eq!(list(&[interrupt, ports, vendor, memory]), [expected()]);
        let again = b"\x86\x09\0\x01\0\0\0\xC0\0\x10\0\0\x89\x06\0\x01\x01\x05\0\0\0";
        assert_eq!(list(&[memory, interrupt, again]), [expected()]);
        assert_eq!(list(&[memory]), []);
        assert_eq!(list(&[interrupt]), []);
        assert_eq!(list(&[memory, b"\x89\x02\0\x01\0"]), [], "a list of no interrupts");
        assert_eq!(list(&[b"\x86\x09\0\x01\0\0\0\xC0\0\0\0\0", interrupt]), [], "no registers at all");
    }

    #[test]
    fn no_damage_makes_the_search_panic() {
        for position in 0..DEVICE.len() {
            virtio_mmio(&DEVICE[..position]);
            for value in 0..=u8::MAX {
                let mut damaged = DEVICE.to_vec();
                damaged[position] = value;
                virtio_mmio(&damaged);
            }
        }
    }
}
