//! The firmware that boots a machine from a disk: SeaBIOS, which QEMU brings along, or OVMF, which distributions package.
//!
//! ```text
//!   OVMF_CODE    the program, in flash memory that cannot be written
//!   OVMF_VARS    what it remembers, such as what to boot: each machine has a copy of its own, which ends with it
//! ```
//!
//! A machine that remembers nothing boots what every disk can offer, `\EFI\BOOT\BOOTX64.EFI`.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::cli::FirmwareKind;
use crate::exit::Failure;

/// Where distributions put the program, and what it remembers at first: Debian, Fedora, Arch, openSUSE, Alpine.
const PLACES: [(&str, &str); 6] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
];

/// A machine's firmware.
#[derive(Debug)]
pub enum Firmware {
    /// QEMU's own.
    Bios,
    /// OVMF.
    Uefi {
        /// The program.
        code: PathBuf,
        /// What it remembers.
        variables: PathBuf,
        /// Where that is.
        _directory: TempDir,
    },
}

impl Firmware {
    /// Finds the firmware, and makes what it remembers.
    ///
    /// # Errors
    ///
    /// A preparation failure where OVMF is missing or its variables cannot be copied.
    pub fn find(kind: FirmwareKind) -> Result<Self, Failure> {
        if kind == FirmwareKind::Bios {
            return Ok(Self::Bios);
        }
        let (code, at_first) = place().ok_or_else(|| Failure::preparation("OVMF is missing"))?;
        let cannot =
            |error: std::io::Error| Failure::preparation(format!("cannot copy {}: {error}", at_first.display()));
        let directory = tempfile::tempdir().map_err(cannot)?;
        let variables = directory.path().join("variables");
        // Its contents without its permissions: packages are read-only.
        let contents = fs::read(at_first).map_err(cannot)?;
        fs::write(&variables, contents).map_err(cannot)?;
        Ok(Self::Uefi { code: code.to_owned(), variables, _directory: directory })
    }
}

/// Whether OVMF is here.
pub fn is_present() -> bool {
    place().is_some()
}

fn place() -> Option<(&'static Path, &'static Path)> {
    let places = PLACES.iter().map(|(code, variables)| (Path::new(*code), Path::new(*variables)));
    places.into_iter().find(|(code, variables)| code.is_file() && variables.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_machine_has_variables_of_its_own_that_can_be_written() {
        assert!(matches!(Firmware::find(FirmwareKind::Bios), Ok(Firmware::Bios)));
        if !is_present() {
            return assert!(Firmware::find(FirmwareKind::Uefi).is_err());
        }
        let variables = || match Firmware::find(FirmwareKind::Uefi).unwrap() {
            Firmware::Bios => panic!("not asked for"),
            Firmware::Uefi { code, variables, _directory: directory } => {
                assert!(code.is_file() && fs::OpenOptions::new().write(true).open(&variables).is_ok());
                (variables, directory)
            }
        };
        let (one, other) = (variables(), variables());
        assert_ne!(one.0, other.0);
        let (path, directory) = one;
        drop(directory);
        assert!(!path.exists() && other.0.exists());
    }
}
