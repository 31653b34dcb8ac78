//! Network interfaces: [`NetDevice`] and what it moves.
//!
//! Frames move in [`Burst`]s, so that one dynamic call, one look at a ring and one notification serve many
//! frames. A [`Frame`] is an owned DMA buffer: receiving hands it out without a copy, dropping it gives it back
//! to the pool that it came from.

use core::fmt;

use super::{Armed, DeviceFault};
use crate::dma::DmaBuf;

/// A 48-bit Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Whether it can be an interface's own address: neither zero nor a group address.
    pub const fn is_unicast(&self) -> bool {
        self.0[0] & 1 == 0 && !matches!(self.0, [0, 0, 0, 0, 0, 0])
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an interface can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetLimits {
    /// Longest Ethernet frame in bytes, header included, frame check sequence not (1,514 on plain Ethernet).
    pub max_frame: usize,
    /// How many frames the transmit ring holds.
    pub transmit_slots: usize,
}

/// Whether frames can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// They can.
    Up,
    /// They cannot; transmitted frames are lost.
    Down,
}

/// An Ethernet frame in memory that the device can reach: destination, source, type, payload.
///
/// As a slice it is the frame's bytes. It keeps some headroom in front, where drivers put headers of their own.
#[derive(Debug)]
pub struct Frame {
    buffer: DmaBuf,
}

impl Frame {
    /// Calls a buffer's contents a frame.
    pub fn from_buffer(buffer: DmaBuf) -> Self {
        Self { buffer }
    }

    /// The buffer underneath.
    pub fn into_buffer(self) -> DmaBuf {
        self.buffer
    }

    /// Sets how many bytes the frame has, at most [`Frame::capacity`].
    ///
    /// # Errors
    ///
    /// [`TooLong`](crate::dma::TooLong) beyond the capacity; the frame is unchanged.
    pub fn set_len(&mut self, len: usize) -> Result<(), crate::dma::TooLong> {
        self.buffer.set_len(len)
    }

    /// The longest frame that this buffer can hold.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}

impl core::ops::Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer
    }
}

impl core::ops::DerefMut for Frame {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer
    }
}

/// How many items a [`Burst`] holds.
pub const BURST: usize = 64;

/// A short first-in, first-out list without allocation.
pub struct Burst<T> {
    items: [Option<T>; BURST],
    first: usize,
    len: usize,
}

impl<T> Burst<T> {
    /// An empty one.
    pub const fn new() -> Self {
        Self { items: [const { None }; BURST], first: 0, len: 0 }
    }

    /// How many items it holds.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many more it can take.
    pub const fn room(&self) -> usize {
        BURST - self.len
    }

    /// Adds an item behind the others.
    ///
    /// # Errors
    ///
    /// Gives the item back if there is no room.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.len == BURST {
            return Err(item);
        }
        self.items[(self.first + self.len) % BURST] = Some(item);
        self.len += 1;
        Ok(())
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let item = self.items[self.first].take();
        self.first = (self.first + 1) % BURST;
        self.len -= 1;
        item
    }

    /// Puts an item back in front of all others: it will be taken next.
    ///
    /// # Errors
    ///
    /// Gives the item back if there is no room.
    pub fn unpop(&mut self, item: T) -> Result<(), T> {
        if self.len == BURST {
            return Err(item);
        }
        self.first = (self.first + BURST - 1) % BURST;
        self.items[self.first] = Some(item);
        self.len += 1;
        Ok(())
    }
}

impl<T> Default for Burst<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Burst<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Burst({} of {BURST})", self.len)
    }
}

/// A network interface, or one queue pair of one.
///
/// What a caller may rely on:
///
/// 1. Frames come out of [`receive`](Self::receive) in the order in which they arrived, each once.
/// 2. [`transmit`](Self::transmit) takes frames from the front, in order, and leaves those that it could not take.
/// 3. After `arm` answered [`Armed::Idle`], the next received frame raises an interrupt.
/// 4. Nothing that the device does makes a method panic or loop without end.
///
/// What an implementer owes besides: no method blocks, and dropping the object leaves no memory to the device
/// that will be used for something else.
pub trait NetDevice: Send {
    /// The address of this interface.
    fn mac(&self) -> MacAddress;

    /// What it can carry.
    fn limits(&self) -> NetLimits;

    /// Whether frames can pass now.
    fn link(&mut self) -> LinkState;

    /// Moves received frames into `out` until it is full or none is waiting, and gives the device new buffers.
    ///
    /// # Errors
    ///
    /// The device broke the protocol; it gives and takes nothing more until it is reset.
    fn receive(&mut self, out: &mut Burst<Frame>) -> Result<(), DeviceFault>;

    /// Sends the frames of the burst, oldest first. What stays in it was not sent: the ring was full.
    ///
    /// # Errors
    ///
    /// The device broke the protocol; the frames not yet taken stay in the burst.
    fn transmit(&mut self, frames: &mut Burst<Frame>) -> Result<(), DeviceFault>;

    /// An empty frame to fill and transmit, with this device's headroom; `None` while too many are in use.
    fn frame(&mut self) -> Option<Frame>;

    /// Asks for an interrupt at the next received frame, then looks once more.
    ///
    /// # Errors
    ///
    /// The device broke the protocol.
    fn arm(&mut self) -> Result<Armed, DeviceFault>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_keeps_its_order_around_the_end_of_its_array() {
        let mut burst = Burst::new();
        for round in 0..5 {
            for i in 0..40 {
                burst.push(round * 100 + i).expect("there is room for 40");
            }
            let first = burst.pop().expect("it holds 40");
            burst.unpop(first).expect("one was just taken");
            for i in 0..40 {
                assert_eq!(burst.pop(), Some(round * 100 + i));
            }
            assert!(burst.is_empty());
        }
    }

    #[test]
    fn a_full_burst_gives_the_item_back() {
        let mut burst = Burst::new();
        for i in 0..BURST {
            burst.push(i).expect("there is room");
        }
        assert_eq!(burst.room(), 0);
        assert_eq!(burst.push(99), Err(99));
        assert_eq!(burst.unpop(98), Err(98));
        assert_eq!(burst.pop(), Some(0));
    }

    #[test]
    fn group_and_zero_addresses_are_not_unicast() {
        assert!(!MacAddress([0; 6]).is_unicast());
        assert!(!MacAddress([0xff; 6]).is_unicast());
        assert!(MacAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]).is_unicast());
    }
}
