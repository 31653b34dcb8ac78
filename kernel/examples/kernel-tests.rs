//! The kernel's tests of itself, one per boot: the command line word `test=NAME` selects, the exit status is the verdict.
//!
//! | test | what | exit status |
//! |---|---|---|
//! | `threads` | a thousand threads, joining, sleeping in order, wait queues, locks | 0 |
//! | `cores` | threads on other cores, calls, parking, scopes, stacks; the word `cores=N` says how many there are | 0 |
//! | `memory` | the heap under stress, and what the page tables allow | 0 |
//! | `time` | both clocks and sleeping | 0 |
//! | `interrupts` | registers survive interrupts at arbitrary instructions | 0 |
//! | `remote-files` | files of a share from every core: see `remote_files.rs` | 0, or 1 and why |
//! | `remote-files-exit` | the end, called by the last core, while all cores read files | 42 |
//! | `ring` | the queue of a virtio disk under load: see `ring.rs` | 0, or 1 and why |
//! | `ring-mistake` | the disk asks for a reset after a wrong request | 0, or 1 and why |
//! | `panic` | a panic | 101 |
//! | `oom` | running out of memory | 101 |
//! | `deadlock` | every thread waits for ever | 101 |
//! | `null` | a load from address 0 | 102 |
//! | `text` | a store into the kernel's code | 102 |
//! | `execute` | a jump into data | 102 |
//! | `divide` | a division by zero | 102 |
//! | `ud` | an undefined instruction | 102 |
//! | `overflow` | a stack overflow in a thread | 102 |
//! | `exit` | `process::exit(42)` | 42 |
//! | `error` | `main` returns an error | 1 |
#![no_std]
#![no_main]

extern crate alloc;

#[path = "kernel-tests/cores.rs"]
mod cores;
#[path = "kernel-tests/faults.rs"]
mod faults;
#[path = "kernel-tests/interrupts.rs"]
mod interrupts;
#[path = "kernel-tests/memory.rs"]
mod memory;
#[path = "kernel-tests/remote_files.rs"]
mod remote_files;
#[path = "kernel-tests/ring.rs"]
mod ring;
#[path = "kernel-tests/threads.rs"]
mod threads;
#[path = "kernel-tests/time.rs"]
mod time;

use alloc::string::{String, ToString};

toro::entry!(main, drivers: [ring::DRIVER]);

fn main() -> Result<(), String> {
    match toro::env::option("test") {
        Some("threads") => threads::run(),
        Some("cores") => cores::run(),
        Some("memory") => memory::run(),
        Some("time") => time::run(),
        Some("interrupts") => interrupts::run(),
        Some("remote-files") => remote_files::run()?,
        Some("remote-files-exit") => remote_files::exit()?,
        Some("ring") => ring::run()?,
        Some("ring-mistake") => ring::mistake()?,
        Some("panic") => faults::panic(),
        Some("oom") => faults::out_of_memory(),
        Some("deadlock") => faults::deadlock(),
        Some("null") => faults::null(),
        Some("text") => faults::text(),
        Some("execute") => faults::execute(),
        Some("divide") => faults::divide(),
        Some("ud") => toro::arch::cpu::undefined_instruction(),
        Some("overflow") => faults::overflow(),
        Some("exit") => toro::process::exit(42),
        Some("error") => return Err("as requested".to_string()),
        _ => return Err("the command line word test=NAME is missing or names no test".to_string()),
    }
    toro::println!("passed");
    Ok(())
}
