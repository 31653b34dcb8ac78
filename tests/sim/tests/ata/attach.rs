//! The entry for a kernel's list of drivers: what it does to a PCI function before it looks at its ports.
//!
//! The ports are plain memory here, which is enough to see where and when they are first written.

use std::num::NonZeroU16;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use toro_core::driver::{AttachError, Attached, DeviceId, Location, MmioDevice, PciFunction, Resources};
use toro_core::io::{IoWindow, Mmio};
use toro_core::pci::{self, Command, ConfigSpace};
use virtio_sim::SimMemory;
use virtio_sim::ide::Clock;

/// What lies where nobody has written.
const UNTOUCHED: u8 = 0xff;
/// Device control: no interrupts.
const NIEN: u8 = 1 << 1;

/// A block of ports.
#[derive(Clone, Copy)]
struct Ports {
    words: &'static [AtomicU64; 2],
    len: usize,
}

impl Ports {
    fn new(len: usize) -> Self {
        let words = [const { AtomicU64::new(u64::MAX) }; 2];
        Self { words: Box::leak(Box::new(words)), len }
    }

    fn base(self) -> NonNull<u8> {
        NonNull::from(self.words).cast()
    }

    fn byte(self, offset: usize) -> u8 {
        assert!(offset < self.len);
        let word = self.words[offset / 8].load(Ordering::Relaxed);
        word.to_ne_bytes()[offset % 8]
    }

    fn window(self) -> IoWindow {
        // SAFETY: valid for ever, aligned to 8 bytes, and memory without side effects; the test reads it when the driver
        // does not run.
        IoWindow::Mmio(unsafe { Mmio::new(self.base(), self.len) })
    }
}

/// The configuration space of an IDE controller.
struct Config {
    interface: u8,
    command: Arc<AtomicU16>,
    /// What must not be written before the command register is.
    ports: [Ports; 4],
}

impl ConfigSpace for Config {
    fn read32(&self, offset: u16) -> u32 {
        match offset {
            pci::COMMAND => self.command.load(Ordering::Relaxed).into(),
            pci::REVISION_AND_CLASS => 0x0101_0000 | u32::from(self.interface) << 8,
            _ => 0,
        }
    }

    fn write32(&self, offset: u16, _: u32) {
        panic!("a write to {offset:#x}");
    }

    fn write16(&self, offset: u16, value: u16) {
        assert_eq!(offset, pci::COMMAND);
        for ports in self.ports {
            assert!((0..ports.len).all(|offset| ports.byte(offset) == UNTOUCHED), "AT-2: used before they are decoded");
        }
        self.command.store(value, Ordering::Relaxed);
    }
}

#[test]
fn at_1_at_2_ports_are_decoded_before_they_are_used_and_are_where_the_bus_says() {
    // In compatibility mode the control block is one port, in native mode the third of four.
    for (interface, control_len, control) in [(0x80, 1, 0), (0x85, 4, 2)] {
        let ports = [8, control_len, 8, control_len].map(Ports::new);
        let command = Arc::new(AtomicU16::new(Command::INTERRUPT_DISABLE.bits()));
        let [a, b, c, d] = ports.map(|ports| Some(ports.window()));
        let bars = [a, b, c, d, Some(Ports::new(16).window()), None];
        let config = Box::new(Config { interface, command: command.clone(), ports });
        let location = Location::Pci(PciFunction { config, bars, messages: Vec::new() });
        let (memory, clock) = (SimMemory::leak_low(), Clock::leak());
        let attached = ata::DRIVER.attach(Resources { location, memory, clock, owners: NonZeroU16::MIN });
        assert!(matches!(attached, Ok(Attached::Other)), "memory is no drive");
        let expected = Command::INTERRUPT_DISABLE | Command::IO_SPACE | Command::BUS_MASTER;
        assert_eq!(Command::from_bits_retain(command.load(Ordering::Relaxed)), expected, "and what was set stays");
        for channel in ports.chunks(2) {
            assert_eq!(channel[1].byte(control), NIEN, "{interface:#x}: nobody interrupts without a drive");
            assert_ne!(channel[0].byte(6), UNTOUCHED, "{interface:#x}: a drive is looked for");
        }
        assert_eq!(memory.blocks(), 0);
    }
}

#[test]
fn entries_know_ide_controllers_on_pci_and_nothing_else() {
    for driver in [ata::DRIVER, ata::PIO_DRIVER] {
        let pci = |class| DeviceId::Pci { vendor: 0x8086, device: 0x7010, class };
        assert!(driver.matches(&pci(0x01_0180)) && driver.matches(&pci(0x01_0185)));
        assert!(!driver.matches(&pci(0x01_0601)) && !driver.matches(&pci(0x02_0000)));
        assert!(!driver.matches(&DeviceId::VirtioMmio { device_type: 2 }));
        let location = Location::Mmio(MmioDevice { registers: Ports::new(16).window() });
        let (memory, clock) = (SimMemory::leak_low(), Clock::leak());
        let attached = driver.attach(Resources { location, memory, clock, owners: NonZeroU16::MIN });
        assert!(matches!(attached, Err(AttachError::Resources(_))));
    }
}
