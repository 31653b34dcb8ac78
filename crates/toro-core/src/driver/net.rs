//! Network interfaces: [`NetDevice`] and what it moves.
//!
//! Frames move in [`Burst`]s, so that one dynamic call, one look at a ring and one notification serve many
//! frames. A [`Frame`] is an owned DMA buffer: receiving hands it out without a copy, dropping it gives it back
//! to the pool that it came from.

use core::fmt;
use core::num::NonZeroU16;

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
    /// How many frames the transmit ring holds, if each takes as little of it as can be.
    pub transmit_slots: usize,
    /// What the device does of the work on transmitted frames.
    pub offloads: Offloads,
}

impl NetLimits {
    /// Those of an interface that takes no work over.
    pub const fn plain(max_frame: usize, transmit_slots: usize) -> Self {
        Self { max_frame, transmit_slots, offloads: Offloads::NONE }
    }
}

/// What a device does of the work on transmitted frames. What it does on received ones is noted in each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// It completes checksums ([`Checksum::Partial`]).
    pub checksum: bool,
    /// The longest frame with [`Segmentation`] over IPv4 that it takes, header included; 0: none.
    pub max_tcp4: usize,
    /// The same over IPv6.
    pub max_tcp6: usize,
}

impl Offloads {
    /// No work at all.
    pub const NONE: Self = Self { checksum: false, max_tcp4: 0, max_tcp6: 0 };
}

/// Whether frames can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// They can.
    Up,
    /// They cannot; transmitted frames are lost.
    Down,
}

/// What has changed about an interface since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The new state of the link, if it has changed.
    pub link: Option<LinkState>,
    /// Others ought to be told the interface's addresses anew, because it has moved in the network (as with a guest
    /// that was migrated). The driver has acknowledged the wish.
    pub announce: bool,
}

/// The state of a frame's TCP or UDP checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// Received: nobody has looked at it. To transmit: it is complete, and goes out as it is.
    #[default]
    Plain,
    /// Received: the device found it right. To transmit: as `Plain`.
    Verified,
    /// The field holds the sum of the pseudo header only. To transmit: the device sums the frame from `start` to its end
    /// and puts the result at `start + offset`. Received: the sender has left it to a device and none has done it yet; the
    /// bytes were never on a wire, so there is nothing to verify.
    Partial {
        /// Where summing starts, from the start of the frame.
        start: u16,
        /// Where the sum goes, from `start`.
        offset: u16,
    },
}

/// A frame that stands for several: a TCP segment longer than the link's, to be cut (transmitted), or put together from
/// several (received). Its checksum is [`Checksum::Partial`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// What carries TCP.
    pub over: SegmentationKind,
    /// How many payload bytes go into each frame but the last.
    pub segment_size: NonZeroU16,
    /// Length of the Ethernet, IP and TCP headers. In received frames it is 0: the stack reads the headers anyway.
    pub header_len: u16,
}

/// What carries a TCP segment that is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentationKind {
    /// IPv4.
    Tcp4,
    /// IPv6.
    Tcp6,
}

/// What is known about a frame besides its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// The state of its checksum.
    pub checksum: Checksum,
    /// It stands for several.
    pub segmentation: Option<Segmentation>,
    /// Received: the next frame of the burst holds the bytes that follow, without headers. Never set in the last frame
    /// of a burst, nor by a driver that was not told to merge.
    pub continues: bool,
}

/// An Ethernet frame in memory that the device can reach: destination, source, type, payload.
///
/// As a slice it is the frame's bytes. It keeps some headroom in front, where drivers put headers of their own.
pub struct Frame {
    buffer: DmaBuf,
    notes: PackedNotes,
}

/// [`Notes`] as frames carry them from burst to burst: a few moves, and one comparison shows that there are none.
#[derive(Clone, Copy)]
struct PackedNotes {
    /// Start and offset of the checksum, segment size, length of the headers: each 0 where it says nothing.
    numbers: [u16; 4],
    /// What there is to say: of [`note`].
    kinds: u16,
}

/// Bits of [`PackedNotes::kinds`].
mod note {
    pub const VERIFIED: u16 = 1;
    pub const PARTIAL: u16 = 2;
    pub const TCP4: u16 = 4;
    pub const TCP6: u16 = 8;
    pub const CONTINUES: u16 = 16;
}

impl PackedNotes {
    const NONE: Self = Self { numbers: [0; 4], kinds: 0 };

    #[inline]
    fn pack(notes: Notes) -> Self {
        let (sum, start, offset) = match notes.checksum {
            Checksum::Plain => (0, 0, 0),
            Checksum::Verified => (note::VERIFIED, 0, 0),
            Checksum::Partial { start, offset } => (note::PARTIAL, start, offset),
        };
        let (cut, size, header) = match notes.segmentation {
            None => (0, 0, 0),
            Some(Segmentation { over, segment_size, header_len }) => match over {
                SegmentationKind::Tcp4 => (note::TCP4, segment_size.get(), header_len),
                SegmentationKind::Tcp6 => (note::TCP6, segment_size.get(), header_len),
            },
        };
        let more = if notes.continues { note::CONTINUES } else { 0 };
        Self { numbers: [start, offset, size, header], kinds: sum | cut | more }
    }

    #[inline]
    fn unpack(self) -> Notes {
        let [start, offset, size, header_len] = self.numbers;
        let checksum = match self.kinds & (note::PARTIAL | note::VERIFIED) {
            0 => Checksum::Plain,
            note::VERIFIED => Checksum::Verified,
            _ => Checksum::Partial { start, offset },
        };
        // Where there is no segmentation the size is 0.
        let segmentation = NonZeroU16::new(size).map(|segment_size| {
            let over = if self.kinds & note::TCP4 != 0 { SegmentationKind::Tcp4 } else { SegmentationKind::Tcp6 };
            Segmentation { over, segment_size, header_len }
        });
        Notes { checksum, segmentation, continues: self.kinds & note::CONTINUES != 0 }
    }
}

