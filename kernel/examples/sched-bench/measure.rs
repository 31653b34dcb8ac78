//! Markers, clocks, and the lines of the report.

use alloc::vec::Vec;
use core::arch::asm;
use core::time::Duration;

use toro::println;
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

/// Reports the time of `operations` together.
pub fn report(part: &str, operations: u64, time: Duration) {
    println!("LB {part} n={operations} ns={}", time.as_nanos());
}

/// Reports latencies, one per operation.
pub fn report_spread(part: &str, mut samples: Vec<Duration>) {
    samples.sort_unstable();
    let (count, sum) = (samples.len(), samples.iter().sum::<Duration>());
    let [median, most, greatest] = [count / 2, count * 99 / 100, count - 1].map(|place| samples[place].as_nanos());
    println!("LB {part} n={count} ns={} p50={median} p99={most} max={greatest}", sum.as_nanos());
}
