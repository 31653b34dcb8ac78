//! The text console: what [`print!`](crate::print) and [`println!`](crate::println) write to.
//!
//! Output goes to the first serial port, synchronously and unbuffered, so that the last line before a crash is on the
//! host's screen. `\n` is sent as `\r\n`. Where the machine has no serial port, output is discarded.
//!
//! # Cores
//!
//! A call has the port to itself: others wait for it, by spinning, as a call is short. The core that has the port may
//! print all the same: a `Display` implementation in the middle of a line may panic, and the watchdog may interrupt one.
//! A report of a failure takes the port from whoever has it, as that core has been stopped.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::arch::{core_index, serial};

/// Whether a serial port answered at boot.
static PRESENT: AtomicBool = AtomicBool::new(false);

/// Nobody has the port.
const FREE: usize = usize::MAX;
/// The core that has the port, or [`FREE`].
static OWNER: AtomicUsize = AtomicUsize::new(FREE);

/// Whether the last byte sent ended a line.
static IS_LINE_START: AtomicBool = AtomicBool::new(true);

/// Takes the port for the calling core, whoever has it, and begins a line. For reports, when all other cores have been
/// stopped, perhaps in the middle of one.
pub(crate) fn seize() {
    OWNER.store(core_index(), Ordering::SeqCst);
    begin_line();
}

/// Ends the line that has been begun, if one has. For reports, which may interrupt one.
pub(crate) fn begin_line() {
    if PRESENT.load(Ordering::Relaxed) {
        with_port(|| {
            if !IS_LINE_START.load(Ordering::Relaxed) {
                send(b"\r\n");
            }
        });
    }
}

/// Sends bytes. The calling core has the port.
fn send(bytes: &[u8]) {
    // It may be stopped in the middle: then a line has been begun.
    IS_LINE_START.store(false, Ordering::Relaxed);
    serial::write(bytes);
    IS_LINE_START.store(bytes.last() == Some(&b'\n'), Ordering::Relaxed);
}

/// Runs `action` while the calling core has the port.
fn with_port(action: impl FnOnce()) {
    let me = core_index();
    if OWNER.load(Ordering::Relaxed) == me {
        return action();
    }
    while OWNER.compare_exchange_weak(FREE, me, Ordering::Acquire, Ordering::Relaxed).is_err() {
        core::hint::spin_loop();
    }
    action();
    // If it has been seized meanwhile, this core is about to be stopped.
    let _ = OWNER.compare_exchange(me, FREE, Ordering::Release, Ordering::Relaxed);
}

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
        if let Some(bytes) = self.buffer.get(..self.used).filter(|bytes| !bytes.is_empty()) {
            send(bytes);
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
    with_port(|| {
        let mut console = Console::new();
        // A `Display` implementation may fail; what it wrote until then is still worth showing.
        let _ = fmt::Write::write_fmt(&mut console, arguments);
        console.flush();
    });
}
