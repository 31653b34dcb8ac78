//! What the kernel says when a program goes wrong: one fault, chosen on the command line, on a core of one's choice.
//!
//! ```text
//!   cargo xtask run exceptions --cpus 2 --append "fault=page core=1"
//! ```
//!
//! The word `fault=` names what shall happen, `core=` where (0 without it); it happens in the thread `victim`. Without a
//! fault the program lists them and ends with status 0.
//!
//! | `fault=` | what happens | exit status |
//! |---|---|---|
//! | `panic` | an index out of bounds | 101 |
//! | `oom` | more memory than there is | 101 |
//! | `divide` | a division by zero, in machine code: Rust's own would panic | 102 |
//! | `ud` | an undefined instruction | 102 |
//! | `protection` | a load from an address that no processor has | 102 |
//! | `page` | a load from the address 0 | 102 |
//! | `write` | a store into the program's code | 102 |
//! | `execute` | a jump into data | 102 |
//! | `overflow` | a recursion without end | 102 |
//!
//! # What a report looks like
//!
//! All other cores stop. The first line says what, in which thread, on which core and at which instruction; for a page
//! fault also the address that was wanted. A stack that has overflowed is told as such, with the thread's name. Then
//! come the registers and the chain of calls, which `xtask run` translates into functions and lines:
//!
//! ```text
//! fault in thread `victim` on core 1: page fault (vector 14, error 0x0) at 0x0000000000101c53, address 0x0000000000000000
//!   rax=0x0000000000000000 rbx=0x... ...
//! backtrace:
//!   #0 0x0000000000101c53 exceptions::page at kernel/examples/exceptions.rs:120:14
//!   #1 0x0000000000102a10 ...
//! [toro] exit status 102
//! ```
//!
//! Unlike `kernel-tests`, this is to be looked at: the faults are made as a program would make them.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::arch::asm;
use core::hint::black_box;

use toro::core::CoreId;
use toro::thread::Builder;

toro::entry!(main);

/// A way to go wrong.
struct Fault {
    name: &'static str,
    what: &'static str,
    /// Does not return.
    commit: fn(),
}

const FAULTS: [Fault; 9] = [
    Fault { name: "panic", what: "an index out of bounds", commit: panic },
    Fault { name: "oom", what: "more memory than there is", commit: out_of_memory },
    Fault { name: "divide", what: "a division by zero", commit: divide },
    Fault { name: "ud", what: "an undefined instruction", commit: undefined },
    Fault { name: "protection", what: "a load from an address that no processor has", commit: protection },
    Fault { name: "page", what: "a load from the address 0", commit: page },
    Fault { name: "write", what: "a store into the program's code", commit: write },
    Fault { name: "execute", what: "a jump into data", commit: execute },
    Fault { name: "overflow", what: "a recursion without end", commit: overflow },
];

fn main() -> Result<(), String> {
    let Some(name) = toro::env::option("fault") else {
        toro::println!("exceptions: choose one with the command line word fault=NAME, and a core with core=N");
        FAULTS.iter().for_each(|fault| toro::println!("  {:10}  {}", fault.name, fault.what));
        return Ok(());
    };
    let fault = FAULTS.iter().find(|fault| fault.name == name);
    let fault = fault.ok_or_else(|| alloc::format!("fault={name}: there is no such fault"))?;
    let word = toro::env::option("core").unwrap_or("0");
    let core = word.parse().ok().and_then(CoreId::new);
    let core = core.ok_or_else(|| alloc::format!("core={word}: there are {} cores", toro::core::count()))?;
    toro::println!("exceptions: {} on core {core}", fault.what);
    let victim = Builder::new().name("victim".to_string()).spawn_on(core, fault.commit);
    let Ok(()) = victim.map_err(|error| error.to_string())?.join();
    Err(alloc::format!("fault={name}: nothing happened"))
}

fn panic() {
    let numbers = black_box([1, 2, 3]);
    toro::println!("unreachable: {}", numbers[black_box(3)]);
}

fn out_of_memory() {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    loop {
        pieces.push(black_box(alloc::vec![0; 1 << 16]));
    }
}

fn divide() {
    // SAFETY: the division faults; otherwise it changes only the registers that are named.
    unsafe { asm!("div {:r}", in(reg) 0_u64, inout("rax") 1_u64 => _, inout("rdx") 0_u64 => _, options(nostack)) };
}

fn undefined() {
    toro::arch::cpu::undefined_instruction();
}

fn protection() {
    load(1 << 63);
}

fn page() {
    load(0);
}

/// A load that faults: from where nothing is.
#[inline(always)]
fn load(address: u64) {
    // SAFETY: nothing is mapped at the addresses that this file loads from, so the load has no result.
    unsafe { asm!("mov {0}, [{0}]", inout(reg) address => _, options(readonly, nostack)) };
}

fn write() {
    let code = page as fn() as usize;
    // SAFETY: the store faults, as code is not writable, and changes nothing.
    unsafe { asm!("mov byte ptr [{}], 0xcc", in(reg) code, options(nostack)) };
}

fn execute() {
    let return_instruction = [0xC3_u8; 16];
    // SAFETY: the call faults, as no data can be executed; if it does not, it returns at once.
    unsafe { asm!("call {}", in(reg) return_instruction.as_ptr(), clobber_abi("sysv64")) };
}

fn overflow() {
    fn deeper(level: u64) -> u64 {
        if level == u64::MAX {
            return level;
        }
        let frame = black_box([level; 100]);
        deeper(level + 1) + frame[(level % 100) as usize]
    }
    toro::println!("unreachable: {}", deeper(0));
}
