//! The same device behind either kind of registers.

use toro_core::pci::msix::MsiMessage;
use virtio_queue_rt::attach::BoxedTransport;
use virtio_queue_rt::{Interrupts, MmioTransport, PciTransport};
use virtio_sim::{Device, MmioModel, PciModel};

/// What a device is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    Mmio,
    Pci,
}

pub const BUSES: [Bus; 2] = [Bus::Mmio, Bus::Pci];

#[allow(unsafe_code)]
fn message() -> MsiMessage {
    // SAFETY: nothing writes it anywhere.
    unsafe { MsiMessage::new(0xfee0_0000, 0x41) }
}

pub fn transport(device: &Device, bus: Bus) -> BoxedTransport {
    match bus {
        Bus::Mmio => Box::new(MmioTransport::new(MmioModel::new(device.clone())).expect("a sound device")),
        Bus::Pci => {
            let (config, bars) = PciModel::new(device.clone());
            Box::new(PciTransport::new(&config, &bars, Interrupts::Messages(&[message()])).expect("a sound device"))
        }
    }
}
