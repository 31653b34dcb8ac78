//! [`Chip`]: a device behind registers that answers with the truth or, where the input says so, with a lie.
//!
//! ```text
//!   transport under test --> Registers --> Field --> the truth --> the input: run of truths, then a lie
//!                            offset, width  which register is it      |
//!                                                                     +--> what the driver was told
//! ```
//!
//! Lies are part of the input: a byte below 0x80 is how many answers in a row are the truth from here on, and one above
//! is a lie of one kind or another; one kind is to say the same for ever. At the end of the input everything else is the
//! truth.
//!
//! # What is held, whatever the device says
//!
//! - Only registers that exist are reached, with their own width.
//! - Status bits are only added, except by a reset; nothing is notified before DRIVER_OK.
//! - What is accepted was offered, as far as the driver was told; a queue is not larger than it was told.
//! - Queues lie in memory of the driver's, whole and aligned.
//! - Interrupts are acknowledged that were shown, and no others.
//! - There is an end to reading.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use toro_core::Registers;
use virtio_queue_rt::FeatureBits;
use virtio_sim::SimMemory;

use crate::script::Script;

/// Accesses that one input may cause.
const MOST_ACCESSES: u32 = 50_000;
/// Queues of every chip.
pub const QUEUES: usize = 3;

const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;

/// Which registers a chip shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// virtio-mmio, version 1 or 2.
    Mmio {
        /// The version.
        version: u32,
    },
    /// The BAR of a modern PCI function, as [`CAPABILITIES`](crate::function::CAPABILITIES) describe it.
    Bar,
    /// The ports of a legacy PCI function.
    Ports {
        /// Whether MSI-X is enabled, which adds two registers.
        has_messages: bool,
    },
}

/// What a register is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Magic,
    Version,
    DeviceType,
    Features,
    FeatureSelect,
    Accept,
    AcceptSelect,
    QueueSelect,
    QueueCount,
    QueueMax,
    QueueSize,
    QueueReady,
    QueuePage,
    QueueReset,
    NotifyOff,
    NotifyData,
    QueueVector,
    ConfigVector,
    /// A 32-bit word of the three addresses.
    Address(usize),
    Interrupt,
    InterruptAck,
    Status,
    Generation,
    RegionSelect,
    Region,
    Notify(usize),
    Ignored,
    Config(usize),
}

/// What the driver told about a queue.
#[derive(Debug, Clone, Copy, Default)]
pub struct Queue {
    /// Number of descriptors; 0 before the driver said it.
    pub size: u16,
    /// Where its three parts are; zeros before it was started.
    pub parts: [u64; 3],
    /// Halves of the three addresses.
    address: [u32; 6],
    page: u32,
    is_ready: bool,
    vector: u16,
    /// The largest size that the driver was told.
    told_max: u32,
}

/// The state behind the registers.
#[derive(Debug)]
pub struct State<'a> {
    /// Where lies and the target's own decisions come from.
    pub script: Script<'a>,
    /// Whether it lies at all.
    pub may_lie: bool,
    /// Whether only configuration and generation are lied about.
    pub only_configuration: bool,
    /// Whether each look at the generation finds another one.
    pub is_restless: bool,
    /// Offered features.
    pub offered: u64,
    /// Accepted features.
    pub accepted: u64,
    /// The queues.
    pub queues: [Queue; QUEUES],
    /// Their largest size.
    pub queue_max: u16,
    /// The device configuration.
    pub config: Vec<u8>,
    /// Notifications since the last look.
    pub kicks: u32,
    /// Reads of the configuration.
    pub config_reads: u32,
    /// The first bytes of the configuration as the driver was told them last; all ones where it was told nothing.
    pub told_config: [u8; 64],
    /// The last two generations that the driver was told.
    pub generations: [u32; 2],
    /// The status that the driver was told last.
    pub told_status: u8,
    memory: &'static SimMemory,
    device_type: u32,
    version: u32,
    told_version: u32,
    status: u8,
    generation: u32,
    told_features: [u32; 2],
    interrupt: u32,
    told_interrupt: u32,
    feature_select: u32,
    accept_select: u32,
    queue_select: usize,
    config_vector: u16,
    accesses: u32,
    truths_left: u32,
    /// A register that says the same for ever.
    stuck: Option<(Field, u32)>,
}

