//! GRUB: its two programs, how the BIOS finds the first of them, and the configuration that both read.
//!
//! ```text
//!   BIOS   sector 0: boot.img --LBA of core.img--> BIOS boot partition: core.img --list of its sectors--> the rest of it
//!   UEFI   EFI system partition: \EFI\BOOT\BOOTX64.EFI
//!   both   /toro/grub.cfg on partition 2 of the disk that they were started from: multiboot2 /toro/kernel WORDS
//! ```
//!
//! `grub-mkimage` makes both programs from the distribution's modules. `grub-install` would put them in place, but wants root and
//! a block device; what it writes for a BIOS is little, and is written here (GRUB 2, `util/setup.c`):
//!
//! | where | what |
//! |---|---|
//! | boot.img, 0x5c, 64 bits | first sector of core.img |
//! | boot.img, 0x66, 16 bits | two NOPs: a disk is taken for a disk even where the BIOS says that it is a floppy drive |
//! | core.img, 0x1f4, 64 bits | second sector of core.img; how many follow, `grub-mkimage` has written already |
//!
//! Only the first 440 bytes of boot.img go into sector 0. Behind them is the partition table.
//!
//! # Which disk
//!
//! Both programs look for their configuration on partition 2 of the disk that the firmware started them from, which they
//! are told (`(,gpt2)`). So nothing is searched, and two disks from one image in a machine do not meet.
//!
//! # Consoles
//!
//! On a BIOS, GRUB writes to the screen, if there is one, and to the first serial port, if there is one; under UEFI to the
//! firmware's console, which knows about serial ports itself. Nobody is waited for.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::layout::Range;
use super::{cannot_read, cannot_write, program, run_program};
use crate::exit::Failure;

/// Where GRUB finds its files: on partition 2 of the disk it comes from.
const PREFIX: &str = "(,gpt2)/toro";
/// Where distributions put modules.
const PLACES: [&str; 3] = ["/usr/lib/grub", "/usr/lib/grub2", "/usr/share/grub2"];
/// By which names distributions know the program.
const MAKERS: [&str; 2] = ["grub-mkimage", "grub2-mkimage"];
/// Platforms of the two programs.
const BIOS: &str = "i386-pc";
const UEFI: &str = "x86_64-efi";
/// Modules of both. What these need comes with them.
const MODULES: [&str; 10] =
    ["normal", "part_gpt", "fat", "multiboot2", "boot", "serial", "terminal", "test", "reboot", "halt"];
/// The BIOS' disks, for its program only.
const BIOS_DISKS: &str = "biosdisk";

const SECTOR: usize = 512;
/// The part of sector 0 that is boot code.
const BOOT_CODE: usize = 440;
/// See the table above.
const CORE_SECTOR_AT: usize = 0x5c;
const DRIVE_CHECK_AT: usize = 0x66;
const REST_SECTOR_AT: usize = 0x1f4;
const NOPS: [u8; 2] = [0x90, 0x90];
/// Where boot.img of GRUB 2 jumps over the drive check: what is there before it is changed.
const JUMP: u8 = 0xeb;

/// As much room as a configuration takes at most.
pub const CONFIGURATION_BYTES: usize = 64 * 1024;
/// The longest command line.
const MOST_WORDS_BYTES: usize = 2048;

/// Whether GRUB can be made here, for both firmwares.
pub fn is_present() -> bool {
    maker().is_some() && [BIOS, UEFI].iter().all(|platform| modules(platform).is_some())
}

/// The name of the program that makes GRUB.
fn maker() -> Option<&'static str> {
    MAKERS.into_iter().find(|name| crate::setup::find_program(name).is_some())
}

/// The directory with the modules of `platform`.
fn modules(platform: &str) -> Option<PathBuf> {
    let directories = PLACES.iter().map(|place| Path::new(place).join(platform));
    directories.into_iter().find(|directory| directory.join("multiboot2.mod").is_file())
}

