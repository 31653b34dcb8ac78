//! [`Port`]: a [`NetDevice`] as smoltcp wants to see one.
//!
//! ```text
//!   NetDevice::receive --> incoming (burst) --> splitter --> offered --> RxToken: smoltcp reads the frame where it lies
//!   NetDevice::frame   --> spares --> TxToken: smoltcp writes the frame where it will be sent from
//!                                        |
//!   NetDevice::transmit <-- outgoing <-- offload
//! ```
//!
//! No byte of a frame is copied here, in neither direction. What came in several buffers is made into several segments
//! ([`Splitter`]); what a written frame still lacks is added ([`Offload`]).
//!
//! # Back-pressure
//!
//! Frames that the device does not take stay in `outgoing`, in order. While that burst is full, or the device has
//! no empty frame, [`transmit`](Device::transmit) gives no token: smoltcp keeps its data, and
//! [`is_refusing`](Port::is_refusing) tells the stack to come back. Only answers to a received frame (ARP and ICMP
//! replies, resets, duplicate acknowledgements) have nowhere to wait: without a frame they are written to scratch
//! memory and forgotten, which their protocols survive, and counted.
//!
//! Before smoltcp is given a token, the frame that it may want has to be at hand, and only its socket knows which that
//! is ([`Wish`]). A device has few frames for long segments. While none is free, connections with short ones go on.
//!
//! # Snooping
//!
//! smoltcp does not tell a socket's sequence numbers. What the last transmitted TCP segment said is read from the
//! frame ([`Said`]); a TIME-WAIT entry needs it.
//!
//! # Failure
//!
//! A [`DeviceFault`] is remembered. From then on nothing is received and nothing transmitted.

use alloc::boxed::Box;
use alloc::vec::Vec;

use core::num::NonZeroU16;

use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::EthernetAddress;
use toro_core::driver::net::{Burst, Changes, Checksum, Frame, MacAddress, NetDevice, Notes, ReceiveFilter};
use toro_core::driver::{Armed, DeviceFault};

use super::checksum::verify;
use super::headers::{Headers, LONGEST_HEADERS, Protocol, Version, clamp_mss};
use super::ipv6::{correct_report, take_off};
use super::offload::{Offload, Said, Sent, Unsendable};
use super::segmentation;
use super::split::Splitter;
use super::stack::Counters;

/// What a socket that has its turn may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// How many bytes are queued in it.
    pub(super) queued: usize,
    /// How many of them one segment may carry; 0 where there are no segments.
    pub(super) segment_size: u16,
}

impl Wish {
    /// What fits an ordinary frame.
    pub(super) const SHORT: Self = Self { queued: 0, segment_size: 0 };
}

/// A network device with its two bursts.
pub(super) struct Port {
    device: Box<dyn NetDevice>,
    offload: Offload,
    incoming: Burst<Frame>,
    /// The packet in several buffers that is being handed out.
    splitter: Splitter,
    outgoing: Burst<Frame>,
    /// The received frame that smoltcp shall process next.
    offered: Option<Frame>,
    /// An empty frame that a token did not use.
    spare: Option<Frame>,
    /// The same, for segments that the device shall cut.
    long_spare: Option<Frame>,
    wish: Wish,
    /// Where answers go that have no frame.
    scratch: Vec<u8>,
    refusing: bool,
    fault: Option<DeviceFault>,
    /// The last TCP segment that was written.
    sent: Option<Sent>,
    /// An ARP request or a neighbour solicitation was written since this was last asked.
    neighbor_wanted: bool,
    pub(super) counters: Counters,
}

impl Port {
    pub(super) fn new(device: Box<dyn NetDevice>) -> Self {
        let offload = Offload::new(device.limits());
        Self {
            device,
            offload,
            incoming: Burst::new(),
            splitter: Splitter::new(),
            outgoing: Burst::new(),
            offered: None,
            spare: None,
            long_spare: None,
            wish: Wish::SHORT,
            scratch: Vec::new(),
            refusing: false,
            fault: None,
            sent: None,
            neighbor_wanted: false,
            counters: Counters::default(),
        }
    }

    pub(super) fn mac(&self) -> MacAddress {
        self.device.mac()
    }

    /// The longest frame on the link.
    pub(super) fn max_frame(&self) -> usize {
        self.offload.max_frame()
    }

    /// Makes the MSS that a received SYN states no larger than what fits the link, before smoltcp sees it; answers what
    /// was stated, if anything.
    pub(super) fn agree_on_segments(&self, frame: &mut Frame) -> Option<u16> {
        let headers = Headers::of(frame).filter(|headers| headers.protocol == Protocol::Tcp)?;
        clamp_mss(&mut frame[headers.transport..], self.offload.segment_size(headers.version))
    }

    /// A received segment with more payload than this stands for several.
    pub(super) fn merged_beyond(&self, frame: &Frame) -> usize {
        match frame.notes().segmentation {
            Some(segmentation) => usize::from(segmentation.segment_size.get()),
            // No single one is longer than what we state, whatever carries it.
            None => usize::from(self.offload.segment_size(Version::V4)),
        }
    }

