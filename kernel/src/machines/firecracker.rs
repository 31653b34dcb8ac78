//! Firecracker: no firmware, ACPI tables that nobody points to, and devices that are described twice.
//!
//! ```text
//!   0x006000  start information (PVH)  0x09FC00  MP table        0x0E0000  RSDP
//!   0x007000  memory map, or zero page               0x0A0000  ACPI tables     0xC0001000  virtio-mmio, 4 KiB each, lines from 5 on
//!   0x020000  command line                                       0xEEC00000  PCI configuration space
//! ```

use core::cell::{Cell, RefCell};

use toro_core::Registers;
use toro_core::driver::DeviceId;
use toro_core::pci::access::{ConfigPorts, Ecam, FunctionAddress};
use toro_core::pci::bar::{Bar, BarWidth, bars};
use toro_core::pci::{self, Command, ConfigSpace};

use super::build::{self, Boot, LowMemory, field};
use crate::acpi::{self, IoApic, Line, Polarity, Tables, Trigger};
use crate::boot::information::{BootInformation, Protocol, parse};
use crate::bus::{pci_tree, virtio_mmio};
use crate::mm::memory_map::MAX_PHYSICAL;
use crate::shutdown::plan::{self, Way};
use crate::{command_line, mp_table};

const START_INFORMATION: u64 = 0x6000;
const MEMORY_MAP: u64 = 0x7000;
/// Of versions that do not look for a PVH note.
const ZERO_PAGE: u64 = 0x7000;
const PROTOCOLS: [Protocol; 2] = [Protocol::Pvh, Protocol::Linux];
/// The initial RAM disk: at the end of memory.
const INITRD: (u64, u64) = ((128 << 20) - 0x3000, 0x2345);
const COMMAND_LINE: u64 = 0x2_0000;
const MP_TABLE: u64 = 0x9_FC00;
const TABLES: u64 = 0xA_0000;
const ROOT_POINTER: u64 = 0xE_0000;
const CONFIGURATION_SPACE: u64 = 0xEEC0_0000;
const GIB: u64 = 1 << 30;

/// What the user writes into the configuration, and what Firecracker appends for a root drive and a network interface.
const WORDS: &str = "reboot=k panic=1 root=/www pci=off root=/dev/vda rw \
    virtio_mmio.device=4K@0xc0001000:5 virtio_mmio.device=4K@0xc0002000:6";

/// A guest with `devices` devices in memory.
fn guest(protocol: Protocol, cpus: u8, memory: u64, devices: u8, words: &str) -> LowMemory {
    let mut low = LowMemory::new();
    let map = memory_map(memory);
    let boot = |rsdp| Boot { command_line: COMMAND_LINE, rsdp, map: &map, initrd: Some(INITRD) };
    match protocol {
        Protocol::Linux => build::zero_page(&mut low, ZERO_PAGE, &boot(ROOT_POINTER)),
        _ => build::start_information(&mut low, START_INFORMATION, MEMORY_MAP, &boot(0)),
    }
    low.write(COMMAND_LINE, words.as_bytes());
    low.write(MP_TABLE, &multiprocessor(cpus));
    let dsdt = dsdt(devices);
    let fadt = build::fadt(
        276,
        6,
        &[
            (field::FLAGS, build::words([field::HARDWARE_REDUCED])),
            (field::X_DSDT, TABLES.to_le_bytes().to_vec()),
            (268, b"FIRECKVM".to_vec()),
        ],
    );
    low.write(TABLES, &dsdt);
    let madt = build::madt(&[(0..cpus).flat_map(build::local_apic).collect(), build::io_apic()]);
    let tables = [fadt, madt, build::mcfg(CONFIGURATION_SPACE, 0)];
    low.write_tables(ROOT_POINTER, (TABLES + dsdt.len() as u64).next_multiple_of(8), &tables);
    low
}

fn memory_map(memory: u64) -> Vec<build::MemoryEntry> {
    let below = memory.min(3 * GIB);
    let mut map = vec![
        (0, MP_TABLE, 1),
        (MP_TABLE, 0x10_0000 - MP_TABLE, 2),
        (CONFIGURATION_SPACE, 256 << 20, 2),
        (0x10_0000, below - 0x10_0000, 1),
    ];
    if memory > below {
        map.push((4 * GIB, memory - below, 1));
    }
    map
}