/// Registers of a device; clones are the same device.
#[derive(Debug, Clone)]
pub struct Chip<'a> {
    layout: Layout,
    state: Arc<Mutex<State<'a>>>,
}

impl<'a> Chip<'a> {
    /// A device of a type, with features, queues and configuration.
    pub fn new(layout: Layout, script: Script<'a>, memory: &'static SimMemory, device_type: u32) -> Self {
        let version = match layout {
            Layout::Mmio { version } => version,
            Layout::Bar | Layout::Ports { .. } => 0,
        };
        let state = State {
            script,
            may_lie: true,
            only_configuration: false,
            is_restless: false,
            offered: 0,
            accepted: 0,
            queues: [Queue::default(); QUEUES],
            queue_max: 64,
            config: Vec::new(),
            kicks: 0,
            config_reads: 0,
            told_config: [u8::MAX; 64],
            generations: [0; 2],
            told_status: 0,
            memory,
            device_type,
            version,
            told_version: version,
            status: 0,
            generation: 0,
            told_features: [0; 2],
            interrupt: 1,
            told_interrupt: 0,
            feature_select: 0,
            accept_select: 0,
            queue_select: 0,
            config_vector: u16::MAX,
            accesses: 0,
            truths_left: 0,
            stuck: None,
        };
        Self { layout, state: Arc::new(Mutex::new(state)) }
    }

    /// The same device, seen through other registers.
    pub fn through(&self, layout: Layout) -> Self {
        Self { layout, state: self.state.clone() }
    }

    /// The state, to look at or to change.
    pub fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on it obeys, whatever it was before.
    pub fn obey(&self) {
        let mut state = self.state();
        (state.may_lie, state.accesses, state.queue_max) = (false, 0, 16);
    }

    fn read(&self, offset: usize, width: usize) -> u32 {
        let field = self.field(offset, width);
        let mut state = self.state();
        state.count();
        let truth = state.truth(field, width);
        let told = state.tell(field, truth) & (u32::MAX >> (32 - 8 * width));
        state.remember(field, told, width);
        told
    }

    fn write(&self, offset: usize, width: usize, value: u32) {
        let field = self.field(offset, width);
        let mut state = self.state();
        state.count();
        state.accept(self.layout, field, value);
    }

    /// Which register is at an offset.
    fn field(&self, offset: usize, width: usize) -> Field {
        let (field, right) = match self.layout {
            // Whoever was told another version finds the registers of that.
            Layout::Mmio { .. } => mmio_field(offset, self.state().told_version, width),
            Layout::Bar => bar_field(offset, width),
            Layout::Ports { has_messages } => ports_field(offset, has_messages, width),
        };
        assert_eq!(width, right, "the width of an access to {offset:#x} ({field:?}) of {:?}", self.layout);
        field
    }
}

/// The register of a virtio-mmio device at an offset, and its width.
fn mmio_field(offset: usize, version: u32, width: usize) -> (Field, usize) {
    let field = match (offset, version) {
        (0x000, _) => Field::Magic,
        (0x004, _) => Field::Version,
        (0x008, _) => Field::DeviceType,
        (0x010, _) => Field::Features,
        (0x014, _) => Field::FeatureSelect,
        (0x020, _) => Field::Accept,
        (0x024, _) => Field::AcceptSelect,
        (0x030, _) => Field::QueueSelect,
        (0x034, _) => Field::QueueMax,
        (0x038, _) => Field::QueueSize,
        (0x028 | 0x03c, 1) => Field::Ignored,
        (0x040, 1) => Field::QueuePage,
        (0x044, 2) => Field::QueueReady,
        (0x050, _) => Field::Notify(0),
        (0x060, _) => Field::Interrupt,
        (0x064, _) => Field::InterruptAck,
        (0x070, _) => Field::Status,
        (0x080 | 0x084, 2) => Field::Address((offset - 0x080) / 4),
        (0x090 | 0x094, 2) => Field::Address(2 + (offset - 0x090) / 4),
        (0x0a0 | 0x0a4, 2) => Field::Address(4 + (offset - 0x0a0) / 4),
        (0x0ac, 2) => Field::RegionSelect,
        (0x0b0..0x0c0, 2) => Field::Region,
        (0x0c0, 2) => Field::QueueReset,
        (0x0fc, 2) => Field::Generation,
        (0x100.., _) => return (Field::Config(offset - 0x100), width),
        _ => panic!("MIO-5: an access to register {offset:#x} of version {version}"),
    };
    (field, 4)
}

