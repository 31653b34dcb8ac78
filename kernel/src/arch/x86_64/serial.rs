//! The first serial port, at I/O port 0x3f8. What it is like is in `uart.rs`.

use toro_core::PortIo;

use crate::uart;

fn ports() -> PortIo {
    // SAFETY: the kernel runs in ring 0, and the ports of the first serial port belong to this module alone; no register of
    // a UART makes it access memory.
    unsafe { PortIo::new(0x3F8, 8) }
}

/// Prepares the port. Returns false where there is none.
pub fn initialise() -> bool {
    uart::initialise(&ports())
}

/// Sends `bytes`, waiting for room where necessary.
pub fn write(bytes: &[u8]) {
    uart::write(&ports(), bytes);
}
