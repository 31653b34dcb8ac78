//! Target `ata`: an IDE controller whose registers lie, under the driver for ATA disks.
//!
//! | head | meaning |
//! |---|---|
//! | byte 0 | units 0 to 3, two bits each: nothing, a disk, a CD-ROM drive, a disk beyond 2^28 sectors |
//! | byte 1 | bit 0: without DMA; bit 1: polled; bit 2: drives take their time |
//! | byte 2 | how many words of unit 0's description are replaced, up to 7; then they, index and value |
//!
//! Behind the model of a controller that obeys ([`virtio_sim::ide`]) each read of a register that means something, status,
//! error, count, LBA, and the bus master's status, takes a byte of the input: 0 to 191 is the truth, above that the next byte
//! is what is read. Steps come from the same stream. After the end of the input the controller obeys.
//!
//! What is held: nothing panics, no step loops; each request that was accepted comes back exactly once, done or not; the
//! model finds no address outside of memory that the driver owns at that time; and in the end, after a reset, everything
//! works on each channel on which there was a drive to begin with.

use std::rc::Rc;

use ata::{Ata, ChannelRegisters, DataWidth, Interrupts, Options, Transfer};
use toro_core::dma::{DmaPool, Segments};
use toro_core::driver::block::{BlockCompletion, BlockDevice, BlockOperation, BlockRequest, SECTOR, SERIAL_BYTES};
use toro_core::driver::{Armed, RequestId};
use toro_core::{DmaBuf, Registers};
use virtio_sim::SimMemory;
use virtio_sim::ide::{Clock, Controller, Drive, Pace, Port};

use crate::script::Script;

/// Steps of one input at most.
const MOST_STEPS: usize = 64;
/// Accesses to registers that one step, or the end, may take; the longest wait takes some ten thousand.
const MOST_ACCESSES: u32 = 2_000_000;
/// Sectors of a disk, blocks of a CD.
const SECTORS: u64 = 64;

/// What lies, and what it costs.
struct Liar<'a> {
    script: Script<'a>,
    is_obedient: core::cell::Cell<bool>,
    accesses: core::cell::Cell<u32>,
}

/// Registers through which lies come.
struct LyingPort<'a> {
    port: Port,
    /// Offsets that lie.
    lies: &'static [usize],
    liar: Rc<Liar<'a>>,
}

// SAFETY: an input is run by one thread; `BlockDevice` wants objects that could change theirs.
#[allow(unsafe_code)]
unsafe impl Send for LyingPort<'_> {}

impl Liar<'_> {
    fn count(&self) {
        let accesses = self.accesses.get() + 1;
        self.accesses.set(accesses);
        assert!(accesses <= MOST_ACCESSES, "a step that does not end");
    }
}

impl Registers for LyingPort<'_> {
    fn len(&self) -> usize {
        self.port.len()
    }

    fn read8(&self, offset: usize) -> u8 {
        self.liar.count();
        let truth = self.port.read8(offset);
        let is_lying = !self.liar.is_obedient.get() && self.lies.contains(&offset) && self.liar.script.byte() >= 192;
        if is_lying { self.liar.script.byte() } else { truth }
    }

    fn read16(&self, offset: usize) -> u16 {
        self.liar.count();
        self.port.read16(offset)
    }

    fn read32(&self, offset: usize) -> u32 {
        self.liar.count();
        self.port.read32(offset)
    }

    fn write8(&self, offset: usize, value: u8) {
        self.liar.count();
        self.port.write8(offset, value);
    }

    fn write16(&self, offset: usize, value: u16) {
        self.liar.count();
        self.port.write16(offset, value);
    }

    fn write32(&self, offset: usize, value: u32) {
        self.liar.count();
        self.port.write32(offset, value);
    }
}

/// A drive as two bits say.
fn drive(bits: u8) -> Option<Drive> {
    match bits & 3 {
        0 => None,
        1 => Some(Drive::disk(SECTORS)),
        2 => Some(Drive::cdrom(SECTORS as usize / 4)),
        _ => Some(Drive::far((1 << 28) - SECTORS / 2, SECTORS)),
    }
}

