//! A cable with a network interface at each end, for tests on the host.
//!
//! Time stands still unless a test moves it, nothing is random, and what the cable does to frames is up to the
//! test: it may lose them, hold them, or refuse to take them.
//!
//! What the interfaces do of the work on frames is up to the test, too ([`Gear`]). They are as strict as a device can
//! be: a frame that asks for more than was promised, or whose notes make no sense, fails the test.

extern crate std;

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::NonNull;
use std::sync::{Mutex, MutexGuard};

use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket,
};
use toro_core::driver::net::{
    Burst, Changes, Checksum, Frame, LinkState, MacAddress, NetDevice, NetLimits, Notes, Offloads, ReceiveFilter,
    Segmentation, SegmentationKind,
};
use toro_core::driver::{Armed, DeviceFault};
use toro_core::{BusAddr, DmaBlock, DmaBuf, DmaMemory, DmaPool};

/// Memory from the host's heap.
struct Heap;

#[allow(unsafe_code)]
// SAFETY:
// - `alloc_zeroed` gives zeroed, exclusive memory of the layout asked for, or null;
// - there is no device, so any bus address names the same memory for all of them.
unsafe impl DmaMemory for Heap {
    fn allocate(&self, size: usize, align: usize) -> Option<DmaBlock> {
        let layout = Layout::from_size_align(size.max(1), align.max(4096)).ok()?;
        // SAFETY: the layout's size is not zero.
        let cpu = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        // SAFETY: no device exists that could use it.
        let bus = unsafe { BusAddr::new(cpu.as_ptr() as u64) };
        // SAFETY: `size` bytes at `cpu`, zeroed and unshared; as above for `bus`.
        Some(unsafe { DmaBlock::new(cpu, bus, size) })
    }

    unsafe fn release(&self, block: DmaBlock) {
        let layout = Layout::from_size_align(block.size().max(1), 4096).expect("it was allocated with this layout");
        // SAFETY: the caller gives back what `allocate` returned; pools never ask for more than a page's alignment.
        unsafe { dealloc(block.cpu().as_ptr(), layout) };
    }
}

static HEAP: Heap = Heap;

/// A frame of its own, with so much room in front.
pub(super) fn frame(bytes: &[u8], headroom: usize, notes: Notes) -> Frame {
    let mut pool = DmaPool::new(&HEAP, 1, headroom + bytes.len().max(1)).expect("the host has memory");
    let mut buffer = pool.take().expect("it has one");
    buffer.reset(headroom).expect("it is long enough");
    buffer.extend(bytes).expect("it is long enough");
    let mut frame = Frame::from_buffer(buffer);
    frame.set_notes(notes);
    frame
}

/// A frame with these bytes, of which nothing else is known.
pub(super) fn frame_of(bytes: &[u8]) -> Frame {
    frame(bytes, 0, Notes::default())
}

/// Decides which frames get lost.
pub(super) type Loss = Box<dyn FnMut(&[u8]) -> bool + Send>;

/// What an interface does besides moving frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gear {
    pub(super) max_frame: usize,
    pub(super) offloads: Offloads,
    pub(super) sending: Sending,
    pub(super) receiving: Receiving,
    pub(super) buffers: Buffers,
    /// How many frames longer than the link's there are to send.
    pub(super) long_frames: usize,
}

/// What leaves an interface that took work over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// What a wire can carry: pieces with complete checksums.
    Wire,
    /// The frames as they are, with their notes, as between guests of one host.
    AsIs,
}

/// What an interface finds out about frames from a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    /// Nothing.
    Unseen,
    /// That their checksums are right; it drops those with wrong ones.
    Verified,
}

/// What frames are received into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Buffers {
    /// One each, as long as they may be.
    One,
    /// As many as it takes of this size, with so much room in front.
    Several { size: usize, headroom: usize },
}

impl Gear {
    /// An interface that moves frames, and no more.
    pub(super) const PLAIN: Self = Self {
        max_frame: 1514,
        offloads: Offloads::NONE,
        sending: Sending::Wire,
        receiving: Receiving::Unseen,
        buffers: Buffers::One,
        long_frames: 0,
    };
    /// One that takes over all that can be.
    pub(super) const FULL: Self = Self {
        offloads: Offloads { checksum: true, max_tcp4: 65_549, max_tcp6: 65_549 },
        receiving: Receiving::Verified,
        long_frames: 4,
        ..Self::PLAIN
    };
}

/// A frame on its way, and what the one who receives it is to be told.
struct Packet {
    bytes: Vec<u8>,
    notes: Notes,
}

