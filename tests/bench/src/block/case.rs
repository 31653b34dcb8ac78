//! What is measured: which operation, on which device, in front of which disk.

use std::path::Path;

use clap::ValueEnum;

use crate::machine::{Disk, Machine};

/// A device, and with it the machine that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// virtio-blk on PCI, of q35
    VirtioPci,
    /// virtio-blk with memory-mapped registers, of microvm
    VirtioMmio,
    /// A drive of the IDE controller of pc, which moves the data itself
    AtaDma,
    /// The same, the processor moves the data
    AtaPio,
}

/// What the device reads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Store {
    /// Nothing: QEMU answers at once and leaves the data as it is
    Null,
    /// A raw file in /dev/shm
    Shm,
}

/// What is done many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    /// 4 KiB at a random place, one after another
    Rand1,
    /// 4 KiB at a random place, 32 in flight
    Rand32,
    /// 1 MiB, one after another, in order
    Seq,
}

/// Size of [`Store::Null`].
const NULL_BYTES: u64 = 1 << 30;

impl Device {
    /// What tables call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::VirtioPci => "virtio-blk, PCI (q35)",
            Self::VirtioMmio => "virtio-blk, MMIO (microvm)",
            Self::AtaDma => "ATA, DMA (pc)",
            Self::AtaPio => "ATA, PIO (pc)",
        }
    }

    /// The machine that has it.
    pub fn machine(self) -> Machine {
        match self {
            Self::VirtioPci => Machine::Q35,
            Self::VirtioMmio => Machine::Microvm,
            Self::AtaDma | Self::AtaPio => Machine::Pc,
        }
    }

    /// It in front of a store; `file` is the one in /dev/shm.
    pub fn disk(self, store: Store, file: &Path) -> Disk {
        let node = match store {
            Store::Null => format!("driver=null-co,read-zeroes=off,size={NULL_BYTES}"),
            Store::Shm => format!("driver=file,filename={}", file.display()),
        };
        let device = match self {
            Self::VirtioPci | Self::VirtioMmio => self.machine().virtio_disk(),
            Self::AtaDma | Self::AtaPio => "ide-hd,bus=ide.0",
        };
        Disk { node, device }
    }

    /// What the Linux guest is told: drivers, what to wait for, what to leave alone.
    pub fn linux_words(self) -> &'static str {
        match self {
            Self::VirtioPci => "lb_mods=virtio-pci,virtio-blk lb_wait=vda",
            Self::VirtioMmio => "lb_mods=virtio-mmio,virtio-blk lb_wait=vda",
            Self::AtaDma => "lb_mods=ide lb_wait=sda",
            Self::AtaPio => "lb_mods=ide lb_wait=sda lb_libata=dma=0",
        }
    }

    /// The disk's name on Linux.
    fn linux_name(self) -> &'static str {
        match self {
            Self::VirtioPci | Self::VirtioMmio => "vda",
            Self::AtaDma | Self::AtaPio => "sda",
        }
    }
}

impl Store {
    /// What tables call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Null => "null-co",
            Self::Shm => "file in /dev/shm",
        }
    }
}

impl Operation {
    /// What tables call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Rand1 => "4 KiB, depth 1",
            Self::Rand32 => "4 KiB, depth 32",
            Self::Seq => "1 MiB in order",
        }
    }

    /// What the guests call it in their results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rand1 => "blkrand bs=4096 qd=1",
            Self::Rand32 => "blkrand bs=4096 qd=32",
            Self::Seq => "blkseq bs=1048576",
        }
    }

    /// How often it is done: enough for what happens once not to matter. Under the counting plugin everything takes
    /// several times as long, and counts repeat better than times.
    fn times(self, device: Device, is_counted: bool) -> u64 {
        match (device, self, is_counted) {
            (Device::AtaPio, Self::Rand1, _) => 1000,
            (Device::AtaPio, Self::Rand32, _) => 960,
            (Device::AtaPio, Self::Seq, _) => 8,
            (_, Self::Rand1, true) => 2000,
            (_, Self::Rand32, true) => 3200,
            (_, Self::Seq, true) => 50,
            (_, Self::Rand1, false) => 10_000,
            (_, Self::Rand32, false) => 20_000,
            (_, Self::Seq, false) => 1000,
        }
    }

    /// The most of Linux's instructions that we allow ourselves; `None` where we have set us no aim.
    pub fn aim(self, device: Device) -> Option<f64> {
        match (device, self) {
            (Device::VirtioPci | Device::VirtioMmio, Self::Rand1) => Some(1.0 / 4.0),
            (Device::VirtioPci | Device::VirtioMmio, Self::Rand32) => Some(1.0 / 3.0),
            (Device::AtaDma, Self::Rand1 | Self::Seq) => Some(1.0 / 2.0),
            _ => None,
        }
    }

    fn word(self, place: &str, device: Device, is_counted: bool) -> String {
        let times = self.times(device, is_counted);
        match self {
            Self::Rand1 => format!("blkrand:{place}4096:1:{times}"),
            Self::Rand32 => format!("blkrand:{place}4096:32:{times}"),
            Self::Seq => format!("blkseq:{place}1048576:{}", times << 20),
        }
    }
}

/// The words that tell Linux what to do.
pub fn linux_run(device: Device, operations: &[Operation], is_counted: bool) -> String {
    let place = format!("/dev/{}:", device.linux_name());
    let words: Vec<_> = operations.iter().map(|operation| operation.word(&place, device, is_counted)).collect();
    format!("{} lb_run={}", device.linux_words(), words.join(","))
}

/// The words that tell Toro what to do.
pub fn toro_run(device: Device, operations: &[Operation], is_counted: bool) -> String {
    let words: Vec<_> = operations.iter().map(|operation| operation.word("", device, is_counted)).collect();
    let pio = if device == Device::AtaPio { "ata=pio " } else { "" };
    format!("{pio}run={}", words.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_guests_are_told_to_do_the_same() {
        let all = Operation::value_variants();
        let toro = toro_run(Device::AtaDma, all, true);
        assert_eq!(toro, "run=blkrand:4096:1:2000,blkrand:4096:32:3200,blkseq:1048576:52428800");
        assert!(toro_run(Device::AtaPio, all, true).starts_with("ata=pio run=blkrand:"));
        let linux = linux_run(Device::AtaDma, all, true);
        assert!(linux.starts_with("lb_mods=ide lb_wait=sda lb_run="));
        assert_eq!(linux.replace("/dev/sda:", "").rsplit_once("lb_").map(|(_, run)| run), Some(&*toro));
    }
}
