//! Disk images: what is in them, judged by programs that others wrote, and that they boot.
//!
//! ```text
//!   cargo xtask image --> sgdisk, fsck.fat, mtools, qemu-img, tar
//!                     --> SeaBIOS or OVMF --> GRUB --> static-web-server --> curl
//! ```
//!
//! Booting goes through every kind of firmware, controller and card, and every format that QEMU reads, but not through each with
//! each: a boot takes a second with SeaBIOS and ten with OVMF.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::fat;
use super::web::{Server, curl};
use crate::case::Case;
use crate::tool::Tool;

/// Where the partitions of an image are, in MiB.
const ESP_AT: u64 = 2;
const DATA_AT: u64 = 38;
/// What the guest serves: a name that FAT has to write as a long one, and contents that fill no cluster.
const PATH: &str = "Some Directory/a file.with.a long name.bin";
const URL_PATH: &str = "Some%20Directory/a%20file.with.a%20long%20name.bin";

/// A machine that boots an image.
#[derive(Clone, Copy)]
struct Boot {
    name: &'static str,
    format: &'static str,
    suffix: &'static str,
    disk: &'static str,
    options: &'static [&'static str],
    serves: Serves,
}

/// What the guest serves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Serves {
    /// The files of the data partition.
    Data,
    /// Files that GRUB loads with it: it has no driver for the disk that they come from.
    Initrd,
}

const BOOTS: [Boot; 4] = [
    Boot {
        name: "a_raw_image_boots_with_a_bios_from_virtio_and_serves_over_virtio",
        format: "raw",
        suffix: "img",
        disk: "",
        options: &["--machine", "pc", "--nic", "virtio"],
        serves: Serves::Data,
    },
    Boot {
        name: "a_qcow2_image_boots_with_a_bios_from_an_ata_disk_and_serves_over_e1000",
        format: "qcow2",
        suffix: "qcow2",
        disk: ",if=ata",
        options: &["--machine", "pc", "--nic", "e1000"],
        serves: Serves::Data,
    },
    Boot {
        name: "a_vmdk_image_boots_with_uefi_from_virtio_and_serves_over_e1000",
        format: "vmdk",
        suffix: "vmdk",
        // QEMU does not write to stream-optimized images.
        disk: ",ro",
        options: &["--firmware", "uefi", "--nic", "e1000"],
        serves: Serves::Data,
    },
    Boot {
        name: "a_vhd_image_boots_with_uefi_from_an_ahci_disk_and_serves_over_virtio",
        format: "vhd",
        suffix: "vhd",
        disk: ",if=ata",
        options: &["--firmware", "uefi", "--nic", "virtio"],
        serves: Serves::Initrd,
    },
];

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let boots = BOOTS
        .into_iter()
        .map(|boot| Case::new(format!("image::{}", boot.name), move |tool| boots_and_serves(tool, boot)));
    let others = [
        Case::new("image::table_and_file_systems_have_no_fault", has_no_fault),
        Case::new("image::every_format_has_the_same_sectors", has_the_same_sectors),
        Case::new("image::a_disk_that_is_too_small_leaves_what_was_there", leaves_what_was_there),
    ];
    others.into_iter().chain(boots).collect()
}

/// A directory with the data for an image, and room for images.
struct Workshop {
    directory: tempfile::TempDir,
    contents: Vec<u8>,
}

