//! Disks of a guest: what `--disk` says, and whether the image behind it can be used.
//!
//! ```text
//!   IMG[,if=virtio|virtio-legacy|ata][,ro][,queues=N][,format=raw|qcow2|vmdk|vpc]
//! ```
//!
//! A comma in the name of the file is written twice, as for QEMU itself.
//!
//! # Interfaces
//!
//! | `if=` | device | pc | q35 | microvm |
//! |---|---|---|---|---|
//! | `virtio` | virtio-blk with the interface of `--virtio`, which is the modern one | yes | yes | yes |
//! | `virtio-legacy` | virtio-blk with the legacy interface | yes | yes | with `--virtio legacy`, as for all devices |
//! | `ata` | a drive of the IDE controller, four at most | yes | no | no |
//!
//! # Formats
//!
//! QEMU is always told the format of an image, never left to guess it: a guest that writes the header of another format
//! to its raw disk could otherwise name any file of the host as the one behind it, and read that at its next start. The
//! suffix of the file decides (`.qcow2`, `.vmdk`, `.vhd`, `.vpc`; anything else is raw), and has to agree with what is
//! in the file; where they differ, the user says which of them is right.
//!
//! # Durability
//!
//! The device has a cache that it writes back (QEMU's default): a write that completed is on the host's disk after the
//! next flush only. The end of QEMU, of whatever kind, loses nothing that completed, as that is in the host's memory by then.
//!
//! An error of the host, such as a full disk, is reported to the guest. QEMU's own choice for a full disk is to stop the
//! machine until somebody lets it go on, and there is nobody here.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::cli::{Machine, VirtioInterface};
use crate::exit::Failure;

/// The unit of a disk's capacity.
const SECTOR: u64 = 512;
/// How many drives an IDE controller has.
const ATA_DRIVES: usize = 4;
/// The most queues that can be asked for: as many as there can be processors.
const MOST_QUEUES: u16 = 255;

/// A disk as the user asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskOption {
    /// The image.
    pub image: PathBuf,
    /// How the guest reaches it.
    pub interface: DiskInterface,
    /// Whether the guest may write.
    pub access: Access,
    /// Number of queues, if not the usual one.
    pub queues: Option<u16>,
    /// Format of the image, if it is not for the file to say.
    pub format: Option<Format>,
}

/// The device that a disk is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskInterface {
    /// virtio-blk, with the interface of the machine's other virtio devices.
    Virtio,
    /// virtio-blk with the legacy interface.
    VirtioLegacy,
    /// A drive of the IDE controller.
    Ata,
}

/// What a guest may do with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and write.
    ReadWrite,
    /// Read.
    ReadOnly,
}

/// What is in an image file, by the names that QEMU has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The sectors, one after the other.
    Raw,
    /// QEMU's own.
    Qcow2,
    /// VMware's.
    Vmdk,
    /// Microsoft's first, also known as VHD.
    Vpc,
}

/// A disk that QEMU can be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The image, as an absolute path.
    pub image: PathBuf,
    /// What is in it.
    pub format: Format,
    /// How the guest reaches it.
    pub interface: DiskInterface,
    /// Whether the guest may write.
    pub access: Access,
    /// Number of queues.
    pub queues: u16,
}

