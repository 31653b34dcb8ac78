//! Markers around what is measured: instructions that the counting plugin of `tests/bench` knows.

use core::arch::asm;
use core::time::Duration;

use toro::time::Instant;

/// Says to the counting plugin that a measured part begins.
#[inline(always)]
fn begin() {
    // SAFETY: the instruction is a NOP: it accesses no memory, changes no register and no flag, and cannot fault. That it
    // is not said to leave memory alone keeps the compiler from moving work across it.
    unsafe { asm!(".byte 0x0f, 0x1f, 0x84, 0x00", ".long 0x4d4b0001", options(nostack, preserves_flags)) };
}

/// Says that it ends.
#[inline(always)]
fn end() {
    // SAFETY: as in `begin`; the number, part of an address that is not accessed, is all that differs.
    unsafe { asm!(".byte 0x0f, 0x1f, 0x84, 0x00", ".long 0x4d4b0002", options(nostack, preserves_flags)) };
}

/// Runs `work` between markers; returns the time it took.
#[inline(always)]
pub fn measured(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    begin();
    work();
    end();
    start.elapsed()
}
