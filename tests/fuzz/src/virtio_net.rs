//! Target `virtio_net`: a network card that says what it likes, at any time, under the driver for it.
//!
//! | head | meaning |
//! |---|---|
//! | byte 0 | bits 0 and 1 the bus, bit 2 EVENT_IDX, bit 3 INDIRECT_DESC, bit 4 no ANY_LAYOUT, bits 5 and up: size of the queues |
//! | 8 bytes | features that are offered besides |
//! | 1 byte | length of the configuration, up to 20 bytes, which follow |
//!
//! | step | arguments | what happens |
//! |---|---|---|
//! | 0 | | the end |
//! | 1, 2, 3 | | receive, arm, changes |
//! | 4 | notes, length, start, offset (2 each), size (2) | a frame is transmitted |
//! | 5 | switches, addresses, groups | a filter is set |
//! | 6 | what, id (2) | VLANs, or large receive |
//! | 7 | queue | the card takes what is available |
//! | 8 | header (12), length (4) | the card fills the oldest receive buffer, and says so |
//! | 9 | parts, header (10), length of the last (2) | the card receives an honest packet of several buffers |
//! | 10 | queue, answer | the card completes what it has taken: frames, or a command with that answer |
//! | 11 | queue, id (4), length (4) | the card gives back something |
//! | 12 | queue, index (2) | the card shows a used index |
//! | 13 | queue, offset (2), value (8) | the card writes anywhere into a queue's memory |
//! | 14 | offset, value | the configuration changes, and the card says so |
//! | 15 | | frames that were held are dropped |
//!
//! # What is held
//!
//! - A received packet is as long as one can be, and its notes are about what is in it and was negotiated.
//! - The parts of a packet come together, each with room for headers.
//! - A sent frame has the header that its notes ask for, and asks for no more than was negotiated.
//! - A fault stays, and everything else goes on without growing.

use std::collections::VecDeque;

use toro_core::driver::net::{
    Burst, Checksum, Frame, MacAddress, NetDevice, Notes, ReceiveFilter, Segmentation, SegmentationKind,
};
use toro_core::driver::{AttachError, DeviceFault};
use virtio_net::wire::{Header, flags};
use virtio_net::{Options, Switch, VirtioNet, features};
use virtio_queue_rt::attach::BoxedTransport;
use virtio_queue_rt::{FeatureBits, Interrupts, LegacyMmioTransport, LegacyPciTransport};
use virtio_sim::pci::Vectors;
use virtio_sim::{Device, LegacyMmioModel, PciModel, SimMemory};
use zerocopy::{FromBytes, IntoBytes};

use crate::clock::CLOCK;
use crate::function::messages;
use crate::peers::{self, Peers};
use crate::script::Script;

/// Steps of one input at most.
const MOST_STEPS: usize = 384;
/// An IPv6 packet whose length field says the most, and its Ethernet header.
const LONGEST_PACKET: usize = 14 + 40 + 65_535;
/// The headroom of parts.
const HEADROOM: usize = 128;

/// A driver and its card.
struct Story {
    memory: &'static SimMemory,
    device: Device,
    net: VirtioNet<BoxedTransport>,
    /// Receive, transmit, control if there is one.
    peers: Peers,
    held: VecDeque<Frame>,
    accepted: FeatureBits,
    header_len: usize,
    fault: Option<DeviceFault>,
    blocks: usize,
    /// Whether the card wrote where it may not, so that what it finds may be anything.
    is_spoilt: bool,
}

