//! What a disk turned out to have: [`Partition`]s, and a [`Report`] of the table that they come from.

use core::fmt;

/// The most partitions that are handed out.
pub const MAX_PARTITIONS: usize = 128;

/// A range of a disk that a table names. All sectors have 512 bytes, and all are on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number as Linux counts: place in the table from 1 on; logical partitions from 5 on.
    pub number: u32,
    /// Its first sector.
    pub first: u64,
    /// How many sectors it has; at least one.
    pub sectors: u64,
    /// What it is for.
    pub kind: Kind,
    /// Its name as the table has it, UTF-16, zeros at the end. Only GPT has names.
    pub name: [u16; 36],
}

impl Partition {
    /// The characters of the name, � for what is none.
    pub fn name(&self) -> impl Iterator<Item = char> {
        let units = self.name.iter().copied().take_while(|&unit| unit != 0);
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

/// What a partition is for, in the words of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An entry of an MBR.
    Mbr {
        /// The type byte: 0x0c is FAT32, 0x83 is Linux.
        system: u8,
        /// Whether it is marked active.
        active: bool,
    },
    /// An entry of a GPT.
    Gpt {
        /// What kind of partition it is.
        type_guid: Guid,
        /// Which partition it is.
        unique_guid: Guid,
        /// Attribute bits.
        attributes: u64,
    },
}

impl Kind {
    /// The type byte of an EFI system partition in an MBR.
    const MBR_EFI_SYSTEM: u8 = 0xef;

    /// Whether the machine boots from it, so that a system does not use it as a place for files of its own: an EFI system
    /// partition, or a BIOS boot partition.
    pub fn is_for_booting(&self) -> bool {
        match *self {
            Self::Mbr { system, .. } => system == Self::MBR_EFI_SYSTEM,
            Self::Gpt { type_guid, .. } => [Guid::EFI_SYSTEM, Guid::BIOS_BOOT].contains(&type_guid),
        }
    }
}

/// A GUID, as it lies on the disk: the first three groups are little endian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// EBD0A0A2-B9E5-4433-87C0-68B6B72699C7, "basic data": FAT, NTFS and others.
    pub const BASIC_DATA: Self =
        Self::new(0xebd0_a0a2, 0xb9e5, 0x4433, [0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99, 0xc7]);
    /// C12A7328-F81F-11D2-BA4B-00A0C93EC93B, the EFI system partition, which is FAT.
    pub const EFI_SYSTEM: Self =
        Self::new(0xc12a_7328, 0xf81f, 0x11d2, [0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b]);
    /// 21686148-6449-6E6F-744E-656564454649, a BIOS boot partition: the part of a boot loader that has no file.
    pub const BIOS_BOOT: Self =
        Self::new(0x2168_6148, 0x6449, 0x6e6f, [0x74, 0x4e, 0x65, 0x65, 0x64, 0x45, 0x46, 0x49]);

