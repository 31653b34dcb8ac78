//! THE list of drivers, and the meeting of devices with them.
//!
//! To leave a driver out of an image, build without its feature; what becomes of the devices is in [`parts`]. An application may bring drivers of its own, which come
//! before these (`toro::entry!`).
//!
//! Devices are found and initialised by the boot core, one after the other; then each is handed over to the core that
//! owns it, or its parts to theirs (see [`bus::owners`]).

use alloc::format;
use alloc::vec::Vec;

use toro_core::driver::Driver;

use crate::bus::{self, Found, Owners};
use crate::core::CoreId;
use crate::parts;
use crate::sorted_map::SortedMap;

/// Which cores shall own the device with this name, if the application has a say in it.
pub(crate) type Ownership = fn(&str) -> Option<Vec<CoreId>>;

/// One line per driver. The first that matches a device gets it.
static DRIVERS: &[&dyn Driver] = &[
    #[cfg(feature = "virtio-blk")]
    virtio_blk::DRIVER,
    #[cfg(feature = "virtio-net")]
    virtio_net::DRIVER,
    #[cfg(feature = "e1000")]
    e1000::DRIVER,
    #[cfg(feature = "virtio-fs")]
    virtio_fs::DRIVER,
    #[cfg(feature = "ata")]
    ata::DRIVER,
];

/// What the command line puts before the list: the word `ata=pio` is for disks that shall do without DMA.
fn chosen() -> Option<&'static dyn Driver> {
    #[cfg(feature = "ata")]
    if crate::env::option("ata") == Some("pio") {
        return Some(ata::PIO_DRIVER);
    }
    None
}

/// Looks for devices on all buses, and takes into service those that a driver knows.
///
/// Drivers in `own`, the application's, are asked before ours, and `ownership` says whose devices are. A device that
/// cannot be used is reported and left alone; it never keeps the machine from booting. Without any driver nobody looks, and
/// nothing of all this is in the image.
pub(crate) fn attach_all(own: &'static [&'static dyn Driver], ownership: Ownership) {
    if own.is_empty() && DRIVERS.is_empty() {
        return;
    }
    let mut numbers = SortedMap::new();
    let mut visit = |device: &dyn Found| attach(device, own, ownership, &mut numbers);
    bus::virtio_mmio::scan(&mut visit);
    bus::pci::scan(&mut visit);
}

/// `numbers` says how many devices each driver has.
fn attach(
    device: &dyn Found,
    own: &'static [&'static dyn Driver],
    ownership: Ownership,
    numbers: &mut SortedMap<&'static str, u32>,
) {
    let id = device.id();
    let Some(driver) =
        own.iter().copied().chain(chosen()).chain(DRIVERS.iter().copied()).find(|driver| driver.matches(&id))
    else {
        log::debug!("{device}: no driver for {id}");
        return;
    };
    let number = numbers.get_or_default(driver.name());
    // A name that ends in a digit is kept apart from the number: `e1000-0`.
    let dash = if driver.name().ends_with(|last: char| last.is_ascii_digit()) { "-" } else { "" };
    let name = format!("{}{dash}{number}", driver.name());
    *number += 1;
    let owners = Owners::of(&name, ownership);
    let resources = match device.resources(&owners) {
        Ok(resources) => resources,
        Err(error) => return log::error!("{device}: {name}: {error}"),
    };
    let outcome = match driver.attach(resources) {
        Ok(attached) => parts::take(device, &name, attached, &owners),
        Err(error) => return log::error!("{device}: {name}: {error}"),
    };
    if let Err(error) = outcome {
        log::error!("{device}: {name}: {error}");
    }
}
