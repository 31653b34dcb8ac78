//! The same device behind any kind of registers.

use toro_core::pci::msix::MsiMessage;
use virtio_queue_rt::attach::BoxedTransport;
use virtio_queue_rt::{Interrupts, LegacyMmioTransport, LegacyPciTransport, MmioTransport, PciTransport};
use virtio_sim::pci::Vectors;
use virtio_sim::{Device, LegacyMmioModel, MmioModel, PciModel, StrictMmio};

/// What a device is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    Mmio,
    Pci,
    LegacyMmio,
    LegacyPci,
    /// Registers as particular as Firecracker's.
    Strict,
}

/// Those of modern devices.
pub const BUSES: [Bus; 2] = [Bus::Mmio, Bus::Pci];

/// Those of legacy devices.
pub const LEGACY_BUSES: [Bus; 2] = [Bus::LegacyMmio, Bus::LegacyPci];

/// All of them.
pub const ALL_BUSES: [Bus; 4] = [Bus::Mmio, Bus::Pci, Bus::LegacyMmio, Bus::LegacyPci];

impl Bus {
    /// Whether devices on it speak the legacy interface.
    pub fn is_legacy(self) -> bool {
        LEGACY_BUSES.contains(&self)
    }
}

#[allow(unsafe_code)]
pub fn message() -> MsiMessage {
    // SAFETY: nothing writes it anywhere.
    unsafe { MsiMessage::new(0xfee0_0000, 0x41) }
}

pub fn transport(device: &Device, bus: Bus) -> BoxedTransport {
    let device = device.clone();
    let messages = [message()];
    let interrupts = Interrupts::Messages(&messages);
    match bus {
        Bus::Mmio => Box::new(MmioTransport::new(MmioModel::new(device)).expect("a sound device")),
        Bus::Strict => Box::new(MmioTransport::new(StrictMmio::new(device)).expect("a sound device")),
        Bus::LegacyMmio => Box::new(LegacyMmioTransport::new(LegacyMmioModel::new(device)).expect("a sound device")),
        Bus::Pci => {
            let (config, bars) = PciModel::new(device);
            Box::new(PciTransport::new(&config, &bars, interrupts).expect("a sound device"))
        }
        Bus::LegacyPci => {
            let (config, bars) = PciModel::legacy(device, Vectors::Some(4));
            Box::new(LegacyPciTransport::new(&config, &bars, interrupts).expect("a sound device"))
        }
    }
}
