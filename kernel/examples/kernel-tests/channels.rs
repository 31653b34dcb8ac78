//! Channels, to one receiver from one sender or from many; and unparking, on which everything else rests.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use toro::core as cores;
use toro::sync::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError, mpsc, spsc};
use toro::thread;
use toro::time::{Duration, Instant};

use crate::crew::{Random, neighbours};

pub fn run() {
    one_to_one_keeps_the_order();
    a_full_channel_keeps_the_sender();
    trying();
    timeouts();
    the_last_sender_ends_a_receiver();
    a_receiver_that_goes_ends_its_senders();
    many_to_one_keeps_each_ones_order();
    a_full_lane_keeps_its_core_alone();
    nothing_is_lost_and_nothing_dropped_twice();
    storms();
}

/// Lets others run, or sleeps long enough for the core to do so too, or neither.
fn pause(random: &mut Random) {
    match random.below(300) {
        0 => thread::sleep(Duration::from_micros(80)),
        1..=30 => thread::yield_now(),
        _ => {}
    }
}

fn one_to_one_keeps_the_order() {
    for capacity in [1, 3, 64] {
        let values = if capacity == 1 { 2_000 } else { 10_000u64 };
        let pairs: Vec<_> = neighbours()
            .map(|(from, to)| {
                let (mut sender, mut receiver) = spsc::channel(capacity);
                let sending = thread::spawn_on(from, move || {
                    let mut random = Random::new(1);
                    for value in 0..values {
                        sender.send(value).expect("the receiver takes everything");
                        pause(&mut random);
                    }
                });
                let receiving = thread::spawn_on(to, move || {
                    let mut random = Random::new(2);
                    for value in 0..values {
                        assert_eq!(receiver.recv(), Ok(value));
                        pause(&mut random);
                    }
                    assert_eq!(receiver.recv(), Err(RecvError));
                });
                (sending, receiving)
            })
            .collect();
        for (sending, receiving) in pairs {
            let (Ok(()), Ok(())) = (sending.join(), receiving.join());
        }
    }
}

/// What has been sent is never more than what has been received and what the channel holds.
fn a_full_channel_keeps_the_sender() {
    for (_, to) in neighbours() {
        for capacity in [1usize, 2, 5] {
            let sent = Arc::new(AtomicUsize::new(0));
            let (mut sender, mut receiver) = spsc::channel(capacity);
            let sending = thread::spawn_on(to, {
                let sent = Arc::clone(&sent);
                move || {
                    for value in 0..200usize {
                        sender.send(value).expect("the receiver takes everything");
                        sent.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
            for value in 0..200 {
                if value % 50 == 0 {
                    // It comes so far, and no further.
                    while sent.load(Ordering::SeqCst) < (value + capacity).min(200) {
                        thread::yield_now();
                    }
                    thread::sleep(Duration::from_micros(100));
                }
                assert!(sent.load(Ordering::SeqCst) <= value + capacity, "a channel holds more than it should");
                assert_eq!(receiver.recv(), Ok(value));
            }
            let Ok(()) = sending.join();
        }
    }
}

fn trying() {
    let (mut sender, mut receiver) = spsc::channel(2);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!((sender.try_send(1), sender.try_send(2)), (Ok(()), Ok(())));
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(sender.try_send(3), Ok(()));
    drop(sender);
    assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(2), Ok(3)));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    let (mut sender, receiver) = spsc::channel(2);
    drop(receiver);
    assert_eq!(sender.try_send(4), Err(TrySendError::Disconnected(4)));
    assert_eq!(sender.send(4), Err(SendError(4)));

    let (sender, mut receiver) = mpsc::channel(2);
    let other = sender.clone();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!((sender.try_send(1), other.try_send(2)), (Ok(()), Ok(())));
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    drop(sender);
    assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Ok(2)));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    drop(other);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(receiver.recv(), Err(RecvError));
    let (sender, receiver) = mpsc::channel(2);
    drop(receiver);
    assert_eq!(sender.try_send(4), Err(TrySendError::Disconnected(4)));
    assert_eq!(sender.send(4), Err(SendError(4)));
}

