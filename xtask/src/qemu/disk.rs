//! QEMU's words for a disk: a chain of block nodes that ends at the image, and the device in front of it.
//!
//! ```text
//!   -blockdev driver=raw,node-name=disk0,..,file.driver=file,file.filename=IMG     -device virtio-blk-pci,drive=disk0,..
//! ```
//!
//! The serial number of a disk is the name of its node, by which a guest can tell disks from each other.

use super::{Transport, virtio_device};
use crate::cli::VirtioInterface;
use crate::disk::{Access, Disk, DiskInterface};

/// The `-blockdev` value of disk `number`.
pub fn node(number: usize, disk: &Disk) -> String {
    let read_only = match disk.access {
        Access::ReadOnly => "on",
        Access::ReadWrite => "off",
    };
    let image = disk.image.to_string_lossy().replace(',', ",,");
    // What the guest discards is given back to the host's file system.
    format!(
        "driver={},node-name=disk{number},read-only={read_only},discard=unmap,\
         file.driver=file,file.read-only={read_only},file.discard=unmap,file.filename={image}",
        disk.format.name()
    )
}

/// The `-device` value of disk `number`, one of `disks`.
pub fn device(number: usize, disks: &[Disk], disk: &Disk, transport: Transport, virtio: VirtioInterface) -> String {
    let common = format!("drive=disk{number},serial=disk{number},rerror=report,werror=report");
    let interface = match disk.interface {
        DiskInterface::Ata => {
            let drive = disks.iter().take(number).filter(|disk| disk.interface == DiskInterface::Ata).count();
            return format!("ide-hd,bus=ide.{},unit={},{common}", drive / 2, drive % 2);
        }
        DiskInterface::Virtio => virtio,
        DiskInterface::VirtioLegacy => VirtioInterface::Legacy,
    };
    let properties = format!("{common},num-queues={}", disk.queues);
    virtio_device("virtio-blk", transport, interface, &properties, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Format;

    const DISK: Disk = Disk {
        image: std::path::PathBuf::new(),
        format: Format::Raw,
        interface: DiskInterface::Virtio,
        access: Access::ReadWrite,
        queues: 1,
    };

    #[test]
    fn format_and_access_are_always_said() {
        let disk = Disk { image: "/disks/a,b".into(), ..DISK };
        let node0 = node(0, &disk);
        assert!(node0.starts_with("driver=raw,node-name=disk0,read-only=off,"), "{node0}");
        assert!(
            node0.ends_with(",file.driver=file,file.read-only=off,file.discard=unmap,file.filename=/disks/a,,b"),
            "{node0}"
        );
        let node1 = node(1, &Disk { format: Format::Qcow2, access: Access::ReadOnly, ..disk });
        assert!(
            node1.starts_with("driver=qcow2,node-name=disk1,read-only=on,") && node1.contains(",file.read-only=on,")
        );
    }

    #[test]
    fn devices_are_of_the_kind_that_the_machine_has() {
        let words = |interface, transport, virtio| {
            let disk = Disk { interface, queues: 3, ..DISK };
            device(0, std::slice::from_ref(&disk), &disk, transport, virtio)
        };
        use DiskInterface::{Virtio, VirtioLegacy};
        use VirtioInterface::{Legacy, Modern};
        let common = "drive=disk0,serial=disk0,rerror=report,werror=report,num-queues=3";
        for (interface, transport, virtio, start) in [
            (Virtio, Transport::Pci, Modern, "virtio-blk-pci,disable-legacy=on,"),
            (Virtio, Transport::Pci, Legacy, "virtio-blk-pci,disable-legacy=off,disable-modern=on,"),
            (VirtioLegacy, Transport::Pci, Modern, "virtio-blk-pci,disable-legacy=off,disable-modern=on,"),
            (Virtio, Transport::Mmio, Modern, "virtio-blk-device,"),
            (VirtioLegacy, Transport::Mmio, Legacy, "virtio-blk-device,"),
        ] {
            assert_eq!(words(interface, transport, virtio), format!("{start}{common}"));
        }
    }

    #[test]
    fn ata_drives_are_numbered_among_themselves() {
        let ata = Disk { interface: DiskInterface::Ata, ..DISK };
        let disks = [ata.clone(), DISK, ata.clone(), ata];
        let words = |number: usize| device(number, &disks, &disks[number], Transport::Pci, VirtioInterface::Modern);
        assert!(words(0).starts_with("ide-hd,bus=ide.0,unit=0,drive=disk0,serial=disk0,"));
        assert!(words(2).starts_with("ide-hd,bus=ide.0,unit=1,drive=disk2,"));
        assert!(words(3).starts_with("ide-hd,bus=ide.1,unit=0,drive=disk3,"));
    }
}
