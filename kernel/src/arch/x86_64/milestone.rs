//! Where the boot is: marks that cost nothing, for whoever counts instructions from outside.
//!
//! ```text
//!   entry | tables and console | memory | page tables | firmware tables | interrupts | clock | cores | threads | devices | main
//!         1                    2        3             4                 5            6       7       8         9         10
//! ```
//!
//! Each is an instruction that does nothing, `0f 1f 84 00` and 32 bits, which no compiler emits and which the counting plugin
//! of `tests/bench` knows: `cargo xtask bench boot` says how many instructions lie between two of them. A processor spends
//! less than a nanosecond on all of them together.

use core::arch::asm;

/// What has been reached. The numbers are the plugin's; `tests/bench/src/boot/phases.rs` has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Milestone {
    /// Rust: `.bss` is zeroed, the early page tables are there.
    Rust = 0x100,
    /// The console answers, and faults are reported.
    Traps = 0x101,
    /// Memory is known, and the heap works.
    Memory = 0x102,
    /// The final page tables are in force.
    PageTables = 0x103,
    /// The firmware's tables have been read.
    FirmwareTables = 0x104,
    /// Interrupt controllers are ready.
    Interrupts = 0x105,
    /// The clock's rate is known.
    Clock = 0x106,
    /// All cores are there.
    Cores = 0x107,
    /// The first thread runs.
    Threads = 0x108,
    /// Buses have been scanned and drivers attached.
    Devices = 0x109,
    /// What the command line asks for is mounted; next is the application.
    FileSystems = 0x10A,
    /// An interface has an IPv4 address.
    #[cfg(feature = "net")]
    Network = 0x10B,
}

/// Says that `milestone` has been reached.
macro_rules! reach {
    ($milestone:ident) => {
        $crate::arch::milestone::mark::<{ $crate::arch::milestone::Milestone::$milestone as u32 }>()
    };
}
pub(crate) use reach;

/// Executes the mark with this number.
#[inline(always)]
pub(crate) fn mark<const NUMBER: u32>() {
    // SAFETY: a NOP: it accesses no memory, changes no register and no flag, and cannot fault. That it is not said to leave
    // memory alone keeps the compiler from moving work across it.
    unsafe {
        asm!(".byte 0x0f, 0x1f, 0x84, 0x00", ".long 0x4d4b0000 + {}", const NUMBER, options(nostack, preserves_flags))
    };
}
