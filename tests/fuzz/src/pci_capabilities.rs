//! Target `pci_capabilities`: a PCI function that claims anything about itself.
//!
//! | head | meaning |
//! |---|---|
//! | byte 0 | bits 0 and 1: the ids (as they come, modern, transitional, network); bits 2 and 3: how it interrupts |
//! | bytes 1 to 6 | how long each BAR is, 0 being absent, as in `length` |
//! | bytes 7 and 8 | `queue_notify_off` |
//! | byte 9 | how many bytes of configuration space change by themselves, up to 3, each with the access before which |
//!
//! Then comes configuration space. The BARs are memory that holds what is written to it.
//!
//! What the transport makes of it is held against a second reading of the same capabilities, written for this target.

use std::num::NonZeroU16;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use toro_core::driver::{AttachError, Attached, Location, PciFunction, Resources};
use toro_core::io::IoWindow;
use toro_core::pci::bar::{self, Bar};
use toro_core::pci::capability::capabilities;
use toro_core::{DmaBuf, DmaPool, Mmio, Registers};
use virtio_queue_rt::transport::{Interrupts, TransitionalPci};
use virtio_queue_rt::{Direction, FeatureBits, QueueIndex, Reset, TransportError, Virtqueue};
use virtio_sim::SimMemory;

use crate::clock::CLOCK;
use crate::function::{Change, Function, messages};
use crate::script::Script;

/// What stands before and behind a BAR.
const FENCE: u64 = 0xfe7c_e000_0000_c0de;

/// Runs an input; says why the transport did not take the function, if so.
pub fn body(input: &[u8], memory: &'static SimMemory) -> Option<TransportError> {
    let script = Script::new(input);
    let head = script.byte();
    let lengths = script.bytes::<6>().map(length);
    let notify_off = script.word();
    let changes = (0..script.below(4)).map(|_| {
        let access = script.word() % 512;
        Change { access, offset: script.byte(), value: script.byte() }
    });
    let changes: Vec<_> = changes.collect();
    let mut bytes = script.bytes::<256>();
    let id: Option<u16> = match head & 3 {
        0 => None,
        1 => Some(0x1044),
        2 => Some(0x1005),
        _ => Some(0x1041),
    };
    if let Some(id) = id {
        bytes[..2].copy_from_slice(&0x1af4_u16.to_le_bytes());
        bytes[2..4].copy_from_slice(&id.to_le_bytes());
        bytes[6] |= 0x10;
    }
    let masks = lengths.map(|len| len.map_or(0, |len| !(len.next_power_of_two().max(16) as u32 - 1)));
    let is_steady = changes.is_empty();
    let function = Function::new(bytes, masks, changes);

    plausible(&function);
    let is_line = head >> 2 & 3 == 1;
    let has_messages = head >> 2 & 3 >= 2;
    let claims = Claims::read(&function.bytes(), &lengths);
    let refused = transport(&function, &claims, &lengths, notify_off, is_steady, is_line, has_messages, memory);
    attach(&function, &claims, &lengths, notify_off, has_messages, memory);
    refused
}

/// The length of a BAR: those that matter, and a few more.
fn length(byte: u8) -> Option<usize> {
    match byte {
        0 => None,
        1 => Some(0x4000),
        2 => Some(0x5000),
        3 => Some(0x38),
        4 => Some(0x18),
        5 => Some(0x1000),
        _ => Some(usize::from(byte) * 8),
    }
}

/// What can be said of any configuration space.
fn plausible(function: &Function) {
    for (index, bar) in bar::bars(function).iter().enumerate() {
        match *bar {
            Some(Bar::Memory { address, size, .. }) => {
                assert!(size.is_power_of_two() && size >= 16 && address.checked_add(size).is_some(), "BAR {index}");
            }
            Some(Bar::Io { size, .. }) => assert!(size.is_power_of_two() && size >= 4, "BAR {index}"),
            None => {}
        }
    }
    assert!(capabilities(function).count() <= 48, "HD-PCI-1");
    assert!(capabilities(function).all(|capability| (0x40..=0xfc).contains(&capability.offset)), "HD-PCI-2");
}

