//! Many exchanges at a time, on executors with several threads; the device and the interrupt are threads as well.

use std::sync::atomic::AtomicBool;
use std::sync::{Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use futures_executor::ThreadPool;
use toro_core::driver::Armed;
use virtio_sim::Kicks;
use virtio_sim::clock::CLOCK;

use super::common::EVENT_IDX;
use super::*;

/// How long anything may take that takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(if cfg!(miri) { 600 } else { 60 });

/// Device and interrupt of a queue; they end when this is dropped.
struct World {
    is_over: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl World {
    /// Adds one to each number that comes, sometimes in another order than they came.
    fn start(queue: Arc<Queue>, mut other: DeviceQueue, device: Device) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (interrupt, interrupts) = mpsc::channel();
        let over = is_over.clone();
        let player = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let mut batch: Vec<_> = std::iter::from_fn(|| other.pop()).collect();
                if batch.is_empty() {
                    if !other.enable_kicks() {
                        let start = Instant::now();
                        while device.wait_for_kick(Duration::from_millis(50)) == Kicks::None {
                            if over.load(Ordering::Relaxed) {
                                return;
                            }
                            assert!(start.elapsed() < PATIENCE, "a kick was lost");
                        }
                    }
                    other.disable_kicks();
                    continue;
                }
                if batch.len() % 3 == 0 {
                    batch.reverse();
                }
                for chain in batch {
                    let bytes = other.peek(chain.writable[0].0, 4);
                    let number = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
                    let written = other.write(&chain, &(number + 1).to_le_bytes());
                    if other.push_and_signal(u32::from(chain.head), written) {
                        // Whoever handles it may be gone already.
                        let _ = interrupt.send(());
                    }
                }
            }
        });
        let handler = thread::spawn(move || {
            while interrupts.recv().is_ok() {
                while queue.process().expect("an obedient device") == Armed::WorkPending {}
            }
        });
        Self { is_over, threads: vec![player, handler] }
    }

    fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("it is content");
        }
    }
}

/// Something that is counted down to nothing.
#[derive(Default)]
struct Left(Mutex<usize>, Condvar);

impl Left {
    fn one_less(&self) {
        *self.0.lock().expect("nobody panics with it") -= 1;
        self.1.notify_all();
    }

    fn wait(&self) {
        let left = self.0.lock().expect("nobody panics with it");
        let (left, _) = self.1.wait_timeout_while(left, PATIENCE, |left| *left > 0).expect("nobody panics with it");
        assert_eq!(*left, 0, "exchanges that nobody finished");
    }
}

fn number(pool: &mut DmaPool, number: u32) -> DmaBuf {
    let mut buffer = pool.take().expect("one for each");
    buffer.extend(&number.to_le_bytes()).expect("64 bytes are enough");
    buffer
}

/// Waits for the answer, and checks it.
async fn one(queue: &Queue, buffer: DmaBuf, number: u32) {
    let answer = queue.exchange((), buffer, Direction::FromDevice, ()).await.expect("an obedient device");
    assert_eq!(answer.payload[..], (number + 1).to_le_bytes());
}

#[test]
fn ten_thousand_exchanges_share_sixteen_slots() {
    const CROWD: u32 = if cfg!(miri) { 20 } else { 10_000 };
    for features in [0, EVENT_IDX] {
        let Scene { queue, other, memory, device, .. } = scene(16, features);
        let mut pool = DmaPool::new(memory, CROWD as usize, 64).expect("memory");
        let queue = Arc::new(queue);
        let world = World::start(queue.clone(), other, device);
        let executor = ThreadPool::builder().pool_size(4).create().expect("threads");
        let left = Arc::new(Left(Mutex::new(CROWD as usize), Condvar::new()));
        for i in 0..CROWD {
            let (queue, left, buffer) = (queue.clone(), left.clone(), number(&mut pool, i));
            executor.spawn_ok(async move {
                if i % 3 == 2 {
                    // Gone after one poll, wherever it is by then.
                    let mut abandoned = queue.exchange((), buffer, Direction::FromDevice, ());
                    let _ = Task::new().poll(&mut abandoned);
                } else {
                    one(&queue, buffer, i).await;
                }
                left.one_less();
            });
        }
        left.wait();
        // What was abandoned in flight comes home without anybody.
        let start = Instant::now();
        while pool.available() < CROWD as usize {
            assert!(start.elapsed() < PATIENCE, "{} of {CROWD} buffers", pool.available());
            thread::yield_now();
        }
        world.end();
        assert!(queue.stop().is_some_and(|(ring, _)| ring.is_empty()));
    }
}

#[test]
fn threads_that_block_on_exchanges_are_all_woken() {
    let rounds = if cfg!(miri) { 3 } else { 2000 };
    for features in [0, EVENT_IDX] {
        let Scene { queue, other, mut pool, device, .. } = scene(4, features);
        let queue = Arc::new(queue);
        let world = World::start(queue.clone(), other, device);
        let buffers: Vec<_> = (0..6).map(|i| number(&mut pool, i)).collect();
        thread::scope(|scope| {
            for mut buffer in buffers {
                let queue = &queue;
                scope.spawn(move || {
                    for _ in 0..rounds {
                        let before = u32::from_le_bytes(buffer[..].try_into().expect("four bytes"));
                        let exchange = queue.exchange((), buffer, Direction::FromDevice, ());
                        let done = futures_executor::block_on(exchange).expect("an obedient device");
                        assert_eq!(done.payload[..], (before + 1).to_le_bytes());
                        buffer = done.payload;
                    }
                });
            }
        });
        assert_eq!(pool.available(), 8);
        world.end();
    }
}

#[test]
fn hd_vq_1_a_lie_in_a_crowd_reaches_every_thread() {
    let rounds = if cfg!(miri) { 2 } else { 50 };
    for round in 0..rounds {
        let Scene { queue, mut other, mut pool, memory, .. } = scene(4, EVENT_IDX);
        let buffers: Vec<_> = (0..8).map(|i| number(&mut pool, i)).collect();
        thread::scope(|scope| {
            for buffer in buffers {
                let queue = &queue;
                scope.spawn(move || {
                    let exchange = queue.exchange((), buffer, Direction::FromDevice, ());
                    assert!(futures_executor::block_on(exchange).is_err(), "nothing is ever answered");
                });
            }
            // Some are in flight, some wait, and some have yet to come.
            for _ in 0..round % 5 {
                while other.pop().is_none() {
                    thread::yield_now();
                }
            }
            other.push(7777, 0);
            while queue.process().is_ok() {
                thread::yield_now();
            }
        });
        let (ring, running) = queue.stop().expect("it was not stopped before");
        let (_, proof) = running.quiesce(&CLOCK).expect("it resets");
        ring.retire(&proof, |payload, ticket| queue.hand_back(ticket, payload)).expect("it is its proof");
        assert_eq!(pool.available(), 8);
        drop(pool);
        assert_eq!(memory.blocks(), 0);
    }
}