impl Frame {
    /// Calls a buffer's contents a frame, of which nothing else is known.
    #[inline]
    pub fn from_buffer(buffer: DmaBuf) -> Self {
        Self { buffer, notes: PackedNotes::NONE }
    }

    /// Calls a buffer's contents a frame, of which this is known.
    #[inline]
    pub fn with_notes(buffer: DmaBuf, notes: Notes) -> Self {
        Self { buffer, notes: PackedNotes::pack(notes) }
    }

    /// What is known about it.
    #[inline]
    pub fn notes(&self) -> Notes {
        self.notes.unpack()
    }

    /// Whether a device has nothing to do about it but send it: its notes ask for nothing.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.notes.kinds & !note::VERIFIED == 0
    }

    /// Says what is known about it.
    #[inline]
    pub fn set_notes(&mut self, notes: Notes) {
        self.notes = PackedNotes::pack(notes);
    }

    /// The buffer underneath. The notes are lost.
    #[inline]
    pub fn into_buffer(self) -> DmaBuf {
        self.buffer
    }

    /// Makes the frame longer by `bytes` in front of its first byte. What they hold is left from before.
    ///
    /// # Errors
    ///
    /// [`TooLong`](crate::dma::TooLong) without so much headroom; the frame is unchanged.
    pub fn push_front(&mut self, bytes: usize) -> Result<(), crate::dma::TooLong> {
        self.buffer.push_front(bytes)
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

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("buffer", &self.buffer).field("notes", &self.notes()).finish()
    }
}

/// Which frames an interface shall receive, besides those to its own address and to everyone.
///
/// It is the least: a device may pass more, and those that cannot filter pass everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveFilter<'a> {
    /// Everything.
    pub promiscuous: bool,
    /// All frames to groups.
    pub all_multicast: bool,
    /// Frames to these other addresses.
    pub unicast: &'a [MacAddress],
    /// Frames to these groups.
    pub multicast: &'a [MacAddress],
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
    /// Invariant: `len` of them from `first` on, around the end, are there, and no others.
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
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.len == BURST {
            return Err(item);
        }
        // The place is empty; said in a way that needs no code to drop what it might hold.
        core::mem::forget(self.items[(self.first + self.len) % BURST].replace(item));
        self.len += 1;
        Ok(())
    }

    /// Takes the oldest item.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        // Where the oldest would be, an empty one has none.
        let item = self.items[self.first % BURST].take()?;
        self.first = (self.first + 1) % BURST;
        self.len -= 1;
        Some(item)
    }

    /// Puts an item back in front of all others: it will be taken next.
    ///
    /// # Errors
    ///
    /// Gives the item back if there is no room.
    #[inline]
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
/// 3. After `arm` answered [`Armed::Idle`], the next received frame and the next change raise an interrupt.
/// 4. Nothing that the device does makes a method panic or loop without end.
/// 5. A frame whose [`Notes`] ask for more than the [`Offloads`] promise, or make no sense, is not sent, and counted.
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

    /// What has changed since the last call. It costs next to nothing while nothing has.
    ///
    /// # Errors
    ///
    /// The device broke the protocol.
    fn changes(&mut self) -> Result<Changes, DeviceFault>;

    /// Asks the device to receive at least these frames. It may take effect some time later.
    ///
    /// # Errors
    ///
    /// The device broke the protocol.
    fn set_filter(&mut self, filter: &ReceiveFilter<'_>) -> Result<(), DeviceFault>;

    /// Moves received frames into `out` until it is full or none is waiting, and gives the device new buffers. All frames
    /// of a packet that takes several come in one call.
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

    /// An empty frame to fill and transmit, with this device's headroom and room for `len` bytes; `None` while too many
    /// are in use, and always for a length beyond all its [`limits`](Self::limits).
    fn frame(&mut self, len: usize) -> Option<Frame>;

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
    fn a_frame_keeps_all_that_is_noted() {
        let size = NonZeroU16::new(1448).expect("not zero");
        let partial = Checksum::Partial { start: 34, offset: 16 };
        let mut all = std::vec::Vec::new();
        for checksum in [Checksum::Plain, Checksum::Verified, Checksum::Partial { start: 0, offset: 0 }, partial] {
            for over in [None, Some(SegmentationKind::Tcp4), Some(SegmentationKind::Tcp6)] {
                let segmentation = over.map(|over| Segmentation { over, segment_size: size, header_len: 54 });
                all.extend([false, true].map(|continues| Notes { checksum, segmentation, continues }));
            }
        }
        let mut pool = crate::DmaPool::new(crate::dma::testing::Heap::default().leak(), 1, 64).expect("memory");
        for notes in all {
            let mut frame = Frame::with_notes(pool.take().expect("one is free"), notes);
            assert_eq!(frame.notes(), notes);
            let is_plain = matches!(notes.checksum, Checksum::Plain | Checksum::Verified)
                && notes.segmentation.is_none()
                && !notes.continues;
            assert_eq!(frame.is_plain(), is_plain, "{notes:?}");
            frame.set_notes(Notes::default());
            assert_eq!(frame.notes(), Notes::default());
        }
        assert_eq!(size_of::<Option<Frame>>(), 24);
    }

    #[test]
    fn group_and_zero_addresses_are_not_unicast() {
        assert!(!MacAddress([0; 6]).is_unicast());
        assert!(!MacAddress([0xff; 6]).is_unicast());
        assert!(MacAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]).is_unicast());
    }
}
