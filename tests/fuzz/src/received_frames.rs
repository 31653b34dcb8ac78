//! Target `received_frames`: frames of any bytes, with any notes, for a network stack that is in the middle of things.
//!
//! | input | meaning |
//! |---|---|
//! | byte 0 | bit 0: the device cuts and sums; bit 1: IPv6 segments; bit 2: it refuses frames now and then; bit 3: Reno |
//! | steps | see below |
//!
//! | step | what follows | meaning |
//! |---|---|---|
//! | 0 | notes, length, bytes | a frame of these bytes |
//! | 1 | notes, connection, flags, four numbers, length, bytes | a TCP segment for a connection, in place or near it |
//! | 2 | notes, port, length, bytes | a datagram |
//! | 3 | how many milliseconds, by powers of two | time passes |
//! | 4 | what, length | the application accepts, reads, writes, closes, connects |
//! | 5 | at, value | the next made frame has this byte changed |
//!
//! The notes: how the checksum is, whether the frame stands for several, into how many buffers it is cut and how much room
//! is in front of them.
//!
//! Held: no panic; what is sent keeps what the device has promised and no more; buffers stay within their budget; and when
//! the stack is gone, no byte is left of it, frames included.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use toro::net::stack::{ConnectionId, Stack, UdpId};
use toro::net::{Addressing, Addressing6, BufferSizes, Config, Congestion, StaticAddress, StaticAddress6};
use toro_core::driver::net::{
    Burst, Changes, Checksum, Frame, LinkState, MacAddress, NetDevice, NetLimits, Notes, Offloads, ReceiveFilter,
    Segmentation, SegmentationKind,
};
use toro_core::driver::{Armed, DeviceFault};
use toro_core::{DmaPool, Instant};
use virtio_sim::SimMemory;

use crate::script::Script;

const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 2];
const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const HERE6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 15);
const THERE6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const MAX_FRAME: usize = 1514;
const LONG: usize = 65_549;
const BUDGET: usize = 256 << 10;
const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// Where a connection is, as far as our last segment says: port there, family, next number, acknowledged.
#[derive(Clone, Copy, Default)]
struct Place {
    next: u32,
    acknowledged: u32,
}

/// What device and input share.
#[derive(Default)]
struct Wire {
    incoming: VecDeque<Vec<Frame>>,
    places: [Place; 8],
    refuses: bool,
}

struct Device {
    wire: Arc<Mutex<Wire>>,
    offloads: Offloads,
    ordinary: DmaPool,
    long: Option<DmaPool>,
}

fn locked(wire: &Mutex<Wire>) -> MutexGuard<'_, Wire> {
    wire.lock().expect("nobody panics with it")
}

impl Device {
    /// Holds a frame to what was promised, and remembers what it says about its connection.
    fn check(&self, frame: &Frame, wire: &mut Wire) {
        let notes = frame.notes();
        assert!(!notes.continues);
        if let Checksum::Partial { start, offset } = notes.checksum {
            assert!(self.offloads.checksum);
            assert!(usize::from(start) + usize::from(offset) + 2 <= frame.len());
        }
        match notes.segmentation {
            None => assert!(frame.len() <= MAX_FRAME, "{} bytes", frame.len()),
            Some(segmentation) => {
                let most = match segmentation.over {
                    SegmentationKind::Tcp4 => self.offloads.max_tcp4,
                    SegmentationKind::Tcp6 => self.offloads.max_tcp6,
                };
                assert!(frame.len() <= most);
                assert!(matches!(notes.checksum, Checksum::Partial { .. }));
                let cut = usize::from(segmentation.header_len) + usize::from(segmentation.segment_size.get());
                assert!(cut <= MAX_FRAME && cut < frame.len());
            }
        }
        let at = match frame[12..14] {
            [8, 0] if frame[23] == 6 => 34,
            [0x86, 0xdd] if frame[20] == 6 => 54,
            _ => return,
        };
        let port = u16::from_be_bytes([frame[at + 2], frame[at + 3]]);
        let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().expect("four bytes"));
        let payload = frame.len() - at - usize::from(frame[at + 12] >> 4) * 4;
        let flags = frame[at + 13];
        let len = payload as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        wire.places[usize::from(port % 8)] =
            Place { next: number(at + 4).wrapping_add(len), acknowledged: number(at + 8) };
    }
}