impl DiskInterface {
    const NAMES: [(&'static str, Self); 3] =
        [("virtio", Self::Virtio), ("virtio-legacy", Self::VirtioLegacy), ("ata", Self::Ata)];
}

impl Format {
    const NAMES: [(&'static str, Self); 4] =
        [("raw", Self::Raw), ("qcow2", Self::Qcow2), ("vmdk", Self::Vmdk), ("vpc", Self::Vpc)];

    /// QEMU's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vpc => "vpc",
        }
    }

    /// What the name of a file says.
    fn by_suffix(image: &Path) -> Self {
        let suffix = image.extension().map(|suffix| suffix.to_string_lossy().to_lowercase());
        match suffix.as_deref() {
            Some("qcow2") => Self::Qcow2,
            Some("vmdk") => Self::Vmdk,
            Some("vhd" | "vpc") => Self::Vpc,
            _ => Self::Raw,
        }
    }

    /// What the contents say: the start of the file, or its end for a VHD image of fixed size.
    fn by_contents(file: &mut File, length: u64) -> std::io::Result<Self> {
        let mut sector_at = |offset: u64| {
            let mut sector = Vec::new();
            file.seek(SeekFrom::Start(offset))?;
            file.by_ref().take(SECTOR).read_to_end(&mut sector)?;
            Ok::<_, std::io::Error>(sector)
        };
        let first = sector_at(0)?;
        let last = sector_at(length.saturating_sub(SECTOR))?;
        Ok(if first.starts_with(b"QFI\xfb") {
            Self::Qcow2
        } else if [&b"KDMV"[..], b"COWD", b"# Disk DescriptorFile"].iter().any(|magic| first.starts_with(magic)) {
            Self::Vmdk
        } else if first.starts_with(b"conectix") || last.starts_with(b"conectix") {
            Self::Vpc
        } else {
            Self::Raw
        })
    }
}

/// The value of `name` among `names`.
fn named<T: Copy>(what: &str, name: &str, names: &[(&str, T)]) -> Result<T, String> {
    let found = names.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
        format!("`{what}={name}`: expected one of {}", names.join(", "))
    })
}

impl FromStr for DiskOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What cannot be in a name stands for a comma that is.
        let text = text.replace(",,", "\0");
        let mut words = text.split(',');
        let image = words.next().unwrap_or_default().replace('\0', ",");
        if image.is_empty() {
            return Err("expected the file of an image".to_owned());
        }
        let mut disk = Self {
            image: image.into(),
            interface: DiskInterface::Virtio,
            access: Access::ReadWrite,
            queues: None,
            format: None,
        };
        for word in words {
            match word.split_once('=') {
                None if word == "ro" => disk.access = Access::ReadOnly,
                Some(("if", name)) => disk.interface = named("if", name, &DiskInterface::NAMES)?,
                Some(("format", name)) => disk.format = Some(named("format", name, &Format::NAMES)?),
                Some(("queues", number)) => {
                    let number = number.parse().ok().filter(|number| (1..=MOST_QUEUES).contains(number));
                    let expected = || format!("`{word}`: expected a number from 1 to {MOST_QUEUES}");
                    disk.queues = Some(number.ok_or_else(expected)?);
                }
                _ => {
                    let word = word.replace('\0', ",,");
                    return Err(format!(
                        "unknown word `{word}`: expected if=, ro, queues= or format=; a comma in a file's name is written twice"
                    ));
                }
            }
        }
        Ok(disk)
    }
}

/// The guest that disks are for.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The machine.
    pub machine: Machine,
    /// The interface of its virtio devices.
    pub virtio: VirtioInterface,
    /// Number of its processors.
    pub cpus: u16,
    /// Who reads the first disk.
    pub first: FirstDisk,
}

/// What the first of a guest's disks is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstDisk {
    /// For the guest, as the others.
    ForTheGuest,
    /// For the firmware, which boots from it and may have drivers that the guest lacks.
    ForTheFirmware,
}

/// How many of `disks` are virtio devices.
pub fn virtio_devices(disks: &[DiskOption]) -> usize {
    disks.iter().filter(|disk| disk.interface != DiskInterface::Ata).count()
}

/// Checks what the user wants against the machine and the files.
///
/// # Errors
///
/// An input failure that names the image and says what is wrong with it.
pub fn check(options: &[DiskOption], place: Place) -> Result<Vec<Disk>, Failure> {
    if options.iter().filter(|disk| disk.interface == DiskInterface::Ata).count() > ATA_DRIVES {
        return Err(Failure::input(format!(
            "an IDE controller has {ATA_DRIVES} drives at most: use if=virtio for some of the disks"
        )));
    }
    // Device, number and use of what was seen.
    let mut seen: Vec<((u64, u64), Access)> = Vec::new();
    let mut disks = Vec::new();
    for (number, option) in options.iter().enumerate() {
        let trouble = |reason: String| Failure::input(format!("cannot use disk {}: {reason}", option.image.display()));
        let reader = if number == 0 { place.first } else { FirstDisk::ForTheGuest };
        check_interface(option, place, reader).map_err(|reason| trouble(reason.to_owned()))?;
        let (identity, disk) = check_image(option, place).map_err(trouble)?;
        let clashes = |(other, access): &((u64, u64), Access)| {
            *other == identity && (*access == Access::ReadWrite || option.access == Access::ReadWrite)
        };
        if seen.iter().any(clashes) {
            return Err(trouble("it is used twice: leave one of them out, or say `ro` for both".to_owned()));
        }
        seen.push((identity, option.access));
        disks.push(disk);
    }
    Ok(disks)
}

