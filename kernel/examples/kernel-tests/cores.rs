//! Several cores: starting threads on them, joining, waking, calling, and what belongs to one core.

use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use toro::arch::interrupt;
use toro::core::{self as cores, CoreId};
use toro::thread::{self, Builder};
use toro::time::{Duration, Instant};

pub fn run() {
    let expected: usize = toro::env::option("cores").and_then(|word| word.parse().ok()).unwrap_or(1);
    assert_eq!(cores::count(), expected, "not all cores came");
    assert_eq!(cores::current(), CoreId::BOOT);
    calls();
    clocks_agree();
    threads_stay();
    parking();
    scopes();
    waking_from_sleep();
    stacks_travel();
    locals();
    cores_that_are_awake_are_not_interrupted();
}

/// A core that never sleeps gets thousands of wake-ups, and no interrupt for them: only its timer's, once a second.
fn cores_that_are_awake_are_not_interrupted() {
    const WAKES: u64 = 5000;
    let Some(other) = cores::all().find(|&core| core != cores::current()) else { return };
    let (woken, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
    let busy = {
        let stop = Arc::clone(&stop);
        thread::spawn_on(other, move || {
            let before = interrupt::count();
            while stop.load(Ordering::Relaxed) == 0 {
                thread::yield_now();
            }
            interrupt::count() - before
        })
    };
    let sleeper = {
        let woken = Arc::clone(&woken);
        thread::spawn_on(other, move || {
            for _ in 0..WAKES {
                thread::park();
                woken.fetch_add(1, Ordering::Release);
            }
        })
    };
    for number in 0..WAKES {
        sleeper.thread().unpark();
        while woken.load(Ordering::Acquire) <= number {
            thread::yield_now();
        }
    }
    stop.store(1, Ordering::Relaxed);
    let (Ok(()), Ok(interrupts)) = (sleeper.join(), busy.join());
    assert!(interrupts < WAKES / 5, "{interrupts} interrupts for {WAKES} wake-ups of a core that was awake");
}

fn last() -> CoreId {
    cores::all().last().expect("there is at least one core")
}

fn calls() {
    for core in cores::all() {
        assert_eq!(cores::run_on(core, cores::current), core);
    }
    assert!(CoreId::new(cores::count()).is_none());
    // Calls from everywhere to everywhere, at once.
    let callers: Vec<_> = cores::all()
        .map(|from| {
            thread::spawn_on(from, move || {
                let calls = cores::all().cycle().take(50 * cores::count());
                calls.map(|to| cores::run_on(to, move || (cores::current() == to) as u64)).sum::<u64>()
            })
        })
        .collect();
    let sum: u64 = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
    assert_eq!(sum, 50 * (cores::count() * cores::count()) as u64);
}

/// What happens after something else on another core is not earlier.
fn clocks_agree() {
    let mut last = Instant::now();
    for core in cores::all().cycle().take(20 * cores::count()) {
        let now = cores::run_on(core, Instant::now);
        assert!(now >= last, "core {core} is behind: {now:?}, {last:?}");
        last = now;
    }
}

/// A thread is on its core before and after each kind of waiting point.
fn threads_stay() {
    let threads: Vec<_> = cores::all()
        .map(|core| {
            let body = move || {
                for _ in 0..20 {
                    assert_eq!(cores::current(), core);
                    thread::yield_now();
                    assert_eq!(cores::current(), core);
                    thread::sleep(Duration::from_micros(200));
                    assert_eq!(cores::current(), core);
                    let other = cores::run_on(last(), cores::current);
                    assert_eq!((cores::current(), other), (core, last()));
                }
                assert_eq!(thread::current().core(), core);
            };
            let thread = Builder::new().spawn_on(core, body).expect("memory");
            assert_eq!(thread.thread().core(), core);
            thread
        })
        .collect();
    for thread in threads {
        let Ok(()) = thread.join();
    }
}

/// A ring of threads over all cores, each unparks the next; and tokens that come before they are waited for.
fn parking() {
    thread::current().unpark();
    thread::park();
    let before = Instant::now();
    thread::park_timeout(Duration::from_millis(5));
    assert!(before.elapsed() >= Duration::from_millis(5));

    const ROUNDS: u64 = 200;
    let turn = Arc::new(AtomicU64::new(0));
    let members = cores::count().max(2) as u64;
    let threads: Vec<_> = (0..members)
        .zip(cores::all().cycle())
        .map(|(number, core)| {
            let turn = Arc::clone(&turn);
            thread::spawn_on(core, move || {
                thread::park();
                // Who is next comes with the first wake-up, in a thread-local of the spawner: see below.
                for round in 0..ROUNDS {
                    while turn.load(Ordering::Acquire) != round * members + number {
                        thread::park();
                    }
                    turn.fetch_add(1, Ordering::AcqRel);
                    if let Some(next) = NEXT.lock().get((number as usize + 1) % members as usize) {
                        next.unpark();
                    }
                }
            })
        })
        .collect();
    *NEXT.lock() = threads.iter().map(|thread| thread.thread().clone()).collect();
    threads.iter().for_each(|thread| thread.thread().unpark());
    for thread in threads {
        let Ok(()) = thread.join();
    }
    assert_eq!(turn.load(Ordering::Acquire), ROUNDS * members);
    NEXT.lock().clear();
}

static NEXT: toro::sync::Mutex<Vec<thread::Thread>> = toro::sync::Mutex::new(Vec::new());

fn scopes() {
    let numbers: Vec<u64> = (0..10_000).collect();
    let visits = AtomicUsize::new(0);
    let sum: u64 = thread::scope(|scope| {
        let parts: Vec<_> = numbers
            .chunks(1000)
            .zip(cores::all().cycle())
            .map(|(part, core)| {
                let visits = &visits;
                let body = move || {
                    visits.fetch_add(1, Ordering::Relaxed);
                    part.iter().sum::<u64>()
                };
                scope.spawn_on(core, body).expect("memory")
            })
            .collect();
        // One that nobody joins is waited for all the same.
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(2));
            visits.fetch_add(100, Ordering::Relaxed);
        });
        parts.into_iter().map(|part| part.join().unwrap()).sum()
    });
    assert_eq!(sum, 9_999 * 5_000);
    assert_eq!(visits.into_inner(), 110);
}