impl NetDevice for Device {
    fn mac(&self) -> MacAddress {
        MacAddress(OURS)
    }

    fn limits(&self) -> NetLimits {
        NetLimits { offloads: self.offloads, ..NetLimits::plain(MAX_FRAME, 16) }
    }

    fn link(&mut self) -> LinkState {
        LinkState::Up
    }

    fn changes(&mut self) -> Result<Changes, DeviceFault> {
        Ok(Changes::default())
    }

    fn set_filter(&mut self, _: &ReceiveFilter<'_>) -> Result<(), DeviceFault> {
        Ok(())
    }

    fn receive(&mut self, out: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        let mut wire = locked(&self.wire);
        while let Some(frames) = wire.incoming.pop_front_if(|frames| frames.len() <= out.room()) {
            frames.into_iter().for_each(|frame| assert!(out.push(frame).is_ok()));
        }
        Ok(())
    }

    fn transmit(&mut self, frames: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        let wire = self.wire.clone();
        let mut wire = locked(&wire);
        let most = if wire.refuses { 1 } else { usize::MAX };
        for _ in 0..most {
            let Some(frame) = frames.pop() else { break };
            self.check(&frame, &mut wire);
        }
        Ok(())
    }

    fn frame(&mut self, len: usize) -> Option<Frame> {
        let pool = if len <= MAX_FRAME { &mut self.ordinary } else { self.long.as_mut()? };
        let mut buffer = pool.take()?;
        buffer.reset(16).ok()?;
        Some(Frame::from_buffer(buffer))
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        Ok(Armed::Idle)
    }
}

/// How a frame arrives.
#[derive(Clone, Copy)]
struct Arrival {
    notes: Notes,
    buffers: usize,
    headroom: usize,
}

impl Arrival {
    fn read(script: &Script<'_>) -> Self {
        let [how, cut] = script.bytes();
        let checksum = match how & 3 {
            0 => Checksum::Verified,
            1 => Checksum::Plain,
            2 => Checksum::Partial { start: 34, offset: 16 },
            _ => Checksum::Partial { start: u16::from(cut) * 257, offset: u16::MAX },
        };
        let over = if how & 8 == 0 { SegmentationKind::Tcp4 } else { SegmentationKind::Tcp6 };
        let segment_size = NonZeroU16::new(u16::from(cut)).filter(|_| how & 4 != 0);
        let segmentation = segment_size.map(|segment_size| Segmentation { over, segment_size, header_len: 0 });
        Self {
            notes: Notes { checksum, segmentation, continues: false },
            buffers: usize::from(how >> 4) + 1,
            headroom: if cut & 1 == 0 { 160 } else { 0 },
        }
    }
}

struct Story {
    stack: Stack<()>,
    wire: Arc<Mutex<Wire>>,
    pool: DmaPool,
    now: Instant,
    connections: Vec<ConnectionId>,
    sockets: Vec<UdpId>,
    change: Option<(usize, u8)>,
}

impl Story {
    /// Has a frame arrive.
    fn arrive(&mut self, mut bytes: Vec<u8>, arrival: Arrival) {
        if let Some((at, value)) = self.change.take()
            && let Some(byte) = bytes.get_mut(at)
        {
            *byte = value;
        }
        let size = bytes.len().div_ceil(arrival.buffers).max(1);
        let parts: Vec<&[u8]> = if bytes.is_empty() { vec![&[]] } else { bytes.chunks(size).collect() };
        let count = parts.len();
        let mut frames = Vec::new();
        for (at, part) in parts.into_iter().enumerate() {
            let Some(mut buffer) = self.pool.take() else { return };
            if buffer.reset(arrival.headroom).is_err() || buffer.extend(part).is_err() {
                return;
            }
            let mut frame = Frame::from_buffer(buffer);
            frame.set_notes(Notes { continues: at + 1 < count, ..arrival.notes });
            frames.push(frame);
        }
        locked(&self.wire).incoming.push_back(frames);
        self.poll();
    }

    fn poll(&mut self) {
        let _ = self.stack.poll(self.now);
        let _ = self.stack.poll(self.now);
        assert!(self.stack.usage().memory <= BUDGET);
    }

