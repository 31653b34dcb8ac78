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