/// GRUB for both firmwares.
pub struct Grub {
    boot: Vec<u8>,
    core: Vec<u8>,
    efi: Vec<u8>,
}

impl Grub {
    /// Makes both programs.
    ///
    /// # Errors
    ///
    /// A preparation failure where that fails.
    pub fn make() -> Result<Self, Failure> {
        let boot_file = modules(BIOS).ok_or_else(|| missing(BIOS))?.join("boot.img");
        let boot = fs::read(&boot_file).map_err(|error| cannot_read(&boot_file, &error))?;
        if boot.len() != SECTOR || boot[DRIVE_CHECK_AT] != JUMP {
            return Err(Failure::preparation(format!("{} is not GRUB's boot sector", boot_file.display())));
        }
        let core = make(BIOS, &[BIOS_DISKS])?;
        if core.len() <= SECTOR {
            return Err(Failure::preparation("grub-mkimage made nothing to boot a BIOS with"));
        }
        Ok(Self { boot, core, efi: make(UEFI, &[])? })
    }

    /// The program for UEFI.
    pub fn efi(&self) -> &[u8] {
        &self.efi
    }

    /// Writes the program for a BIOS to `range` of the file `disk`, and the boot code that loads it to its first sector,
    /// whose partition table stays.
    ///
    /// # Errors
    ///
    /// A preparation failure where it has no room, or the file cannot be written.
    pub fn install(&self, disk: &Path, range: Range) -> Result<(), Failure> {
        if self.core.len() as u64 > range.bytes() {
            return Err(Failure::preparation(format!(
                "GRUB for a BIOS has {} bytes, and there is room for {}",
                self.core.len(),
                range.bytes()
            )));
        }
        let (boot, core) = (boot_code(&self.boot, range.first_sector()), linked(&self.core, range.first_sector()));
        let written = OpenOptions::new().write(true).open(disk).and_then(|mut file: File| {
            file.write_all(&boot)?;
            file.seek(SeekFrom::Start(range.start))?;
            file.write_all(&core)
        });
        written.map_err(|error| cannot_write(disk, &error))
    }
}

/// The boot code that loads a program from sector `first` on.
fn boot_code(boot: &[u8], first: u64) -> Vec<u8> {
    let mut code = boot[..BOOT_CODE].to_vec();
    code[CORE_SECTOR_AT..CORE_SECTOR_AT + 8].copy_from_slice(&first.to_le_bytes());
    code[DRIVE_CHECK_AT..DRIVE_CHECK_AT + 2].copy_from_slice(&NOPS);
    code
}

/// The program for a BIOS, told that it is at sector `first`.
fn linked(core: &[u8], first: u64) -> Vec<u8> {
    let mut core = core.to_vec();
    core[REST_SECTOR_AT..REST_SECTOR_AT + 8].copy_from_slice(&(first + 1).to_le_bytes());
    core
}

/// Makes the program of one platform.
fn make(platform: &str, more: &[&str]) -> Result<Vec<u8>, Failure> {
    let directory = modules(platform).ok_or_else(|| missing(platform))?;
    let mut file = tempfile::NamedTempFile::new()
        .map_err(|error| Failure::preparation(format!("cannot make a temporary file: {error}")))?;
    let mut command = program(maker().ok_or_else(|| missing(platform))?);
    command.args(["--format", platform, "--prefix", PREFIX, "--directory"]).arg(directory);
    command.arg("--output").arg(file.path()).args(MODULES).args(more);
    run_program(&mut command)?;
    let mut made = Vec::new();
    // The program may have put a new file in the place of ours.
    let again = file.reopen().and_then(|mut file| file.read_to_end(&mut made));
    again.or_else(|_| file.read_to_end(&mut made)).map_err(|error| cannot_read(file.path(), &error))?;
    Ok(made)
}

fn missing(platform: &str) -> Failure {
    Failure::preparation(format!("GRUB for {platform} is missing"))
}

