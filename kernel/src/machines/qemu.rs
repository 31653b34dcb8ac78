//! QEMU's machines, as far as their tables matter for power and for devices in memory: fixed description tables with the
//! fields that version 7.2 writes, and the DSDT of a microvm.

use super::build::{self, LowMemory, field};
use crate::acpi::{self, Location, Tables};
use crate::bus::virtio_mmio::{self, Interrupt};
use crate::shutdown::plan::{self, Way};

const TABLES: u64 = 0xE_0000;
const ROOT_POINTER: u64 = 0xF_0000;

fn tables_of(fadt: Vec<u8>, dsdt: &[u8]) -> Tables {
    let mut low = LowMemory::new();
    low.write(TABLES, dsdt);
    low.write_tables(ROOT_POINTER, (TABLES + dsdt.len() as u64).next_multiple_of(8), &[fadt]);
    acpi::parse::tables(&low, acpi::parse::find_rsdp(&low).unwrap()).unwrap()
}

fn power_off(tables: &Tables) -> Vec<Way> {
    plan::power_off(Some(tables)).ways().collect()
}

/// What the DSDT of a PC says of power: sleep type 0 is S5.
fn dsdt_of_a_pc() -> Vec<u8> {
    build::table(b"DSDT", 1, &[b"\x10\x10\\\0".to_vec(), build::name(b"_S5_", b"\x12\x06\x04\0\0\0\0")].concat())
}

fn fields_of_a_pc() -> Vec<(usize, Vec<u8>)> {
    vec![
        (field::DSDT, build::words([TABLES as u32])),
        (field::PM1A_CONTROL, build::words([0x604])),
        (field::PM_TIMER, build::words([0x608])),
    ]
}

const SLEEP: Way = Way::Pm1 { control: 0x604, sleep_type: 0 };

#[test]
fn a_pc_goes_off_by_pm1_and_is_reset_by_its_keyboard_controller() {
    // Its table is of revision 1, which knows no reset register.
    let fields = [fields_of_a_pc(), vec![(field::FLAGS, build::words([0x80A5]))]].concat();
    let tables = tables_of(build::fadt(116, 1, &fields), &dsdt_of_a_pc());
    assert_eq!(power_off(&tables), [Way::DebugExit, SLEEP, Way::Halt]);
    assert_eq!(plan::reboot(Some(&tables)).ways().collect::<Vec<_>>(), [Way::Keyboard, Way::TripleFault]);
    assert_eq!(tables.pm_timer, Some(0x608));
}

#[test]
fn a_q35_goes_off_by_pm1_and_is_reset_by_its_chipset() {
    let reset = vec![
        (field::FLAGS, build::words([0x84A5])),
        (field::RESET_REGISTER, build::register(1, 0xCF9)),
        (field::RESET_VALUE, vec![0x0F]),
    ];
    let tables = tables_of(build::fadt(244, 3, &[fields_of_a_pc(), reset].concat()), &dsdt_of_a_pc());
    assert_eq!(power_off(&tables), [Way::DebugExit, SLEEP, Way::Halt]);
    let register = Way::Register { location: Location::Port(0xCF9), value: 0x0F };
    assert_eq!(plan::reboot(Some(&tables)).ways().next(), Some(register));
}

fn microvm(devices: &[(u32, u32)]) -> Tables {
    let firmware = build::device(
        b"FWCF",
        &[
            build::name(b"_HID", &build::string("QEMU0002")),
            build::name(b"_STA", &[0x0A, 0x0B]),
            build::name(b"_CRS", &build::resources(&[build::ports(0x510, 12)])),
        ],
    );
    let virtio = devices.iter().map(|&(base, gsi)| {
        build::device(
            b"VR23",
            &[
                build::name(b"_HID", &build::string("LNRO0005")),
                build::name(b"_UID", &[0x0A, 0x17]),
                build::name(b"_CCA", &[1]),
                build::name(b"_CRS", &build::resources(&[build::memory(base, 512), build::interrupt(gsi)])),
            ],
        )
    });
    let bus = build::system_bus(&[firmware].into_iter().chain(virtio).collect::<Vec<_>>());
    let sleep = [b"\x10\x10\\\0".to_vec(), build::name(b"_S5_", b"\x12\x07\x04\x0A\x05\0\0\0")].concat();
    let dsdt = build::table(b"DSDT", 2, &[bus, sleep].concat());
    let flags = field::HARDWARE_REDUCED | field::RESET_SUPPORTED;
    let fields = [
        (field::FLAGS, build::words([flags])),
        (field::RESET_REGISTER, build::register(0, 0xFEA0_0202)),
        (field::RESET_VALUE, vec![0x42]),
        (field::X_DSDT, TABLES.to_le_bytes().to_vec()),
        (field::SLEEP_CONTROL, build::register(0, 0xFEA0_0200)),
        (field::SLEEP_STATUS, build::register(0, 0xFEA0_0201)),
    ];
    tables_of(build::fadt(268, 5, &fields), &dsdt)
}

#[test]
fn a_microvm_with_acpi_goes_off_by_its_register_in_memory() {
    let tables = microvm(&[]);
    let register = |address, value| Way::Register { location: Location::Memory(address), value };
    assert_eq!(power_off(&tables), [Way::DebugExit, register(0xFEA0_0200, 0x34), Way::Halt]);
    assert_eq!(plan::reboot(Some(&tables)).ways().next(), Some(register(0xFEA0_0202, 0x42)));
}

#[test]
fn a_microvm_without_acpi_is_reset() {
    let ways: Vec<_> = plan::power_off(None).ways().collect();
    assert_eq!(ways, [Way::DebugExit, Way::Keyboard, Way::TripleFault]);
}

#[test]
fn devices_of_a_microvm_with_acpi_are_found_without_a_command_line() {
    let tables = microvm(&[(0xFEB0_2E00, 47), (0xFEB0_2C00, 46)]);
    let windows = virtio_mmio::windows([].into_iter(), Some(&tables), |_| {});
    let found: Vec<_> = windows.iter().map(|window| (window.base, window.size.get(), window.interrupt)).collect();
    assert_eq!(found, [(0xFEB0_2E00, 512, Interrupt::Gsi(47)), (0xFEB0_2C00, 512, Interrupt::Gsi(46))]);
}
