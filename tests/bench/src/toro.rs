//! How Toro is booted for a measurement.

use std::path::Path;

use crate::machine::{Machine, System};
use crate::network::{Link, Netdev};

/// The device that ends QEMU with the application's status.
const EXIT_DEVICE: [&str; 2] = ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"];

/// What is needed to boot `image` on `machine`, with a network or without; `append` is added to the command line.
pub fn system(image: &Path, machine: Machine, link: Option<&Link>, append: &str) -> System {
    let mut words = Vec::new();
    if let Some(link) = link {
        // No line per request on an emulated serial port, and no connection closed because a measurement paused.
        words.push("access-log=off idle-timeout=86400 header-timeout=86400".to_owned());
        if link.kind() == Netdev::Tap {
            // Nobody answers DHCP there.
            words.push(format!("ip={}/24,gw={}", link.guest(), link.gateway()));
        }
    }
    if !append.is_empty() {
        words.push(append.to_owned());
    }
    System {
        kernel: image.to_owned(),
        initrd: None,
        append: words.join(" "),
        machine_properties: match machine {
            Machine::Microvm => ",acpi=off",
            Machine::Q35 | Machine::Pc => "",
        },
        arguments: &EXIT_DEVICE,
        share_tag: "share",
        ready_line: None,
    }
}
