//! Where devices are: at fixed addresses on QEMU's `microvm`, behind PCI on a `pc`.
//!
//! Both give a [`Transport`], by which a driver reaches the registers; it need not know which one.

use core::ptr::NonNull;

use toro_core::PortIo;
use toro_core::io::{IoWindow, Mmio};
use toro_core::pci::access::{ConfigPorts, FunctionAddress};
use toro_core::pci::bar::{Bar, bars};
use toro_core::pci::{ConfigSpace, VENDOR_ID};
use virtio_queue_rt::transport::{Interrupts, PCI_VENDOR, TransitionalMmio, TransitionalPci};
use virtio_queue_rt::{DeviceType, Transport};

/// The device type of disks.
const BLOCK: DeviceType = DeviceType(2);
/// What the boot code has mapped as registers.
const REGISTERS: core::ops::Range<u64> = 3 << 30..4 << 30;

/// A disk with memory-mapped registers. `microvm` has blocks of 512 bytes from 0xfeb0_0000 on, most of them empty.
pub fn mmio() -> Option<TransitionalMmio<Mmio>> {
    (0..24).find_map(|slot| {
        let registers = memory_registers(0xfeb0_0000 + 512 * slot, 512)?;
        TransitionalMmio::new(registers).ok().filter(|device| device.device_type() == BLOCK)
    })
}

/// A disk on the first PCI bus.
pub fn pci() -> Option<TransitionalPci<IoWindow>> {
    // SAFETY: we run in ring 0, on one processor; who configures a function does so through its driver's eyes only.
    let ports = unsafe { PortIo::new(0xcf8, 8) };
    if !ConfigPorts::is_present(&ports) {
        return None;
    }
    (0..32).find_map(|device| {
        let config = ConfigPorts::new(&ports, FunctionAddress::new(0, device, 0)?);
        if config.read16(VENDOR_ID) != PCI_VENDOR {
            return None;
        }
        // The firmware has put the registers somewhere; what is not within our reach is not there for the driver.
        let windows = bars(&config).map(|bar| match bar? {
            Bar::Memory { address, size, .. } => memory_registers(address, size).map(IoWindow::Mmio),
            Bar::Io { port, size } => port_registers(port, size).map(IoWindow::Port),
        });
        let device = TransitionalPci::new(&config, &windows, Interrupts::Polled).ok()?;
        (device.device_type() == BLOCK).then_some(device)
    })
}

fn memory_registers(address: u64, size: u64) -> Option<Mmio> {
    let end = address.checked_add(size)?;
    let is_mapped = REGISTERS.contains(&address) && end <= REGISTERS.end;
    let base = NonNull::new(core::ptr::with_exposed_provenance_mut(address as usize)).filter(|_| is_mapped)?;
    // SAFETY: mapped uncached at its own address; RAM ends below; both callers have aligned addresses, and registers of
    // devices that nobody else drives.
    Some(unsafe { Mmio::new(base, size as usize) })
}

fn port_registers(port: u32, size: u32) -> Option<PortIo> {
    let (port, size) = (u16::try_from(port).ok().filter(|port| *port != 0)?, u16::try_from(size).ok()?);
    // SAFETY: we run in ring 0, and the ports belong to the device whose driver gets them.
    Some(unsafe { PortIo::new(port, size) })
}
