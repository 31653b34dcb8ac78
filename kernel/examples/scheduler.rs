//! Threads on every core, and the order in which they run.
//!
//! ```text
//!   cargo xtask run scheduler --cpus 2
//! ```
//!
//! Threads are cooperative, and each stays on its core: so what the threads of one core do is in an order that can be
//! told beforehand, while the cores run side by side. Every core does the same; the boot core prints what each of them
//! has noted, one core after the other, and the output is the same at every run.
//!
//! | line | what |
//! |---|---|
//! | `yields` | three threads take turns, as each yields after every step |
//! | `sleeps` | threads wake up in the order of their deadlines, not in that in which they were made |
//! | `parks` | parked threads go on in the order in which they are unparked |
//! | `queue` | threads in a wait queue are woken first come, first served |
//! | `visits` | a thread of each core unparks the thread `guest` of the next one, and is waited for |
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::Display;
use core::time::Duration;

use toro::core::{self as cores, CoreId};
use toro::sched::WaitQueue;
use toro::thread::{self, Builder, JoinHandle};
use toro::time::Instant;

toro::entry!(main);

fn main() {
    toro::println!("scheduler: {} cores", cores::count());
    // All of them at once; each result waits until it is its turn to be printed.
    let threads: Vec<_> = cores::all().map(|core| (core, thread::spawn_on(core, one_core))).collect();
    for (core, thread) in threads {
        let Ok(lines) = thread.join();
        lines.iter().for_each(|line| toro::println!("core {core}: {line}"));
    }
    toro::println!("{}", visits());
}

/// What happens on each core.
fn one_core() -> Vec<String> {
    [yields(), sleeps(), parks(), queue()].into()
}

/// What the threads of one core have done, in order. They need no lock, for they change only where they wait.
#[derive(Clone, Default)]
struct Notes(Rc<RefCell<Vec<String>>>);

impl Notes {
    fn add(&self, note: impl Display) {
        self.0.borrow_mut().push(note.to_string());
    }

    /// Waits for the threads that make the notes.
    fn finish(self, what: &str, threads: Vec<JoinHandle<()>>) -> String {
        for thread in threads {
            let Ok(()) = thread.join();
        }
        alloc::format!("{what}: {}", self.0.borrow().join(" "))
    }
}

fn named(name: char, function: impl FnOnce() + 'static) -> JoinHandle<()> {
    Builder::new().name(name.to_string()).spawn(function).expect("there is memory for a thread")
}

fn yields() -> String {
    let notes = Notes::default();
    let worker = |name: char| {
        let notes = notes.clone();
        named(name, move || {
            for step in 1..=3 {
                notes.add(format_args!("{name}{step}"));
                thread::yield_now();
            }
        })
    };
    let threads = ['a', 'b', 'c'].map(worker).into();
    notes.finish("yields", threads)
}

fn sleeps() -> String {
    let notes = Notes::default();
    let start = Instant::now();
    let sleeper = |(name, milliseconds)| {
        let notes = notes.clone();
        named(name, move || {
            // From one moment on, so that the order does not depend on when each of them begins.
            thread::sleep_until(start + Duration::from_millis(milliseconds));
            notes.add(format_args!("{name}{milliseconds}"));
        })
    };
    let threads = [('a', 30), ('b', 10), ('c', 20)].map(sleeper).into();
    notes.finish("sleeps", threads)
}

fn parks() -> String {
    let notes = Notes::default();
    let parker = |name: char| {
        let notes = notes.clone();
        named(name, move || {
            thread::park();
            notes.add(name);
        })
    };
    let threads: Vec<_> = ['a', 'b', 'c'].map(parker).into();
    // They run now, up to where they park.
    thread::yield_now();
    notes.add("(all parked)");
    threads.iter().rev().for_each(|thread| thread.thread().unpark());
    notes.finish("parks", threads)
}

fn queue() -> String {
    let notes = Notes::default();
    let queue = Rc::new(WaitQueue::new());
    let waiter = |name: char| {
        let (notes, queue) = (notes.clone(), Rc::clone(&queue));
        named(name, move || {
            queue.wait();
            notes.add(name);
        })
    };
    let threads: Vec<_> = ['a', 'b', 'c'].map(waiter).into();
    thread::yield_now();
    queue.wake_one();
    thread::yield_now();
    notes.add("(one woken)");
    queue.wake_all();
    notes.finish("queue", threads)
}

/// On every core the thread `guest` parks; the guest of the core before unparks it and goes. The main thread unparks
/// the first.
fn visits() -> String {
    let mut next: Option<thread::Thread> = None;
    let mut guests: Vec<JoinHandle<CoreId>> = Vec::new();
    for core in cores::all().rev() {
        let after = next.take();
        let body = move || {
            thread::park();
            let here = cores::current();
            if let Some(after) = after {
                after.unpark();
            }
            here
        };
        let guest =
            Builder::new().name("guest".to_string()).spawn_on(core, body).expect("there is memory for a thread");
        next = Some(guest.thread().clone());
        guests.push(guest);
    }
    if let Some(first) = next {
        first.unpark();
    }
    let seen = guests.into_iter().rev().map(|guest| {
        let Ok(core) = guest.join();
        core.to_string()
    });
    alloc::format!("visits: {}", seen.collect::<Vec<_>>().join(" "))
}
