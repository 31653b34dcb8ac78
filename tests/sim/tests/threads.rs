//! The device as a second thread.
//!
//! Natively this is a litmus test of the two store-then-load orderings, under Miri a check of all of them: the
//! device uses the weakest accesses that the specification allows it, so an ordering missing on the driver's side
//! is a data race (buffers are plain memory) or a side that sleeps for ever.
//!
//! Which change to the driver is noticed by which test here is told by the documentation of the package `virtio-loom`.
//! Natively these tests want two cores for themselves: while others kept the machine busy, one run in ten missed a
//! fence that had been taken away.

mod common;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{Bench, EVENT_IDX, bench};
use toro_core::DmaBuf;
use toro_core::driver::Armed;
use virtio_queue_rt::queue::Cell;
use virtio_queue_rt::{Direction, Notify};
use virtio_sim::queue::feature::{IN_ORDER, INDIRECT_DESC};
use virtio_sim::{DeviceQueue, Kicks, PoppedChain};

/// How long a side may sleep before the other is accused of not having woken it.
const PATIENCE: Duration = Duration::from_secs(if cfg!(miri) { 600 } else { 20 });
const REQUESTS: u32 = if cfg!(miri) { 30 } else { 100_000 };
/// How long, and for how many requests at most, two sides that never sleep look at each other.
const DUEL: Duration = Duration::from_secs(if cfg!(miri) { 600 } else { 4 });
const DUEL_REQUESTS: u32 = if cfg!(miri) { 60 } else { 6_000_000 };

/// How the device gives back what it takes at once.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    AsTheyCome,
    Reversed,
    /// All of it with one used element (IN_ORDER).
    InBatches,
}

/// Writes the answer to a request, the number plus one; returns how many bytes that were. The number is in the buffer,
/// or in a header together with its complement; then there is a trailer, too.
fn answer(queue: &DeviceQueue, chain: &PoppedChain) -> u32 {
    assert_eq!(chain.writable[0].1, 4);
    if chain.readable.is_empty() {
        let bytes = queue.peek(chain.writable[0].0, 4);
        let number = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        return queue.write(chain, &(number + 1).to_le_bytes());
    }
    let words: Vec<_> = queue.read(chain).chunks(8).map(|word| word.try_into().map(u64::from_le_bytes)).collect();
    let (Ok(number), Ok(complement)) = (words[0], words[1]) else { panic!("two words") };
    assert_eq!(number, !complement, "the header is torn");
    let mut bytes = Vec::from((number as u32 + 1).to_le_bytes());
    bytes.push(number as u8);
    queue.write(chain, &bytes)
}

/// Answers requests and sleeps whenever there is nothing to do.
fn serve(mut queue: DeviceQueue, device: virtio_sim::Device, interrupts: mpsc::Sender<()>, order: Order) {
    let mut served = 0;
    // The driver may have seen everything already and be gone.
    let interrupt = || _ = interrupts.send(());
    while served < REQUESTS {
        let mut batch: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        if order == Order::Reversed {
            batch.reverse();
        }
        let Some(last) = batch.last() else {
            if !queue.enable_kicks() {
                assert_eq!(device.wait_for_kick(PATIENCE), Kicks::Arrived, "VQ-15: a kick was lost after {served}");
            }
            queue.disable_kicks();
            continue;
        };
        served += batch.len() as u32;
        if order == Order::InBatches {
            let lengths: Vec<_> = batch.iter().map(|chain| answer(&queue, chain)).collect();
            queue.push_batch(batch.len() as u16, last.head.into(), lengths[lengths.len() - 1]);
            if queue.wants_interrupt() {
                interrupt();
            }
            continue;
        }
        for chain in batch {
            let written = answer(&queue, &chain);
            if queue.push_and_signal(chain.head.into(), written) {
                interrupt();
            }
        }
    }
}

/// What is around a buffer in a request.
struct Around<H: Cell, T: Cell> {
    header: fn(u32) -> H::Value,
    trailer: T::Value,
    /// What the device made of the trailer.
    check: fn(u32, T::Value),
}

const NOTHING: Around<(), ()> = Around { header: |_| (), trailer: (), check: |_, ()| () };

/// As many descriptors as a block request has.
const HEADER_AND_TRAILER: Around<[AtomicU64; 2], AtomicU8> = Around {
    header: |number| [number.into(), !u64::from(number)],
    trailer: 0xff,
    check: |number, trailer| assert_eq!(trailer, number as u8),
};