/// Runs an input; says why the driver did not take the card, if so.
pub fn body(input: &[u8], memory: &'static SimMemory) -> Option<AttachError> {
    let script = Script::new(input);
    let head = script.byte();
    let device = card(&script, head);
    let transport = transport(&device, head);
    let options = Options {
        receive_slots: 64,
        transmit_slots: 16,
        receive_spare: 4,
        large_frames: 2,
        largest_mtu: 4000,
        vlan_filter: Switch::On,
        ..Options::default()
    };
    let net = match VirtioNet::new(transport, memory, &CLOCK, &options) {
        Ok(net) => net,
        Err(error) => {
            assert_eq!(memory.blocks(), 0, "HD-G-5: a failed attachment left memory");
            return Some(error);
        }
    };
    let accepted = FeatureBits::from_bits(device.state().accepted);
    let peers = Peers::of(&device, memory);
    let is_short = head & 2 != 0 && !accepted.contains(features::MRG_RXBUF);
    let header_len = if is_short { 10 } else { 12 };
    let (held, blocks) = (VecDeque::new(), memory.blocks());
    let mut story =
        Story { memory, device, net, peers, held, accepted, header_len, fault: None, blocks, is_spoilt: false };
    for _ in 0..MOST_STEPS {
        if !story.step(&script) {
            break;
        }
        assert_eq!(story.memory.blocks(), story.blocks, "traffic takes memory");
    }
    None
}

/// The card that the head of an input describes.
fn card(script: &Script<'_>, head: u8) -> Device {
    let mut offered = u64::from_le_bytes(script.bytes()) & FeatureBits::DEVICE.bits();
    if head & 2 == 0 {
        offered |= FeatureBits::VERSION_1.bits();
    } else if head & 16 == 0 {
        offered |= FeatureBits::ANY_LAYOUT.bits();
    }
    for (bit, feature) in [(4, FeatureBits::EVENT_IDX), (8, FeatureBits::INDIRECT_DESC)] {
        if head & bit != 0 {
            offered |= feature.bits();
        }
    }
    let size = 8 << ((head >> 5) % 4);
    let len = script.byte() % 21;
    Device::new(1, offered, &[size, size, 64], script.take(len.into()))
}

/// The bus that it is on.
fn transport(device: &Device, head: u8) -> BoxedTransport {
    let device = device.clone();
    match head & 3 {
        0 => peers::on_mmio(device),
        1 => peers::on_pci(device),
        2 => Box::new(LegacyMmioTransport::new(LegacyMmioModel::new(device)).expect("sound registers")),
        _ => {
            let messages = messages();
            let (config, bars) = PciModel::legacy(device, Vectors::Some(4));
            let interrupts = Interrupts::Messages(&messages[..1]);
            Box::new(LegacyPciTransport::new(&config, &bars, interrupts).expect("sound registers"))
        }
    }
}

impl Story {
    /// One step; `false` at the end.
    fn step(&mut self, script: &Script<'_>) -> bool {
        match script.byte() % 16 {
            0 => return false,
            1 => self.receive(),
            2 => self.noted(|net| net.arm().map(drop)),
            3 => self.noted(|net| net.changes().map(drop)),
            4 => self.transmit(script),
            5 => {
                let [switches, unicast, multicast] = script.bytes();
                let addresses: [MacAddress; 80] = std::array::from_fn(|i| MacAddress([2, 0, 0, 0, multicast, i as u8]));
                let filter = ReceiveFilter {
                    promiscuous: switches & 1 != 0,
                    all_multicast: switches & 2 != 0,
                    unicast: &addresses[..usize::from(unicast) % 81],
                    multicast: &addresses[..usize::from(multicast) % 81],
                };
                self.noted(|net| net.set_filter(&filter));
            }
            6 => {
                let (what, id) = (script.byte(), script.word());
                let switch = Switch::from(what & 1 != 0);
                self.noted(|net| match what & 2 {
                    0 => net.set_vlan(id, switch).map(drop),
                    _ => net.set_large_receive(switch).map(drop),
                });
            }
            7 => self.peers.pick(script).take_all(),
            8 => {
                let (header, claimed) = (script.bytes::<12>(), script.long());
                self.fill(&header, claimed, claimed);
            }
            9 => self.honest(script),
            10 => {
                let (answer, peer) = {
                    let peer = self.peers.pick(script);
                    (script.byte(), peer)
                };
                if let Some(chain) = peer.chains.pop_front() {
                    let last = chain.parts.last().filter(|part| part.is_writable).copied();
                    if let Some(part) = last.filter(|part| part.len == 1) {
                        peer.poke(part.address, answer);
                    }
                    peer.push(u32::from(chain.head), 1, 1);
                }
            }
            11 => self.peers.pick(script).return_anything(script),
            12 => self.peers.pick(script).show_anything(script),
            13 => {
                self.is_spoilt = true;
                self.peers.pick(script).spoil_anything(script);
            }
            14 => peers::change_configuration(&self.device, script),
            _ => self.held.clear(),
        }
        true
    }

