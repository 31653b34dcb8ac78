//! The parts that need two cores: the boot core, where these functions run, and another.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hint::{black_box, spin_loop};
use core::mem::MaybeUninit;
use core::time::Duration;

use toro::core::CoreId;
use toro::sync::spsc::{Receiver, channel};
use toro::thread;
use toro::time::Instant;

use crate::measure::{measured, report, report_spread};

/// Messages that a channel holds, as in the program for Linux.
const CAPACITY: usize = 256;
/// What fails is a defect of this program: both ends live as long as they are used.
const OTHER_END: &str = "the other end is there";

/// The other core; `None` in a machine that has only one.
fn other() -> Option<CoreId> {
    CoreId::new(1)
}

/// A thread is made on the other core and joined.
pub fn spawn(part: &str) {
    const THREADS: u64 = 3000;
    let Some(core) = other() else { return };
    let spawn_and_join = |count| {
        for _ in 0..count {
            let Ok(()) = thread::spawn_on(core, || ()).join();
        }
    };
    spawn_and_join(THREADS / 10);
    report(part, THREADS, measured(|| spawn_and_join(THREADS)));
}

/// A message goes to the other core and comes back; who waits for one polls.
pub fn ping_polling(part: &str) {
    ping(part, 100_000, poll);
}

/// The same; who waits sleeps.
pub fn ping_sleeping(part: &str) {
    ping(part, 10_000, sleep);
}

fn poll(messages: &mut Receiver<u64>) -> u64 {
    loop {
        match messages.try_recv() {
            Ok(message) => return message,
            Err(_) => spin_loop(),
        }
    }
}

fn sleep(messages: &mut Receiver<u64>) -> u64 {
    messages.recv().expect(OTHER_END)
}

fn ping(part: &str, trips: u64, receive: fn(&mut Receiver<u64>) -> u64) {
    let Some(core) = other() else { return };
    let (mut there, mut arrivals) = channel(CAPACITY);
    let (mut back, mut answers) = channel(CAPACITY);
    let echo = thread::spawn_on(core, move || {
        loop {
            let message = receive(&mut arrivals);
            back.send(message).expect(OTHER_END);
            if message == 0 {
                return;
            }
        }
    });
    let mut round_trip = |message| {
        there.send(message).expect(OTHER_END);
        black_box(receive(&mut answers));
    };
    (0..trips / 10).for_each(|_| round_trip(1));
    let time = measured(|| (0..trips).for_each(|_| round_trip(1)));
    round_trip(0);
    let Ok(()) = echo.join();
    report(part, trips, time);
}

/// The time from the sending of a message, to a thread on a halted core, until that thread has it.
pub fn wake(part: &str) {
    const TIMES: usize = 200;
    let Some(core) = other() else { return };
    let (mut sender, mut receiver) = channel(CAPACITY);
    let woken = thread::spawn_on(core, move || {
        let mut samples = Vec::with_capacity(TIMES);
        for _ in 0..TIMES {
            let sent: Instant = receiver.recv().expect(OTHER_END);
            samples.push(sent.elapsed());
        }
        samples
    });
    thread::sleep(Duration::from_millis(20));
    measured(|| {
        for _ in 0..TIMES {
            sender.send(Instant::now()).expect(OTHER_END);
            thread::sleep(Duration::from_millis(2));
        }
    });
    let Ok(samples) = woken.join();
    report_spread(part, samples);
}

/// Objects are allocated here, a batch at a time, and freed on the other core, and so on in turn.
pub fn allocate(part: &str) {
    const BATCHES: u64 = 200;
    const OBJECTS: usize = 4096;
    let Some(core) = other() else { return };
    let (mut full, mut batches) = channel::<Vec<Box<MaybeUninit<[u8; 64]>>>>(1);
    let (mut empty, mut emptied) = channel(1);
    let freer = thread::spawn_on(core, move || {
        while let Ok(mut batch) = batches.recv() {
            batch.clear();
            empty.send(batch).expect(OTHER_END);
        }
    });
    let mut spare = Some(Vec::with_capacity(OBJECTS));
    let mut allocate_and_free = |batches| {
        for _ in 0..batches {
            let mut batch = spare.take().expect("it came back");
            batch.extend((0..OBJECTS).map(|_| black_box(Box::new_uninit())));
            full.send(batch).expect(OTHER_END);
            spare = emptied.recv().ok();
        }
    };
    allocate_and_free(BATCHES / 10);
    let time = measured(|| allocate_and_free(BATCHES));
    drop(full);
    let Ok(()) = freer.join();
    report(part, BATCHES * OBJECTS as u64, time);
}

/// Messages go to the other core one after another, as fast as they go. A zero asks for an answer.
pub fn stream(part: &str) {
    const MESSAGES: u64 = 500_000;
    let Some(core) = other() else { return };
    let (mut there, mut arrivals) = channel(CAPACITY);
    let (mut back, mut answers) = channel(1);
    let sink = thread::spawn_on(core, move || {
        while let Ok(message) = arrivals.recv() {
            if message == 0_u64 {
                back.send(()).expect(OTHER_END);
            }
        }
    });
    let mut send_all = |count| {
        (1..count).for_each(|message| there.send(message).expect(OTHER_END));
        there.send(0).expect(OTHER_END);
        answers.recv().expect(OTHER_END);
    };
    send_all(MESSAGES / 10);
    let time = measured(|| send_all(MESSAGES));
    drop(there);
    let Ok(()) = sink.join();
    report(part, MESSAGES, time);
}
