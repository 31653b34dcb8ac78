//! Fuzz targets: lying devices, disks and volumes made of random bytes.
//!
//! ```text
//!   libFuzzer (nightly, tests/fuzz/libfuzzer) --+
//!                                               +--> fn target(input)  this library, stable Rust
//!   tests/replay.rs over corpus/TARGET  --------+
//! ```
//!
//! | target | what lies |
//! |---|---|
//! | [`used_ring()`] | rings, descriptors and buffers of a queue, between any two steps |
//! | [`operations()`] | the device of a queue, step by step, through resets and every combination of ring features |
//! | [`archive()`] | a tar or cpio file, as a file system |
//! | [`ata()`] | registers and descriptions of an IDE controller and its drives, under the driver for ATA disks |
//! | [`e1000()`] | registers and descriptors of a gigabit controller, under its driver |
//! | [`registers()`] | every register that is read, over MMIO and PCI, modern and legacy |
//! | [`pci_capabilities()`] | capabilities, BARs and MSI-X table of a PCI function |
//! | [`block_device()`] | a disk: its configuration, rings, statuses and data, through resets |
//! | [`virtio_fs()`] | a file system device: its configuration, rings, replies and messages, through resets |
//! | [`virtio_net()`] | a network card: its configuration, rings, headers and answers |
//! | [`config_space()`] | the configuration and its generation, under the drivers for network and file system |
//! | [`boot_information()`] | what a boot loader says: memory map, command line, modules |
//! | [`fat()`] | a FAT volume of which any bytes were changed |
//! | [`partitions()`] | a partition table |
//! | [`fuse_replies()`] | a file server, in any reply to any operation |
//! | [`fuse_dirents()`] | a file server, in listings of directories |
//! | [`fuse_init()`] | a file server, while a session is agreed on |
//! | [`fuse_session()`] | a file server, over a session: what it does not implement, and what it says unasked |
//! | [`received_frames()`] | a network, and the device in front of it, under the network stack |
//!
//! Each takes any bytes and returns, or panics where something is wrong that no device may cause. Whatever is wrong is
//! said by an assertion: libFuzzer and `cargo test` find the same things.

pub mod archive;
pub mod ata;
pub mod bench;
pub mod block_device;
pub mod boot_information;
pub mod chip;
pub mod clock;
pub mod config_space;
pub mod e1000;
pub mod fat;
pub mod function;
pub mod fuse_dirents;
pub mod fuse_init;
pub mod fuse_replies;
pub mod fuse_session;
pub mod heap;
pub mod kinds;
pub mod operations;
pub mod partitions;
pub mod pci_capabilities;
pub mod peer;
pub mod peers;
pub mod received_frames;
pub mod registers;
pub mod script;
pub mod seeds;
pub mod used_ring;
pub mod virtio_fs;
pub mod virtio_net;
pub mod wires;

use virtio_sim::{SimMemory, ide};

/// What a target may leave allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leftovers {
    /// Nothing: every queue was retired.
    None,
    /// What a device kept that did not confirm its reset, or a driver that was refused half way.
    Allowed,
}

/// Runs one input with a clean clock, clean memory, and nothing left on the heap.
fn run(leftovers: Leftovers, body: impl FnOnce(&'static SimMemory)) {
    thread_local! {
        /// One for all inputs: a memory is never freed itself.
        static MEMORY: &'static SimMemory = SimMemory::leak();
    }
    let memory = MEMORY.with(|memory| *memory);
    run_in(memory, leftovers, body);
}

/// The same in this memory, which is empty.
fn run_in(memory: &'static SimMemory, leftovers: Leftovers, body: impl FnOnce(&'static SimMemory)) {
    clock::CLOCK.rewind();
    let mut blocks = 0;
    let story = || {
        body(memory);
        // SAFETY: the story is over, and nothing of it is left that could use a block.
        blocks = unsafe { memory.reclaim() };
    };
    // SAFETY: the targets keep nothing between inputs but the memory, which is empty now.
    let pieces = unsafe { heap::swept(story) };
    if leftovers == Leftovers::None {
        assert_eq!((blocks, pieces), (0, 0), "blocks of device memory and pieces of the heap that were never freed");
    }
}

/// A tar or cpio file of any bytes.
pub fn archive(input: &[u8]) {
    run(Leftovers::None, |memory| _ = archive::body(input, memory));
}

/// An IDE controller that lies in its registers.
pub fn ata(input: &[u8]) {
    thread_local! {
        /// Within reach of its bus master.
        static LOW: (&'static SimMemory, &'static ide::Clock) = (SimMemory::leak_low(), ide::Clock::leak());
    }
    let (memory, clock) = LOW.with(|low| *low);
    run_in(memory, Leftovers::None, |memory| _ = ata::body(input, memory, clock));
}

/// A gigabit controller that lies in its registers and descriptors.
pub fn e1000(input: &[u8]) {
    thread_local! {
        static CLOCK: &'static ide::Clock = ide::Clock::leak();
    }
    let clock = CLOCK.with(|clock| *clock);
    run(Leftovers::None, |memory| _ = e1000::body(input, memory, clock));
}

/// A queue whose device writes what it likes.
pub fn used_ring(input: &[u8]) {
    run(Leftovers::None, |memory| _ = used_ring::body(input, memory));
}

/// A PCI function that claims anything about itself.
pub fn pci_capabilities(input: &[u8]) {
    run(Leftovers::Allowed, |memory| _ = pci_capabilities::body(input, memory));
}

/// A device configuration that changes under the drivers.
pub fn config_space(input: &[u8]) {
    run(Leftovers::Allowed, |memory| _ = config_space::body(input, memory));
}

/// A disk that says what it likes, at any time.
pub fn block_device(input: &[u8]) {
    run(Leftovers::Allowed, |memory| _ = block_device::body(input, memory));
}

/// A file system device that says what it likes, at any time.
pub fn virtio_fs(input: &[u8]) {
    run(Leftovers::Allowed, |memory| _ = virtio_fs::body(input, memory));
}

/// A network card that says what it likes, at any time.
pub fn virtio_net(input: &[u8]) {
    run(Leftovers::Allowed, |memory| _ = virtio_net::body(input, memory));
}

/// A device that lies in its registers.
pub fn registers(input: &[u8]) {
    run(Leftovers::Allowed, |memory| _ = registers::body(input, memory));
}

/// Everything that can be done with a queue, in any order, beside a device that obeys or lies.
pub fn operations(input: &[u8]) {
    run(Leftovers::Allowed, |memory| operations::body(input, memory));
}

/// A FAT volume of which any bytes were changed.
pub fn fat(input: &[u8]) {
    fat::body(input);
}

/// A disk with a partition table of any bytes.
pub fn partitions(input: &[u8]) {
    partitions::body(input);
}

/// Any reply to any operation of FUSE.
pub fn fuse_replies(input: &[u8]) {
    fuse_replies::body(input);
}

/// What a boot loader says, of any bytes.
pub fn boot_information(input: &[u8]) {
    let _ = boot_information::body(input);
}

/// Listings of directories of any bytes.
pub fn fuse_dirents(input: &[u8]) {
    fuse_dirents::body(input);
}

/// Any answer to any offer of a session.
pub fn fuse_init(input: &[u8]) {
    let _ = fuse_init::body(input);
}

/// A session in which anything may not be implemented, and anything be said.
pub fn fuse_session(input: &[u8]) {
    fuse_session::body(input);
}

/// Frames of any bytes with any notes.
pub fn received_frames(input: &[u8]) {
    run(Leftovers::None, |memory| _ = received_frames::body(input, memory));
}