fn timeouts() {
    const SHORT: Duration = Duration::from_millis(2);
    const LONG: Duration = Duration::from_secs(3600);
    for (_, to) in neighbours() {
        let (mut sender, mut receiver) = spsc::channel(1);
        let (many, mut receiver_of_many) = mpsc::channel(1);
        let start = Instant::now();
        assert_eq!(receiver.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        assert_eq!(receiver_of_many.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        assert!(start.elapsed() >= 2 * SHORT);
        let sending = thread::spawn_on(to, move || {
            thread::sleep(SHORT);
            assert_eq!(sender.send(1), Ok(()));
            thread::sleep(SHORT);
            assert_eq!(many.send(2), Ok(()));
        });
        assert_eq!(receiver.recv_timeout(LONG), Ok(1));
        assert_eq!(receiver_of_many.recv_timeout(LONG), Ok(2));
        assert_eq!(receiver.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
        assert_eq!(receiver_of_many.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
        let Ok(()) = sending.join();
        // Sending and giving up at about the same time.
        let (mut sender, mut receiver) = spsc::channel(1);
        let sending = thread::spawn_on(to, move || {
            let mut random = Random::new(3);
            for value in 0..500u64 {
                thread::sleep(Duration::from_micros(random.below(60)));
                assert_eq!(sender.send(value), Ok(()));
            }
        });
        for value in 0..500 {
            loop {
                match receiver.recv_timeout(Duration::from_micros(30)) {
                    Ok(received) => break assert_eq!(received, value),
                    Err(error) => assert_eq!(error, RecvTimeoutError::Timeout),
                }
            }
        }
        let Ok(()) = sending.join();
    }
}

fn the_last_sender_ends_a_receiver() {
    for (_, to) in neighbours() {
        for round in 0..20 {
            let (sender, mut receiver) = spsc::channel::<u8>(1);
            let (many, mut receiver_of_many) = mpsc::channel::<u8>(1);
            let going: Vec<_> = cores::all()
                .map(|core| {
                    let clone = many.clone();
                    thread::spawn_on(core, move || {
                        thread::sleep(Duration::from_micros(round * 20));
                        drop(clone);
                    })
                })
                .collect();
            drop(many);
            let leaving = thread::spawn_on(to, move || {
                thread::sleep(Duration::from_micros(round * 20));
                drop(sender);
            });
            assert_eq!(receiver.recv(), Err(RecvError));
            assert_eq!(receiver_of_many.recv(), Err(RecvError));
            let Ok(()) = leaving.join();
            going.into_iter().for_each(|thread| thread.join().unwrap());
        }
    }
}

/// Senders that wait for room, on all cores, get their values back.
fn a_receiver_that_goes_ends_its_senders() {
    for (_, to) in neighbours() {
        for round in 0..20u64 {
            let (mut sender, receiver) = spsc::channel(1);
            let (many, receiver_of_many) = mpsc::channel(1);
            let sending = thread::spawn_on(to, move || {
                // There is room for one, if the receiver is still there.
                let first = sender.send(1);
                assert!(matches!(first, Ok(()) | Err(SendError(1))));
                assert_eq!(sender.send(2), Err(SendError(2)));
            });
            let others: Vec<_> = cores::all()
                .chain(cores::all())
                .enumerate()
                .map(|(number, core)| {
                    let many = many.clone();
                    thread::spawn_on(core, move || {
                        // The two of a core share its lane, which holds one value.
                        let refused = [many.send(number), many.send(number)].into_iter().filter_map(Result::err);
                        refused.map(|SendError(value)| assert_eq!(value, number)).count()
                    })
                })
                .collect();
            thread::sleep(Duration::from_micros(round * 20));
            drop((receiver, receiver_of_many));
            let Ok(()) = sending.join();
            let refused: usize = others.into_iter().map(|thread| thread.join().unwrap()).sum();
            assert!(refused >= 3 * cores::count(), "more was sent than there was room for");
        }
    }
}

fn many_to_one_keeps_each_ones_order() {
    const VALUES: usize = 2_000;
    for capacity in [1, 7, 128] {
        let (sender, mut receiver) = mpsc::channel(capacity);
        let senders = 3 * cores::count();
        let threads: Vec<_> = (0..senders)
            .zip(cores::all().cycle())
            .map(|(number, core)| {
                let sender = sender.clone();
                thread::spawn_on(core, move || {
                    let mut random = Random::new(number as u64);
                    for value in 0..VALUES {
                        sender.send((number, value)).expect("the receiver takes everything");
                        pause(&mut random);
                    }
                })
            })
            .collect();
        drop(sender);
        let mut expected = vec![0; senders];
        while let Ok((number, value)) = receiver.recv() {
            assert_eq!(value, expected[number], "a value of sender {number} is lost, or comes late, or twice");
            expected[number] += 1;
        }
        assert!(expected.into_iter().all(|count| count == VALUES), "something is missing at the end");
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// A core that has filled its part of a channel does not keep another from sending.
fn a_full_lane_keeps_its_core_alone() {
    let (sender, mut receiver) = mpsc::channel(2);
    let fill = |sender: &mpsc::Sender<u8>| (0..).take_while(|_| sender.try_send(1).is_ok()).count();
    for core in cores::all() {
        let sender = sender.clone();
        assert_eq!(cores::run_on(core, move || fill(&sender)), 2);
    }
    drop(sender);
    assert_eq!((0..).take_while(|_| receiver.recv().is_ok()).count(), 2 * cores::count());
}

/// Counts itself as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(alive))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Values that nobody received are dropped with the channel, wherever its halves go and whichever goes first.
fn nothing_is_lost_and_nothing_dropped_twice() {
    let alive = Arc::new(AtomicUsize::new(0));
    for (from, to) in neighbours() {
        for is_sender_first in [false, true] {
            let (mut sender, mut receiver) = spsc::channel(10);
            let (many, mut receiver_of_many) = mpsc::channel(10);
            (0..10).for_each(|_| assert!(sender.send(Counted::new(&alive)).is_ok()));
            for core in cores::all() {
                let (many, alive) = (many.clone(), Arc::clone(&alive));
                let send = move || assert!((0..10).all(|_| many.send(Counted::new(&alive)).is_ok()));
                cores::run_on(core, send);
            }
            assert_eq!(alive.load(Ordering::Relaxed), 10 + 10 * cores::count());
            (0..3).for_each(|_| drop((receiver.recv().ok(), receiver_of_many.recv().ok())));
            assert_eq!(alive.load(Ordering::Relaxed), 10 + 10 * cores::count() - 6);
            let drop_senders = move || cores::run_on(from, move || drop((sender, many)));
            let drop_receivers = move || cores::run_on(to, move || drop((receiver, receiver_of_many)));
            if is_sender_first {
                drop_senders();
                drop_receivers();
            } else {
                drop_receivers();
                drop_senders();
            }
            assert_eq!(alive.load(Ordering::Relaxed), 0, "values are lost");
        }
    }
}

/// All cores unpark a thread of each core as fast as they can. It sees the last value, however many wake-ups became one.
fn storms() {
    const UNPARKS: u64 = 5_000;
    let total = UNPARKS * cores::count() as u64;
    let targets: Vec<_> = cores::all()
        .map(|core| {
            let value = Arc::new(AtomicU64::new(0));
            let target = thread::spawn_on(core, {
                let value = Arc::clone(&value);
                move || {
                    let mut parks = 0;
                    while value.load(Ordering::Acquire) < total {
                        thread::park();
                        parks += 1;
                    }
                    parks
                }
            });
            (value, target)
        })
        .collect();
    thread::scope(|scope| {
        for core in cores::all() {
            let targets = &targets;
            let storm = move || {
                for round in 0..UNPARKS {
                    for (value, target) in targets {
                        value.fetch_add(1, Ordering::Release);
                        target.thread().unpark();
                    }
                    if round % 64 == 0 {
                        thread::yield_now();
                    }
                }
            };
            scope.spawn_on(core, storm).expect("memory");
        }
    });
    for (_, target) in targets {
        let Ok(parks) = target.join();
        assert!(parks <= total, "{parks} parks ended, by {total} unparks");
    }
}
