//! Walking the buses, over whatever reads configuration space.
//!
//! The scan starts at bus 0 and follows bridges; each bus is visited at most once, so that bridges which point at each other
//! end it too.
//!
//! # Nothing there
//!
//! A function that does not exist reads as all ones on a PC, and as all zeroes under a monitor that answers so for addresses
//! that it does not know: Firecracker's tables have memory-mapped configuration space whether it has PCI or not. Neither is a
//! vendor.

use alloc::vec;
use alloc::vec::Vec;

use toro_core::driver::DeviceId;
use toro_core::pci::access::FunctionAddress;
use toro_core::pci::{self, ConfigSpace};

use crate::acpi::{Ecam, Tables};

const MULTIFUNCTION: u8 = 0x80;
const SECONDARY_BUS: u16 = 0x19;

/// The memory-mapped configuration space that has the function, if the tables name one.
pub(crate) fn ecam(tables: Option<&Tables>, address: FunctionAddress) -> Option<&Ecam> {
    tables?.ecam.iter().find(|ecam| ecam.segment == 0 && ecam.buses.contains(&address.bus()))
}

/// Calls `visit` for every function that is not a bridge. `config_of` gives a function's configuration space, if it can be
/// reached.
pub(crate) fn walk<C: ConfigSpace>(
    config_of: impl Fn(FunctionAddress) -> Option<C>,
    mut visit: impl FnMut(FunctionAddress, DeviceId),
) {
    let mut seen = [false; 256];
    let mut waiting = vec![0_u8];
    while let Some(bus) = waiting.pop() {
        if core::mem::replace(&mut seen[usize::from(bus)], true) {
            continue;
        }
        for device in 0..32 {
            walk_device(bus, device, &config_of, &mut waiting, &mut visit);
        }
    }
}

/// Visits the functions of a device; buses behind bridges are added to `waiting`.
fn walk_device<C: ConfigSpace>(
    bus: u8,
    device: u8,
    config_of: &impl Fn(FunctionAddress) -> Option<C>,
    waiting: &mut Vec<u8>,
    visit: &mut impl FnMut(FunctionAddress, DeviceId),
) {
    let mut functions = 1;
    let mut function = 0;
    while function < functions {
        let address = FunctionAddress::new(bus, device, function);
        function += 1;
        let Some((address, config)) = address.and_then(|address| Some((address, config_of(address)?))) else {
            continue;
        };
        let vendor = config.read16(pci::VENDOR_ID);
        if matches!(vendor, 0 | u16::MAX) {
            continue;
        }
        let header = config.read8(pci::HEADER_TYPE);
        if address.function() == 0 && header & MULTIFUNCTION != 0 {
            functions = 8;
        }
        match header & !MULTIFUNCTION {
            0 => {
                let class = config.read32(pci::REVISION_AND_CLASS) >> 8;
                visit(address, DeviceId::Pci { vendor, device: config.read16(pci::DEVICE_ID), class });
            }
            1 => waiting.push(config.read8(SECONDARY_BUS)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;
    use std::collections::BTreeMap;

    use super::*;

    /// What reads where no function is.
    #[derive(Clone, Copy)]
    enum Nothing {
        Ones,
        Zeroes,
    }

    /// Bus, device and function.
    type Place = (u8, u8, u8);

    /// The first words of a function's configuration space.
    struct Words([u32; 16]);

    impl ConfigSpace for Words {
        fn read32(&self, offset: u16) -> u32 {
            self.0.get(usize::from(offset / 4)).copied().unwrap_or(0)
        }

        fn write32(&self, _: u16, _: u32) {
            panic!("a scan writes nothing");
        }

        fn write16(&self, _: u16, _: u16) {
            panic!("a scan writes nothing");
        }
    }

    /// A function with this vendor, class and header type; a bridge leads to `behind`.
    fn function(vendor: u16, header: u8, behind: u8) -> [u32; 16] {
        let mut words = [0; 16];
        words[0] = u32::from(vendor) | 0x1041 << 16;
        words[2] = 0x02_00_00 << 8;
        words[3] = u32::from(header) << 16;
        words[6] = u32::from(behind) << 8;
        words
    }

    /// What a walk visits, and how many functions it looks at.
    fn visited(functions: &[(Place, [u32; 16])], nothing: Nothing) -> (Vec<Place>, usize) {
        let map: BTreeMap<_, _> = functions.iter().copied().collect();
        let (mut found, looks) = (Vec::new(), Cell::new(0));
        let config_of = |address: FunctionAddress| {
            looks.set(looks.get() + 1);
            let key = (address.bus(), address.device(), address.function());
            let absent = match nothing {
                Nothing::Ones => [u32::MAX; 16],
                Nothing::Zeroes => [0; 16],
            };
            Some(Words(map.get(&key).copied().unwrap_or(absent)))
        };
        walk(config_of, |address, id| {
            assert!(matches!(id, DeviceId::Pci { vendor: 0x1af4, device: 0x1041, class: 0x02_00_00 }), "{id:?}");
            found.push((address.bus(), address.device(), address.function()));
        });
        (found, looks.get())
    }

    #[test]
    fn what_reads_as_ones_or_as_zeroes_is_no_function() {
        for nothing in [Nothing::Ones, Nothing::Zeroes] {
            assert_eq!(visited(&[], nothing), (vec![], 32));
            let (found, _) = visited(&[((0, 3, 0), function(0x1af4, 0, 0))], nothing);
            assert_eq!(found, [(0, 3, 0)]);
        }
    }

    #[test]
    fn all_functions_of_a_device_that_has_several_are_visited() {
        let functions = [
            ((0, 1, 0), function(0x1af4, 0x80, 0)),
            ((0, 1, 5), function(0x1af4, 0, 0)),
            ((0, 2, 0), function(0x1af4, 0, 0)),
            ((0, 2, 1), function(0x1af4, 0, 0)),
        ];
        assert_eq!(visited(&functions, Nothing::Ones).0, [(0, 1, 0), (0, 1, 5), (0, 2, 0)]);
    }

    #[test]
    fn bridges_are_followed_once() {
        let functions = [
            ((0, 1, 0), function(0x8086, 1, 7)),
            ((0, 2, 0), function(0x8086, 1, 7)),
            ((7, 0, 0), function(0x1af4, 0, 0)),
            ((7, 1, 0), function(0x8086, 1, 0)),
        ];
        assert_eq!(visited(&functions, Nothing::Ones), (vec![(7, 0, 0)], 64));
    }

    #[test]
    fn memory_mapped_configuration_space_is_for_the_buses_that_it_says() {
        let bus = |bus| FunctionAddress::new(bus, 0, 0).unwrap();
        let space = |segment, buses| Ecam { address: 0xE000_0000, segment, buses };
        let tables = Tables { ecam: vec![space(1, 0..=255), space(0, 0..=3)], ..Tables::default() };
        assert_eq!(ecam(Some(&tables), bus(3)), Some(&tables.ecam[1]));
        assert_eq!(ecam(Some(&tables), bus(4)), None);
        assert_eq!(ecam(None, bus(0)), None);
    }
}
