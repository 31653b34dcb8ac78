//! What every virtqueue is asked to do, and the two functions that are measured.
//!
//! A batch is sent (submitted, shown to the device, and the wish for a kick looked up, once per batch where the
//! driver's interface allows it), served, and reaped. What a caller must keep to do so is part of it: each contender
//! has what it needs at hand in the form that costs it least, and no bookkeeping beyond that.

use std::fmt;

use clap::ValueEnum;

use super::device::RingPointers;

/// Bytes in each buffer.
pub const BUFFER: usize = 64;

/// What the status byte holds until the device writes it.
pub const UNTOUCHED: u8 = 0xff;

/// The header of every request.
pub const HEADER: [u64; 2] = [1, 8];

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// One buffer for the device to write
    Buffer,
    /// A header of 16 bytes, a buffer to write, a status byte
    Request,
    /// The same in a table of descriptors of its own
    Table,
}

/// Whether EVENT_IDX was negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Events {
    /// Suppression by flags
    Off,
    /// Suppression by indices
    On,
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Who {
    /// virtio-queue-rt
    Ours,
    /// virtio-driver, the virtqueue of libblkio
    Libblkio,
    /// virtio-drivers, of rCore
    Drivers,
}

impl Who {
    /// In the order of the table's columns.
    pub const ALL: [Self; 3] = [Self::Ours, Self::Libblkio, Self::Drivers];

    /// Whether it has such operations: libblkio's queue has no tables.
    pub fn can(self, shape: Shape) -> bool {
        (self, shape) != (Self::Libblkio, Shape::Table)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Buffer => "1 buffer",
            Self::Request => "3 descriptors",
            Self::Table => "3 in a table",
        })
    }
}

/// What came back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reaped {
    /// How many operations.
    pub count: u32,
    /// The sum of their status bytes.
    pub status: u32,
    /// The sum of the lengths that the driver passes on; libblkio's passes none.
    pub bytes: u32,
}

/// A driver's side of one queue.
pub trait Contender: Send {
    /// Where its rings are.
    fn rings(&self) -> RingPointers;
    /// Sends a batch; returns how often the device asked to be kicked.
    fn send(&mut self, batch: u32) -> u32;
    /// Takes out what is finished.
    fn reap(&mut self) -> Reaped;
}

/// The driver's work, first half. A function of its own, so that callgrind can count inside it.
#[inline(never)]
pub fn ring_driver_send<C: Contender>(contender: &mut C, batch: u32) -> u32 {
    contender.send(batch)
}

/// The driver's work, second half.
#[inline(never)]
pub fn ring_driver_reap<C: Contender>(contender: &mut C) -> Reaped {
    contender.reap()
}

/// The device's work.
#[inline(never)]
pub fn ring_device_serve(device: &mut super::device::Device) -> u16 {
    device.serve()
}
