//! A driver, its device, and the time between them.

use std::num::NonZeroU16;

use e1000::{E1000, Model, Options, Segmenting};
use toro_core::driver::AttachError;
use toro_core::driver::net::{Burst, Frame, NetDevice};
use virtio_sim::SimMemory;
use virtio_sim::e1000::{Delivery, Nic, NicConfig};
use virtio_sim::ide::Clock;

pub const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
pub const PEER: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];

pub type Net = E1000<Nic, NicConfig>;

pub struct Rig {
    pub nic: Nic,
    pub clock: &'static Clock,
    pub memory: &'static SimMemory,
    pub net: Net,
}

/// A device, its memory and its clock.
pub fn device() -> (Nic, &'static SimMemory, &'static Clock) {
    let (memory, clock) = (SimMemory::leak(), Clock::leak());
    (Nic::new(memory, clock, MAC), memory, clock)
}

/// Few of everything, so that ends come soon.
pub fn options() -> Options {
    Options {
        receive_slots: 16,
        transmit_slots: 16,
        receive_spare: 16,
        segmentation: Segmenting::Ipv4AndIpv6(NonZeroU16::new(2).expect("not zero")),
        ..Options::default()
    }
}

pub fn attach(nic: &Nic, memory: &'static SimMemory, clock: &'static Clock) -> Result<Net, AttachError> {
    E1000::new(Model::I82540Em, nic.clone(), nic.config(), memory, clock, &options())
}

impl Rig {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// With a device that was changed before the driver sees it.
    pub fn with(change: impl FnOnce(&Nic)) -> Self {
        Self::with_options(&options(), change)
    }

    /// The same with these choices.
    pub fn with_options(options: &Options, change: impl FnOnce(&Nic)) -> Self {
        let (nic, memory, clock) = device();
        change(&nic);
        let net = E1000::new(Model::I82540Em, nic.clone(), nic.config(), memory, clock, options);
        let net = net.expect("it can be used");
        nic.sit_out_pause();
        nic.take_all_accesses();
        Self { nic, clock, memory, net }
    }

    /// An empty frame with these bytes.
    pub fn frame(&mut self, bytes: &[u8]) -> Frame {
        let mut frame = self.net.frame(bytes.len()).expect("a frame is free");
        frame.set_len(bytes.len()).expect("as long as was asked for");
        frame.copy_from_slice(bytes);
        frame
    }

    /// Sends frames that have to be taken.
    pub fn transmit(&mut self, frames: impl IntoIterator<Item = Frame>) {
        let mut burst = Burst::new();
        frames.into_iter().for_each(|frame| burst.push(frame).expect("a burst holds them"));
        self.net.transmit(&mut burst).expect("no fault");
        assert!(burst.is_empty(), "{burst:?} is left");
    }

    /// All frames that are waiting.
    pub fn receive(&mut self) -> Vec<Frame> {
        let mut burst = Burst::new();
        self.net.receive(&mut burst).expect("no fault");
        std::iter::from_fn(|| burst.pop()).collect()
    }

    /// Delivers frames that have to be taken.
    pub fn deliver(&self, count: usize) {
        for number in 0..count {
            assert_eq!(self.nic.deliver(&ordinary(number as u8, 100)), Delivery::Taken, "frame {number}");
        }
    }
}

/// A frame of `len` bytes to the device that says which it is.
pub fn ordinary(number: u8, len: usize) -> Vec<u8> {
    let mut frame = [&MAC[..], &PEER, &[0x88, 0xb5]].concat();
    frame.resize(len, number);
    frame
}

/// The bytes of frames that were received.
pub fn bytes(frames: &[Frame]) -> Vec<Vec<u8>> {
    frames.iter().map(|frame| frame.to_vec()).collect()
}