    /// Does something that may find a fault.
    fn noted(&mut self, act: impl FnOnce(&mut VirtioNet<BoxedTransport>) -> Result<(), DeviceFault>) {
        if let Err(fault) = act(&mut self.net) {
            let has_lied = self.peers.have_lied() || matches!(fault, DeviceFault::PacketTooLong { .. });
            assert!(has_lied, "a fault out of nothing: {fault}");
            self.fault = Some(fault);
        }
    }

    /// The card fills the oldest receive buffer that it has, as far as it goes.
    fn fill(&mut self, header: &[u8], len: u32, claimed: u32) -> bool {
        let header_len = self.header_len;
        let peer = &mut self.peers[0];
        if peer.chains.is_empty() {
            peer.take_all();
        }
        let Some(chain) = peer.chains.pop_front() else { return false };
        peer.write(&chain, len.min(4096));
        let places = chain.parts.iter().flat_map(|part| (0..u64::from(part.len.min(16))).map(|at| part.address + at));
        for (place, byte) in places.zip(header.iter().take(header_len)) {
            peer.poke(place, *byte);
        }
        peer.push(u32::from(chain.head), claimed, 1);
        true
    }

    /// The card receives a packet of several buffers.
    fn honest(&mut self, script: &Script<'_>) {
        let parts = u16::from(script.byte() % 36) + 1;
        let (start, last) = (script.bytes::<10>(), u32::from(script.word() % 1900) + 1);
        let header = [&start[..], &parts.to_le_bytes()].concat();
        for part in 1..=parts {
            let len = if part == parts { last + 26 } else { 1900 };
            let header = if part == 1 { &header[..] } else { &[] };
            if !self.fill(header, len, len) {
                break;
            }
        }
    }

    fn receive(&mut self) {
        let before = self.net.counters();
        let mut burst = Burst::new();
        let known = self.fault;
        self.noted(|net| net.receive(&mut burst));
        let after = self.net.counters();
        assert!(after.malformed >= before.malformed && after.refused == before.refused);
        if let Some(fault @ DeviceFault::PacketTooLong { .. }) = known {
            assert_eq!((self.fault, burst.len()), (Some(fault), 0), "a fault stays");
        }
        while let Some(frame) = burst.pop() {
            self.check_packet(frame, &mut burst);
        }
        while self.held.len() > 20 {
            self.held.pop_front();
        }
    }

    /// Holds what is true of every packet.
    fn check_packet(&mut self, first: Frame, burst: &mut Burst<Frame>) {
        let notes = first.notes();
        let (first_len, mut len, mut continues) = (first.len(), first.len(), notes.continues);
        assert!(first_len >= 14, "HD-NET-2");
        self.held.push_back(first);
        while continues {
            assert!(self.accepted.contains(features::MRG_RXBUF), "HD-NET-6");
            let mut part = burst.pop().expect("the parts of a packet come together");
            assert!(!part.is_empty(), "HD-NET-8");
            len += part.len();
            continues = part.notes().continues;
            assert_eq!(part.notes(), Notes { continues, ..Notes::default() });
            part.push_front(HEADROOM).expect("room for headers");
            self.held.push_back(part);
        }
        assert!(len <= LONGEST_PACKET, "HD-NET-7");
        let checks = self.accepted.contains(features::GUEST_CSUM);
        match notes.checksum {
            Checksum::Plain => {}
            Checksum::Verified => assert!(checks, "HD-NET-12"),
            Checksum::Partial { start, offset } => {
                assert!(checks, "HD-NET-12");
                assert!(start >= 14 && usize::from(start) + usize::from(offset) + 2 <= first_len, "HD-NET-11");
            }
        }
        match notes.segmentation {
            None => assert!(len <= self.net.limits().max_frame, "HD-NET-13"),
            Some(Segmentation { over, segment_size, header_len }) => {
                let feature = match over {
                    SegmentationKind::Tcp4 => features::GUEST_TSO4,
                    SegmentationKind::Tcp6 => features::GUEST_TSO6,
                };
                assert!(self.accepted.contains(feature), "HD-NET-9");
                assert!(matches!(notes.checksum, Checksum::Partial { .. }), "HD-NET-9");
                assert!(usize::from(segment_size.get()) <= len && header_len == 0, "HD-NET-10");
            }
        }
    }

