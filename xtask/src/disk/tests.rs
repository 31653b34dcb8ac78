//! What is understood, and what is refused, of `--disk`.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::*;

const MICROVM: Place =
    Place { machine: Machine::Microvm, virtio: VirtioInterface::Modern, cpus: 4, first: FirstDisk::ForTheGuest };
const PC: Place = Place { machine: Machine::Pc, ..MICROVM };
const Q35: Place = Place { machine: Machine::Q35, ..MICROVM };

/// A directory with files of these names and contents.
fn files(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, contents) in files {
        fs::write(directory.path().join(name), contents).unwrap();
    }
    directory
}

/// Checks disks of these names and words in `directory`.
fn check_all(directory: &tempfile::TempDir, words: &[&str], place: Place) -> Result<Vec<Disk>, String> {
    let option = |word: &&str| format!("{}/{word}", directory.path().display()).parse().unwrap();
    let options: Vec<DiskOption> = words.iter().map(option).collect();
    check(&options, place).map_err(|failure| failure.to_string())
}

fn check_one(directory: &tempfile::TempDir, word: &str, place: Place) -> Result<Disk, String> {
    check_all(directory, &[word], place).map(|mut disks| disks.remove(0))
}

#[test]
fn words_of_a_disk_are_understood() {
    let disk: DiskOption = "disk.img".parse().unwrap();
    let usual = DiskOption {
        image: "disk.img".into(),
        interface: DiskInterface::Virtio,
        access: Access::ReadWrite,
        queues: None,
        format: None,
    };
    assert_eq!(disk, usual);
    let all: DiskOption = "/a b,,c=d,queues=3,ro,if=virtio-legacy,format=vpc".parse().unwrap();
    assert_eq!(
        all,
        DiskOption {
            image: "/a b,c=d".into(),
            interface: DiskInterface::VirtioLegacy,
            access: Access::ReadOnly,
            queues: Some(3),
            format: Some(Format::Vpc),
        }
    );
    assert_eq!("x,if=ata".parse::<DiskOption>().unwrap().interface, DiskInterface::Ata);
}

