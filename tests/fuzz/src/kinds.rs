//! Kinds of payloads and cells, as the targets make them and recognise them.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU8, AtomicU64};

use toro_core::DmaBuf;
use virtio_queue_rt::queue::{Cell, Payload};
use virtio_queue_rt::{Chain, Direction};

use crate::peer::Part;

/// Buffers on their way into a payload, or out of it: readable ones, then writable ones.
#[derive(Debug, Default)]
pub struct Buffers {
    /// Read by the device.
    pub readable: Vec<DmaBuf>,
    /// Written by the device.
    pub writable: Vec<DmaBuf>,
}

impl Buffers {
    /// All of them, in the device's order.
    pub fn all(&self) -> impl Iterator<Item = (&DmaBuf, bool)> {
        let readable = self.readable.iter().map(|buffer| (buffer, false));
        readable.chain(self.writable.iter().map(|buffer| (buffer, true)))
    }

    /// As the device shall find them.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        self.all().map(|(buffer, is_writable)| Part {
            address: buffer.bus_addr().get(),
            len: buffer.len() as u32,
            is_writable,
        })
    }
}

/// A payload that can be made of buffers and taken apart again.
pub trait Load: Payload + Debug + Sized {
    /// How many buffers of each kind it takes at most, and whether both kinds at once.
    const ROOM: usize;
    /// Whether it takes readable and writable buffers at once.
    const IS_MIXED: bool;

    /// Puts buffers in.
    fn pack(buffers: Buffers) -> (Self, Self::Direction);

    /// Takes them out.
    fn unpack(self, direction: Self::Direction) -> Buffers;
}

fn one(mut buffers: Buffers) -> (Option<DmaBuf>, Direction) {
    match buffers.readable.pop() {
        Some(buffer) => (Some(buffer), Direction::ToDevice),
        None => (buffers.writable.pop(), Direction::FromDevice),
    }
}

fn back(buffer: Option<DmaBuf>, direction: Direction) -> Buffers {
    let buffers = Vec::from_iter(buffer);
    match direction {
        Direction::ToDevice => Buffers { readable: buffers, writable: Vec::new() },
        Direction::FromDevice => Buffers { readable: Vec::new(), writable: buffers },
    }
}

impl Load for DmaBuf {
    const ROOM: usize = 1;
    const IS_MIXED: bool = false;

    fn pack(buffers: Buffers) -> (Self, Direction) {
        let (buffer, direction) = one(buffers);
        (buffer.expect("the bench gives at least one"), direction)
    }

    fn unpack(self, direction: Direction) -> Buffers {
        back(Some(self), direction)
    }
}

impl Load for Option<DmaBuf> {
    const ROOM: usize = 1;
    const IS_MIXED: bool = false;

    fn pack(buffers: Buffers) -> (Self, Direction) {
        one(buffers)
    }

    fn unpack(self, direction: Direction) -> Buffers {
        back(self, direction)
    }
}

impl Load for Chain {
    const ROOM: usize = 2;
    const IS_MIXED: bool = true;

    fn pack(buffers: Buffers) -> (Self, ()) {
        let pair = |buffers: Vec<DmaBuf>| {
            let mut buffers = buffers.into_iter();
            [buffers.next(), buffers.next()]
        };
        (Self { readable: pair(buffers.readable), writable: pair(buffers.writable) }, ())
    }

    fn unpack(self, (): ()) -> Buffers {
        let list = |pair: [Option<DmaBuf>; 2]| pair.into_iter().flatten().collect();
        Buffers { readable: list(self.readable), writable: list(self.writable) }
    }
}

/// A header or trailer cell whose value is made of a number and compared byte by byte.
pub trait Mark: Cell {
    /// Its size in bytes.
    const LEN: u32;

    /// A value.
    fn value(number: u64) -> Self::Value;

    /// The bytes of a value in memory.
    fn bytes(value: Self::Value) -> Vec<u8>;
}

impl Mark for () {
    const LEN: u32 = 0;

    fn value(_: u64) {}

    fn bytes((): ()) -> Vec<u8> {
        Vec::new()
    }
}

impl Mark for AtomicU8 {
    const LEN: u32 = 1;

    fn value(number: u64) -> u8 {
        number as u8
    }

    fn bytes(value: u8) -> Vec<u8> {
        vec![value]
    }
}

impl Mark for [AtomicU64; 2] {
    const LEN: u32 = 16;

    fn value(number: u64) -> [u64; 2] {
        [number, !number]
    }

    fn bytes(value: [u64; 2]) -> Vec<u8> {
        value.iter().flat_map(|word| word.to_le_bytes()).collect()
    }
}