    fn transmit(&mut self, script: &Script<'_>) {
        let (kind, len) = (script.byte(), usize::from(script.word()));
        let (start, offset, size) = (script.word(), script.word(), script.word());
        let over = if kind & 2 == 0 { SegmentationKind::Tcp4 } else { SegmentationKind::Tcp6 };
        let segmentation = core::num::NonZeroU16::new(size)
            .filter(|_| kind & 4 != 0)
            .map(|segment_size| Segmentation { over, segment_size, header_len: start.wrapping_add(20) });
        let checksum = if kind & 1 == 0 { Checksum::Plain } else { Checksum::Partial { start, offset } };
        let notes = Notes { checksum, segmentation, continues: kind & 8 != 0 };
        let Some(mut frame) = self.net.frame(len) else { return };
        frame.set_len(len).expect("it was asked for that long");
        frame.set_notes(notes);
        let mut burst = Burst::new();
        assert!(burst.push(frame).is_ok(), "it is empty");
        let refused = self.net.counters().refused;
        self.noted(|net| net.transmit(&mut burst));
        let is_sent = burst.is_empty() && self.net.counters().refused == refused;
        let peer = &mut self.peers[1];
        if !is_sent || peer.is_lenient || self.is_spoilt {
            return;
        }
        peer.take_all();
        let Some(chain) = peer.chains.back() else { return };
        let bytes: u32 = chain.parts.iter().map(|part| part.len).sum();
        assert_eq!(bytes as usize, self.header_len + len);
        let mut header = [0; 12];
        for (byte, at) in header.iter_mut().zip(0..self.header_len as u64) {
            let place = self.memory.at(chain.parts[0].address + at, 1);
            // SAFETY: the driver does not touch a buffer in flight, and the card only reads it.
            *byte = unsafe { place.read() };
        }
        let header = Header::read_from_bytes(header.as_bytes()).expect("as long as it is");
        assert_eq!(header.num_buffers.get(), 0, "NET-8");
        let expected = if kind & 1 == 0 { 0 } else { flags::NEEDS_CSUM };
        assert_eq!(header.flags, expected, "NET-9, NET-14");
        assert!(header.flags == 0 || self.accepted.contains(features::CSUM), "NET-9");
        let limit = match segmentation {
            None => self.net.limits().max_frame,
            Some(_) => {
                let feature = if kind & 2 == 0 { features::HOST_TSO4 } else { features::HOST_TSO6 };
                assert!(self.accepted.contains(feature) && header.flags == flags::NEEDS_CSUM, "NET-10, NET-11");
                assert_eq!(header.gso_size.get(), size, "NET-11");
                65_536
            }
        };
        assert!((14..=limit).contains(&len), "NET-4");
        assert_eq!(header.gso_type == 0, segmentation.is_none(), "NET-10");
    }
}

