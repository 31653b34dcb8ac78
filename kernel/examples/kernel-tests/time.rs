//! Both clocks, and sleeping.

use toro::thread;
use toro::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub fn run() {
    let mut last = Instant::now();
    for _ in 0..10_000 {
        let now = Instant::now();
        assert!(now >= last, "the clock ran backwards");
        last = now;
    }

    let before = Instant::now();
    let system_start = SystemTime::now();
    let after = Instant::now();
    for _ in 0..20 {
        let start = Instant::now();
        thread::sleep(Duration::from_millis(5));
        assert!(start.elapsed() >= Duration::from_millis(5));
    }
    let least = after.elapsed();
    let system_elapsed = system_start.elapsed().expect("time goes on");
    let most = before.elapsed();
    assert!((least..=most).contains(&system_elapsed), "the clocks disagree: {least:?} {system_elapsed:?} {most:?}");
    assert!(most < Duration::from_secs(5), "sleeping for 100 ms took {most:?}");

    let unix = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    toro::println!("unix time {}.{:03}", unix.as_secs(), unix.subsec_millis());
    if toro::env::flag("wall-clock") {
        assert!(unix > Duration::from_secs(1_700_000_000), "no wall clock");
    }
    toro::println!("frequency {} kHz", toro::arch::clock::frequency() / 1000);
}
