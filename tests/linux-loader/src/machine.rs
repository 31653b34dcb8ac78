//! The rest of the machine: memory below 4 GiB, a serial port to print on, and an end.

use core::arch::asm;
use core::fmt;

/// What the boot code has mapped.
const MAPPED: u64 = 1 << 32;

/// The bytes at a physical address, if they are mapped.
pub fn bytes(address: u64, length: u64) -> Option<&'static [u8]> {
    let end = address.checked_add(length).filter(|&end| address != 0 && end <= MAPPED)?;
    // SAFETY: mapped, not null; any bytes are valid; what is read here, QEMU's structures and the module, is nowhere that `put` may
    // write: its callers write below 1 MiB, where QEMU leaves nothing that is read later, or where no module is.
    Some(unsafe { core::slice::from_raw_parts(address as *const u8, (end - address) as usize) })
}

/// Writes `bytes` to a physical address below 4 GiB.
///
/// # Safety
///
/// Nothing of this program lies there, and nothing that a slice from [`bytes`] refers to.
pub unsafe fn put(address: u64, bytes: &[u8]) {
    assert!(address != 0 && address + (bytes.len() as u64) <= MAPPED);
    // SAFETY: mapped, writable, and nobody's (this function's contract).
    unsafe { core::ptr::copy(bytes.as_ptr(), address as *mut u8, bytes.len()) };
}

/// The first serial port, as the firmware or nobody has set it up.
pub struct Serial;

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: ring 0; the data register of a serial port touches no memory. QEMU's takes a byte at any time.
            unsafe { asm!("out dx, al", in("dx") 0x3f8_u16, in("al") byte, options(nomem, nostack, preserves_flags)) };
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

/// Ends the machine by QEMU's `isa-debug-exit`: QEMU's exit status is twice the code, plus one.
pub fn end(code: u32) -> ! {
    // SAFETY: ring 0; the port is that of a device that ends the machine, or of none.
    unsafe { asm!("out dx, eax", in("dx") 0xf4_u16, in("eax") code, options(nomem, nostack, preserves_flags)) };
    loop {
        // SAFETY: with interrupts off, the processor stops here for good.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say!("linux-loader: {info}");
    end(crate::FAILED)
}