/// A part of a BAR.
#[derive(Debug, Clone, Copy)]
struct Block {
    bar: usize,
    offset: usize,
    len: usize,
}

/// What the capabilities say, as far as it is usable.
#[derive(Debug, Default)]
struct Claims {
    has_virtio: bool,
    common: Option<Block>,
    notify: Option<(Block, u32)>,
    isr: Option<Block>,
    device: Option<Block>,
    table: Option<Block>,
}

impl Claims {
    /// VIRTIO 1.3 §4.1.4 and PCI Local Bus 3.0 §6.8.2, from the bytes.
    fn read(bytes: &[u8; 256], lengths: &[Option<usize>; 6]) -> Self {
        let mut claims = Self::default();
        let long = |at: usize| bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let block = |bar: u8, offset: u32, len: u64, align: usize| {
            let (bar, offset) = (usize::from(bar), offset as usize);
            let end = (offset as u64).checked_add(len)?;
            let size = *lengths.get(bar)?;
            (end <= size? as u64 && offset.is_multiple_of(align)).then_some(Block { bar, offset, len: len as usize })
        };
        let mut next = if bytes[6] & 0x10 != 0 && bytes[6..8] != [0xff, 0xff] { bytes[0x34] } else { 0 };
        let mut has_table = false;
        for _ in 0..48 {
            let at = usize::from(next & !3);
            if next == 0xff || at < 0x40 {
                break;
            }
            next = bytes[at + 1];
            match bytes[at] {
                0x09 => {
                    claims.has_virtio = true;
                    let [len, kind, bar] = [at + 2, at + 3, at + 4].map(|i| bytes.get(i).copied().unwrap_or(0xff));
                    let needed = match kind {
                        2 => 20,
                        8 => 24,
                        _ => 16,
                    };
                    if usize::from(len) < needed || at + needed > 256 {
                        continue;
                    }
                    let (offset, size) = (long(at + 8), u64::from(long(at + 12)));
                    match kind {
                        1 if size >= 0x38 => claims.common = claims.common.or_else(|| block(bar, offset, size, 4)),
                        2 if size >= 2 && long(at + 16).is_multiple_of(2) => {
                            let found = || block(bar, offset, size, 2).map(|block| (block, long(at + 16)));
                            claims.notify = claims.notify.or_else(found);
                        }
                        3 if size >= 1 => claims.isr = claims.isr.or_else(|| block(bar, offset, size, 1)),
                        4 if size >= 1 => claims.device = claims.device.or_else(|| block(bar, offset, size, 4)),
                        _ => {}
                    }
                }
                0x11 if !has_table && at <= 0xf4 => {
                    has_table = true;
                    let vectors = u64::from(long(at) >> 16 & 0x7ff) + 1;
                    let place = long(at + 4);
                    claims.table = block((place & 7) as u8, place & !7, vectors * 16, 8);
                }
                _ => {}
            }
        }
        claims
    }

    /// Whether an access lies in one of the blocks.
    fn covers(&self, bar: usize, offset: usize, width: usize) -> bool {
        let notify = self.notify.map(|(block, _)| block);
        let blocks = [self.common, notify, self.isr, self.device, self.table];
        blocks
            .into_iter()
            .flatten()
            .any(|block| block.bar == bar && offset >= block.offset && offset + width <= block.offset + block.len)
    }

    /// Makes the memory behind the common configuration that of a device with one queue of eight.
    fn furnish(&self, notify_off: u16, mut write: impl FnMut(Block, usize, u16)) {
        let Some(common) = self.common else { return };
        // VERSION_1, whichever half of the features is selected; one queue; nothing enabled.
        for (offset, value) in [(0x04, 1), (0x12, 1), (0x14, 0), (0x18, 8), (0x1c, 0), (0x1e, notify_off)] {
            write(common, offset, value);
        }
    }
}