/// The table of the MultiProcessor specification: pointer, processors, the ISA bus, the I/O APIC and its lines.
fn multiprocessor(cpus: u8) -> Vec<u8> {
    let mut entries = Vec::new();
    for id in 0..cpus {
        entries.extend([0, id, 0x14, if id == 0 { 3 } else { 1 }, 0, 6, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    entries.extend(b"\x01\0ISA   ");
    entries.extend([vec![2, cpus + 1, 0x14, 1], build::words([0xFEC0_0000])].concat());
    for line in 0..24 {
        entries.extend([3, 0, 0, 0, 0, line, cpus + 1, line]);
    }
    entries.extend([4, 3, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0xFF, 1]);
    let mut table = b"PCMP".to_vec();
    table.extend((44 + entries.len() as u16).to_le_bytes());
    table.extend(b"\x04\0FC      000000000000");
    table.extend([0; 8]);
    table.extend(0xFEE0_0000u32.to_le_bytes());
    table.resize(44, 0);
    table.extend(entries);
    let pointer = [b"_MP_".to_vec(), build::words([MP_TABLE as u32 + 16]), vec![1, 4, 0, 0, 0, 0, 0, 0]].concat();
    [build::sum(pointer, 10), build::sum(table, 7)].concat()
}

fn dsdt(devices: u8) -> Vec<u8> {
    let serial = build::device(
        b"COM1",
        &[
            build::name(b"_HID", &[0x0C, 0x41, 0xD0, 0x05, 0x01]),
            build::name(b"_CRS", &build::resources(&[build::interrupt(4), build::ports(0x3F8, 8)])),
        ],
    );
    let virtio = (0..devices).map(|number| {
        build::device(
            &[b'V', b'0', b'0', b'0' + number],
            &[
                build::name(b"_HID", &build::string("LNRO0005")),
                build::name(b"_UID", &[0x0A, number]),
                build::name(b"_CCA", &[1]),
                build::name(
                    b"_CRS",
                    &build::resources(&[
                        build::memory(0xC000_1000 + 0x1000 * u32::from(number), 0x1000),
                        build::interrupt(5 + u32::from(number)),
                    ]),
                ),
            ],
        )
    });
    build::table(b"DSDT", 6, &build::system_bus(&[serial].into_iter().chain(virtio).collect::<Vec<_>>()))
}

fn information(protocol: Protocol, guest: &LowMemory) -> BootInformation<'_> {
    let address = if protocol == Protocol::Linux { ZERO_PAGE } else { START_INFORMATION };
    parse(protocol, guest, address).unwrap()
}

/// The tables as boot finds them.
fn tables_at(rsdp: Option<u64>, guest: &LowMemory) -> Tables {
    let rsdp = rsdp.or_else(|| acpi::parse::find_rsdp(guest)).unwrap();
    assert_eq!(rsdp, ROOT_POINTER);
    acpi::parse::tables(guest, rsdp).unwrap()
}

fn tables_of(guest: &LowMemory) -> Tables {
    tables_at(None, guest)
}

fn edge(gsi: u32) -> Line {
    Line { gsi, trigger: Trigger::Edge, polarity: Polarity::High }
}

#[test]
fn all_memory_is_found_around_the_hole_below_four_gigabytes() {
    for protocol in PROTOCOLS {
        let ranges = |memory| {
            let guest = guest(protocol, 1, memory, 0, "");
            let map = information(protocol, &guest).memory_map;
            map.ranges().iter().map(|range| (range.start, range.end)).collect::<Vec<_>>()
        };
        assert_eq!(ranges(128 << 20), [(0, 0x9_F000), (0x10_0000, 128 << 20)]);
        assert_eq!(ranges(6 * GIB), [(0, 0x9_F000), (0x10_0000, 3 * GIB), (4 * GIB, 7 * GIB)]);
    }
}

#[test]
fn both_protocols_pass_the_command_line_and_the_initial_ram_disk() {
    for protocol in PROTOCOLS {
        let guest = guest(protocol, 1, 128 << 20, 2, WORDS);
        let information = information(protocol, &guest);
        assert_eq!(information.command_line.bytes, WORDS.as_bytes());
        let modules: Vec<_> =
            information.modules.as_slice().iter().map(|module| (module.address, module.size)).collect();
        assert_eq!((modules, information.modules.omitted()), (vec![INITRD], 0));
        let rsdp = if protocol == Protocol::Linux { Some(ROOT_POINTER) } else { None };
        assert_eq!(information.rsdp, rsdp, "by PVH nobody says where it is");
    }
}

#[test]
fn the_root_pointer_leads_to_processors_and_controllers() {
    for (protocol, cpus) in PROTOCOLS.into_iter().flat_map(|protocol| [1, 2, 32].map(|cpus| (protocol, cpus))) {
        let guest = guest(protocol, cpus, 128 << 20, 1, WORDS);
        let tables = tables_at(information(protocol, &guest).rsdp, &guest);
        assert_eq!(tables.processors, (0..u32::from(cpus)).collect::<Vec<_>>());
        assert_eq!(tables.io_apics, [IoApic { address: 0xFEC0_0000, first_gsi: 0 }]);
        assert_eq!(tables.overrides, []);
        assert_eq!(tables.ecam, [acpi::Ecam { address: CONFIGURATION_SPACE, segment: 0, buses: 0..=0 }]);
        assert_eq!((tables.sleep, tables.reset, tables.pm_timer), (None, None, None));
        assert_eq!(tables.isa_line(4), edge(4));
    }
}

#[test]
fn the_mp_table_says_the_same_of_processors_and_controllers() {
    for cpus in [1, 2, 32] {
        let guest = guest(Protocol::Pvh, cpus, 128 << 20, 1, WORDS);
        let (found, tables) = (mp_table::find(&guest).unwrap(), tables_of(&guest));
        assert_eq!((found.processors, found.io_apics), (tables.processors, tables.io_apics));
    }
}

#[test]
fn devices_that_are_described_twice_are_there_once() {
    let guest = guest(Protocol::Pvh, 1, 128 << 20, 3, WORDS);
    let information = information(Protocol::Pvh, &guest);
    let words = core::str::from_utf8(information.command_line.bytes).unwrap();
    let tables = tables_of(&guest);
    let listed = |tables| {
        let all = virtio_mmio::windows(command_line::options(words, "virtio_mmio.device"), tables, |word| {
            panic!("{word} makes sense");
        });
        all.iter().map(|window| (window.base, window.size.get(), window.line(tables))).collect::<Vec<_>>()
    };
    let expected: Vec<_> = (0..3).map(|n| (0xC000_1000 + 0x1000 * n, 0x1000, edge(5 + n as u32))).collect();
    assert_eq!(listed(Some(&tables)), expected, "two by both, the third by the DSDT alone");
    assert_eq!(listed(None), expected[..2]);
}

#[test]
fn words_for_linux_disturb_nobody() {
    assert_eq!(command_line::option(WORDS, "root"), Some("/www"));
    assert_eq!(command_line::option(WORDS, "pci"), Some("off"));
    assert_eq!(command_line::options(WORDS, "mount").count(), 0);
    assert_eq!(command_line::option(WORDS, "panic"), Some("1"));
}

#[test]
fn the_keyboard_controller_is_the_way_out() {
    let tables = tables_of(&guest(Protocol::Pvh, 1, 128 << 20, 1, WORDS));
    let power_off: Vec<_> = plan::power_off(Some(&tables)).ways().collect();
    assert_eq!(power_off, [Way::DebugExit, Way::Keyboard, Way::TripleFault]);
    assert_eq!(plan::reboot(Some(&tables)).ways().next(), Some(Way::Keyboard));
}

/// A network card as `--enable-pci` has it, at 00:01.0: BAR 0 of 512 KiB, assigned from 256 GiB on, command register 0,
/// MSI-X and no other interrupt.
struct Card {
    bytes: RefCell<[u8; 4096]>,
}

const BAR_ADDRESS: u64 = 0x40_0000_0000;
const BAR_SIZE: u64 = 512 << 10;
const _: () = assert!(BAR_ADDRESS + BAR_SIZE <= MAX_PHYSICAL, "it can be mapped");

impl Card {
    fn new() -> Self {
        let mut bytes = [0; 4096];
        bytes[..4].copy_from_slice(&[0xF4, 0x1A, 0x41, 0x10]);
        bytes[6] = 1 << 4;
        bytes[8..12].copy_from_slice(&[1, 0, 0, 2]);
        bytes[0x10..0x18].copy_from_slice(&(BAR_ADDRESS | 0b100).to_le_bytes());
        bytes[0x34] = 0x40;
        bytes[0x40..0x4C].copy_from_slice(&[0x11, 0, 2, 0, 0, 0x80, 0, 0, 0, 0x80, 4, 0]);
        Self { bytes: RefCell::new(bytes) }
    }

    fn read(&self, offset: usize) -> u32 {
        u32::from_le_bytes(*self.bytes.borrow()[offset..].first_chunk().unwrap())
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        let mut memory = self.bytes.borrow_mut();
        match offset {
            0x04..0x06 => memory[offset..][..bytes.len()].copy_from_slice(bytes),
            0x10 | 0x14 => {
                let mask = (!(BAR_SIZE - 1)).to_le_bytes();
                for (index, byte) in bytes.iter().enumerate() {
                    memory[offset + index] = byte & mask[offset - 0x10 + index];
                }
                memory[0x10] |= 0b100;
            }
            _ => {}
        }
    }
}

/// Configuration space of bus 0 by memory: the card, and zeroes in all other places.
struct Memory<'a> {
    card: &'a Card,
    address: FunctionAddress,
}

/// Ports 0xCF8 to 0xCFF of a machine with that card, or of one without PCI, where they read as zeroes.
struct Ports<'a> {
    card: Option<&'a Card>,
    selected: Cell<u32>,
}

