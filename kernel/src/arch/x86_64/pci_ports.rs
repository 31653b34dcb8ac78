//! The two ports by which every PC reaches PCI configuration space: an address at 0xCF8, a window at 0xCFC.

use toro_core::PortIo;

/// The eight ports from 0xCF8. The address port is state shared by all users: the PCI bus serialises them.
pub fn configuration_ports() -> PortIo {
    // SAFETY: the kernel runs in ring 0; configuration space is the PCI bus's, which writes there only what its
    // drivers ask for in the space of their own function.
    unsafe { PortIo::new(0xCF8, 8) }
}
