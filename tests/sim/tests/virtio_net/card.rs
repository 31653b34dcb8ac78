//! The driver under test, and the card that the test plays.

use std::sync::atomic::{AtomicU64, Ordering};

pub use std::collections::VecDeque;
pub use std::mem::take;
pub use std::thread;

pub use crate::common::transports::{ALL_BUSES, BUSES, Bus, LEGACY_BUSES, transport};
pub use crate::common::{EVENT_IDX, HASTE, VERSION_1};
pub use toro_core::driver::net::{
    BURST, Burst, Changes, Checksum, Frame, LinkState, MacAddress, NetDevice, Notes, Offloads, ReceiveFilter,
    Segmentation, SegmentationKind,
};
pub use toro_core::driver::{Armed, AttachError, DeviceFault, DeviceId};
pub use toro_core::{Clock, DmaBuf, DmaPool, Instant};
pub use virtio_net::wire::{ETHERNET_HEADER_LEN, HEADER_LEN, Header, LEGACY_HEADER_LEN, flags, gso};
pub use virtio_net::{Counters, DRIVER, Options, Switch, VirtioNet, features};
pub use virtio_queue_rt::FeatureBits;
pub use virtio_queue_rt::attach::BoxedTransport;
pub use virtio_sim::clock::CLOCK;
pub use virtio_sim::{Device, DeviceQueue, PoppedChain, SimMemory};
pub use zerocopy::{FromBytes, IntoBytes};

pub const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
pub const LONGEST: usize = 1514;
pub const ANY_LAYOUT: u64 = 1 << 27;

/// What a card offers that does work on frames in either direction.
pub const OFFLOADS: u64 = features::CSUM.bits()
    | features::GUEST_CSUM.bits()
    | features::HOST_TSO4.bits()
    | features::HOST_TSO6.bits()
    | features::HOST_ECN.bits()
    | features::GUEST_TSO4.bits()
    | features::GUEST_TSO6.bits()
    | features::GUEST_ECN.bits()
    | features::MRG_RXBUF.bits();

/// What a card offers that can be commanded.
pub const COMMANDS: u64 = features::CTRL_VQ.bits()
    | features::CTRL_RX.bits()
    | features::CTRL_VLAN.bits()
    | features::GUEST_ANNOUNCE.bits()
    | features::CTRL_GUEST_OFFLOADS.bits();

/// A clock that goes when it is told to.
pub struct StoppedClock(AtomicU64);

impl StoppedClock {
    pub fn leak() -> &'static Self {
        Box::leak(Box::new(Self(AtomicU64::new(0))))
    }

    pub fn advance(&self, millis: u64) {
        self.0.fetch_add(millis * 1_000_000, Ordering::Relaxed);
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Everything that a card can describe, as bytes.
pub fn config(mac: [u8; 6], status: u16, mtu: u16) -> Vec<u8> {
    let mut bytes = mac.to_vec();
    bytes.extend(status.to_le_bytes());
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend(mtu.to_le_bytes());
    bytes
}

/// What to vary; the rest is an ordinary card.
pub struct Setup {
    pub bus: Bus,
    pub features: u64,
    pub config: Vec<u8>,
    /// Of the queues: receive, transmit and control.
    pub sizes: [u16; 3],
    pub options: Options,
    pub clock: &'static dyn Clock,
    /// A legacy card that does not leave the layout of requests open.
    pub fixed_layout: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            bus: Bus::Mmio,
            features: EVENT_IDX | features::KNOWN.bits(),
            config: config(MAC, 1, 1500),
            sizes: [256, 256, 64],
            options: Options::default(),
            clock: &CLOCK,
            fixed_layout: false,
        }
    }
}

impl Setup {
    pub fn small(size: u16) -> Self {
        Self { sizes: [size, size, 64], ..Self::default() }
    }

    /// One that does work on frames.
    pub fn offloading() -> Self {
        Self { features: EVENT_IDX | features::KNOWN.bits() | OFFLOADS, ..Self::default() }
    }

    /// One that can be commanded.
    pub fn commanded() -> Self {
        Self { features: EVENT_IDX | features::KNOWN.bits() | COMMANDS, ..Self::default() }
    }

    /// The same, without these features.
    pub fn without(self, missing: FeatureBits) -> Self {
        Self { features: self.features & !missing.bits(), ..self }
    }

    fn version(&self) -> u64 {
        match (self.bus.is_legacy(), self.fixed_layout) {
            (false, _) => VERSION_1,
            (true, false) => ANY_LAYOUT,
            (true, true) => 0,
        }
    }

    pub fn device(&self) -> Device {
        Device::new(1, self.version() | self.features, &self.sizes, &self.config)
    }

    pub fn attach(self) -> Result<Nic, AttachError> {
        self.attach_with(SimMemory::leak()).1
    }

    pub fn attach_with(self, memory: &'static SimMemory) -> (Device, Result<Nic, AttachError>) {
        let device = self.device();
        let nic = VirtioNet::new(transport(&device, self.bus), memory, self.clock, &self.options).map(|net| {
            // The byte order of legacy rings is ours, too.
            let negotiated = device.state().accepted | VERSION_1;
            let [receive, transmit] = [0, 1].map(|i| DeviceQueue::negotiated(memory, device.queue(i), negotiated));
            let control = device.queue(2);
            let control = control.is_ready.then(|| DeviceQueue::negotiated(memory, control, negotiated));
            Nic { memory, device: device.clone(), net, receive, transmit, control, sent: VecDeque::new() }
        });
        (device, nic)
    }

    pub fn nic(self) -> Nic {
        self.attach().expect("a sound card")
    }
}