/// The register of a modern PCI function at an offset of its BAR, and its width.
fn bar_field(offset: usize, width: usize) -> (Field, usize) {
    match offset {
        0x00 => (Field::FeatureSelect, 4),
        0x04 => (Field::Features, 4),
        0x08 => (Field::AcceptSelect, 4),
        0x0c => (Field::Accept, 4),
        0x10 => (Field::ConfigVector, 2),
        0x12 => (Field::QueueCount, 2),
        0x14 => (Field::Status, 1),
        0x15 => (Field::Generation, 1),
        0x16 => (Field::QueueSelect, 2),
        0x18 => (Field::QueueSize, 2),
        0x1a => (Field::QueueVector, 2),
        0x1c => (Field::QueueReady, 2),
        0x1e => (Field::NotifyOff, 2),
        0x20..0x38 => (Field::Address((offset - 0x20) / 4), 4),
        0x38 => (Field::NotifyData, 2),
        0x3a => (Field::QueueReset, 2),
        0x1000 => (Field::Interrupt, 1),
        0x2000..0x3000 => (Field::Config(offset - 0x2000), width),
        0x3000..0x4000 => (Field::Notify(offset - 0x3000), width),
        0x4000..0x4100 => (Field::Ignored, 4),
        _ => panic!("PCI-11: an access to {offset:#x} of the BAR"),
    }
}

/// The register of a legacy PCI function at an offset of its ports, and its width.
fn ports_field(offset: usize, has_messages: bool, width: usize) -> (Field, usize) {
    let start = if has_messages { 0x18 } else { 0x14 };
    match offset {
        0x00 => (Field::Features, 4),
        0x04 => (Field::Accept, 4),
        0x08 => (Field::QueuePage, 4),
        0x0c => (Field::QueueMax, 2),
        0x0e => (Field::QueueSelect, 2),
        0x10 => (Field::Notify(0), 2),
        0x12 => (Field::Status, 1),
        0x13 => (Field::Interrupt, 1),
        0x14 if has_messages => (Field::ConfigVector, 2),
        0x16 if has_messages => (Field::QueueVector, 2),
        _ if offset >= start => (Field::Config(offset - start), width),
        _ => panic!("an access to port {offset:#x}"),
    }
}