#[test]
fn wrong_words_are_named() {
    for (text, part) in [
        ("", "file"),
        (",ro", "file"),
        ("x,b.img", "`b.img`"),
        ("x,ro=on", "`ro=on`"),
        ("x,", "``"),
        ("x,if=scsi", "virtio, virtio-legacy, ata"),
        ("x,queues=0", "1 to 255"),
        ("x,queues=256", "1 to 255"),
        ("x,queues=all", "1 to 255"),
        ("x,format=vdi", "raw, qcow2, vmdk, vpc"),
    ] {
        let message = text.parse::<DiskOption>().unwrap_err();
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn usual_number_of_queues_is_that_of_the_processors_where_there_is_pci() {
    let directory = files(&[("disk", &[0; 512])]);
    assert_eq!(check_one(&directory, "disk", MICROVM).unwrap().queues, 1);
    assert_eq!(check_one(&directory, "disk", PC).unwrap().queues, 4);
    assert_eq!(check_one(&directory, "disk,queues=2", Q35).unwrap().queues, 2);
    assert_eq!(check_one(&directory, "disk,queues=2", MICROVM).unwrap().queues, 2);
}

#[test]
fn interfaces_that_a_machine_lacks_are_refused_with_the_next_step() {
    let directory = files(&[("disk", &[0; 512])]);
    for (word, place, part) in [
        ("disk,if=ata", MICROVM, "--machine pc"),
        ("disk,if=ata", Q35, "AHCI"),
        ("disk,if=ata,ro", PC, "leave out `ro`"),
        ("disk,if=ata,queues=1", PC, "leave out `queues`"),
        ("disk,if=virtio-legacy", MICROVM, "--virtio legacy"),
    ] {
        let message = check_one(&directory, word, place).unwrap_err();
        assert!(message.starts_with("cannot use disk /") && message.contains(part), "{word}: {message}");
    }
    let legacy = Place { virtio: VirtioInterface::Legacy, ..MICROVM };
    for (word, place) in [
        ("disk,if=ata", PC),
        ("disk,if=virtio-legacy", PC),
        ("disk,if=virtio-legacy", Q35),
        ("disk,if=virtio-legacy", legacy),
        ("disk,ro", legacy),
    ] {
        assert!(check_one(&directory, word, place).is_ok(), "{word}");
    }
}

#[test]
fn an_ide_controller_has_four_drives() {
    let names = ["a", "b", "c", "d", "e"];
    let directory = files(&names.map(|name| (name, [0; 512].as_slice())));
    let words = names.map(|name| format!("{name},if=ata"));
    let words = words.each_ref().map(String::as_str);
    assert_eq!(check_all(&directory, &words[..4], PC).unwrap().len(), 4);
    assert!(check_all(&directory, &words, PC).unwrap_err().contains("4 drives"));
}

#[test]
fn images_that_are_none_are_refused() {
    let directory = files(&[("empty", b""), ("odd", &[0; 513]), ("disk", &[0; 1024])]);
    let _socket = UnixListener::bind(directory.path().join("socket")).unwrap();
    for (name, part) in [
        ("none", "it is not there: `truncate -s 64M"),
        ("no/where", "it is not there"),
        (".", "--share"),
        ("socket", "not a regular file"),
        ("empty", "0 bytes, and a raw disk has a multiple of 512: `truncate -s 64M"),
        ("odd", "513 bytes, and a raw disk has a multiple of 512: `truncate -s %512"),
        ("odd,ro", "513 bytes"),
    ] {
        let message = check_one(&directory, name, MICROVM).unwrap_err();
        assert!(message.contains(part), "{name}: {message}");
    }
    // As the message for an odd one says: its last sector is filled up.
    let odd = File::options().write(true).open(directory.path().join("odd")).unwrap();
    odd.set_len(1024).unwrap();
    assert!(check_one(&directory, "odd", MICROVM).is_ok());
    let disk = check_one(&directory, "disk", MICROVM).unwrap();
    assert_eq!((disk.image.is_absolute(), disk.format), (true, Format::Raw));
}

#[test]
fn an_image_that_is_written_belongs_to_one_disk() {
    let directory = files(&[("disk", &[0; 512]), ("other", &[0; 512])]);
    symlink("disk", directory.path().join("link")).unwrap();
    fs::hard_link(directory.path().join("disk"), directory.path().join("same")).unwrap();
    for words in [["disk", "disk"], ["disk", "link,ro"], ["same,ro", "disk"]] {
        assert!(check_all(&directory, &words, MICROVM).unwrap_err().contains("used twice"), "{words:?}");
    }
    assert!(check_all(&directory, &["disk", "disk"], MICROVM).unwrap_err().contains("say `ro` for both"));
    assert!(check_all(&directory, &["disk", "other"], MICROVM).is_ok());
    assert!(check_all(&directory, &["disk,ro", "link,ro"], MICROVM).is_ok());
}

#[test]
fn format_is_never_a_guess() {
    let qcow2 = b"QFI\xfb\0\0\0\x03";
    let mut fixed_vhd = vec![0; 1024];
    fixed_vhd[512..520].copy_from_slice(b"conectix");
    let directory = files(&[
        ("a.qcow2", qcow2),
        ("A.QCOW2", qcow2),
        ("a.vmdk", b"KDMV\x01"),
        ("text.vmdk", b"# Disk DescriptorFile\n"),
        ("dynamic.vhd", b"conectix"),
        ("fixed.vhd", &fixed_vhd),
        ("looks-like-qcow2.img", qcow2),
        ("looks-like-vhd.img", &fixed_vhd),
        ("is-not.qcow2", &[0; 512]),
    ]);
    for (name, format) in [
        ("a.qcow2", Format::Qcow2),
        ("A.QCOW2", Format::Qcow2),
        ("a.vmdk", Format::Vmdk),
        ("text.vmdk", Format::Vmdk),
        ("dynamic.vhd", Format::Vpc),
        ("fixed.vhd", Format::Vpc),
        ("looks-like-qcow2.img,format=qcow2", Format::Qcow2),
        ("looks-like-vhd.img,format=raw", Format::Raw),
        ("is-not.qcow2,format=raw", Format::Raw),
    ] {
        assert_eq!(check_one(&directory, name, MICROVM).unwrap().format, format, "{name}");
    }
    for (name, part) in [
        ("looks-like-qcow2.img", "format=qcow2 or format=raw"),
        ("looks-like-vhd.img", "format=vpc or format=raw"),
        ("is-not.qcow2", "format=raw or format=qcow2"),
    ] {
        assert!(check_one(&directory, name, MICROVM).unwrap_err().contains(part), "{name}");
    }
}
