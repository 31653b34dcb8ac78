//! The text console: what [`print!`](crate::print) and [`println!`](crate::println) write to.
//!
//! Output goes to the first serial port, synchronously and unbuffered, so that the last line before a crash is on the
//! host's screen. `\n` is sent as `\r\n`. There is no lock: one core runs Rust code, threads change only at waiting
//! points and printing is not one, so each call is atomic by itself; a panic inside a `Display` implementation in the
//! middle of a line can print too. Where the machine has no serial port, output is discarded.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::arch::serial;

/// Whether a serial port answered at boot.
static PRESENT: AtomicBool = AtomicBool::new(false);

/// Looks for the serial port and prepares it.
pub(crate) fn initialise() {
    PRESENT.store(serial::initialise(), Ordering::Relaxed);
}

/// Bytes on their way to the serial port, gathered so that most lines are one burst.
struct Console {
    buffer: [u8; 64],
    used: usize,
}

impl Console {
    const fn new() -> Self {
        Self { buffer: [0; 64], used: 0 }
    }

    fn push(&mut self, byte: u8) {
        if self.used == self.buffer.len() {
            self.flush();
        }
        if let Some(place) = self.buffer.get_mut(self.used) {
            *place = byte;
            self.used += 1;
        }
    }

    fn flush(&mut self) {
        if let Some(bytes) = self.buffer.get(..self.used) {
            serial::write(bytes);
        }
        self.used = 0;
    }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.push(b'\r');
            }
            self.push(byte);
        }
        Ok(())
    }
}

/// Writes formatted text to the console; what the macros expand to.
#[doc(hidden)]
pub fn write_fmt(arguments: fmt::Arguments<'_>) {
    if !PRESENT.load(Ordering::Relaxed) {
        return;
    }
    let mut console = Console::new();
    // A `Display` implementation may fail; what it wrote until then is still worth showing.
    let _ = fmt::Write::write_fmt(&mut console, arguments);
    console.flush();
}
