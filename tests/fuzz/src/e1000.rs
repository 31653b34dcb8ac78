//! Target `e1000`: a gigabit controller whose registers and descriptors lie, under its driver.
//!
//! | head | meaning |
//! |---|---|
//! | byte 0 | bit 0: frames wait until a step sends them; bit 1: as hardware does it; bits 2 to 5: no EEPROM, no PHY, one that fails, the link is down; bit 6: an 82574L |
//! | byte 1 | how many words of the EEPROM are replaced, up to 7; then they, index and value |
//!
//! Behind the model of a device that obeys ([`virtio_sim::e1000`]) each read of a register takes a byte of the input: 0 to 191
//! is the truth, above that the next four bytes are what is read. Steps come from the same stream; some of them write what
//! they like into descriptors of either ring. After the end of the input the device obeys.
//!
//! What is held: nothing panics, no step loops or takes long; a received frame is no longer than a frame can be, and no two
//! that are held share memory; the model finds no address outside of memory that is the driver's at that time; and in the
//! end, after a reset if one is needed, frames pass in both directions, or the device has failed and is given up.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use e1000::{E1000, Model, Options, Segmenting};
use toro_core::Registers;
use toro_core::driver::net::{
    Burst, Checksum, Frame, MacAddress, NetDevice, Notes, ReceiveFilter, Segmentation, SegmentationKind,
};
use toro_core::driver::{Armed, DeviceFault};
use virtio_sim::SimMemory;
use virtio_sim::e1000::{Delivery, EepromKind, Nature, Nic, NicConfig, Pace};
use virtio_sim::ide::Clock;

use crate::script::Script;

/// Steps of one input at most.
const MOST_STEPS: usize = 256;
/// Accesses to registers that one step may take: a step does not wait, so it is what a device takes to start.
const MOST_ACCESSES: u32 = 600;
/// The same for taking it into service and out of it, with the waits for EEPROM and PHY.
const MOST_AT_THE_ENDS: u32 = 2_000_000;
/// How much time one step may take, on a clock that passes when it is looked at.
const LONGEST_STEP: Duration = Duration::from_millis(1);
const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// What lies, and what it costs.
struct Liar<'a> {
    script: Script<'a>,
    is_obedient: Cell<bool>,
    accesses: Cell<u32>,
    most: Cell<u32>,
}

impl Liar<'_> {
    fn count(&self) {
        let accesses = self.accesses.get() + 1;
        self.accesses.set(accesses);
        assert!(accesses <= self.most.get(), "a step that does not end");
    }

    fn allow(&self, most: u32) {
        self.accesses.set(0);
        self.most.set(most);
    }
}

/// Registers through which lies come.
struct LyingNic<'a> {
    nic: Nic,
    liar: Rc<Liar<'a>>,
}

// SAFETY: an input is run by one thread; `NetDevice` wants objects that could change theirs.
#[allow(unsafe_code)]
unsafe impl Send for LyingNic<'_> {}

impl Registers for LyingNic<'_> {
    fn len(&self) -> usize {
        self.nic.len()
    }

    fn read8(&self, offset: usize) -> u8 {
        self.nic.read8(offset)
    }

    fn read16(&self, offset: usize) -> u16 {
        self.nic.read16(offset)
    }

    fn read32(&self, offset: usize) -> u32 {
        self.liar.count();
        let truth = self.nic.read32(offset);
        let is_lying = !self.liar.is_obedient.get() && self.liar.script.byte() >= 192;
        if is_lying { self.liar.script.long() } else { truth }
    }

    fn write8(&self, offset: usize, value: u8) {
        self.nic.write8(offset, value);
    }

    fn write16(&self, offset: usize, value: u16) {
        self.nic.write16(offset, value);
    }

    fn write32(&self, offset: usize, value: u32) {
        self.liar.count();
        self.nic.write32(offset, value);
    }
}

/// What became of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Frames that came in.
    pub received: u32,
    /// Frames that went out.
    pub sent: u32,
    /// How often the driver has reset the device.
    pub resets: u64,
    /// How the device failed, if it did.
    pub fault: Option<DeviceFault>,
}

