//! Where the parts of an image are, and the table that says so.
//!
//! ```text
//!   bytes     0        1 MiB       2 MiB                                        end - 1 MiB
//!             MBR, GPT | BIOS boot | EFI system partition | [data to the end] | GPT again
//! ```
//!
//! Partitions begin and end at whole MiB, which suits every disk. The EFI system partition is FAT32 whatever it holds, since
//! that is what the UEFI specification (2.10 §13.3) asks for on a disk that stays; a FAT32 has at least 65,525 clusters, so
//! it is not smaller than [`LEAST_VOLUME`]. Images are sparse files: what is empty costs no room.
//!
//! The table is `sfdisk`'s work. Every identifier in it follows from the application's name, so that the same input gives
//! the same image. Machines that are made from one image share identifiers, as those of all distributors' images do.

use std::fs::File;
use std::path::Path;

use super::{cannot_read, program, run_program_with, write_file};
use crate::exit::Failure;

/// The unit of the layout.
pub const MIB: u64 = 1 << 20;
/// Bytes of a sector.
const SECTOR: u64 = 512;
/// The smallest FAT32 that has enough clusters of a sector each, with its tables.
pub const LEAST_VOLUME: u64 = 36 * MIB;
/// What stays free on the EFI system partition.
const SPARE: u64 = MIB;

/// What partitions are for.
const BIOS_BOOT: &str = "21686148-6449-6E6F-744E-656564454649";
const EFI_SYSTEM: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const BASIC_DATA: &str = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7";

/// A part of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Its first byte.
    pub start: u64,
    /// The first byte behind it.
    pub end: u64,
}

impl Range {
    /// Its length.
    pub fn bytes(self) -> u64 {
        self.end - self.start
    }

    /// Its first sector.
    pub fn first_sector(self) -> u64 {
        self.start / SECTOR
    }
}

/// Where everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Length of the disk.
    pub bytes: u64,
    /// The BIOS boot partition.
    pub bios_boot: Range,
    /// The EFI system partition.
    pub esp: Range,
    /// The data partition, if there is one.
    pub data: Option<Range>,
}

impl Layout {
    /// Divides a disk on which `esp` bytes are needed to boot and `data` bytes for files, if any. It has `size` bytes, or as
    /// many as it takes; a multiple of `unit`.
    ///
    /// # Errors
    ///
    /// An input failure where `size` is too small.
    pub fn plan(esp: u64, data: Option<u64>, size: Option<u64>, unit: u64) -> Result<Self, Failure> {
        let bios_boot = Range { start: MIB, end: 2 * MIB };
        let esp_bytes = (esp + esp / 16 + SPARE).next_multiple_of(MIB).max(LEAST_VOLUME);
        let esp = Range { start: bios_boot.end, end: bios_boot.end + esp_bytes };
        let least_data = data.map(|bytes| bytes.next_multiple_of(MIB).max(LEAST_VOLUME));
        let least = esp.end + least_data.unwrap_or(0) + MIB;
        let bytes = size.unwrap_or(least).next_multiple_of(unit);
        if bytes < least {
            return Err(Failure::input(format!(
                "--size {} is too small: the image needs {} MiB",
                bytes / MIB,
                least.next_multiple_of(unit) / MIB
            )));
        }
        let data = data.map(|_| Range { start: esp.end, end: bytes - MIB });
        Ok(Self { bytes, bios_boot, esp, data })
    }

    /// Writes the table into the file `disk`, which has the right length. `workshop` is a place for a file.
    ///
    /// # Errors
    ///
    /// A preparation failure where `sfdisk` fails.
    pub fn write_table(&self, disk: &Path, name: &str, workshop: &Path) -> Result<(), Failure> {
        let script = workshop.join("table");
        write_file(&script, self.script(name).as_bytes())?;
        let input = File::open(&script).map_err(|error| cannot_read(&script, &error))?;
        let mut command = program("sfdisk");
        command.args(["--quiet", "--no-reread", "--no-tell-kernel", "--wipe", "never"]).arg(disk);
        run_program_with(&mut command, input.into()).map(drop)
    }