    /// A GUID from its groups, the last two as bytes.
    pub const fn new(first: u32, second: u16, third: u16, rest: [u8; 8]) -> Self {
        let ([a, b, c, d], [e, f], [g, h]) = (first.to_le_bytes(), second.to_le_bytes(), third.to_le_bytes());
        let [i, j, k, l, m, n, o, p] = rest;
        Self([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([a, b, c, d, e, g, h, i, tail @ ..]) = self;
        let (first, second, third) =
            (u32::from_le_bytes([*a, *b, *c, *d]), u16::from_le_bytes([*e, *g]), u16::from_le_bytes([*h, *i]));
        write!(f, "{first:08X}-{second:04X}-{third:04X}-{:02X}{:02X}-", tail[0], tail[1])?;
        tail[2..].iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

/// Which table a disk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// None: the disk is empty, or is a file system as a whole.
    None,
    /// A master boot record. One without partitions may as well be the boot sector of a file system.
    Mbr,
    /// A GUID partition table.
    Gpt(GptCopy),
}

/// Which of the two copies of a GPT was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GptCopy {
    /// The one at the beginning of the disk.
    Primary,
    /// The one at its end.
    Backup,
}

/// What a scan found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The table that the partitions come from.
    pub scheme: Scheme,
    /// How many partitions were handed out.
    pub partitions: usize,
    /// What was wrong.
    pub problems: Problems,
}

/// Something that is wrong with a table, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// A copy of the GPT cannot be used.
    Header(GptCopy, Defect),
    /// A partition was not handed out.
    Partition {
        /// Its number.
        number: u32,
        /// Why.
        defect: Defect,
    },
    /// The chain of logical partitions was left at this sector.
    Chain {
        /// The first sector that was not believed.
        sector: u64,
        /// Why.
        defect: Defect,
    },
    /// The MBR says that there is a GPT, and there is none that can be used. Its own entries are not believed then.
    ProtectedWithoutTable,
    /// There is a usable GPT at the end of the disk, and no MBR that says so.
    NotProtected,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defect {
    /// The signature is missing.
    Signature,
    /// The revision is none that is known.
    Revision,
    /// The header's or an entry's size is none that the specification allows.
    Size,
    /// The header's checksum is wrong.
    HeaderChecksum,
    /// The checksum of the entries is wrong.
    EntriesChecksum,
    /// The table says that it is somewhere else.
    Place,
    /// More entries than anybody needs, or more partitions than [`MAX_PARTITIONS`].
    TooMany,
    /// Not on the disk, or not in the part of it that is for partitions.
    OutOfRange,
    /// The end is before the beginning, or there is no sector.
    Empty,
    /// It shares sectors with an earlier one, or with the table.
    Overlap,
    /// The chain goes backwards or in a circle.
    Loop,
}

/// How many problems are listed.
const MAX_PROBLEMS: usize = 16;

/// The first few problems, and how many there were.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Problems {
    first: [Option<Problem>; MAX_PROBLEMS],
    count: usize,
}

impl Problems {
    pub(crate) fn new() -> Self {
        Self { first: [None; MAX_PROBLEMS], count: 0 }
    }

    pub(crate) fn add(&mut self, problem: Problem) {
        if let Some(free) = self.first.get_mut(self.count) {
            *free = Some(problem);
        }
        self.count += 1;
    }

    /// How many there were, listed or not.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The first sixteen.
    pub fn iter(&self) -> impl Iterator<Item = Problem> {
        self.first.iter().flatten().copied()
    }
}

impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Display for GptCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(copy, defect) => write!(f, "the {copy} partition table: {defect}"),
            Self::Partition { number, defect } => write!(f, "partition {number}: {defect}"),
            Self::Chain { sector, defect } => write!(f, "logical partitions, at sector {sector}: {defect}"),
            Self::ProtectedWithoutTable => f.write_str("the disk should have a GUID partition table, and has none"),
            Self::NotProtected => f.write_str("the GUID partition table is not protected by an MBR"),
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signature => "no signature",
            Self::Revision => "an unknown revision",
            Self::Size => "an impossible size",
            Self::HeaderChecksum => "the checksum of the header is wrong",
            Self::EntriesChecksum => "the checksum of the entries is wrong",
            Self::Place => "it should be somewhere else",
            Self::TooMany => "too many",
            Self::OutOfRange => "out of range",
            Self::Empty => "its end is before its beginning",
            Self::Overlap => "it shares sectors with something else",
            Self::Loop => "it goes backwards",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn guids_are_written_as_everybody_writes_them() {
        assert_eq!(Guid::BASIC_DATA.to_string(), "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7");
        assert_eq!(Guid::EFI_SYSTEM.to_string(), "C12A7328-F81F-11D2-BA4B-00A0C93EC93B");
    }

    #[test]
    fn partitions_that_machines_boot_from_are_known_in_both_tables() {
        assert_eq!(Guid::BIOS_BOOT.to_string(), "21686148-6449-6E6F-744E-656564454649");
        let gpt = |type_guid| Kind::Gpt { type_guid, unique_guid: Guid::default(), attributes: 0 };
        let mbr = |system| Kind::Mbr { system, active: true };
        assert!([gpt(Guid::EFI_SYSTEM), gpt(Guid::BIOS_BOOT), mbr(0xef)].iter().all(Kind::is_for_booting));
        assert!(![gpt(Guid::BASIC_DATA), gpt(Guid::default()), mbr(0x0c)].iter().any(Kind::is_for_booting));
    }

    #[test]
    fn problems_beyond_the_list_are_counted() {
        let mut problems = Problems::new();
        for number in 0..20 {
            problems.add(Problem::Partition { number, defect: Defect::Empty });
        }
        assert_eq!((problems.count(), problems.iter().count()), (20, MAX_PROBLEMS));
    }
}