const PLACE: (u8, u8, u8) = (0, 1, 0);

macro_rules! registers {
    ($type:ident) => {
        impl Registers for $type<'_> {
            fn len(&self) -> usize {
                Self::LEN
            }
            fn read8(&self, offset: usize) -> u8 {
                self.read(offset & !3).to_le_bytes()[offset & 3]
            }
            fn read16(&self, offset: usize) -> u16 {
                (self.read(offset & !3) >> (8 * (offset & 2))) as u16
            }
            fn read32(&self, offset: usize) -> u32 {
                self.read(offset)
            }
            fn write8(&self, offset: usize, value: u8) {
                self.write(offset, &[value]);
            }
            fn write16(&self, offset: usize, value: u16) {
                self.write(offset, &value.to_le_bytes());
            }
            fn write32(&self, offset: usize, value: u32) {
                self.write(offset, &value.to_le_bytes());
            }
        }
    };
}

impl Memory<'_> {
    const LEN: usize = 4096;

    fn is_card(&self) -> bool {
        (self.address.bus(), self.address.device(), self.address.function()) == PLACE
    }

    fn read(&self, offset: usize) -> u32 {
        if self.is_card() { self.card.read(offset) } else { 0 }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        if self.is_card() {
            self.card.write(offset, bytes);
        }
    }
}

