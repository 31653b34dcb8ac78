//! Very many of everything, every single one checked, and no memory lost.
//!
//! | word | what |
//! |---|---|
//! | `spawns=N` | threads made and joined, on the maker's core and on the next one in turn |
//! | `switches=N` | yields of four threads on each core |
//! | `messages=N` | values through rings between neighbouring cores, and for each fifty of them an answer waited for |
//! | `pieces=N` | pieces of memory that one core allocates, and the next one checks and frees |
//!
//! All of them are totals over all cores. Everything runs twice, first a small part; the memory that is free after the
//! first time is free after the second one as well, but for what pools may keep.

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use toro::core as cores;
use toro::mm;
use toro::sync::spsc;
use toro::thread::{self, Builder};
use toro::time::Instant;

use crate::crew::{Random, count, crew, neighbours};
use crate::memory::is_filled;

const STACK: usize = 16 * 1024;
/// Threads of one maker at a time.
const BATCH: u64 = 32;
/// Messages for each answer.
const ANSWERS: u64 = 50;
/// The first time is this much smaller.
const WARM_UP: u64 = 20;
/// What the second time may keep: pools of stacks and the heap's extents do not fill up alike each time.
const SLACK_PER_CORE: u64 = 2 << 20;
/// And what lists of the kernel may have grown by that only grow.
const HEAP_SLACK_PER_CORE: usize = 16 << 10;

pub fn run() {
    let counts = Counts {
        spawns: count("spawns", 1_000_000),
        switches: count("switches", 10_000_000),
        messages: count("messages", 10_000_000),
        pieces: count("pieces", 1_000_000),
    };
    let Counts { spawns, switches, messages, pieces } = counts;
    round(&Counts {
        spawns: spawns / WARM_UP,
        switches: switches / WARM_UP,
        messages: messages / WARM_UP,
        pieces: pieces / WARM_UP,
    });
    let (free_before, used_before) = settled_memory();
    round(&counts);
    let (free, used) = settled_memory();
    toro::println!("stress: {} KiB were free, {} KiB are", free_before / 1024, free / 1024);
    toro::println!("stress: {used_before} bytes of the heap were in use, {used} are");
    let cores = cores::count();
    assert!(free + SLACK_PER_CORE * cores as u64 >= free_before, "memory is lost");
    assert!(used <= used_before + HEAP_SLACK_PER_CORE * cores, "pieces of the heap are lost");
}

struct Counts {
    spawns: u64,
    switches: u64,
    messages: u64,
    pieces: u64,
}

