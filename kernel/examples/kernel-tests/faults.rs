//! Programs that go wrong, each in one way.
//!
//! They run on the core that the word `core=N` names, in a thread `worker`, or in the main thread without it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::arch::asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicUsize, Ordering};

use toro::core as cores;
use toro::sched::WaitQueue;
use toro::thread::{self, Builder};
use toro::time::{Duration, Instant};

use crate::crew::last_core;

pub fn panic() {
    let empty: [u8; 0] = black_box([]);
    toro::println!("unreachable: {}", empty[black_box(3)]);
}

pub fn unwrap() {
    let nothing: Option<u32> = black_box(None);
    toro::println!("unreachable: {}", nothing.unwrap());
}

/// One assertion that does not hold, on the last core, as a test's would.
pub fn planted() {
    let two = black_box(2);
    cores::run_on(last_core(), move || assert_eq!(two + two, 5, "as planted"));
}

pub fn out_of_memory() {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    loop {
        // Smaller and smaller pieces, so that it is really all of it.
        let size = [1 << 20, 1 << 14, 100].into_iter().find(|&size| {
            let mut piece = Vec::new();
            let fits = piece.try_reserve_exact(size).is_ok();
            if fits {
                pieces.push(piece);
            }
            fits
        });
        if size.is_none() {
            pieces.push(Vec::with_capacity(100));
        }
    }
}

pub fn deadlock() {
    WaitQueue::new().wait();
}

pub fn null() {
    // SAFETY: none is needed for a load that faults, as page 0 is not mapped; if it does not, the test fails.
    unsafe { asm!("mov {0}, [{0}]", inout(reg) 0u64 => _, options(readonly, nostack)) };
}

pub fn text() {
    let code = panic as *const () as u64;
    // SAFETY: the store faults, as code is not writable; if it does not, the test fails.
    unsafe { asm!("mov byte ptr [{}], 0xcc", in(reg) code, options(nostack)) };
}

pub fn execute() {
    let return_instruction = [0xC3u8; 16];
    // SAFETY: the call faults, as no data can be executed; if it does not, it returns at once and the test fails.
    unsafe { asm!("call {}", in(reg) return_instruction.as_ptr(), clobber_abi("sysv64")) };
}

pub fn divide() {
    // SAFETY: the division faults; otherwise it changes only the registers that are named.
    unsafe { asm!("div {:r}", in(reg) 0u64, inout("rax") 1u64 => _, inout("rdx") 0u64 => _, options(nostack)) };
}

pub fn overflow() {
    fn deeper(level: u64) -> u64 {
        if level == u64::MAX {
            return level;
        }
        let frame = black_box([level; 100]);
        deeper(level + 1) + frame[(level % 100) as usize]
    }
    let builder = Builder::new().name(String::from("deep"));
    let Ok(depth) = builder.spawn(|| deeper(0)).expect("there is memory for a thread").join();
    toro::println!("unreachable: {depth}");
}

/// A page fault for which the vector table has no handler: it cannot be delivered, which is a double fault.
pub fn double_fault() {
    const ENTRIES: usize = 256;
    #[repr(C, packed)]
    struct Pointer {
        limit: u16,
        base: u64,
    }
    let mut pointer = Pointer { limit: 0, base: 0 };
    // SAFETY: stores ten bytes at a place that has them.
    unsafe { asm!("sidt [{}]", in(reg) &raw mut pointer, options(nostack)) };
    let table = pointer.base as *const [u128; ENTRIES];
    // SAFETY: the processor reads the table from there, so it is mapped; it is aligned, as the kernel declares it with
    // that alignment, and nobody writes to it after the boot.
    let mut table: Box<[u128; ENTRIES]> = Box::new(unsafe { table.read() });
    // Page fault: not present.
    table[14] = 0;
    let table = Box::leak(table);
    let pointer = Pointer { limit: (size_of_val(table) - 1) as u16, base: (&raw const *table).addr() as u64 };
    // SAFETY: a copy of the table that was loaded, which stays; what lacks a handler becomes a double fault, which has
    // one that ends the machine.
    unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(readonly, nostack)) };
    null();
}

/// Lets the calling cores go on at the same moment, as nearly as can be: the last of `cores` to come lets all go.
fn meet(cores: usize) {
    static ARRIVED: AtomicUsize = AtomicUsize::new(0);
    ARRIVED.fetch_add(1, Ordering::SeqCst);
    while ARRIVED.load(Ordering::SeqCst) < cores {
        core::hint::spin_loop();
    }
}

/// A panic on every core but the last, which has a page fault, all at once.
pub fn everywhere() {
    let fail = || {
        meet(cores::count());
        if cores::current() == last_core() {
            null();
        }
        panic();
    };
    let threads: Vec<_> = cores::all().map(|core| thread::spawn_on(core, fail)).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// A panic here while all other cores print lines without end.
pub fn among_lines() {
    static PRINTED: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];
    let others: Vec<_> = cores::all().filter(|&core| core != cores::current()).collect();
    let chatter = || {
        for number in 0u64.. {
            toro::println!("line {number:020} of core {:02} ends here", cores::current());
            PRINTED[cores::current().index()].fetch_add(1, Ordering::Relaxed);
        }
    };
    others.iter().for_each(|&core| drop(thread::spawn_on(core, chatter)));
    while others.iter().any(|core| PRINTED[core.index()].load(Ordering::Relaxed) < 20) {
        thread::yield_now();
    }
    panic();
}

/// Holds the core for three seconds, and then goes on as if nothing was.
pub fn spin() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        core::hint::spin_loop();
    }
}
