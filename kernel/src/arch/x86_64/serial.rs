//! The first serial port, an 8250/16550 UART at I/O port 0x3f8, transmit only and polled.
//!
//! The port is looked for once, by its scratch register, because a machine without it answers reads with all ones
//! (QEMU) or all zeroes (Firecracker), and an all-zero line status would otherwise read as "busy" for ever. A
//! transmitter that stays busy for longer than `BUSY_LIMIT` reads loses the byte rather than stopping the kernel.

use x86_64::instructions::port::{PortReadOnly, PortWriteOnly};

const BASE: u16 = 0x3F8;
const DATA: u16 = BASE;
const INTERRUPT_ENABLE: u16 = BASE + 1;
const FIFO_CONTROL: u16 = BASE + 2;
const LINE_CONTROL: u16 = BASE + 3;
const MODEM_CONTROL: u16 = BASE + 4;
const LINE_STATUS: u16 = BASE + 5;
const SCRATCH: u16 = BASE + 7;

/// The transmitter can take a whole FIFO of bytes (LSR bit 5).
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// Bytes a 16550 takes after one look at the line status.
const FIFO_DEPTH: usize = 16;
/// Reads of the line status before a byte is given up; far more than the 16 byte times at 115,200 baud.
const BUSY_LIMIT: u32 = 1_000_000;

fn write_register(port: u16, value: u8) {
    // SAFETY: the ports of the first serial port belong to this module alone; no register written here makes the
    // device access memory.
    unsafe { PortWriteOnly::new(port).write(value) }
}

fn read_register(port: u16) -> u8 {
    // SAFETY: reading the line status or scratch register has no effect on memory, and at worst clears error bits
    // that nobody else looks at.
    unsafe { PortReadOnly::new(port).read() }
}

/// Sets the port to 115,200 baud, 8N1, FIFOs on, no interrupts. Returns false where there is no such port.
pub fn initialise() -> bool {
    for pattern in [0x5A, 0xA5] {
        write_register(SCRATCH, pattern);
        if read_register(SCRATCH) != pattern {
            return false;
        }
    }
    write_register(INTERRUPT_ENABLE, 0);
    write_register(LINE_CONTROL, 0x80);
    write_register(DATA, 1);
    write_register(INTERRUPT_ENABLE, 0);
    write_register(LINE_CONTROL, 0x03);
    write_register(FIFO_CONTROL, 0x07);
    write_register(MODEM_CONTROL, 0x03);
    true
}

/// Sends `bytes`, waiting for room where necessary.
pub fn write(bytes: &[u8]) {
    for burst in bytes.chunks(FIFO_DEPTH) {
        for _ in 0..BUSY_LIMIT {
            if read_register(LINE_STATUS) & TRANSMITTER_EMPTY != 0 {
                break;
            }
            core::hint::spin_loop();
        }
        for &byte in burst {
            write_register(DATA, byte);
        }
    }
}