/// Stories about cards.
pub fn seeds() -> crate::seeds::Seeds {
    // Everything is offered.
    let head = |first: u8, features: u64| {
        let mut input = vec![first];
        input.extend(features.to_le_bytes());
        input.push(17);
        input.extend([0x52, 0x54, 0, 1, 2, 3, 1, 0, 1, 0, 0xdc, 5, 0x10, 0x27, 0, 0, 1]);
        input
    };
    let all = u64::MAX;
    let plain = (features::MAC | features::STATUS).bits();
    const LONG: [u8; 10] = [1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0];
    let honest = |parts: u8| [&[9, parts - 1][..], &LONG, &[200, 0], &[1]].concat();
    let raw = |header: [u8; 12], len: u32| [&[8][..], &header, &len.to_le_bytes(), &[1]].concat();
    let headed = |start: [u8; 10], buffers: u16| {
        let mut header = [0; 12];
        header[..10].copy_from_slice(&start);
        header[10..].copy_from_slice(&buffers.to_le_bytes());
        header
    };
    let send = |kind: u8, len: u16, start: u16, offset: u16, size: u16| {
        let mut step = vec![4, kind];
        for word in [len, start, offset, size] {
            step.extend(word.to_le_bytes());
        }
        step
    };
    let sends =
        [send(0, 60, 0, 0, 0), send(1, 100, 34, 16, 0), send(5, 3000, 34, 16, 1400), vec![7, 1, 10, 1, 0]].concat();
    let command = [5, 0, 2, 1, 7, 2, 10, 2, 0, 3, 10, 2, 0, 10, 2, 0, 3, 2];
    let story = |first: u8, features: u64, parts: &[&[u8]]| [&head(first, features)[..], &parts.concat()].concat();
    let card = |parts: &[&[u8]]| story(0x64, all, parts);
    let obedient: [&[u8]; 4] = [&honest(1), &honest(4), &sends, &command];
    vec![
        ("obedient", card(&obedient)),
        ("obedient_by_messages", story(0x65, all, &obedient)),
        ("obedient_legacy", story(0x66, all & 0xffff_ffff, &obedient)),
        ("obedient_legacy_by_messages", story(0x6f, all & 0xffff_ffff, &obedient)),
        ("obedient_with_a_fixed_layout", story(0x72, all & 0xffff_ffff, &obedient)),
        ("obedient_and_plain", story(0x60, plain, &[&honest(1), &sends])),
        ("hd_net_1", card(&[&raw(headed(LONG, 1), 11)])),
        ("hd_net_2", card(&[&raw(headed(LONG, 1), 20)])),
        ("hd_net_3", card(&[&raw(headed(LONG, 1), 70_000)])),
        ("hd_net_4", card(&[&raw(headed(LONG, 0), 100), &honest(1)])),
        ("hd_net_5", card(&[&raw(headed(LONG, 200), 100)])),
        ("hd_net_6", story(0x60, plain, &[&raw(headed([0; 10], 9), 100)])),
        ("hd_net_7", card(&[&honest(36)])),
        ("hd_net_8", card(&[&raw(headed(LONG, 2), 1920), &raw([0; 12], 0)])),
        ("hd_net_9", card(&[&raw(headed([1, 3, 0, 0, 1, 0, 34, 0, 16, 0], 1), 100)])),
        ("hd_net_10", card(&[&raw(headed([1, 1, 0, 0, 0, 0, 34, 0, 16, 0], 1), 100)])),
        ("hd_net_11", card(&[&raw(headed([1, 0, 0, 0, 0, 0, 200, 0, 16, 0], 1), 100)])),
        ("hd_net_12", story(0x60, plain, &[&raw(headed([2; 10], 1), 100)])),
        ("hd_net_15", card(&[&[5, 0, 1, 1, 7, 2, 10, 2, 0xff, 3, 10, 2, 1, 3]])),
        ("hd_net_16", card(&[&[2, 14, 6, 3, 2, 3, 14, 6, 2, 2, 3, 7, 2, 10, 2, 0, 3, 14, 6, 3, 2, 3]])),
        ("hd_vq_1", card(&[&[11, 0, 1, 0, 1, 0, 16, 0, 0, 0, 1, 1, 2]])),
        ("hd_vq_6", card(&[&[12, 1, 0xff, 0xff], &sends, &[2]])),
    ]
}