/// The driver, and the card behind it.
pub struct Nic {
    pub memory: &'static SimMemory,
    pub device: Device,
    pub net: VirtioNet<BoxedTransport>,
    pub receive: DeviceQueue,
    pub transmit: DeviceQueue,
    pub control: Option<DeviceQueue>,
    /// Chains that the card has taken from the transmit queue and not completed.
    pub sent: VecDeque<PoppedChain>,
}

impl Nic {
    /// The card receives a frame with an honest header.
    pub fn deliver(&mut self, frame: &[u8]) {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[10] = 1;
        bytes.extend(frame);
        self.deliver_raw(&bytes, None);
    }

    /// The card writes these bytes and claims this length, or the true one.
    pub fn deliver_raw(&mut self, bytes: &[u8], claimed: Option<u32>) {
        let chain = self.receive.pop().expect("the driver keeps the receive queue filled");
        let written = self.receive.write(&chain, bytes);
        self.receive.push(u32::from(chain.head), claimed.unwrap_or(written));
    }

    /// The card writes a packet into as many buffers as it takes, if each holds `room` bytes, or as many as fit; returns how
    /// many that were.
    pub fn deliver_merged(&mut self, header: Header, packet: &[u8], room: Option<usize>) -> usize {
        let mut chains = Vec::new();
        let mut rest = packet.len() + HEADER_LEN;
        while rest > 0 {
            let chain = self.receive.pop().expect("the driver keeps the receive queue filled");
            let len = room.unwrap_or(chain.writable_len() as usize).min(rest);
            rest -= len;
            chains.push((chain, len));
        }
        let header = Header { num_buffers: (chains.len() as u16).into(), ..header };
        let bytes = [header.as_bytes(), packet].concat();
        let mut at = 0;
        for (chain, len) in &chains {
            self.receive.write(chain, &bytes[at..at + len]);
            self.receive.push(u32::from(chain.head), *len as u32);
            at += len;
        }
        chains.len()
    }

    /// What the driver commands now: the lengths of descriptors, and the bytes.
    pub fn commands(&mut self) -> Vec<Given> {
        let control = self.control.as_mut().expect("there is a control queue");
        let mut all = Vec::new();
        while let Some(chain) = control.pop() {
            assert_eq!(chain.writable_len(), 1, "the answer");
            let (answer, _) = chain.writable[0];
            assert!(control.peek(answer, 1)[0] > 1, "HD-NET-15: it starts as no answer");
            let lens = chain.readable.iter().map(|(_, len)| *len).collect();
            all.push(Given { bytes: control.read(&chain), lens, chain });
        }
        all
    }

    /// The card answers a command.
    pub fn answer(&mut self, command: &Given, answer: u8) {
        let control = self.control.as_mut().expect("there is a control queue");
        let written = control.write(&command.chain, &[answer]);
        control.push(u32::from(command.chain.head), written);
    }

    /// The card does all that it is told, until it is told nothing more; returns the commands.
    pub fn obey(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let commands = self.commands();
            if commands.is_empty() {
                return all;
            }
            for command in commands {
                self.answer(&command, 0);
                all.push(command.bytes);
            }
            assert_eq!(self.net.changes(), Ok(Changes::default()));
        }
    }

    /// What the driver receives now.
    pub fn received(&mut self) -> Burst<Frame> {
        let mut burst = Burst::new();
        self.net.receive(&mut burst).expect("an obedient card");
        burst
    }

    /// A frame of the driver's with these bytes.
    pub fn frame(&mut self, bytes: &[u8]) -> Frame {
        let mut frame = self.net.frame(bytes.len().max(60)).or_else(|| self.net.frame(60)).expect("frames are free");
        frame.set_len(bytes.len()).expect("frames are long enough");
        frame.copy_from_slice(bytes);
        frame
    }

    /// The bytes of what the driver has transmitted, headers included; the card keeps the chains.
    pub fn on_the_wire(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(chain) = self.transmit.pop() {
            assert!(chain.writable.is_empty(), "the card has nothing to write here");
            all.push(self.transmit.read(&chain));
            self.sent.push_back(chain);
        }
        all
    }

    /// The card is done with the oldest `count` frames that it has taken.
    pub fn complete(&mut self, count: usize) {
        for chain in self.sent.drain(..count) {
            self.transmit.push(u32::from(chain.head), 0);
        }
    }

    pub fn kicks(&self) -> Vec<u16> {
        take(&mut self.device.state().kicks)
    }

    /// Fills the transmit ring, and returns the burst with what did not fit.
    pub fn fill(&mut self, first: usize, count: usize) -> Burst<Frame> {
        let mut burst = Burst::new();
        for i in first..first + count {
            let frame = self.frame(&numbered(i));
            burst.push(frame).expect("a burst holds them");
        }
        self.net.transmit(&mut burst).expect("an obedient card");
        burst
    }
}

/// A command that the card was given.
pub struct Given {
    pub bytes: Vec<u8>,
    /// Lengths of the descriptors that hold them.
    pub lens: Vec<u32>,
    pub chain: PoppedChain,
}

/// The shortest possible frame, with a number in it.
pub fn numbered(i: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; 60];
    bytes[ETHERNET_HEADER_LEN..ETHERNET_HEADER_LEN + 4].copy_from_slice(&(i as u32).to_le_bytes());
    bytes
}

pub fn number(frame: &[u8]) -> usize {
    let bytes = frame[ETHERNET_HEADER_LEN..ETHERNET_HEADER_LEN + 4].try_into().expect("four bytes");
    u32::from_le_bytes(bytes) as usize
}

pub fn drained<T>(burst: &mut Burst<T>) -> Vec<T> {
    std::iter::from_fn(|| burst.pop()).collect()
}
