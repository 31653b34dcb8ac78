//! Floating point in threads of all cores that stop in the middle of it: see `series.rs`.

use toro::thread;

use crate::crew::crew;
use crate::series::{EXPECTED, SERIES};

pub fn run() {
    // Twice as many threads on each core as there are series: each runs beside itself and beside others.
    crew(2 * SERIES.len(), |number| {
        for round in 0..SERIES.len() {
            // Threads with neighbouring numbers are on different cores.
            let series = (number / toro::core::count() + round) % SERIES.len();
            let bits = SERIES[series](&mut thread::yield_now);
            assert_eq!(bits, EXPECTED[series], "series {series} in thread {number}: {bits:#x}");
        }
    });
}
