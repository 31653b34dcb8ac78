//! The application's ELF file as a boot loader wants it: headers and segments, without sections.
//!
//! ```text
//!   ELF header | program headers | segments ... | symbols, debug information, section headers
//!   +------------- kept -----------------------+ +---------------- left out ----------------+
//! ```
//!
//! GRUB would load the symbols into memory for the kernel, which has no use for them, and firmware reads disks slowly.

use std::fs;
use std::path::Path;

use object::LittleEndian;
use object::elf::{FileHeader64, PT_NOTE, PT_PHDR};
use object::read::elf::{FileHeader, ProgramHeader};

use super::cannot_read;
use crate::exit::Failure;

/// Where an ELF header says where its section headers are, how many, and which has their names.
const SECTION_HEADERS_AT: std::ops::Range<usize> = 0x28..0x30;
const SECTION_NUMBERS: std::ops::Range<usize> = 0x3c..0x40;
/// What a Multiboot2 header begins with, and where it has to be.
const MULTIBOOT2_MAGIC: [u8; 4] = 0xe852_50d6_u32.to_le_bytes();
const MULTIBOOT2_WITHIN: usize = 32 * 1024;

/// Reads the ELF file `image` and leaves out what is not loaded.
///
/// # Errors
///
/// A preparation failure where it cannot be read, or is nothing that GRUB could load.
pub fn without_sections(image: &Path) -> Result<Vec<u8>, Failure> {
    let data = fs::read(image).map_err(|error| cannot_read(image, &error))?;
    let trouble = |what: String| Failure::preparation(format!("{}: {what}", image.display()));
    let kept = keep_segments(&data).map_err(|error| trouble(error.to_string()))?;
    let has_header = kept.chunks_exact(8).take(MULTIBOOT2_WITHIN / 8).any(|chunk| chunk.starts_with(&MULTIBOOT2_MAGIC));
    if !has_header {
        return Err(trouble("it has no Multiboot2 header, by which GRUB would load it".to_owned()));
    }
    Ok(kept)
}

fn keep_segments(data: &[u8]) -> object::Result<Vec<u8>> {
    let header = FileHeader64::<LittleEndian>::parse(data)?;
    let endian = header.endian()?;
    let headers = header.e_phoff(endian) + u64::from(header.e_phnum(endian)) * u64::from(header.e_phentsize(endian));
    let segments = header.program_headers(endian, data)?.iter();
    let is_kept = |kind| kind == object::elf::PT_LOAD || kind == PT_NOTE || kind == PT_PHDR;
    let ends = segments
        .filter(|segment| is_kept(segment.p_type(endian)))
        .map(|segment| segment.p_offset(endian).saturating_add(segment.p_filesz(endian)));
    let end = ends.chain([headers]).max().unwrap_or(0);
    let end = usize::try_from(end).unwrap_or(usize::MAX).min(data.len());
    let mut kept = data[..end].to_vec();
    kept[SECTION_HEADERS_AT].fill(0);
    kept[SECTION_NUMBERS].fill(0);
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use object::read::elf::SectionHeader;

    use super::*;

    #[test]
    fn segments_stay_and_sections_go() {
        let mut this = fs::read(std::env::current_exe().unwrap()).unwrap();
        let kept = keep_segments(&this).unwrap();
        // The ELF header may be in a segment itself.
        this[SECTION_HEADERS_AT].fill(0);
        this[SECTION_NUMBERS].fill(0);
        assert!(kept.len() < this.len());
        let segments = |data: &[u8]| {
            let header = FileHeader64::<LittleEndian>::parse(data).unwrap();
            let all = header.program_headers(LittleEndian, data).unwrap();
            let loaded = all.iter().filter(|segment| segment.p_type(LittleEndian) == object::elf::PT_LOAD);
            loaded.map(|segment| segment.data(LittleEndian, data).unwrap().to_vec()).collect::<Vec<_>>()
        };
        assert!(!segments(&this).is_empty() && segments(&kept) == segments(&this));
        let header = FileHeader64::<LittleEndian>::parse(&kept[..]).unwrap();
        let sections = header.sections(LittleEndian, &kept[..]).unwrap();
        assert_eq!(sections.iter().filter(|section| section.sh_size(LittleEndian) > 0).count(), 0);
    }

    #[test]
    fn what_grub_could_not_load_is_refused() {
        let failure = without_sections(&std::env::current_exe().unwrap()).unwrap_err();
        assert!(failure.to_string().contains("no Multiboot2 header"), "{failure}");
        assert!(without_sections(Path::new("/proc/version")).is_err());
    }
}
