//! The lines of the report.

use alloc::vec::Vec;
use core::time::Duration;

use toro::println;

pub use crate::markers::measured;

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