fn round_trips<H: Cell, T: Cell>(size: u16, features: u64, batch: u16, order: Order, around: &Around<H, T>)
where
    T::Value: Copy,
{
    let Bench { device, running, mut queue, other, mut pool, memory: _memory } =
        bench::<DmaBuf, u32, H, T>(size, features);
    let (send, interrupts) = mpsc::channel();
    let player = thread::spawn({
        let device = device.clone();
        move || serve(other, device, send, order)
    });
    let mut next = 0;
    let mut finished = 0;
    while finished < REQUESTS {
        let mut room = queue.room().min(batch);
        while room > 0 && next < REQUESTS {
            let mut buffer = pool.take().expect("twice as many as the queue holds");
            buffer.extend(&next.to_le_bytes()).expect("64 bytes are enough");
            let header = (around.header)(next);
            queue.submit(header, buffer, Direction::FromDevice, around.trailer, next).expect("there is room");
            next += 1;
            room -= 1;
        }
        let wish: Notify = queue.publish();
        running.notify(&queue, wish);
        let count = queue
            .drain(|done| {
                assert_eq!(done.payload[..], (done.cookie + 1).to_le_bytes());
                (around.check)(done.cookie, done.trailer);
                pool.recycle(done.payload);
            })
            .expect("an obedient device");
        finished += u32::from(count);
        if count == 0 && queue.arm() == Armed::Idle && finished < REQUESTS {
            let woken = interrupts.recv_timeout(PATIENCE);
            assert!(woken.is_ok(), "VQ-22: an interrupt was lost after {finished} of {REQUESTS}");
        }
    }
    player.join().expect("the device is content");
}

/// Neither side sleeps: a wake-up would order what it follows.
fn both_poll<H: Cell, T: Cell>(features: u64, order: Order, around: &Around<H, T>)
where
    T::Value: Copy,
{
    let Bench { mut queue, mut other, mut pool, .. } = bench::<DmaBuf, u32, H, T>(8, features);
    let player = thread::spawn(move || {
        let mut served = 0;
        while served < REQUESTS {
            let batch: Vec<_> = std::iter::from_fn(|| other.pop()).collect();
            let Some(last) = batch.last() else {
                thread::yield_now();
                continue;
            };
            served += batch.len() as u32;
            let lengths: Vec<_> = batch.iter().map(|chain| answer(&other, chain)).collect();
            if order == Order::InBatches {
                other.push_batch(batch.len() as u16, last.head.into(), lengths[lengths.len() - 1]);
                continue;
            }
            for (chain, written) in batch.iter().zip(lengths) {
                other.push(chain.head.into(), written);
            }
        }
    });
    let (mut next, mut finished, mut idle, mut since) = (0, 0, 0, Instant::now());
    while finished < REQUESTS {
        while queue.room() > 0 && next < REQUESTS {
            let mut buffer = pool.take().expect("twice as many as the queue holds");
            buffer.extend(&next.to_le_bytes()).expect("64 bytes are enough");
            let header = (around.header)(next);
            queue.submit(header, buffer, Direction::FromDevice, around.trailer, next).expect("there is room");
            next += 1;
        }
        let _ = queue.publish();
        match queue.poll().expect("an obedient device") {
            Some(done) => {
                assert_eq!(done.payload[..], (done.cookie + 1).to_le_bytes());
                (around.check)(done.cookie, done.trailer);
                pool.recycle(done.payload);
                finished += 1;
                (idle, since) = (0, Instant::now());
            }
            None => {
                // Miri's clock hardly moves meanwhile.
                idle += 1;
                let is_patient = if cfg!(miri) { idle < 20_000 } else { since.elapsed() < PATIENCE };
                assert!(is_patient, "the device is gone after {finished} of {REQUESTS}");
                thread::yield_now();
            }
        }
    }
    player.join().expect("the device is content");
}

/// One test at a time: the two threads of each want the machine's cores for themselves.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A wake-up that costs one store. Whoever waits for it spins, so that both sides stay on their cores and come to
/// the decisive accesses within nanoseconds of each other, millions of times.
#[derive(Default)]
struct Bell {
    rung: AtomicBool,
}

impl Bell {
    fn ring(&self) {
        self.rung.store(true, Ordering::Release);
    }

    /// Forgets a ring that is not needed any more; comes before the last look at the queue.
    fn forget(&self) {
        self.rung.swap(false, Ordering::Acquire);
    }

    /// Waits until it rings, or until `is_over`. Miri's clock hardly moves while a thread spins, so there the looks
    /// are counted.
    fn wait(&self, is_over: impl Fn() -> bool) -> Woken {
        let start = Instant::now();
        for look in 1_u64.. {
            if self.rung.swap(false, Ordering::Acquire) || is_over() {
                return if look < 4096 { Woken::AtOnce } else { Woken::Later };
            }
            if cfg!(miri) || look % 4096 == 0 {
                match cfg!(miri) {
                    true => thread::yield_now(),
                    // More than a yield: two threads that share a core are put on two when one of them wakes up.
                    false => thread::sleep(Duration::from_micros(20)),
                }
                if start.elapsed() > PATIENCE || cfg!(miri) && look > 3000 {
                    break;
                }
            }
        }
        Woken::Never
    }
}

/// How a wait for a [`Bell`] ended.
#[derive(PartialEq)]
enum Woken {
    AtOnce,
    /// So late that the other side was not on a core of its own meanwhile.
    Later,
    Never,
}

/// How long to wait for the very moment at which the other side does its half of a race: a little longer after
/// each time that was early, a little shorter after each that was late, and never quite the same.
struct Aim {
    delay: u32,
    random: u32,
}

impl Aim {
    fn new(seed: u32) -> Self {
        Self { delay: 0, random: seed }
    }

