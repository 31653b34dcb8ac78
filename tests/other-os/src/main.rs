//! Another operating system, with a disk: it reads a sector, writes another one, reads it back, and ends. README.md is the
//! way around.
//!
//! ```text
//!   boot -> main -> find: registers -+
//!                   memory: an arena +--> VirtioBlk --> Disk: one request after the other, waiting by looking
//!                   machine: a clock +
//! ```
#![no_std]
#![no_main]

mod boot;
mod disk;
mod find;
mod machine;
mod memory;

use toro_core::dma::PoolStorage;
use toro_core::driver::block::{BlockOperation, SECTOR};
use toro_core::{Clock, Dma, DmaBuf, DmaPool};
use virtio_blk::{Options, RequestSlot, VirtioBlk};
use virtio_queue_rt::Transport;

use crate::disk::{Disk, Trouble};
use crate::machine::Counter;
use crate::memory::Arena;

static ARENA: Arena = Arena::new();
static BUFFERS: PoolStorage<2> = PoolStorage::new();

/// What a driver gets from us, beside the registers of its device.
const MEMORY: Dma = &ARENA;
const CLOCK: &dyn Clock = &Counter;

/// What the host has written to sector 0, and what we write to sector 1.
const BY_THE_HOST: &[u8] = b"written by the host";
const BY_THE_GUEST: &[u8] = b"written by the guest";

/// What QEMU is told at the end: all went well, or not.
const DONE: u32 = 0x10;
const NOT_DONE: u32 = 0x20;

/// Called once, by the boot code.
fn main() -> ! {
    // Two kinds of registers, and two types of drivers: neither costs the other anything.
    let result = if let Some(registers) = find::mmio() {
        use_disk(registers, "memory-mapped registers")
    } else if let Some(registers) = find::pci() {
        use_disk(registers, "PCI")
    } else {
        Err(Trouble::NoDisk)
    };
    match result {
        Ok(()) => machine::end(DONE),
        Err(trouble) => {
            say!("other-os: {trouble}");
            machine::end(NOT_DONE)
        }
    }
}

fn use_disk(registers: impl Transport + Send, way: &str) -> Result<(), Trouble> {
    // Room for four requests at a time, inside the driver. It waits for nothing yet: the device has confirmed all of this.
    let slots: [RequestSlot; 4] = Default::default();
    let mut driver = VirtioBlk::new_in(registers, MEMORY, CLOCK, &Options::default(), slots)?;
    let mut buffers = DmaPool::in_storage(MEMORY, &BUFFERS, SECTOR)?;
    let mut disk = Disk::new(&mut driver, CLOCK)?;
    say!("other-os: a disk of {} sectors, by way of {way}", disk.sectors());

    let mut sector = disk.transfer(BlockOperation::Read { sector: 0 }, empty(&mut buffers)?)?;
    let text = sector.get(..BY_THE_HOST.len()).filter(|text| *text == BY_THE_HOST).ok_or(Trouble::Contents(0))?;
    say!("other-os: sector 0 reads \"{}\"", text.escape_ascii());

    // The same buffer is ours again. The disk may keep what we write in a cache until the flush.
    sector.fill(0);
    sector[..BY_THE_GUEST.len()].copy_from_slice(BY_THE_GUEST);
    let written = disk.transfer(BlockOperation::Write { sector: 1 }, sector)?;
    disk.flush()?;

    let read = disk.transfer(BlockOperation::Read { sector: 1 }, empty(&mut buffers)?)?;
    if read[..] != written[..] {
        return Err(Trouble::Contents(1));
    }
    say!("other-os: sector 1 is written, and reads as it was written");
    Ok(())
}

/// A buffer as long as a sector, with whatever was in it.
fn empty(buffers: &mut DmaPool) -> Result<DmaBuf, Trouble> {
    let mut buffer = buffers.take().ok_or(Trouble::Buffers)?;
    buffer.set_len(SECTOR).map_err(|_| Trouble::Buffers)?;
    Ok(buffer)
}