/// Runs an input.
pub fn body(input: &[u8], memory: &'static SimMemory, clock: &'static Clock) -> Outcome {
    let liar = Rc::new(Liar {
        script: Script::new(input),
        is_obedient: false.into(),
        accesses: 0.into(),
        most: MOST_AT_THE_ENDS.into(),
    });
    let [manner, patches] = liar.script.bytes();
    let nic = Nic::new(memory, clock, MAC);
    nic.be_lenient();
    let model = if manner & 64 != 0 { Model::I82574L } else { Model::I82540Em };
    {
        let mut chip = nic.chip();
        chip.pace = if manner & 1 != 0 { Pace::Slow } else { Pace::Quick };
        chip.nature = if manner & 2 != 0 { Nature::Hardware } else { Nature::Emulated };
        chip.eeprom_kind = if manner & 64 != 0 { EepromKind::New } else { EepromKind::Old };
        chip.lies.has_no_eeprom = manner & 4 != 0;
        chip.lies.has_no_phy = manner & 8 != 0;
        chip.lies.phy_fails = manner & 16 != 0;
        for _ in 0..patches % 8 {
            let (index, value) = (liar.script.byte() % 64, liar.script.word());
            chip.eeprom[usize::from(index)] = value;
        }
    }
    if manner & 32 != 0 {
        nic.set_link(toro_core::driver::net::LinkState::Down);
    }
    let options = Options {
        receive_slots: 8,
        transmit_slots: 16,
        receive_spare: 6,
        segmentation: Segmenting::Ipv4AndIpv6(core::num::NonZeroU16::MIN),
        ..Options::default()
    };
    let registers = LyingNic { nic: nic.clone(), liar: Rc::clone(&liar) };
    let Ok(net) = E1000::new(model, registers, nic.config(), memory, clock, &options) else {
        return Outcome::default();
    };
    let mut story = Story {
        net,
        nic,
        clock,
        held: Vec::new(),
        outgoing: Burst::new(),
        outcome: Outcome::default(),
        is_spoilt: false,
    };
    for _ in 0..MOST_STEPS {
        liar.allow(MOST_ACCESSES);
        let before = clock.peek();
        let Some(given) = story.step(&liar.script) else { break };
        let spent = clock.peek().saturating_since(before);
        assert!(spent <= given + LONGEST_STEP, "{spent:?} in one step");
    }
    liar.is_obedient.set(true);
    liar.allow(MOST_AT_THE_ENDS);
    story.end();
    story.outcome.resets = story.net.counters().resets;
    story.outcome
}

struct Story<'a> {
    net: E1000<LyingNic<'a>, NicConfig>,
    nic: Nic,
    clock: &'static Clock,
    /// Received, and not given back.
    held: Vec<Frame>,
    outgoing: Burst<Frame>,
    outcome: Outcome,
    /// The device does not know any more which receive descriptors are its own, and nothing is there to tell it.
    is_spoilt: bool,
}