/// The first sector that is modelled.
fn first_sector(bits: u8) -> u64 {
    if bits & 3 == 3 { (1 << 28) - SECTORS / 2 } else { 0 }
}

/// Runs an input; says how many requests completed as done.
pub fn body(input: &[u8], memory: &'static SimMemory, clock: &'static Clock) -> u32 {
    let liar = Rc::new(Liar { script: Script::new(input), is_obedient: false.into(), accesses: 0.into() });
    let [kinds, mode, patches] = liar.script.bytes();
    let controller = Controller::new(memory, clock);
    controller.be_lenient();
    let connect = || {
        for unit in 0..4 {
            if let Some(drive) = drive(kinds >> (2 * unit)) {
                controller.connect(unit, drive);
            }
        }
    };
    connect();
    for _ in 0..patches % 8 {
        let (index, value) = (liar.script.byte(), liar.script.word());
        if kinds & 3 != 0 {
            controller.channel(0).words(0)[usize::from(index)] = value;
        }
    }
    let pace = if mode & 4 != 0 { Pace::Slow } else { Pace::Quick };
    controller.change(|channel| {
        channel.pace = pace;
        channel.runs_by_itself = true;
    });
    let registers = [0, 1].map(|number| {
        let [command, control, master] = controller.ports(number);
        let lying = |port, lies| LyingPort { port, lies, liar: Rc::clone(&liar) };
        Some(ChannelRegisters {
            command: lying(command, &[1, 2, 3, 4, 5, 7]),
            control: lying(control, &[0]),
            bus_master: Some(lying(master, &[2, 10])),
        })
    });
    let transfer = if mode & 1 != 0 { Transfer::Pio } else { Transfer::Dma };
    let interrupts = [if mode & 2 != 0 { Interrupts::Polled } else { Interrupts::Line }; 2];
    let data_width = if mode & 8 != 0 { DataWidth::Bits32 } else { DataWidth::Bits16 };
    let device = Ata::new(registers, memory, clock, &Options { transfer, data_width, interrupts });
    // A channel that lies too much then is left alone for good; one that had a drive is not.
    let is_used = [0, 2].map(|unit| device.disk(unit).is_some() || device.disk(unit + 1).is_some());
    let open = Vec::new();
    let mut story = Story { device, controller: controller.clone(), memory, clock, open, done: 0, kinds, is_used };
    for _ in 0..MOST_STEPS {
        liar.accesses.set(0);
        if !story.step(&liar.script) {
            break;
        }
    }
    // Nobody lies any more, and the drives are as new.
    liar.is_obedient.set(true);
    liar.accesses.set(0);
    connect();
    story.end();
    story.done
}

struct Story<'a> {
    device: Ata<LyingPort<'a>>,
    controller: Controller,
    memory: &'static SimMemory,
    clock: &'static Clock,
    /// Accepted, and not back.
    open: Vec<RequestId>,
    done: u32,
    kinds: u8,
    /// Channels that had a drive.
    is_used: [bool; 2],
}

