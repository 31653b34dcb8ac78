//! An 8250 or 16550 UART, transmit only and polled, over any registers.
//!
//! It is looked for once, by its scratch register, because a machine without it answers reads with all ones (QEMU) or all
//! zeroes (Firecracker), and an all-zero line status would otherwise read as "busy" for ever. A transmitter that stays busy
//! for longer than `BUSY_LIMIT` reads loses the byte rather than stopping the kernel.

use toro_core::Registers;

const DATA: usize = 0;
const INTERRUPT_ENABLE: usize = 1;
const FIFO_CONTROL: usize = 2;
const LINE_CONTROL: usize = 3;
const MODEM_CONTROL: usize = 4;
const LINE_STATUS: usize = 5;
const SCRATCH: usize = 7;

/// The transmitter can take a whole FIFO of bytes (LSR bit 5).
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// Bytes a 16550 takes after one look at the line status.
const FIFO_DEPTH: usize = 16;
/// Reads of the line status before a byte is given up; far more than the 16 byte times at 115,200 baud.
const BUSY_LIMIT: u32 = 1_000_000;

/// Sets the port to 115,200 baud, 8N1, FIFOs on, no interrupts. Returns false where there is no such port.
pub fn initialise(ports: &impl Registers) -> bool {
    for pattern in [0x5A, 0xA5] {
        ports.write8(SCRATCH, pattern);
        if ports.read8(SCRATCH) != pattern {
            return false;
        }
    }
    ports.write8(INTERRUPT_ENABLE, 0);
    ports.write8(LINE_CONTROL, 0x80);
    ports.write8(DATA, 1);
    ports.write8(INTERRUPT_ENABLE, 0);
    ports.write8(LINE_CONTROL, 0x03);
    ports.write8(FIFO_CONTROL, 0x07);
    ports.write8(MODEM_CONTROL, 0x03);
    true
}

/// Sends `bytes`, waiting for room where necessary.
pub fn write(ports: &impl Registers, bytes: &[u8]) {
    for burst in bytes.chunks(FIFO_DEPTH) {
        for _ in 0..BUSY_LIMIT {
            if ports.read8(LINE_STATUS) & TRANSMITTER_EMPTY != 0 {
                break;
            }
            core::hint::spin_loop();
        }
        for &byte in burst {
            ports.write8(DATA, byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::cell::RefCell;

    use super::*;

    /// Eight ports: a UART, or nothing, which reads as always the same byte.
    struct Ports {
        nothing: Option<u8>,
        line_status: u8,
        registers: RefCell<[u8; 8]>,
        sent: RefCell<Vec<u8>>,
    }

    impl Ports {
        fn new(nothing: Option<u8>, line_status: u8) -> Self {
            Self { nothing, line_status, registers: RefCell::default(), sent: RefCell::default() }
        }
    }

    impl Registers for Ports {
        fn len(&self) -> usize {
            8
        }
        fn read8(&self, offset: usize) -> u8 {
            match offset {
                _ if self.nothing.is_some() => self.nothing.unwrap_or_default(),
                LINE_STATUS => self.line_status,
                _ => self.registers.borrow()[offset],
            }
        }
        fn write8(&self, offset: usize, value: u8) {
            let has_divisor = self.registers.borrow()[LINE_CONTROL] & 0x80 != 0;
            if offset == DATA && !has_divisor {
                self.sent.borrow_mut().push(value);
            }
            self.registers.borrow_mut()[offset] = value;
        }
        fn read16(&self, _: usize) -> u16 {
            panic!("byte accesses only");
        }
        fn read32(&self, _: usize) -> u32 {
            panic!("byte accesses only");
        }
        fn write16(&self, _: usize, _: u16) {
            panic!("byte accesses only");
        }
        fn write32(&self, _: usize, _: u32) {
            panic!("byte accesses only");
        }
    }

    #[test]
    fn ports_without_a_uart_are_recognised() {
        for nothing in [0, u8::MAX] {
            assert!(!initialise(&Ports::new(Some(nothing), 0)), "{nothing:#x}");
        }
        let ports = Ports::new(None, TRANSMITTER_EMPTY);
        assert!(initialise(&ports));
        assert_eq!((ports.registers.borrow()[LINE_CONTROL], ports.sent.borrow().len()), (3, 0));
    }

    #[test]
    fn bytes_are_sent_also_by_a_transmitter_that_is_never_empty() {
        let bytes: Vec<u8> = (0..40).collect();
        for line_status in [TRANSMITTER_EMPTY, 0] {
            let ports = Ports::new(None, line_status);
            assert!(initialise(&ports));
            write(&ports, &bytes);
            assert_eq!(*ports.sent.borrow(), bytes);
        }
    }
}