impl Ports<'_> {
    const LEN: usize = 8;

    fn card(&self) -> Option<(&Card, usize)> {
        let (bus, device, function) = PLACE;
        let place = 1 << 31 | u32::from(bus) << 16 | u32::from(device) << 11 | u32::from(function) << 8;
        let selected = self.selected.get();
        self.card.filter(|_| selected & !0xFF == place).map(|card| (card, (selected & 0xFC) as usize))
    }

    fn read(&self, offset: usize) -> u32 {
        match (offset, self.card()) {
            (0, _) if self.card.is_some() => self.selected.get(),
            (4, Some((card, register))) => card.read(register),
            (4, None) if self.card.is_some() => u32::MAX,
            _ => 0,
        }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        match (offset, self.card()) {
            (0, _) => self.selected.set(u32::from_le_bytes(bytes.try_into().unwrap())),
            (4.., Some((card, register))) => card.write(register + offset - 4, bytes),
            _ => {}
        }
    }
}

registers!(Memory);
registers!(Ports);

/// Finds the card by either way, and looks at its registers.
fn look<C: ConfigSpace>(config_of: impl Fn(FunctionAddress) -> Option<C>) {
    let mut found = Vec::new();
    pci_tree::walk(&config_of, |address, id| found.push((address, id)));
    let [(address, DeviceId::Pci { vendor: 0x1AF4, device: 0x1041, class: 0x02_00_00 })] = found[..] else {
        panic!("found {found:?}");
    };
    let config = config_of(address).unwrap();
    let bars = bars(&config);
    assert_eq!(bars[0], Some(Bar::Memory { address: BAR_ADDRESS, size: BAR_SIZE, width: BarWidth::Bits64 }));
    assert_eq!(bars[1..], [None; 5]);
    let command = config.read16(pci::COMMAND);
    assert_eq!(command, 0, "as it was: a driver switches memory space on");
    pci::enable(&config, Command::MEMORY_SPACE);
    assert_eq!(config.read16(pci::COMMAND), 2);
    let ids: Vec<_> = pci::capability::capabilities(&config).map(|capability| capability.id).collect();
    assert_eq!(ids, [pci::capability::MSI_X]);
}

#[test]
fn a_pci_card_above_256_gigabytes_is_found_by_memory_and_by_ports() {
    let tables = tables_of(&guest(Protocol::Pvh, 1, 128 << 20, 0, ""));
    let card = Card::new();
    look(|address| pci_tree::ecam(Some(&tables), address).map(|_| Ecam::new(Memory { card: &card, address })));

    let card = Card::new();
    let ports = || Ports { card: Some(&card), selected: Cell::new(0) };
    assert!(ConfigPorts::is_present(&ports()));
    look(|address| Some(ConfigPorts::new(ports(), address)));
}

#[test]
fn configuration_space_without_pci_reads_as_zeroes_and_holds_nothing() {
    let tables = tables_of(&guest(Protocol::Pvh, 1, 128 << 20, 1, WORDS));
    let nothing = Card { bytes: RefCell::new([0; 4096]) };
    let config_of =
        |address| pci_tree::ecam(Some(&tables), address).map(|_| Ecam::new(Memory { card: &nothing, address }));
    pci_tree::walk(config_of, |address, _| panic!("{address} is a device"));
    assert!(!ConfigPorts::is_present(&Ports { card: None, selected: Cell::new(0) }));
}