impl Story<'_> {
    /// Takes a step; says whether there may be more.
    fn step(&mut self, script: &Script<'_>) -> bool {
        match script.byte() % 12 {
            0 => return false,
            step @ 1..=2 => {
                let [unit, sector, segments] = script.bytes();
                let unit = unit % 4;
                let sector = first_sector(self.kinds >> (2 * unit)) + u64::from(sector) % SECTORS;
                let data: Vec<_> = (0..1 + segments % 4).map(|_| self.buffer(usize::from(1 + segments / 16))).collect();
                let operation =
                    if step == 1 { BlockOperation::Read { sector } } else { BlockOperation::Write { sector } };
                self.submit(unit, operation, data.into());
            }
            3 => self.submit(script.below(4), BlockOperation::Flush, Segments::None),
            4 => {
                let mut buffer = self.buffer(1);
                buffer.set_len(SERIAL_BYTES).expect("a sector is longer");
                self.submit(script.below(4), BlockOperation::Identify, buffer.into());
            }
            5 => self.device.publish(),
            6 => {
                if let Ok(Some(done)) = self.device.complete() {
                    self.account(&done);
                }
            }
            7 => {
                if self.device.arm() == Ok(Armed::Idle) {
                    self.sleep();
                }
            }
            8 => _ = self.controller.run(),
            9 => self.reset(),
            10 => _ = (self.device.refresh(), self.device.limits(), self.device.deadline()),
            _ => self.clock.advance(core::time::Duration::from_secs(10)),
        }
        true
    }

    fn buffer(&self, sectors: usize) -> DmaBuf {
        let mut buffer = DmaPool::new(self.memory, 1, sectors * SECTOR).expect("memory").take().expect("a buffer");
        buffer.set_len(sectors * SECTOR).expect("as long as that");
        buffer
    }

    fn submit(&mut self, unit: u8, operation: BlockOperation, data: Segments) {
        if let Ok(id) = self.device.submit(BlockRequest { unit, operation, data }) {
            assert!(!self.open.contains(&id), "{id:?} is given twice");
            self.open.push(id);
        }
    }

    fn account(&mut self, done: &BlockCompletion) {
        let place = self.open.iter().position(|id| *id == done.id).expect("it was accepted, and is back once");
        self.open.remove(place);
        self.done += u32::from(done.result.is_ok());
    }

    fn sleep(&mut self) {
        if !self.controller.run()
            && let Some(deadline) = self.device.deadline()
        {
            self.clock.advance(deadline.saturating_since(self.clock.peek()));
        }
    }

    fn reset(&mut self) {
        let mut back = Vec::new();
        let _ = self.device.reset(&mut |done| back.push(done));
        back.iter().for_each(|done| self.account(done));
    }

    /// Everything comes back, and then everything works.
    fn end(&mut self) {
        self.device.publish();
        while !self.open.is_empty() {
            match self.device.complete() {
                Ok(Some(done)) => self.account(&done),
                Ok(None) => match self.device.arm() {
                    Ok(Armed::Idle) => self.sleep(),
                    Ok(Armed::WorkPending) => {}
                    Err(_) => break,
                },
                Err(_) => break,
            }
        }
        self.reset();
        assert!(self.open.is_empty(), "{:?} are lost", self.open);
        for unit in 0..4 {
            let kind = self.kinds >> (2 * unit) & 3;
            if !self.is_used[usize::from(unit / 2)] {
                continue;
            }
            assert_eq!(self.device.disk(unit).is_some(), kind != 0, "unit {unit}");
            if kind != 0 {
                self.works(unit, first_sector(kind) + 8);
            }
        }
    }

    fn works(&mut self, unit: u8, sector: u64) {
        let is_disk = self.device.disk(unit).is_some_and(|disk| !disk.is_read_only);
        let mut data = self.buffer(4);
        data.fill(0x5a);
        if is_disk {
            data = self.transfer(unit, BlockOperation::Write { sector }, data);
        }
        data.fill(0xa5);
        let data = self.transfer(unit, BlockOperation::Read { sector }, data);
        let expected = if is_disk { 0x5a } else { 0 };
        assert!(data.iter().all(|byte| *byte == expected), "unit {unit} gives something else");
    }

    fn transfer(&mut self, unit: u8, operation: BlockOperation, data: DmaBuf) -> DmaBuf {
        self.device.submit(BlockRequest { unit, operation, data: data.into() }).expect("it is accepted");
        self.device.publish();
        loop {
            if let Some(done) = self.device.complete().expect("no fault") {
                assert_eq!(done.result, Ok(()), "{operation:?} of unit {unit}");
                return done.request.data.into_one().expect("its buffer");
            }
            if self.device.arm() == Ok(Armed::Idle) {
                self.sleep();
            }
        }
    }
}
