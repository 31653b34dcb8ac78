//! The parts that need one core.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::hint::black_box;
use core::time::Duration;

use toro::sync::spsc::channel;
use toro::thread;
use toro::time::Instant;

use crate::measure::{measured, report, report_spread};

/// Two threads take turns. An operation is a yield of either.
pub fn switch(part: &str) {
    const TURNS: u64 = 100_000;
    let (turns, stop) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let other = {
        let (turns, stop) = (turns.clone(), stop.clone());
        thread::spawn(move || {
            while !stop.get() {
                turns.set(turns.get() + 1);
                thread::yield_now();
            }
        })
    };
    let take_turns = |count| (0..count).for_each(|_| thread::yield_now());
    take_turns(TURNS / 10);
    let before: u64 = turns.get();
    let time = measured(|| take_turns(TURNS));
    let all = TURNS + (turns.get() - before);
    stop.set(true);
    let Ok(()) = other.join();
    report(part, all, time);
}

/// A thread is made and joined.
pub fn spawn(part: &str) {
    const THREADS: u64 = 3000;
    let spawn_and_join = |count| {
        for _ in 0..count {
            let Ok(()) = thread::spawn(|| ()).join();
        }
    };
    spawn_and_join(THREADS / 10);
    report(part, THREADS, measured(|| spawn_and_join(THREADS)));
}

/// An object is allocated and freed.
pub fn allocate(part: &str) {
    const TIMES: u64 = 1_000_000;
    let allocate_and_free = |count| (0..count).for_each(|_| drop(black_box(Box::<[u8; 64]>::new_uninit())));
    allocate_and_free(TIMES / 10);
    report(part, TIMES, measured(|| allocate_and_free(TIMES)));
}

/// A message goes through a channel between cores, sent and received by one thread, half a channel at a time: what it
/// costs when nobody waits for anybody.
pub fn message(part: &str) {
    const ROUNDS: u64 = 4000;
    const BATCH: u64 = 128;
    let (mut sender, mut receiver) = channel(2 * BATCH as usize);
    let mut exchange = |rounds| {
        for _ in 0..rounds {
            (0..BATCH).for_each(|message| sender.send(black_box(message)).expect("there is room"));
            assert!((0..BATCH).all(|message| receiver.recv() == Ok(message)), "a message is another one");
        }
    };
    exchange(ROUNDS / 10);
    report(part, ROUNDS * BATCH, measured(|| exchange(ROUNDS)));
}

/// How late a thread is that sleeps for 10 ms while nothing else happens.
pub fn sleep(part: &str) {
    const TIMES: usize = 200;
    const TIME: Duration = Duration::from_millis(10);
    let mut samples = Vec::with_capacity(TIMES);
    thread::sleep(TIME);
    measured(|| {
        for _ in 0..TIMES {
            let start = Instant::now();
            thread::sleep(TIME);
            samples.push(start.elapsed().saturating_sub(TIME));
        }
    });
    report_spread(part, samples);
}