/// The words of a guest's command line, if they can be handed on as they are.
///
/// # Errors
///
/// An input failure where one has a character that GRUB changes, or where they are too long.
pub fn words(text: &str) -> Result<Vec<String>, Failure> {
    // GRUB puts a backslash before quotes and backslashes when it joins words (`grub_create_loader_cmdline`).
    let is_changed = |char: char| char.is_control() || ['\'', '"', '\\'].contains(&char);
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if let Some(word) = words.iter().find(|word| word.contains(is_changed)) {
        return Err(Failure::input(format!("`{word}` cannot be in --append: GRUB changes quotes and backslashes")));
    }
    if text.len() > MOST_WORDS_BYTES {
        return Err(Failure::input(format!(
            "--append has {} bytes, and an image has room for {MOST_WORDS_BYTES}",
            text.len()
        )));
    }
    Ok(words)
}

/// GRUB's configuration, for a kernel with these words and, beside it, an archive of that name: boots at once, and shows what went wrong where that fails.
pub fn configuration(name: &str, words: &[String], archive: Option<&str>) -> String {
    let words: String = words.iter().map(|word| format!(" '{word}'")).collect();
    let module = archive.map_or(String::new(), |name| format!("    module2 /toro/{name} {name}\n"));
    let title: String = name.chars().filter(|char| char.is_ascii_alphanumeric() || "-_".contains(*char)).collect();
    format!(
        "\
# What GRUB does on either firmware. The words behind /toro/kernel are the guest's command line.
set timeout=0
set timeout_style=hidden
if [ \"$grub_platform\" = pc ]; then
    if serial --unit=0 --speed=115200; then
        terminal_input --append serial
        terminal_output --append serial
    fi
fi
menuentry '{title}' {{
    multiboot2 /toro/kernel{words}
{module}}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_code_names_the_program_and_leaves_the_table_alone() {
        let mut boot = [0xaa; SECTOR];
        boot[DRIVE_CHECK_AT] = JUMP;
        let code = boot_code(&boot, 0x0102_0304_0506);
        assert_eq!(code.len(), 440);
        assert_eq!(code[0x5c..0x64], [6, 5, 4, 3, 2, 1, 0, 0]);
        assert_eq!(code[0x66..0x68], [0x90, 0x90]);
        assert_eq!((code[0x5b], code[0x64], code[0x68]), (0xaa, 0xaa, 0xaa));
    }

    #[test]
    fn the_program_names_its_second_sector() {
        let core = linked(&[0xbb; 1024], 2048);
        assert_eq!(core[0x1f4..0x1fc], 2049_u64.to_le_bytes());
        assert_eq!((core.len(), core[0x1f3], core[0x1fc]), (1024, 0xbb, 0xbb));
    }

    #[test]
    fn words_come_to_the_guest_as_they_are_or_not_at_all() {
        let good = words(" a=b  mount=virtio-blk0p3:/ root=$x;{y} ").unwrap();
        assert_eq!(good, ["a=b", "mount=virtio-blk0p3:/", "root=$x;{y}"]);
        assert!(
            configuration("app", &good, None).contains("/toro/kernel 'a=b' 'mount=virtio-blk0p3:/' 'root=$x;{y}'\n")
        );
        for bad in ["a='b'", "a=\"b\"", r"a=\b", "a=\u{7}"] {
            assert!(words(bad).unwrap_err().to_string().contains("--append"), "{bad}");
        }
        assert!(words(&"a".repeat(2049)).is_err());
        assert!(configuration("app", &[], None).ends_with("    multiboot2 /toro/kernel\n}\n"));
        let with_archive = configuration("app", &[], Some("initrd"));
        assert!(with_archive.ends_with("    multiboot2 /toro/kernel\n    module2 /toro/initrd initrd\n}\n"));
    }

    #[test]
    fn the_longest_configuration_has_room() {
        let longest = configuration(&"n".repeat(255), &vec!["a".to_owned(); MOST_WORDS_BYTES / 2], Some("initrd"));
        assert!(longest.len() < CONFIGURATION_BYTES);
    }
}
