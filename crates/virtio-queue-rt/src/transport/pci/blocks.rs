//! Where a modern function's registers are: what its capabilities say, believed as far as it can be checked.

use toro_core::io::{Registers, Window};
use toro_core::pci::ConfigSpace;
use toro_core::pci::bar::{Bar, bars as sized_bars};
use toro_core::pci::capability::{VENDOR_SPECIFIC, capabilities};

use super::COMMON_LEN;
use crate::transport::SharedMemory;

const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const ISR: u8 = 3;
const DEVICE: u8 = 4;
const SHARED_MEMORY: u8 = 8;

/// Whether the function has a virtio capability of any kind, usable or not.
pub(in crate::transport) fn has_virtio_capability(config: &dyn ConfigSpace) -> bool {
    capabilities(config).any(|capability| capability.id == VENDOR_SPECIFIC)
}

/// The blocks found: the first usable of each kind.
pub(super) struct Blocks<R> {
    pub common: Option<Window<R>>,
    pub notify: Option<NotifyBlock<R>>,
    pub isr: Option<IsrBlock<R>>,
    pub device: Option<Window<R>>,
    pub regions: Regions,
}

/// Where queues are notified: a part of a BAR that is aligned to two bytes only.
#[derive(Debug)]
pub(super) struct NotifyBlock<R> {
    bar: R,
    offset: usize,
    len: usize,
    /// Bytes per unit of `queue_notify_off`; 0 if all queues share one place.
    pub multiplier: u32,
}

impl<R: Registers> NotifyBlock<R> {
    fn new(bar: R, offset: usize, len: usize, multiplier: u32) -> Option<Self> {
        let end = offset.checked_add(len)?;
        let is_usable = end <= bar.len() && offset.is_multiple_of(2) && len >= 2 && multiplier.is_multiple_of(2);
        is_usable.then_some(Self { bar, offset, len, multiplier })
    }

    /// Whether `width` bytes can be written at `offset`.
    pub fn has(&self, offset: u32, width: usize) -> bool {
        let offset = offset as usize;
        offset.checked_add(width).is_some_and(|end| end <= self.len) && (self.offset + offset).is_multiple_of(width)
    }

    /// Whether 32 bits can be written for every queue.
    pub fn is_wide(&self) -> bool {
        self.has(0, 4) && self.multiplier.is_multiple_of(4)
    }

    #[inline]
    pub fn write16(&self, offset: u32, value: u16) {
        self.bar.write16(self.offset + offset as usize, value);
    }

    #[inline]
    pub fn write32(&self, offset: u32, value: u32) {
        self.bar.write32(self.offset + offset as usize, value);
    }
}

/// One byte, anywhere in a BAR.
#[derive(Debug)]
pub(super) struct IsrBlock<R> {
    bar: R,
    offset: usize,
}

impl<R: Registers> IsrBlock<R> {
    fn new(bar: R, offset: usize, len: usize) -> Option<Self> {
        let end = offset.checked_add(len)?;
        (end <= bar.len() && len >= 1).then_some(Self { bar, offset })
    }

    /// Reads it, which clears it.
    pub fn take(&self) -> u8 {
        self.bar.read8(self.offset)
    }
}

/// Finds the blocks. `bars` are the mapped BARs, by number.
pub(super) fn find_blocks<R: Registers + Clone>(config: &dyn ConfigSpace, bars: &[Option<R>; 6]) -> Blocks<R> {
    let mut blocks = Blocks { common: None, notify: None, isr: None, device: None, regions: Regions::default() };
    let mut sized = None;
    for capability in capabilities(config).filter(|capability| capability.id == VENDOR_SPECIFIC) {
        let at = capability.offset;
        let cap_len = u16::from(config.read8(at + 2));
        let kind = config.read8(at + 3);
        let needed = match kind {
            NOTIFY => 20,
            SHARED_MEMORY => 24,
            _ => 16,
        };
        let index = usize::from(config.read8(at + 4));
        if cap_len < needed || at + needed > 256 || index >= bars.len() {
            continue;
        }
        let offset = config.read32(at + 8);
        let len = config.read32(at + 12);
        if kind == SHARED_MEMORY {
            // It need not be mapped, only to be somewhere. Sizing touches nothing that is in use: decoding is
            // switched on after this.
            let bars = sized.get_or_insert_with(|| sized_bars(config));
            let wide = |low: u32, high| u64::from(low) | u64::from(config.read32(high)) << 32;
            let range = (wide(offset, at + 16), wide(len, at + 20));
            blocks.regions.add(config.read8(at + 5), region(bars[index], range));
            continue;
        }
        let Some(bar) = bars[index].clone() else { continue };
        let (offset, len) = (offset as usize, len as usize);
        match kind {
            COMMON if len >= COMMON_LEN => first(&mut blocks.common, || Window::new(bar, offset, len)),
            NOTIFY => {
                let multiplier = config.read32(at + 16);
                first(&mut blocks.notify, || NotifyBlock::new(bar, offset, len, multiplier));
            }
            ISR => first(&mut blocks.isr, || IsrBlock::new(bar, offset, len)),
            DEVICE if len >= 1 => first(&mut blocks.device, || Window::new(bar, offset, len)),
            _ => {}
        }
    }
    blocks
}

fn first<T>(found: &mut Option<T>, make: impl FnOnce() -> Option<T>) {
    if found.is_none() {
        *found = make();
    }
}

/// The memory at an offset of a BAR, with a length; `None` if it is not inside.
fn region(bar: Option<Bar>, (offset, len): (u64, u64)) -> Option<SharedMemory> {
    match bar? {
        Bar::Memory { address, size, .. } if address != 0 && offset.checked_add(len)? <= size => {
            SharedMemory::new(address.checked_add(offset)?, len)
        }
        _ => None,
    }
}

/// Shared memory by id: at most as many as configuration space has room for.
#[derive(Debug, Default)]
pub(super) struct Regions([Option<(u8, Option<SharedMemory>)>; 8]);

impl Regions {
    /// Adds a region. An id that comes twice has none: nobody knows which one is meant.
    fn add(&mut self, id: u8, memory: Option<SharedMemory>) {
        for entry in &mut self.0 {
            match entry {
                Some((known, memory)) if *known == id => {
                    *memory = None;
                    return;
                }
                Some(_) => {}
                None => {
                    *entry = Some((id, memory));
                    return;
                }
            }
        }
    }

    pub fn get(&self, id: u8) -> Option<SharedMemory> {
        self.0.iter().flatten().find(|(known, _)| *known == id).and_then(|(_, memory)| *memory)
    }
}
