//! What options can be set to: machines, cards, interfaces, ports.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;

/// The machines of QEMU that Toro is tested on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Machine {
    /// PCI Express, ACPI, SeaBIOS
    Q35,
    /// PCI, ACPI, SeaBIOS
    Pc,
    /// Minimal: virtio-mmio, boots at once
    Microvm,
}

impl Machine {
    /// How many virtio-mmio windows a microvm has without ACPI.
    pub const MICROVM_DEVICES: u8 = 8;

    /// How many virtio devices there is room for. With PCI it is the slots of the bus without the machine's own.
    pub fn virtio_devices(self) -> usize {
        match self {
            Self::Microvm => Self::MICROVM_DEVICES.into(),
            Self::Pc | Self::Q35 => 30,
        }
    }

    /// The name that QEMU knows it by.
    pub fn qemu_name(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::Pc => "pc",
            Self::Microvm => "microvm",
        }
    }
}

/// What runs a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Vmm {
    /// With KVM or without, on three kinds of machines
    Qemu,
    /// With KVM
    Firecracker,
}

/// What drivers can talk to in virtio devices (VIRTIO 1.3 §1.3.1). A virtio-fs device is modern in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VirtioInterface {
    /// VIRTIO 1.0 and later
    Modern,
    /// Both, over PCI
    Transitional,
    /// What was before VIRTIO 1.0: registers in ports, or version 1 of virtio-mmio
    Legacy,
}

/// The choice of `--nic`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Nic {
    /// virtio-net, with the interface of `--virtio`
    Virtio,
    /// virtio-net with the legacy interface
    VirtioLegacy,
    /// Intel 82540EM
    E1000,
}

impl Nic {
    /// Whether it is a virtio device.
    pub fn is_virtio(self) -> bool {
        matches!(self, Self::Virtio | Self::VirtioLegacy)
    }
}

/// What boots a machine from a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FirmwareKind {
    /// SeaBIOS
    Bios,
    /// OVMF
    Uefi,
}

/// Kinds of files for disk images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImageFormat {
    /// The sectors of the disk
    Raw,
    /// QEMU's format
    Qcow2,
    /// VMware's format, stream-optimized, which Amazon imports
    Vmdk,
    /// Microsoft's format, of fixed size
    Vhd,
    /// The archive that Google Compute Engine imports
    Gce,
}

/// The choice of `--accel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// KVM where it works, else TCG
    Auto,
    /// Hardware virtualisation
    Kvm,
    /// QEMU's translator: works everywhere
    Tcg,
}

/// A TCP port of the host's loopback address, and the guest's port that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortForward {
    /// Port of 127.0.0.1; 0 means any free one.
    pub host: u16,
    /// Port of the guest.
    pub guest: u16,
}

impl Default for PortForward {
    fn default() -> Self {
        Self { host: 8080, guest: 80 }
    }
}

impl FromStr for PortForward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |word: &str| word.parse::<u16>().map_err(|_| format!("`{word}` is not a port number (0 to 65535)"));
        let (host, guest) = match text.split_once(':') {
            Some((host, guest)) => (port(host)?, port(guest)?),
            None => (port(text)?, Self::default().guest),
        };
        if guest == 0 {
            return Err("the guest's port cannot be 0".to_owned());
        }
        Ok(Self { host, guest })
    }
}

impl fmt::Display for PortForward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.guest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_port_defaults_to_80() {
        assert_eq!("9000".parse(), Ok(PortForward { host: 9000, guest: 80 }));
        assert!("80:0".parse::<PortForward>().is_err());
        assert!("70000".parse::<PortForward>().is_err());
        assert!("a:80".parse::<PortForward>().is_err());
    }
}
