//! Wrong or missing input: one clear line, exit status 2, and nothing is started.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::case::Case;
use crate::tool::Tool;

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let refused: [(&str, &[&str], &[&str]); 42] = [
        ("missing_share", &["run", "hello", "--share", "/no/such/directory"], &["/no/such/directory"]),
        ("file_as_share", &["run", "hello", "--share", "/etc/passwd"], &["/etc/passwd", "not a directory"]),
        ("unknown_application", &["run", "no-such-app"], &["`no-such-app`", "hello"]),
        ("unknown_application_to_build", &["build", "no-such-app"], &["`no-such-app`", "hello"]),
        ("unknown_driver", &["run", "hello", "--drivers", "virtio-net,ne2000"], &["`ne2000`", "virtio-net"]),
        ("unknown_machine", &["run", "hello", "--machine", "vax"], &["'vax'", "q35", "pc", "microvm"]),
        ("transitional_device_on_microvm", &["run", "hello", "--virtio", "transitional"], &["microvm", "transitional"]),
        (
            "share_among_legacy_devices",
            &["run", "hello", "--virtio", "legacy", "--share", "/"],
            &["virtio-fs", "legacy"],
        ),
        ("more_cards_than_a_microvm_has_room_for", &["run", "hello", "--nics", "8", "--share", "/"], &["microvm", "8"]),
        ("missing_disk", &["run", "hello", "--disk", "/no/such/disk"], &["/no/such/disk"]),
        ("directory_as_disk", &["run", "hello", "--disk", "/,ro"], &["disk /", "a directory", "--share"]),
        ("unknown_kind_of_disk", &["run", "hello", "--disk", "disk,if=scsi"], &["`if=scsi`", "virtio", "ata"]),
        ("unknown_word_for_a_disk", &["run", "hello", "--disk", "a,b.img"], &["`b.img`", "comma"]),
        ("ata_disk_on_microvm", &["run", "hello", "--disk", "disk,if=ata"], &["IDE", "--machine pc"]),
        ("more_disks_than_a_microvm_has_room_for", &["run", "hello", "--nics", "8", "--disk", "/"], &["microvm", "8"]),
        ("unknown_option", &["run", "hello", "--no-such-option"], &["--no-such-option"]),
        ("unknown_command", &["boot", "hello"], &["'boot'"]),
        ("no_memory", &["run", "hello", "--memory", "0"], &["--memory"]),
        ("no_processor", &["run", "hello", "--cpus", "0"], &["--cpus"]),
        ("no_time", &["run", "hello", "--timeout", "0"], &["--timeout"]),
        ("port_that_is_no_number", &["run", "hello", "--port", "http"], &["`http`"]),
        ("unknown_network", &["run", "hello", "--net", "bridge"], &["`bridge`", "user", "tap", "none"]),
        ("unknown_card", &["run", "hello", "--nic", "ne2000"], &["'ne2000'", "virtio-legacy", "e1000"]),
        ("e1000_on_microvm", &["run", "hello", "--nic", "e1000"], &["microvm", "no PCI", "--machine pc"]),
        ("interface_that_is_no_tap", &["run", "hello", "--net", "tap,if=lo"], &["tap interface"]),
        ("network_without_prefix", &["run", "hello", "--net", "tap,host=10.9.0.1"], &["ADDRESS/PREFIX"]),
        ("port_over_a_tap_interface", &["run", "hello", "--net", "tap", "--port", "0"], &["--net user", "address"]),
        ("port_without_a_card", &["run", "hello", "--net", "none", "--port", "0"], &["--port", "card"]),
        ("recording_that_cannot_be_written", &["run", "hello", "--pcap", "/no/such/file"], &["/no/such/file"]),
        (
            "image_for_a_machine_without_firmware",
            &["run", "--image", "/x", "--machine", "microvm"],
            &["microvm", "q35"],
        ),
        ("missing_image", &["run", "--image", "/no/such/image"], &["/no/such/image"]),
        ("words_for_a_guest_in_an_image", &["run", "--image", "/x", "--append", "a=b"], &["--image", "--append"]),
        ("firmware_without_an_image", &["run", "hello", "--firmware", "uefi"], &["--firmware", "--image"]),
        ("quote_in_the_words_of_an_image", &["image", "hello", "--append", "a='b'"], &["`a='b'`", "GRUB"]),
        ("missing_data_of_an_image", &["image", "hello", "--data", "/no/such/data"], &["/no/such/data"]),
        (
            "share_in_firecracker",
            &["run", "hello", "--vmm", "firecracker", "--share", "/"],
            &["--share", "Firecracker"],
        ),
        ("machine_in_firecracker", &["run", "hello", "--vmm", "firecracker", "--machine", "q35"], &["--machine"]),
        (
            "user_network_in_firecracker",
            &["run", "hello", "--vmm", "firecracker", "--firecracker", "/bin/true", "--net", "user"],
            &["--net tap"],
        ),
        (
            "missing_firecracker",
            &["run", "hello", "--vmm", "firecracker", "--firecracker", "/no/such/file"],
            &["/no/such/file"],
        ),
        ("boot_timer_in_qemu", &["run", "hello", "--boot-timer"], &["--vmm firecracker"]),
        ("unknown_monitor", &["run", "hello", "--vmm", "xen"], &["'xen'", "qemu", "firecracker"]),
        ("port_of_a_debugger_that_is_no_number", &["run", "hello", "--gdb=x"], &["--gdb"]),
    ];
    let mut cases: Vec<_> = refused
        .into_iter()
        .map(|(what, arguments, texts)| {
            Case::new(format!("refusals::{what}_is_refused"), move |tool| {
                tool.run(arguments.iter().copied())?.expect_refusal(texts).map(drop)
            })
        })
        .collect();
    cases.push(Case::new("refusals::busy_port_is_refused", busy_port_is_refused));
    cases.push(Case::new("refusals::unusable_images_are_refused", unusable_images_are_refused));
    cases.push(Case::new("refusals::old_qemu_is_refused", old_qemu_is_refused));
    cases.push(Case::new("refusals::firecracker_without_kvm_is_refused", firecracker_without_kvm_is_refused));
    cases
}