    /// How the device failed, if it did.
    pub(super) fn fault(&self) -> Option<DeviceFault> {
        self.fault
    }

    /// Takes the oldest frame that was fetched, if its checksums are right, or the next part of it, where it came in
    /// several buffers.
    pub(super) fn receive_frame(&mut self) -> Option<Frame> {
        loop {
            if segmentation::IS_THERE && !self.splitter.is_empty() {
                if let Some(part) = self.next_part() {
                    return Some(part);
                }
                continue;
            }
            let mut frame = self.incoming.pop()?;
            self.counters.received += 1;
            if frame.notes().continues && segmentation::IS_THERE {
                self.splitter.begin(frame, &mut self.incoming, &mut self.counters);
            } else if self.admit(&mut frame) {
                return Some(frame);
            }
        }
    }

    /// Whether frames that were fetched have not been taken yet.
    pub(super) fn has_more(&self) -> bool {
        !self.incoming.is_empty() || !self.splitter.is_empty()
    }

    #[inline(never)]
    fn next_part(&mut self) -> Option<Frame> {
        let (device, max_frame) = (&mut self.device, self.offload.max_frame());
        let mut part = self.splitter.next(&mut self.counters, |len| device.frame(len), max_frame)?;
        self.admit(&mut part).then_some(part)
    }

    /// Whether a frame may be processed: its checksums are right, as far as anybody can say, and it has no extension
    /// headers any more. Nobody needs to look again.
    pub(super) fn admit(&mut self, frame: &mut Frame) -> bool {
        if take_off(frame).is_err() {
            return false;
        }
        let notes = frame.notes();
        let Some(headers) = Headers::of(frame) else { return true };
        if !verify(frame, &headers, notes.checksum) {
            self.counters.bad_checksums += 1;
            return false;
        }
        if notes.checksum == Checksum::Plain {
            frame.set_notes(Notes { checksum: Checksum::Verified, ..notes });
        }
        true
    }

    /// Fetches received frames from the device.
    pub(super) fn fetch(&mut self) {
        if self.fault.is_none()
            && let Err(fault) = self.device.receive(&mut self.incoming)
        {
            self.fault = Some(fault);
        }
    }

    /// Lets smoltcp process this frame at its next look.
    pub(super) fn offer(&mut self, frame: Frame) {
        self.offered = Some(frame);
    }

