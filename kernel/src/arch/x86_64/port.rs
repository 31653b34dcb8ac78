//! Port-mapped registers of devices, for their drivers.

use toro_core::PortIo;

/// Ports below this belong to the platform: interrupt controllers, timers, DMA, configuration space, power management.
/// A PCI function's ports are assigned above it.
const FIRST_DEVICE_PORT: u16 = 0x1000;

/// The `length` ports from `base`, for a driver that is to own them; `None` if the platform needs any of them.
pub fn device_registers(base: u16, length: u16) -> Option<PortIo> {
    (base >= FIRST_DEVICE_PORT && base.checked_add(length).is_some()).then(|| {
        // SAFETY: the kernel runs in ring 0, and none of the ports is the platform's.
        unsafe { PortIo::new(base, length) }
    })
}

/// The ports of the primary and the secondary IDE channel of a PC, command block and device control register: for the
/// driver of the one controller that has them.
pub fn ide_channels() -> [(PortIo, PortIo); 2] {
    [(0x1F0, 0x3F6), (0x170, 0x376)].map(|(command, control)| {
        // SAFETY: the kernel runs in ring 0; the eight ports are an IDE channel's or nobody's.
        let command = unsafe { PortIo::new(command, 8) };
        // SAFETY: as above, and this one port is not among those of the floppy disk controller around it.
        let control = unsafe { PortIo::new(control, 1) };
        (command, control)
    })
}
