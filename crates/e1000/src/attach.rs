//! The entry for a kernel's list of drivers.

use alloc::boxed::Box;

use toro_core::driver::{AttachError, Attached, DeviceId, Driver, Location, Resources};
use toro_core::pci::{msi, msix};

use crate::driver::E1000;
use crate::model::Model;
use crate::options::Options;

struct E1000Driver;

/// The entry for a kernel's list of drivers.
pub static DRIVER: &dyn Driver = &E1000Driver;

impl Driver for E1000Driver {
    fn name(&self) -> &'static str {
        "e1000"
    }

    fn matches(&self, id: &DeviceId) -> bool {
        // The 82574L is for whoever asks for it by name: under QEMU 7.2 it has been seen to stop receiving.
        let model = match *id {
            DeviceId::Pci { vendor, device, .. } => Model::of(vendor, device),
            _ => None,
        };
        model.is_some_and(|model| model != Model::I82574L)
    }

    fn attach(&self, resources: Resources) -> Result<Attached, AttachError> {
        let Resources { location, memory, clock, .. } = resources;
        let Location::Pci(function) = location else {
            return Err(AttachError::Resources("it is a PCI function"));
        };
        let id = |offset| function.config.read16(offset);
        let model = Model::of(id(toro_core::pci::VENDOR_ID), id(toro_core::pci::DEVICE_ID));
        let model = model.ok_or(AttachError::Resources("an unknown model"))?;
        // Those that have no MSI raise a line, which the platform has routed.
        msi::disable(&function.config);
        msix::disable(&function.config);
        if let Some(&message) = function.messages.first() {
            msi::enable(&function.config, message);
        }
        let [registers, ..] = function.bars;
        let registers = registers.ok_or(AttachError::Resources("registers in memory space"))?;
        let net = E1000::new(model, registers, function.config, memory, clock, &Options::default())?;
        Ok(Attached::Net(Box::new(net)))
    }
}
