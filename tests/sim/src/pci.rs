//! Virtio-pci functions: configuration space with capabilities, and BARs. They fail the test on a forbidden access.
//!
//! ```text
//!   modern        BAR 4   0x0000 common   0x1000 interrupt status   0x2000 device   0x3000 notify   0x4000 MSI-X table
//!   legacy        BAR 0   the block of ports                        BAR 1   MSI-X table
//!   transitional  both: BAR 0 and BAR 4
//! ```

mod config;
mod legacy;
mod modern;

use std::sync::{Arc, Mutex};

use toro_core::Registers;

pub use self::config::{PciConfig, capability, shared_memory};
use crate::device::Device;

/// A function's BAR.
#[derive(Debug, Clone)]
pub struct PciModel {
    /// The device behind it.
    pub device: Device,
    /// The MSI-X table: four words per vector.
    pub table: Arc<Mutex<Vec<u32>>>,
    config: PciConfig,
    block: Block,
}

/// Which BAR it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Modern,
    Legacy,
    Table,
}

/// What an MSI-X table is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vectors {
    /// The function has no MSI-X.
    None,
    /// It has so many vectors.
    Some(u16),
}

impl PciModel {
    /// A modern function with four vectors: its configuration space and its BARs.
    pub fn new(device: Device) -> (PciConfig, [Option<PciModel>; 6]) {
        Self::modern(device, Vectors::Some(4))
    }

    /// A modern function.
    pub fn modern(device: Device, vectors: Vectors) -> (PciConfig, [Option<PciModel>; 6]) {
        let id = 0x1040 + device.state().device_type as u16;
        let config = PciConfig::new(id);
        config.add_modern(vectors, device.state().multiplier);
        let bar = Self::bar(device, &config, vectors, Block::Modern);
        (config, [None, None, None, None, Some(bar), None])
    }

    /// A legacy function: a network device, by its PCI device id.
    pub fn legacy(device: Device, vectors: Vectors) -> (PciConfig, [Option<PciModel>; 6]) {
        device.state().is_legacy = true;
        let config = PciConfig::new(0x1000);
        config.add_legacy(vectors);
        let block = Self::bar(device.clone(), &config, vectors, Block::Legacy);
        let table = Self::bar(device, &config, vectors, Block::Table);
        (config, [Some(block), Some(table), None, None, None, None])
    }

    /// A transitional function: a network device with the registers of both interfaces.
    pub fn transitional(device: Device) -> (PciConfig, [Option<PciModel>; 6]) {
        let vectors = Vectors::Some(4);
        let config = PciConfig::new(0x1000);
        config.add_modern(vectors, device.state().multiplier);
        config.set(0x10, &0xc001_u32.to_le_bytes());
        let legacy = Self::bar(device.clone(), &config, vectors, Block::Legacy);
        let modern = Self::bar(device, &config, vectors, Block::Modern);
        (config, [Some(legacy), None, None, None, Some(modern), None])
    }

    fn bar(device: Device, config: &PciConfig, vectors: Vectors, block: Block) -> Self {
        let words = match vectors {
            Vectors::None => 0,
            Vectors::Some(count) => 4 * usize::from(count),
        };
        Self { device, table: Arc::new(Mutex::new(vec![0; words])), config: config.clone(), block }
    }

    fn vectors(&self) -> usize {
        self.table.lock().expect("no test panics with it").len() / 4
    }

    /// Checks a vector that the driver writes (PCI-18).
    fn check_vector(&self, vector: u16) {
        assert!(self.config.has_msix(), "a vector is written while MSI-X is off");
        assert!(
            vector == 0xffff || usize::from(vector) < self.vectors(),
            "PCI-18: vector {vector} is not in the table"
        );
    }

    /// Reads the interrupt status, which is for lines only (PCI-20).
    fn take_interrupt(&self) -> u8 {
        assert!(!self.config.has_msix(), "PCI-20: the interrupt status is read while MSI-X is on");
        self.device.take_interrupt()
    }

    fn table_read(&self, offset: usize) -> u32 {
        self.table.lock().expect("no test panics with it")[offset / 4]
    }

    fn table_write(&self, offset: usize, value: u32) {
        self.table.lock().expect("no test panics with it")[offset / 4] = value;
    }
}

macro_rules! dispatch {
    ($($read:ident, $write:ident, $width:ty;)*) => {$(
        fn $read(&self, offset: usize) -> $width {
            assert!(offset.is_multiple_of(size_of::<$width>()), "an access askew, at {offset:#x}");
            match self.block {
                _ if self.device.state().lies.gone => <$width>::MAX,
                Block::Modern => self.modern_read(offset, size_of::<$width>()) as $width,
                Block::Legacy => self.legacy_read(offset, size_of::<$width>()) as $width,
                Block::Table => self.table_read(offset) as $width,
            }
        }
        fn $write(&self, offset: usize, value: $width) {
            assert!(offset.is_multiple_of(size_of::<$width>()), "an access askew, at {offset:#x}");
            match self.block {
                Block::Modern => self.modern_write(offset, size_of::<$width>(), value.into()),
                Block::Legacy => self.legacy_write(offset, size_of::<$width>(), value.into()),
                Block::Table => self.table_write(offset, value.into()),
            }
        }
    )*};
}

impl Registers for PciModel {
    fn len(&self) -> usize {
        match self.block {
            Block::Modern => 0x5000.max(0x4000 + 16 * self.vectors()),
            Block::Legacy => 0x80,
            Block::Table => 16 * self.vectors(),
        }
    }

    dispatch! {
        read8, write8, u8;
        read16, write16, u16;
        read32, write32, u32;
    }
}