/// What happens to frames in one direction.
#[derive(Default)]
pub(super) struct Lane {
    frames: VecDeque<Packet>,
    /// How many frames were handed to the cable.
    pub(super) count: u64,
    /// Length of the longest of them.
    pub(super) longest: usize,
    /// How many frames the interface was given to be cut.
    pub(super) cut: u64,
    /// Loses each frame whose number is divisible by this.
    pub(super) lose_every: Option<u64>,
    /// Loses each frame for which this holds.
    pub(super) lose_if: Option<Loss>,
    /// Takes no frames while set, as a full ring does.
    pub(super) full: bool,
    /// Takes at most this many frames at once.
    pub(super) slots: Option<usize>,
    /// The device at the beginning of this lane has broken down.
    pub(super) fault: Option<DeviceFault>,
    /// What the device at the beginning of this lane will say about its link, once.
    pub(super) changes: Changes,
    /// The groups that this device shall receive, as it was last told.
    pub(super) filter: Vec<MacAddress>,
}

impl Lane {
    fn put(&mut self, bytes: &[u8], notes: Notes) {
        self.count += 1;
        self.longest = self.longest.max(bytes.len());
        let lost = self.lose_every.is_some_and(|every| self.count.is_multiple_of(every))
            || self.lose_if.as_mut().is_some_and(|lose| lose(bytes));
        if !lost {
            self.frames.push_back(Packet { bytes: bytes.to_vec(), notes });
        }
    }
}

type Shared = Arc<Mutex<Lane>>;

/// One end of a cable.
pub(super) struct CableEnd {
    mac: MacAddress,
    gear: Gear,
    out: Shared,
    into: Shared,
    pool: DmaPool,
    long: Option<Arc<Mutex<DmaPool>>>,
    long_received: Option<DmaPool>,
}

/// A test's hold on a cable: from end 0 to end 1, and back.
#[derive(Clone)]
pub(super) struct Cable {
    lanes: [Shared; 2],
    longs: [Option<Arc<Mutex<DmaPool>>>; 2],
}

impl Cable {
    /// A cable and its two ends, which are plain.
    pub(super) fn new() -> (Self, CableEnd, CableEnd) {
        Self::between(Gear::PLAIN, Gear::PLAIN)
    }

    /// A cable and its two ends.
    pub(super) fn between(first: Gear, second: Gear) -> (Self, CableEnd, CableEnd) {
        const LONG: usize = 65_600;
        let lanes = [Shared::default(), Shared::default()];
        let pool = |count, size| DmaPool::new(&HEAP, count, size).expect("the host has memory");
        let longs = [first, second]
            .map(|gear| (gear.long_frames > 0).then(|| Arc::new(Mutex::new(pool(gear.long_frames, LONG)))));
        let end = |out: usize| {
            let gear = [first, second][out];
            CableEnd {
                mac: Self::mac(out),
                gear,
                out: lanes[out].clone(),
                into: lanes[1 - out].clone(),
                pool: pool(256, 2048.max(gear.max_frame + 64)),
                long: longs[out].clone(),
                long_received: [first, second].iter().any(|gear| gear.sending == Sending::AsIs).then(|| pool(64, LONG)),
            }
        };
        let ends = (end(0), end(1));
        (Self { lanes, longs }, ends.0, ends.1)
    }

    /// The address of an end.
    pub(super) fn mac(end: usize) -> MacAddress {
        MacAddress([0x52, 0x54, 0, 0, 0, end as u8 + 1])
    }

    /// What leaves an end.
    pub(super) fn from(&self, end: usize) -> MutexGuard<'_, Lane> {
        self.lanes[end].lock().expect("no test panics while it holds a lane")
    }

    /// Sends a frame of the test's own making, as if from an end.
    pub(super) fn inject(&self, end: usize, frame: &[u8]) {
        self.from(end).put(frame, Notes::default());
    }

    /// Takes one of the long frames that an end has to send.
    pub(super) fn take_long(&self, end: usize) -> Option<DmaBuf> {
        self.longs[end].as_ref()?.lock().expect("unpoisoned").take()
    }

    /// Takes a frame off the cable.
    pub(super) fn take_from(&self, end: usize) -> Option<Vec<u8>> {
        self.from(end).frames.pop_front().map(|packet| packet.bytes)
    }
}

