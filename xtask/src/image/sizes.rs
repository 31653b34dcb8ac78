//! How large an image is.
//!
//! ```text
//!   | ELF header | segments: what a boot loader copies | names of sections | debug information, symbols | headers |
//!                '------------- loaded --------------'
//!   '---------------------- stripped: without the debug information ------ - - - - - - - - - - - - - --'
//!   '------------------------------------------- file ------------------------------------------------'
//! ```

use std::fs;
use std::path::Path;

use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

use crate::exit::Failure;

/// How large an image is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The file, with its debug information.
    pub file: u64,
    /// The file without debug information and symbols, as `strip` would leave it.
    pub stripped: u64,
    /// What a boot loader copies into memory.
    pub loaded: u64,
    /// What the image occupies in memory, zeroed data included.
    pub memory: u64,
}

impl Sizes {
    /// Measures the ELF file `image`.
    ///
    /// # Errors
    ///
    /// A preparation failure where the file cannot be read or is no 64-bit ELF file.
    pub fn of(image: &Path) -> Result<Self, Failure> {
        let data = fs::read(image)
            .map_err(|error| Failure::preparation(format!("cannot read {}: {error}", image.display())))?;
        Self::of_elf(&data).map_err(|error| Failure::preparation(format!("{}: {error}", image.display())))
    }

    fn of_elf(data: &[u8]) -> object::Result<Self> {
        let header = object::elf::FileHeader64::<object::LittleEndian>::parse(data)?;
        let endian = header.endian()?;
        let segments = header.program_headers(endian, data)?;
        let loadable = || segments.iter().filter(|segment| segment.p_type(endian) == object::elf::PT_LOAD);
        let loaded = loadable().map(|segment| segment.p_filesz(endian)).sum();
        let memory = loadable().map(|segment| segment.p_memsz(endian)).sum();

        // What stays: everything up to the end of the last segment, the names and headers of the sections in memory,
        // and the table of names itself with its header and the empty first one.
        let content = loadable().map(|segment| segment.p_offset(endian) + segment.p_filesz(endian)).max().unwrap_or(0);
        let sections = header.sections(endian, data)?;
        let (mut names, mut headers) = (1 + ".shstrtab".len() as u64 + 1, 2);
        for section in sections.iter() {
            if section.sh_flags(endian).contains(object::elf::SHF_ALLOC) {
                names += sections.section_name(endian, section)?.len() as u64 + 1;
                headers += 1;
            }
        }
        let stripped = (content + names).next_multiple_of(8) + headers * 64;
        Ok(Self { file: data.len() as u64, stripped, loaded, memory })
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn stripped_size_is_what_strip_leaves() {
        let this = std::env::current_exe().unwrap();
        let sizes = Sizes::of(&this).unwrap();
        assert!(sizes.loaded <= sizes.stripped && sizes.stripped < sizes.file);
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("copy");
        let strip = Command::new("strip").arg("-o").arg(&copy).arg(&this).status();
        // Where binutils are there, their answer is the truth, up to alignment and the .comment section.
        if strip.is_ok_and(|status| status.success()) {
            let truth = copy.metadata().unwrap().len();
            assert!(sizes.stripped.abs_diff(truth) < 1024, "{} {truth}", sizes.stripped);
        }
    }
}