impl Story<'_> {
    /// Takes a step; says how much time it let pass, or that there is no more.
    fn step(&mut self, script: &Script<'_>) -> Option<Duration> {
        let mut given = Duration::ZERO;
        match script.byte() % 16 {
            0 if script.is_over() => return None,
            0 => {}
            1 => self.receive(),
            2 => self.held.clear(),
            3 => _ = self.held.pop(),
            4 => self.queue(script),
            5 => self.transmit(),
            6 => {
                let armed = self.net.arm();
                self.note(armed.map(drop));
            }
            7 => {
                self.nic.run();
                self.count_sent();
            }
            8 => _ = self.nic.deliver(&frame(usize::from(script.byte()) * 8)),
            9 => {
                let word = u64::from(script.long()) | u64::from(script.long()) << 32;
                self.nic.chip().scribble(script.byte().into(), word);
                self.is_spoilt = true;
            }
            10 => self.nic.chip().mark_sent(script.byte().into()),
            11 => {
                let [kind, a, b] = script.bytes();
                let addresses: Vec<_> = (0..a % 20).map(|number| MacAddress([2, 0, 0, 0, b, number])).collect();
                let groups: Vec<_> = (0..b % 20).map(|number| MacAddress([1, 0, 0, a, b, number])).collect();
                let filter = ReceiveFilter {
                    promiscuous: kind & 1 != 0,
                    all_multicast: kind & 2 != 0,
                    unicast: &addresses,
                    multicast: &groups,
                };
                let outcome = self.net.set_filter(&filter);
                self.note(outcome);
            }
            12 => {
                let outcome = self.net.changes();
                self.note(outcome.map(drop));
                let _ = (self.net.link(), self.net.mac(), self.net.limits());
            }
            13 => {
                given = Duration::from_secs(u64::from(script.byte() % 8));
                self.clock.advance(given);
            }
            14 => self.nic.chip().lies.is_mute ^= true,
            _ => {
                let [causes, length] = script.bytes();
                self.nic.chip().lies.stuck_causes = u32::from(causes);
                let _ = self.nic.chip().put(&frame(60), u64::from(length) | 3 << 32);
            }
        }
        Some(given)
    }

    fn note(&mut self, outcome: Result<(), DeviceFault>) {
        match (self.outcome.fault, outcome) {
            (None, Err(fault)) => self.outcome.fault = Some(fault),
            (Some(before), outcome) => assert_eq!(outcome, Err(before), "a fault stays"),
            (None, Ok(())) => {}
        }
    }

    fn receive(&mut self) {
        let mut burst = Burst::new();
        let outcome = self.net.receive(&mut burst);
        self.note(outcome);
        while let Some(frame) = burst.pop() {
            assert!((14..=1514).contains(&frame.len()), "{} bytes", frame.len());
            assert!(self.held.iter().all(|held| held.as_ptr() != frame.as_ptr()), "the same memory twice");
            self.outcome.received += 1;
            self.held.push(frame);
        }
    }

    /// Writes a frame with notes that make sense or none.
    fn queue(&mut self, script: &Script<'_>) {
        let [kind, length, start, offset, header, size] = script.bytes();
        let len = usize::from(length) * if kind & 1 != 0 { 256 } else { 6 };
        let Some(mut frame) = self.net.frame(len) else { return };
        frame.set_len(len).expect("as long as was asked for");
        frame.fill(0x45);
        if len > 60 && kind & 2 != 0 {
            frame[12..14].copy_from_slice(if kind & 4 != 0 { &[0x86, 0xdd] } else { &[8, 0] });
            frame[14] = if kind & 4 != 0 { 0x60 } else { 0x45 };
            frame[23] = 6;
            let tcp = if kind & 4 != 0 { 54 } else { 34 };
            if len > tcp + 12 {
                frame[tcp + 12] = 0x50;
            }
        }
        let start = if kind & 8 != 0 { if kind & 4 != 0 { 54 } else { 34 } } else { u16::from(start) };
        let offset = if kind & 16 != 0 { 16 } else { u16::from(offset) };
        let checksum = if kind & 32 != 0 { Checksum::Partial { start, offset } } else { Checksum::Plain };
        let over = if kind & 4 != 0 { SegmentationKind::Tcp6 } else { SegmentationKind::Tcp4 };
        let header_len = if header == 0 { start + 20 } else { u16::from(header) };
        let segmentation = core::num::NonZeroU16::new(u16::from(size) * 6)
            .filter(|_| kind & 64 != 0)
            .map(|segment_size| Segmentation { over, segment_size, header_len });
        frame.set_notes(Notes { checksum, segmentation, continues: kind & 128 != 0 });
        let _ = self.outgoing.push(frame);
    }

    fn transmit(&mut self) {
        let outcome = self.net.transmit(&mut self.outgoing);
        self.note(outcome);
        self.count_sent();
    }

    fn count_sent(&mut self) {
        self.outcome.sent += self.nic.take_sent().len() as u32;
    }

    /// With a device that obeys, everything works, unless it has failed.
    fn end(&mut self) {
        {
            let mut chip = self.nic.chip();
            chip.lies = virtio_sim::e1000::Lies::default();
            chip.pace = Pace::Quick;
        }
        self.nic.set_link(toro_core::driver::net::LinkState::Up);
        self.nic.run();
        self.held.clear();
        while self.outgoing.pop().is_some() {}
        let patience = self.clock.peek().saturating_add(Duration::from_secs(60));
        while self.outcome.fault.is_none() && !self.works() {
            assert!(self.clock.peek() < patience, "nothing passes any more: {:?}", self.net);
            self.clock.advance(Duration::from_millis(500));
        }
    }

    /// Whether a frame passes in each direction.
    fn works(&mut self) -> bool {
        let armed = self.net.arm();
        self.note(armed.map(drop));
        if armed == Ok(Armed::WorkPending) {
            self.receive();
            self.held.clear();
        }
        if self.outcome.fault.is_some() {
            return false;
        }
        // What lies have put into the rings comes out as frames, or not at all.
        self.count_sent();
        let sent = self.outcome.sent;
        if let Some(mut outgoing) = self.net.frame(60) {
            outgoing.set_len(60).expect("as long as that");
            outgoing.copy_from_slice(&frame(60));
            let _ = self.outgoing.push(outgoing);
        }
        self.transmit();
        let has_sent = self.outcome.sent > sent && self.outgoing.is_empty();
        if self.is_spoilt {
            return has_sent;
        }
        let before = self.outcome.received;
        let was_taken = self.nic.deliver(&broadcast()) == Delivery::Taken;
        self.receive();
        self.held.clear();
        has_sent && was_taken && self.outcome.received > before
    }
}

/// A frame to the device.
fn frame(len: usize) -> Vec<u8> {
    let mut frame = [&MAC[..], &PEER, &[0x88, 0xb5]].concat();
    frame.resize(len.max(14), 0x5a);
    frame
}

/// A frame to everyone.
fn broadcast() -> Vec<u8> {
    let mut frame = frame(60);
    frame[..6].fill(0xff);
    frame
}
