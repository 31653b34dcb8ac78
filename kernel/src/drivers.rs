//! THE list of drivers, and the meeting of devices with them.
//!
//! To leave a driver out of an image, build without its feature. An application may bring drivers of its own, which come
//! before these (`toro::entry!`).

use toro_core::driver::{Attached, Driver};

use crate::bus::{self, Found};

/// One line per driver. The first that matches a device gets it.
static DRIVERS: &[&dyn Driver] = &[
    #[cfg(feature = "virtio-net")]
    virtio_net::DRIVER,
    #[cfg(feature = "virtio-fs")]
    virtio_fs::DRIVER,
];

/// Looks for devices on all buses, and takes into service those that a driver knows.
///
/// Drivers in `own`, the application's, are asked before ours. A device that cannot be used is reported and left alone;
/// it never keeps the machine from booting.
pub(crate) fn attach_all(own: &[&dyn Driver]) {
    bus::virtio_mmio::scan(|device| attach(device, own));
    bus::pci::scan(|device| attach(device, own));
}

fn attach(device: &dyn Found, own: &[&dyn Driver]) {
    let id = device.id();
    let Some(driver) = own.iter().chain(DRIVERS).find(|driver| driver.matches(&id)) else {
        log::debug!("{device}: no driver for {id:?}");
        return;
    };
    let name = driver.name();
    let resources = match device.resources() {
        Ok(resources) => resources,
        Err(error) => return log::error!("{device}: {name}: {error}"),
    };
    match driver.attach(resources) {
        Ok(Attached::Net(net)) => {
            log::debug!("{device}: {name}, {}", net.mac());
            if let Err(error) = crate::net::attach(net) {
                log::error!("{device}: network: {error}");
            }
        }
        Ok(Attached::NetQueues(queues)) => {
            log::debug!("{device}: {name}, {} queue pairs", queues.len());
            if let Err(error) = crate::net::attach_queues(queues) {
                log::error!("{device}: network: {error}");
            }
        }
        Ok(Attached::Fuse(fuse)) => {
            log::debug!("{device}: {name}, \"{}\"", fuse.tag().escape_ascii());
            if let Err(error) = crate::fs::attach(fuse) {
                log::error!("{device}: file system: {error}");
            }
        }
        Ok(Attached::Other) => log::debug!("{device}: {name}"),
        Ok(other) => log::error!("{device}: {name} made a {other:?}, which this kernel cannot use"),
        Err(error) => log::error!("{device}: {name}: {error}"),
    }
}
