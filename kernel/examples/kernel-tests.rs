//! The kernel's tests of itself. The command line word `test=NAME`, or `test=NAME,NAME`, selects; the exit status is the
//! verdict.
//!
//! | test | what | exit status |
//! |---|---|---|
//! | `threads` | a thousand threads, joining, sleeping in order, wait queues, locks | 0 |
//! | `cores` | threads on other cores, calls, parking, scopes, stacks; the word `cores=N` says how many there are | 0 |
//! | `answer` | a server on every core with a network interface, until it has answered the word `connections=N` | 0 |
//! | `sockets` | sockets of both interfaces, against each other: see `sockets.rs` for its word | 0, or 101 and why |
//! | `socket-limits` | how many sockets there may be: see `sockets/limits.rs` for its words | 0 |
//! | `loopback` | every core talks to itself, over TCP and UDP | 0 |
//! | `messages` | messages between all cores, and waiting for them | 0 |
//! | `sync` | locks, conditions, barriers, groups, among threads of all cores that wait inside | 0 |
//! | `channels` | channels between all cores: order, room, time, ends; unparking | 0 |
//! | `timers` | `sleepers=N` threads on each core sleep in order; deadlines near and far | 0 |
//! | `stress` | very many of everything, and no memory lost: see `stress.rs` for its words | 0 |
//! | `float` | floating point in threads that stop in the middle, to the last bit | 0 |
//! | `machine` | all memory, and disks with buffers above 4 GiB: see `machine.rs` for its words | 0, or 1 and why |
//! | `memory` | the heap under stress, and what the page tables allow | 0 |
//! | `time` | both clocks and sleeping | 0 |
//! | `interrupts` | registers survive interrupts at arbitrary instructions | 0 |
//! | `spin` | holds the core for three seconds, for the watchdog | 0 |
//! | `remote-files` | files of a share from every core: see `remote_files.rs` | 0, or 1 and why |
//! | `remote-files-exit` | the end, called by the last core, while all cores read files | 42 |
//! | `files-write` | files on a disk, changed in every way from every core: see `files_write.rs` for its words | 0, or 1 and why |
//! | `files-kept` | what `files-write` left, after another boot | 0, or 1 and why |
//! | `files-read-only` | a disk that cannot be written | 0, or 1 and why |
//! | `block` | disks from every core, which are overwritten: see `block.rs` for its words | 0, or 1 and why |
//! | `disk-resize` | a disk that is resized meanwhile: see `disk_resize.rs` for its word | 0, or 1 and why |
//! | `ring` | the queue of a virtio disk under load: see `ring.rs` | 0, or 1 and why |
//! | `ring-mistake` | the disk asks for a reset after a wrong request | 0, or 1 and why |
//! | `ata` | disks of an IDE controller: see `ata.rs` | 0, or 1 and why |
//! | `panic` | a panic | 101 |
//! | `unwrap` | a value that is not there | 101 |
//! | `planted` | an assertion on the last core that does not hold | 101 |
//! | `oom` | running out of memory | 101 |
//! | `deadlock` | every thread waits for ever | 101 |
//! | `among-lines` | a panic while all other cores print | 101 |
//! | `everywhere` | a panic or a fault on all cores at once | 101 or 102 |
//! | `null` | a load from address 0 | 102 |
//! | `text` | a store into the kernel's code | 102 |
//! | `execute` | a jump into data | 102 |
//! | `divide` | a division by zero | 102 |
//! | `ud` | an undefined instruction | 102 |
//! | `double` | a page fault that cannot be delivered | 102 |
//! | `overflow` | a stack overflow in a thread | 102 |
//! | `exit` | `process::exit(42)` | 42 |
//! | `reboot` | `process::reboot()` | 125, for QEMU has `-no-reboot` |
//! | `error` | `main` returns an error | 1 |
//!
//! With the word `core=N` a test runs on that core, in a thread `worker`, and not in the main thread.
#![no_std]
#![no_main]

extern crate alloc;

