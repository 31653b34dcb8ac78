//! Cloud Hypervisor: no firmware, a root pointer that is passed, processors by x2APIC ids, and one register for power-off and
//! reset.

use super::build::{self, Boot, LowMemory, field};
use crate::acpi::{self, Ecam, IoApic, Line, Location, Polarity, SleepControl, Tables, Trigger};
use crate::boot::information::{Protocol, parse};
use crate::bus::virtio_mmio;
use crate::mm::memory_map::MAX_PHYSICAL;
use crate::shutdown::plan::{self, Way};

const START_INFORMATION: u64 = 0x6000;
const MEMORY_MAP: u64 = 0x7000;
const COMMAND_LINE: u64 = 0x2_0000;
const ROOT_POINTER: u64 = 0xA_0000;
const TABLES: u64 = 0xA_0040;
const CONFIGURATION_SPACE: u64 = 0xE800_0000;
/// Where the BARs end that are not the boot disk's.
const LAST_BAR: u64 = 0xFF_FF80_0000;
const _: () = assert!(LAST_BAR + (512 << 10) <= MAX_PHYSICAL, "registers there can be mapped");
const GIB: u64 = 1 << 30;

/// The register: 5 is S5, 1 a reset.
const POWER: u64 = 0x600;

fn guest(cpus: u32, memory: u64) -> LowMemory {
    let mut low = LowMemory::new();
    let below = memory.min(3 * GIB);
    let mut map = vec![(0, 0xA_0000, 1), (0x10_0000, below - 0x10_0000, 1), (CONFIGURATION_SPACE, 256 << 20, 2)];
    if memory > below {
        map.push((4 * GIB, memory - below, 1));
    }
    let boot = Boot { command_line: COMMAND_LINE, rsdp: ROOT_POINTER, map: &map, initrd: None };
    build::start_information(&mut low, START_INFORMATION, MEMORY_MAP, &boot);
    low.write(COMMAND_LINE, b"log=debug");

    let serial = build::device(
        b"COM1",
        &[
            build::name(b"_HID", &build::string("PNP0501")),
            build::name(b"_CRS", &build::resources(&[build::interrupt(4), build::ports(0x3F8, 8)])),
        ],
    );
    let body = [build::system_bus(&[serial]), build::name(b"_S5_", &build::package(&[5]))].concat();
    let dsdt = build::table(b"DSDT", 6, &body);
    let flags = field::HARDWARE_REDUCED | field::RESET_SUPPORTED;
    let fadt = build::fadt(
        276,
        6,
        &[
            (field::FLAGS, build::words([flags])),
            (field::RESET_REGISTER, build::register(1, POWER)),
            (field::RESET_VALUE, vec![1]),
            (field::X_DSDT, TABLES.to_le_bytes().to_vec()),
            (field::SLEEP_CONTROL, build::register(1, POWER)),
            (field::SLEEP_STATUS, build::register(1, POWER)),
            (268, b"CLOUDHYP".to_vec()),
        ],
    );
    low.write(TABLES, &dsdt);
    let processors = (0..cpus).flat_map(build::local_x2apic).collect();
    let madt = build::madt(&[processors, build::io_apic(), build::interrupt_override(4, 4)]);
    let tables = [fadt, madt, build::mcfg(CONFIGURATION_SPACE, 0)];
    low.write_tables(ROOT_POINTER, (TABLES + dsdt.len() as u64).next_multiple_of(8), &tables);
    low
}

fn tables_of(memory: &LowMemory) -> Tables {
    let information = parse(Protocol::Pvh, memory, START_INFORMATION).unwrap();
    acpi::parse::tables(memory, information.rsdp.unwrap()).unwrap()
}

#[test]
fn memory_and_command_line_are_found() {
    let ranges = |memory| {
        let guest = guest(1, memory);
        let information = parse(Protocol::Pvh, &guest, START_INFORMATION).unwrap();
        assert_eq!(information.command_line.bytes, b"log=debug");
        information.memory_map.ranges().iter().map(|range| (range.start, range.end)).collect::<Vec<_>>()
    };
    assert_eq!(ranges(512 << 20), [(0, 0xA_0000), (0x10_0000, 512 << 20)]);
    assert_eq!(ranges(5 * GIB), [(0, 0xA_0000), (0x10_0000, 3 * GIB), (4 * GIB, 6 * GIB)]);
}

#[test]
fn processors_with_x2apic_ids_and_the_overridden_line_are_found() {
    for cpus in [1, 4, 255] {
        let tables = tables_of(&guest(cpus, 512 << 20));
        assert_eq!(tables.processors, (0..cpus).collect::<Vec<_>>());
        assert_eq!(tables.io_apics, [IoApic { address: 0xFEC0_0000, first_gsi: 0 }]);
        let line = Line { gsi: 4, trigger: Trigger::Edge, polarity: Polarity::High };
        assert_eq!((tables.isa_line(4), tables.overrides.len()), (line, 1));
        assert_eq!(tables.ecam, [Ecam { address: CONFIGURATION_SPACE, segment: 0, buses: 0..=0 }]);
        assert!(!tables.cmos_absent, "there is a clock in CMOS memory");
        assert_eq!(virtio_mmio::windows([].into_iter(), Some(&tables), |_| {}), [], "devices are on PCI");
    }
}

#[test]
fn it_is_powered_off_by_its_register_and_never_reset_for_that() {
    let tables = tables_of(&guest(1, 512 << 20));
    let location = Location::Port(0x600);
    assert_eq!(tables.sleep, Some(SleepControl::Register { location, sleep_type: 5 }));
    let power_off: Vec<_> = plan::power_off(Some(&tables)).ways().collect();
    // Behind the halt there is nothing: a byte 0xFE to port 0x64 would boot the guest again and again.
    assert_eq!(power_off, [Way::DebugExit, Way::Register { location, value: 0x34 }, Way::Halt]);
    assert_eq!(plan::reboot(Some(&tables)).ways().next(), Some(Way::Register { location, value: 1 }));
}