impl CableEnd {
    /// What the interface makes of a frame that it was given.
    fn leave(&self, lane: &mut Lane, frame: &Frame) {
        let notes = frame.notes();
        assert!(!notes.continues, "no frame to send continues");
        let mut bytes = frame.to_vec();
        if let Checksum::Partial { start, offset } = notes.checksum {
            assert!(self.gear.offloads.checksum, "no such promise was made");
            complete(&mut bytes, start, offset);
        }
        let Some(Segmentation { over, segment_size, header_len }) = notes.segmentation else {
            assert!(bytes.len() <= self.gear.max_frame, "{} bytes are too many", bytes.len());
            let notes = if self.gear.sending == Sending::AsIs { notes } else { Notes::default() };
            return lane.put(if notes == Notes::default() { &bytes } else { frame }, notes);
        };
        let (most, tag) = match over {
            SegmentationKind::Tcp4 => (self.gear.offloads.max_tcp4, 0x45),
            SegmentationKind::Tcp6 => (self.gear.offloads.max_tcp6, 0x60),
        };
        assert!(bytes.len() <= most, "{} bytes are too many to be cut", bytes.len());
        assert!(usize::from(header_len) + usize::from(segment_size.get()) < bytes.len(), "there is nothing to cut");
        assert!(bytes[14] == tag && matches!(notes.checksum, Checksum::Partial { .. }));
        lane.cut += 1;
        match self.gear.sending {
            Sending::AsIs => lane.put(frame, notes),
            Sending::Wire => {
                for piece in cut(&bytes, usize::from(header_len), usize::from(segment_size.get())) {
                    assert!(piece.len() <= self.gear.max_frame, "a piece of {} bytes", piece.len());
                    lane.put(&piece, Notes::default());
                }
            }
        }
    }

    /// What the interface says about a frame that has arrived; `None` drops it.
    fn judge(&self, packet: &Packet) -> Option<Notes> {
        if packet.notes != Notes::default() || self.gear.receiving == Receiving::Unseen {
            return Some(packet.notes);
        }
        let Some(ends) = Ends::of(&packet.bytes) else { return Some(packet.notes) };
        let verified = Notes { checksum: Checksum::Verified, ..Notes::default() };
        ends.is_right(&packet.bytes).then_some(verified)
    }

    /// Puts a frame into buffers; `None` while there are too few.
    fn arrive(&mut self, bytes: &[u8], notes: Notes) -> Option<Vec<Frame>> {
        let take = |pool: &mut DmaPool, headroom: usize, bytes: &[u8], notes: Notes| {
            let mut buffer = pool.take()?;
            buffer.reset(headroom).ok()?;
            buffer.extend(bytes).ok()?;
            let mut frame = Frame::from_buffer(buffer);
            frame.set_notes(notes);
            Some(frame)
        };
        match self.gear.buffers {
            Buffers::One if bytes.len() <= self.pool.buffer_size() => {
                Some(alloc::vec![take(&mut self.pool, 0, bytes, notes)?])
            }
            Buffers::One => Some(alloc::vec![take(self.long_received.as_mut()?, 0, bytes, notes)?]),
            Buffers::Several { size, headroom } => {
                let pieces = bytes.chunks(size);
                let last = pieces.len() - 1;
                pieces
                    .enumerate()
                    .map(|(at, piece)| {
                        let notes = if at == 0 { notes } else { Notes::default() };
                        take(&mut self.pool, headroom, piece, Notes { continues: at < last, ..notes })
                    })
                    .collect()
            }
        }
    }
}

/// Does what a device does with a partial checksum: sums everything, then writes the complement.
fn complete(bytes: &mut [u8], start: u16, offset: u16) {
    let (start, at) = (usize::from(start), usize::from(start) + usize::from(offset));
    let mut sum: u64 =
        bytes[start..].chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    bytes[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    assert!(Ends::of(bytes).expect("only TCP and UDP are summed").is_right(bytes), "the sum was not prepared");
}

/// The two ends of a TCP segment or a datagram, as smoltcp reads them.
struct Ends {
    source: IpAddress,
    destination: IpAddress,
    protocol: IpProtocol,
    at: usize,
}

impl Ends {
    fn of(frame: &[u8]) -> Option<Self> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        let ends = match ethernet.ethertype() {
            EthernetProtocol::Ipv4 => {
                let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
                let (source, destination) = (ip.src_addr().into(), ip.dst_addr().into());
                Self { source, destination, protocol: ip.next_header(), at: 14 + usize::from(ip.header_len()) }
            }
            EthernetProtocol::Ipv6 => {
                let ip = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
                let (source, destination) = (ip.src_addr().into(), ip.dst_addr().into());
                Self { source, destination, protocol: ip.next_header(), at: 54 }
            }
            _ => return None,
        };
        matches!(ends.protocol, IpProtocol::Tcp | IpProtocol::Udp).then_some(ends)
    }

    fn is_right(&self, frame: &[u8]) -> bool {
        let packet = &frame[self.at..];
        if self.protocol == IpProtocol::Tcp {
            TcpPacket::new_unchecked(packet).verify_checksum(&self.source, &self.destination)
        } else {
            UdpPacket::new_unchecked(packet).verify_checksum(&self.source, &self.destination)
        }
    }
}