    /// A copy of a frame, as if it had been received; `None` while no frame is free.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Option<Frame> {
        let mut frame = self.spare.take().or_else(|| self.device.frame(self.offload.max_frame()))?;
        frame.set_len(bytes.len()).ok()?;
        frame.copy_from_slice(bytes);
        Some(frame)
    }

    /// Takes back an offered frame that smoltcp did not look at.
    pub(super) fn withdraw(&mut self) {
        self.offered = None;
    }

    /// Hands written frames to the device. What it does not take stays.
    pub(super) fn flush(&mut self) {
        if self.outgoing.is_empty() {
            return;
        }
        if self.fault.is_none()
            && let Err(fault) = self.device.transmit(&mut self.outgoing)
        {
            self.fault = Some(fault);
        }
        if self.fault.is_some() {
            self.outgoing = Burst::new();
        }
    }

    /// Whether written frames wait for the device.
    pub(super) fn is_backed_up(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether there was no room for a frame since this was last cleared.
    pub(super) fn is_refusing(&self) -> bool {
        self.refusing
    }

    /// Whether there is room for an ordinary frame.
    pub(super) fn has_room(&mut self) -> bool {
        self.prepare(Wish::SHORT)
    }

    /// Forgets that there was no room.
    pub(super) fn clear_refusal(&mut self) {
        self.refusing = false;
    }

    /// What the last TCP segment said, once.
    pub(super) fn take_sent(&mut self) -> Option<Sent> {
        self.sent.take()
    }

    /// Whether an ARP request or a neighbour solicitation was written since the last call.
    pub(super) fn take_neighbor_wanted(&mut self) -> bool {
        core::mem::take(&mut self.neighbor_wanted)
    }

    /// Asks the device to receive these groups.
    pub(super) fn receive_groups(&mut self, groups: &[MacAddress]) {
        let filter = ReceiveFilter { multicast: groups, ..ReceiveFilter::default() };
        if self.fault.is_none()
            && let Err(fault) = self.device.set_filter(&filter)
        {
            self.fault = Some(fault);
        }
    }

    /// What has changed about the link since the last call.
    pub(super) fn changes(&mut self) -> Changes {
        if self.fault.is_some() {
            return Changes::default();
        }
        self.device.changes().unwrap_or_else(|fault| {
            self.fault = Some(fault);
            Changes::default()
        })
    }

    pub(super) fn arm(&mut self) -> Armed {
        if !self.incoming.is_empty() {
            return Armed::WorkPending;
        }
        if self.fault.is_some() {
            return Armed::Idle;
        }
        self.device.arm().unwrap_or_else(|fault| {
            self.fault = Some(fault);
            // The fault is work: the sockets have to hear of it.
            Armed::WorkPending
        })
    }

    /// Says what the socket wants whose turn it is.
    pub(super) fn expect(&mut self, wish: Wish) {
        self.wish = wish;
    }

    /// Makes sure that there are the empty frames that are wished for, and room to queue one.
    fn prepare(&mut self, wish: Wish) -> bool {
        if self.fault.is_some() {
            return false;
        }
        if self.outgoing.room() == 0 {
            self.flush();
        }
        if !self.stock(wish) && self.is_backed_up() {
            // Handing frames over may let the device return some.
            self.flush();
            self.stock(wish);
        }
        self.stock(wish) && self.outgoing.room() > 0
    }

    /// Gets the empty frames that are wished for, if the device has them.
    fn stock(&mut self, wish: Wish) -> bool {
        if self.spare.is_none() {
            self.spare = self.device.frame(self.offload.max_frame());
        }
        let long = (wish.queued + LONGEST_HEADERS).min(self.offload.longest());
        if wish.queued <= usize::from(wish.segment_size) || long <= self.offload.max_frame() {
            return self.spare.is_some();
        }
        if self.long_spare.as_ref().is_none_or(|frame| frame.capacity() < long) {
            self.long_spare = None;
            self.long_spare = self.device.frame(long);
        }
        self.spare.is_some() && self.long_spare.is_some()
    }

    /// Lets `write` fill a frame of `len` bytes and queues it, or has it fill scratch memory in vain.
    pub(super) fn write<R>(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        if !self.prepare(Wish::SHORT) {
            return self.scribble(len, write);
        }
        self.write_segment(len, None, write)
    }

    /// The same for what may have to be cut into segments of `segment_size`, after [`prepare`](Self::prepare).
    fn write_segment<R>(
        &mut self,
        len: usize,
        segment_size: Option<NonZeroU16>,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let spare = if len > self.offload.max_frame() { &mut self.long_spare } else { &mut self.spare };
        let Some(mut frame) = spare.take_if(|frame| len <= frame.capacity()) else { return self.scribble(len, write) };
        // It has the capacity.
        let _ = frame.set_len(len);
        let result = write(&mut frame);
        correct_report(&mut frame);
        match self.offload.finish(&mut frame, segment_size) {
            Ok(said) => {
                self.note(said);
                self.counters.transmitted += 1;
                if self.outgoing.push(frame).is_err() {
                    // `prepare` saw room; even so, losing a frame is what networks do.
                    self.counters.answers_lost += 1;
                }
            }
            Err(Unsendable) => self.counters.answers_lost += 1,
        }
        result
    }

    /// Has `write` fill scratch memory in vain.
    fn scribble<R>(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        self.counters.answers_lost += 1;
        if self.scratch.len() < len {
            self.scratch.resize(len, 0);
        }
        write(&mut self.scratch[..len])
    }

    fn note(&mut self, said: Said) {
        match said {
            Said::Tcp(sent) => self.sent = Some(sent),
            Said::WhoHas => self.neighbor_wanted = true,
            Said::Nothing => {}
        }
    }
}

impl Device for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _now: SmolInstant) -> Option<(Received, Room<'_>)> {
        let frame = self.offered.take()?;
        Some((Received { frame }, Room { port: self, reason: Reason::Answer }))
    }

    fn transmit(&mut self, _now: SmolInstant) -> Option<Room<'_>> {
        if self.prepare(self.wish) {
            // smoltcp does not say it with segments over IPv6.
            let segment_size = NonZeroU16::new(self.wish.segment_size);
            Some(Room { port: self, reason: Reason::Turn(segment_size) })
        } else {
            self.refusing = true;
            None
        }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.offload.capabilities()
    }
}

/// A received frame. It goes back to its pool when smoltcp has looked at it.
pub(super) struct Received {
    frame: Frame,
}

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.frame)
    }
}

/// The right to write a frame.
pub(super) struct Room<'a> {
    port: &'a mut Port,
    reason: Reason,
}

/// Why a frame is written.
#[derive(Clone, Copy)]
enum Reason {
    /// A received frame deserves an answer.
    Answer,
    /// A socket has its turn; its segments have at most this length. Frames are ready.
    Turn(Option<NonZeroU16>),
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        match self.reason {
            Reason::Answer => self.port.write(len, f),
            Reason::Turn(segment_size) => self.port.write_segment(len, segment_size, f),
        }
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        if let Some(size) = segmentation::size(&meta) {
            self.reason = Reason::Turn(Some(size));
        }
    }
}

/// A MAC address in smoltcp's words.
pub(super) fn ethernet_address(mac: MacAddress) -> EthernetAddress {
    EthernetAddress(mac.0)
}
