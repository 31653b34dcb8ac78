//! Registers that remember every access, and change what is read if the test says so.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use toro_core::Registers;

use crate::common::transports::Bus;

/// Which way a value went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Read,
    Write,
}

/// One access of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub kind: Kind,
    pub offset: usize,
    /// In bytes.
    pub width: usize,
    pub value: u32,
}

impl Access {
    pub fn is_write_to(&self, offset: usize) -> bool {
        self.kind == Kind::Write && self.offset == offset
    }

    pub fn is_read_of(&self, offset: usize) -> bool {
        self.kind == Kind::Read && self.offset == offset
    }

    pub fn is_write_in(&self, range: &Range<usize>) -> bool {
        self.kind == Kind::Write && range.contains(&self.offset)
    }

    pub fn is_read_in(&self, range: &Range<usize>) -> bool {
        self.kind == Kind::Read && range.contains(&self.offset)
    }
}

/// What a read gives instead of the truth.
type Lie = Box<dyn FnMut(Access) -> u32 + Send>;

#[derive(Default)]
struct Inner {
    log: Vec<Access>,
    lie: Option<Lie>,
}

/// What was accessed, in order.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<Inner>>);

impl Trace {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All accesses since the last call.
    pub fn take(&self) -> Vec<Access> {
        std::mem::take(&mut self.inner().log)
    }

    /// From now on each read gives what `lie` makes of it.
    pub fn lie(&self, lie: impl FnMut(Access) -> u32 + Send + 'static) {
        self.inner().lie = Some(Box::new(lie));
    }

    /// No more lies.
    pub fn be_honest(&self) {
        self.inner().lie = None;
    }

    /// Remembers a read and says what the driver gets.
    fn read(&self, offset: usize, width: usize, value: u32) -> u32 {
        let mut access = Access { kind: Kind::Read, offset, width, value };
        // Taken out meanwhile: what lies may look at the device, whose registers are traced.
        let lie = self.inner().lie.take();
        if let Some(mut lie) = lie {
            access.value = lie(access);
            self.inner().lie.get_or_insert(lie);
        }
        self.inner().log.push(access);
        access.value
    }

    fn write(&self, offset: usize, width: usize, value: u32) {
        self.inner().log.push(Access { kind: Kind::Write, offset, width, value });
    }
}

/// Registers whose accesses are remembered.
#[derive(Clone)]
pub struct Traced<R> {
    pub registers: R,
    pub trace: Trace,
}

impl<R: Registers> Registers for Traced<R> {
    fn len(&self) -> usize {
        self.registers.len()
    }

    fn read8(&self, offset: usize) -> u8 {
        self.trace.read(offset, 1, u32::from(self.registers.read8(offset))) as u8
    }

    fn read16(&self, offset: usize) -> u16 {
        self.trace.read(offset, 2, u32::from(self.registers.read16(offset))) as u16
    }

    fn read32(&self, offset: usize) -> u32 {
        self.trace.read(offset, 4, self.registers.read32(offset))
    }

    fn write8(&self, offset: usize, value: u8) {
        self.trace.write(offset, 1, u32::from(value));
        self.registers.write8(offset, value);
    }

    fn write16(&self, offset: usize, value: u16) {
        self.trace.write(offset, 2, u32::from(value));
        self.registers.write16(offset, value);
    }

    fn write32(&self, offset: usize, value: u32) {
        self.trace.write(offset, 4, value);
        self.registers.write32(offset, value);
    }
}

/// Where the models have what all transports have.
#[derive(Debug)]
pub struct Layout {
    pub status: usize,
    pub device_features_select: usize,
    pub device_features: usize,
    pub driver_features_select: usize,
    pub driver_features: usize,
    pub queue_size: usize,
    pub queue_ready: usize,
    pub rings: Range<usize>,
    pub notify: Range<usize>,
    pub config: Range<usize>,
}

/// The layout of the model behind a bus.
pub fn layout(bus: Bus) -> Layout {
    match bus {
        Bus::Mmio | Bus::Strict => Layout {
            status: 0x70,
            device_features_select: 0x14,
            device_features: 0x10,
            driver_features_select: 0x24,
            driver_features: 0x20,
            queue_size: 0x38,
            queue_ready: 0x44,
            rings: 0x80..0xa8,
            notify: 0x50..0x54,
            config: 0x100..0x200,
        },
        Bus::Pci => Layout {
            status: 0x14,
            device_features_select: 0x00,
            device_features: 0x04,
            driver_features_select: 0x08,
            driver_features: 0x0c,
            queue_size: 0x18,
            queue_ready: 0x1c,
            rings: 0x20..0x38,
            notify: 0x3000..0x4000,
            config: 0x2000..0x3000,
        },
        Bus::LegacyMmio => Layout { queue_ready: 0x40, rings: 0x40..0x44, ..layout(Bus::Mmio) },
        // Without select registers for features; the features of the driver stand for both.
        Bus::LegacyPci => Layout {
            status: 0x12,
            device_features_select: 0x00,
            device_features: 0x00,
            driver_features_select: 0x04,
            driver_features: 0x04,
            queue_size: 0x0c,
            queue_ready: 0x08,
            rings: 0x08..0x0c,
            notify: 0x10..0x12,
            config: 0x18..0x80,
        },
    }
}
