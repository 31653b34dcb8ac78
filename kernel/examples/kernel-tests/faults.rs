//! Programs that go wrong, each in one way.

use alloc::string::String;
use alloc::vec::Vec;
use core::arch::asm;
use core::hint::black_box;

use toro::sched::WaitQueue;
use toro::thread::Builder;

pub fn panic() {
    let empty: [u8; 0] = black_box([]);
    toro::println!("unreachable: {}", empty[black_box(3)]);
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