    fn dither(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.random >> 28
    }

    fn wait(&mut self) {
        let dither = self.dither();
        if cfg!(miri) {
            (0..dither / 4).for_each(|_| thread::yield_now());
        } else {
            (0..self.delay + dither).for_each(|i| _ = black_box(i));
        }
    }

    fn was_early(&mut self) {
        self.delay = (self.delay + self.dither()).min(1 << 12);
    }

    fn was_late(&mut self) {
        self.delay = self.delay.saturating_sub(self.dither());
    }
}

/// Passes one request at a time to and fro between sides that go to sleep at every opportunity.
fn duel(features: u64) {
    let Bench { mut queue, mut other, mut pool, .. } = bench::<DmaBuf, u32, (), ()>(4, features);
    let (kick, interrupt, is_over) = (Bell::default(), Bell::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut served = 0;
            while !is_over.load(Ordering::Relaxed) {
                if let Some(chain) = other.pop() {
                    if other.push_and_signal(u32::from(chain.head), 0) {
                        interrupt.ring();
                    }
                    served += 1;
                    continue;
                }
                kick.forget();
                if !other.enable_kicks() {
                    let woken = kick.wait(|| is_over.load(Ordering::Relaxed));
                    assert!(woken != Woken::Never, "VQ-15: a kick was lost after {served}");
                }
                other.disable_kicks();
            }
        });
        // When the device asks for kicks, and when it completes.
        let (mut asking, mut completing) = (Aim::new(1), Aim::new(2));
        let start = Instant::now();
        let mut finished = 0;
        while finished < DUEL_REQUESTS && (finished % 1024 != 0 || start.elapsed() < DUEL) {
            let mut buffer = pool.take().expect("twice as many as the queue holds");
            buffer.set_len(1).expect("64 bytes are enough");
            queue.submit((), buffer, Direction::ToDevice, (), finished).expect("there is room");
            asking.wait();
            match queue.publish() {
                Notify::Needed => {
                    asking.was_late();
                    kick.ring();
                }
                Notify::Suppressed => asking.was_early(),
            }
            let done = loop {
                if let Some(done) = queue.poll().expect("an obedient device") {
                    break done;
                }
                completing.wait();
                interrupt.forget();
                match queue.arm() {
                    Armed::WorkPending => completing.was_late(),
                    Armed::Idle => match interrupt.wait(|| false) {
                        Woken::AtOnce => completing.was_early(),
                        Woken::Later => {}
                        Woken::Never => panic!("VQ-22: an interrupt was lost after {finished}"),
                    },
                }
            };
            assert_eq!(done.cookie, finished);
            pool.recycle(done.payload);
            finished += 1;
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn vq_15_22_nobody_misses_a_wake_up_within_nanoseconds_of_falling_asleep() {
    let _alone = alone();
    duel(0);
    duel(EVENT_IDX);
}

#[test]
fn vq_15_22_nobody_misses_a_wake_up_one_request_at_a_time() {
    let _alone = alone();
    round_trips(8, 0, 1, Order::AsTheyCome, &NOTHING);
    round_trips(8, EVENT_IDX, 1, Order::AsTheyCome, &NOTHING);
}

#[test]
fn vq_15_22_nobody_misses_a_wake_up_in_batches() {
    let _alone = alone();
    round_trips(16, 0, 5, Order::AsTheyCome, &NOTHING);
    round_trips(16, EVENT_IDX, 5, Order::AsTheyCome, &NOTHING);
}

#[test]
fn vq_15_22_nobody_misses_a_wake_up_with_tables() {
    let _alone = alone();
    round_trips(4, INDIRECT_DESC, 3, Order::AsTheyCome, &HEADER_AND_TRAILER);
    round_trips(4, INDIRECT_DESC | EVENT_IDX, 3, Order::Reversed, &HEADER_AND_TRAILER);
}

#[test]
fn vq_15_22_29_nobody_misses_a_wake_up_in_order() {
    let _alone = alone();
    round_trips(4, IN_ORDER | INDIRECT_DESC, 3, Order::InBatches, &HEADER_AND_TRAILER);
    round_trips(8, IN_ORDER | INDIRECT_DESC | EVENT_IDX, 5, Order::InBatches, &NOTHING);
}

#[test]
fn hd_vq_11_completions_in_another_order_are_fine() {
    let _alone = alone();
    round_trips(16, EVENT_IDX, 7, Order::Reversed, &NOTHING);
    round_trips(4, 0, 4, Order::Reversed, &NOTHING);
}

#[test]
fn vq_14_23_a_polling_device_sees_whole_requests_and_a_polling_driver_whole_answers() {
    let _alone = alone();
    both_poll(EVENT_IDX, Order::AsTheyCome, &NOTHING);
    both_poll(INDIRECT_DESC, Order::AsTheyCome, &HEADER_AND_TRAILER);
}

#[test]
fn vq_14_23_29_a_polling_driver_sees_whole_batches() {
    let _alone = alone();
    both_poll(IN_ORDER | INDIRECT_DESC | EVENT_IDX, Order::InBatches, &HEADER_AND_TRAILER);
}