/// Cuts a long TCP segment as a device does.
fn cut(bytes: &[u8], header_len: usize, segment_size: usize) -> Vec<Vec<u8>> {
    let ends = Ends::of(bytes).expect("only TCP is cut");
    let first = TcpPacket::new_unchecked(&bytes[ends.at..]);
    assert_eq!(header_len, ends.at + usize::from(first.header_len()), "the stated headers are not those");
    let pieces = bytes[header_len..].chunks(segment_size);
    let last = pieces.len() - 1;
    let piece = |(number, payload): (usize, &[u8])| {
        let mut piece = bytes[..header_len].to_vec();
        piece.extend_from_slice(payload);
        let len = piece.len() - 14;
        if let IpAddress::Ipv4(_) = ends.source {
            let mut ip = Ipv4Packet::new_unchecked(&mut piece[14..]);
            ip.set_total_len(len as u16);
            ip.set_ident(number as u16);
            ip.fill_checksum();
        } else {
            Ipv6Packet::new_unchecked(&mut piece[14..]).set_payload_len((len - 40) as u16);
        }
        let mut tcp = TcpPacket::new_unchecked(&mut piece[ends.at..]);
        tcp.set_seq_number(first.seq_number() + number * segment_size);
        tcp.set_fin(first.fin() && number == last);
        tcp.set_psh(first.psh() && number == last);
        tcp.fill_checksum(&ends.source, &ends.destination);
        piece
    };
    pieces.enumerate().map(piece).collect()
}

impl NetDevice for CableEnd {
    fn mac(&self) -> MacAddress {
        self.mac
    }

    fn limits(&self) -> NetLimits {
        NetLimits { offloads: self.gear.offloads, ..NetLimits::plain(self.gear.max_frame, 256) }
    }

    fn link(&mut self) -> LinkState {
        LinkState::Up
    }

    fn changes(&mut self) -> Result<Changes, DeviceFault> {
        Ok(core::mem::take(&mut self.out.lock().expect("unpoisoned").changes))
    }

    fn set_filter(&mut self, filter: &ReceiveFilter<'_>) -> Result<(), DeviceFault> {
        self.out.lock().expect("unpoisoned").filter = filter.multicast.to_vec();
        Ok(())
    }

    fn receive(&mut self, out: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        if let Some(fault) = self.out.lock().expect("unpoisoned").fault {
            return Err(fault);
        }
        let into = self.into.clone();
        let mut lane = into.lock().expect("unpoisoned");
        while let Some(packet) = lane.frames.pop_front() {
            let Some(notes) = self.judge(&packet) else { continue };
            let frames = self.arrive(&packet.bytes, notes).filter(|frames| frames.len() <= out.room());
            let Some(frames) = frames else {
                lane.frames.push_front(packet);
                break;
            };
            frames.into_iter().for_each(|frame| assert!(out.push(frame).is_ok(), "there was room"));
        }
        Ok(())
    }

    fn transmit(&mut self, frames: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        let mut lane = self.out.lock().expect("unpoisoned");
        if let Some(fault) = lane.fault {
            return Err(fault);
        }
        let mut slots = lane.slots.unwrap_or(usize::MAX);
        while !lane.full
            && slots > 0
            && let Some(frame) = frames.pop()
        {
            slots -= 1;
            self.leave(&mut lane, &frame);
        }
        Ok(())
    }

    fn frame(&mut self, len: usize) -> Option<Frame> {
        let mut buffer = if len <= self.gear.max_frame {
            self.pool.take()?
        } else {
            self.long.as_ref()?.lock().expect("unpoisoned").take()?
        };
        buffer.reset(16).ok()?;
        Some(Frame::from_buffer(buffer)).filter(|frame| len <= frame.capacity())
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        let waiting = !self.into.lock().expect("unpoisoned").frames.is_empty();
        Ok(if waiting { Armed::WorkPending } else { Armed::Idle })
    }
}