/// A BAR that holds what is written to it, and what was reached.
#[derive(Debug, Clone)]
struct Ram {
    number: usize,
    bytes: Arc<Mutex<Vec<u8>>>,
    log: Arc<Mutex<Vec<Access>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Access {
    bar: usize,
    offset: usize,
    width: usize,
    is_write: bool,
}

impl Ram {
    fn access(&self, offset: usize, width: usize, write: Option<u32>) -> u32 {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(offset.is_multiple_of(width), "an unaligned access to {offset:#x} of BAR {}", self.number);
        assert!(offset + width <= bytes.len(), "an access to {offset:#x} of BAR {}, beyond its end", self.number);
        let access = Access { bar: self.number, offset, width, is_write: write.is_some() };
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(access);
        if let Some(value) = write {
            bytes[offset..offset + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
        bytes[offset..offset + width].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
    }
}

impl Registers for Ram {
    fn len(&self) -> usize {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
    fn read8(&self, offset: usize) -> u8 {
        self.access(offset, 1, None) as u8
    }
    fn read16(&self, offset: usize) -> u16 {
        self.access(offset, 2, None) as u16
    }
    fn read32(&self, offset: usize) -> u32 {
        self.access(offset, 4, None)
    }
    fn write8(&self, offset: usize, value: u8) {
        self.access(offset, 1, Some(value.into()));
    }
    fn write16(&self, offset: usize, value: u16) {
        self.access(offset, 2, Some(value.into()));
    }
    fn write32(&self, offset: usize, value: u32) {
        self.access(offset, 4, Some(value));
    }
}

/// Takes the function, and sets a queue up if that goes well.
#[allow(clippy::too_many_arguments)]
fn transport(
    function: &Function,
    claims: &Claims,
    lengths: &[Option<usize>; 6],
    notify_off: u16,
    is_steady: bool,
    is_line: bool,
    has_messages: bool,
    memory: &'static SimMemory,
) -> Option<TransportError> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let bars: [Option<Ram>; 6] = std::array::from_fn(|number| {
        lengths[number].map(|len| Ram { number, bytes: Arc::new(Mutex::new(vec![0; len])), log: log.clone() })
    });
    claims.furnish(notify_off, |block, offset, value| {
        if let Some(bar) = &bars[block.bar] {
            bar.write16(block.offset + offset, value);
        }
    });
    log.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let messages = messages();
    let interrupts = match () {
        () if is_line => Interrupts::Line,
        () if has_messages => Interrupts::Messages(&messages),
        () => Interrupts::Polled,
    };
    let bytes = function.bytes();
    let found = TransitionalPci::new(function, &bars, interrupts);
    let id = u16::from_le_bytes([bytes[2], bytes[3]]);
    let is_modern = id >= 0x1040 || claims.has_virtio;
    if is_steady && bytes[..2] == 0x1af4_u16.to_le_bytes() {
        let has_blocks = claims.common.is_some() && claims.notify.is_some() && claims.isr.is_some();
        let has_ports = lengths[0].is_some_and(|len| len >= 0x18);
        let has_registers = if is_modern { has_blocks } else { has_ports };
        let has_interrupts = !has_messages || claims.table.is_some();
        match &found {
            Ok(_) => assert!(has_registers && has_interrupts, "taken without {claims:?}"),
            Err(TransportError::NotVirtio(_)) => {}
            Err(error) => assert!(!(has_registers && has_interrupts), "{error} in spite of {claims:?}"),
        }
    }
    let transport = match found {
        Ok(transport) => transport,
        Err(error) => return Some(error),
    };
    let kick = queue(transport, memory, &log);
    if is_steady && is_modern {
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        for access in log.iter() {
            assert!(claims.covers(access.bar, access.offset, access.width), "{access:?} in none of {claims:?}");
        }
        if let (Some(kicks), Some((notify, multiplier))) = (kick, claims.notify) {
            let [kick] = kicks[..] else { panic!("a kick is one store, not {kicks:?}") };
            assert!(kick.is_write && kick.bar == notify.bar, "{kick:?} is not for {notify:?}");
            let place = kick.offset - notify.offset;
            let is_unit = if multiplier == 0 { place == 0 } else { place.is_multiple_of(multiplier as usize) };
            assert!(is_unit && place + kick.width <= notify.len, "{kick:?} is not in {notify:?}");
        }
    }
    None
}

/// Sets up a queue and kicks; gives what was reached by the kick.
fn queue(transport: TransitionalPci<Ram>, memory: &'static SimMemory, log: &Mutex<Vec<Access>>) -> Option<Vec<Access>> {
    let reset = Reset::new(transport, &CLOCK).ok()?;
    let _ = reset.config(|registers| registers.read32(0));
    let mut negotiated = reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |accepted| accepted).ok()?;
    let mut queue: Virtqueue<DmaBuf, ()> = negotiated.queue(QueueIndex(0), 8, memory).ok()?;
    let running = negotiated.run();
    let mut pool = DmaPool::new(memory, 1, 64).ok()?;
    let mut buffer = pool.take()?;
    buffer.set_len(8).expect("8 of 64");
    queue.submit((), buffer, Direction::FromDevice, (), ()).expect("the queue is empty");
    let wish = queue.publish();
    let reached = || log.lock().unwrap_or_else(PoisonError::into_inner).len();
    let before = reached();
    running.notify(&queue, wish);
    let kick = log.lock().unwrap_or_else(PoisonError::into_inner)[before..].to_vec();
    for id in 0..8 {
        if let Some(region) = running.shared_memory(id) {
            assert!(region.len > 0 && region.address.checked_add(region.len).is_some(), "HD-PCI-17: {region:?}");
        }
    }
    let _ = running.acknowledge_interrupt();
    if let Ok((_, proof)) = running.quiesce(&CLOCK) {
        assert!(queue.retire(&proof, |_, ()| ()).is_ok());
    }
    Some(kick)
}

/// Lets the network driver have the function, with real memory behind its BARs.
fn attach(
    function: &Function,
    claims: &Claims,
    lengths: &[Option<usize>; 6],
    notify_off: u16,
    has_messages: bool,
    memory: &'static SimMemory,
) {
    let mut fenced: Vec<Option<Vec<u64>>> = lengths
        .iter()
        .map(|len| {
            len.map(|len| {
                std::iter::once(FENCE).chain(std::iter::repeat_n(0, len.div_ceil(8))).chain([FENCE]).collect()
            })
        })
        .collect();
    claims.furnish(notify_off, |block, offset, value| {
        if let Some(words) = &mut fenced[block.bar] {
            let at = block.offset + offset;
            words[1 + at / 8] |= u64::from(value) << (at % 8 * 8);
        }
    });
    let bars = std::array::from_fn(|number| {
        let (len, words) = (lengths[number]?, fenced[number].as_mut()?);
        let first = NonNull::from(words.as_mut_slice()).cast::<u64>();
        // SAFETY: there is a word behind the fence, if only the other fence.
        let base = unsafe { first.add(1) }.cast::<u8>();
        // SAFETY: valid for these bytes until the driver is gone, aligned, and touched in no other way meanwhile.
        Some(IoWindow::Mmio(unsafe { Mmio::new(base, len) }))
    });
    let messages = if has_messages { messages().to_vec() } else { Vec::new() };
    let location = Location::Pci(PciFunction { config: Box::new(function.clone()), bars, messages });
    let attached: Result<Attached, AttachError> =
        virtio_net::DRIVER.attach(Resources { location, memory, clock: &CLOCK, owners: NonZeroU16::MIN });
    if let Ok(Attached::Net(net)) = &attached {
        assert!(net.mac().is_unicast() && net.limits().max_frame <= 1514);
    }
    drop(attached);
    for words in fenced.iter().flatten() {
        assert_eq!((words.first(), words.last()), (Some(&FENCE), Some(&FENCE)), "a write beyond a BAR");
    }
}