impl Workshop {
    fn new() -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(text)?;
        let contents: Vec<u8> =
            (0..300_001_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let file = directory.path().join("data").join(PATH);
        fs::create_dir_all(file.parent().ok_or("a path without a parent")?).map_err(text)?;
        fs::write(&file, &contents).map_err(text)?;
        fs::write(directory.path().join("data/small"), b"small\n").map_err(text)?;
        Ok(Self { directory, contents })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes an image of the web server with the data in it.
    fn make(&self, tool: &Tool, name: &str, options: &[&str]) -> Result<PathBuf, String> {
        self.make_with(tool, name, "--data", options)
    }

    /// The same, with the data where the option `place` puts it.
    fn make_with(&self, tool: &Tool, name: &str, place: &str, options: &[&str]) -> Result<PathBuf, String> {
        let (data, output) = (self.file("data"), self.file(name));
        let (data, image) = (data.to_string_lossy(), output.to_string_lossy());
        let common = ["image", "static-web-server", place, &data, "--output", &image];
        let finished = tool.run(common.iter().chain(options).copied())?;
        finished.expect_status(0)?.expect_output(&image)?;
        Ok(output)
    }
}

fn boots_and_serves(tool: &Tool, boot: Boot) -> Result<(), String> {
    let workshop = Workshop::new()?;
    let place = match boot.serves {
        Serves::Data => "--data",
        Serves::Initrd => "--initrd",
    };
    let image = workshop.make_with(tool, &format!("disk.{}", boot.suffix), place, &["--format", boot.format])?;
    let image = format!("{}{}", image.to_string_lossy(), boot.disk);
    let common = ["run", "--image", &image, "--port", "0", "--timeout", "600"];
    let server = Server::ready(tool.start(common.iter().chain(boot.options).copied(), &[])?)?;
    let (status, body) = curl(&["--fail", &format!("{}{URL_PATH}", server.url)])?;
    if status != 0 || body != workshop.contents {
        return Err(format!("curl ended with {status} and {} bytes, not those of the file", body.len()));
    }
    server.stop()
}

/// The table and both file systems, by the programs that know them; and the same input makes the same image.
fn has_no_fault(tool: &Tool) -> Result<(), String> {
    let workshop = Workshop::new()?;
    let image = workshop.make(tool, "disk.img", &["--append", "log=off mount=none:/x"])?;
    let disk = image.to_string_lossy().into_owned();
    let said = String::from_utf8_lossy(&fat::run("sgdisk", &["-v", &disk])?).into_owned();
    if !said.contains("No problems found") {
        return Err(format!("sgdisk finds a fault: {said}"));
    }
    let length = image.metadata().map_err(text)?.len() >> 20;
    for (name, first, end) in [("esp.part", ESP_AT, DATA_AT), ("data.part", DATA_AT, length - 1)] {
        let part = workshop.file(name);
        copy_part(&image, &part, first << 20, (end - first) << 20)?;
        fat::run("fsck.fat", &["-n", &part.to_string_lossy()])?;
    }
    let on = |part: &str, path: &str| {
        fat::run("mtype", &["-i", &workshop.file(part).to_string_lossy(), &format!("::{path}")])
    };
    if on("data.part", PATH)? != workshop.contents {
        return Err("the file on the data partition is another".to_owned());
    }
    let program = on("esp.part", "/EFI/BOOT/BOOTX64.EFI")?;
    let configuration = String::from_utf8_lossy(&on("esp.part", "/toro/grub.cfg")?).into_owned();
    if !program.starts_with(b"MZ") || !configuration.contains("/toro/kernel 'log=off' 'mount=none:/x'\n") {
        return Err(format!("no program for UEFI, or not the words of the command line: {configuration}"));
    }
    let again = workshop.make(tool, "again.img", &["--append", "log=off mount=none:/x"])?;
    fat::run("cmp", &[&disk, &again.to_string_lossy()]).map(drop)
}

/// What others than QEMU want, compared with the raw image by `qemu-img`.
fn has_the_same_sectors(tool: &Tool) -> Result<(), String> {
    let workshop = Workshop::new()?;
    let raw = workshop.make(tool, "disk.img", &[])?;
    for (format, name) in [("qcow2", "qcow2"), ("vmdk", "vmdk"), ("vhd", "vpc")] {
        let image = workshop.make(tool, &format!("disk.{format}"), &["--format", format])?;
        same_sectors(&raw, "raw", &image, name)?;
        if format != "vhd" {
            // It has no tables that could be checked.
            fat::run("qemu-img", &["check", "-f", name, &image.to_string_lossy()])?;
        }
        let again = workshop.make(tool, &format!("again.{format}"), &["--format", format])?;
        fat::run("cmp", &[&image.to_string_lossy(), &again.to_string_lossy()])?;
    }
    // A size that is not given is rounded up.
    let raw = workshop.make(tool, "gibibyte.img", &["--size", "1024"])?;
    let archive = workshop.make(tool, "disk.tar.gz", &["--format", "gce"])?;
    let archive = archive.to_string_lossy().into_owned();
    let listed = String::from_utf8_lossy(&fat::run("tar", &["-tzf", &archive])?).into_owned();
    if listed != "disk.raw\n" {
        return Err(format!("Compute Engine wants disk.raw alone in the archive, which has {listed}"));
    }
    let place = workshop.directory.path().to_string_lossy().into_owned();
    fat::run("tar", &["-xzSf", &archive, "-C", &place])?;
    same_sectors(&raw, "raw", &workshop.file("disk.raw"), "raw")?;
    let header = fat::run("gzip", &["-dc", &archive])?;
    // The magic of GNU's old format (GNU tar manual, "Basic Tar Format"), and its type of a sparse file.
    if header.get(257..265) != Some(b"ustar  \0") || header.get(156) != Some(&b'S') {
        return Err("the archive is not of the old GNU format with a sparse file".to_owned());
    }
    Ok(())
}

fn leaves_what_was_there(tool: &Tool) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(text)?;
    let output = directory.path().join("disk.img");
    fs::write(&output, "precious").map_err(text)?;
    let place = output.to_string_lossy();
    let finished = tool.run(["image", "hello", "--size", "5", "--output", &place])?;
    finished.expect_status(2)?;
    if !finished.stderr.contains("--size 5 is too small") {
        return Err(format!("no reason: {}", finished.stderr));
    }
    let left: Vec<_> = fs::read_dir(directory.path()).map_err(text)?.collect();
    let contents = fs::read(&output).map_err(text)?;
    if left.len() == 1 && contents == b"precious" { Ok(()) } else { Err(format!("{left:?} are left")) }
}

/// Whether two images have as many sectors, with the same in them.
fn same_sectors(one: &Path, format: &str, other: &Path, other_format: &str) -> Result<(), String> {
    let (first, second) = (one.to_string_lossy(), other.to_string_lossy());
    fat::run("qemu-img", &["compare", "-f", format, "-F", other_format, &first, &second])?;
    let sectors = |image: &str, format: &str| {
        let said = fat::run("qemu-img", &["info", "--output=json", "-f", format, image])?;
        let said: serde_json::Value = serde_json::from_slice(&said).map_err(|error| error.to_string())?;
        said["virtual-size"].as_u64().ok_or_else(|| format!("{image}: {said}"))
    };
    let (length, other_length) = (sectors(&first, format)?, sectors(&second, other_format)?);
    if length == other_length { Ok(()) } else { Err(format!("{first} has {length} bytes, {second} {other_length}")) }
}

/// Copies a part of a file.
fn copy_part(from: &Path, to: &Path, start: u64, length: u64) -> Result<(), String> {
    let mut source = File::open(from).map_err(text)?;
    source.seek(SeekFrom::Start(start)).map_err(text)?;
    let mut target = File::create(to).map_err(text)?;
    std::io::copy(&mut source.take(length), &mut target).map_err(text)?;
    Ok(())
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}
