//! Register blocks of virtio devices: those that the command line names, `virtio_mmio.device=SIZE@BASE:IRQ[:ID]`, and those
//! that the firmware's tables have.
//!
//! ```text
//!                          command line   ACPI
//!   QEMU microvm, acpi=off      x                     eight or more, most of them empty
//!   QEMU microvm, acpi=on                  x          those with a device
//!   Firecracker                 x          x          the same devices twice
//! ```
//!
//! The size may have a suffix `K`, `M` or `G`; numbers are decimal, or hexadecimal with `0x`. Blocks without a device
//! behind them are normal and passed over in silence. A block that was named already, by its address, is not looked at
//! again: a device has one driver.

use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU64;

use crate::acpi::{Line, Polarity, Tables, Trigger};
use crate::command_line::number;

#[cfg(target_os = "none")]
pub(crate) use self::scan::scan;

/// One register block, as it is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub base: u64,
    pub size: NonZeroU64,
    pub interrupt: Interrupt,
}

/// How a description names an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// As the command line does: as an ISA interrupt, which may lead to another pin.
    Isa(u8),
    /// As ACPI does.
    Gsi(u32),
}

/// The blocks that `words`, the values of the command line, and then `tables` describe, each once. What makes no sense is
/// handed to `complain`.
pub(crate) fn windows<'w>(
    words: impl Iterator<Item = &'w str>,
    tables: Option<&Tables>,
    mut complain: impl FnMut(&'w str),
) -> Vec<Window> {
    let named = words.filter_map(|word| {
        let window = Window::parse(word);
        if window.is_none() {
            complain(word);
        }
        window
    });
    let described = tables.map_or(&[][..], |tables| &tables.virtio_mmio).iter().map(|device| Window {
        base: device.base,
        size: device.size,
        interrupt: Interrupt::Gsi(device.gsi),
    });
    let mut all: Vec<Window> = Vec::new();
    for window in named.chain(described) {
        if all.iter().all(|known| known.base != window.base) {
            all.push(window);
        }
    }
    all
}

impl Window {
    /// Parses what stands behind `virtio_mmio.device=`; `None` if it makes no sense.
    pub fn parse(word: &str) -> Option<Self> {
        let (size, rest) = word.split_once('@')?;
        let mut rest = rest.split(':');
        let base = number(rest.next()?)?;
        let irq = u8::try_from(number(rest.next()?)?).ok()?;
        // A fourth part, Linux's device id, does not matter here.
        let is_id = rest.next().is_none_or(|id| number(id).is_some());
        let has_more = rest.next().is_some();
        let (digits, unit) = match size.as_bytes().last()? {
            b'K' | b'k' => (&size[..size.len() - 1], 1 << 10),
            b'M' | b'm' => (&size[..size.len() - 1], 1 << 20),
            b'G' | b'g' => (&size[..size.len() - 1], 1 << 30),
            _ => (size, 1),
        };
        let size = NonZeroU64::new(number(digits)?.checked_mul(unit)?)?;
        base.checked_add(size.get())?;
        (is_id && !has_more).then_some(Self { base, size, interrupt: Interrupt::Isa(irq) })
    }

    /// The line that its interrupt takes. It stays up until the driver acknowledges; edge triggered, it interrupts once all
    /// the same, and no driver code has to run in the handler to take it down.
    pub fn line(&self, tables: Option<&Tables>) -> Line {
        let line = match self.interrupt {
            Interrupt::Isa(irq) => {
                tables.map_or_else(|| Tables::default().isa_line(irq), |tables| tables.isa_line(irq))
            }
            Interrupt::Gsi(gsi) => Line { gsi, trigger: Trigger::Edge, polarity: Polarity::High },
        };
        Line { trigger: Trigger::Edge, ..line }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = match self.interrupt {
            Interrupt::Isa(irq) => irq.into(),
            Interrupt::Gsi(gsi) => gsi,
        };
        write!(f, "virtio-mmio at {:#x}, interrupt {number}", self.base)
    }
}

#[cfg(target_os = "none")]
mod scan {
    use core::fmt;

    use toro_core::driver::{DeviceId, Location, MmioDevice, Resources};
    use toro_core::io::{IoWindow, Mmio};
    use virtio_queue_rt::MmioTransport;
    use virtio_queue_rt::transport::Probe;

