//! The rest of the machine: a serial port to print on, a clock, and an end.

use core::fmt;

use toro_core::{Clock, Instant, PortIo, Registers};

/// The first serial port, as the monitor has set it up.
pub struct Serial;

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const DATA: usize = 0;
        const LINE_STATUS: usize = 5;
        const ROOM: u8 = 1 << 5;
        // SAFETY: we run in ring 0; no register of a serial port makes it touch memory.
        let port = unsafe { PortIo::new(0x3f8, 8) };
        for byte in text.bytes() {
            // A port that is not there says all ones, and so has room.
            while port.read8(LINE_STATUS) & ROOM == 0 {
                core::hint::spin_loop();
            }
            port.write8(DATA, byte);
        }
        Ok(())
    }
}

/// Prints a line.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => {{
        use core::fmt::Write as _;
        // A serial port takes everything.
        let _ = writeln!($crate::machine::Serial, $($argument)*);
    }};
}

/// The processor's time stamp counter.
///
/// Drivers measure their patience with it and nothing else, so its rate need not be known: no processor counts more than
/// six times in a nanosecond, and on a slower one we are more patient than was asked for.
pub struct Counter;

impl Clock for Counter {
    fn now(&self) -> Instant {
        // SAFETY: every processor with 64 bits has the instruction, and ring 0 may use it.
        Instant::from_nanos(unsafe { core::arch::x86_64::_rdtsc() } / 6)
    }
}

/// Ends the machine by QEMU's `isa-debug-exit`, where it has one: QEMU's exit status is twice the code, plus one.
pub fn end(code: u32) -> ! {
    // SAFETY: we run in ring 0; the port is that of a device that ends the machine, or of none.
    unsafe { PortIo::new(0xf4, 4) }.write32(0, code);
    loop {
        // SAFETY: with interrupts off, the processor stops here for good.
        unsafe { core::arch::asm!("cli", "hlt") };
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say!("other-os: {info}");
    end(0x21)
}