    /// The table as `sfdisk` reads it.
    fn script(&self, name: &str) -> String {
        let partitions = [
            (Some(self.bios_boot), BIOS_BOOT, "bios", "BIOS boot"),
            (Some(self.esp), EFI_SYSTEM, "esp", "EFI system"),
            (self.data, BASIC_DATA, "data", "Toro data"),
        ];
        let head = format!("label: gpt\nlabel-id: {}\nunit: sectors\nfirst-lba: 34\n", guid(name, "disk"));
        let lines = partitions.into_iter().filter_map(|(range, kind, role, label)| {
            let (range, identity) = (range?, guid(name, role));
            let (start, size) = (range.first_sector(), range.bytes() / SECTOR);
            Some(format!("start={start}, size={size}, type={kind}, uuid={identity}, name=\"{label}\"\n"))
        });
        head + &lines.collect::<String>()
    }
}

/// The identifier of what `role` names in images of the application `name`, in the usual form of a GUID of version 8
/// (RFC 9562 §5.8): one whose bits mean nothing to others.
pub fn guid(name: &str, role: &str) -> String {
    let (high, low) = (hash(name, role, "high"), hash(name, role, "low"));
    let version = high & 0xffff_ffff_ffff_0fff | 0x8000;
    let variant = low & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000;
    format!(
        "{:08X}-{:04X}-{:04X}-{:04X}-{:012X}",
        version >> 32,
        version >> 16 & 0xffff,
        version & 0xffff,
        variant >> 48,
        variant & 0xffff_ffff_ffff
    )
}

/// The serial number of a FAT file system.
pub fn serial(name: &str, role: &str) -> u32 {
    let hash = hash(name, role, "serial");
    (hash ^ hash >> 32) as u32
}

/// FNV-1a of the texts, with a byte between them that is in none.
fn hash(name: &str, role: &str, part: &str) -> u64 {
    let bytes = ["toro", name, role, part].into_iter().flat_map(|text| text.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_as_large_as_its_parts_need() {
        let layout = Layout::plan(1_500_000, None, None, MIB).unwrap();
        assert_eq!((layout.bytes, layout.data), (39 * MIB, None));
        assert_eq!(layout.esp, Range { start: 2 * MIB, end: 38 * MIB });
        let layout = Layout::plan(50 * MIB, Some(100 * MIB + 1), None, MIB).unwrap();
        assert!(layout.esp.bytes() > 53 * MIB);
        assert_eq!(layout.data.map(Range::bytes), Some(101 * MIB));
        assert_eq!(layout.data.map(|data| data.end), Some(layout.bytes - MIB));
    }

    #[test]
    fn data_take_what_a_larger_disk_has_more() {
        let layout = Layout::plan(0, Some(0), Some(200 * MIB), MIB).unwrap();
        assert_eq!((layout.bytes, layout.data.map(Range::bytes)), (200 * MIB, Some(161 * MIB)));
        let layout = Layout::plan(0, None, None, 1024 * MIB).unwrap();
        assert_eq!((layout.bytes, layout.esp.end), (1024 * MIB, 38 * MIB));
    }

    #[test]
    fn a_disk_that_is_too_small_is_refused_with_the_size_that_would_do() {
        let failure = Layout::plan(0, Some(0), Some(74 * MIB), MIB).unwrap_err();
        assert_eq!(failure.to_string(), "--size 74 is too small: the image needs 75 MiB");
        assert!(Layout::plan(0, Some(0), Some(75 * MIB), MIB).is_ok());
    }

    #[test]
    fn identifiers_follow_from_names_and_differ() {
        let one = guid("hello", "disk");
        assert_eq!(one, guid("hello", "disk"));
        assert_eq!((one.len(), &one[14..15]), (36, "8"));
        assert!("89AB".contains(&one[19..20]), "{one}");
        assert!(one != guid("hello", "esp") && one != guid("hell", "odisk"));
        assert_ne!(serial("hello", "esp"), serial("hello", "data"));
    }
}