impl State<'_> {
    fn count(&mut self) {
        self.accesses += 1;
        assert!(self.accesses <= MOST_ACCESSES, "registers are accessed without end");
    }

    fn queue(&mut self) -> Option<&mut Queue> {
        self.queues.get_mut(self.queue_select)
    }

    /// What an obedient device answers.
    fn truth(&mut self, field: Field, width: usize) -> u32 {
        let (select, queue_max) = (self.queue_select, self.queue_max);
        let queue = self.queues.get(select).copied();
        match field {
            Field::Magic => 0x7472_6976,
            Field::Version => self.version,
            Field::DeviceType => self.device_type,
            Field::Features if self.feature_select < 2 => (self.offered >> (32 * self.feature_select)) as u32,
            Field::Accept => self.accepted as u32,
            Field::FeatureSelect => self.feature_select,
            Field::AcceptSelect => self.accept_select,
            Field::QueueSelect => select as u32,
            Field::QueueCount => QUEUES as u32,
            Field::QueueMax if queue.is_some() => queue_max.into(),
            Field::QueueSize => queue.map_or(0, |queue| if queue.size == 0 { queue_max } else { queue.size }).into(),
            Field::QueueReady => queue.is_some_and(|queue| queue.is_ready).into(),
            Field::QueuePage => queue.map_or(0, |queue| queue.page),
            Field::NotifyOff => select as u32,
            Field::NotifyData => 0x100 + select as u32,
            Field::QueueVector => queue.map_or(u32::MAX, |queue| queue.vector.into()),
            Field::ConfigVector => self.config_vector.into(),
            Field::Address(word) => queue.map_or(0, |queue| queue.address[word]),
            Field::Interrupt => self.interrupt,
            Field::Status => self.status.into(),
            Field::Config(at) => {
                self.config_reads += 1;
                (0..width)
                    .rev()
                    .fold(0, |value, i| value << 8 | u32::from(self.config.get(at + i).copied().unwrap_or(0)))
            }
            Field::Generation => {
                self.generation += u32::from(self.is_restless);
                self.generation
            }
            Field::Region => u32::MAX,
            _ => 0,
        }
    }

    /// What the driver is told instead.
    fn tell(&mut self, field: Field, truth: u32) -> u32 {
        let is_exempt = self.only_configuration && !matches!(field, Field::Config(_) | Field::Generation);
        if !self.may_lie || is_exempt {
            return truth;
        }
        if let Some((_, value)) = self.stuck.filter(|(stuck, _)| *stuck == field) {
            return value;
        }
        if self.truths_left > 0 {
            self.truths_left -= 1;
            return truth;
        }
        match self.script.byte() {
            run @ 0..0x80 => {
                // Behind the end, the truth for ever.
                self.truths_left = if self.script.is_over() { u32::MAX } else { u32::from(run) };
                truth
            }
            0x80..0x90 => u32::MAX,
            0x90..0xa0 => 0,
            0xa0..0xb0 => truth.wrapping_add(1),
            kind @ 0xb0..0xd0 => truth ^ 1 << (kind % 32),
            0xd0..0xe0 => self.script.byte().into(),
            0xe0..0xe8 => self.script.word().into(),
            0xe8..0xf0 => {
                let value = self.script.byte().into();
                self.stuck = Some((field, value));
                value
            }
            _ => self.script.long(),
        }
    }

    /// Writes down what rules about later writes rest on.
    fn remember(&mut self, field: Field, told: u32, width: usize) {
        match field {
            Field::Config(at) => {
                for (place, byte) in self.told_config.iter_mut().skip(at).zip(told.to_le_bytes()).take(width) {
                    *place = byte;
                }
            }
            Field::Features => self.told_features[(self.feature_select % 2) as usize] = told,
            Field::QueueMax | Field::QueueSize => {
                if let Some(queue) = self.queue()
                    && queue.size == 0
                {
                    queue.told_max = told;
                }
            }
            Field::Version if matches!(told, 1 | 2) => self.told_version = told,
            Field::Interrupt => self.told_interrupt = told,
            Field::Generation => self.generations = [self.generations[1], told],
            Field::Status => self.told_status = told as u8,
            _ => {}
        }
    }

    /// Takes a write.
    fn accept(&mut self, layout: Layout, field: Field, value: u32) {
        match field {
            Field::Status => self.set_status(value as u8),
            Field::FeatureSelect => self.feature_select = value,
            Field::AcceptSelect => self.accept_select = value,
            Field::Accept => match self.accept_select {
                0 => self.accepted = self.accepted & !0xffff_ffff | u64::from(value),
                1 => self.accepted = self.accepted & 0xffff_ffff | u64::from(value) << 32,
                _ => {}
            },
            Field::QueueSelect => self.queue_select = value as usize,
            Field::QueueSize => {
                let Some(queue) = self.queue() else { return };
                assert!(value.is_power_of_two() && value <= 32_768, "PCI-12: a queue of {value} descriptors");
                assert!(value <= queue.told_max, "a queue of {value} descriptors, {} being the most", queue.told_max);
                queue.size = value as u16;
            }
            Field::QueueReady => {
                assert_eq!(value, 1, "PCI-14: queues are only ever started");
                self.start(|queue| {
                    let address =
                        |word: usize| u64::from(queue.address[word + 1]) << 32 | u64::from(queue.address[word]);
                    queue.is_ready = true;
                    [address(0), address(2), address(4)]
                });
            }
            Field::QueuePage => {
                self.start(|queue| {
                    if matches!(layout, Layout::Ports { .. }) {
                        // There is no register for it: the driver takes the queue as it is.
                        assert!(queue.told_max.is_power_of_two(), "VQ-3: a queue of {} descriptors", queue.told_max);
                        queue.size = queue.told_max as u16;
                    }
                    queue.page = value;
                    let (base, size) = (u64::from(value) * 4096, u64::from(queue.size));
                    [base, base + 16 * size, (base + 16 * size + 6 + 2 * size).next_multiple_of(4096)]
                });
            }
            Field::QueueReset => {
                assert_eq!(value, 1, "a queue is only ever reset");
                if let Some(queue) = self.queue() {
                    *queue = Queue::default();
                }
            }
            Field::QueueVector => {
                if let Some(queue) = self.queue() {
                    queue.vector = value as u16;
                }
            }
            Field::ConfigVector => self.config_vector = value as u16,
            Field::Address(word) => {
                if let Some(queue) = self.queue() {
                    queue.address[word] = value;
                }
            }
            Field::InterruptAck => {
                assert_eq!(value & !(3 & self.told_interrupt), 0, "MIO-10: acknowledged what was not shown");
                self.interrupt &= !value;
            }
            Field::Notify(_) => {
                assert!(self.status & DRIVER_OK != 0, "INI-9: a kick before DRIVER_OK");
                self.kicks += 1;
            }
            Field::RegionSelect | Field::Ignored => {}
            _ => panic!("a write to {field:?}"),
        }
    }

    fn set_status(&mut self, value: u8) {
        if value == 0 {
            (self.status, self.accepted, self.queues) = (0, 0, [Queue::default(); QUEUES]);
            self.config_vector = u16::MAX;
            return;
        }
        assert_eq!(value & self.status, self.status, "INI-5: status bits are only added");
        if value & !self.status & (FEATURES_OK | DRIVER_OK) != 0 {
            let told = u64::from(self.told_features[0]) | u64::from(self.told_features[1]) << 32;
            assert_eq!(self.accepted & !told, 0, "FTR-1: accepted what was not offered");
            let known = FeatureBits::RING | FeatureBits::RING_LEGACY | FeatureBits::DEVICE;
            assert!(known.contains(FeatureBits::from_bits(self.accepted)), "FTR-3: accepted what nobody knows");
        }
        self.status = value;
    }

    /// Looks at a queue that the driver starts; `place` says where its three parts are.
    fn start(&mut self, place: impl FnOnce(&mut Queue) -> [u64; 3]) {
        let memory = self.memory;
        let Some(queue) = self.queue() else { return };
        queue.parts = place(queue);
        let [descriptors, available, used] = queue.parts;
        let size = u64::from(queue.size);
        for (part, len, align) in [(descriptors, 16 * size, 16), (available, 4 + 2 * size, 2), (used, 4 + 8 * size, 4)]
        {
            assert!(part.is_multiple_of(align), "VQ-1: {part:#x}");
            assert!(memory.extent(part) as u64 >= len, "a ring at {part:#x} that is not in the driver's memory");
        }
    }
}

impl Registers for Chip<'_> {
    fn len(&self) -> usize {
        let state = self.state();
        match self.layout {
            Layout::Mmio { .. } => 0x100 + state.config.len(),
            Layout::Bar => 0x5000,
            Layout::Ports { .. } => 0x18 + state.config.len(),
        }
    }

    fn read8(&self, offset: usize) -> u8 {
        self.read(offset, 1) as u8
    }

    fn read16(&self, offset: usize) -> u16 {
        self.read(offset, 2) as u16
    }

    fn read32(&self, offset: usize) -> u32 {
        self.read(offset, 4)
    }

    fn write8(&self, offset: usize, value: u8) {
        self.write(offset, 1, value.into());
    }

    fn write16(&self, offset: usize, value: u16) {
        self.write(offset, 2, value.into());
    }

    fn write32(&self, offset: usize, value: u32) {
        self.write(offset, 4, value);
    }
}