/// Where there is KVM there is nothing to refuse.
fn firecracker_without_kvm_is_refused(tool: &Tool) -> Result<(), String> {
    if Path::new("/dev/kvm").exists() {
        return Ok(());
    }
    let arguments = ["run", "hello", "--vmm", "firecracker", "--firecracker", "/bin/true"];
    tool.run(arguments)?.expect_refusal(&["/dev/kvm", "--vmm qemu"]).map(drop)
}

fn busy_port_is_refused(tool: &Tool) -> Result<(), String> {
    let taken = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let port = taken.local_addr().map_err(|error| error.to_string())?.port().to_string();
    tool.run(["run", "hello", "--port", &port])?.expect_refusal(&[&port])?;
    let gdb = format!("--gdb={port}");
    tool.run(["run", "hello", &gdb])?.expect_refusal(&[&port]).map(drop)
}

fn unusable_images_are_refused(tool: &Tool) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = |name: &str, contents: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, contents).map_err(|error| error.to_string())?;
        Ok::<_, String>(path.to_string_lossy().into_owned())
    };
    let disk = file("disk", &[0; 1024])?;
    let (odd, other) = (file("odd", &[0; 1023])?, file("other", b"QFI\xfb\0\0\0\x03")?);
    tool.run(["run", "hello", "--disk", &odd])?.expect_refusal(&[&odd, "1023 bytes"])?;
    tool.run(["run", "hello", "--disk", &other])?.expect_refusal(&[&other, "format=qcow2"])?;
    let missing = format!("{disk}-that-is-not-there");
    tool.run(["run", "hello", "--disk", &missing])?.expect_refusal(&[&missing, "truncate -s 64M"])?;
    let here = directory.path().to_string_lossy();
    tool.run(["run", "hello", "--disk", &here])?.expect_refusal(&[&here, "--share"])?;
    let ata = format!("{disk},if=ata");
    tool.run(["run", "hello", "--machine", "microvm", "--disk", &ata])?.expect_refusal(&[&disk, "--machine pc"])?;
    let twice = ["run", "hello", "--disk", &disk, "--disk", &format!("{disk},ro")];
    tool.run(twice)?.expect_refusal(&[&disk, "used twice"]).map(drop)
}

fn old_qemu_is_refused(tool: &Tool) -> Result<(), String> {
    let trouble = |error: std::io::Error| error.to_string();
    let directory = tempfile::tempdir().map_err(trouble)?;
    let program = directory.path().join("qemu-system-x86_64");
    fs::write(&program, "#!/bin/sh\necho 'QEMU emulator version 6.2.0 (Debian 1:6.2)'\n").map_err(trouble)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(trouble)?;
    let others = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([directory.path().to_owned()].into_iter().chain(std::env::split_paths(&others)))
        .map_err(|error| error.to_string())?;
    let finished = tool.start(["run", "hello"], &[("PATH", path.as_ref())])?.finish()?;
    finished.expect_refusal(&["6.2", "7.0"]).map(drop)
}