/// What is done, how often in all, and how.
type Part = (&'static str, u64, fn(u64));

fn round(counts: &Counts) {
    let answers_asked = counts.messages / ANSWERS;
    let parts: [Part; 5] = [
        ("threads", counts.spawns, spawning),
        ("switches", counts.switches, switching),
        ("messages", counts.messages, messages),
        ("answers", answers_asked, answers),
        ("pieces", counts.pieces, pieces),
    ];
    for (what, total, part) in parts {
        let start = Instant::now();
        part(total);
        toro::println!("stress: {total} {what} in {:.1?}", start.elapsed());
    }
}

/// The memory that is free, and the bytes of the heap that are in use, when every core has passed by, so that what was
/// unmapped or freed elsewhere can be used again, and has done so.
fn settled_memory() -> (u64, usize) {
    let settle = || {
        thread::spawn(thread::yield_now).join().unwrap();
        mm::heap::collect();
        mm::heap::allocated()
    };
    cores::all().for_each(|core| {
        cores::run_on(core, settle);
    });
    let in_use = cores::all().map(|core| cores::run_on(core, settle)).sum();
    (mm::free_memory(), in_use)
}

toro::thread_local! {
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

fn spawning(total: u64) {
    let share = total / cores::count() as u64;
    crew(1, |maker| {
        let here = cores::current();
        let others: Vec<_> = cores::all().filter(|&core| core != here).collect();
        let mut batch = Vec::new();
        for number in 0..share {
            let core = match others.get((number / 2) as usize % others.len().max(1)) {
                Some(&other) if number % 2 == 1 => other,
                _ => here,
            };
            let body = move || {
                NUMBER.set(number);
                if number % 7 == 0 {
                    thread::yield_now();
                }
                (cores::current(), NUMBER.get())
            };
            batch.push((core, number, Builder::new().stack_size(STACK).spawn_on(core, body).expect("memory")));
            if batch.len() as u64 == BATCH || number + 1 == share {
                for (core, number, thread) in batch.drain(..) {
                    assert_eq!(thread.join(), Ok((core, number)));
                }
            }
            progress("threads", maker, number, share);
        }
    });
}

/// Four threads in turn: each finds the number that the one before has left.
fn switching(total: u64) {
    const THREADS: u64 = 4;
    let turns = total / cores::count() as u64 / THREADS;
    crew(1, |maker| {
        let number = Rc::new(Cell::new(0));
        let threads: Vec<_> = (0..THREADS)
            .map(|place| {
                let number = number.clone();
                thread::spawn(move || {
                    for turn in 0..turns {
                        assert_eq!(number.get(), turn * THREADS + place, "it is another thread's turn");
                        number.set(number.get() + 1);
                        thread::yield_now();
                        if place == 0 {
                            progress("turns", maker, turn, turns);
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(number.get(), turns * THREADS);
    });
}

/// A ring from each core to the next.
fn messages(total: u64) {
    let share = total / cores::count() as u64;
    let pairs: Vec<_> = neighbours()
        .map(|(from, to)| {
            let (mut sender, mut receiver) = spsc::channel(256);
            let sending = thread::spawn_on(from, move || {
                (0..share).for_each(|number| sender.send([number, !number]).expect("everything is received"));
            });
            let receiving = thread::spawn_on(to, move || {
                for number in 0..share {
                    assert_eq!(receiver.recv(), Ok([number, !number]));
                    progress("messages", to.index(), number, share);
                }
                assert!(receiver.recv().is_err());
            });
            (sending, receiving)
        })
        .collect();
    for (sending, receiving) in pairs {
        let (Ok(()), Ok(())) = (sending.join(), receiving.join());
    }
}

/// From each core to the next and back, one at a time.
fn answers(total: u64) {
    let share = total / cores::count() as u64;
    let pairs: Vec<_> = neighbours()
        .map(|(from, to)| {
            let (mut ask, mut asked) = spsc::channel(1);
            let (mut answer, mut answered) = spsc::channel(1);
            let asking = thread::spawn_on(from, move || {
                for number in 0..share {
                    ask.send(number).expect("it is listened to");
                    assert_eq!(answered.recv(), Ok(number.wrapping_mul(3)));
                    progress("answers", from.index(), number, share);
                }
            });
            let answering = thread::spawn_on(to, move || {
                while let Ok(number) = asked.recv() {
                    answer.send(u64::wrapping_mul(number, 3)).expect("somebody waits for the answer");
                }
            });
            (asking, answering)
        })
        .collect();
    for (asking, answering) in pairs {
        let (Ok(()), Ok(())) = (asking.join(), answering.join());
    }
}

/// Allocated here, written, sent to the next core, checked and freed there.
fn pieces(total: u64) {
    let share = total / cores::count() as u64;
    let pairs: Vec<_> = neighbours()
        .map(|(from, to)| {
            let (mut sender, mut receiver) = spsc::channel::<Vec<u8>>(64);
            let sending = thread::spawn_on(from, move || {
                let mut random = Random::new(8);
                for number in 0..share {
                    // Some are pieces of whole frames.
                    let bound = if number % 1024 == 0 { 300_000 } else { 2_000 };
                    sender.send(vec![number as u8; 1 + random.below(bound) as usize]).expect("all are received");
                }
            });
            let receiving = thread::spawn_on(to, move || {
                for number in 0..share {
                    let piece = receiver.recv().expect("all are sent");
                    assert!(is_filled(&piece, number as u8), "a piece of memory was overwritten");
                    progress("pieces", to.index(), number, share);
                }
            });
            (sending, receiving)
        })
        .collect();
    for (sending, receiving) in pairs {
        let (Ok(()), Ok(())) = (sending.join(), receiving.join());
    }
}

/// Says how far core 0 is, ten times in all.
fn progress(what: &str, core: usize, number: u64, total: u64) {
    let tenth = total / 10;
    if core == 0 && tenth > 0 && (number + 1).is_multiple_of(tenth) {
        toro::println!("stress: core 0: {} of {total} {what}", number + 1);
    }
}