    /// An IP packet from there to here around a transport packet.
    fn packet(six: bool, protocol: u8, transport: &[u8]) -> Vec<u8> {
        let mut bytes = [&OURS[..], &THEIRS[..]].concat();
        if six {
            bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            bytes.extend((transport.len() as u16).to_be_bytes());
            bytes.extend([protocol, 64]);
            bytes.extend(THERE6.octets());
            bytes.extend(HERE6.octets());
        } else {
            let mut header = vec![0x45, 0];
            header.extend((20 + transport.len() as u16).to_be_bytes());
            header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            header.extend(THERE.octets());
            header.extend(HERE.octets());
            let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
            let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            bytes.extend([8, 0]);
            bytes.extend(header);
        }
        bytes.extend(transport);
        bytes
    }

    fn segment(&mut self, script: &Script<'_>) {
        let arrival = Arrival::read(script);
        let [which, flags, near, far, window, len] = script.bytes();
        let place = locked(&self.wire).places[usize::from(which % 8)];
        let near = i32::from(near as i8) as u32;
        let far = i32::from(far as i8) as u32;
        let mut tcp = (1000 + u16::from(which % 8)).to_be_bytes().to_vec();
        tcp.extend(80_u16.to_be_bytes());
        tcp.extend(place.acknowledged.wrapping_add(near).to_be_bytes());
        tcp.extend(place.next.wrapping_add(far).to_be_bytes());
        let options: &[u8] = if flags & SYN != 0 { &[2, 4, 5, 180, 1, 3, 3, 7] } else { &[] };
        tcp.extend([(((20 + options.len()) / 4) << 4) as u8, flags]);
        tcp.extend((u16::from(window) * 257).to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(options);
        // Long ones repeat what there is.
        let content = script.take(usize::from(len));
        let times = if which & 0x10 == 0 { 1 } else { 32 };
        (0..times).for_each(|_| tcp.extend(content));
        self.arrive(Self::packet(which & 0x20 != 0, 6, &tcp), arrival);
    }

    fn datagram(&mut self, script: &Script<'_>) {
        let arrival = Arrival::read(script);
        let [port, len] = script.bytes();
        let content = script.take(usize::from(len));
        let mut udp = 53_u16.to_be_bytes().to_vec();
        udp.extend((u16::from(port & 3) + 7).to_be_bytes());
        udp.extend((8 + content.len() as u16).to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(content);
        self.arrive(Self::packet(port & 0x20 != 0, 17, &udp), arrival);
    }

    fn application(&mut self, what: u8, len: u8, listener: &toro::net::stack::ListenerId) {
        let which = usize::from(len & 7);
        let mut buffer = vec![len; usize::from(len) << (what >> 4)];
        let connection = self.connections.get(which % self.connections.len().max(1));
        match (what & 7, connection) {
            (0, _) => self.connections.extend(self.stack.accept(listener).map(|accepted| accepted.id)),
            (1, Some(id)) => _ = self.stack.receive(id, &mut buffer),
            (2, Some(id)) => _ = self.stack.send(id, &buffer),
            (3, Some(_)) => {
                let id = self.connections.swap_remove(which % self.connections.len());
                self.stack.close(id);
            }
            (4, Some(id)) => _ = self.stack.finish(id),
            (5, _) => {
                let remote = if len & 8 == 0 {
                    SocketAddr::from((THERE, 1000 + u16::from(len & 7)))
                } else {
                    (THERE6, 1000).into()
                };
                self.connections.extend(self.stack.connect(remote, ()).map(|(id, _)| id));
            }
            (6, _) => {
                for id in &self.sockets {
                    let _ = self.stack.receive_from(id, &mut buffer);
                    let _ = self.stack.send_to(id, &buffer, SocketAddr::from((THERE, 9)));
                }
            }
            _ => locked(&self.wire).refuses ^= true,
        }
        self.poll();
    }
}

/// Runs an input; answers what the stack has counted.
pub fn body(input: &[u8], memory: &'static SimMemory) -> toro::net::stack::Counters {
    let script = Script::new(input);
    let how = script.byte();
    let long = if how & 1 == 0 { 0 } else { LONG };
    let offloads = Offloads { checksum: how & 1 != 0, max_tcp4: long, max_tcp6: if how & 2 == 0 { 0 } else { long } };
    let wire = Arc::new(Mutex::new(Wire { refuses: how & 4 != 0, ..Wire::default() }));
    let pool = |count, size| DmaPool::new(memory, count, size).expect("the memory is large");
    let device =
        Device { wire: wire.clone(), offloads, ordinary: pool(8, 2048), long: (long > 0).then(|| pool(2, LONG + 64)) };
    let config = Config {
        addressing: Addressing::Static(StaticAddress { address: HERE, prefix: 24, gateway: None }),
        addressing6: Addressing6::Static(StaticAddress6 { address: HERE6, prefix: 64, gateway: None }),
        seed: 1,
        memory: BUDGET,
        bulk: BufferSizes { receive: 20_000, transmit: 40_000 },
        congestion: if how & 8 == 0 { Congestion::None } else { Congestion::Reno },
        ..Config::default()
    };
    let now = Instant::from_nanos(1_000_000_000);
    let stack = Stack::new(Box::new(device), config, (), now);
    let receive = pool(64, 10_000);
    let mut story =
        Story { stack, wire, pool: receive, now, connections: Vec::new(), sockets: Vec::new(), change: None };
    let any = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let any4 = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let (listener, _) = story.stack.listen(any(80), 4, ()).expect("the port is free");
    story.sockets.extend([any4(7), any(8)].into_iter().filter_map(|end| Some(story.stack.bind_udp(end, ()).ok()?.0)));
    // Neighbours say where they are, so that answers have somewhere to go.
    let arp = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &THEIRS, &THERE.octets(), &[0; 6], &HERE.octets()].concat();
    let arp = [&[0xff; 6][..], &THEIRS, &[8, 6], &arp].concat();
    let plain = Arrival { notes: Notes::default(), buffers: 1, headroom: 0 };
    story.arrive(arp, plain);
    while !script.is_over() {
        match script.byte() % 6 {
            0 => {
                let arrival = Arrival::read(&script);
                let len = usize::from(script.word() % 4096);
                story.arrive(script.take(len).to_vec(), arrival);
            }
            1 => story.segment(&script),
            2 => story.datagram(&script),
            3 => {
                story.now = story.now.saturating_add(Duration::from_millis(1 << script.below(20)));
                story.poll();
            }
            4 => {
                let [what, len] = script.bytes();
                story.application(what, len, &listener);
            }
            _ => {
                let [at, value] = script.bytes();
                story.change = Some((at.into(), value));
            }
        }
    }
    story.stack.counters()
}

/// A handshake, an answer, and each way in which frames can arrive.
pub fn seeds() -> crate::seeds::Seeds {
    let open = [1, 0, 0, 0, SYN, 0, 0, 200, 0];
    let agree = [1, 0, 0, 0, ACK, 0, 0, 200, 0];
    let ask = |how: u8, cut: u8, which: u8| [&[1, how, cut, which, ACK, 0, 0, 200, 200][..], &[b'x'; 200]].concat();
    let handshake = |how: u8| [&[how][..], &open, &agree, &[4, 0, 0]].concat();
    let write = [4, 0xa2, 0x80];
    let read = [4, 0x71, 0xf8];
    let acknowledge = agree;
    let close = [4, 3, 0];
    let pass = [3, 10];
    let story = |how: u8, asked: Vec<u8>| {
        [&handshake(how)[..], &asked, &read, &write, &acknowledge, &write, &acknowledge, &close, &pass, &pass].concat()
    };
    vec![
        ("plain", story(0, ask(0, 0, 0))),
        ("offloads", story(3, ask(2, 0, 0))),
        ("reno_and_a_slow_device", story(0b1101, ask(0, 0, 0))),
        ("merged_with_headroom", story(1, ask(0x30, 2, 0x10))),
        ("merged_without_headroom", story(1, ask(0x30, 3, 0x10))),
        ("merged_to_be_verified", story(1, ask(0x31, 2, 0x10))),
        ("one_that_stands_for_several", story(1, ask(4, 100, 0x10))),
        ("datagrams", [&[0, 2, 0, 0, 0, 4][..], b"ping", &[4, 0x06, 9, 2, 0x30, 0, 1, 200], &[1; 200]].concat()),
        ("a_changed_header", story(1, [&[5, 16, 0xff][..], &ask(0x30, 2, 0x10)].concat())),
        ("any_bytes", [&[0, 0, 1, 0, 64, 0][..], &OURS, &THEIRS, &[8, 0, 0x46], &[0; 49]].concat()),
    ]
}
