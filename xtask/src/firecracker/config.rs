//! The configuration file, as a pure function of the virtual machine wanted.
//!
//! ```text
//!   Vm { image, memory, drives, ... }  --config()-->  { "boot-source": ..., "drives": [...], "machine-config": ... }
//! ```
//!
//! Its parts are the bodies of Firecracker's API requests of the same names. What is not said has Firecracker's default.

use std::path::Path;

use serde_json::{Value, json};

use crate::disk::{Access, Disk};

/// A virtual machine to start. Paths are as Firecracker shall open them.
#[derive(Clone, Debug)]
pub struct Vm<'a> {
    /// The ELF image with a PVH note.
    pub image: &'a Path,
    /// What the guest finds in memory beside its image.
    pub initrd: Option<&'a Path>,
    /// The guest's command line. Firecracker appends what devices there are.
    pub command_line: &'a str,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Number of virtual processors.
    pub cpus: u16,
    /// The disks: raw images.
    pub disks: &'a [Disk],
    /// Tap interfaces of the host, one for each network card.
    pub taps: &'a [String],
}

/// The configuration file for `vm`.
pub fn config(vm: &Vm<'_>) -> Value {
    let mut boot = json!({ "kernel_image_path": vm.image, "boot_args": vm.command_line });
    if let Some(initrd) = vm.initrd {
        boot["initrd_path"] = json!(initrd);
    }
    json!({
        "boot-source": boot,
        "drives": vm.disks.iter().enumerate().map(|(number, disk)| drive(number, disk)).collect::<Vec<_>>(),
        "machine-config": { "vcpu_count": vm.cpus, "mem_size_mib": vm.memory_mib },
        "network-interfaces": vm.taps.iter().enumerate().map(|(number, tap)| interface(number, tap)).collect::<Vec<_>>(),
    })
}

/// A disk. No disk is the root device: that would only append words for Linux to the command line. With the cache that it
/// is given, a disk has the command to flush it, without which nothing that was written is sure to stay.
fn drive(number: usize, disk: &Disk) -> Value {
    json!({
        "drive_id": format!("disk{number}"),
        "path_on_host": disk.image,
        "is_root_device": false,
        "is_read_only": disk.access == Access::ReadOnly,
        "cache_type": "Writeback",
    })
}

fn interface(number: usize, tap: &str) -> Value {
    let mac = crate::network::mac(number).map(|byte| format!("{byte:02x}")).join(":");
    json!({ "iface_id": format!("net{number}"), "host_dev_name": tap, "guest_mac": mac })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{DiskInterface, Format};

    fn disk(image: &str, access: Access) -> Disk {
        Disk { image: image.into(), format: Format::Raw, interface: DiskInterface::Virtio, access, queues: 1 }
    }

    /// What the manual shows.
    fn documented() -> Value {
        let manual = include_str!("../../../docs/firecracker.md");
        let block = manual.split("```json\n").nth(1).and_then(|rest| rest.split("```").next());
        serde_json::from_str(block.expect("a block of JSON")).unwrap()
    }

    #[test]
    fn everything_has_its_place_in_the_file() {
        let disks = [disk("/srv/data.img", Access::ReadWrite), disk("/srv/site.img", Access::ReadOnly)];
        let vm = Vm {
            image: Path::new("/srv/hello"),
            initrd: Some(Path::new("/srv/files.tar")),
            command_line: "exit=print ip=10.9.0.2/24,gw=10.9.0.1 log=debug",
            memory_mib: 64,
            cpus: 2,
            disks: &disks,
            taps: &["tap0".to_owned(), "tap1".to_owned()],
        };
        let written = serde_json::to_string_pretty(&config(&vm)).unwrap() + "\n";
        assert_eq!(written, include_str!("golden.json"));
    }

    #[test]
    fn the_example_in_the_manual_is_what_is_written() {
        let disks = [disk("/srv/data.img", Access::ReadWrite)];
        let vm = Vm {
            image: Path::new("/srv/static-web-server"),
            initrd: None,
            command_line: "exit=print ip=10.9.0.2/24,gw=10.9.0.1 mount=virtio-blk0:/",
            memory_mib: 128,
            cpus: 1,
            disks: &disks,
            taps: &["tap0".to_owned()],
        };
        assert_eq!(config(&vm), documented());
    }

    #[test]
    fn what_there_is_none_of_is_an_empty_list() {
        let vm = Vm {
            image: Path::new("/a \"b\""),
            initrd: None,
            command_line: "",
            memory_mib: 16,
            cpus: 1,
            disks: &[],
            taps: &[],
        };
        let config = config(&vm);
        assert_eq!(config["boot-source"], json!({ "kernel_image_path": "/a \"b\"", "boot_args": "" }));
        assert_eq!((&config["drives"], &config["network-interfaces"]), (&json!([]), &json!([])));
    }
}