/// Each core sleeps for a while, longer than it polls, and is woken by a call.
fn waking_from_sleep() {
    for round in 0..20u64 {
        thread::sleep(Duration::from_micros(200 + round * 50));
        for core in cores::all() {
            assert_eq!(cores::run_on(core, move || round), round);
        }
    }
}

/// Many threads made here that end there: their stacks are unmapped there while all cores run, and used again.
fn stacks_travel() {
    let mut free = u64::MAX;
    for round in 0..6 {
        let threads: Vec<_> = (0..150u64)
            .zip(cores::all().rev().cycle())
            .map(|(number, core)| {
                let body = move || {
                    let page = [number as u8; 5000];
                    thread::yield_now();
                    ::core::hint::black_box(&page).iter().map(|&byte| u64::from(byte)).sum::<u64>()
                };
                Builder::new().stack_size(16 * 1024).spawn_on(core, body).expect("memory")
            })
            .collect();
        for (number, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join(), Ok(number as u64 * 5000));
        }
        // Every core passes by, so that what was unmapped can be used again.
        cores::all().for_each(|core| cores::run_on(core, thread::yield_now));
        if round == 2 {
            free = toro::mm::free_memory();
        }
    }
    // Each core keeps up to 64 of them ready.
    let kept = cores::count() as u64 * 64 * 16 * 1024;
    let left = toro::mm::free_memory();
    assert!(left + (4 << 20) + kept >= free, "memory of stacks is lost: {free} bytes were free, {left} are");
}

toro::thread_local! {
    static COUNT: Cell<u32> = const { Cell::new(0) };
    static NOISY: Noisy = Noisy(Rc::new(()));
}

static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// Not `Send`, and counts how many are gone.
struct Noisy(#[allow(dead_code, reason = "it is there to be dropped")] Rc<()>);

impl Drop for Noisy {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

fn locals() {
    let threads: Vec<_> = (0..30u32)
        .zip(cores::all().cycle())
        .map(|(number, core)| {
            thread::spawn_on(core, move || {
                for step in 0..number {
                    assert_eq!(COUNT.get(), step, "another thread has changed this one's value");
                    COUNT.set(step + 1);
                    NOISY.with(|_| thread::yield_now());
                }
                COUNT.get()
            })
        })
        .collect();
    let counts: Vec<u32> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(counts.iter().copied().eq(0..30));
    assert_eq!(DROPPED.load(Ordering::Relaxed), 29, "each thread but the first had one");
    assert_eq!(COUNT.get(), 0);
}