/// Checks that the machine has such a device.
fn check_interface(option: &DiskOption, place: Place, reader: FirstDisk) -> Result<(), &'static str> {
    match (option.interface, place.machine) {
        (DiskInterface::Ata, Machine::Q35)
            if reader == FirstDisk::ForTheFirmware && option.access == Access::ReadWrite && option.queues.is_none() =>
        {
            Ok(())
        }
        (DiskInterface::Ata, Machine::Microvm) => Err("microvm has no IDE controller: use --machine pc, or if=virtio"),
        (DiskInterface::Ata, Machine::Q35) => {
            Err("q35 has an AHCI controller, which Toro has no driver for: use --machine pc, or if=virtio")
        }
        (DiskInterface::Ata, Machine::Pc) if option.access == Access::ReadOnly => {
            Err("QEMU's ATA disks are never read-only: leave out `ro`, or use if=virtio")
        }
        (DiskInterface::Ata, Machine::Pc) if option.queues.is_some() => {
            Err("ATA disks have no queues: leave out `queues`, or use if=virtio")
        }
        (DiskInterface::VirtioLegacy, Machine::Microvm) if place.virtio != VirtioInterface::Legacy => {
            Err("on microvm all virtio devices have the same interface: use --virtio legacy, or --machine pc")
        }
        _ => Ok(()),
    }
}

/// Looks at the image; gives what tells its file from others, and the disk.
fn check_image(option: &DiskOption, place: Place) -> Result<((u64, u64), Disk), String> {
    let said = |error: std::io::Error| error.to_string();
    let image = option.image.canonicalize().map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("it is not there: `truncate -s 64M {:?}` makes an empty one", option.image),
        _ => error.to_string(),
    })?;
    let kind = image.metadata().map_err(said)?;
    if kind.is_dir() {
        return Err("it is a directory: --share gives one to the guest".to_owned());
    }
    if !kind.is_file() {
        return Err("it is not a regular file: copy what is in it to one".to_owned());
    }
    let may_write = option.access == Access::ReadWrite;
    let mut file = OpenOptions::new().read(true).open(&image).map_err(|error| format!("it cannot be read: {error}"))?;
    if may_write {
        // An ATA disk cannot be `ro`.
        let next =
            if option.interface == DiskInterface::Ata { "use a copy that can be, or if=virtio,ro" } else { "say `ro`" };
        let opened = OpenOptions::new().write(true).open(&image);
        opened.map_err(|error| format!("it cannot be written ({error}): {next}"))?;
    }
    let metadata = file.metadata().map_err(said)?;
    let length = metadata.len();
    let found = Format::by_contents(&mut file, length).map_err(|error| format!("it cannot be read: {error}"))?;
    let format = match option.format {
        Some(format) => format,
        None if Format::by_suffix(&image) == found => found,
        None => {
            let (name, other) = (found.name(), Format::by_suffix(&image).name());
            return Err(format!(
                "it is {name} by its contents and {other} by its name: say format={name} or format={other}"
            ));
        }
    };
    if format == Format::Raw && (length == 0 || !length.is_multiple_of(SECTOR)) {
        let size = if length == 0 { "64M".to_owned() } else { format!("%{SECTOR}") };
        return Err(format!(
            "it has {length} bytes, and a raw disk has a multiple of {SECTOR}: `truncate -s {size} {image:?}` makes it one"
        ));
    }
    let queues = option.queues.unwrap_or(match place.machine {
        // There is one interrupt line for all of a device's queues.
        Machine::Microvm => 1,
        Machine::Pc | Machine::Q35 => place.cpus,
    });
    let disk = Disk { image, format, interface: option.interface, access: option.access, queues };
    Ok(((metadata.dev(), metadata.ino()), disk))
}

#[cfg(test)]
mod tests;