    use super::{Window, windows};
    use crate::bus::{BusError, Found, Owners, resources};
    use crate::{acpi, arch, env, mm};

    /// A block with a device behind it.
    struct Device {
        window: Window,
        registers: Mmio,
        device_type: u32,
        /// Of the register layout: 1 is legacy.
        version: u8,
    }

    /// Calls `visit` for every device that the command line or the tables name.
    pub(crate) fn scan(mut visit: impl FnMut(&dyn Found)) {
        let complain = |word| log::warn!("virtio_mmio.device={word} on the command line makes no sense");
        for window in windows(env::options("virtio_mmio.device"), acpi::tables(), complain) {
            let registers = match mm::device_registers(window.base, window.size.get()) {
                Ok(registers) => registers,
                Err(error) => {
                    log::warn!("{window}: {error}");
                    continue;
                }
            };
            match MmioTransport::probe(&registers) {
                Probe::Modern(kind) => visit(&Device { window, registers, device_type: kind.0, version: 2 }),
                Probe::Legacy(kind) => visit(&Device { window, registers, device_type: kind.0, version: 1 }),
                Probe::Empty => {}
                Probe::Unknown => log::warn!("{window}: no virtio-mmio registers there"),
            }
        }
    }

    impl fmt::Display for Device {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}, version {}", self.window, self.version)
        }
    }

    impl Found for Device {
        fn id(&self) -> DeviceId {
            DeviceId::VirtioMmio { device_type: self.device_type }
        }

        fn resources(&self, owners: &Owners) -> Result<Resources, BusError> {
            let vector = arch::interrupt::allocate_vector().map_err(|_| BusError::OutOfVectors)?;
            let line = self.window.line(acpi::tables());
            arch::ioapic::route(line, vector, owners.first().index()).map_err(BusError::Route)?;
            let registers = IoWindow::Mmio(self.registers.clone());
            Ok(resources(Location::Mmio(MmioDevice { registers }), owners))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(base: u64, size: u64, irq: u8) -> Option<Window> {
        Some(Window { base, size: NonZeroU64::new(size).expect("not zero"), interrupt: Interrupt::Isa(irq) })
    }

    #[test]
    fn words_of_qemu_and_firecracker_are_understood() {
        assert_eq!(Window::parse("512@0xfeb02e00:12"), window(0xfeb0_2e00, 512, 12));
        assert_eq!(Window::parse("4K@0xc0001000:5"), window(0xc000_1000, 4096, 5));
        assert_eq!(Window::parse("1m@4096:0x7:3"), window(4096, 1 << 20, 7));
    }

    #[test]
    fn nonsense_is_refused() {
        for word in [
            "",
            "@",
            "512",
            "512@",
            "512@0xfeb00000",
            "512@0xfeb00000:",
            "512@0xfeb00000:256",
            "0@0xfeb00000:5",
            "K@0xfeb00000:5",
            "512@feb00000:5",
            "512@0x:5",
            "512@0x+1:5",
            "+512@0x1000:5",
            "1@0xffffffffffffffff:5",
            "99999999999G@0x1000:5",
            "512@0x1000:5:x",
            "512@0x1000:5:1:2",
            "é@0x1000:5",
        ] {
            assert_eq!(Window::parse(word), None, "{word}");
        }
    }

    #[test]
    fn a_block_that_is_described_twice_is_there_once() {
        use crate::acpi::VirtioMmio;

        let size = NonZeroU64::new(4096).expect("not zero");
        let described = |base, gsi| VirtioMmio { base, size, gsi };
        let tables = Tables { virtio_mmio: vec![described(0x2000, 6), described(0x3000, 7)], ..Tables::default() };
        let mut wrong = Vec::new();
        let words = ["4K@0x1000:5", "x", "4K@0x2000:6", "512@0x1000:9"];
        let found = windows(words.into_iter(), Some(&tables), |word| wrong.push(word));
        let last = Window { base: 0x3000, size, interrupt: Interrupt::Gsi(7) };
        assert_eq!(
            found.iter().copied().map(Some).collect::<Vec<_>>(),
            [window(0x1000, 4096, 5), window(0x2000, 4096, 6), Some(last)]
        );
        assert_eq!(wrong, ["x"]);
    }
}