#[path = "kernel-tests/answer.rs"]
mod answer;
#[cfg(feature = "ata")]
#[path = "kernel-tests/ata.rs"]
mod ata_disks;
#[path = "kernel-tests/block.rs"]
mod block;
#[path = "kernel-tests/channels.rs"]
mod channels;
#[path = "kernel-tests/cores.rs"]
mod cores;
#[path = "kernel-tests/crew.rs"]
mod crew;
#[path = "kernel-tests/disk_resize.rs"]
mod disk_resize;
#[path = "kernel-tests/faults.rs"]
mod faults;
#[path = "kernel-tests/files_write.rs"]
mod files_write;
#[path = "kernel-tests/float.rs"]
mod float;
#[path = "kernel-tests/interrupts.rs"]
mod interrupts;
#[path = "kernel-tests/loopback.rs"]
mod loopback;
#[path = "kernel-tests/machine.rs"]
mod machine;
#[path = "kernel-tests/memory.rs"]
mod memory;
#[path = "kernel-tests/messages.rs"]
mod messages;
#[path = "kernel-tests/remote_files.rs"]
mod remote_files;
#[path = "kernel-tests/ring.rs"]
mod ring;
#[path = "kernel-tests/series.rs"]
mod series;
#[path = "kernel-tests/sockets.rs"]
mod sockets;
#[path = "kernel-tests/stress.rs"]
mod stress;
#[path = "kernel-tests/sync.rs"]
mod sync;
#[path = "kernel-tests/threads.rs"]
mod threads;
#[path = "kernel-tests/time.rs"]
mod time;
#[path = "kernel-tests/timers.rs"]
mod timers;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use toro::core::CoreId;
use toro::thread::Builder;
use toro::time::Instant;

#[cfg(feature = "ata")]
toro::entry!(main, drivers: [ring::DRIVER, ata_disks::DRIVER], owners: owners);
#[cfg(not(feature = "ata"))]
toro::entry!(main, drivers: [ring::DRIVER], owners: owners);

/// The word `app-owner=N` gives the first network card to core N, unless the command line says otherwise.
fn owners(device: &str) -> Option<Vec<CoreId>> {
    let word = toro::env::option("app-owner").filter(|_| device == "virtio-net0")?;
    Some(word.parse().ok().and_then(CoreId::new).into_iter().collect())
}

fn main() -> Result<(), String> {
    let tests = toro::env::option("test").ok_or("the command line word test=NAME is missing")?;
    for test in tests.split(',') {
        toro::println!("test {test} ...");
        let start = Instant::now();
        match toro::env::option("core") {
            None => run(test)?,
            Some(word) => {
                let core = word.parse().ok().and_then(CoreId::new).ok_or("core=N names no core")?;
                let worker = Builder::new().name(String::from("worker"));
                let Ok(result) = worker.spawn_on(core, || run(test)).map_err(|error| error.to_string())?.join();
                result?;
            }
        }
        toro::println!("test {test} ... ok, {:.1?}", start.elapsed());
    }
    toro::println!("passed");
    Ok(())
}

fn run(test: &str) -> Result<(), String> {
    match test {
        "threads" => threads::run(),
        "answer" => answer::run(),
        "cores" => cores::run(),
        "loopback" => loopback::run(),
        "messages" => messages::run(),
        "sockets" => sockets::run(),
        "socket-limits" => sockets::limits::run(),
        "sync" => sync::run(),
        "channels" => channels::run(),
        "timers" => timers::run(),
        "stress" => stress::run(),
        "float" => float::run(),
        "machine" => machine::run()?,
        "memory" => memory::run(),
        "time" => time::run(),
        "interrupts" => interrupts::run(),
        "spin" => faults::spin(),
        "remote-files" => remote_files::run()?,
        "remote-files-exit" => remote_files::exit()?,
        "files-write" => files_write::run()?,
        "files-kept" => files_write::kept()?,
        "files-read-only" => files_write::read_only()?,
        "block" => block::run()?,
        "disk-resize" => disk_resize::run()?,
        "ring" => ring::run()?,
        #[cfg(feature = "ata")]
        "ata" => ata_disks::run()?,
        "ring-mistake" => ring::mistake()?,
        "panic" => faults::panic(),
        "unwrap" => faults::unwrap(),
        "planted" => faults::planted(),
        "oom" => faults::out_of_memory(),
        "deadlock" => faults::deadlock(),
        "among-lines" => faults::among_lines(),
        "everywhere" => faults::everywhere(),
        "null" => faults::null(),
        "text" => faults::text(),
        "execute" => faults::execute(),
        "divide" => faults::divide(),
        "ud" => toro::arch::cpu::undefined_instruction(),
        "double" => faults::double_fault(),
        "overflow" => faults::overflow(),
        "exit" => toro::process::exit(42),
        "reboot" => toro::process::reboot(),
        "error" => return Err("as requested".to_string()),
        _ => return Err("the command line word test=NAME names no test".to_string()),
    }
    Ok(())
}
