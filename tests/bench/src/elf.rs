//! What the linker wrote: sizes and addresses in an ELF image for x86-64.
//!
//! Reads just enough of the format (System V ABI, chapter 4): the section headers, the symbol table and the notes. The
//! image may be damaged; every offset is checked and nothing panics.

use anyhow::{Context, Result, ensure};

const SHT_SYMTAB: u32 = 2;
const SHT_NOTE: u32 = 7;
const SHT_NOBITS: u32 = 8;
const SHF_WRITE: u64 = 1;
const SHF_ALLOC: u64 = 2;
/// Note type of the 32-bit entry point of a PVH kernel (owner `Xen`).
const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;

/// What is loaded, in bytes, as `size` divides it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Code and constants.
    pub text: u64,
    /// Initialised variables.
    pub data: u64,
    /// Variables that start as zero.
    pub bss: u64,
}

/// An ELF image in memory.
pub struct Elf<'a> {
    bytes: &'a [u8],
    sections: Vec<Section>,
}

struct Section {
    kind: u32,
    flags: u64,
    offset: u64,
    size: u64,
    link: u32,
}

impl<'a> Elf<'a> {
    /// Reads the section headers.
    ///
    /// # Errors
    ///
    /// Not a 64-bit little-endian ELF file, or one that ends too early.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        ensure!(bytes.starts_with(b"\x7fELF\x02\x01"), "not a 64-bit little-endian ELF file");
        let table = u64_at(bytes, 0x28)?;
        let (entry_size, count) = (u16_at(bytes, 0x3a)?, u16_at(bytes, 0x3c)?);
        let sections = (0..u64::from(count))
            .map(|index| {
                let header = slice(bytes, table.saturating_add(index * u64::from(entry_size)), 64)?;
                Ok(Section {
                    kind: u32_at(header, 4)?,
                    flags: u64_at(header, 8)?,
                    offset: u64_at(header, 0x18)?,
                    size: u64_at(header, 0x20)?,
                    link: u32_at(header, 0x28)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { bytes, sections })
    }

    /// Sizes of what is loaded.
    pub fn sizes(&self) -> Sizes {
        let mut sizes = Sizes::default();
        for section in self.sections.iter().filter(|section| section.flags & SHF_ALLOC != 0) {
            let sum = match (section.kind, section.flags & SHF_WRITE != 0) {
                (SHT_NOBITS, _) => &mut sizes.bss,
                (_, true) => &mut sizes.data,
                (_, false) => &mut sizes.text,
            };
            *sum = sum.saturating_add(section.size);
        }
        sizes
    }

    /// Value of the first symbol whose name `matches` accepts.
    ///
    /// # Errors
    ///
    /// The symbol table is damaged. A missing one is empty.
    pub fn symbol(&self, matches: impl Fn(&str) -> bool) -> Result<Option<u64>> {
        for table in self.sections.iter().filter(|section| section.kind == SHT_SYMTAB) {
            let names = self.sections.get(table.link as usize).context("symbol table without names")?;
            let names = slice(self.bytes, names.offset, names.size)?;
            for symbol in slice(self.bytes, table.offset, table.size)?.chunks_exact(24) {
                let name = names.get(u32_at(symbol, 0)? as usize..).unwrap_or_default();
                let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                if std::str::from_utf8(name).is_ok_and(&matches) {
                    return Ok(Some(u64_at(symbol, 8)?));
                }
            }
        }
        Ok(None)
    }

    /// Where a PVH loader enters the image, from its note.
    ///
    /// # Errors
    ///
    /// The notes are damaged.
    pub fn pvh_entry(&self) -> Result<Option<u64>> {
        for section in self.sections.iter().filter(|section| section.kind == SHT_NOTE) {
            let mut notes = slice(self.bytes, section.offset, section.size)?;
            while notes.len() >= 12 {
                let (name_size, value_size, kind) = (u32_at(notes, 0)?, u32_at(notes, 4)?, u32_at(notes, 8)?);
                let name = slice(notes, 12, name_size.into())?;
                let value_at = 12 + u64::from(name_size).next_multiple_of(4);
                let value = slice(notes, value_at, value_size.into())?;
                if kind == XEN_ELFNOTE_PHYS32_ENTRY && name == b"Xen\0" {
                    return if value_size == 8 {
                        u64_at(value, 0).map(Some)
                    } else {
                        u32_at(value, 0).map(|entry| Some(entry.into()))
                    };
                }
                let next = (value_at + u64::from(value_size).next_multiple_of(4)).min(notes.len() as u64);
                notes = &notes[next as usize..];
            }
        }
        Ok(None)
    }
}

fn slice(bytes: &[u8], offset: u64, size: u64) -> Result<&[u8]> {
    let end = offset.checked_add(size).and_then(|end| usize::try_from(end).ok());
    end.and_then(|end| bytes.get(offset as usize..end)).context("truncated ELF file")
}

fn u16_at(bytes: &[u8], offset: u64) -> Result<u16> {
    Ok(u16::from_le_bytes(slice(bytes, offset, 2)?.try_into()?))
}

fn u32_at(bytes: &[u8], offset: u64) -> Result<u32> {
    Ok(u32::from_le_bytes(slice(bytes, offset, 4)?.try_into()?))
}

fn u64_at(bytes: &[u8], offset: u64) -> Result<u64> {
    Ok(u64::from_le_bytes(slice(bytes, offset, 8)?.try_into()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_image() -> Vec<u8> {
        std::fs::read(std::env::current_exe().expect("a running test has a path")).expect("and can read itself")
    }

    #[test]
    fn own_main_is_found_and_what_is_not_there_is_not() {
        let bytes = own_image();
        let elf = Elf::parse(&bytes).expect("this test is an ELF file");
        assert_ne!(elf.symbol(|name| name == "main").expect("intact"), None);
        assert_eq!(elf.symbol(|name| name == "no such symbol").expect("intact"), None);
        assert_eq!(elf.pvh_entry().expect("intact"), None);
        let sizes = elf.sizes();
        assert!(sizes.text > sizes.data && sizes.data > 0 && sizes.bss > 0, "{sizes:?}");
    }

    #[test]
    fn truncated_file_is_an_error() {
        let bytes = own_image();
        for length in [0, 3, 16, 63] {
            assert!(Elf::parse(&bytes[..length]).is_err());
        }
        // The section headers are at the end.
        assert!(Elf::parse(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn pvh_note_is_read_behind_another_note() {
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[0x28] = 64;
        file[0x3a] = 64;
        file[0x3c] = 1;
        let mut section = [0; 64];
        section[4] = SHT_NOTE as u8;
        section[0x18] = 128;
        let mut notes = Vec::new();
        for (kind, owner, value) in [(1, *b"GNU\0", 7_u32), (XEN_ELFNOTE_PHYS32_ENTRY, *b"Xen\0", 0x20_0040)] {
            for word in [4, 4, kind] {
                notes.extend_from_slice(&u32::to_le_bytes(word));
            }
            notes.extend_from_slice(&owner);
            notes.extend_from_slice(&value.to_le_bytes());
        }
        section[0x20] = notes.len() as u8;
        file.extend_from_slice(&section);
        file.extend_from_slice(&notes);
        let elf = Elf::parse(&file).expect("headers are complete");
        assert_eq!(elf.pvh_entry().expect("notes are complete"), Some(0x20_0040));
    }
}
